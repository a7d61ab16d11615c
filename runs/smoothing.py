"""Compare pictures with true drawings for several differences of colour that composed states are smoothed by.

    python runs/smoothing.py emoji --data icons --differences 0 0.1 0.15

Drawings that the model was trained on are asked for by style and words. Area means of what is drawn, as dense as the
composed state, are compared with the drawings': the mean squared error in [-1, 1], of all samples and of those where
the drawing is flat, faint or an edge (by its variance over 5 x 5 samples); the correlation of gradients where it is
faint; and the root mean square of gradients where it is flat, in grey levels.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

import s2id
from s2id.media.images import to_float
from s2id.memory import keep_memory
from s2id.sampling.settings import Sampling
from s2id.sampling.training_data import load_data_of
from s2id.training.batches import shrunk

FLAT, FAINT = 1e-4, 2e-2
"""Variances below which a place is flat, and below which it is faint."""

LOST = 0.05
"""Squared error of a picture that shows something else, which no filter mends: such are left out."""


def variance(pictures: Tensor) -> Tensor:
    """Mean variance of the channels over 5 x 5 samples."""
    around = F.pad(pictures, (2,) * 4, mode="replicate")
    squares = F.avg_pool2d(around.square(), 5, 1) - F.avg_pool2d(around, 5, 1).square()
    return squares.mean(1, keepdim=True)


def gradients(pictures: Tensor) -> Tensor:
    """Differences from the samples below and to the right."""
    here = pictures[..., :-1, :-1]
    return torch.cat([pictures[..., 1:, :-1] - here, pictures[..., :-1, 1:] - here], 1)


def compared(found: Tensor, truth: Tensor) -> list[str]:
    """The numbers of one row."""
    error, seen = (found - truth).square().mean(1, keepdim=True), variance(truth)
    flat, edge = seen < FLAT, seen >= FAINT
    faint = ~(flat | edge)
    drawn, true = (gradients(pictures) for pictures in (found, truth))
    a, b = (slopes * faint[..., :-1, :-1] for slopes in (drawn, true))
    rough = 127.5 * drawn.square().mean(1, keepdim=True)[flat[..., :-1, :-1]].mean().sqrt()
    errors = [f"{some.mean():.5f}" for some in (error, error[flat], error[faint], error[edge])]
    return [*errors, f"{(a * b).sum() / (a.norm() * b.norm()):.3f}", f"{rough:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True, help="folder that the model was trained on")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--differences", type=float, nargs="+", default=[0.0, 0.075, 0.1, 0.125, 0.15])
    args = parser.parse_args()
    keep_memory()
    model = s2id.load(args.model)
    pictures = load_data_of(model, args.data, split="train")
    side = model.card.detail_density or model.card.density
    drawings = shrunk(pictures, side)
    rows = torch.randperm(len(drawings.labels), generator=torch.Generator().manual_seed(0))[: args.count]
    truth, shown = to_float(drawings.images[rows]), None
    for difference in args.differences:
        sampling = Sampling(guidance=args.guidance, smoothing=difference)
        fields = (s2id.sample(model, drawings.condition(some), range(len(some)), sampling) for some in rows.split(50))
        found = torch.cat([field.render((side, side)) for field in fields])
        if shown is None:
            shown = (found - truth).square().mean((1, 2, 3)) < LOST
            print(f"{int(shown.sum())} of {len(rows)} pictures show what was asked for\n")
            print("| smoothing | error | flat | faint | edges | correlation, faint | roughness, flat |")
            print("|---|---|---|---|---|---|---|")
        print(f"| {difference:g} | {' | '.join(compared(found[shown], truth[shown]))} |", flush=True)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
