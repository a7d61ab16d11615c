"""The C library's allocator, told to keep the memory of big tensors that are freed."""

import ctypes
from functools import cache

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # malloc.h


@cache
def keep_memory() -> None:
    """Freed memory stays in the process: returning a step's tensors and faulting them in again costs much of a step.

    Training, sampling and rendering call this before their first big tensor. It acts once per process, and only where
    the C library is glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # TypeError: Windows takes no None
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
