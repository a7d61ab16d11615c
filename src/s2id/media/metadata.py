"""What an enlarged picture takes over from the file that it was made of: its colours' meaning, and facts about it."""

import struct
import zlib
from pathlib import Path

from PIL import ExifTags, Image

from s2id.media.formats import opened
from s2id.media.images import chunk

_METRE = 1 / 0.0254
"""Inches in a metre, in which PNG counts pixels."""

_STORAGE = (258, 259, 262, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339)
"""TIFF's entries on how that file stores its pixels: bits, compression, strips, tiles and the like (TIFF 6.0)."""

_STALE = {
    **dict.fromkeys(_STORAGE, 0),
    ExifTags.Base.Orientation: 0,
    ExifTags.Base.ImageWidth: 0,
    ExifTags.Base.ImageLength: 0,
    ExifTags.Base.ExifImageWidth: ExifTags.IFD.Exif,
    ExifTags.Base.ExifImageHeight: ExifTags.IFD.Exif,
}
"""EXIF entries that no longer hold, and the directory of each: the result is upright and of another size."""


def facts_of(path: Path, channels: int) -> bytes:
    """Chunks of a PNG file: the ICC profile, pixels per inch and EXIF entries that a picture's file holds.

    A profile of another kind of colours than the result has, as of CMYK, is left out.

    Args:
        path: The picture's file, in any format that is read.
        channels: Channels of the result: 1 to 4 for grey, grey + alpha, RGB, RGBA.
    """
    with opened(path) as image:
        profile, exif, dpi = image.info.get("icc_profile"), image.getexif(), image.info.get("dpi")
    parts = []
    if profile and profile[16:20] == (b"GRAY" if channels < 3 else b"RGB "):
        parts.append(chunk(b"iCCP", b"icc\0\0" + zlib.compress(profile)))
    if dpi and all(0 < float(value) < 2**24 for value in dpi[:2]):
        parts.append(chunk(b"pHYs", struct.pack(">IIB", *(round(float(value) * _METRE) for value in dpi[:2]), 1)))
    if content := _upright(exif):
        parts.append(chunk(b"eXIf", content))
    return b"".join(parts)


def is_lossy(path: Path) -> bool:
    """Whether a file is a JPEG, whose pixels are not the picture's own: blocks of 8 x 8 have the noise of rounding."""
    with opened(path) as image:
        return image.format in ("JPEG", "MPO")


def _upright(exif: Image.Exif) -> bytes:
    """The entries that still hold, without the marker that JPEG has before them; empty if there are none."""
    for tag, directory in _STALE.items():
        if directory in exif:  # asking for one that is not there would add it, empty
            exif.get_ifd(directory).pop(tag, None)
        elif not directory:
            exif.pop(tag, None)
    return exif.tobytes().removeprefix(b"Exif\0\0") if exif else b""
