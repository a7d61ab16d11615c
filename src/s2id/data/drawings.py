"""Pictures of SVG drawings: a drawing is a function of place, so the true picture is known at every size.

resvg (resvg-py) knows to a few bits how much of a pixel a shape covers, and leaves a seam where two shapes touch. So a
drawing is drawn at a multiple of its size, and pixels are averaged. What is not drawn on is transparent.
"""

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from s2id.coords import check_size
from s2id.data.decoding import picture
from s2id.data.svg import draw
from s2id.data.svg_process import MOST_BYTES
from s2id.errors import InputError
from s2id.media.alpha import has_alpha, over
from s2id.media.images import to_bytes
from s2id.settings import Alpha, Size

ENDINGS = (".svg", ".svgz")

SIDE = 64
"""Long side of pictures to train on, in pixels, if none is given."""

_FINE = 256  # a drawing is drawn at this many pixels along its long side, or more, before pixels are averaged

_LEAST, _LEAST_LARGE, _LARGE = 4, 2, 512  # and at this many drawn pixels per pixel side, or more; at this side and more


def raster(content: bytes, name: str, size: Size, frame: Size = (1, 1)) -> Float[Tensor, "4 h w"]:
    """A drawing in the middle of a frame, RGBA, premultiplied, in [-1, 1]; pictures of all sizes show one function.

    Args:
        content: The SVG file.
        name: Name of the file for messages.
        size: Height and width, in pixels. A picture of another aspect than the frame shows canvas beyond it.
        frame: Height and width of the frame, in any unit. Its longer side is the drawing's longer side.

    Raises:
        InputError: The size is empty, the file cannot be drawn, or resvg is not installed.
    """
    check_size(size)
    unit = min(pixels / side for pixels, side in zip(size, frame, strict=True))
    long = max(frame) * unit
    fine = _finer(max(1, round(long)))
    return _averaged(draw(content, name, max(1, round(long * fine))), size, fine)


def decode(source: Path | BytesIO, name: str, long_side: int | None) -> UInt8[Tensor, "c h w"]:
    """The decoder of SVG, and of ordinary picture files beside it: a picture in bytes, premultiplied.

    A drawing is drawn at the long side (by default `SIDE`) in its own aspect; it has alpha unless it is opaque, and
    colours unless it is grey. Other files are read as `decoding.picture` reads them.

    Raises:
        InputError: The file cannot be drawn or read, draws nothing, or resvg is not installed.
    """
    if isinstance(source, Path) and source.suffix.lower() not in ENDINGS:
        return picture(source, name, long_side)
    side = long_side or SIDE
    fine = _finer(side)
    drawn = draw(content_of(source), name, side * fine)
    height, width = (side - 2 * round((side - pixels / fine) / 2) for pixels in drawn.shape[:2])
    pixels = to_bytes(_averaged(drawn, (max(1, height), max(1, width)), fine))
    if not pixels[3].any():
        raise InputError(f"{name} draws nothing; replace or remove it.")
    shown = pixels[[0, 3]] if bool((pixels[:1] == pixels[1:3]).all()) else pixels
    return shown[:-1] if bool((pixels[3] == 255).all()) else shown


def content_of(source: Path | BytesIO) -> bytes:
    """The content of an SVG file, of one that is too large only its beginning."""
    if isinstance(source, BytesIO):
        return source.getvalue()
    with source.open("rb") as file:
        return file.read(MOST_BYTES + 1)


Drawing = Callable[[int], tuple[bytes, str]]
"""Function from the number of a drawing to its SVG file and the file's name for messages."""


def truth(
    drawing: Drawing, index: Sequence[int], frame: Size, channels: int, alpha: Alpha
) -> Callable[[int, Size], Float[Tensor, "c h w"]]:
    """Function (number of a picture, size) -> the picture at any size, for pictures of one frame.

    Args:
        drawing: The drawings.
        index: Number of the drawing that each picture shows.
        frame: Height and width of the pictures.
        channels: Channels of the pictures.
        alpha: What became of transparency in them.
    """
    colours = channels - has_alpha(channels)

    def at_size(picture: int, size: Size) -> Float[Tensor, "c h w"]:
        shown = raster(*drawing(index[picture]), size, frame)
        if alpha != "keep":
            return over(shown, alpha)[:colours]
        return torch.cat([shown[:colours], shown[3:]])

    return at_size


def _finer(long: int) -> int:
    """Drawn pixels per side of a pixel, for a picture of so many pixels along the long side of the drawing."""
    return max(-(-_FINE // long), _LEAST if long < _LARGE else _LEAST_LARGE)


def _averaged(drawn: UInt8[np.ndarray, "h w 4"], size: Size, fine: int) -> Float[Tensor, "4 h2 w2"]:
    """What was drawn, in the middle of a transparent canvas, and the means of its squares of `fine` x `fine` pixels."""
    canvas = np.zeros((size[0] * fine, size[1] * fine, 4), np.uint8)
    # centred alike in canvases that differ by an even number of pixels, so that pictures of a frame are those stored
    starts = [(whole - part) // 2 for whole, part in zip(canvas.shape[:2], drawn.shape[:2], strict=True)]
    part = drawn[max(0, -starts[0]) :, max(0, -starts[1]) :][: canvas.shape[0], : canvas.shape[1]]
    top, left = (max(0, start) for start in starts)
    canvas[top : top + part.shape[0], left : left + part.shape[1]] = part
    values = torch.from_numpy(canvas).permute(2, 0, 1).float()
    return nn.functional.avg_pool2d(values[None], fine)[0] / 127.5 - 1
