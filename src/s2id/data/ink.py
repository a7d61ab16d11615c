"""Digits of fonts, drawn and framed as the handwritten ones of MNIST are: ink whose true edges are known at any size.

Each outline is slanted, turned and stretched a little, its ink fills a box of 20 pixels in a frame of 28, and its
centre of mass lies in the middle (LeCun et al. 1998, section III.A). Digits that no pen would draw are left out.
"""

import ctypes
import hashlib
import math
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from s2id.data.fonts import Font, Matrix, covered, font_files, held_out, open_font, outline_of
from s2id.data.pictures import Group, Pictures
from s2id.data.request import Request
from s2id.errors import InputError
from s2id.media.images import to_bytes
from s2id.settings import Size

SIDE = 28
"""Height and width of the pictures if no long side is given."""

_BOX = 20 / 28  # share of the frame that the longer side of the ink fills

_STROKE = (1.4, 4.3)  # least and most mean width of a stroke, in pixels of 28: those of 98 % of the digits of MNIST

_SLANT, _TURN, _STRETCH = 0.25, 0.15, 0.2  # standard deviations: shear, radians, and logarithm of height over width

_PLACED = 56  # pixels a side of the picture whose centre of mass is measured


@dataclass(frozen=True)
class Drawn:
    """A digit of a font, and its place in the frame."""

    face: Any
    """FreeType's object for the font."""
    character: str
    matrix: Matrix
    """From font units to the frame."""
    middle: tuple[float, float]
    """Point in font units that lies in the middle of the frame."""

    def raster(self, size: Size) -> Float[Tensor, "h w"]:
        """The share of each pixel that ink covers, from 0 to 1; pictures of all sizes are means of one function."""
        return covered(self.face, self.character, self.matrix, self.middle, size)


def read(request: Request) -> Pictures:
    """The digits of all fonts below a folder; about one font family in ten belongs to the test split.

    Raises:
        InputError: The folder holds no usable font, or FreeType is not installed.
    """
    side = request.long_side or SIDE
    drawn: list[Drawn] = []
    skipped: list[str] = []
    for path in font_files(request.place):
        if held_out(path) != (request.split == "test"):
            continue
        try:
            drawn += digits(open_font(path))
        except InputError as error:
            skipped.append(str(error))
    if not drawn:
        lost = f"; the first that cannot be used: {skipped[0].rstrip('.')}" if skipped else ""
        raise InputError(
            f"{request.place} holds no font whose digits are like a pen's for the {request.split} split{lost}; put "
            "more .ttf files there."
        )

    def truth(index: int, size: Size) -> Float[Tensor, "1 h w"]:
        return drawn[index].raster(size)[None] * 2 - 1

    images = torch.stack([to_bytes(truth(index, (side, side))) for index in range(len(drawn))])
    labels = torch.tensor([int(one.character) for one in drawn])
    return Pictures("ink", (Group(images, labels, truth=truth),), tuple(string.digits), skipped=tuple(skipped))


def digits(font: Font) -> Iterator[Drawn]:
    """The digits of a font whose strokes are as wide as a pen's. Each has a slant, turn and stretch of its own."""
    for character in string.digits:
        seed = hashlib.sha256(f"{font.name} {character}".encode("utf-8", "surrogatepass")).digest()
        drawn = placed(font, character, np.random.default_rng(list(seed)))
        if _STROKE[0] <= stroke(drawn.raster((SIDE, SIDE))) <= _STROKE[1]:
            yield drawn


def placed(font: Font, character: str, random: np.random.Generator) -> Drawn:
    """A character with a random slant, turn and stretch, in the place and at the scale of MNIST's digits."""
    slant, turn, stretch = random.normal(size=3) * (_SLANT, _TURN, _STRETCH)
    tall = math.exp(stretch / 2)
    cos, sin = math.cos(turn), math.sin(turn)
    # turned, after it was slanted, after it was stretched
    matrix = (cos / tall, tall * (cos * slant - sin), sin / tall, tall * (sin * slant + cos))
    xmin, ymin, xmax, ymax = _box(font.face, character, matrix)
    scale = _BOX / max(xmax - xmin, ymax - ymin)
    inverse = np.linalg.inv(np.reshape(matrix, (2, 2)))
    middle = inverse @ ((xmin + xmax) / 2, (ymin + ymax) / 2)
    matrix = (scale * matrix[0], scale * matrix[1], scale * matrix[2], scale * matrix[3])
    ink = covered(font.face, character, matrix, tuple(middle), (_PLACED, _PLACED))
    place = (torch.arange(_PLACED) + 0.5) / _PLACED - 0.5
    right, down = ((ink.sum(axis) * place).sum() / ink.sum() for axis in (0, 1))
    middle = middle + inverse @ (right.item(), -down.item()) / scale
    return Drawn(font.face, character, matrix, (float(middle[0]), float(middle[1])))


def stroke(ink: Float[Tensor, "h w"]) -> float:
    """Mean width of strokes in pixels: the area of the ink over half of the length of its outline.

    Example:
        >>> bar = torch.zeros(28, 28)
        >>> bar[4:24, 12:15] = 1
        >>> round(stroke(bar), 1)
        2.6
    """
    down, right = ink.diff(dim=0)[:, :-1], ink.diff(dim=1)[:-1]
    return (2 * ink.sum() / torch.hypot(down, right).sum()).item()


def _box(face: Any, character: str, matrix: Matrix) -> tuple[float, float, float, float]:  # noqa: ANN401
    """Left, bottom, right and top of a character's ink after a linear map, in font units."""
    from freetype import raw

    outline, fine = outline_of(face, character), 64  # the outline's points are whole numbers
    raw.FT_Outline_Transform(
        ctypes.byref(outline._FT_Outline), ctypes.byref(raw.FT_Matrix(*(round(fine * a * 2**16) for a in matrix)))
    )
    box = outline.get_bbox()
    return box.xMin / fine, box.yMin / fine, box.xMax / fine, box.yMax / fine
