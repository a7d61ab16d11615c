"""Whether a render invents: its area means against the same function at the data's size, and against the state.

    python runs/means.py mnist --count 20

First larger renders averaged to 28x28 against the render at 28x28; then that render with more head samples a side of a
pixel against the largest; then renders averaged to the composition grid against the composed state.
"""

import argparse

import torch
from torch import Tensor

from s2id.coords import frame_grid
from s2id.diffusion.samplers import last
from s2id.evaluation.image_metrics import psnr
from s2id.images import resize
from s2id.memory import keep_memory
from s2id.sampling.model import load
from s2id.sampling.sample import autoguidance_of, compose, read_out
from s2id.sampling.settings import Sampling

SIDES = (56, 112, 224, 448, 1024)
SAMPLES = (3, 4, 5, 6, 8, 12, 16)


def say(name: str, ours: Tensor, theirs: Tensor) -> None:
    """One row."""
    found, off = psnr(ours, theirs), (ours - theirs).abs().max()
    print(f"| {name} | {found.median():.1f} | {found.min():.1f} | {off:.3f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="?", default="mnist")
    parser.add_argument("--count", type=int, default=20)
    args = parser.parse_args()
    keep_memory()
    model = load(args.weights)
    labels = torch.arange(args.count) % max(1, model.config.classes)
    state = last(compose(model, labels, range(args.count), Sampling(guidance=1.0)))
    fields = read_out(model, state, labels, autoguidance=autoguidance_of(model, None))
    base = fields.render((28, 28))
    print("| what | PSNR, median | worst | largest difference |\n|---|---|---|---|")
    for side in SIDES:
        large = torch.cat([resize(one.render((side, side)), (28, 28)) for one in fields])
        say(f"{side} averaged, against 28", large, base)
    with torch.inference_mode():
        for samples in SAMPLES:
            fine = fields.head(fields.features.on_canvas(), frame_grid((28, 28)), samples, 1.0)
            say(f"28 with {samples} samples a side, against {SIDES[-1]} averaged", fine, large)
    grid = (state.shape[2], state.shape[3])
    for factor in (1, 50):
        seen = torch.cat([resize(one.render((factor * grid[0], factor * grid[1])), grid) for one in fields])
        say(f"{factor * grid[0]} averaged, against the composed state", seen, state.clamp(-1, 1))


if __name__ == "__main__":
    main()
