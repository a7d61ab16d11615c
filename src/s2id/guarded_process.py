"""The inside of a process that may be lost: one request after another, with limits of time and memory, and no files.

A file of any origin may recurse until its reader's stack overflows, allocate gigabytes, run for hours, or name other
files. Neither torch nor numpy is imported here.
"""

import struct
import sys
import time
from collections.abc import Callable

REQUEST = struct.Struct("!QQQ")
"""Limits in seconds and bytes, and the number of bytes that follow."""

ANSWER = struct.Struct("!?Q")
"""Whether an answer follows, rather than a clause that says why there is none; and its number of bytes."""


def serve(answer: Callable[[bytes], bytes]) -> None:
    """Answer requests until standard input ends, as it does with the process that started this one.

    Args:
        answer: What is made of a request's bytes; an error's text is the clause that says why nothing is.
    """
    _close_doors()
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while head := source.read(REQUEST.size):
        seconds, most, length = REQUEST.unpack(head)
        content = source.read(length)
        _limit(seconds, most)
        try:
            fine, payload = True, answer(content)
        except MemoryError:
            fine, payload = False, f"it takes more than {most >> 20} MB".encode()
        except Exception as error:  # noqa: BLE001  (whatever it is, the next file may be read)
            fine, payload = False, " ".join(str(error).split()).encode()
        target.write(ANSWER.pack(fine, len(payload)) + payload)
        target.flush()


def _close_doors() -> None:
    """Allow no further file to be opened, and no memory dump to be written."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))  # the three standard streams


def _limit(seconds: int, most: int) -> None:
    """Limit the time and memory of what is done next."""
    try:
        import resource
    except ImportError:
        return
    for kind, value in {resource.RLIMIT_CPU: int(time.process_time()) + 1 + seconds, resource.RLIMIT_AS: most}.items():
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
