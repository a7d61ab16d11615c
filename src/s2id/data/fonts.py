"""Letters and digits of fonts: pictures whose truth is known at any size, because an outline is a function too.

FreeType rasterises: well kept, exact in area, a wheel of its own everywhere (freetype-py). Its points lie on 1/64 of
a pixel and its curves become chords, so a picture is drawn at a multiple of its size and averaged.
"""

import csv
import ctypes
import hashlib
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from s2id.coords import check_size
from s2id.errors import InputError
from s2id.settings import Size

CHARACTERS = tuple(string.digits + string.ascii_uppercase + string.ascii_lowercase)

SIZE = (28, 28)
"""Of the pictures to train on."""

_TALLEST, _WIDEST = 20 / 28, 24 / 28  # MNIST's digits, too, fill 20 of 28 pixels

_FINE, _LEAST = 448, 4  # pixels drawn per side, and per pixel side, at least

_STRIP = 256  # columns drawn at once

_NO_LETTERS = (  # of the fonts a list calls complete; their codes hold symbols or blocks
    "jsMath-cmex10.ttf", "jsMath-cmsy10.ttf", "Redacted-Regular.ttf", "RedactedScript-Regular.ttf",
)  # fmt: skip

_TWINS = (  # would be held out, but fonts to train on have the same outlines under another name (34 dB and more)
    "amiri", "archivonarrow", "eater", "nobile", "notoserif", "ntr", "prata", "sortsmillgoudy",
)  # fmt: skip


@dataclass(frozen=True)
class Font:
    """A font's outlines and their place in the frame: each glyph centred by its ink, all at one scale."""

    name: str
    face: Any
    """FreeType's."""
    boxes: dict[str, tuple[int, int, int, int]]
    """Left, bottom, right, top of each character's ink, in font units."""
    scale: float
    """Sides of a square frame per font unit."""


def open_font(path: Path) -> Font:
    """The font in a file, scaled so that its tallest glyph, or else its widest, just keeps the frame's margin.

    Raises:
        InputError: The file is no font with outlines, or lacks one of the characters; or FreeType is missing.
    """
    freetype = _freetype()
    boxes = {}
    try:
        face = freetype.Face(str(path))
        for character in CHARACTERS:
            outline = _outline(face, character)
            if face.get_char_index(character) and outline.n_points:
                box = outline.get_bbox()
                boxes[character] = (box.xMin, box.yMin, box.xMax, box.yMax)
    except freetype.FT_Exception as error:
        raise InputError(f"{path} cannot be read as a font ({error}); replace or remove it.") from error
    if lacking := "".join(c for c in CHARACTERS if c not in boxes):
        raise InputError(f"{path} draws nothing for {lacking}; a font needs all of 0-9, A-Z and a-z.")
    tallest = max(top - bottom for _, bottom, _, top in boxes.values())
    widest = max(right - left for left, _, right, _ in boxes.values())
    if not tallest or not widest:
        raise InputError(f"{path} draws nothing for any character; replace or remove it.")
    return Font(path.name, face, boxes, min(_TALLEST / tallest, _WIDEST / widest))


def raster(font: Font, character: str, size: Size) -> Float[Tensor, "h w"]:
    """The share of each pixel that a glyph covers, 0 to 1; pictures of all sizes are means of one function.

    Args:
        font: From `open_font`.
        character: One of `CHARACTERS`.
        size: Height and width, in pixels; other than square it shows canvas beyond the frame.

    Raises:
        InputError: The size is empty or the character is none of the font's.
    """
    check_size(size)
    if character not in font.boxes:
        raise InputError(f"{character!r} is none of {font.name}'s characters; choose one of {''.join(CHARACTERS)}.")
    from freetype import FT_PIXEL_MODE_GRAY, FT_Exception, get_handle, raw

    height, width = size
    fine = max(_LEAST, -(-_FINE // min(size)))
    rows, columns = height * fine, width * fine
    left, bottom, right, top = font.boxes[character]
    per_unit = font.scale * min(rows, columns) * 64  # FreeType's 26.6 fixed-point pixels, y up
    outline = ctypes.byref(_outline(font.face, character)._FT_Outline)
    diagonal = round(per_unit * 2**16)
    raw.FT_Outline_Transform(outline, ctypes.byref(raw.FT_Matrix(diagonal, 0, 0, diagonal)))
    raw.FT_Outline_Translate(
        outline, round(columns * 32 - per_unit * (left + right) / 2), round(rows * 32 - per_unit * (bottom + top) / 2)
    )
    pixels = np.zeros((rows, columns), np.uint8)
    for start in range(0, columns, _STRIP):  # FreeType overflows where one row meets too many cells of a flat edge
        strip = np.zeros((rows, min(_STRIP, columns - start)), np.uint8)
        buffer = strip.ctypes.data_as(ctypes.POINTER(ctypes.c_ubyte))
        bitmap = raw.FT_Bitmap(*strip.shape, strip.shape[1], buffer, num_grays=256, pixel_mode=FT_PIXEL_MODE_GRAY)
        if error := raw.FT_Outline_Get_Bitmap(get_handle(), outline, ctypes.byref(bitmap)):
            raise FT_Exception(error)
        pixels[:, start : start + _STRIP] = strip
        raw.FT_Outline_Translate(outline, -64 * _STRIP, 0)
    strips = pixels.reshape(height, fine, columns).sum(1, dtype=np.uint32)
    cells = strips.reshape(height, width, fine).sum(2, dtype=np.uint32)
    return torch.from_numpy((cells / (255 * fine**2)).astype(np.float32))


def font_files(folder: Path) -> list[Path]:
    """The fonts of a folder, by name; where it has a fonts.csv, only those that are complete and no copies.

    Raises:
        InputError: There is no folder, no font in it, or its list is not what it should be.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give one that holds .ttf or .otf files.")
    roots = [root for root in (folder, folder / "fonts") if (root / "fonts.csv").is_file()]
    if roots:
        files = _listed(roots[0])
    else:
        files = [p for p in folder.rglob("*") if p.suffix.lower() in (".ttf", ".otf") and p.is_file()]
    if not files:
        raise InputError(f"{folder} holds no fonts; put .ttf or .otf files there.")
    return sorted(files, key=lambda path: path.name)


def held_out(path: Path) -> bool:
    """Whether a font is kept for tests, about one in ten; a family's styles (Family-Style.ttf) stay together."""
    family = path.stem.split("-")[0].lower()
    return hashlib.sha256(family.encode()).digest()[0] % 10 == 0 and family not in _TWINS


def pictures(
    files: Sequence[Path],
) -> tuple[UInt8[Tensor, "n 1 h w"], Int[Tensor, " n"], tuple[Font, ...], tuple[str, ...]]:
    """Every character of every font in bytes, white on black, with its label; the fonts; and those skipped, and why."""
    images: list[Tensor] = []
    fonts: list[Font] = []
    skipped: list[str] = []
    for file in files:
        try:
            font = open_font(file)
        except InputError as error:
            skipped.append(str(error))
            continue
        fonts.append(font)
        images += [(raster(font, c, SIZE) * 255).round().to(torch.uint8)[None] for c in CHARACTERS]
    labels = torch.arange(len(images)) % len(CHARACTERS)
    stacked = torch.stack(images) if images else torch.empty((0, 1, *SIZE), dtype=torch.uint8)
    return stacked, labels, tuple(fonts), tuple(skipped)


def _listed(folder: Path) -> list[Path]:
    """The files that fonts.csv lists as usable."""
    try:
        with open(folder / "fonts.csv", newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if not row["missing_chars"] and not row["identical_to"]]
        return [folder / "ttf" / row["file"] for row in rows if row["file"] not in _NO_LETTERS]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise InputError(
            f"{folder / 'fonts.csv'} is no list of fonts ({error!r}); it needs the columns file, missing_chars and "
            "identical_to. Without the list every font is used."
        ) from error


def _outline(face: Any, character: str) -> Any:  # noqa: ANN401  (freetype-py is untyped)
    """A glyph in font units, unhinted."""
    from freetype import FT_LOAD_NO_BITMAP, FT_LOAD_NO_HINTING, FT_LOAD_NO_SCALE

    face.load_char(character, FT_LOAD_NO_SCALE | FT_LOAD_NO_HINTING | FT_LOAD_NO_BITMAP)
    return face.glyph.outline


def _freetype() -> Any:  # noqa: ANN401
    try:
        import freetype
    except ImportError as error:
        raise InputError("glyphs need FreeType; pip install 's2id[glyphs]' brings it.") from error
    return freetype
