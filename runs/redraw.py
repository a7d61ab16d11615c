"""Teach a model's canvas what its classes lack, redrawn from what other classes have (`training.redraw`).

    python runs/redraw.py emoji --data icons --out out/emoji.safetensors

The canvas goes on from what it knows; all other weights stay as they are. `s2id train emoji` does this before its own
steps. A model that was trained on the data set `vectors` is shown the training part alone, so that the pairs held out
of it are redrawn, and runs/emoji.py says how they came out. The redrawn pictures are kept beside `--out`, as
emoji-redrawn.safetensors, and another run that finds them there teaches the canvas alone.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file, save_file

import s2id
from s2id.network.network import FieldNetwork
from s2id.network.settings import ModelConfig
from s2id.sampling.training_data import load_data_of
from s2id.training.batches import shrunk
from s2id.training.canvas import teach_canvas
from s2id.training.device import accelerator_for
from s2id.training.growing import grown
from s2id.training.presets import PRESETS
from s2id.training.redraw import Redrawn, redraw_missing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True, help="folder that the model was trained on")
    parser.add_argument("--redraw-steps", type=int, default=PRESETS["emoji"].train.redraw_steps)
    parser.add_argument("--canvas-steps", type=int, default=15_000)
    parser.add_argument("--out", type=Path, required=True, help="file ending in .safetensors")
    args = parser.parse_args()
    model = s2id.load(args.model)
    network = PRESETS["emoji"].model
    assert isinstance(network, ModelConfig)
    model = with_blocks(model, network.canvas_blocks)
    assert isinstance(model.network, FieldNetwork) and model.network.canvas is not None
    pictures = load_data_of(model, args.data, split="train")
    small = shrunk(pictures, model.network.canvas.side)
    steps = {"redraw_steps": args.redraw_steps, "canvas_steps": args.canvas_steps}
    config = replace(PRESETS["emoji"].train, device="cpu", **steps)
    autocast, classes = accelerator_for(config).autocast, len(pictures.labels)
    kept = args.out.with_stem(f"{args.out.stem}-redrawn")
    if not kept.exists():
        drawn = redraw_missing(small, classes, config, autocast=autocast)
        assert drawn is not None, "the data lack nothing"
        save_file({name: tensor.contiguous() for name, tensor in vars(drawn).items()}, kept)
    more = Redrawn(**load_file(kept))
    whole = replace(pictures, groups=(more.beside(small),))
    teach_canvas(model.network, whole, replace(config, redraw_steps=0), autocast=autocast)
    model.save(args.out)


def with_blocks(model: s2id.S2ID, blocks: int) -> s2id.S2ID:
    """The model with as many blocks that correct its canvas; those that it lacks are new, and change nothing."""
    assert isinstance(model.config, ModelConfig)
    more = s2id.S2ID(replace(model.config, canvas_blocks=blocks), model.card)
    more.network.load_state_dict(grown(more.network, model.network))
    return (more.drawn_by(model) if model.renderer else more).eval()


if __name__ == "__main__":
    main()
