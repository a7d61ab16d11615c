"""Train the yardstick of the network for graphics: a plain residual network that enlarges four times and nothing else.

    python runs/yardstick.py DATA OUT.safetensors --minutes 16

It has no relative inputs, no function and no other scale: six blocks of two 3x3 convolutions of width 64 (0.48 million
weights with its ends) and a sub-pixel convolution, added to the bicubic interpolation. It sees the windows that `s2id
train graphics` sees, by area means only, and the whole truth of each, and has the same loss and precision.
runs/upscalers.py --yardstick measures it.
"""

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from s2id.data.registry import load_pictures
from s2id.media.images import to_bytes, to_float, to_pillow
from s2id.memory import keep_memory
from s2id.network.enlarger import ConvolutionBlock
from s2id.training import windows
from s2id.training.device import multiplies_bf16
from s2id.training.presets import PRESETS
from s2id.training.tasks import energy_score

TIMES = 4


class Plain(nn.Module):
    """Residual blocks at the picture's own pixels, whose last layer has every pixel of the result."""

    def __init__(self, width: int = 64, blocks: int = 6) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, width, 3, padding=1)
        self.blocks = nn.Sequential(*(ConvolutionBlock(width) for _ in range(blocks)))
        self.out = nn.Conv2d(width, 4 * TIMES**2, 3, padding=1)

    def forward(self, given: Float[Tensor, "b 4 h w"]) -> Float[Tensor, "b 4 h2 w2"]:
        """Pictures of four times the size."""
        added = F.pixel_shuffle(self.out(self.blocks(self.stem(given))), TIMES)
        return added + F.interpolate(given, scale_factor=TIMES, mode="bicubic")


def yardstick(file: Path) -> Callable[[Image.Image, int], Image.Image | None]:
    """The trained network as a way to enlarge, for runs/upscalers.py."""
    network = Plain()
    network.load_state_dict(load_file(file))

    @torch.inference_mode()
    def way(picture: Image.Image, times: int) -> Image.Image | None:
        if times != TIMES:
            return None
        given = to_float(torch.from_numpy(np.array(picture.convert("RGBA"))).permute(2, 0, 1))[None]
        return to_pillow(to_bytes(network(given)[0, :3].clamp(-1, 1)))

    return way


def main() -> None:
    """Train it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=16.0)
    parser.add_argument("--lr", type=float, default=1e-3)
    args = parser.parse_args()
    keep_memory()
    torch.manual_seed(0)
    config = replace(PRESETS["graphics"].train, queries=1e3)
    pictures = load_pictures("vectors", args.data, "train", config.long_side, alpha="keep")
    windows.LIKE = {"means": 1.0}
    network = Plain()
    optimiser = torch.optim.Adam(network.parameters(), lr=args.lr)
    start, step, losses = time.process_time(), 0, list[float]()
    while (done := (time.process_time() - start) / (60 * args.minutes)) < 1:
        optimiser.param_groups[0]["lr"] = args.lr * min(1, step / 200) * (0.5 + 0.5 * math.cos(math.pi * done))
        batch = windows.draw_windows(pictures, config, step, only=TIMES)
        assert isinstance(batch.target, Tensor)
        with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bf16(torch.device("cpu"))):
            found = network(batch.x_t)
        loss = energy_score([found.float()], batch.target, (TIMES, TIMES))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        losses.append(loss.item())
        if step % 200 == 0:
            print(f"{step * config.batch:8d} windows, loss {np.mean(losses[-200:]):.4f}", flush=True)
    save_file(network.state_dict(), args.out)


if __name__ == "__main__":
    main()
