"""Random numbers that are functions of a key: the same integers give the same numbers in any order, on any machine.

The mixing function is SplitMix64 (Steele et al. 2014, "Fast splittable pseudorandom number generators"). Changing any
bit of its input changes every bit of its output with probability one half.
"""

import numpy as np
from numpy.typing import NDArray

from s2id.errors import InputError
from s2id.settings import MOST_SEEDS

U64 = NDArray[np.uint64]

LARGEST_SEED = 2**64 - 1
"""Largest seed; a larger one would give the numbers of a smaller one."""


def seeds_of(text: str) -> list[int]:
    """Seeds from a number, a range or a list.

    >>> seeds_of("0-2,9")
    [0, 1, 2, 9]

    Raises:
        InputError: The text is not of that form, names more than a million seeds, or a seed is too large.
    """
    chosen: list[int] = []
    for part in text.split(","):
        ends = [end.strip() for end in part.split("-")]
        if len(ends) > 2 or not all(end.isdecimal() for end in ends):
            raise _no_seeds(text, "is no number, range or list")
        if max(map(len, ends)) > len(str(LARGEST_SEED)) or max(map(int, ends)) > LARGEST_SEED:
            raise _no_seeds(text, f"exceeds {LARGEST_SEED}")
        first, last = int(ends[0]), int(ends[-1])
        if first > last:
            raise _no_seeds(text, "has a range that falls")
        if len(chosen) + last - first >= MOST_SEEDS:
            raise InputError(f"seed {text[:40]!r} names more than {MOST_SEEDS:,} seeds; draw them in several commands.")
        chosen += range(first, last + 1)
    return chosen


def _no_seeds(text: str, what: str) -> InputError:
    return InputError(f"seed {text[:40]!r} {what}; write it as in 7, 0-63 or 1,5,9.")


def mix(numbers: U64) -> U64:
    """SplitMix64's output for each number of an array.

    >>> mix(np.array([0, 1], np.uint64))
    array([16294208416658607535, 10451216379200822465], dtype=uint64)
    """
    z = numbers + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def key_of(*parts: int) -> np.uint64:
    """One 64-bit number that depends on every part and on their order.

    Args:
        parts: Integers of any sign, of which the lowest 64 bits count.
    """
    key = np.zeros(1, np.uint64)
    for part in parts:
        key = mix(key ^ np.uint64(part % 2**64))
    return np.uint64(key[0])


def seed_of(*parts: int) -> int:
    """A 63-bit seed for a random generator, from the upper bits of `key_of`.

    >>> seed_of(0, 1) == seed_of(0, 1), seed_of(0, 1) == seed_of(1, 0)
    (True, False)
    """
    return int(key_of(*parts)) >> 1
