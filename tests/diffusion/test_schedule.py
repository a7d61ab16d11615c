"""The schedule: its formula, its shift with density, and another implementation of it."""

import math

import pytest
import torch
from torch.nn.functional import avg_pool2d

from s2id.diffusion.process import Schedule, alpha_sigma, times

T = torch.linspace(0, 1, 101, dtype=torch.float64)


def test_logsnr_falls_with_time_and_is_finite_at_both_ends():
    for schedule in (Schedule(), Schedule().at_density(36.0)):
        logsnr = schedule.logsnr(T)
        assert (logsnr.diff() < 0).all()
        assert logsnr[0] == schedule.bound + schedule.shift
        assert logsnr[-1] == -schedule.bound + schedule.shift


def test_single_precision_times_give_the_same_logsnr():
    assert torch.allclose(Schedule().logsnr(T.float()).double(), Schedule().logsnr(T), atol=1e-3)
    assert Schedule().logsnr(T.float()).dtype == torch.float32


def test_signal_and_noise_share_unit_power():
    alpha, sigma = Schedule(shift=-3.0)(T)
    assert torch.allclose(alpha**2 + sigma**2, torch.ones_like(T), atol=1e-15)
    logsnr = torch.linspace(-80, 80, 33)
    alpha, sigma = alpha_sigma(logsnr)
    assert torch.allclose(alpha**2 + sigma**2, torch.ones_like(logsnr))
    assert (sigma > 0).all() and (alpha > 0).all()


def test_the_ends_are_almost_clean_and_almost_noise():
    alpha, sigma = Schedule()(torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert sigma[0] < 1e-3 and alpha[1] < 1e-3


def test_alpha_bar_is_the_published_formula():
    # Nichol and Dhariwal 2021, eq. 17: alpha_bar = f(t) / f(0), f(t) = cos^2((t + s) / (1 + s) * pi / 2)
    for s in (0.008, 0.02):
        f = [math.cos((t + s) / (1 + s) * math.pi / 2) ** 2 for t in (0.0, *T[1:-1].tolist())]
        alpha, _ = Schedule(s)(T[1:-1])
        assert torch.allclose(alpha**2, torch.tensor(f[1:]).double() / f[0], atol=1e-7)


def test_the_cosine_schedule_agrees_with_diffusers():
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    theirs = DDIMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2").alphas_cumprod
    t = (torch.arange(999, dtype=torch.float64) + 1) / 1000  # the last of theirs is capped, the last of ours bounded
    alpha, _ = Schedule()(t)
    assert (alpha**2 - theirs[:-1].double()).abs().max() < 1e-5


@pytest.mark.parametrize("ratio", [2, 3, 5])
def test_a_denser_state_at_its_shifted_time_is_as_noisy_as_the_coarse_one(ratio):
    coarse, fine = Schedule(), Schedule().at_density(float(ratio))
    generator = torch.Generator().manual_seed(ratio)
    noise = torch.randn(64, 1, 8 * ratio, 8 * ratio, generator=generator, dtype=torch.float64)
    blocks = avg_pool2d(noise, ratio)
    for t in (0.1, 0.5, 0.9):
        (a, s), (a_fine, s_fine) = (schedule(torch.tensor(t, dtype=torch.float64)) for schedule in (coarse, fine))
        # a block keeps the signal's scale and divides the noise's by the ratio
        assert a_fine / (s_fine / ratio) == pytest.approx((a / s).item())
        measured = (a_fine / (s_fine * blocks.std())).item()
        assert measured == pytest.approx((a / s).item(), rel=4 / math.sqrt(2 * blocks.numel()))


def test_shifts_add_up():
    assert Schedule().at_density(2.0).at_density(3.0).shift == pytest.approx(Schedule().at_density(6.0).shift)
    assert Schedule().at_density(4.0).at_density(1 / 4) == Schedule()


def test_times_fall_evenly_from_noise_to_clean():
    assert times(4).tolist() == [1, 0.75, 0.5, 0.25, 0]
    assert times(1).tolist() == [1, 0]
