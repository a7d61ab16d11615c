"""Pictures of 16 bits for each channel. Pillow keeps 8 of them, so OpenCV reads these, where it is installed."""

import re
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import ExifTags, Image
from torch import Tensor

from s2id.media.alpha import premultiply
from s2id.media.formats import opened
from s2id.media.images import read, to_float

_STORED = re.compile(r"(I|LA|RGB|RGBA);16[BLN]?")
"""How Pillow names channels of 16 bits in a file, colours not premultiplied."""

_PHOTOMETRIC = 262
"""TIFF 6.0: 0 if the largest value is black."""


def read_exactly(path: Path) -> tuple[Float[Tensor, "c h w"], int]:
    """The picture in [-1, 1], premultiplied and upright, and how many bits of each channel were read: 8 or 16.

    Args:
        path: The file. All 16 bits are read of PNG and TIFF files, if OpenCV is installed.

    Raises:
        InputError: The file is no readable picture.
    """
    picture = to_float(read(path))  # first, because OpenCV says nothing of what is wrong with a file
    exact = _read_deep(path, len(picture)) if is_deep(path) else None
    return (picture, 8) if exact is None else (exact, 16)


def is_deep(path: Path) -> bool:
    """Whether a file has 16 bits for each channel."""
    with opened(path) as image:
        return image.mode.startswith("I;16") or "16" in _stored(image)


def _read_deep(path: Path, channels: int) -> Float[Tensor, "c h w"] | None:
    """The picture from all 16 bits, `None` if it is stored in a way that is not read here."""
    try:
        import cv2
    except ImportError:
        return None
    with opened(path) as image:
        stored = _stored(image)  # before EXIF is asked for, which may decode the picture
        turn = image.getexif().get(ExifTags.Base.Orientation, 1)
        odd = "transparency" in image.info or getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0
        known = image.format == "PNG" or (image.format == "TIFF" and turn == 1)
        if odd or not known or not _STORED.fullmatch(stored):
            return None
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype != "uint16":
        return None
    values = torch.from_numpy(found).reshape(*found.shape[:2], -1).permute(2, 0, 1).float() / 32767.5 - 1
    if len(values) > 1:
        values = values[{2: [0, 3], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]]
    return premultiply(_upright(values, turn))


def _upright(picture: Float[Tensor, "c h w"], turn: int) -> Float[Tensor, "c y x"]:
    """A picture turned as EXIF's entry Orientation, 1 to 8, says."""
    picture = picture.mT if turn >= 5 else picture
    return picture.flip([axis for axis, turns in ((1, (3, 4, 7, 8)), (2, (2, 3, 6, 7))) if turn in turns])


def _stored(image: Image.Image) -> str:
    """How Pillow names the channels in a picture's file; empty if it does not say."""
    tiles = getattr(image, "tile", None) or [None]
    arguments = getattr(tiles[0], "args", None)
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)
