"""Standard streams that take any text, whatever their encoding, and whether or not anyone reads them."""

import io
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

_NARROWEST = 40
"""Columns that text is laid out for, at least: help has two columns, and tyro never ends where they have no room."""


class OutputError(OSError):
    """Standard output can no longer be written."""


class _File(io.FileIO):
    """The file below a standard stream. What cannot be written is dropped; the first time, it may be an error."""

    def __init__(self, number: int, needed: bool) -> None:
        super().__init__(number, "wb", closefd=False)
        self._needed = needed

    def write(self, data: Any, /) -> int:  # noqa: ANN401  (any buffer)
        try:
            return super().write(data)
        except OSError as error:
            if self._needed:
                self._needed = False
                raise OutputError(error.errno, error.strerror) from error
            return len(data)


@contextmanager
def any_text() -> Iterator[None]:
    """A block in which the standard streams exist and take every text, and a narrow terminal counts as wider.

    A character that a stream's encoding lacks becomes a question mark. Standard error drops what cannot be written,
    for nobody may be listening to progress; standard output raises `OutputError` once.
    """
    before, columns = (sys.stdin, sys.stdout, sys.stderr), os.environ.get("COLUMNS")
    with ExitStack() as stack:
        # in place of a closed stream, whose number a file that is opened later would get
        stdin, stdout, stderr = (one or stack.enter_context(open(os.devnull, "r+", encoding="utf-8")) for one in before)
        sys.stdin, sys.stdout, sys.stderr = stdin, _tolerant(stdout, needed=True), _tolerant(stderr, needed=False)
        if shutil.get_terminal_size().columns < _NARROWEST:
            os.environ["COLUMNS"] = str(_NARROWEST)
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            sys.stdin, sys.stdout, sys.stderr = before
            if columns is None:
                os.environ.pop("COLUMNS", None)
            else:
                os.environ["COLUMNS"] = columns


def _tolerant(stream: Any, needed: bool) -> Any:  # noqa: ANN401  (of any kind)
    """A stream to the same place; a notebook's streams, which take every text, are left as they are."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    raw = getattr(stream.buffer, "raw", stream.buffer)  # an unbuffered stream is on the file itself
    if not isinstance(raw, io.FileIO):
        stream.reconfigure(errors="replace")
        return stream
    stream.flush()
    file = _File(raw.fileno(), needed)
    return io.TextIOWrapper(
        file if raw is stream.buffer else io.BufferedWriter(file),
        stream.encoding,
        "replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
