"""Emoji of the Noto set: an SVG is a function of place, so the true colour picture is known at every size.

resvg (resvg-py) knows to a few bits how much of a pixel a shape covers, and leaves a seam where two shapes touch. So a
picture is drawn at a multiple of its size, and pixels are averaged. The background is white.
"""

import hashlib
import re
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from s2id.condition import Condition
from s2id.coords import check_size
from s2id.data.assembly import unread
from s2id.data.cache import store
from s2id.data.metadata import csv_rows
from s2id.data.pictures import Group, Pictures
from s2id.data.request import Request
from s2id.data.svg import draw
from s2id.data.table import Table
from s2id.errors import InputError
from s2id.images import resize, to_bytes, to_float
from s2id.settings import Size
from s2id.shapes import NULL

SIDE = 32
"""Height and width of the pictures to train on, if no long side is given."""

SKIN_TONES = {
    0x1F3FB: "light skin", 0x1F3FC: "medium-light skin", 0x1F3FD: "medium skin", 0x1F3FE: "medium-dark skin",
    0x1F3FF: "dark skin",
}  # fmt: skip

_FINE = 256  # a picture is drawn at this many pixels a side, or more, before it is averaged
_LEAST = 4  # and at this many drawn pixels per pixel side, or more

_STEM = re.compile(r"emoji_u([0-9a-f]+(?:_[0-9a-f]+)*)$")

_JOINER, _VARIATION, _RIGHTWARDS = 0x200D, 0xFE0F, 0x27A1

# code points in which variants of one emoji differ; the last two are the female and the male sign
_VARIES = {*SKIN_TONES, _JOINER, _VARIATION, 0x2640, 0x2642}

# man and woman count as person, boy and girl as child
_ALIKE = {0x1F468: 0x1F9D1, 0x1F469: 0x1F9D1, 0x1F466: 0x1F9D2, 0x1F467: 0x1F9D2}

# family and couple: the train split has sequences of code points that are drawn the same
_TWINS = {(0x1F46A,), (0x1F491,)}


def read(request: Request) -> Pictures:
    """The emoji below a folder, drawn at the long side; about one base emoji in ten belongs to the test split.

    Raises:
        InputError: The folder holds no usable emoji, or resvg is not installed.
    """
    files, table = find(request.place)
    # both splits are cached together, because a folder has one file in the cache
    kept = store(files[0].parent, files, request.long_side or SIDE, request.workers, decode)
    rows = [row for group in kept.groups for row in group.index.tolist()]
    chosen = [i for i, row in enumerate(rows) if held_out(files[row]) == (request.split == "test")]
    if not chosen:
        raise InputError(
            f"{request.place} holds no usable emoji for the {request.split} split{unread(kept.skipped)}; put more of "
            "Noto's svg/ there."
        )
    paths = [files[rows[i]] for i in chosen]
    known = table.known[torch.tensor([rows[i] for i in chosen])]
    group = Group(
        kept.groups[0].images[torch.tensor(chosen)],
        known.label,
        known.attributes,
        truth=lambda index, size: raster(paths[index], size),
    )
    return Pictures("emoji", (group,), table.classes, table.attributes, skipped=kept.skipped)


def raster(path: Path, size: Size) -> Float[Tensor, "3 h w"]:
    """An emoji on white, with values in [-1, 1]; pictures of all sizes are means of one function.

    Args:
        path: The SVG file.
        size: Height and width, in pixels. A picture that is not square shows canvas beyond the frame.

    Raises:
        InputError: The size is empty, the file is no SVG, or resvg is not installed.
    """
    check_size(size)
    fine = max(_LEAST, -(-_FINE // min(size)))
    drawn = draw(path, min(size) * fine)
    canvas = np.full((size[0] * fine, size[1] * fine, 3), 255, np.uint8)
    top, left = (canvas.shape[0] - drawn.shape[0]) // 2, (canvas.shape[1] - drawn.shape[1]) // 2
    canvas[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    return resize(to_float(torch.from_numpy(canvas).permute(2, 0, 1)), size)


def decode(source: Path, name: str, long_side: int | None) -> UInt8[Tensor, "3 h w"]:
    """A square picture to train on, of `long_side` pixels a side (by default `SIDE`), in bytes.

    Raises:
        InputError: The file is no SVG, or resvg is not installed.
    """
    side = long_side or SIDE
    return to_bytes(raster(source, (side, side)))


def find(folder: Path) -> tuple[list[Path], Table]:
    """The SVG files of a folder, sorted by name, and their labels.

    Classes are Unicode's subgroups, such as "face-smiling". Attributes are Unicode's groups, such as "Food & Drink",
    and skin tones. Both come from labels.csv; a variant that it does not list takes the labels of its base. Without
    labels.csv there are no classes.

    Args:
        folder: Folder with Noto's emoji_u*.svg in itself, in svg/ or in noto-emoji/svg/, and labels.csv beside svg/.

    Raises:
        InputError: The folder does not exist, holds no emoji, or its labels.csv has another form.
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
    known = {} if listed is None else _listed(listed)
    of_base = {base(Path(name)): words for name, words in sorted(known.items(), reverse=True)}
    words = [known.get(file.stem) or of_base.get(base(file)) for file in files]
    groups, classes = (tuple(sorted({pair[i] for pair in known.values()})) for i in (0, 1))
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
    """Code points that all variants of an emoji share, without skin tone, gender and direction.

    >>> [f"{point:x}" for point in base(Path("emoji_u1f44b_1f3fb.svg"))]  # waving hand, light skin
    ['1f44b']
    """
    points = _code_points(path)
    if points[-2:] == (_JOINER, _RIGHTWARDS):
        points = points[:-2]
    kept = tuple(_ALIKE.get(point, point) for point in points if point not in _VARIES)
    return kept or points


def held_out(path: Path) -> bool:
    """Whether an emoji belongs to the test split, as about one base in ten does with all its variants."""
    points = base(path)
    return hashlib.sha256(" ".join(f"{p:x}" for p in points).encode()).digest()[0] % 10 == 0 and points not in _TWINS


def _emoji_of(folder: Path) -> list[Path]:
    """SVG files of emoji in a folder."""
    return sorted(path for path in folder.glob("emoji_u*.svg") if _STEM.match(path.stem) and path.is_file())


def _code_points(path: Path) -> tuple[int, ...]:
    """Code points in the name of an emoji's file."""
    found = _STEM.match(path.stem)
    return tuple(int(point, 16) for point in found[1].split("_")) if found else ()


def _listed(path: Path) -> dict[str, tuple[str, str]]:
    """Group and subgroup of each file in labels.csv that has both."""
    refusal = (
        "is no list of emoji; it needs the columns file, group and subgroup. Without the list there are no classes."
    )
    rows = csv_rows(path, ("file", "group", "subgroup"), refusal)
    return {row["file"]: (row["group"], row["subgroup"]) for _, row in rows if row["subgroup"]}
