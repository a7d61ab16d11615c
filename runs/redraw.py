"""Teach a model's canvas what its classes lack, redrawn from what other classes have (`training.redraw`).

    python runs/redraw.py emoji --data icons --out out/emoji.safetensors

The canvas goes on from what it knows; all other weights stay as they are. `s2id train emoji` does this before its own
steps. A model that was trained on the data set `vectors` is shown the training part alone, so that the pairs held out
of it are redrawn, and runs/emoji.py says how they came out.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import s2id
from s2id.network.network import FieldNetwork
from s2id.sampling.training_data import load_data_of
from s2id.training.canvas import teach_canvas
from s2id.training.device import accelerator_for
from s2id.training.presets import PRESETS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True, help="folder that the model was trained on")
    parser.add_argument("--redraw-steps", type=int, default=PRESETS["emoji"].train.redraw_steps)
    parser.add_argument("--canvas-steps", type=int, default=10_000)
    parser.add_argument("--out", type=Path, required=True, help="file ending in .safetensors")
    args = parser.parse_args()
    model = s2id.load(args.model)
    assert isinstance(model.network, FieldNetwork)
    pictures = load_data_of(model, args.data, split="train")
    steps = {"redraw_steps": args.redraw_steps, "canvas_steps": args.canvas_steps}
    config = replace(PRESETS["emoji"].train, device="cpu", **steps)
    teach_canvas(model.network, pictures, config, autocast=accelerator_for(config).autocast)
    model.save(args.out)


if __name__ == "__main__":
    main()
