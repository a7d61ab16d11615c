"""Posterior sampling against closed forms: a Gaussian field's posterior is known at every size."""

import math

import pytest
import torch
from test_exact import covariance_matrix, waves

from s2id.coords import extent
from s2id.diffusion.denoiser import Denoiser
from s2id.diffusion.exact import EmpiricalDenoiser, GaussianDenoiser
from s2id.diffusion.guidance import Guided
from s2id.diffusion.process import Schedule, times
from s2id.diffusion.samplers import SAMPLERS, last
from s2id.inverse.observation import Area, Observation
from s2id.inverse.posterior import Posterior


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
        shifts = torch.tensor([[0.0, 0.0], [0.07, -0.05], [-0.04, 0.11]])
        observation = Observation.of_frames(torch.zeros(3, 1, 3, 3), shifts, noise=0.2)
    values = Area(observation, size, extent(size))(truth)[0]
    return Observation(values, observation.coords, observation.cell, observation.noise)


@pytest.mark.parametrize("kind", ["coarse", "hole", "frames"])
@pytest.mark.parametrize("size", [(6, 6), (8, 8)])
def test_samples_have_the_exact_posterior_mean_and_covariance(size, kind):
    prior, observation, count = gaussian(size), seen(size, kind), 600
    denoiser = Posterior(prior, observation, iterations=40)
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
    x = last(SAMPLERS[sampler](Posterior(prior, observation, iterations=50), normal(300, 1, *size), times(40)))
    mean, covariance = exact(prior, size, observation)
    assert (x.flatten(1).mean(0) - mean).abs().max() < 5 * covariance.diagonal().max().sqrt() / math.sqrt(300) + 0.02


def test_one_call_is_the_mean_given_state_and_observation():
    # two observations of x: x_t / alpha with noise sigma / alpha, and y
    size, t = (6, 6), torch.tensor([0.5], dtype=torch.float64)
    prior, observation, x_t = gaussian(size), seen(size, "hole"), normal(1, 1, 6, 6)
    alpha, sigma = (a.item() for a in prior.schedule(t))
    state = Observation.of_picture(x_t[0] / alpha, noise=sigma / alpha)
    expected = exact(prior, size, Observation.join([state, observation]))[0]
    found = Posterior(prior, observation, iterations=100)(x_t, t)
    assert torch.allclose(found.flatten(), expected, atol=1e-4)


def test_guidance_and_labels_reach_the_prior():
    # two classes of pictures, each a single one: the label decides, but for what was seen
    pictures = torch.stack([torch.full((1, 4, 4), -0.5), torch.full((1, 4, 4), 0.5)]).double()
    prior = EmpiricalDenoiser(pictures, Schedule(), torch.tensor([0, 1]))
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[0, 0] = True
    posterior = Posterior(Guided(prior, 1.0), Observation.of_picture(pictures[1], mask=mask, noise=0.1), iterations=5)
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
    together = Posterior(prior, both)(x_t, t)
    assert torch.allclose(together[:1], Posterior(prior, one)(x_t[:1], t[:1]))
    assert torch.allclose(together[1:], Posterior(prior, other)(x_t[1:], t[1:]))


def test_it_works_where_the_caller_records_no_gradients():
    size = (6, 6)
    with torch.inference_mode():
        x_t, t = normal(1, 1, *size), torch.tensor([0.3], dtype=torch.float64)
        found = Posterior(gaussian(size), seen(size, "coarse"))(x_t, t)
    assert torch.isfinite(found).all() and not found.requires_grad
