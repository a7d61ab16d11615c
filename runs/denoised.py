"""Squared error of what models draw from equally noisy states: compares recipes whose states have different densities.

    python runs/denoised.py MODEL [MODEL ...] --data FOLDER [--noise 4 2 0 -2 -4] [--count 400] [--part concept]

Every held-out picture becomes a state of the density that the model composes on, or ends on where little noise is left.
The signal-to-noise ratio falls with the square of the density, so that all models see the pictures equally well, and
the noise of all is one field. What a model then expects, under the picture's own conditions, is compared with the
picture at the data's pixels, in units of [-1, 1]. Of drawings, `--part` takes those whose concept training has in other
styles (pair), or those whose concept it does not have at all (concept), which say what the words or texts are worth;
`--part seen` takes drawings of the training split, which say how much of them a model has kept.
"""

import argparse
import math
from pathlib import Path

import torch
from common import drawings

import s2id
from s2id.coords import extent
from s2id.data.pictures import Pictures
from s2id.diffusion.noise import noise_field
from s2id.diffusion.process import Schedule, alpha_sigma
from s2id.evaluation.report import markdown
from s2id.media.images import resize, to_float
from s2id.sampling.denoisers import trained_denoiser
from s2id.sampling.states import state_sizes
from s2id.sampling.training_data import load_data_of

BATCH = 50
REFERENCE = 24
"""Samples along the long side of the state whose logsnr is given."""


def time_of(schedule: Schedule, logsnr: float) -> float:
    """The time at which a schedule has a logsnr, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        above = schedule.logsnr(torch.tensor(middle, dtype=torch.float64)).item() > logsnr
        low, high = (middle, high) if above else (low, middle)
    return low


@torch.inference_mode()
def error(model: s2id.S2ID, pictures: Pictures, noise: float, count: int, part: str | None) -> float:
    """Mean squared error at the pictures' pixels of the expected pictures, at one level of noise."""
    group, rows = drawings(pictures, part)
    chosen = torch.tensor(rows[:: max(1, len(rows) // count)][:count])
    known, size = group.condition(chosen), pictures.size
    coarse, fine = state_sizes(model, size)

    def at(state: tuple[int, int]) -> tuple[float, float]:
        """Logsnr and time of states of a size."""
        logsnr = noise - 2 * math.log(max(state) / REFERENCE)
        return logsnr, time_of(trained_denoiser(model, state).schedule, logsnr)

    state = fine if fine and at(fine)[1] < model.card.detail_time else coarse
    logsnr, time = at(state)
    denoiser = trained_denoiser(model, state)
    alpha, sigma = (float(one) for one in alpha_sigma(torch.tensor(logsnr)))
    total = 0.0
    for rows, asked in zip(torch.arange(len(chosen)).split(BATCH), known.split(BATCH), strict=True):
        truth = to_float(group.images[chosen[rows]])
        eps = torch.stack([noise_field(state, truth.shape[1], int(i), 0, frame=extent(state)) for i in rows])
        x_t = alpha * resize(truth, state) + sigma * eps
        t = torch.full((len(rows),), time, dtype=torch.float64)
        (expected,) = denoiser.under_each(x_t, t, [asked], (truth.shape[2], truth.shape[3]))
        total += (expected - truth).square().mean().item() * len(rows)
    return total / len(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", type=Path, required=True, help="folder that the models were trained on")
    parser.add_argument("--noise", type=float, nargs="+", default=[4, 2, 0, -2, -4], help="logsnr of 24 samples a side")
    parser.add_argument("--count", type=int, default=400, help="number of pictures")
    parser.add_argument(
        "--part", choices=["seen", "pair", "concept"], help="kind of drawings; all held-out ones by default"
    )
    args = parser.parse_args()
    rows: list[list[object]] = []
    for path in args.models:
        model = s2id.load(path)
        pictures = load_data_of(model, args.data, split="train" if args.part == "seen" else "test")
        errors = [error(model, pictures, noise, args.count, args.part) for noise in args.noise]
        rows.append([path, model.card.images_seen, *(f"{one:.4f}" for one in errors)])
    print(markdown(["model", "images seen", *(f"logsnr {noise:g}" for noise in args.noise)], rows))


if __name__ == "__main__":
    main()
