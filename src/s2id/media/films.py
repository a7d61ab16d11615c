"""Films: pictures that are written one after the other, so that memory does not grow with their number."""

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, BinaryIO

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from s2id.checks import Within
from s2id.errors import InputError
from s2id.files import replacing, writing
from s2id.media.images import chunk, filtered, png_start

Rate = Annotated[float, Within(0.1, 100)]
"""Pictures per second."""

_MARK = "S2ID, a picture of a film"
"""What the files of a film in a folder call their software, so that no others are removed with an older film."""

_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}

_Pictures = Iterable[Image.Image]


def write_film(path: Path, pictures: _Pictures, rate: Rate = 25.0) -> None:
    """Write pictures of one size as a film that repeats, or as files in a folder.

    Args:
        path: A file whose name ends in .gif, in .png or .apng (an animated PNG, which keeps transparency), or in .mp4
            (H.264, which needs PyAV); a name without an ending is a folder of PNG files, from which those of a longer
            film that was written there before are removed. Without transparency, pictures are laid over white.
        pictures: Pictures as `Field.image` gives them: L, LA, RGB or RGBA.
        rate: Pictures per second.

    Raises:
        InputError: The file cannot be written, or its format is none of these or cannot hold such pictures.
    """
    write = film_writer(path)
    if not path.suffix:
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
            mark, count = PngInfo(), 0
            mark.add_text("Software", _MARK)
            for number, picture in enumerate(pictures):
                picture.save(path / f"{number:05}.png", pnginfo=mark)
                count = number + 1
            for frame in sorted(path.glob("[0-9]" * 5 + ".png")):
                if int(frame.stem) >= count and _is_marked(frame):  # of a longer film
                    frame.unlink()
        return
    with replacing(path) as file:
        try:
            write(file, pictures, rate)
        except (ValueError, OverflowError, struct.error) as error:
            raise InputError(f"{path} cannot hold such a film ({error}); choose another size or format.") from error


def _is_marked(frame: Path) -> bool:
    """Whether a picture is of a film that was written here, rather than one that somebody keeps in the same folder."""
    try:
        with Image.open(frame, formats=["PNG"]) as picture:
            return picture.info.get("Software") == _MARK
    except OSError:
        return False


def film_writer(path: Path) -> Callable[[BinaryIO, _Pictures, float], None]:
    """What writes a film to an open file; chosen by the file's name before anything is drawn.

    Raises:
        InputError: The ending is no film's, or what writes such films is missing.
    """
    ending = path.suffix.lower()
    if ending and ending not in _WRITERS:
        known = ", ".join(_WRITERS)
        raise InputError(f"{path} has no film's ending; use {known}, or a name without an ending for a folder.")
    if ending == ".mp4":
        try:
            import av  # noqa: F401
        except ImportError as error:
            raise InputError(
                f"{path} is written with PyAV, which is missing; pip install 's2id[frames]', or write a .gif or .png."
            ) from error
    return _WRITERS.get(ending, _apng)


def there_and_back(pictures: _Pictures) -> Iterator[Image.Image]:
    """The pictures, and then those between the last and the first in reverse order, so that a film repeats evenly.

    They wait on the disk.
    """
    with TemporaryFile() as kept:
        places = []
        for picture in pictures:
            places.append(kept.tell())
            kept.write(picture.tobytes())
            yield picture
        for place in places[-2:0:-1]:
            kept.seek(place)
            yield Image.frombytes(picture.mode, picture.size, kept.read(places[1]))


def _opaque(picture: Image.Image) -> Image.Image:
    """The picture over white, in the mode L or RGB."""
    if picture.mode in ("L", "RGB"):
        return picture
    whole = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole).convert(picture.mode[:-1])


def _gif(file: BinaryIO, pictures: _Pictures, rate: float) -> None:
    """A GIF film (GIF89a, sections 17 to 23), whose pictures have a colour table each.

    Pillow, which would keep all pictures until the last is known, writes each as a file, of which the parts are taken.
    """
    for number, picture in enumerate(map(_opaque, pictures)):
        alone = BytesIO()
        (picture.convert("P") if picture.mode == "L" else picture.quantize()).save(alone, "GIF", optimize=False)
        data = alone.getvalue()
        bits = data[10] & 7  # of an index into the table of colours, less one
        table = 13 + 3 * 2 ** (bits + 1)
        if not number:
            file.write(data[:10] + b"\x70\0\0")  # of the film there is no table
            file.write(b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0")  # repeats for ever
        file.write(b"!\xf9\x04" + struct.pack("<BHBB", 4, round(100 / rate), 0, 0))
        file.write(data[table : table + 9] + bytes([0x80 | bits]) + data[13:table] + data[table + 10 : -1])
    file.write(b";")


def _apng(file: BinaryIO, pictures: _Pictures, rate: float) -> None:
    """An animated PNG (PNG specification, 3rd edition, section 11.3.6)."""
    delay = Fraction(1 / rate).limit_denominator(1000)
    number = place = 0
    for frame, picture in enumerate(pictures):
        if not frame:
            file.write(png_start((picture.height, picture.width), _CHANNELS[picture.mode]))
            place = file.tell()
            file.write(chunk(b"acTL", bytes(8)))  # of a length that is known in the end
        times = delay.numerator, delay.denominator, 0, 0
        control = struct.pack(">5I2H2B", number, picture.width, picture.height, 0, 0, *times)
        lines = np.asarray(picture).reshape(picture.height, -1)
        packed = zlib.compress(filtered(lines, np.zeros_like(lines[:1])))
        pixels = chunk(b"fdAT", struct.pack(">I", number + 1) + packed) if frame else chunk(b"IDAT", packed)
        file.write(chunk(b"fcTL", control) + pixels)
        number += 2 if frame else 1
    file.write(chunk(b"IEND", b""))
    file.seek(place)
    file.write(chunk(b"acTL", struct.pack(">2I", (number + 1) // 2, 0)))


def _mp4(file: BinaryIO, pictures: _Pictures, rate: float) -> None:
    """An MP4 film in H.264; an odd side loses a pixel, because its colours are stored for two by two pixels."""
    import av

    try:
        with av.open(file, "w", format="mp4") as film:
            stream = film.add_stream("libx264", Fraction(rate).limit_denominator(1000), options={"crf": "16"})
            stream.pix_fmt = "yuv420p"
            for picture in map(_opaque, pictures):
                if not stream.codec_context.is_open:
                    stream.width, stream.height = (side // 2 * 2 for side in picture.size)
                page = picture.convert("RGB").crop((0, 0, stream.width, stream.height))
                film.mux(stream.encode(av.VideoFrame.from_image(page)))
            film.mux(stream.encode())
    except av.FFmpegError as error:
        raise ValueError(error) from error


_WRITERS = {".gif": _gif, ".png": _apng, ".apng": _apng, ".mp4": _mp4}
