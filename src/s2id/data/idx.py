"""MNIST and Fashion-MNIST, read from their published idx files, which are downloaded if they are nowhere."""

import gzip
import hashlib
import http.client
import math
import struct
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from s2id.data import cache
from s2id.data.pictures import Group, Pictures
from s2id.data.request import Request
from s2id.errors import InputError
from s2id.files import replacing

_LARGEST = 2**26
"""Most bytes of a file that is downloaded, and of the array in it; the largest of these data sets has 47 MB."""

DIGITS = tuple("0123456789")

CLOTHES = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot",
)  # fmt: skip


@dataclass(frozen=True)
class _Published:
    """A data set that is published as four idx files."""

    source: str
    """Address of the folder that holds the files."""
    labels: tuple[str, ...]
    """Name of each class."""
    raw: str
    """Folder of the files where torchvision keeps them, below its root."""
    sha256: dict[str, str]
    """Name of each file -> its SHA-256."""


_PUBLISHED = {
    "mnist": _Published(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        DIGITS,
        "MNIST/raw",
        {
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
    "fashion-mnist": _Published(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        CLOTHES,
        "FashionMNIST/raw",
        {
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
}


def read(request: Request) -> Pictures:
    """The pictures and classes of one of the two data sets.

    Raises:
        InputError: A file is missing and cannot be downloaded, or is damaged.
    """
    name = request.name
    stem = "train" if request.split == "train" else "t10k"
    images = _idx(_locate(name, f"{stem}-images-idx3-ubyte.gz", request.folder), dimensions=3)
    labels = _idx(_locate(name, f"{stem}-labels-idx1-ubyte.gz", request.folder), dimensions=1)
    if len(images) != len(labels):
        raise InputError(f"{name} has {len(images)} images and {len(labels)} labels; fetch its files again.")
    if labels.max() >= len(_PUBLISHED[name].labels):
        raise InputError(
            f"{name} has a label {labels.max()}, and {len(_PUBLISHED[name].labels)} classes from 0; fetch it again."
        )
    group = Group(torch.from_numpy(images)[:, None], torch.from_numpy(labels).long())
    return Pictures(name, (group,), _PUBLISHED[name].labels)


def _locate(name: str, file: str, folder: Path | None) -> Path:
    """Path of a file in the given folder, or by default in ./data or the cache, into which it is downloaded if need be.

    Below a folder, the data set's own name and torchvision's layout are tried as well.
    """
    for root in _roots(folder):
        for place in (root / name, root / _PUBLISHED[name].raw, root):
            if (place / file).is_file() and (place != root or folder):
                return place / file
    if folder:
        raise InputError(f"{folder} holds no {file}; put the four files of {name} there: {_names(name)}.")
    return _download(name, file, cache.folder() / name / file)


def _roots(folder: Path | None) -> Iterator[Path]:
    """Folders to look in; that of the cache is not looked up if it is not needed."""
    if folder:
        yield folder
    else:
        yield Path("data")
        yield cache.folder()


def _names(name: str) -> str:
    """The data set's files, for error messages."""
    return ", ".join(_PUBLISHED[name].sha256)


def _download(name: str, file: str, target: Path, open_url: Callable[..., object] = urllib.request.urlopen) -> Path:
    """Path of a file fetched from its publisher; a file with another checksum than the published one is not kept."""
    published = _PUBLISHED[name]
    try:
        with open_url(published.source + file, timeout=30) as answer:  # type: ignore[attr-defined]
            body = answer.read(_LARGEST)
    except (OSError, http.client.HTTPException) as error:
        raise InputError(
            f"{file} of {name} is not here and cannot be downloaded; put the four files "
            f"{_names(name)} into a folder and name it with --data."
        ) from error
    found = hashlib.sha256(body).hexdigest()
    if found != published.sha256[file]:
        raise InputError(
            f"the download of {file} is not the published one (sha256 {found[:12]}..., expected "
            f"{published.sha256[file][:12]}...); fetch it another way and use --data."
        )
    with replacing(target) as out:
        out.write(body)
    return target


def _idx(path: Path, dimensions: int) -> UInt8[np.ndarray, "..."]:
    """Array in a gzipped idx file of bytes; the file's header gives its shape (LeCun's format).

    No more is unpacked than the header promises, because a small file may unpack to any length.
    """
    try:
        with gzip.open(path) as file:
            header = file.read(4 + 4 * dimensions)
            if len(header) < 4 + 4 * dimensions:
                raise EOFError
            kind, shape = header[2:4], struct.unpack_from(f">{dimensions}I", header, 4)
            size = math.prod(shape)
            if kind != bytes([8, dimensions]) or not 0 < size <= _LARGEST:
                raise ValueError("its header is none of this data set")
            body = file.read(size + 1)
        if len(body) != size:
            raise ValueError("its header and length do not agree")
        return np.frombuffer(bytearray(body), np.uint8).reshape(shape)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise InputError(f"{path} is no complete idx file ({error or 'it ends early'}); fetch it again.") from error
