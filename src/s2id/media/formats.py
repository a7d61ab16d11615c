"""Which files are pictures that can be read, and what is said about files that only look like pictures."""

import warnings
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from io import BytesIO
from pathlib import Path

from PIL import Image

RASTER = (
    "PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "DIB", "AVIF", "HEIF", "JXL", "JPEG2000", "ICO", "ICNS", "CUR", "PPM",
    "PSD", "QOI", "SGI", "PCX", "DCX", "DDS", "BLP", "FTEX", "FLI", "GBR", "MSP", "PIXAR", "SUN", "XBM", "XPM",
    "XVTHUMB", "PCD", "IM", "IMT", "SPIDER", "TGA",
)  # fmt: skip
"""Pillow's names of the formats that are opened, whatever a file's ending says. Not among them are formats that another
program draws (EPS, WMF) and those whose values have no known range (FITS, HDF5)."""

_PLUGINS = ("pillow_heif", "pillow_jxl")
"""Modules that add formats to Pillow, if they are installed."""

_EXTRA = "pip install 's2id[photos]' brings what reads them"
_EXPORT = "save as .png or .jpg"

_UNREAD = {
    ".heic .heif .hif .jxl": _EXTRA,
    ".cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .dng .raf .orf .rw2 .rwl .pef .srw .x3f .3fr .erf .kdc .mrw .raw": _EXPORT,
    ".eps .ps .ai .pdf .wmf .emf .cdr .xcf .kra .clip .afphoto .sketch .psb .djvu .jxr .wdp .bpg": _EXPORT,
    ".pam .cin .dpx .jbg .jls .pict .pct": _EXPORT,
    ".exr .hdr .fits .fit .dcm .nii .h5 .hdf .grib .bufr": f"the range of their values is not known, so {_EXPORT}",
    ".mp4 .mov .avi .mkv .webm .mpg .mpeg .m4v .wmv .flv .3gp .mts .m2ts .ogv": "save their frames as .png or .jpg",
    ".zip .tar .tgz .gz .bz2 .xz .zst .rar .7z": "unpack them here",
    ".npy .npz .mat .pt .pkl .tfrecord": "give s2id.pictures a tensor",
    ".parquet .arrow": "the preset hub reads a folder of them",
    ".csv .tsv .xlsx .xls .ods .json .jsonl": "labels are read from metadata.csv or metadata.jsonl",
}  # fmt: skip
"""Endings of files that hold pictures, or labels of pictures, and are not read -> what to do."""

_ADVICE = {ending: advice for endings, advice in _UNREAD.items() for ending in endings.split()}

_STARTS = (
    b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"8BPS", b"\0\0\0\x0cJXL ",
    b"\xff\x0a\xfa", b"\0\0\0\x0cjP  ", b"qoif",
)  # fmt: skip
"""First bytes of common formats."""


def opened(source: Path | BytesIO) -> Image.Image:
    """The picture in a file, whose pixels are not decoded yet.

    Raises:
        UnidentifiedImageError: It is of none of the formats in `RASTER`.
        ValueError: It says that it has more pixels than Pillow reads.
    """
    endings()  # adds formats to Pillow
    with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
        try:
            return Image.open(source, formats=[kind for kind in RASTER if kind in Image.OPEN])
        except Image.DecompressionBombError as error:
            most = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # as Pillow has it
            raise ValueError(f"more than {most:,} pixels are not read") from error


@cache
def endings() -> frozenset[str]:
    """Endings of the files that are opened, in lower case with their dots."""
    for name in _PLUGINS:
        with suppress(ImportError):
            module = __import__(name)
            getattr(module, "register_heif_opener", lambda: None)()
    Image.init()
    return frozenset(
        ending for ending, kind in Image.registered_extensions().items() if kind in RASTER and kind in Image.OPEN
    )


def unread(files: Iterable[Path]) -> list[str]:
    """A sentence for each kind of files that look like pictures, or like labels of pictures, and are not read.

    A file of an unknown ending is looked into.

    Args:
        files: Files whose ending is none of `endings`.
    """
    by_ending: dict[str, list[Path]] = {}
    for file in files:
        ending = file.suffix.lower()
        if ending in _ADVICE or _begins_as_picture(file):
            by_ending.setdefault(ending if ending in _ADVICE else "", []).append(file)
    return [
        f"{len(some):,} {ending or 'picture'} {'file is' if len(some) == 1 else 'files are'} not read, the first: "
        f"{some[0]}; {_ADVICE.get(ending, 'give it the ending of a picture, such as .jpg')}."
        for ending, some in sorted(by_ending.items())
    ]


def _begins_as_picture(file: Path) -> bool:
    """Whether a file begins as files of common formats do."""
    try:
        with open(file, "rb") as content:
            start = content.read(16)
    except OSError:
        return False
    inside = start[8:12] if start[:4] == b"RIFF" else start[4:12]
    return start.startswith(_STARTS) or inside in (b"WEBP", b"ftypavif", b"ftypheic", b"ftypmif1")
