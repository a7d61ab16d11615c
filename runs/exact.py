"""What posterior sampling loses by itself: a prior whose posterior is known, a Gaussian around each training picture.

    python runs/exact.py super --data data
    python runs/exact.py inpaint --data data

The tasks are those of `runs/restore.py`, on the bundled model's state; the prior knows 6,000 training pictures, and
the observed ones are other training pictures. `right` is the mean probability of the true class, `agreement` that of a
solver's answer and an exact sample to be of one class; the first row is of two exact samples. The prior is a poor one,
so `right` is low: what counts is how far below the first row a solver is.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from common import LOW, hole
from torch import Tensor

from s2id.cli.options import writable
from s2id.condition import Asked
from s2id.data.registry import load_pictures
from s2id.diffusion.process import Schedule, times
from s2id.diffusion.samplers import RESTART, SAMPLERS, ddim, last, restarted
from s2id.inverse.observation import Area, Observation
from s2id.inverse.posterior import Measurement, Posterior
from s2id.inverse.restore import observation_of_state
from s2id.media.images import resize, to_float
from s2id.memory import keep_memory

STATE, WIDTH = (20, 20), 0.2  # std of each Gaussian
FIRST = 20_000  # of the observed pictures


class Kernels:
    """The ideal denoiser of a mixture of Gaussians, one around each picture."""

    schedule = Schedule()

    def __init__(self, pictures: Tensor, labels: Tensor) -> None:
        self.points, self.labels = resize(pictures, STATE).flatten(1), labels
        self.energy = self.points.square().sum(1) / 2

    def __call__(self, x_t: Tensor, t: Tensor, label: Asked | None = None) -> Tensor:
        alpha, sigma = (a.to(x_t)[:, None] for a in self.schedule(t))
        x, total = x_t.flatten(1), alpha**2 * WIDTH**2 + sigma**2
        centre = ((alpha * (x @ self.points.T) - alpha**2 * self.energy) / total).softmax(1) @ self.points
        return (centre + alpha * WIDTH**2 / total * (x - alpha * centre)).reshape(x_t.shape)

    def classes(self, x: Tensor) -> Tensor:
        """Probability of each class of clean states."""
        return self._by_class(((x.flatten(1) @ self.points.T - self.energy) / WIDTH**2).softmax(1))

    def posterior(self, observation: Observation) -> Tensor:
        """Probability of each class given what was seen."""
        count = STATE[0] * STATE[1]
        a = Area(observation, STATE)(torch.eye(count).reshape(count, 1, *STATE))[..., 0].T.double()
        noise = torch.as_tensor(observation.noise, dtype=torch.float64).expand(len(observation))
        precision = torch.linalg.inv(WIDTH**2 * a @ a.T + torch.diag(noise**2))
        apart = observation.values[:, None, :, 0].double() - self.points.double() @ a.T
        return self._by_class((-0.5 * ((apart @ precision) * apart).sum(2)).softmax(1).float())

    def _by_class(self, weights: Tensor) -> Tensor:
        return torch.zeros(len(weights), 10).index_add(1, self.labels, weights)


def fresh(shape: tuple[int, ...], seed: int) -> Callable[[int], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda i: torch.randn(shape, generator=generator)


def annealed(denoiser: Posterior, x_t: Tensor, outer: int, inner: int) -> Tensor:
    """From every time on to a clean state, made noisy anew to the next (Zhang et al. 2024, arXiv 2407.01521)."""
    noise = fresh(tuple(x_t.shape), 7)
    for i in range(outer):
        t = 1 - i / outer
        alpha, sigma = denoiser.schedule(torch.tensor(t))
        x_t = alpha * x_t + sigma * noise(i) if i else x_t
        x_t = last(SAMPLERS["dpmpp"](denoiser, x_t, torch.linspace(t, 0, inner + 1, dtype=torch.float64)))
    return x_t


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("super", "inpaint"))
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("out/exact"))
    parser.add_argument("--count", type=int, default=100, help="pictures")
    args = parser.parse_args()
    keep_memory()
    writable(args.out)
    group = load_pictures("mnist", args.data, "train").groups[0]
    prior = Kernels(to_float(group.images[:6000]), group.labels[:6000])
    here = slice(FIRST, FIRST + args.count)
    truth, of, mask = to_float(group.images[here]), group.labels[here], None if args.task == "super" else hole()
    seen = resize(truth, LOW) if mask is None else torch.where(mask, truth, 0.0)
    observation = observation_of_state(seen, STATE, mask)
    exact, posterior = prior.posterior(observation), Posterior(prior, Measurement.of(observation, STATE), iterations=3)
    x_t = fresh((args.count, 1, *STATE), 3)(0)
    dpmpp = SAMPLERS["dpmpp"]
    again = partial(restarted, dpmpp, noise=fresh(tuple(x_t.shape), 7))
    solvers: dict[str, Callable[[], Tensor]] = {
        "dpmpp, 20 steps": lambda: last(dpmpp(posterior, x_t, times(20))),
        "ddim, eta 1, 40 steps": lambda: last(
            ddim(posterior, x_t, times(40), eta=1.0, noise=fresh(tuple(x_t.shape), 5))
        ),
        "annealed, 10 times 4 steps": lambda: annealed(posterior, x_t, 10, 4),
        f"dpmpp, 20 steps, 4 restarts at {RESTART}": lambda: last(again(4)(posterior, x_t, times(20))),
    }

    def share(p: Tensor) -> float:
        return round(p.gather(1, of[:, None]).mean().item(), 3)

    rows: dict[str, dict[str, float]] = {
        "exact": {"right": share(exact), "agreement": round(exact.square().sum(1).mean().item(), 3)}
    }
    print("exact", rows["exact"], flush=True)
    for name, solve in solvers.items():
        found = prior.classes(solve())
        rows[name] = {"right": share(found), "agreement": round((found * exact).sum(1).mean().item(), 3)}
        print(name, rows[name], flush=True)
    (args.out / f"{args.task}.json").write_text(json.dumps({"count": args.count, **rows}, indent=2) + "\n")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
