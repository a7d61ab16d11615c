"""Memory: what there is of it, and the C library's allocator, told to keep that of big tensors that are freed."""

import ctypes
from functools import cache

import torch
from psutil import virtual_memory

from s2id.errors import InputError

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


def check_memory(what: str, needed: int, advice: str, device: torch.device | None = None) -> None:
    """Refuse work that memory does not suffice for.

    Args:
        what: The work, with its verb, for the message.
        needed: Bytes that it takes, about.
        advice: What to do instead, for the message.
        device: GPU whose memory it takes; that of `None` and of a processor is the machine's.

    Raises:
        InputError: There is less memory in all.
    """
    there = torch.cuda.mem_get_info(device)[1] if device and device.type == "cuda" else virtual_memory().total
    if needed > there:
        raise InputError(f"{what} about {needed / 2**30:,.0f} GB and this machine has {there / 2**30:,.0f}; {advice}.")
