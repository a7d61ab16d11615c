"""Pixels of picture files, by Pillow and numpy alone: without torch, so that a small process can read what others send.

Colours are premultiplied by alpha, as everywhere but in files (`alpha`).
"""

import math
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import islice
from pathlib import Path
from warnings import catch_warnings

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from s2id.errors import InputError
from s2id.headers import no_file
from s2id.media.formats import opened
from s2id.settings import MAX_PIXELS

_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # TIFF 6.0, the last in section 19

_FEW_BITS = {"L;2": 85, "L;4": 17}  # how Pillow reads grey of 2 and 4 bits -> 255 / largest value

_ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")

MODES = {1: "L", 2: "La", 3: "RGB", 4: "RGBa"}
"""Pillow's modes by the number of channels; a small letter is premultiplied alpha."""


def pixels(
    source: Path | BytesIO, name: str, channels: int | None = None, most: int = MAX_PIXELS
) -> UInt8[np.ndarray, "h w c"]:
    """A picture in bytes, as `images.decode` says, of at most so many pixels.

    Raises:
        InputError: The source is no readable picture, or has more pixels.
    """
    _check_ordinary(source, name)
    try:
        with catch_warnings(action="ignore", category=UserWarning), opened(source) as image:  # of corrupt EXIF entries
            size = (image.height, image.width)
            if math.prod(size) > most:
                raise ValueError(f"{size[0]}x{size[1]} pixels, and more than {most} are not read")
            _scale_transparent_value(image)
            ImageOps.exif_transpose(image, in_place=True)
            return _pixels(_in_bytes(image), channels).copy()
    except UnidentifiedImageError as error:
        raise InputError(
            f"{name} cannot be read as a picture (no format that is known); replace or remove it."
        ) from error
    except Exception as error:  # on damaged files decoders raise errors of any type
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(f"{name} cannot be read as a picture ({why}); replace or remove it.") from error


def pages(
    source: Path | BytesIO, name: str, limit: int | None = None, most: int = MAX_PIXELS
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The frames of an animation over white: colours that transparency hides are not shown.

    Args:
        source: A file, or its content.
        name: Name of the source for error messages.
        limit: Largest number of frames to read; `None` reads all.
        most: Largest number of pixels of all frames together.

    Raises:
        InputError: The animation is damaged, or has more pixels.
    """
    _check_ordinary(source, name)
    try:
        with opened(source) as film:
            count = getattr(film, "n_frames", 1)
            check_frames(name, (min(count, limit or count), film.height, film.width), most)
            for page in islice(ImageSequence.Iterator(film), limit):
                yield _page(page)
    except InputError:
        raise
    except Exception as error:  # on damaged files decoders raise errors of any type
        raise InputError(f"{name} cannot be read to its end ({error}); replace it.") from error


def _check_ordinary(source: Path | BytesIO, name: str) -> None:
    """Refuse a path that is no file before it is opened: of a pipe, opening would wait for ever."""
    if isinstance(source, Path) and (reason := no_file(source)):
        raise InputError(f"{name} {reason}; give a picture.")


def count_pages(path: Path) -> int:
    """Number of pictures in an animation; 1 for what is none, whatever layers or sizes the file holds."""
    with opened(path) as film:
        return getattr(film, "n_frames", 1) if film.format in _ANIMATED else 1


def _page(page: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    whole = _in_bytes(page).convert("RGBA")
    return np.array(Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole).convert("RGB"))


def check_frames(name: object, shape: Sequence[int], most: int) -> None:
    """Refuse frames that have too many pixels in all.

    Args:
        name: Name of their source, for the message.
        shape: Number of frames, and height and width of each.
        most: Largest number of pixels.

    Raises:
        InputError: They have more.
    """
    count, height, width = shape
    if math.prod(shape) > most:
        raise InputError(
            f"{name} holds {count} frames of {height}x{width}, and more than {most:,} pixels in all are not read; "
            "give fewer or smaller frames."
        )


def _pixels(image: Image.Image, channels: int | None) -> UInt8[np.ndarray, "h w c"]:
    """The picture's premultiplied bytes, in the asked number of channels."""
    whole = image.convert("RGBA") if image.has_transparency_data else None
    if whole is not None and whole.getchannel("A").getextrema() == (255, 255):
        whole = None
    if channels is None:
        grey = image.mode in ("1", "L", "LA", "La") or (whole is not None and _is_grey(whole))
        channels = (1 if grey else 3) + (whole is not None)
    if channels % 2 == 0:
        image = (whole or image).convert(MODES[channels].upper())
    elif whole is not None:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), whole)
    return np.array(image.convert(MODES[channels])).reshape(image.height, image.width, channels)


def _is_grey(image: Image.Image) -> bool:
    """Whether all colours that are seen of an RGBA picture are grey."""
    red, green, blue, _ = (band.tobytes() for band in image.convert("RGBa").split())
    return red == green == blue


def _scale_transparent_value(image: Image.Image) -> None:
    """Bring the value that a PNG file calls transparent to 8 bits, as Pillow does with the pixels."""
    tiles = getattr(image, "tile", None) if image.format == "PNG" else None
    stored = tiles[0].args if tiles else None
    key = image.info.get("transparency")
    if stored in _FEW_BITS and isinstance(key, int):
        image.info["transparency"] = key * _FEW_BITS[stored]
    elif stored == "RGB;16B" and isinstance(key, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in key)


def _in_bytes(image: Image.Image) -> Image.Image:
    """The picture with 8 bits per channel; grey of 9 to 16 bits, which Pillow clips, is scaled.

    Raises:
        ValueError: The range of the values is not known.
    """
    tags = getattr(image, "tag_v2", {})
    if image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
        raise ValueError("values of 32 bits, whose range is not known; save 8 or 16")
    if 2 in tags.get(_SAMPLE_FORMAT, ()):
        raise ValueError("values with signs, whose range is not known; save them without")
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image
    white = 2 ** tags.get(_BITS, (16,))[0] - 1
    values = np.array(image).astype(np.float32)
    shades = (values * (255 / white)).round().astype(np.uint8)
    grey = Image.fromarray(255 - shades if tags.get(_PHOTOMETRIC) == 0 else shades)
    if (key := image.info.get("transparency")) is not None:
        grey.putalpha(Image.fromarray(np.uint8(255) * (values != key)))
    return grey
