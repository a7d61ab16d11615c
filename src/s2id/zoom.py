"""Windows of a film that zooms and pans, along the way that feels shortest, at a speed that feels even.

J. J. van Wijk and W. A. A. Nuij, "Smooth and efficient zooming and panning" (IEEE InfoVis 2003): a move by u while a
region as wide as w is seen, and a change of w, feel as long as ds^2 = rho^2 (du / w)^2 + (dw / (rho w))^2.
"""

import math
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import NamedTuple

from s2id.checks import checked
from s2id.coords import view
from s2id.settings import Size, Window

_RHO = math.sqrt(2)
"""How far the way zooms out to move; people preferred 1.42 (section 5)."""

_STRAIGHT = 1e-9
"""Moves shorter than this share of what is seen are not seen."""

_PARTS = 1024
"""Parts of the way whose lengths are measured."""


class Way(NamedTuple):
    """A way of zooming and panning."""

    length: float
    """How long it feels; zooming in by a factor e feels as long as 1 / rho."""
    at: Callable[[float], tuple[float, float]]
    """Share of its length -> (how far the middle has moved, width of what is seen)."""


def way(move: float, start: float, end: float) -> Way:
    """The shortest way by equations 9 and 10 of the paper.

    Args:
        move: Distance of the middles of the first and the last region.
        start: Width of the first region, in the same unit.
        end: Width of the last region.

    Example:
        >>> zoom = way(0.0, 1.0, 0.01)
        >>> [round(zoom.at(share)[1], 3) for share in (0, 0.5, 1)]
        [1.0, 0.1, 0.01]
    """
    if move < _STRAIGHT * min(start, end):
        return Way(abs(math.log(end / start)) / _RHO, lambda share: (move * share, start * (end / start) ** share))
    squares, bend = end**2 - start**2, _RHO**4 * move**2
    first, last = (
        math.asinh(-(squares + sign * bend) / (2 * width * _RHO**2 * move)) for sign, width in ((1, start), (-1, end))
    )

    def at(share: float) -> tuple[float, float]:
        u = first + share * (last - first)
        moved = (
            start / _RHO**2 * math.sinh(u - first) / math.cosh(u)
        )  # cosh(first) * tanh(u) - sinh(first) would cancel
        return moved, start * math.cosh(first) / math.cosh(u)

    return Way((last - first) / _RHO, at)


class Path(NamedTuple):
    """The windows of a film, which lie in the frame."""

    length: float
    """How long the way feels."""
    window: Callable[[float], Window]
    """Share of the length -> window; at 0 and 1 exactly the given ones."""


@checked
def path(start: Window, end: Window, size: Size, frame: tuple[float, float]) -> Path:
    """The way from a window to another.

    Args:
        start: First window.
        end: Last window.
        size: Height and width of the pictures, in pixels.
        frame: Height and width of the frame, in composition units.

    Raises:
        InputError: A window is no region of the frame, or the size is empty.

    Example:
        >>> film = path((0, 0, 1, 1), (0.4, 0.4, 0.5, 0.5), size=(90, 160), frame=(1, 1))
        >>> film.window(0.0), film.window(1.0)
        ((0.0, 0.0, 1.0, 1.0), (0.4, 0.4, 0.5, 0.5))
    """
    for window in (start, end):
        view(size, frame, window)  # refuses what is no region
    first, last = (_seen(window, size, frame) for window in (start, end))
    move = math.dist(first.middle, last.middle)
    _, at = way(move, first.width, last.width)

    def within(share: float) -> Window:
        if share in (0, 1):
            return end if share else start
        moved, width = at(share)
        # the aspect of what is seen changes evenly as well; nothing beyond the frame is seen
        shapes = [a ** (1 - share) * b**share for a, b in zip(first.sides, last.sides, strict=True)]
        scale = width / max(size) / max(shape / pixels for shape, pixels in zip(shapes, size, strict=True))
        edges = []
        for a, b, shape, whole in zip(first.middle, last.middle, shapes, frame, strict=True):
            side = min(whole, scale * shape)
            low = min(max(a + (b - a) * (moved / move if move else 0) - side / 2, 0), whole - side)
            edges.append((low / whole, min(1.0, (low + side) / whole)))
        return edges[0][0], edges[1][0], edges[0][1], edges[1][1]

    # the frame's edges may shorten the way, so it is measured
    places = [_seen(within(i / _PARTS), size, frame) for i in range(_PARTS + 1)]
    ends = list(accumulate((_felt(*pair) for pair in pairwise(places)), initial=0.0))

    def at_share(share: float) -> Window:
        if share in (0, 1) or not ends[-1]:
            return end if share else start
        part = min(bisect_right(ends, share * ends[-1]), _PARTS)
        inside = (share * ends[-1] - ends[part - 1]) / ((ends[part] - ends[part - 1]) or 1)
        return within((part - 1 + inside) / _PARTS)

    return Path(ends[-1], at_share)


class _Seen(NamedTuple):
    """What a picture shows of a window, in composition units."""

    middle: tuple[float, float]
    sides: tuple[float, float]
    width: float
    """Of the picture's longer side."""


def _seen(window: Window, size: Size, frame: tuple[float, float]) -> _Seen:
    top, left, bottom, right = window
    sides = frame[0] * (bottom - top), frame[1] * (right - left)
    cell = max(side / pixels for side, pixels in zip(sides, size, strict=True))
    return _Seen((frame[0] * (top + bottom) / 2, frame[1] * (left + right) / 2), sides, cell * max(size))


def _felt(one: _Seen, other: _Seen) -> float:
    """How long a short part of a way feels."""
    move = math.dist(one.middle, other.middle) / math.sqrt(one.width * other.width)
    return math.hypot(_RHO * move, math.log(other.width / one.width) / _RHO)
