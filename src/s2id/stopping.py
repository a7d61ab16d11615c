"""Requests to stop: Ctrl-C, SIGTERM and SIGHUP end a program in order, any of them once more ends it at once.

In order means that contexts are left and files that are half written are removed. At once means the latter alone: it
works in a call into C that takes minutes as well, because a thread waits for it.
"""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]

_ONE_PRESS = 0.2
"""Seconds within which signals count as one: a terminal and a launcher may both pass on the same Ctrl-C."""

_PATIENCE = 10.0
"""Seconds that a program has to end in order after SIGTERM or SIGHUP, whose senders ask only once, unless it trains."""

_unfinished: set[Path] = set()

_promises: list[Callable[[int], None]] = []
"""What requests do now in blocks that end in their own time, such as a training's step and its checkpoint."""


class Stopped(KeyboardInterrupt):
    """A signal asked the program to stop."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number
        """Exit code of the program, as a shell would report it."""


@contextmanager
def stoppable(ask: Callable[[int], None] | None = None) -> Iterator[list[int]]:
    """The numbers of the signals that have asked to stop since the block began.

    Args:
        ask: What a request does, given the signal's number, e.g. leave a loop after its present step, for which it then
            has all the time that it needs. `None`: it raises `Stopped`.
    """
    came: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if ask is None:
            raise Stopped(number)
        ask(number)

    if not _in_main_thread():  # only there are signals handled
        yield came
        return
    nohup = [s for s in _SIGNALS if s not in (signal.SIGINT, signal.SIGTERM) and signal.getsignal(s) is signal.SIG_IGN]
    promised = [ask] if ask else []
    _promises.extend(promised)
    before = {s: signal.signal(s, handle) for s in _SIGNALS if s not in nohup}
    try:
        yield came
    finally:
        del _promises[len(_promises) - len(promised) :]
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def impatient() -> Iterator[None]:
    """A block in which a second request to stop ends the program at once, with 128 and its number as the exit code.

    The first SIGTERM or SIGHUP does so too if the block goes on for ten seconds more and does not train.
    """
    if not _in_main_thread():
        yield
        return
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    before = signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
    waiting = threading.Thread(target=_wait_for_second, args=(reads,), daemon=True)
    waiting.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writes)
        waiting.join()
        os.close(reads)


def leave_at_once(code: int) -> None:
    """Make requests to stop end the program at once from now on, when all is done but for Python's own end.

    Args:
        code: Exit code of the program.
    """
    for number in _SIGNALS:
        signal.signal(number, lambda *_: os._exit(code))


@contextmanager
def uninterrupted() -> Iterator[None]:
    """A short block that Ctrl-C does not break in the middle: it is acted on at the end."""
    if not _in_main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda *signals: came.append(signals))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came and callable(before):
            before(*came[0])


@contextmanager
def unfinished(path: Path) -> Iterator[None]:
    """A file or folder that is removed, if it is still there, when the block or the program ends."""
    _unfinished.add(path)
    try:
        yield
    finally:
        _remove(path)
        _unfinished.discard(path)


def say(text: str) -> None:
    """Write a line to standard error, also amid another write to it, as in a signal's handler."""
    with suppress(OSError):
        os.write(2, f"\n{text}\n".encode())


def _wait_for_second(reads: int) -> None:
    first, over = 0.0, threading.Event()
    while read := os.read(reads, 1):
        if (number := read[0]) not in _SIGNALS:
            continue
        now = time.monotonic()
        if first and now - first > _ONE_PRESS:
            _end(number)
        first = first or now
        if number != signal.SIGINT:
            threading.Thread(target=_lose_patience, args=(over, number), daemon=True).start()
    over.set()


def _lose_patience(over: threading.Event, number: int) -> None:
    while not over.wait(_PATIENCE):
        if not _promises:
            _end(number)


def _end(number: int) -> NoReturn:
    for path in tuple(_unfinished):
        _remove(path)
    say("s2id: stopped at once")
    os._exit(128 + number)


def _remove(path: Path) -> None:
    with suppress(OSError):  # it may not exist
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
