"""Squared error of a model's predicted state on held-out pictures, per time: compares trainings of some minutes.

python runs/held_out_error.py out/own/data/test/lines32 MODEL [MODEL ...] [--times 0.02 0.1 0.3 0.5 0.7 0.9]

The folder is one of runs/own_data.py's. Every picture is a state at its own size, under three draws of noise that are
the same for all models. Errors of models compare only where their states have the same density.
"""

import argparse
from pathlib import Path

import torch

import s2id
from s2id.evaluation.report import markdown
from s2id.media.images import read, resize, to_float
from s2id.sampling.denoisers import trained_denoiser
from s2id.sampling.states import state_sizes
from s2id.shapes import per_sample

DRAWS = 3


@torch.inference_mode()
def errors(model: s2id.S2ID, folder: Path, times: list[float]) -> list[float]:
    """Mean squared error of the clean state, in units of [-1, 1], at each time."""
    files = sorted(path for path in folder.glob("*.png") if not path.name.endswith(".truth.png"))
    pictures = torch.stack([to_float(read(path, model.config.channels)) for path in files])
    state, fine = state_sizes(model, (pictures.shape[2], pictures.shape[3]))
    x = resize(pictures, fine or state)
    denoiser = trained_denoiser(model, (x.shape[2], x.shape[3]))
    found = []
    for time in times:
        generator, t = torch.Generator().manual_seed(0), torch.full((len(x),), time, dtype=torch.float64)
        alpha, sigma = (per_sample(a.to(x), x) for a in denoiser.schedule(t))
        noisy = (alpha * x + sigma * torch.randn(x.shape, generator=generator) for _ in range(DRAWS))
        found.append(sum((denoiser(x_t, t) - x).square().mean().item() for x_t in noisy) / DRAWS)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--times", type=float, nargs="+", default=[0.02, 0.1, 0.3, 0.5, 0.7, 0.9])
    args = parser.parse_args()
    rows: list[list[object]] = []
    for path in args.models:
        model = s2id.load(path)
        rows.append([str(path), model.card.images_seen, *(f"{e:.5f}" for e in errors(model, args.folder, args.times))])
    print(markdown(["model", "images seen", *(f"t = {time:g}" for time in args.times)], rows))


if __name__ == "__main__":
    main()
