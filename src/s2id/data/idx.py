"""MNIST and Fashion-MNIST, from their published idx files."""

import gzip
import hashlib
import http.client
import struct
import urllib.request
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from s2id.data.cache import CACHE
from s2id.data.pictures import Group, Pictures, Split
from s2id.errors import InputError
from s2id.files import replacing

DIGITS = tuple("0123456789")

CLOTHES = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot",
)  # fmt: skip


@dataclass(frozen=True)
class _Published:
    """Where a data set of four idx files is published, and what they must be."""

    source: str
    labels: tuple[str, ...]
    sha256: dict[str, str]


_PUBLISHED = {
    "mnist": _Published(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        DIGITS,
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
        {
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
}


def _idx_set(name: str, folder: Path | None, split: Split) -> Pictures:
    published = _PUBLISHED[name]
    stem = "train" if split == "train" else "t10k"
    images = _idx(_locate(name, f"{stem}-images-idx3-ubyte.gz", folder), dimensions=3)
    labels = _idx(_locate(name, f"{stem}-labels-idx1-ubyte.gz", folder), dimensions=1)
    if len(images) != len(labels):
        raise InputError(f"{name} has {len(images)} images and {len(labels)} labels; fetch its files again.")
    group = Group(torch.from_numpy(images)[:, None], torch.from_numpy(labels).long())
    return Pictures(name, (group,), published.labels)


def _locate(name: str, file: str, folder: Path | None) -> Path:
    """The file in the given folder, a usual place below it, or the cache; else downloaded into the cache."""
    roots = [folder] if folder else [Path("data"), CACHE]
    raw = {"mnist": "MNIST/raw", "fashion-mnist": "FashionMNIST/raw"}[name]
    for root in roots:
        for place in (root / name, root / raw, root):
            if (place / file).is_file() and (place != root or folder):
                return place / file
    if folder:
        raise InputError(f"{folder} holds no {file}; put the four files of {name} there: {_names(name)}.")
    return _download(name, file, CACHE / name / file)


def _names(name: str) -> str:
    return ", ".join(_PUBLISHED[name].sha256)


def _download(name: str, file: str, target: Path, open_url: Callable[..., object] = urllib.request.urlopen) -> Path:
    published = _PUBLISHED[name]
    try:
        with open_url(published.source + file, timeout=30) as answer:  # type: ignore[attr-defined]
            body = answer.read()
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


def _idx(path: Path, dimensions: int) -> np.ndarray:
    """The bytes of an idx file, shaped as its header says (LeCun's format)."""
    try:
        with gzip.open(path) as file:
            raw = file.read()
        kind, shape = raw[2:4], struct.unpack_from(f">{dimensions}I", raw, 4)
        body = np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions)
        if kind != bytes([8, dimensions]) or body.size != int(np.prod(shape)) or not body.size:
            raise ValueError("its header and length do not agree")
        return body.reshape(shape).copy()
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise InputError(f"{path} is no complete idx file ({error or 'it ends early'}); fetch it again.") from error
