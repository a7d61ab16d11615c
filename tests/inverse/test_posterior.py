"""Posterior sampling against closed forms: a Gaussian field's posterior is known at every size."""

import math

import pytest
import torch
from conftest import unchecked
from gaussians import covariance_matrix, waves

from s2id.coords import extent
from s2id.diffusion.denoiser import Denoiser
from s2id.diffusion.exact import EmpiricalDenoiser, GaussianDenoiser
from s2id.diffusion.guidance import Guided
from s2id.diffusion.process import Schedule, times
from s2id.diffusion.samplers import SAMPLERS, last
from s2id.errors import InputError
from s2id.inverse.observation import Area, Observation
from s2id.inverse.posterior import Measurement, Operator, Posterior, sample_posterior
from s2id.sampling.conditions import ask
from s2id.sampling.settings import Sampling


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def gaussian(size):
    return GaussianDenoiser(waves(), Schedule().at_density(max(size) / 6), mean=0.3)


def exact(prior, size, observation):
    """Mean and covariance of a state given an observation, by dense linear algebra."""
    count = size[0] * size[1]
    a = Area(observation, size)(torch.eye(count, dtype=torch.float64).reshape(count, 1, *size))[..., 0].T
    covariance = covariance_matrix(prior, size)
    noise = torch.as_tensor(observation.noise, dtype=torch.float64).expand(len(observation))
    gain = covariance @ a.T @ torch.linalg.inv(a @ covariance @ a.T + torch.diag(noise**2))
    missing = observation.values.double()[:, 0] - prior.mean * a.sum(1)
    return prior.mean + gain @ missing, covariance - gain @ a @ covariance


def seen(size, kind):
    """Observations of one drawn field, at another size than the state's."""
    truth = gaussian(size).draw(1, size, torch.Generator().manual_seed(5))
    if kind == "coarse":
        observation = Observation.of_picture(torch.zeros(1, size[0] // 2, size[1] // 2), noise=0.1)
    elif kind == "hole":
        mask = torch.ones(size, dtype=torch.bool)
        mask[1:4, 1:4] = False
        observation = Observation.of_picture(torch.zeros(1, *size), mask=mask, noise=0.05)
    else:
        shifts = (0.0, 0.0), (0.07, -0.05), (-0.04, 0.11)
        frames = [Observation.of_picture(torch.zeros(1, 3, 3), shift=one, noise=0.2) for one in shifts]
        observation = Observation.join(frames)
    values = Area(observation, size, extent(size))(truth)[0]
    return Observation(values, observation.coords, observation.cell, observation.noise)


@pytest.mark.parametrize("kind", ["coarse", "hole", "frames"])
@pytest.mark.parametrize("size", [(6, 6), (8, 8)])
def test_samples_have_the_exact_posterior_mean_and_covariance(size, kind):
    prior, observation, count = gaussian(size), seen(size, kind), 600
    denoiser = Posterior(prior, Measurement.of(observation, size), iterations=40)
    with unchecked():
        x = last(SAMPLERS["heun"](denoiser, normal(count, 1, *size), times(24))).flatten(1)
    mean, covariance = exact(prior, size, observation)
    spread = covariance.diagonal().clamp(min=0).sqrt()
    # 5 standard errors, and what 24 steps leave
    assert ((x.mean(0) - mean).abs() < 5 * spread / math.sqrt(count) + 0.01).all()
    assert ((x.var(0) - spread**2).abs() < 5 * spread**2 * math.sqrt(2 / count) + 0.01 * spread.max() ** 2).all()
    assert (torch.cov(x.T) - covariance).abs().max() < 6 * spread.max() ** 2 / math.sqrt(count) + 1e-3


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_every_sampler_finds_the_posterior_mean(sampler):
    size = (6, 6)
    prior, observation = gaussian(size), seen(size, "coarse")
    denoiser = Posterior(prior, Measurement.of(observation, size), iterations=50)
    with unchecked():
        x = last(SAMPLERS[sampler](denoiser, normal(300, 1, *size), times(40)))
    mean, covariance = exact(prior, size, observation)
    assert (x.flatten(1).mean(0) - mean).abs().max() < 5 * covariance.diagonal().max().sqrt() / math.sqrt(300) + 0.02


def test_one_call_is_the_mean_given_state_and_observation():
    # two observations of x: x_t / alpha with noise sigma / alpha, and y
    size, t = (6, 6), torch.tensor([0.5], dtype=torch.float64)
    prior, observation, x_t = gaussian(size), seen(size, "hole"), normal(1, 1, 6, 6)
    alpha, sigma = (a.item() for a in prior.schedule(t))
    state = Observation.of_picture(x_t[0] / alpha, noise=sigma / alpha)
    expected = exact(prior, size, Observation.join([state, observation]))[0]
    found = Posterior(prior, Measurement.of(observation, size), iterations=100)(x_t, t)
    assert torch.allclose(found.flatten(), expected, atol=1e-4)


def test_guidance_and_labels_reach_the_prior():
    # two classes of pictures, each a single one: the label decides, but for what was seen
    pictures = torch.stack([torch.full((1, 4, 4), -0.5), torch.full((1, 4, 4), 0.5)]).double()
    prior = EmpiricalDenoiser(pictures, Schedule(), torch.tensor([0, 1]))
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[0, 0] = True
    measured = Measurement.of(Observation.of_picture(pictures[1], mask=mask, noise=0.1), (4, 4))
    posterior = Posterior(Guided(prior, 1.0), measured, iterations=5)
    assert isinstance(posterior, Denoiser)
    x_t = normal(8, 1, 4, 4)
    unlabelled = last(SAMPLERS["dpmpp"](posterior, x_t, times(30)))
    labelled = last(SAMPLERS["dpmpp"](posterior, x_t, times(30), torch.zeros(8, dtype=torch.long)))
    assert (unlabelled - pictures[1]).abs().max() < 0.05
    assert (labelled - pictures[0]).abs().max() < 0.05


def test_each_state_of_a_batch_may_have_seen_other_values():
    size, t = (6, 6), torch.full((2,), 0.4, dtype=torch.float64)
    one, prior, x_t = seen(size, "coarse"), gaussian(size), normal(2, 1, 6, 6)
    both = Observation(torch.stack([one.values, -one.values]), one.coords, one.cell, one.noise)
    other = Observation(-one.values, one.coords, one.cell, one.noise)
    together = Posterior(prior, Measurement.of(both, size))(x_t, t)
    assert torch.allclose(together[:1], Posterior(prior, Measurement.of(one, size))(x_t[:1], t[:1]))
    assert torch.allclose(together[1:], Posterior(prior, Measurement.of(other, size))(x_t[1:], t[1:]))


def test_it_works_where_the_caller_records_no_gradients():
    size = (6, 6)
    with torch.inference_mode():
        x_t, t = normal(1, 1, *size), torch.tensor([0.3], dtype=torch.float64)
        found = Posterior(gaussian(size), Measurement.of(seen(size, "coarse"), size))(x_t, t)
    assert torch.isfinite(found).all() and not found.requires_grad


class Blur:
    """Gaussian blur along the rows: what a user would write."""

    def __init__(self, width):
        place = torch.arange(width, dtype=torch.float64)
        kernel = torch.exp(-0.5 * (place[:, None] - place).square())
        self.kernel = kernel / kernel.sum(1, keepdim=True)

    def __call__(self, x):
        return x @ self.kernel.to(x).T

    def transpose(self, y):
        return y @ self.kernel.to(y)


def test_any_operator_has_the_exact_posterior_mean():
    size, t, noise = (6, 6), torch.tensor([0.5], dtype=torch.float64), 0.1
    prior, blur, x_t = gaussian(size), Blur(6), normal(1, 1, 6, 6)
    assert isinstance(blur, Operator)
    y = blur(prior.draw(1, size, torch.Generator().manual_seed(5)))
    found = Posterior(prior, Measurement(blur, y, noise), iterations=100)(x_t, t)
    # E + C A^T (A C A^T + noise^2)^-1 (y - A E) with C = (C_x^-1 + alpha^2 / sigma^2)^-1, by dense linear algebra
    alpha, sigma = (a.item() for a in prior.schedule(t))
    a = blur(torch.eye(36, dtype=torch.float64).reshape(36, 1, *size)).flatten(1).T
    c = torch.linalg.inv(torch.linalg.inv(covariance_matrix(prior, size)) + torch.eye(36) * (alpha / sigma) ** 2)
    mean = prior(x_t, t).flatten()
    gain = c @ a.T @ torch.linalg.inv(a @ c @ a.T + noise**2 * torch.eye(36))
    assert torch.allclose(found.flatten(), mean + gain @ (y.flatten() - a @ mean), atol=1e-4)


def test_a_model_is_sampled_under_any_operator(model):
    blur = Blur(8)
    values = torch.linspace(-0.5, 0.5, 128).reshape(2, 1, 8, 8)
    how = {"seeds": [3, 4], "sampling": Sampling(2, 1.0), "label": ask(model, 3), "aspect": (8, 8)}
    field = sample_posterior(model, Measurement(blur, values, 0.05), **how)
    assert field.render((16, 16)).shape == (2, 1, 16, 16) and field.facts["seeds"] == "3 4"
    second = sample_posterior(model, Measurement(blur, values[1:], 0.05), **{**how, "seeds": [4]})
    assert torch.allclose(second.render((8, 8)), field[1].render((8, 8)), atol=1e-4)


def test_values_that_do_not_fit_are_refused(model):
    with pytest.raises(InputError, match="3 sets of values and 2 seeds"):
        sample_posterior(model, Measurement(Blur(8), torch.zeros(3, 1, 8, 8)), seeds=[0, 1])
    with pytest.raises(InputError, match="shape 1x8x8 and 1x8x7 were measured"):
        sample_posterior(model, Measurement(Blur(8), torch.zeros(1, 1, 8, 7)), aspect=(8, 8))


@pytest.mark.parametrize(
    ("value", "noise", "said"),
    [
        (float("nan"), 0.0, "the measured values hold NaN"),
        (0.0, -1.0, "noise is -1; it is a standard deviation"),
        (0.0, float("nan"), "noise is nan; it is a standard deviation"),
    ],
)
def test_what_nobody_can_have_measured_is_refused(value, noise, said):
    with pytest.raises(InputError, match=said):
        Measurement(Area(Observation.of_picture(torch.zeros(1, 4, 4)), (4, 4)), torch.full((1, 16, 1), value), noise)
