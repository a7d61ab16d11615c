"""Emoji of the Noto set: colour pictures whose truth is known at any size, because an SVG is a function too.

resvg rasterises (resvg-py, a wheel of its own everywhere). It knows a pixel's share of a shape to a few bits and leaves
a seam where shapes touch, so a picture is drawn at a multiple of its size and averaged. The ground is white: colours
beside an alpha have no means over area, and no viewer shows an emoji without a ground.
"""

import csv
import hashlib
import io
import re
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from s2id.condition import Condition
from s2id.coords import check_size
from s2id.data.metadata import Table
from s2id.errors import InputError
from s2id.images import resize, to_bytes, to_float
from s2id.settings import Size
from s2id.shapes import NULL

SIDE = 32
"""Of the pictures to train on, unless told otherwise."""

SKIN_TONES = {
    0x1F3FB: "light skin", 0x1F3FC: "medium-light skin", 0x1F3FD: "medium skin", 0x1F3FE: "medium-dark skin",
    0x1F3FF: "dark skin",
}  # fmt: skip

_FINE, _LEAST = 256, 4  # pixels drawn per side, and per pixel side, at least

_STEM = re.compile(r"emoji_u([0-9a-f]+(?:_[0-9a-f]+)*)$")

_JOINER, _VARIATION, _RIGHTWARDS = 0x200D, 0xFE0F, 0x27A1

_VARIES = {*SKIN_TONES, _JOINER, _VARIATION, 0x2640, 0x2642}  # the last two are woman's and man's sign

# man and woman are persons, boy and girl children
_ALIKE = {0x1F468: 0x1F9D1, 0x1F469: 0x1F9D1, 0x1F466: 0x1F9D2, 0x1F467: 0x1F9D2}

_TWINS = {(0x1F46A,), (0x1F491,)}  # family, couple: would be held out, but sequences to train on are drawn the same


def raster(path: Path, size: Size) -> Float[Tensor, "3 h w"]:
    """An emoji on white, in [-1, 1]; pictures of all sizes are means of one function.

    Args:
        path: The SVG file.
        size: Height and width, in pixels; other than square it shows canvas beyond the frame.

    Raises:
        InputError: The size is empty, the file is no SVG, or resvg is missing.
    """
    check_size(size)
    fine = max(_LEAST, -(-_FINE // min(size)))
    drawn = _drawn(path, min(size) * fine)
    canvas = np.full((size[0] * fine, size[1] * fine, 3), 255, np.uint8)
    top, left = (canvas.shape[0] - drawn.shape[0]) // 2, (canvas.shape[1] - drawn.shape[1]) // 2
    canvas[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    return resize(to_float(torch.from_numpy(canvas).permute(2, 0, 1)), size)


def read(source: Path, name: str, long_side: int | None) -> UInt8[Tensor, "3 h w"]:
    """A square picture in bytes, as it is trained on; `name` is the path's own.

    Raises:
        InputError: The file is no SVG, or resvg is missing.
    """
    side = long_side or SIDE
    return to_bytes(raster(source, (side, side)))


def find(folder: Path) -> tuple[list[Path], Table]:
    """The emoji of a folder, by name, and what labels.csv and their code points say of them.

    A class is a subgroup of Unicode's, such as "face-smiling"; attributes are its groups, such as "Food & Drink", and
    skin tones. A variant of which the list says nothing is what its base is; without the list there are no classes.

    Args:
        folder: Holds Noto's emoji_u*.svg, in svg/ or noto-emoji/svg/ or itself, and labels.csv beside svg/.

    Raises:
        InputError: There is no folder, no emoji in it, or its list is not what it should be.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give one that holds Noto's emoji_u*.svg.")
    roots = (folder, folder / "svg", folder / "noto-emoji" / "svg")
    files = next((found for root in roots if (found := _emoji_of(root))), None)
    if files is None:
        raise InputError(
            f"{folder} holds no emoji; put the folder svg/ of github.com/googlefonts/noto-emoji there "
            "(files such as emoji_u1f600.svg)."
        )
    beside = (files[0].parent / "labels.csv", files[0].parent.parent / "labels.csv")
    listed = next((path for path in beside if path.is_file()), None)
    said = {} if listed is None else _listed(listed)
    of_base = {base(Path(name)): words for name, words in sorted(said.items(), reverse=True)}
    words = [said.get(file.stem) or of_base.get(base(file)) for file in files]
    groups, classes = (tuple(sorted({pair[i] for pair in said.values()})) for i in (0, 1))
    label = torch.tensor([classes.index(pair[1]) if pair else NULL for pair in words], dtype=torch.long)
    attributes = torch.tensor(
        [
            [(1 if pair[0] == group else -1) if pair else 0 for group in groups]
            + [1 if tone in _code_points(file) else -1 for tone in SKIN_TONES]
            for file, pair in zip(files, words, strict=True)
        ]
    )
    names = tuple(str(file) for file in files)
    return files, Table(names, Condition(label, attributes), classes, (*groups, *SKIN_TONES.values()))


def base(path: Path) -> tuple[int, ...]:
    """What an emoji's variants have in common: its code points without skin tone, gender, age and direction."""
    points = _code_points(path)
    if points[-2:] == (_JOINER, _RIGHTWARDS):
        points = points[:-2]
    kept = tuple(_ALIKE.get(point, point) for point in points if point not in _VARIES)
    return kept or points


def held_out(path: Path) -> bool:
    """Whether an emoji is kept for tests, about one base in ten; all variants of a base stay together."""
    points = base(path)
    return hashlib.sha256(" ".join(f"{p:x}" for p in points).encode()).digest()[0] % 10 == 0 and points not in _TWINS


def _emoji_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("emoji_u*.svg") if _STEM.match(path.stem) and path.is_file())


def _code_points(path: Path) -> tuple[int, ...]:
    found = _STEM.match(path.stem)
    return tuple(int(point, 16) for point in found[1].split("_")) if found else ()


def _listed(path: Path) -> dict[str, tuple[str, str]]:
    """Group and subgroup of each file that labels.csv knows them of."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return {row["file"]: (row["group"], row["subgroup"]) for row in csv.DictReader(file) if row["subgroup"]}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise InputError(
            f"{path} is no list of emoji ({error!r}); it needs the columns file, group and subgroup. Without the list "
            "there are no classes."
        ) from error


def _drawn(path: Path, side: int) -> UInt8[np.ndarray, "h w 3"]:
    """What resvg makes of a file, as large as fits into a square."""
    try:
        from resvg_py import svg_to_bytes
    except ImportError as error:
        raise InputError("emoji need resvg; pip install 's2id[emoji]' brings it.") from error
    try:
        png = svg_to_bytes(svg_path=str(path), width=side, height=side, background="white", skip_system_fonts=True)
        with Image.open(io.BytesIO(png)) as image:
            return np.array(image.convert("RGB"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be drawn as SVG ({error}); replace or remove it.") from error
