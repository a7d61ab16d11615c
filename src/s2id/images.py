"""Files and tensors: reading, antialiased resizing, grids, and PNG files of any size.

Inside the package pictures are floats in [-1, 1]; bytes exist only here and in `data`.
"""

import math
import struct
import warnings
import zlib
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from s2id.errors import InputError
from s2id.files import replacing
from s2id.linear import area_weights
from s2id.settings import MAX_PIXELS, Size

_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}  # PNG specification, table 11.1

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def read(path: Path, channels: int | None = None) -> UInt8[Tensor, "c h w"]:
    """The picture in a file, in bytes; see `decode`.

    Raises:
        InputError: The file is no readable picture.
    """
    return decode(path, str(path), channels)


def decode(
    source: Path | BytesIO, name: str, channels: int | None = None, long_side: int | None = None
) -> UInt8[Tensor, "c h w"]:
    """A picture in bytes: the first one of several, turned as EXIF says, what is transparent over white.

    Args:
        source: Anything that Pillow reads.
        name: Of the source, for messages.
        channels: 1 to 4 for grey, grey + alpha, RGB, RGBA; `None` keeps grey grey and makes all else RGB.
        long_side: Shrink a larger picture to this by area means; `None` leaves it as it is.

    Raises:
        InputError: The source is no readable picture, or one of more than MAX_PIXELS pixels.
    """
    try:
        with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
            image = Image.open(source)
        with image:
            size = (image.height, image.width)
            if math.prod(size) > MAX_PIXELS:
                raise ValueError(f"{size[0]}x{size[1]} pixels, and more than {MAX_PIXELS} are not read")
            ImageOps.exif_transpose(image, in_place=True)
            pixels = np.array(_converted(image, channels))
    except UnidentifiedImageError as error:
        raise InputError(
            f"{name} cannot be read as a picture (no format that is known); replace or remove it."
        ) from error
    except Exception as error:  # decoders raise whatever they please on damaged files
        raise InputError(f"{name} cannot be read as a picture ({error}); replace or remove it.") from error
    planes = torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1).copy()).permute(2, 0, 1)
    size = (planes.shape[1], planes.shape[2])
    if (target := capped(size, long_side)) == size:
        return planes
    return torch.cat(
        [to_bytes(resize(to_float(plane), target)) for plane in planes.split(1)]
    )  # floats of one at a time


def _converted(image: Image.Image, channels: int | None) -> Image.Image:
    """The picture as bytes of so many channels."""
    if image.mode in ("I", "F"):
        raise ValueError("values of 32 bits, whose range is not known; save 8 or 16")
    if image.mode.startswith("I;16"):  # Pillow would clip these to bytes, not scale them
        image = Image.fromarray((np.array(image) / 257).round().astype(np.uint8))
    mode = _MODES[channels] if channels else ("L" if image.mode in ("1", "L", "LA", "La") else "RGB")
    if image.has_transparency_data and not mode.endswith("A"):
        seen = image.convert("RGBA")  # what is under transparency is anything at all
        image = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    return image.convert(mode)


def capped(size: Size, long_side: int | None) -> Size:
    """A size with its long side cut to at most so many pixels, in the same aspect to the pixel."""
    if long_side is None or max(size) <= long_side:
        return size
    scale = long_side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def to_float(pixels: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Bytes 0..255 as -1..1."""
    return pixels.float() / 127.5 - 1


def to_bytes(values: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """-1..1 as bytes 0..255, rounded; what lies outside is clipped."""
    return ((values + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def resize(images: Float[Tensor, "*b h w"], size: Size) -> Float[Tensor, "*b h2 w2"]:
    """The mean of a picture over each cell of another size: what a sensor with those pixels would see."""
    if images.shape[-2:] == size:
        return images
    rows = area_weights(images.shape[-2], size[0]).to(images)
    columns = area_weights(images.shape[-1], size[1]).to(images)
    return rows @ images @ columns.T


def tile(images: Float[Tensor, "b c h w"], columns: int, gap: int = 1) -> Float[Tensor, "c height width"]:
    """The pictures in reading order in one, `columns` to a row, on a mid-grey ground.

    Args:
        images: Pictures of one size.
        columns: Pictures per row.
        gap: Pixels between pictures.
    """
    b, c, h, w = images.shape
    rows = -(-b // columns)
    sheet = images.new_zeros(c, rows * (h + gap) - gap, columns * (w + gap) - gap)
    for i, image in enumerate(images):
        y, x = i // columns * (h + gap), i % columns * (w + gap)
        sheet[:, y : y + h, x : x + w] = image
    return sheet


def write_png(path: Path, size: Size, channels: int, strips: Iterable[UInt8[Tensor, "c _ w"]]) -> None:
    """Write a picture that arrives as strips of rows; only one strip is in memory at a time.

    Pillow wants the whole picture first, hence the few lines of PNG here (PNG specification, 3rd edition).

    Args:
        path: File to write; an old one stays whole until the new one is complete.
        size: Height and width.
        channels: 1 to 4: grey, grey + alpha, RGB, RGBA.
        strips: The rows, from the top, in bytes.

    Raises:
        InputError: The file cannot be written.
        ValueError: The strips do not add up to the size.
    """
    height, width = size
    packer = zlib.compressobj(6)
    with replacing(path) as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        _chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPE[channels], 0, 0, 0))
        above = np.zeros((1, width * channels), np.uint8)
        rows = 0
        for strip in strips:
            lines = strip.permute(1, 2, 0).reshape(strip.shape[1], -1).cpu().numpy()
            difference = lines - np.concatenate([above, lines[:-1]])  # filter 2, "up"
            filtered = np.concatenate([np.full((len(lines), 1), 2, np.uint8), difference], axis=1)
            _chunk(file, b"IDAT", packer.compress(filtered.tobytes()))
            above, rows = lines[-1:], rows + len(lines)
        if rows != height:
            raise ValueError(f"strips hold {rows} rows, the picture has {height}")
        _chunk(file, b"IDAT", packer.flush())
        _chunk(file, b"IEND", b"")


def write(path: Path, image: Float[Tensor, "c h w"]) -> None:
    """Write one picture in [-1, 1]; the file's ending chooses the format.

    Raises:
        InputError: The file cannot be written, or its ending is unknown.
    """
    pixels = to_bytes(image)
    if path.suffix.lower() == ".png":
        write_png(path, (image.shape[1], image.shape[2]), image.shape[0], [pixels])
        return
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None:
        raise InputError(f"{path} has no picture's ending; use .png, .jpg, .webp or .tif.")
    with replacing(path) as file:
        to_pillow(pixels).save(file, format=kind)


def to_pillow(pixels: UInt8[Tensor, "c h w"]) -> Image.Image:
    """The picture as Pillow's."""
    array = pixels.permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)


def _chunk(file: BinaryIO, kind: bytes, payload: bytes) -> None:
    if payload or kind == b"IEND":
        file.write(struct.pack(">I", len(payload)) + kind + payload)
        file.write(struct.pack(">I", zlib.crc32(kind + payload)))
