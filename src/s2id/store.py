"""Pictures of many files in one memory-mapped .npy file: a set larger than memory trains with flat memory.

The file is made once per folder and long side, and anew when the folder's listing (names, lengths, times) changes.
"""

import hashlib
import json
import math
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
from filelock import FileLock
from jaxtyping import Int, UInt8
from torch import Tensor

from s2id.config import InputError, Size
from s2id.images import read, replacing, resize, to_bytes, to_float

_FORMAT = "s2id-pictures-1"


@dataclass(frozen=True)
class Stored:
    """Pictures of one size, mapped from the file, and which of the files each came from."""

    images: UInt8[Tensor, "n c h w"]
    index: Int[Tensor, " n"]


def store(
    root: Path,
    files: Sequence[Path],
    long_side: int | None,
    cache: Path,
    read: Callable[[Path], UInt8[Tensor, "c h w"]] = read,
) -> tuple[tuple[Stored, ...], tuple[str, ...]]:
    """The pictures of files by size, the most frequent first, and why some are left out.

    Args:
        root: Folder of the files.
        files: The pictures.
        long_side: Shrink larger ones to this by area means; `None` leaves them as they are. None is ever enlarged.
        cache: Folder of the memory-mapped files.
        read: What a file shows.

    Raises:
        InputError: The cache cannot be written.
    """
    listing = [(str(f.relative_to(root)), (s := f.stat()).st_size, s.st_mtime_ns) for f in files]
    key = hashlib.sha256(json.dumps([_FORMAT, long_side, listing]).encode()).hexdigest()[:32]
    whose = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]
    place = cache / f"{root.resolve().name}-{whose}-{long_side or 'full'}"
    pixels, facts = place / f"{key}.npy", place / f"{key}.json"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / ".lock"):  # processes of one run read the folder once
            if not (facts.is_file() and pixels.is_file()):
                _build(files, long_side, read, pixels, facts)
                for old in {*place.glob("*.npy"), *place.glob("*.json")} - {pixels, facts}:
                    old.unlink()
        said = json.loads(facts.read_text())
        flat = _mapped(pixels)
    except (OSError, ValueError) as error:
        raise InputError(f"{place} cannot be used to keep shrunk pictures ({error}); free or empty it.") from error
    parts = flat.split([math.prod(group["shape"]) for group in said["groups"]])
    groups = [
        Stored(part.view(group["shape"]), torch.tensor(group["index"]))
        for part, group in zip(parts, said["groups"], strict=True)
    ]
    return tuple(groups), tuple(said["skipped"])


def _mapped(pixels: Path) -> UInt8[Tensor, " n"]:
    """The bytes of a file, on disk until they are looked at; not to be written to.

    Read-only: of a private writable map the system may demand that all of it fits into memory.
    """
    with warnings.catch_warnings(action="ignore"):  # torch warns that it cannot protect what is read-only
        return torch.from_numpy(np.load(pixels, mmap_mode="r"))


def capped(size: Size, long_side: int | None) -> Size:
    """A size with its long side cut to at most so many pixels, in the same aspect to the pixel."""
    if long_side is None or max(size) <= long_side:
        return size
    scale = long_side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _build(
    files: Sequence[Path],
    long_side: int | None,
    read: Callable[[Path], UInt8[Tensor, "c h w"]],
    pixels: Path,
    facts: Path,
) -> None:
    """Read every file once into a spool, then write the pictures of each size after another."""
    shapes: list[tuple[int, int, int, int]] = []  # index, channels, height, width
    skipped: list[str] = []
    with tempfile.TemporaryFile(dir=pixels.parent) as spool:
        for index, file in enumerate(files):
            try:
                image = read(file)
            except InputError as error:
                skipped.append(str(error))
                continue
            size = (image.shape[1], image.shape[2])
            if (small := capped(size, long_side)) != size:
                image = to_bytes(resize(to_float(image), small))
            spool.write(image.numpy().tobytes())
            shapes.append((index, len(image), *small))
        groups = _gather(spool, shapes, pixels)
    with replacing(facts) as out:
        out.write(json.dumps({"groups": groups, "skipped": skipped}).encode())


def _gather(spool: IO[bytes], shapes: list[tuple[int, int, int, int]], pixels: Path) -> list[dict[str, list[int]]]:
    """Write the spooled pictures by size, all with as many channels as the most colourful one; what went where."""
    starts = np.cumsum([0, *(math.prod(shape[1:]) for shape in shapes)]).tolist()
    channels = max((shape[1] for shape in shapes), default=1)
    by_size: dict[Size, list[int]] = {}
    for i, (_, _, height, width) in enumerate(shapes):
        by_size.setdefault((height, width), []).append(i)
    groups = []
    with replacing(pixels) as out:
        total = channels * sum(height * width for _, _, height, width in shapes)
        np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": (total,)})
        for size, members in sorted(by_size.items(), key=lambda item: -len(item[1])):
            for i in members:
                spool.seek(starts[i])
                plane = spool.read(starts[i + 1] - starts[i])
                out.write(plane * (channels // shapes[i][1]))
            groups.append({"shape": [len(members), channels, *size], "index": [shapes[i][0] for i in members]})
    return groups
