"""Drawing SVG files of any origin: each is drawn by another process (`data.svg_process`), which may be lost over it."""

import io
from importlib.util import find_spec

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from s2id.data.svg_process import MOST_BYTES, SIDE
from s2id.errors import InputError, LostError, SlowError
from s2id.guarded import Guarded

SECONDS = 5
"""Time of the processor that one drawing may take; a large one may take four seconds more per megapixel."""

_PATIENCE = 2
"""How many times as long a drawing may take when it is tried again, because a busy processor draws more slowly."""

MEGABYTES = 512
"""Memory that one drawing may take; a large one may take as much more as 16 of its layers."""


def installed() -> bool:
    """Whether resvg, which the other process needs, is installed."""
    return find_spec("resvg_py") is not None


def draw(content: bytes, name: str, side: int) -> UInt8[np.ndarray, "h w 4"]:
    """The picture that an SVG file shows, as large as fits into a square of `side` pixels: RGBA, premultiplied.

    Args:
        content: The file, perhaps compressed by gzip.
        name: Name of the file for messages.
        side: Side of the square, in pixels.

    Raises:
        InputError: The file cannot be drawn, within the limits and by itself; or resvg is not installed.
        LostError: It takes too long by the clock, or there is no process to draw it: another time it may be drawn.
    """
    if not installed():
        raise InputError("SVG needs resvg; pip install 's2id[vectors]' brings it.")
    try:
        if len(content) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES} bytes")
        megapixels = side**2 // 2**20
        seconds, megabytes = SECONDS + 4 * megapixels, MEGABYTES + 64 * megapixels
        asked = SIDE.pack(side) + content
        try:
            drawn = _DRAWER.ask(asked, seconds, megabytes)
        except SlowError:  # what is slow twice is so by itself, and no LostError
            drawn = _DRAWER.ask(asked, _PATIENCE * seconds, megabytes)
        with Image.open(io.BytesIO(drawn), formats=["PNG"]) as image:
            return np.array(image.convert("RGBA").convert("RGBa"))
    except (OSError, ValueError) as error:
        kind = LostError if isinstance(error, LostError | OSError) else InputError
        raise kind(f"{name} cannot be drawn as SVG ({error}); replace or remove it.") from error


_DRAWER = Guarded("s2id.data.svg_process", "drawing")
