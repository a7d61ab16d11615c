"""Another process for work on files of any origin, which may be lost over any of them (`guarded_process`)."""

import atexit
import os
import signal
import subprocess
import sys
from threading import Lock, Timer

from s2id.errors import LostError, SlowError
from s2id.guarded_process import ANSWER, REQUEST

PATIENCE = 6
"""How many times as long a request may last by the clock as by the processor, because other programs run too."""


class Guarded:
    """The other process, which is started when it is first needed, and anew after a request has ended it."""

    def __init__(self, module: str, what: str) -> None:
        """A process that is not started yet.

        Args:
            module: Name of its program, whose `main` calls `guarded_process.serve`.
            what: What it does, for messages: "drawing".
        """
        self.module, self.what = module, what
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._lock = Lock()
        atexit.register(self.close)

    def ask(self, content: bytes, seconds: int, megabytes: int) -> bytes:
        """What the program makes of some bytes.

        Args:
            content: The bytes.
            seconds: Time of the processor that this may take.
            megabytes: Memory that the whole process may take.

        Raises:
            ValueError: It makes nothing of them, or is lost over them; the message is a clause that says why.
            SlowError: It takes more of the processor's time.
            LostError: It takes too long by the clock, or another program ends it: another time it may do better.
            OSError: No process can be started.
        """
        with self._lock:
            process = self._running()
            timer = Timer(PATIENCE * seconds, process.kill)
            timer.start()
            try:
                fine, answer = _asked(process, REQUEST.pack(seconds, megabytes * 2**20, len(content)) + content)
            except EOFError:
                code = process.wait()
                slow = code == -getattr(signal, "SIGXCPU", 0)
                late = slow or not timer.is_alive()
                killed = code == -getattr(signal, "SIGKILL", 0)  # as where the machine's memory runs out
                self.close()
                why = f"takes more than {seconds} s" if late else f"goes too deep or takes more than {megabytes} MB"
                kind = SlowError if slow else LostError if late or killed else ValueError
                raise kind(f"{self.what} it {why}") from None
            except BaseException:  # as Ctrl-C: an answer that is still to come would be taken for that to the next
                self.close()
                raise
            finally:
                timer.cancel()
        if not fine:
            raise ValueError(answer.decode())
        return answer

    def _running(self) -> "subprocess.Popen[bytes]":
        """The process, started if there is none of this one's own: a fork has its parent's, which it must not use."""
        if self._owner == os.getpid() and self._process is not None and self._process.poll() is not None:
            self.close()
        if self._process is None or self._owner != os.getpid():
            self._process, self._owner = (
                subprocess.Popen(
                    [sys.executable, "-P", "-m", self.module],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"},
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
    fine, length = ANSWER.unpack(head)
    answer = process.stdout.read(length)
    if len(answer) < length:
        raise EOFError
    return fine, answer
