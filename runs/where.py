"""At which time t a model loses class and diversity: true pictures are made noisy to t, sampled back and read out.

    python runs/where.py mnist --data data --count 1000 [--times 0 0.2 0.5 1] [--density 20 28]

Losses at t = 0 arise in reading the function out of a clean state, further losses at larger t in the steps from t to 0.
The model's guide is not used. Frechet distances are those to the same pictures before the noise, and to the rest of the
test set; the first line measures the pictures themselves.
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from s2id.condition import condition_of
from s2id.coords import extent, state_size
from s2id.data.registry import load_pictures
from s2id.diffusion.process import alpha_sigma
from s2id.diffusion.samplers import dpmpp_2m, last
from s2id.evaluation import image_metrics, set_metrics
from s2id.evaluation.judge import load as load_judge
from s2id.media.images import resize, to_float
from s2id.memory import keep_memory
from s2id.sampling.denoisers import read_out, trained_denoiser
from s2id.sampling.model import S2ID, load
from s2id.sampling.states import affordable


@torch.inference_mode()
def solved(model: S2ID, pictures: Tensor, labels: Tensor, density: int, t: float, steps: int) -> Tensor:
    """The pictures after noise to t and sampling back to 0, at their own size."""
    height, width = pictures.shape[2:]
    size = state_size(density, extent((height, width)), model.config.patch)
    denoiser = trained_denoiser(model, size)
    generator = torch.Generator().manual_seed(0)
    back = []
    for own, label in zip(pictures.split(affordable(density)), labels.split(affordable(density)), strict=True):
        state, asked = resize(own, size), condition_of(label, len(label))
        if t:
            alpha, sigma = alpha_sigma(denoiser.schedule.logsnr(torch.tensor(t, dtype=torch.float64)))
            noisy = alpha.item() * state + sigma.item() * torch.randn(state.shape, generator=generator)
            points = torch.linspace(t, 0, max(2, round(steps * t)) + 1, dtype=torch.float64)
            state = last(dpmpp_2m(denoiser, noisy, points, asked))
        back.append(read_out(model, state, asked).render((height, width)))
    return torch.cat(back)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", nargs="?", default="mnist")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--times", type=float, nargs="*", default=[0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1])
    parser.add_argument(
        "--density", type=int, nargs="*", help="samples along the state's long side; as trained if not given"
    )
    parser.add_argument("--steps", type=int, default=30, help="solver steps from t = 1, fewer from later")
    args = parser.parse_args()
    keep_memory()
    model, judge = load(args.weights), load_judge("mnist")
    (group,) = load_pictures("mnist", args.data, "test").groups
    images, labels = to_float(group.images), group.labels.long()
    true, asked, features = images[: args.count], labels[: args.count], judge.features(images)

    def report(pictures: Tensor, **facts: float) -> None:
        found = judge.features(pictures)
        numbers = {
            "right class": (judge.classify(found) == asked).float().mean().item(),
            "variance": set_metrics.variance_ratio(pictures, asked, images, labels),
            "frechet to themselves": set_metrics.frechet_distance(found, features[: args.count]),
            "frechet to others": set_metrics.frechet_distance(found, features[args.count :]),
            "psnr": image_metrics.psnr(pictures, true).median().item(),
        }
        print(json.dumps(facts | {name: round(value, 4) for name, value in numbers.items()}), flush=True)

    report(true)
    for density in args.density or [model.card.density]:
        for t in args.times:
            report(solved(model, true, asked, density, t, args.steps), density=density, t=t)


if __name__ == "__main__":
    main()
