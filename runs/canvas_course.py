"""Squared error of a canvas from random weights after some minutes, with and without the blocks that correct it.

    python runs/canvas_course.py emoji --data icons --minutes 3 6 10

The canvas has the settings of a trained model and is taught that model's drawings, of which none is redrawn. Errors are
of area means as dense as the canvas, in units of [-1, 1], of every third drawing with all its labels. They say from
which length of a run on `training.canvas` teaches the blocks: a run spends a fifth of its minutes on its canvas.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

import s2id
from s2id.data.pictures import Group
from s2id.media.images import to_float
from s2id.network.canvas import Canvas
from s2id.network.network import FieldNetwork
from s2id.sampling.training_data import load_data_of
from s2id.training import canvas as teaching
from s2id.training.batches import shrunk
from s2id.training.device import accelerator_for
from s2id.training.presets import PRESETS

BATCH = 512


@torch.inference_mode()
def error(network: FieldNetwork, drawings: Group) -> float:
    """Mean squared error of the canvas."""
    canvas, total = network.canvas, 0.0
    assert isinstance(canvas, Canvas)
    rows = torch.arange(0, len(drawings.labels), 3)
    for some in rows.split(BATCH):
        drawn = canvas(network.canvas_code(drawings.condition(some)))
        total += (drawn - to_float(drawings.images[some])).square().mean((1, 2, 3)).sum().item()
    return total / len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True, help="folder that the model was trained on")
    parser.add_argument("--minutes", type=float, nargs="+", default=[3.0, 6.0, 10.0])
    args = parser.parse_args()
    model = s2id.load(args.model)
    pictures = load_data_of(model, args.data, split="train")
    print("| minutes | blocks | error |\n|---|---|---|")
    for minutes in args.minutes:
        for blocks, least in ((False, 10**9), (True, 0)):
            torch.manual_seed(0)
            network = s2id.S2ID(model.config, model.card).network
            assert isinstance(network, FieldNetwork) and network.canvas is not None
            teaching._LEAST_MINUTES = least
            config = replace(PRESETS["emoji"].train, device="cpu", redraw_steps=0, minutes=5 * minutes)
            teaching.teach_canvas(network, pictures, config, autocast=accelerator_for(config).autocast)
            found = error(network, shrunk(pictures, network.canvas.side))
            print(f"| {minutes:g} | {'taught' if blocks else 'left at zero'} | {found:.4f} |", flush=True)


if __name__ == "__main__":
    main()
