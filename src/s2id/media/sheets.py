"""Contact sheets: pictures side by side, small ones enlarged, each with its caption below it."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from s2id.media.alpha import has_alpha
from s2id.media.images import tile

_LEAST = 96
"""Pixels along the long side of a tile, at least: smaller pictures are enlarged by a whole factor."""

_GROUND, _INK = 0.8, -1.0
"""Values of the sheet between tiles and of its captions, from -1 (black) to 1 (white)."""


def sheet(
    images: Float[Tensor, "n c h w"], captions: Sequence[str] = (), per_row: int | None = None
) -> Float[Tensor, "c height width"]:
    """A contact sheet that is about square: pictures of one size in reading order, with captions.

    Args:
        images: The pictures, with values in [-1, 1] and 1 to 4 channels. An even number of channels ends with alpha.
        captions: Text below each picture, cut to the picture's width; none at all by default.
        per_row: Number of neighbouring pictures that belong together, such as all seeds of a class. They share rows if
            the sheet then is at most twice as long as wide, or as wide as long. `None` keeps no order.

    >>> sheet(torch.zeros(32, 1, 28, 28)).shape
    torch.Size([1, 687, 687])
    """
    images = images.repeat_interleave(factor := _factor(images), dim=2).repeat_interleave(factor, dim=3)
    if captions:
        height = max(12, min(images.shape[2:]) // 16)
        below = torch.stack([_caption(text, images.shape[3], height) for text in captions]).to(images)
        images = torch.cat([images, _inked(below, images.shape[1])], dim=2)
    count, _, high, wide = images.shape
    ground = images.new_full((images.shape[1],), _GROUND)
    if has_alpha(len(ground)):
        ground[-1] = 1.0
    return tile(images, columns(count, high / wide, per_row), gap=max(3, min(high, wide) // 32), ground=ground)


def columns(count: int, aspect: float, per_row: int | None = None) -> int:
    """Number of columns that makes a sheet about square.

    Args:
        count: Number of tiles.
        aspect: Height of a tile by its width.
        per_row: As for `sheet`.

    >>> columns(32, 1.0), columns(80, 1.0, per_row=8), columns(10, 1.0)
    (6, 8, 4)
    """

    def stretch(across: int) -> float:
        return round(abs(math.log(-(-count // across) * aspect / across)), 6)  # 3:4 is as good as 4:3

    best = min(range(1, count + 1), key=lambda across: (stretch(across), -across))
    if per_row is None or per_row in (1, count):
        return best
    whole = [n for n in range(1, count + 1) if per_row % n == 0 or n % per_row == 0]
    aligned = min(whole, key=lambda across: (stretch(across), -across))
    return aligned if stretch(aligned) <= math.log(2) + 0.1 else best


def _factor(images: Float[Tensor, "n c h w"]) -> int:
    """Whole factor by which pictures are enlarged for a sheet."""
    return max(1, math.ceil(_LEAST / max(images.shape[2:])))


def _inked(mask: Float[Tensor, "n h w"], channels: int) -> Float[Tensor, "n c h w"]:
    """Captions in ink on the sheet's ground, as opaque pictures."""
    colour = (_GROUND + (_INK - _GROUND) * mask)[:, None].repeat(1, channels, 1, 1)
    if has_alpha(channels):
        colour[:, -1] = 1.0
    return colour


def _caption(text: str, width: int, height: int) -> Float[Tensor, "h w"]:
    """Ink of a line of text in the middle of a strip, from 0 to 1; what is wider than the strip is cut."""
    font = ImageFont.load_default(height)
    line = Image.new("L", (width, math.ceil(1.4 * height)))
    while font.getlength(text) > width and len(text) > 1:
        text = text.removesuffix("…")[:-1] + "…"
    ImageDraw.Draw(line).text((width // 2, 0), text, fill=255, font=font, anchor="ma")
    return torch.from_numpy(np.array(line)).float() / 255
