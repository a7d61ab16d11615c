"""Decoding pictures, in this process or in several, in their order and with few in memory at a time.

A picture that cannot be read costs a sentence, not the data set; nor does one whose decoder ends the process.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from s2id.errors import InputError, LostError
from s2id.media.images import decode

_ALONE = 64
"""Number of pictures that are decoded here before other processes are worth their start."""

_CHUNK = 8
"""Number of pictures that a process is given at a time."""


@dataclass(frozen=True)
class Entry:
    """A picture that is still to be decoded."""

    name: str
    """Name of the picture in error messages."""
    source: Path | bytes
    """File of the picture, or the file's content."""
    fields: dict[str, str] = field(default_factory=dict)
    """Labels of the picture as text, by column. Every entry of a data set has the same columns."""


Decoder = Callable[[Any, str, int | None], UInt8[Tensor, "c h w"]]
"""Function (source, name for messages, long side) -> picture. Other processes import it by its name."""


class Lost(str):
    """A sentence about a picture that was lost through no fault of its own, as when a process was ended."""


_Outcome = UInt8[np.ndarray, "c h w"] | str
"""A picture, or a sentence that says why there is none."""


def picture(source: Path | BytesIO, name: str, long_side: int | None) -> UInt8[Tensor, "c h w"]:
    """The decoder of ordinary picture files; arguments and errors as for `images.decode`."""
    return decode(source, name, long_side=long_side)


def decoded(
    entries: Iterator[Entry], long_side: int | None, workers: int, decoder: Decoder = picture
) -> Iterator[tuple[Entry, _Outcome]]:
    """Each entry with its picture, or with the reason why it has none.

    Args:
        entries: What to decode, and in which order.
        long_side: Larger pictures are shrunk to this many pixels along the longer side; `None` shrinks none.
        workers: Number of other processes that decode; 0 decodes in this process.
        decoder: Function that makes a picture of an entry's source.

    Raises:
        InputError: The other processes end before they decode anything.
    """
    first = list(islice(entries, _ALONE)) if workers else entries
    for entry in first:
        yield from _decode([entry], long_side, decoder)
    if not workers or not (some := list(islice(entries, _CHUNK))):
        return
    waiting: deque[tuple[list[Entry], Future[list[tuple[Entry, _Outcome]]]]] = deque()
    pool = _pool(workers)
    try:
        while some or waiting:
            if some:
                try:
                    waiting.append((some, pool.submit(_decode, some, long_side, decoder)))
                except BrokenProcessPool:
                    pool = _pool(workers)
                    continue
                some = list(islice(entries, _CHUNK))
            if not some or len(waiting) > 2 * workers:
                given, future = waiting.popleft()
                try:
                    yield from future.result()
                except BrokenProcessPool:
                    yield from _one_by_one(given, long_side, decoder)
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(entries: Sequence[Entry], long_side: int | None, decoder: Decoder) -> list[tuple[Entry, _Outcome]]:
    """The same as `decoded`, in this process and at once."""

    def one(entry: Entry) -> _Outcome:
        source = BytesIO(entry.source) if isinstance(entry.source, bytes) else entry.source
        try:
            return decoder(source, entry.name, long_side).numpy()
        except InputError as error:
            return (Lost if isinstance(error, LostError) else str)(error)

    return [(entry, one(entry)) for entry in entries]


def _pool(workers: int) -> ProcessPoolExecutor:
    """A pool of decoding processes. They are spawned, because a fork of a process with threads may hang."""
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin)
    with _unheard():
        for _ in range(workers):
            pool.submit(int)  # which starts a process
    return pool


@contextmanager
def _unheard() -> Iterator[None]:
    """A block that starts processes which Ctrl-C does not end: it is for the process that starts them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    """Set up a decoding process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)


def _end_with_parent() -> None:
    """End this process as soon as the one that started it has ended, however that was."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _one_by_one(entries: Sequence[Entry], long_side: int | None, decoder: Decoder) -> Iterator[tuple[Entry, _Outcome]]:
    """The same as `decoded`, after a process has ended on one of the entries: the culprit is found and left out.

    Raises:
        InputError: A new process ends at once, before it decodes anything.
    """
    pool = _pool(1)
    try:
        pool.submit(int).result()
        for entry in entries:
            try:
                yield from pool.submit(_decode, [entry], long_side, decoder).result()
            except BrokenProcessPool:
                yield entry, Lost(f"{entry.name} ended the process that read it; replace or remove it.")
                pool = _pool(1)
    except BrokenProcessPool as error:
        raise InputError(
            "processes that read pictures end at once; a script needs `if __name__ == '__main__':` around what it "
            "does, or workers=0."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
