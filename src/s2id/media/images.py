"""Pictures as files and as tensors: decoding, antialiased resizing, and PNG files of any size.

What is computed with are floats in [-1, 1]; bytes are what files, stored data sets and screens hold. Colours are
premultiplied by alpha (`alpha`) everywhere but in files and Pillow's images.
"""

import math
import struct
import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from s2id.errors import InputError
from s2id.files import replacing
from s2id.linear import area_weights, box_weights
from s2id.media import raster
from s2id.media.alpha import has_alpha, straight
from s2id.media.formats import opened
from s2id.settings import Size

_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}  # PNG specification, table 11.1

_MATRIX, _BLOCK = 2**22, 16  # an axis is resampled by one matrix of so many entries at most, else by blocks of cells

_FORMATS = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP",
    ".gif": "GIF", ".avif": "AVIF",
}  # fmt: skip
"""Formats that hold a picture of any size up to their limit, as Pillow names them, by the endings of files."""

_LONGEST = {"JPEG": 65_500, "WEBP": 16_383, "GIF": 65_535, "AVIF": 32_768}
"""Largest number of pixels along a side that a format's library writes and reads."""


def read(path: Path, channels: int | None = None) -> UInt8[Tensor, "c h w"]:
    """The picture in a file, in bytes; `decode` says how it is read.

    Args:
        path: The file.
        channels: As for `decode`.

    Raises:
        InputError: The file is no readable picture.
    """
    return decode(path, str(path), channels)


def decode(
    source: Path | BytesIO, name: str, channels: int | None = None, long_side: int | None = None
) -> UInt8[Tensor, "c h w"]:
    """A picture in bytes, premultiplied: the first frame of an animation, turned upright by its EXIF entry.

    Args:
        source: A file, or its content, in any of `formats.RASTER`.
        name: Name of the source for error messages.
        channels: 1 to 4 for grey, grey + alpha, RGB, RGBA. `None` keeps grey pictures grey and makes all others RGB;
            alpha is kept where a pixel is transparent. Without alpha, what is transparent is laid over white.
        long_side: A picture with more pixels along the longer side is shrunk to this by area means. `None` leaves it
            as it is.

    Raises:
        InputError: The source is no readable picture, or has more than MAX_PIXELS pixels.
    """
    pixels = raster.pixels(source, name, channels)
    planes = torch.from_numpy(pixels).permute(2, 0, 1)
    size = (planes.shape[1], planes.shape[2])
    if (target := capped(size, long_side)) == size:
        return planes
    # one channel at a time, because floats need four times the memory of bytes
    return torch.cat([to_bytes(resize(to_float(plane), target)) for plane in planes.split(1)])


def capped(size: Size, long_side: int | None) -> Size:
    """The size shrunk to at most `long_side` pixels along its longer side, in the same aspect up to rounding.

    >>> capped((300, 400), 64), capped((30, 40), 64)
    ((48, 64), (30, 40))
    """
    if long_side is None or max(size) <= long_side:
        return size
    scale = long_side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def to_float(pixels: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Bytes 0 to 255 as floats -1 to 1."""
    return pixels.float() / 127.5 - 1


def to_bytes(values: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Floats -1 to 1 as bytes 0 to 255, rounded; values outside the range are clipped.

    Raises:
        InputError: A value is NaN or infinite, for which no byte would stand.

    >>> to_bytes(torch.tensor([-1.0, 0.0, 7.0]))
    tensor([  0, 128, 255], dtype=torch.uint8)
    """
    return _whole(values, 255).to(torch.uint8)


def to_words(values: Float[Tensor, "c h w"]) -> UInt8[Tensor, "twice h w"]:
    """Floats -1 to 1 as whole numbers 0 to 65535, of each the higher byte and then the lower, as PNG files have them.

    Raises:
        InputError: As for `to_bytes`.

    >>> to_words(torch.tensor([[[-1.0, 0.0, 1.0]]])).flatten(1).tolist()
    [[0, 128, 255], [0, 0, 255]]
    """
    whole = _whole(values, 65_535).to(torch.int32)
    return torch.stack([whole >> 8, whole & 255], dim=1).flatten(0, 1).to(torch.uint8)


def rounded(values: Float[Tensor, "*shape"], depth: int = 8) -> Float[Tensor, "*shape"]:
    """Floats as a file of so many bits for each channel holds them."""
    white = 2**depth - 1
    return _whole(values, white) * (2 / white) - 1


def _whole(values: Float[Tensor, "*shape"], white: int) -> Float[Tensor, "*shape"]:
    """Floats -1 to 1 as whole numbers from 0 to `white`."""
    values = values.detach()
    if values.numel() and not all(math.isfinite(end) for end in values.aminmax()):
        raise InputError(
            "the picture holds NaN or infinity: the model's weights or the guidance are too large; choose others."
        )
    return (values + 1).mul_(white / 2).round_().clamp_(0, white)


def resize(images: Float[Tensor, "*b h w"], size: Size) -> Float[Tensor, "*b h2 w2"]:
    """Pictures resampled to another size by area means: each pixel is the mean over the cell that it covers.

    >>> resize(torch.tensor([[1.0, 3.0, 5.0, 7.0]]), (1, 2))
    tensor([[2., 6.]])
    """
    if images.shape[-2:] == size:
        return images
    if max(source * target for source, target in zip(images.shape[-2:], size, strict=True)) > _MATRIX:
        return _along_last(_along_last(images, size[1]).mT, size[0]).mT.contiguous()
    rows = area_weights(images.shape[-2], size[0]).to(images)
    columns = area_weights(images.shape[-1], size[1]).to(images)
    return rows @ images @ columns.T


def _along_last(images: Float[Tensor, "*b h w"], target: int) -> Float[Tensor, "*b h w2"]:
    """Pictures resampled along their last axis by area means, with the small part of the matrix that is not zero."""
    source = images.shape[-1]
    step, parts = source / target, []
    for cells in torch.arange(target, dtype=torch.float64).split(_BLOCK):
        first, last = math.floor(cells[0] * step), min(math.ceil((cells[-1] + 1) * step), source)
        weights = box_weights((cells + 0.5) * step - 0.5 - first, step, last - first)
        parts.append(images[..., first:last] @ weights.to(images).T)
    return torch.cat(parts, dim=-1)


def tile(
    images: Float[Tensor, "b c h w"], columns: int, gap: int = 1, ground: Float[Tensor, " c"] | None = None
) -> Float[Tensor, "c height width"]:
    """Pictures of one size in reading order, in rows; `s2id.media.sheets.sheet` adds captions.

    Args:
        images: The pictures.
        columns: Pictures per row.
        gap: Pixels between neighbouring pictures.
        ground: Colour between the pictures; `None` is mid-grey, or nothing if they have alpha.

    >>> tile(torch.zeros(5, 1, 8, 8), columns=3).shape
    torch.Size([1, 17, 26])
    """
    b, c, h, w = images.shape
    rows = -(-b // columns)
    between = images.new_full((c,), -1.0 if has_alpha(c) else 0.0) if ground is None else ground
    size = rows * (h + gap) - gap, columns * (w + gap) - gap
    sheet = between[:, None, None].repeat(1, *size)
    for i, image in enumerate(images):
        y, x = i // columns * (h + gap), i % columns * (w + gap)
        sheet[:, y : y + h, x : x + w] = image
    return sheet


def write_png(
    path: Path, size: Size, channels: int, strips: Iterable[UInt8[Tensor, "c _ w"]], beside: bytes = b"", depth: int = 8
) -> None:
    """Write a PNG file from strips of rows, of which only one is in memory at a time; arguments as for `png`.

    Raises:
        InputError: The file cannot be written.
        ValueError: The strips do not add up to the size.
    """
    with replacing(path) as file:
        file.writelines(png(size, channels, strips, beside, depth))


def png(
    size: Size, channels: int, strips: Iterable[UInt8[Tensor, "c _ w"]], beside: bytes = b"", depth: int = 8
) -> Iterator[bytes]:
    """The content of a PNG file in parts, one for each strip of rows.

    Pillow needs the whole picture at once, so the format is written here (PNG specification, 3rd edition).

    Args:
        size: Height and width, in pixels.
        channels: 1 to 4 for grey, grey + alpha, RGB, RGBA.
        strips: Consecutive rows of the picture from the top, from `to_bytes` or, at 16 bits, `to_words`.
        beside: Chunks of facts about the picture, as `carried.facts_of` takes over from another file.
        depth: Bits for each channel, 8 or 16.

    Raises:
        ValueError: The strips do not add up to the size.
    """
    height, width = size
    packer = zlib.compressobj(strategy=zlib.Z_RLE)  # of a digit, 3.5 times as fast as searching, and 11 % larger
    yield png_start(size, channels, depth) + beside
    above = np.zeros((1, width * channels * depth // 8), np.uint8)
    rows = 0
    for strip in strips:
        lines = strip.permute(1, 2, 0).reshape(strip.shape[1], -1).cpu().numpy()
        yield chunk(b"IDAT", packer.compress(filtered(lines, above)))
        above, rows = lines[-1:], rows + len(lines)
    if rows != height:
        raise ValueError(f"strips hold {rows} rows, the picture has {height}")
    yield chunk(b"IDAT", packer.flush()) + chunk(b"IEND", b"")


def write(path: Path, image: Float[Tensor, "c h w"], beside: bytes = b"", depth: int = 8) -> None:
    """Write a picture with values in [-1, 1]; the ending of the file's name chooses the format.

    Args:
        path: The file.
        image: The picture.
        beside: As for `png`; other formats have no such chunks.
        depth: Bits for each channel of a PNG file, 8 or 16; other formats get 8.

    Raises:
        InputError: The file cannot be written, or its format cannot hold the picture.
    """
    size = image.shape[1], image.shape[2]
    kind = format_of(path, size, len(image))
    image = straight(image)
    if kind == "PNG":
        write_png(path, size, len(image), [to_bytes(image) if depth == 8 else to_words(image)], beside, depth)
        return
    pixels = to_bytes(image)
    with replacing(path) as file:
        try:
            to_pillow(pixels).save(file, format=kind)
        except (ValueError, OverflowError, RuntimeError, struct.error) as error:
            raise InputError(f"{path} cannot hold {size[0]}x{size[1]} pixels ({error}); use .png.") from error


def encoded(image: Float[Tensor, "c h w"]) -> bytes:
    """The content of the PNG file that `write` writes of a picture with values in [-1, 1]."""
    return b"".join(png((image.shape[1], image.shape[2]), len(image), [to_bytes(straight(image))]))


def format_of(path: Path, size: Size, channels: int) -> str:
    """The format, as Pillow names it, that a file's ending chooses for a picture.

    Args:
        path: The file.
        size: Height and width of the picture, in pixels.
        channels: 1 to 4 for grey, grey + alpha, RGB, RGBA.

    Raises:
        InputError: The ending is no format's, or the format cannot hold so many pixels or the picture's transparency.
    """
    kind, known = _FORMATS.get(path.suffix.lower()), set(Image.registered_extensions().values()) & set(Image.SAVE)
    if kind is None or kind not in known:
        endings = ", ".join(ending for ending, name in _FORMATS.items() if name in known)
        raise InputError(f"{path} has no picture's ending that is written here; use one of {endings}.")
    if max(size) > (most := _LONGEST.get(kind, math.inf)):
        raise InputError(
            f"{path} is {size[0]}x{size[1]} pixels large, and a {kind} file has at most {most:,} along a side; use "
            ".png, or a smaller size."
        )
    if has_alpha(channels) and not _holds_alpha(kind, raster.MODES[channels].upper()):
        raise InputError(
            f"{path} is a {kind} file, which cannot hold the picture's transparency; use .png, .webp or .tif, or lay "
            "the picture over a colour first (s2id.media.alpha.over)."
        )
    return kind


def _holds_alpha(kind: str, mode: str) -> bool:
    """Whether a half transparent pixel of a mode is still transparent when it is read back from a file of a format."""
    file = BytesIO()
    try:
        Image.new("RGBA", (1, 1), (0, 0, 0, 128)).convert(mode).save(file, format=kind)
        return opened(file).has_transparency_data
    except (OSError, KeyError):  # the format has no such pixels, or Pillow only reads it
        return False


def to_pillow(pixels: UInt8[Tensor, "c h w"]) -> Image.Image:
    """The picture as an image of Pillow."""
    array = pixels.permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)


def png_start(size: Size, channels: int, depth: int = 8) -> bytes:
    """The first bytes of a PNG file."""
    header = struct.pack(">IIBBBBB", size[1], size[0], depth, _COLOUR_TYPE[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)


def filtered(lines: UInt8[np.ndarray, "h w"], above: UInt8[np.ndarray, "1 w"]) -> bytes:
    """Rows of a PNG file as differences from the row above (filter 2, "up")."""
    difference = lines - np.concatenate([above, lines[:-1]])
    return np.concatenate([np.full((len(lines), 1), 2, np.uint8), difference], axis=1).tobytes()


def chunk(kind: bytes, payload: bytes) -> bytes:
    """One chunk of a PNG file; an empty chunk of pixels is left out."""
    if not payload and kind != b"IEND":
        return b""
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))
