"""Files and tensors: reading, antialiased resizing, grids, and PNG files of any size.

Inside the package pictures are floats in [-1, 1]; bytes exist only here and in `data`.
"""

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from s2id.config import InputError, Size

_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}  # PNG specification, table 11.1
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def read(path: Path, channels: int | None = None) -> UInt8[Tensor, "c h w"]:
    """The picture in a file, in bytes.

    Args:
        path: Any file that Pillow reads.
        channels: 1 to 4 for grey, grey + alpha, RGB, RGBA; `None` keeps grey grey and makes all else RGB.

    Raises:
        InputError: The file is no readable picture.
    """
    try:
        with Image.open(path) as image:
            deep = image.mode.startswith("I;16")  # Pillow would clip these to bytes, not scale them
            picture = Image.fromarray((np.array(image) / 257).round().astype(np.uint8)) if deep else image
            mode = _MODES[channels] if channels else ("L" if picture.mode in ("1", "L") else "RGB")
            pixels = np.array(picture.convert(mode))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read as a picture ({error}); replace or remove it.") from error
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1).copy()).permute(2, 0, 1)


def to_float(pixels: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Bytes 0..255 as -1..1."""
    return pixels.float() / 127.5 - 1


def to_bytes(values: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """-1..1 as bytes 0..255, rounded; what lies outside is clipped."""
    return ((values + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def area_weights(source: int, target: int) -> Float[Tensor, "target source"]:
    """Row i holds the share of each source sample in the mean over target cell i; rows sum to 1."""
    edges = torch.arange(target + 1, dtype=torch.float64) * (source / target)
    samples = torch.arange(source, dtype=torch.float64)
    low = edges[:-1, None].clamp(min=samples)
    high = edges[1:, None].clamp(max=samples + 1)
    return ((high - low).clamp(min=0) * (target / source)).float()


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


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when it is complete; until then, and on failure, the old one stays.

    Raises:
        InputError: The folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}); choose another place.") from error
    finally:
        with suppress(OSError):  # the folder may not exist
            partial.unlink()


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
