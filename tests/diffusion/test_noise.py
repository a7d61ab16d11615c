"""Noise as a field: nested, white, and the same wherever it is looked at."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from s2id.coords import extent
from s2id.diffusion.noise import _schauder, finer, noise_field
from s2id.errors import InputError
from s2id.media.images import area_weights


def correlation(a, b):
    return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].item()


@pytest.mark.parametrize(("fine", "coarse"), [(56, 28), (84, 28), (27, 9), (300, 100), (35, 7), (256, 64), (22, 1)])
def test_block_means_of_fine_noise_are_the_coarse_noise(fine, coarse):
    factor = fine // coarse
    means = avg_pool2d(noise_field((fine, fine), 1, seed=3), factor) * factor
    assert torch.allclose(means, noise_field((coarse, coarse), 1, seed=3), atol=2e-6)


def test_nesting_holds_for_each_side_and_frame_by_itself():
    frame = extent((20, 30))
    means = avg_pool2d(noise_field((60, 30), 1, seed=3, frame=frame), (3, 1)) * math.sqrt(3)
    assert torch.allclose(means, noise_field((20, 30), 1, seed=3, frame=frame), atol=2e-6)


@pytest.mark.parametrize("size", [(100, 100), (1000, 37), (97, 211)])
def test_a_window_is_a_slice_of_the_full_field(size):
    # an edge is computed on another way in a window, and must still be the same edge
    full = noise_field(size, 1, seed=5)
    for top, bottom, left, right in ((7, 93, 3, 31), (1, 2, 0, 37), (33, 66, 11, 12)):
        window = (top / size[0], left / size[1], bottom / size[0], right / size[1])
        cut = noise_field((bottom - top, right - left), 1, seed=5, window=window)
        assert torch.allclose(cut, full[:, top:bottom, left:right], atol=2e-6)


@pytest.mark.parametrize(("one", "other"), [(37, 13), (28, 20), (33, 32)])
def test_noise_of_unrelated_sizes_is_one_field(one, other):
    # where edges agree, at the frame's own at least, so do the integrals: sums over the root of the pixel count
    totals = [noise_field((n, n), 3, seed=1).sum((1, 2)) / n for n in (one, other)]
    assert torch.allclose(*totals, atol=1e-5)


def test_integrals_of_white_noise_over_bands_covary_by_their_overlap():
    # what the basis functions sum to, exactly: Cov(B(a), B(b)) = min(a, b) for edges in different leaves
    edges = np.unique(np.concatenate([np.linspace(-0.5, 0.5, n + 1) for n in (37, 13, 28)]).round(12))
    _, index, values = _schauder(edges)
    shared = (index[:, None, :, None] == index[None, :, None, :]).astype(float)
    covariance = np.einsum("ai,abij,bj->ab", values, shared, values)
    assert np.abs(covariance - (2 + np.minimum.outer(edges, edges))).max() < 1e-12


def test_pixels_of_unrelated_sizes_correlate_by_their_overlap():
    channels, (a, b) = 300, (13, 7)
    one, other = (noise_field((n, n), channels, seed=2).double() for n in (a, b))
    shared = area_weights(a, b).double() / b  # overlap of cell i of b and cell j of a, on one axis
    expected = torch.einsum("iy,jx->ijyx", shared, shared) * (a * b)
    measured = torch.einsum("cij,cyx->ijyx", other, one) / channels
    errors = (measured - expected) * math.sqrt(channels)
    assert errors.abs().max() < 6.5  # the largest of 8281 deviations, each of std <= sqrt(2)
    assert errors.square().mean().item() == pytest.approx((1 + expected**2).mean().item(), rel=0.1)


@pytest.mark.parametrize("size", [(13, 13), (28, 28), (21, 10)])
def test_pixels_are_independent_and_of_unit_variance(size):
    noise = noise_field(size, 300, seed=4, frame=extent(size)).double()
    n = noise.numel()
    assert abs(noise.mean()) < 4 / math.sqrt(n)
    assert noise.var().item() == pytest.approx(1, abs=4 * math.sqrt(2 / n))
    assert noise.pow(4).mean().item() == pytest.approx(3, abs=4 * math.sqrt(96 / n))
    shifts = [(0, 1), (1, 0), (1, 1), (2, 3), (size[0] // 2, size[1] // 2)]
    for dy, dx in shifts:
        products = noise[:, dy:, dx:] * noise[:, : size[0] - dy, : size[1] - dx]
        assert abs(products.mean()) < 4 / math.sqrt(products.numel())
    per_pixel = noise.square().mean(0)  # no place is louder than another
    assert (per_pixel - 1).abs().max() < 5.5 * math.sqrt(2 / 300)


def test_dense_noise_is_white_in_every_band():
    size = 250
    power = torch.fft.fft2(noise_field((size, size), 2, seed=6).double(), norm="ortho").abs().square().mean(0)
    k = torch.fft.fftfreq(size).abs()
    band = (torch.maximum(k[:, None], k) * 20).long()
    for b in range(10):
        n = int((band == b).sum()) * 2 / 2  # k and -k are one
        assert power[band == b].mean().item() == pytest.approx(1, abs=4.5 / math.sqrt(n))


def test_seeds_streams_and_channels_are_uncorrelated():
    fields = [noise_field((40, 40), 2, seed, stream) for seed, stream in ((0, 0), (1, 0), (0, 1), (2**63, 0))]
    channels = [channel for field in fields for channel in field]
    for i, one in enumerate(channels):
        for other in channels[:i]:
            assert abs(correlation(one, other)) < 4.5 / 40


@pytest.mark.parametrize("seed", [0, -1, 2**40, 2**64 - 2, 2**70])
def test_any_whole_number_is_a_seed(seed):
    noise = noise_field((5, 5), 1, seed)
    assert torch.equal(noise, noise_field((5, 5), 1, seed))
    assert noise.isfinite().all() and noise.abs().max() < 6.8


def test_channels_do_not_depend_on_how_many_there_are():
    assert torch.equal(noise_field((9, 9), 3, 0)[:1], noise_field((9, 9), 1, 0))


def test_the_values_of_a_seed_stay_what_they_are():
    # a change here changes every picture ever drawn
    noise = noise_field((3, 3), 1, seed=7)[0]
    expected = [[1.2436, 1.4827, -0.5035], [-0.6201, 0.1597, -0.6316], [0.5643, -0.7866, -0.2067]]
    assert torch.allclose(noise, torch.tensor(expected), atol=1e-4)


def test_noise_out_of_reach_is_refused():
    with pytest.raises(InputError, match="exists from -2 to 2"):
        noise_field((4, 4), 1, 0, frame=(5.0, 1.0))


@pytest.mark.parametrize(("fine", "coarse"), [((6, 8), (3, 4)), ((7, 7), (5, 5)), ((7, 6), (5, 3))])
def test_finer_noise_holds_the_coarse_and_is_white(fine, coarse):
    def linear(size, noises):
        """The matrix of `finer` in one of its arguments, a column per sample."""
        count = size[0] * size[1]
        return finer(*noises(torch.eye(count, dtype=torch.float64).reshape(count, 1, *size))).flatten(1).T

    of_coarse = linear(coarse, lambda one: (one, one.new_zeros(len(one), 1, *fine)))
    of_fine = linear(fine, lambda one: (one.new_zeros(len(one), 1, *coarse), one))
    covariance = of_coarse @ of_coarse.T + of_fine @ of_fine.T
    torch.testing.assert_close(covariance, torch.eye(len(covariance), dtype=torch.float64), rtol=0, atol=1e-6)
    # nothing of the coarse noise is lost, and none of the fine noise's own means is left beside it
    one = torch.eye(of_coarse.shape[1], dtype=torch.float64)
    torch.testing.assert_close(of_coarse.T @ of_coarse, one, rtol=0, atol=1e-6)
    assert (of_coarse.T @ of_fine).abs().max() < 1e-6
