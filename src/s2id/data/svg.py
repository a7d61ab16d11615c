"""Drawing SVG files of any origin: each is drawn by another process (`data.svg_process`), which may be lost over it."""

import atexit
import io
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from threading import Lock, Timer

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from s2id.data.svg_process import ANSWER, MOST_BYTES, REQUEST
from s2id.errors import InputError

SECONDS = 5
"""Time of the processor that one drawing may take; a large one may take four seconds more per megapixel."""

MEGABYTES = 512
"""Memory that one drawing may take; a large one may take as much more as 16 of its layers."""

PATIENCE = 6
"""How many times as long a drawing may last by the clock, because other programs run too."""


def installed() -> bool:
    """Whether resvg, which the other process needs, is installed."""
    return find_spec("resvg_py") is not None


def draw(content: bytes, name: str, side: int) -> UInt8[np.ndarray, "h w 4"]:
    """The picture that an SVG file shows, as large as fits into a square of `side` pixels: RGBA, premultiplied.

    Args:
        content: The file, perhaps compressed by gzip.
        name: Name of the file for messages.
        side: Side of the square, in pixels.

    Raises:
        InputError: The file cannot be drawn, within the limits and by itself; or resvg is not installed.
    """
    if not installed():
        raise InputError("SVG needs resvg; pip install 's2id[vectors]' brings it.")
    try:
        if len(content) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES} bytes")
        with Image.open(io.BytesIO(_DRAWER.png(content, side)), formats=["PNG"]) as image:
            return np.array(image.convert("RGBA").convert("RGBa"))
    except (OSError, ValueError) as error:
        raise InputError(f"{name} cannot be drawn as SVG ({error}); replace or remove it.") from error


class _Drawer:
    """The other process, which is started when it is first needed, and anew after a file has ended it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._lock = Lock()

    def png(self, content: bytes, side: int) -> bytes:
        """PNG file of what an SVG file shows.

        Raises:
            ValueError: It cannot be drawn.
            OSError: No process can be started.
        """
        megapixels = side**2 // 2**20
        seconds, megabytes = SECONDS + 4 * megapixels, MEGABYTES + 64 * megapixels
        with self._lock:
            process = self._running()
            timer = Timer(PATIENCE * seconds, process.kill)
            timer.start()
            try:
                drawn, answer = _asked(process, REQUEST.pack(side, seconds, megabytes * 2**20, len(content)) + content)
            except EOFError:
                code = process.wait()
                late = code == -getattr(signal, "SIGXCPU", 0) or not timer.is_alive()
                self.close()
                why = f"takes more than {seconds} s" if late else f"goes too deep or takes more than {megabytes} MB"
                raise ValueError(f"drawing it {why}") from None
            finally:
                timer.cancel()
        if not drawn:
            raise ValueError(answer.decode())
        return answer

    def _running(self) -> "subprocess.Popen[bytes]":
        """The process, started if there is none of this one's own: a fork has its parent's, which it must not use."""
        if self._owner == os.getpid() and self._process is not None and self._process.poll() is not None:
            self.close()
        if self._process is None or self._owner != os.getpid():
            self._process, self._owner = (
                subprocess.Popen(
                    [sys.executable, "-P", "-m", "s2id.data.svg_process"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                    start_new_session=True,  # Ctrl-C is for this process, with which the other one ends
                ),
                os.getpid(),
            )
        return self._process

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            try:
                stream.close()
            except OSError:  # what was still to be written is lost with the process
                pass


def _asked(process: "subprocess.Popen[bytes]", request: bytes) -> tuple[bool, bytes]:
    """Whether a request is granted, and the answer.

    Raises:
        EOFError: The process ends before it answers.
    """
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(request)
        process.stdin.flush()
    except OSError as error:
        raise EOFError from error
    head = process.stdout.read(ANSWER.size)
    if len(head) < ANSWER.size:
        raise EOFError
    drawn, length = ANSWER.unpack(head)
    answer = process.stdout.read(length)
    if len(answer) < length:
        raise EOFError
    return drawn, answer


_DRAWER = _Drawer()
atexit.register(_DRAWER.close)
