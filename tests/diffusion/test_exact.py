"""Closed-form denoisers against what they claim: brute force, statistics and the flow's own equation."""

import math

import pytest
import torch
from gaussians import covariance_matrix, waves
from torch.nn.functional import avg_pool2d

from s2id.diffusion.exact import EmpiricalDenoiser, GaussianDenoiser
from s2id.diffusion.process import Schedule
from s2id.errors import InputError
from s2id.media.images import resize
from s2id.shapes import NULL


@pytest.fixture
def gaussian():
    return GaussianDenoiser(waves(), Schedule(), mean=0.3)


@pytest.mark.parametrize("size", [(4, 6), (9, 9), (2, 1)])
def test_the_covariance_is_that_of_cell_means_of_the_field(gaussian, size):
    # the field's covariance, a sum of cosines, averaged over pairs of cells by brute force
    k = torch.arange(-3, 4, dtype=torch.float64)
    fine = 20

    def means(n, k):
        u = (torch.arange(n * fine, dtype=torch.float64) + 0.5) / (n * fine)
        return torch.exp(2j * math.pi * u * k).reshape(n, fine).mean(1)

    total = torch.zeros(size, dtype=torch.complex128)
    for i, ky in enumerate(k):
        for j, kx in enumerate(k):
            y, x = means(size[0], ky), means(size[1], kx)
            total += gaussian.power[i, j] * torch.outer(y * y[0].conj(), x * x[0].conj())
    assert torch.allclose(gaussian.covariance(size), total.real, atol=5e-3)


@pytest.mark.parametrize("size", [(4, 6), (9, 9)])
def test_draws_have_the_exact_mean_and_covariance(gaussian, size):
    count = 4000
    draws = gaussian.draw(count, size, torch.Generator().manual_seed(0))[:, 0] - gaussian.mean
    expected = gaussian.covariance(size)
    bound = 5 * expected[0, 0] / math.sqrt(count)
    assert draws.mean(0).abs().max() < 5 * (expected[0, 0] / count).sqrt()
    for place in ((0, 0), (2, 3)):
        found = (draws[:, place[0], place[1], None, None] * draws).mean(0)
        assert (found - expected.roll(place, (0, 1))).abs().max() < bound * math.sqrt(2)


@pytest.mark.parametrize("coarse", [(8, 8), (5, 3)])
def test_draws_are_cell_means_of_one_field(gaussian, coarse):
    fine = gaussian.draw(2, (coarse[0] * 3, coarse[1] * 3), torch.Generator().manual_seed(1), channels=2)
    seen = gaussian.draw(2, coarse, torch.Generator().manual_seed(1), channels=2)
    assert torch.allclose(avg_pool2d(fine, 3), seen, atol=1e-12)


@pytest.mark.parametrize("size", [(4, 6), (8, 8)])
def test_the_wiener_filter_is_the_conditional_mean_of_a_gaussian(gaussian, size):
    t = torch.tensor([0.2, 0.7], dtype=torch.float64)
    x_t = torch.randn(2, 1, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    clean = covariance_matrix(gaussian, size)
    for i, (alpha, sigma) in enumerate(zip(*gaussian.schedule(t), strict=True)):
        noisy = alpha**2 * clean + sigma**2 * torch.eye(len(clean))
        deviation = (x_t[i] - alpha * gaussian.mean).flatten()
        expected = gaussian.mean + alpha * clean @ torch.linalg.solve(noisy, deviation)
        assert torch.allclose(gaussian(x_t, t)[i].flatten(), expected, atol=1e-10)


def test_the_wiener_filter_leaves_the_least_error(gaussian):
    generator = torch.Generator().manual_seed(0)
    x = gaussian.draw(500, (8, 8), generator)
    t = torch.full((500,), 0.5, dtype=torch.float64)
    alpha, sigma = (a[0] for a in gaussian.schedule(t))
    x_t = alpha * x + sigma * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    clean = gaussian.variances((8, 8))
    expected = (clean * sigma**2 / (alpha**2 * clean + sigma**2)).mean()
    assert (gaussian(x_t, t) - x).square().mean().item() == pytest.approx(expected.item(), rel=0.05)


def test_the_flow_solves_the_probability_flow(gaussian):
    # Karras et al. 2022, eq. 4 with s = 1: d x_ve / d sigma_ve = (x_ve - denoised) / sigma_ve
    x_t = torch.randn(1, 1, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t, step = 0.6, 1e-5
    scales = [gaussian.schedule(torch.tensor(s, dtype=torch.float64)) for s in (t - step, t, t + step)]
    before, now, after = ((a.item(), (b / a).item()) for a, b in scales)
    x_before, x_after = gaussian.flow(x_t, t, t - step) / before[0], gaussian.flow(x_t, t, t + step) / after[0]
    slope = (x_after - x_before) / (after[1] - before[1])
    denoised = gaussian(x_t, torch.tensor([t], dtype=torch.float64))
    assert torch.allclose(slope, (x_t / now[0] - denoised) / now[1], atol=1e-6)
    assert torch.allclose(gaussian.flow(gaussian.flow(x_t, t, 0.2), 0.2, t), x_t, atol=1e-12)


def test_a_power_that_is_no_real_fields_is_refused():
    for power in (torch.ones(4, 3), torch.ones(3, 4), torch.arange(9.0).reshape(3, 3)):
        with pytest.raises(InputError, match="no real field's"):
            GaussianDenoiser(power, Schedule())


PICTURES = torch.randn(5, 1, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.tensor([0, 0, 1, 1, 2])


@pytest.fixture
def empirical():
    return EmpiricalDenoiser(PICTURES, Schedule(), LABELS)


def at(t, count=1):
    return torch.full((count,), t, dtype=torch.float64)


def test_the_ideal_denoiser_is_bayes_rule(empirical):
    x_t = torch.randn(3, 1, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for t in (0.3, 0.5, 0.9):
        alpha, sigma = (a.item() for a in empirical.schedule(at(t)))
        likelihood = torch.distributions.Normal(alpha * PICTURES, sigma).log_prob(x_t[:, None]).sum((2, 3, 4))
        posterior = likelihood.softmax(1)
        assert torch.allclose(empirical(x_t, at(t, 3)), torch.einsum("bn,nchw->bchw", posterior, PICTURES), atol=1e-9)


def test_noise_says_the_mean_and_a_clean_picture_says_itself(empirical):
    noise = torch.randn(1, 1, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.allclose(empirical(noise, at(1.0))[0], PICTURES.mean(0), atol=0.05)
    assert torch.allclose(empirical(PICTURES[3:4], at(0.0))[0], PICTURES[3], atol=1e-9)


def test_a_label_leaves_its_pictures_only(empirical):
    noise = torch.randn(3, 1, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = empirical(noise, at(1.0, 3), torch.tensor([1, 2, NULL]))
    assert torch.allclose(found[0], PICTURES[2:4].mean(0), atol=0.05)
    assert torch.allclose(found[1], PICTURES[4], atol=1e-12)
    assert torch.allclose(found[2], empirical(noise, at(1.0, 3))[2], atol=1e-12)
    each = empirical.under_each(noise, at(1.0, 3), [torch.tensor([1, 2, NULL]), None])
    assert torch.equal(each[0], found) and torch.equal(each[1], empirical(noise, at(1.0, 3)))


def test_a_label_on_no_picture_is_refused(empirical):
    with pytest.raises(InputError, match="label 7 is on none"):
        empirical(PICTURES[:2], at(0.5, 2), torch.tensor([0, 7]))
    with pytest.raises(InputError, match="label 0 is on none"):
        EmpiricalDenoiser(PICTURES, Schedule())(PICTURES[:1], at(0.5), torch.tensor([0]))


def test_states_of_another_size_see_cell_means_of_the_pictures(empirical):
    small = EmpiricalDenoiser(resize(PICTURES, (3, 2)), Schedule(), LABELS)
    x_t = torch.randn(2, 1, 3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.allclose(empirical(x_t, at(0.6, 2)), small(x_t, at(0.6, 2)), atol=1e-12)


def test_single_precision_states_get_single_precision_answers(gaussian, empirical):
    x_t = torch.randn(1, 1, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for denoiser in (gaussian, empirical):
        for t in (0.0, 0.4, 1.0):
            single = denoiser(x_t.float(), at(t))
            assert single.dtype == torch.float32
            assert torch.allclose(single.double(), denoiser(x_t, at(t)), atol=2e-3)
