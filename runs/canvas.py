"""Squared error of models' canvases, which words and style alone are asked for: how much of the drawings they know.

    python runs/canvas.py MODEL [MODEL ...] --data icons

Drawings of training (seen), and held-out pairs of concept and style, whose concept training has in other styles. Errors
are of area means on 16 and on 32 samples a side, in units of [-1, 1]; a canvas that is coarser is interpolated
linearly, which alone has 0.030 on 32 samples (from the true means of 16).
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from common import drawings

import s2id
from s2id.data.pictures import Group
from s2id.evaluation.report import markdown
from s2id.media.images import resize
from s2id.network.canvas import stretched
from s2id.network.network import FieldNetwork
from s2id.sampling.training_data import load_data_of
from s2id.training.batches import means

SIDES = (16, 32)
BATCH = 256


@torch.inference_mode()
def errors(model: s2id.S2ID, group: Group, rows: list[int]) -> list[float]:
    """Mean squared error on each of `SIDES` samples."""
    network, total = model.network, torch.zeros(len(SIDES))
    assert isinstance(network, FieldNetwork) and network.canvas is not None
    for chosen in torch.tensor(rows).split(BATCH):
        asked = replace(group.condition(chosen), attributes=None)
        canvas = network.canvas(network.canvas_code(asked))
        for i, side in enumerate(SIDES):
            truth = means(group.images[chosen], (side, side))
            drawn = (resize if side < canvas.shape[2] else stretched)(canvas, (side, side))
            total[i] += (drawn - truth).square().mean((1, 2, 3)).sum()
    return (total / len(rows)).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", type=Path, required=True, help="folder that the models were trained on")
    args = parser.parse_args()
    table: list[list[object]] = []
    for path in args.models:
        model = s2id.load(path)
        for name in ("seen", "pair"):
            pictures = load_data_of(model, args.data, split="train" if name == "seen" else "test")
            group, rows = drawings(pictures, name)
            found = errors(model, group, rows)
            table.append([path, model.config.canvas, name, len(rows), *(f"{one:.4f}" for one in found)])
    print(markdown(["model", "canvas", "drawings", "n", *(f"error on {side}" for side in SIDES)], table))


if __name__ == "__main__":
    main()
