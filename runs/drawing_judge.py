"""How often a judge of words and styles is right itself, and under changes that it was not trained with.

    python runs/drawing_judge.py out/icons-judge.safetensors --data icons

For each part of the drawings (seen, held-out pairs, held-out concepts), of `--count` that a hash of names puts first,
the shares whose style and whose concept the judge names right: as it was trained on them; drawn anew with eight times
as many pixels, shifted by 3 of the judge's own, and averaged down; and changed in ways that its training had not.
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from s2id.data.pictures import Group
from s2id.data.registry import load_pictures
from s2id.evaluation.held_out import PARTS, Drawings, named
from s2id.evaluation.judge import load as load_judge
from s2id.evaluation.report import markdown
from s2id.media.images import resize, to_float
from s2id.memory import keep_memory

TIMES, SHIFT = 8, 3
"""Pixels of the drawings that are made anew, and their shift, both in pixels of the judge."""


def anew(group: Group, rows: list[int], ground: float = 1.0) -> Tensor:
    """The drawings from their outlines: with more pixels, shifted down and to the right, and averaged."""
    assert group.truth is not None
    size = (group.images.shape[2], group.images.shape[3])
    fine, step = (TIMES * size[0], TIMES * size[1]), TIMES * SHIFT
    moved = (F.pad(group.truth(i, fine), (step, 0, step, 0), value=ground)[:, : fine[0], : fine[1]] for i in rows)
    return torch.stack([resize(one, size) for one in moved])


def turned(x: Tensor, degrees: float) -> Tensor:
    """The pictures turned about their middle, with their border's colour where nothing was."""
    a = math.radians(degrees)
    turn = torch.tensor([[math.cos(a), -math.sin(a), 0.0], [math.sin(a), math.cos(a), 0.0]])
    grid = F.affine_grid(turn.expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def ways(group: Group, rows: list[int]) -> Iterator[tuple[str, Tensor]]:
    """Changes of the drawings, by name."""
    x = to_float(group.images[torch.tensor(rows)])
    yield "as they are", x
    yield f"drawn at {TIMES} times the size, shifted by {SHIFT} pixels", anew(group, rows)
    yield "turned by 15 degrees", turned(x, 15.0)
    yield "blurred, means of 2x2 pixels", F.interpolate(F.avg_pool2d(x, 2), scale_factor=2.0, mode="bilinear")
    yield "noise of 20 grey levels", x + torch.randn(x.shape, generator=torch.Generator().manual_seed(0)) * 20 / 127.5
    yield "half the contrast to white", (1 + x) / 2
    yield "grey", x.mean(1, keepdim=True).expand_as(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("judge", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--alpha", default="white")
    parser.add_argument("--count", type=int, default=300, help="drawings of each part, at most")
    args = parser.parse_args()
    keep_memory()
    judge = load_judge(args.judge)
    whole = load_pictures("folder", args.data, long_side=max(judge.size), alpha=args.alpha)
    drawings, table = Drawings.of(whole, judge), []
    for part, of in PARTS.items():
        rows = drawings.of_part(part)[: args.count]
        for way, pictures in ways(whole.groups[0], rows.tolist()):
            found = named(judge.features(pictures), rows, drawings, judge)
            table.append([of, way, len(rows), *found.values()])
    print(f"{args.judge}, sha256 {judge.sha256}\n")
    print(markdown(["drawings", "shown", "n", *found], table))


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
