"""Coordinates: where pixel centres are, and what windows and aspects make of them."""

import math

import pytest
import torch
from torch.nn.functional import avg_pool2d

from s2id.coords import box_coords, cell, centres, extent, frame_grid, pixel_coords, state_size, view
from s2id.errors import InputError

SIZES = [(1, 1), (4, 4), (3, 5), (7, 2), (1, 9)]


def pooled(coords, factor):
    return avg_pool2d(coords.movedim(-1, 0), factor).movedim(0, -1)


def test_centres_lie_half_a_pixel_inside_the_edges():
    assert pixel_coords((2, 4))[..., 0].unique().tolist() == [-0.125, 0.125]
    assert pixel_coords((2, 4))[0, :, 1].tolist() == [-0.375, -0.125, 0.125, 0.375]


@pytest.mark.parametrize("size", SIZES)
def test_the_longer_side_spans_one_unit_and_pixels_are_square(size):
    grid = frame_grid(size)
    assert grid.size == size
    assert grid.cell == (cell(size), cell(size)) == (1 / max(size), 1 / max(size))
    for points, length in zip((grid.y, grid.x), extent(size), strict=True):
        assert (points[-1] - points[0]).item() + grid.cell[0] == pytest.approx(length)
        assert (points[0] + points[-1]).item() == pytest.approx(0)
    assert max(extent(size)) == 1


@pytest.mark.parametrize("size", SIZES)
def test_box_coordinates_span_one_unit_on_each_side(size):
    box = box_coords(size)
    for axis in (0, 1):
        points = box[..., axis].unique()
        assert torch.allclose(points, centres(size[axis], 1 / size[axis]), atol=1e-15)


def test_box_and_composition_are_the_same_in_a_square_only():
    assert torch.equal(box_coords((5, 5)), pixel_coords((5, 5)))
    tall = (6, 3)
    assert torch.allclose(box_coords(tall)[..., 0], pixel_coords(tall)[..., 0])
    assert torch.allclose(box_coords(tall)[..., 1], 2 * pixel_coords(tall)[..., 1])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("factor", [2, 3])
def test_coarse_coordinates_are_block_means_of_fine_ones(size, factor):
    fine = size[0] * factor, size[1] * factor
    for coords in (pixel_coords, box_coords):
        assert torch.allclose(pooled(coords(fine), factor), coords(size), atol=1e-15)


@pytest.mark.parametrize("size", SIZES)
def test_a_refined_grid_is_the_grid_of_the_finer_size(size):
    refined, fine = frame_grid(size).refine(3), frame_grid((size[0] * 3, size[1] * 3))
    assert torch.allclose(refined.coords, fine.coords, atol=1e-15)
    assert refined.cell == pytest.approx(fine.cell)


@pytest.mark.parametrize("size", SIZES)
def test_transposing_the_size_transposes_the_coordinates(size):
    for coords in (pixel_coords, box_coords):
        assert torch.equal(coords(size), coords(size[::-1]).transpose(0, 1).flip(-1))


@pytest.mark.parametrize("size", SIZES)
def test_flipping_the_grid_negates_the_coordinates(size):
    assert torch.equal(pixel_coords(size), -pixel_coords(size).flip(0, 1))


def test_a_view_of_the_whole_frame_is_its_grid():
    for size in SIZES:
        assert torch.allclose(view(size, extent(size)).coords, frame_grid(size).coords, atol=1e-15)


def test_a_window_at_the_same_density_is_a_slice_of_the_full_grid():
    frame, size = extent((30, 20)), (300, 200)
    rows, columns = slice(30, 90), slice(50, 175)
    window = (30 / 300, 50 / 200, 90 / 300, 175 / 200)
    cut = view(size, frame).part(rows, columns)
    seen = view((60, 125), frame, window)
    assert torch.allclose(seen.coords, cut.coords, atol=1e-14)
    assert seen.cell == pytest.approx(cut.cell)


@pytest.mark.parametrize("size", [(10, 30), (30, 10), (7, 8)])
@pytest.mark.parametrize("window", [None, (0.25, 0.1, 0.5, 0.9)])
def test_fit_shows_all_of_the_region_and_fill_nothing_else(size, window):
    top, left, bottom, right = window or (0, 0, 1, 1)
    frame = (0.5, 1.0)
    region = (frame[0] * (bottom - top), frame[1] * (right - left))

    def seen(fit):
        grid = view(size, frame, window, fit)
        return tuple(n * c for n, c in zip(size, grid.cell, strict=True)), grid

    shown, fit = seen("fit")
    assert fit.cell[0] == fit.cell[1]
    assert all(s >= r - 1e-12 for s, r in zip(shown, region, strict=True))
    assert min(s - r for s, r in zip(shown, region, strict=True)) == pytest.approx(0)
    shown, fill = seen("fill")
    assert fill.cell[0] == fill.cell[1]
    assert all(s <= r + 1e-12 for s, r in zip(shown, region, strict=True))
    assert min(r - s for s, r in zip(shown, region, strict=True)) == pytest.approx(0)
    shown, stretch = seen("stretch")
    assert shown == pytest.approx(region)
    for grid in (fit, fill, stretch):
        middle = ((grid.y[0] + grid.y[-1]).item() / 2, (grid.x[0] + grid.x[-1]).item() / 2)
        assert middle == pytest.approx((frame[0] * ((top + bottom) / 2 - 0.5), frame[1] * ((left + right) / 2 - 0.5)))


def test_the_fits_agree_where_the_aspects_do():
    grids = [view((20, 40), (0.5, 1.0), None, fit) for fit in ("fit", "fill", "stretch")]
    assert all(torch.allclose(grid.coords, grids[0].coords) for grid in grids)


@pytest.mark.parametrize(
    "window",
    [
        (0.5, 0.0, 0.5, 1.0),
        (0.6, 0.0, 0.5, 1.0),
        (0.0, 0.6, 1.0, 0.5),
        (-0.1, 0.0, 1.0, 1.0),
        (0.0, 0.0, 1.1, 1.0),
        (math.nan, 0.0, 1.0, 1.0),
    ],
)
def test_a_window_that_is_no_region_is_refused(window):
    with pytest.raises(InputError, match="no region of the frame"):
        view((4, 4), window=window)


@pytest.mark.parametrize("size", [(0, 4), (4, 0), (-1, 3)])
def test_an_empty_size_is_refused(size):
    for use in (view, frame_grid, pixel_coords):
        with pytest.raises(InputError, match="is empty"):
            use(size)


@pytest.mark.parametrize(
    ("density", "frame", "multiple", "size"),
    [
        (28, (1.0, 1.0), 4, (28, 28)),
        (28, (1.0, 0.5), 4, (28, 16)),
        (28, (3.0, 2.0), 1, (28, 19)),
        (28, (1.0, 0.01), 4, (28, 4)),
        (30, (1.0, 1.0), 4, (32, 32)),
    ],
)
def test_a_state_keeps_the_aspect_as_far_as_patches_allow(density, frame, multiple, size):
    assert state_size(density, frame, multiple) == size
