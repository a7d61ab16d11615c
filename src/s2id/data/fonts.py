"""Letters and digits of fonts: an outline is a function of place, so the true picture is known at every size.

FreeType (freetype-py) computes the exact area of a pixel that an outline covers, but it rounds points to 1/64 of a
pixel and replaces curves by chords. So a picture is drawn at a multiple of its size, and pixels are averaged.
"""

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
from s2id.data.metadata import csv_rows
from s2id.data.pictures import Group, Pictures
from s2id.data.request import Request
from s2id.data.search import files_below
from s2id.errors import InputError
from s2id.settings import Size

CHARACTERS = tuple(string.digits + string.ascii_uppercase + string.ascii_lowercase)

SIZE = (28, 28)
"""Height and width of the pictures to train on."""

_TALLEST, _WIDEST = 20 / 28, 24 / 28  # share of the frame that ink may fill; MNIST's digits fill 20 of 28 pixels

_FINE = 448  # a picture is drawn at this many pixels a side, or more, before it is averaged
_LEAST = 4  # and at this many drawn pixels per pixel side, or more

_STRIP = 256  # columns that FreeType draws in one call

_NO_LETTERS = (  # fonts that fonts.csv calls complete although they draw symbols or blocks in place of letters
    "jsMath-cmex10.ttf", "jsMath-cmsy10.ttf", "Redacted-Regular.ttf", "RedactedScript-Regular.ttf",
)  # fmt: skip

# families whose outlines the train split also has under another name (PSNR of their pictures 34 dB or more)
_TWINS = (
    "amiri", "archivonarrow", "eater", "nobile", "notoserif", "ntr", "prata", "sortsmillgoudy",
)  # fmt: skip


def read(request: Request) -> Pictures:
    """The characters of all fonts below a folder; about one font family in ten belongs to the test split.

    Raises:
        InputError: The folder holds no usable font, or FreeType is not installed.
    """
    files = [file for file in font_files(request.place) if held_out(file) == (request.split == "test")]
    images, labels, fonts, skipped = pictures(files)
    if not len(images):
        lost = f"; {len(skipped)} cannot be used, the first: {skipped[0].rstrip('.')}" if skipped else ""
        raise InputError(
            f"{request.place} holds no usable font for the {request.split} split{lost}; put more .ttf files there."
        )

    def truth(index: int, size: Size) -> Float[Tensor, "1 h w"]:
        font, character = divmod(index, len(CHARACTERS))
        return raster(fonts[font], CHARACTERS[character], size)[None] * 2 - 1

    return Pictures("glyphs", (Group(images, labels, truth=truth),), CHARACTERS, skipped=skipped)


@dataclass(frozen=True)
class Font:
    """A font's outlines and their place in the frame: every glyph is centred by its ink, all glyphs have one scale."""

    name: str
    """File name of the font."""
    face: Any
    """FreeType's object for the font."""
    boxes: dict[str, tuple[int, int, int, int]]
    """Left, bottom, right and top of each character's ink, in font units."""
    scale: float
    """Length of one font unit, as a fraction of the side of a square frame."""


def open_font(path: Path) -> Font:
    """The font in a file, at the largest scale at which every glyph fits within the frame's margin.

    Raises:
        InputError: The file is no font with outlines, it lacks one of `CHARACTERS`, or FreeType is not installed.
    """
    freetype = _freetype()
    boxes = {}
    try:
        face = freetype.Face(str(path))
        for character in CHARACTERS:
            outline = outline_of(face, character)
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
    """The share of each pixel that a glyph covers, from 0 to 1; pictures of all sizes are means of one function.

    Args:
        font: A font from `open_font`.
        character: One of `CHARACTERS`.
        size: Height and width, in pixels. A picture that is not square shows canvas beyond the frame.

    Raises:
        InputError: The size is empty, or the font has no such character.
    """
    check_size(size)
    if character not in font.boxes:
        raise InputError(f"{character!r} is none of {font.name}'s characters; choose one of {''.join(CHARACTERS)}.")
    left, bottom, right, top = font.boxes[character]
    scale = font.scale
    return covered(font.face, character, (scale, 0.0, 0.0, scale), ((left + right) / 2, (bottom + top) / 2), size)


Matrix = tuple[float, float, float, float]
"""A linear map of font units, y up, to the side of a square frame: xx, xy, yx and yy."""


def covered(
    face: Any,  # noqa: ANN401  (freetype-py is untyped)
    character: str,
    matrix: Matrix,
    middle: tuple[float, float],
    size: Size,
) -> Float[Tensor, "h w"]:
    """The share of each pixel that a character covers, from 0 to 1.

    Args:
        face: FreeType's object for the font.
        character: A character of the font.
        matrix: From font units to the frame.
        middle: Point (x, y) in font units, y up, that comes to lie in the middle of the frame.
        size: Height and width, in pixels. A picture that is not square shows canvas beyond the frame.
    """
    height, width = size
    fine = max(_LEAST, -(-_FINE // min(size)))
    pixels = _drawn(face, character, matrix, middle, (height * fine, width * fine))
    strips = pixels.reshape(height, fine, width * fine).sum(1, dtype=np.uint32)
    cells = strips.reshape(height, width, fine).sum(2, dtype=np.uint32)
    return torch.from_numpy((cells / (255 * fine**2)).astype(np.float32))


def _drawn(
    face: Any,  # noqa: ANN401
    character: str,
    matrix: Matrix,
    middle: tuple[float, float],
    size: Size,
) -> UInt8[np.ndarray, "h w"]:
    """FreeType's picture of a character: the share of each pixel that is covered, as bytes."""
    from freetype import FT_PIXEL_MODE_GRAY, FT_Exception, get_handle, raw

    rows, columns = size
    xx, xy, yx, yy = (64 * min(rows, columns) * a for a in matrix)  # to FreeType's 26.6 fixed-point pixels, y up
    outline = ctypes.byref(outline_of(face, character)._FT_Outline)
    raw.FT_Outline_Transform(outline, ctypes.byref(raw.FT_Matrix(*(round(a * 2**16) for a in (xx, xy, yx, yy)))))
    x, y = middle
    raw.FT_Outline_Translate(outline, round(columns * 32 - xx * x - xy * y), round(rows * 32 - yx * x - yy * y))
    pixels = np.zeros((rows, columns), np.uint8)
    for start in range(0, columns, _STRIP):  # FreeType overflows where one row meets too many cells of a flat edge
        strip = np.zeros((rows, min(_STRIP, columns - start)), np.uint8)
        buffer = strip.ctypes.data_as(ctypes.POINTER(ctypes.c_ubyte))
        bitmap = raw.FT_Bitmap(*strip.shape, strip.shape[1], buffer, num_grays=256, pixel_mode=FT_PIXEL_MODE_GRAY)
        if error := raw.FT_Outline_Get_Bitmap(get_handle(), outline, ctypes.byref(bitmap)):
            raise FT_Exception(error)
        pixels[:, start : start + _STRIP] = strip
        raw.FT_Outline_Translate(outline, -64 * _STRIP, 0)
    return pixels


def font_files(folder: Path) -> list[Path]:
    """The font files of a folder, sorted by name.

    A folder with a list fonts.csv gives only the fonts that the list calls complete and that copy no other font.

    Raises:
        InputError: The folder does not exist, holds no font, or has a list of another form.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give one that holds .ttf or .otf files.")
    roots = [root for root in (folder, folder / "fonts") if (root / "fonts.csv").is_file()]
    if roots:
        files = _listed(roots[0])
    else:
        files = [file for file in files_below(folder) if file.suffix.lower() in (".ttf", ".otf")]
    if not files:
        where = f"{roots[0] / 'fonts.csv'} lists no fonts" if roots else f"{folder} holds no fonts"
        raise InputError(f"{where}; put .ttf or .otf files there.")
    return sorted(files, key=lambda path: path.name)


def held_out(path: Path) -> bool:
    """Whether a font belongs to the test split, as about one in ten does.

    All styles of a family (Family-Style.ttf) belong to the same split.
    """
    family = path.stem.split("-")[0].lower()
    return hashlib.sha256(family.encode("utf-8", "surrogatepass")).digest()[0] % 10 == 0 and family not in _TWINS


def pictures(
    files: Sequence[Path],
) -> tuple[UInt8[Tensor, "n 1 h w"], Int[Tensor, " n"], tuple[Font, ...], tuple[str, ...]]:
    """Pictures of every character of every font, and what they are.

    Args:
        files: The font files.

    Returns:
        Pictures in white on black, their classes, the fonts, and a sentence for each file that cannot be used.
    """
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
    """The font files that a folder's fonts.csv lists as usable."""
    refusal = (
        "is no list of fonts; it needs the columns file, missing_chars and identical_to. Without the list every font "
        "is used."
    )
    listed = csv_rows(folder / "fonts.csv", ("file", "missing_chars", "identical_to"), refusal)
    rows = [row for _, row in listed]
    usable = (row["file"] for row in rows if not row["missing_chars"] and not row["identical_to"])
    return [folder / "ttf" / name for name in usable if name not in _NO_LETTERS]


def outline_of(face: Any, character: str) -> Any:  # noqa: ANN401  (freetype-py is untyped)
    """Outline of a character in font units, without hinting."""
    from freetype import FT_LOAD_NO_BITMAP, FT_LOAD_NO_HINTING, FT_LOAD_NO_SCALE

    face.load_char(character, FT_LOAD_NO_SCALE | FT_LOAD_NO_HINTING | FT_LOAD_NO_BITMAP)
    return face.glyph.outline


def _freetype() -> Any:  # noqa: ANN401
    """The module freetype, which is an optional dependency."""
    try:
        import freetype
    except ImportError as error:
        raise InputError("glyphs need FreeType; pip install 's2id[glyphs]' brings it.") from error
    return freetype
