"""Every measure has a known answer somewhere: it must give it."""

import sys

import pytest
import torch

from s2id.config import InputError
from s2id.metrics import (
    Manifold,
    check_images,
    feature_spread,
    frechet_distance,
    kernel_distance,
    manifold,
    psnr,
    ssim,
    variance_ratio,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def standardised(n, d, seed=0):
    """Samples whose mean is 0 and whose covariance is 1, to rounding."""
    x = normal(n, d, seed=seed).double()
    x = x - x.mean(0)
    return torch.linalg.solve_triangular(torch.linalg.cholesky(torch.cov(x.T)), x.T, upper=False).T


def two_classes(n, seed):
    return normal(2 * n, 1, 4, 5, seed=seed), torch.arange(2).repeat_interleave(n)


def test_the_frechet_distance_of_a_shifted_gaussian_is_the_shift_squared():
    a = standardised(300, 8)
    shift = torch.arange(8.0).double()
    assert frechet_distance(a, a + shift) == pytest.approx(140, rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_the_frechet_distance_of_a_scaled_gaussian_is_that_of_the_roots():
    # trace(1 + S - 2 S^(1/2)) = sum (1 - s)^2 for standard deviations s, in any orientation
    a, b = standardised(300, 8), standardised(400, 8, seed=1)
    turn = torch.linalg.qr(normal(8, 8, seed=2).double()).Q
    scale = torch.linspace(0.5, 4, 8).double()
    expected = (1 - scale).square().sum().item()
    assert frechet_distance(a, (b * scale) @ turn) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance((b * scale) @ turn, a) == pytest.approx(expected, rel=1e-9)


def test_the_frechet_distance_keeps_its_digits_far_from_zero():
    a = standardised(300, 4)
    assert frechet_distance(a + 1e6, a + 1e6 + 0.5) == pytest.approx(1, rel=1e-4)


def test_too_few_images_for_a_covariance_are_refused_with_the_number_needed():
    with pytest.raises(InputError, match="needs at least 16 images in each set, and they have 15 and 16"):
        frechet_distance(normal(15, 8), normal(16, 8))
    assert frechet_distance(normal(16, 8), normal(16, 8, seed=1)) > 0


def test_the_kernel_distance_is_the_unbiased_estimate():
    a, b = normal(20, 3).double(), normal(20, 3, seed=1).double() + 1

    def kernel(x, y):
        return (x @ y.T / 3 + 1) ** 3

    def off_diagonal(k):
        return (k.sum() - k.trace()) / (20 * 19)

    expected = off_diagonal(kernel(a, a)) + off_diagonal(kernel(b, b)) - 2 * kernel(a, b).mean()
    assert kernel_distance(a, b) == pytest.approx(expected.item(), rel=1e-9)


def test_the_kernel_distance_is_zero_on_average_for_one_distribution_and_that_of_a_shift():
    pool = normal(2000, 2).double()
    same = kernel_distance(pool[:1000], pool[1000:], subsets=10, subset_size=200)
    # E[k(x, x')] for x, x' ~ N(0, 1): moments of x.x'/2; against x' + 1 those of a mean (1, 1)
    k = [(pool[:1000] @ other.T / 2 + 1) ** 3 for other in (pool[1000:], pool[1000:] + 1)]
    shifted = ((pool[:1000] + 1) @ (pool[1000:] + 1).T / 2 + 1) ** 3
    expected = (k[0].mean() + shifted.mean() - 2 * k[1].mean()).item()
    found = kernel_distance(pool[:1000], pool[1000:] + 1, subsets=10, subset_size=200)
    assert abs(same) < 0.03 * expected
    assert found == pytest.approx(expected, rel=0.1)


def test_the_kernel_distance_depends_on_its_seed_alone():
    a, b = normal(50, 3), normal(60, 3, seed=1)
    state = torch.get_rng_state()
    first = kernel_distance(a, b, subsets=3, subset_size=10)
    torch.rand(1)
    assert kernel_distance(a, b, subsets=3, subset_size=10) == first
    assert kernel_distance(a, b, subsets=3, subset_size=10, seed=1) != first
    torch.set_rng_state(state)
    kernel_distance(a, b, subsets=1)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(InputError, match="subsets of 2 images"):
        kernel_distance(a[:1], b)


def test_a_set_is_on_its_own_manifold():
    x = normal(60, 4)
    found = manifold(x, x.clone(), k=3)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    # a ball holds its centre and k neighbours
    assert found.density == pytest.approx(4 / 3)


def test_sets_far_apart_share_no_manifold():
    assert manifold(normal(30, 4), normal(40, 4) + 100) == Manifold(0.0, 0.0, 0.0, 0.0)


def test_a_planted_duplicate_covers_only_its_neighbourhood():
    # real: two clusters of 10; fake: copies of one real sample, and a point nowhere near
    real = torch.cat([normal(10, 3), normal(10, 3, seed=1) + 50])
    fake = torch.cat([real[:1].expand(6, 3), torch.full((2, 3), -500.0)])
    found = manifold(real, fake, k=5)
    balls = torch.cdist(real, real[:1])[:, 0] <= torch.cdist(real, real).sort(1).values[:, 5]
    assert found.precision == pytest.approx(6 / 8)
    assert found.coverage == pytest.approx(balls.double().mean().item())
    assert found.density == pytest.approx(6 / 8 * balls.sum().item() / 5)
    # copies have no room around them; the lone pair's balls reach everywhere between it and them
    assert found.recall == pytest.approx(manifold(fake, real, k=5).precision)


def test_the_manifold_does_not_depend_on_the_chunk(monkeypatch):
    real, fake = normal(57, 4), normal(43, 4, seed=1) * 0.7
    whole = manifold(real, fake)
    monkeypatch.setattr("s2id.metrics._CHUNK", 10)
    assert manifold(real, fake) == whole
    assert 0 < whole.recall < whole.precision <= 1
    with pytest.raises(InputError, match="at least 6 images in each set, and they have 5 and 43"):
        manifold(real[:5], fake)


def test_the_variance_ratio_of_shrunk_classes_is_the_shrinkage_squared():
    truth, labels = two_classes(20, 0)
    centre = torch.stack([truth[labels == k].mean(0) for k in (0, 1)])[labels]
    factor = torch.tensor([0.5, 2.0])[labels][:, None, None, None]
    assert variance_ratio(truth, labels, truth, labels) == pytest.approx(1)
    found = variance_ratio(centre + factor * (truth - centre), labels, truth, labels)
    assert found == pytest.approx((0.25 + 4) / 2, rel=1e-5)


def test_the_feature_spread_is_the_shrinkage():
    truth, labels = two_classes(20, 0)
    truth = truth.flatten(1)
    factor = torch.tensor([0.5, 2.0])[labels][:, None]
    assert feature_spread(factor * truth, labels, truth, labels) == pytest.approx((0.5 + 2) / 2, rel=1e-5)
    assert feature_spread(torch.zeros_like(truth), labels, truth, labels) == 0


@pytest.mark.parametrize("spread", [variance_ratio, lambda x, *rest: feature_spread(x.flatten(1), rest[0],
                                    rest[1].flatten(1), rest[2])])  # fmt: skip
def test_a_class_without_samples_is_named(spread):
    truth, labels = two_classes(5, 0)
    with pytest.raises(InputError, match="class 1 has 0 samples and 5 of the data"):
        spread(truth[:5], labels[:5], truth, labels)
    with pytest.raises(InputError, match="class 1 has 1 samples and 5 of the data"):
        spread(truth[:6], labels[:6], truth, labels)
    with pytest.raises(InputError, match="class 1 has 5 samples and 0 of the data"):
        spread(truth, labels, truth[:5], labels[:5])
    with pytest.raises(InputError, match="class 0 of the data does not vary"):
        spread(truth, labels, torch.zeros_like(truth), labels)


def test_psnr_of_a_uniform_difference():
    a = normal(3, 3, 6, 7).clamp(-1, 1)
    difference = torch.tensor([2.0, 0.2, 0.0])[:, None, None, None]
    assert torch.allclose(psnr(a, a + difference), torch.tensor([0.0, 20.0, torch.inf]), atol=1e-4)


@pytest.mark.parametrize("size", [(3, 3), (4, 9), (5, 28), (10, 10), (11, 11), (28, 40)])
def test_ssim_is_one_for_equal_pictures_and_the_luminance_term_for_constant_ones(size):
    a = normal(2, 3, *size).clamp(-1, 1)
    assert torch.allclose(ssim(a, a), torch.ones(2), atol=1e-5)
    low, high = torch.full((1, 1, *size), -0.5), torch.full((1, 1, *size), 0.8)
    c1 = (0.01 * 2) ** 2
    assert ssim(low, high).item() == pytest.approx((2 * -0.4 + c1) / (0.25 + 0.64 + c1), rel=1e-3)


def test_ssim_of_an_inverted_checkerboard_is_minus_one():
    board = ((torch.arange(28)[:, None] + torch.arange(30)) % 2 * 2.0 - 1)[None, None]
    assert ssim(board, -board).item() == pytest.approx(-1, abs=0.01)


def test_ssim_refuses_a_side_without_a_window():
    with pytest.raises(InputError, match="at least 3 pixels, and the shorter has 2"):
        ssim(torch.zeros(1, 1, 2, 9), torch.zeros(1, 1, 2, 9))


def test_pictures_that_are_not_finite_are_named():
    images = torch.zeros(4, 1, 2, 3)
    check_images(images)
    images[2, 0, 0, 1] = torch.inf
    images[3] = torch.nan
    with pytest.raises(InputError, match="image 2 has 1 values that are NaN or infinite, of 6, and 2 of 4"):
        check_images(images)


def test_a_missing_extra_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchmetrics.image.fid", None)
    with pytest.raises(InputError, match=r"needs pip install 's2id\[eval\]'"):
        frechet_distance(normal(16, 8), normal(16, 8))
