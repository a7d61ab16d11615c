"""Pictures of many sources in one memory-mapped .npy file: a set larger than memory trains with flat memory.

The file is made once, by several processes if asked, and anew when its key changes: of a folder, its listing (names,
lengths, times) and the long side.
"""

import hashlib
import json
import math
import signal
import tempfile
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from multiprocessing import current_process, get_context
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from filelock import FileLock
from jaxtyping import Int, UInt8
from torch import Tensor

from s2id.errors import InputError
from s2id.files import replacing
from s2id.images import decode
from s2id.settings import Size

_FORMAT = "s2id-pictures-3"

_ALONE = 64
"""Pictures read before other processes are worth their start."""

_CHUNK = 8
"""Pictures that a process is given at a time."""

_RARE = 32
"""Sizes of fewer pictures look for company: a batch holds one size."""

_STEP = 16 / 15
"""Ratio of neighbouring aspects among which they look; nothing loses more than a sixteenth of its shorter side."""


@dataclass(frozen=True)
class Entry:
    """One picture to read."""

    name: str
    """For messages."""
    source: Path | bytes
    fields: dict[str, str] = field(default_factory=dict)
    """What else is known of it; every entry has the same names."""


@dataclass(frozen=True)
class Stored:
    """Pictures of one size, mapped from the file, and which of the entries each came from."""

    images: UInt8[Tensor, "n c h w"]
    index: Int[Tensor, " n"]


@dataclass(frozen=True)
class Kept:
    """What the file holds and what was said with it."""

    groups: tuple[Stored, ...]
    """By size, the most frequent first."""
    skipped: tuple[str, ...]
    """Entries left out, and why."""
    columns: dict[str, list[str]]
    """The entries' fields."""
    facts: dict[str, Any]
    count: int
    """Of the entries, those left out too."""


def picture(source: Path | BytesIO, name: str, long_side: int | None) -> UInt8[Tensor, "c h w"]:
    """What a file of pixels shows; arguments and errors as for `images.decode`."""
    return decode(source, name, long_side=long_side)


Reader = Callable[[Any, str, int | None], UInt8[Tensor, "c h w"]]
"""(source, name for messages, long side) -> what an entry shows; other processes must find it by its name."""


def store(
    root: Path,
    files: Sequence[Path],
    long_side: int | None,
    cache: Path,
    workers: int = 0,
    read: Reader = picture,
    part: str = "",
) -> Kept:
    """The pictures of files by size, and why some are left out.

    Args:
        root: Folder of the files.
        files: The pictures.
        long_side: Shrink larger ones to this by area means; `None` leaves them as they are. None is ever enlarged.
        cache: Folder of the memory-mapped files.
        workers: Processes that read; 0 reads in this one.
        read: What a file shows.
        part: Which of the folder's files these are, where several parts of it are kept beside each other.

    Raises:
        InputError: The cache cannot be written.
    """
    listing = [(str(f.relative_to(root)), (s := f.stat()).st_size, s.st_mtime_ns) for f in files]
    entries = (Entry(str(file), file) for file in files)
    name = f"{root.resolve()}-{part}" if part else str(root.resolve())
    return keep(name, [long_side, listing], lambda: (entries, {}), long_side, cache, workers, read)


def keep(
    name: str,
    key: Any,  # noqa: ANN401  (anything that JSON writes)
    entries: Callable[[], tuple[Iterable[Entry], dict[str, Any]]],
    long_side: int | None,
    cache: Path,
    workers: int = 0,
    read: Reader = picture,
) -> Kept:
    """Pictures by size, read once and kept until their key changes.

    Args:
        name: Of the source; each name and long side has a file of its own.
        key: What the pictures depend on.
        entries: The pictures and facts of them all, asked for only if they are not kept already.
        long_side: Shrink larger pictures to this by area means; `None` leaves them as they are.
        cache: Folder of the memory-mapped files.
        workers: Processes that read; 0 reads in this one.
        read: What an entry shows.

    Raises:
        InputError: The cache cannot be written.
    """
    if getattr(current_process(), "_inheriting", False):  # its parent holds the lock and waits for it
        raise RuntimeError("a script that reads pictures in processes needs `if __name__ == '__main__':`")
    digest = hashlib.sha256(json.dumps([_FORMAT, key]).encode()).hexdigest()[:32]
    whose = hashlib.sha256(json.dumps(name).encode()).hexdigest()[:12]
    place = cache / f"{Path(name).name[:40]}-{whose}-{long_side or 'full'}"
    pixels, facts = place / f"{digest}.npy", place / f"{digest}.json"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / ".lock"):  # processes of one run read once
            if not (facts.is_file() and pixels.is_file()):
                found, said = entries()
                _build(_read(iter(found), long_side, workers, read), said, pixels, facts)
                for old in {*place.glob("*.npy"), *place.glob("*.json")} - {pixels, facts}:
                    old.unlink()
            # still locked: a process with another key removes these files
            said = json.loads(facts.read_text())
            flat = _mapped(pixels)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{place} cannot be used to keep shrunk pictures ({error}); free or empty it.") from error
    parts = flat.split([math.prod(group["shape"]) for group in said["groups"]])
    groups = [
        Stored(part.view(group["shape"]), torch.tensor(group["index"]))
        for part, group in zip(parts, said["groups"], strict=True)
    ]
    return Kept(tuple(groups), tuple(said["skipped"]), said["columns"], said["facts"], said["count"])


def _mapped(pixels: Path) -> UInt8[Tensor, " n"]:
    """The bytes of a file, on disk until they are looked at; not to be written to.

    Read-only: of a private writable map the system may demand that all of it fits into memory.
    """
    with warnings.catch_warnings(action="ignore"):  # torch warns that it cannot protect what is read-only
        return torch.from_numpy(np.load(pixels, mmap_mode="r"))


def _build(
    found: Iterable[tuple[Entry, UInt8[np.ndarray, "c h w"] | str]], facts: dict[str, Any], pixels: Path, target: Path
) -> None:
    """Take every entry once into a spool, then write the pictures of each size after another."""
    shapes: list[tuple[int, int, int, int]] = []  # index, channels, height, width
    skipped: list[str] = []
    columns: dict[str, list[str]] = {}
    count = 0
    with tempfile.TemporaryFile(dir=pixels.parent) as spool:
        for index, (entry, image) in enumerate(found):
            count += 1
            for name, value in entry.fields.items():
                columns.setdefault(name, []).append(value)
            if isinstance(image, str):
                skipped.append(_printable(image))
                continue
            spool.write(image.tobytes())
            shapes.append((index, *image.shape))
        groups = _gather(spool, shapes, pixels)
    with replacing(target) as out:
        said = {"groups": groups, "skipped": skipped, "columns": columns, "facts": facts, "count": count}
        out.write(json.dumps(said).encode())


def _printable(text: str) -> str:
    """A name's bytes that are no text, written out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _read(
    entries: Iterator[Entry], long_side: int | None, workers: int, read: Reader
) -> Iterator[tuple[Entry, UInt8[np.ndarray, "c h w"] | str]]:
    """Each entry with its picture or why there is none, in their order; few are in memory at a time."""
    first = list(islice(entries, _ALONE)) if workers else entries
    for entry in first:
        yield from _decode([entry], long_side, read)
    if not workers or not (some := list(islice(entries, _CHUNK))):
        return
    waiting: deque[tuple[list[Entry], Future[list[tuple[Entry, UInt8[np.ndarray, "c h w"] | str]]]]] = deque()
    pool = _pool(workers)
    try:
        while some or waiting:
            if some:
                try:
                    waiting.append((some, pool.submit(_decode, some, long_side, read)))
                except BrokenProcessPool:
                    pool = _pool(workers)
                    continue
                some = list(islice(entries, _CHUNK))
            if not some or len(waiting) > 2 * workers:
                given, future = waiting.popleft()
                try:
                    yield from future.result()
                except BrokenProcessPool:
                    yield from _one_by_one(given, long_side, read)
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(
    entries: Sequence[Entry], long_side: int | None, read: Reader
) -> list[tuple[Entry, UInt8[np.ndarray, "c h w"] | str]]:
    """Each entry with its picture, or why there is none."""

    def one(entry: Entry) -> UInt8[np.ndarray, "c h w"] | str:
        source = BytesIO(entry.source) if isinstance(entry.source, bytes) else entry.source
        try:
            return read(source, entry.name, long_side).numpy()
        except InputError as error:
            return str(error)

    return [(entry, one(entry)) for entry in entries]


def _pool(workers: int) -> ProcessPoolExecutor:
    """Processes that read; spawned, for a fork of a process with threads may hang."""
    return ProcessPoolExecutor(workers, get_context("spawn"), _begin)


def _begin() -> None:
    """What a reading process does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run is stopped by whoever started it
    torch.set_num_threads(1)


def _one_by_one(
    entries: Sequence[Entry], long_side: int | None, read: Reader
) -> Iterator[tuple[Entry, UInt8[np.ndarray, "c h w"] | str]]:
    """The same as `_decode` after a process died of one of the entries: that one is left out.

    Raises:
        InputError: No process lives long enough to read anything.
    """
    pool = _pool(1)
    try:
        pool.submit(int).result()
        for entry in entries:
            try:
                yield from pool.submit(_decode, [entry], long_side, read).result()
            except BrokenProcessPool:
                yield entry, f"{entry.name} ended the process that read it; replace or remove it."
                pool = _pool(1)
    except BrokenProcessPool as error:
        raise InputError(
            "processes that read pictures end at once; a script needs `if __name__ == '__main__':` around what it "
            "does, or workers=0."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def shared_sizes(sizes: Sequence[Size]) -> list[Size]:
    """The size at which each picture is kept: its own, or one a little less that it shares with others.

    A batch holds pictures of one size, so a size that few have is cut: the shorter side down to the next aspect of a
    geometric series, where that makes more than one size the same.
    """
    count = Counter(sizes)

    def shorter(size: Size) -> Size:
        if count[size] >= _RARE:
            return size
        long, short = max(size), min(size)
        cut = round(long / _STEP ** math.ceil(math.log(long / short, _STEP) - 1e-9))
        return (long, cut) if size[0] == long else (cut, long)

    asked = {size: shorter(size) for size in count}
    met = Counter(asked.values())
    return [asked[size] if met[asked[size]] > 1 else size for size in sizes]


def _gather(spool: IO[bytes], shapes: list[tuple[int, int, int, int]], pixels: Path) -> list[dict[str, list[int]]]:
    """Write the spooled pictures by size, all with as many channels as the most colourful one; what went where."""
    starts = np.cumsum([0, *(math.prod(shape[1:]) for shape in shapes)]).tolist()
    channels = max((shape[1] for shape in shapes), default=1)
    kept = shared_sizes([(height, width) for _, _, height, width in shapes])
    by_size: dict[Size, list[int]] = {}
    for i, size in enumerate(kept):
        by_size.setdefault(size, []).append(i)
    groups = []
    with replacing(pixels) as out:
        total = channels * sum(map(math.prod, kept))
        np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": (total,)})
        for size, members in sorted(by_size.items(), key=lambda item: -len(item[1])):
            for i in members:
                spool.seek(starts[i])
                whole = np.frombuffer(spool.read(starts[i + 1] - starts[i]), np.uint8).reshape(shapes[i][1:])
                top, left = ((side - cut) // 2 for side, cut in zip(shapes[i][2:], size, strict=True))
                part = whole[:, top : top + size[0], left : left + size[1]]
                out.write(part.tobytes() * (channels // shapes[i][1]))
            groups.append({"shape": [len(members), channels, *size], "index": [shapes[i][0] for i in members]})
    return groups


CACHE = Path.home() / ".cache" / "s2id"
