"""Code that several benchmarks share: clocks, and the seconds of an action."""

import statistics
import time
from collections.abc import Callable

import torch

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.process_time}
"""Clocks by name. "processor" counts the process's own seconds over all threads, which other processes disturb less."""


def seconds_of(action: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of one call of an action, until a GPU, if there is one, is done with it."""
    start = clock()
    action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - start


def median_seconds(action: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Median seconds of several calls of an action, after one call that is not counted."""
    return statistics.median([seconds_of(action, clock) for _ in range(repeats + 1)][1:])
