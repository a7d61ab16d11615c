"""A zoom film's windows begin and end where they should, and the way between feels even."""

import math

import pytest

from s2id.zoom import path, way

CASES = [
    ((0.0, 0.0, 1.0, 1.0), (0.3, 0.4, 0.301, 0.401)),
    ((0.0, 0.0, 1.0, 1.0), (0.9, 0.9, 1.0, 1.0)),
    ((0.1, 0.1, 0.12, 0.12), (0.8, 0.7, 0.82, 0.72)),
    ((0.1, 0.1, 0.2, 0.3), (0.1, 0.1, 0.2, 0.3)),
    ((0.2, 0.2, 0.6, 0.3), (0.7, 0.1, 0.75, 0.9)),
    ((0.0, 0.0, 1.0, 1.0), (0.5, 0.5, 0.5 + 1e-6, 0.5 + 1e-6)),
]
"""Zooming in far and to a corner, panning, standing still, changing the aspect, zooming to 10^6."""

SIZE, FRAME = (90, 120), (0.75, 1.0)


def seen(window):
    """Middle in composition units, and the width of what a picture of SIZE shows of a window."""
    top, left, bottom, right = window
    cell = max(FRAME[0] * (bottom - top) / SIZE[0], FRAME[1] * (right - left) / SIZE[1])
    return FRAME[0] * (top + bottom) / 2, FRAME[1] * (left + right) / 2, cell * max(SIZE)


@pytest.mark.parametrize("ends", CASES)
def test_a_film_meets_both_ends_and_stays_in_the_frame(ends):
    film = path(*ends, SIZE, FRAME)
    assert (film.window(0.0), film.window(1.0)) == ends
    for i in range(1, 200):
        top, left, bottom, right = film.window(i / 200)
        assert 0 <= top < bottom <= 1 and 0 <= left < right <= 1
    for share, end in ((1e-7, ends[0]), (1 - 1e-7, ends[1])):  # without a jump at either
        assert seen(film.window(share)) == pytest.approx(seen(end), rel=1e-4, abs=1e-4 * seen(end)[2])


@pytest.mark.parametrize("ends", CASES[:3])
def test_every_step_of_a_film_feels_as_long(ends):
    """By the measure of van Wijk and Nuij, ds^2 = rho^2 (du / w)^2 + (dw / (rho w))^2."""
    film, rho = path(*ends, SIZE, FRAME), math.sqrt(2)
    places = [seen(film.window(i / 400)) for i in range(401)]
    steps = []
    for (y, x, w), (y2, x2, w2) in zip(places, places[1:], strict=False):
        middle = math.sqrt(w * w2)
        steps.append(math.hypot(rho * math.hypot(y2 - y, x2 - x) / middle, math.log(w2 / w) / rho))
    assert min(steps) == pytest.approx(max(steps), rel=0.1)  # steps around a corner are a little shorter
    assert sum(steps) == pytest.approx(film.length, rel=0.01)


def test_the_way_between_far_regions_is_shorter_than_panning_and_goes_out():
    far = way(1.0, 0.01, 0.01)
    assert far.length < 0.2 * math.sqrt(2) * 1.0 / 0.01  # of a move without zooming
    assert far.at(0.5) == (pytest.approx(0.5), pytest.approx(max(far.at(i / 100)[1] for i in range(101))))
    there, back = way(0.3, 1.0, 0.1), way(0.3, 0.1, 1.0)
    assert there.length == pytest.approx(back.length)
    for share in (0.2, 0.7):
        moved, width = back.at(1 - share)
        assert there.at(share) == (pytest.approx(0.3 - moved), pytest.approx(width))


def test_zooming_in_place_is_even_in_the_logarithm():
    film = path((0.0, 0.0, 1.0, 1.0), (0.25, 0.25, 0.75, 0.75), (50, 50), (1.0, 1.0))
    widths = [film.window(i / 4)[2] - film.window(i / 4)[0] for i in range(5)]
    assert [b / a for a, b in zip(widths, widths[1:], strict=False)] == pytest.approx([0.5**0.25] * 4)


def test_nearly_the_same_middles_need_no_detour():
    a, b = (way(move, 1.0, 1e-6) for move in (0.9e-15, 1.1e-15))
    assert a.length == pytest.approx(b.length, rel=1e-6)
    assert b.at(1.0)[0] == pytest.approx(1.1e-15) and b.at(1.0)[1] == pytest.approx(1e-6)
