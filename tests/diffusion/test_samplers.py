"""Samplers on denoisers in closed form: orders, bounds, known answers, and the same picture at every density."""

import math
from functools import cache, partial

import pytest
import torch
from torch.nn.functional import avg_pool2d

from s2id.diffusion.denoiser import Denoiser
from s2id.diffusion.exact import EmpiricalDenoiser, GaussianDenoiser
from s2id.diffusion.noise import noise_field
from s2id.diffusion.process import Schedule, times
from s2id.diffusion.samplers import SAMPLERS, STOCHASTIC, ddim, dpmpp_2m, last, restarted
from s2id.shapes import NULL

ORDERS = {"ddim": 1, "heun": 2, "dpmpp": 2}
CALLS = {"ddim": 1, "heun": 2, "dpmpp": 1}
every_sampler = pytest.mark.parametrize("name", SAMPLERS)


def waves(reach, decay=1.5):
    """A power law of frequencies up to `reach`."""
    k = torch.arange(-reach, reach + 1, dtype=torch.float64)
    return 0.3 * (1 + k[:, None] ** 2 + k**2) ** -decay


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def gaussian():
    return GaussianDenoiser(waves(2), Schedule(), mean=0.2)


def slope(errors):
    """Fitted order of errors at steps that halve."""
    logs = torch.tensor([math.log2(e) for e in errors], dtype=torch.float64)
    halvings = torch.arange(len(errors), dtype=torch.float64)
    return -(torch.cov(torch.stack([halvings, logs]))[0, 1] / halvings.var()).item()


def test_every_sampler_has_a_stated_order():
    assert ORDERS.keys() == CALLS.keys() == SAMPLERS.keys()


def global_error(sampler, gaussian, steps):
    """Away from the ends, where logsnr is bounded and steps cannot be small."""
    x_t = normal(2, 1, 6, 6)
    grid = torch.linspace(0.8, 0.1, steps + 1, dtype=torch.float64)
    return (last(sampler(gaussian, x_t, grid)) - gaussian.flow(x_t, 0.8, 0.1)).abs().max().item()


@every_sampler
def test_the_global_error_falls_with_the_stated_order(name, gaussian):
    errors = [global_error(SAMPLERS[name], gaussian, steps) for steps in (32, 64, 128)]
    assert slope(errors) == pytest.approx(ORDERS[name], abs=0.1)


@every_sampler
def test_the_local_error_falls_one_order_faster_after_unequal_steps(name, gaussian):
    # the second of two steps, of which it is the longer or the shorter, against the flow from where the first ended
    for first, second in ((1, 3), (3, 1)):
        errors = []
        for step in (0.01, 0.005, 0.0025, 0.00125):
            t = torch.tensor([0.6, 0.6 - first * step, 0.6 - (first + second) * step], dtype=torch.float64)
            middle, end = (s.x_t for s in SAMPLERS[name](gaussian, normal(2, 1, 6, 6), t))
            errors.append((end - gaussian.flow(middle, t[1].item(), t[2].item())).abs().max().item())
        assert slope(errors) == pytest.approx(ORDERS[name] + 1, abs=0.1)


@every_sampler
def test_the_error_is_no_larger_than_the_method_has(name, gaussian):
    # what the right formulas leave, and a tenth: a denoiser told the next time keeps the order and doubles the error
    bound = {"ddim": 2.004e-2, "heun": 4.229e-4, "dpmpp": 4.130e-4}[name]
    assert global_error(SAMPLERS[name], gaussian, 64) < 1.1 * bound


@cache
def curved(name, steps):
    """States on the way to one of three pictures: the estimate is no linear function of the state."""
    data = EmpiricalDenoiser(normal(3, 1, 2, 2), Schedule())
    return last(SAMPLERS[name](data, normal(8, 1, 2, 2, seed=1), torch.linspace(0.7, 0.3, steps + 1).double()))


@every_sampler
def test_a_curved_denoiser_is_solved_with_the_stated_order_too(name):
    truth = curved("heun", 480)
    errors = [(curved(name, steps) - truth).square().mean().sqrt().item() for steps in (40, 80, 160)]
    assert slope(errors) == pytest.approx(ORDERS[name], abs=0.15)


class Counting:
    """A denoiser that notes the times it is asked for."""

    def __init__(self, denoiser):
        self.denoiser, self.schedule, self.heard = denoiser, denoiser.schedule, []

    def __call__(self, x_t, t, label=None):
        self.heard.append(t.unique().item())
        return self.denoiser(x_t, t, label)


@every_sampler
def test_every_step_is_yielded_and_costs_the_stated_calls(name, gaussian):
    counting = Counting(gaussian)
    assert isinstance(counting, Denoiser)
    grid = times(5)
    steps = []
    for step in SAMPLERS[name](counting, normal(1, 1, 4, 4), grid):
        steps.append(step)
        assert len(counting.heard) == len(steps) * CALLS[name]
    assert [step.t for step in steps] == grid[1:].tolist()
    asked = (
        grid[:-1].tolist() if CALLS[name] == 1 else [t for pair in zip(grid[:-1], grid[1:], strict=True) for t in pair]
    )
    assert counting.heard == [float(t) for t in asked]
    assert all(step.x_t.shape == step.denoised.shape == (1, 1, 4, 4) for step in steps)


@every_sampler
def test_the_last_estimate_is_the_last_state(name, gaussian):
    *_, step = SAMPLERS[name](gaussian, normal(1, 1, 4, 4), times(20))
    assert (step.x_t - step.denoised).abs().max() < 0.05


@every_sampler
def test_twenty_steps_from_pure_noise_come_near_the_truth(name, gaussian):
    x_t = normal(4, 1, 24, 24)
    truth = gaussian.flow(x_t, 1.0, 0.0)
    error = (last(SAMPLERS[name](gaussian, x_t, times(20))) - truth).square().mean().sqrt() / truth.std()
    assert error < {"ddim": 0.25, "heun": 0.05, "dpmpp": 0.2}[name]


@every_sampler
def test_errors_of_the_estimates_are_not_magnified(name, gaussian):
    def imperfect(x_t, t, label=None):
        wrong = normal(*x_t.shape, seed=int(1e6 * t[0]))
        return gaussian(x_t, t) + 0.02 * wrong

    imperfect.schedule = gaussian.schedule
    x_t = normal(4, 1, 24, 24)
    right, wrong = (last(SAMPLERS[name](denoiser, x_t, times(40))) for denoiser in (gaussian, imperfect))
    assert (wrong - right).square().mean().sqrt() < 1.5 * 0.02


@every_sampler
def test_a_point_of_data_is_reached_from_any_noise(name):
    picture = normal(1, 1, 4, 4)
    one = EmpiricalDenoiser(picture, Schedule())
    for steps in (1, 2, 7):
        end = last(SAMPLERS[name](one, normal(3, 1, 4, 4, seed=1), times(steps)))
        assert torch.allclose(end, picture.expand_as(end), atol=5e-3)  # sigma does not quite reach zero


@every_sampler
def test_every_sample_of_finite_data_is_one_of_its_pictures_under_the_label(name):
    pictures, labels = normal(6, 1, 5, 5), torch.tensor([0, 0, 1, 1, 2, 2])
    data = EmpiricalDenoiser(pictures, Schedule(), labels)
    label = torch.tensor([0, 1, 2, 1, 0, NULL])
    ends = last(SAMPLERS[name](data, normal(6, 1, 5, 5, seed=1), times(30), label))
    distance, nearest = torch.cdist(ends.flatten(1), pictures.flatten(1)).min(1)
    assert distance.max() < 0.05
    assert torch.equal(labels[nearest][:5], label[:5])


@every_sampler
def test_pictures_in_a_batch_do_not_know_each_other(name, gaussian):
    x_t = normal(3, 1, 4, 4)
    together = last(SAMPLERS[name](gaussian, x_t, times(6)))
    assert torch.allclose(together[1:2], last(SAMPLERS[name](gaussian, x_t[1:2], times(6))), atol=1e-12)


@every_sampler
def test_single_precision_is_enough(name, gaussian):
    x_t = normal(2, 1, 6, 6)
    double, single = (last(SAMPLERS[name](gaussian, x, times(20))) for x in (x_t, x_t.float()))
    assert single.dtype == torch.float32
    assert (single.double() - double).abs().max() < 1e-3


@every_sampler
def test_times_that_the_bound_does_not_tell_apart_do_no_harm(name):
    bounded = GaussianDenoiser(waves(2), Schedule(bound=2.0))  # as thousands of steps do with the usual bound
    end = last(SAMPLERS[name](bounded, normal(1, 1, 4, 4), times(40)))
    assert end.isfinite().all() and end.std() < 2


def test_no_steps_are_refused(gaussian):
    for name in SAMPLERS:
        with pytest.raises(ValueError, match="at least two entries"):
            last(SAMPLERS[name](gaussian, normal(1, 1, 2, 2), times(4)[:1]))


def pixel(variance, mean=0.0):
    """A picture of one normal pixel."""
    return GaussianDenoiser(torch.tensor([[variance]], dtype=torch.float64), Schedule(), mean)


every_eta = pytest.mark.parametrize("name", STOCHASTIC)


def variance_drawn(name, eta, steps, denoiser):
    """With fresh noise, exactly: the sum of squares of what each unit of noise comes to."""
    units = torch.eye(steps + 1, dtype=torch.float64)[:, :, None, None, None]
    fresh = partial(STOCHASTIC[name], eta=eta, noise=lambda i: units[i + 1])
    return last(fresh(denoiser, units[0], times(steps))).square().sum().item()


@every_eta
@pytest.mark.parametrize("variance", [0.05, 1.0, 4.0])
@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_fresh_noise_keeps_the_variance(name, eta, variance):
    errors = [abs(variance_drawn(name, eta, steps, pixel(variance)) / variance - 1) for steps in (50, 200)]
    rest = {"ddim": 1e-3, "dpmpp": 2e-3}[name]  # what the bound of logsnr leaves
    assert errors[1] < 0.1 and errors[1] < errors[0] / 2 + rest


def test_with_fresh_noise_too_dpmpp_errs_less_than_ddim():
    # a pixel that few steps get wrong: an estimate held over a step, and a line through two of them
    ddims, dpmpps = (abs(variance_drawn(name, 1.0, 50, pixel(0.05)) / 0.05 - 1) for name in STOCHASTIC)
    assert dpmpps < ddims / 3


@every_eta
def test_ancestral_steps_forget_the_first_noise(name):
    units = torch.eye(2, dtype=torch.float64)[:, :, None, None, None]
    fresh = partial(STOCHASTIC[name], eta=1.0, noise=lambda i: torch.zeros_like(units[0]))
    kept = last(fresh(pixel(1.0), units[0], times(100)))[0].abs().item()
    assert kept < 0.05 < 0.9 < last(STOCHASTIC[name](pixel(1.0), units[0], times(100)))[0].item()


@every_eta
def test_without_eta_noise_is_not_drawn_and_with_it_noise_is_needed(name, gaussian):
    def never(i):
        raise AssertionError

    x_t, sampler = normal(1, 1, 4, 4), STOCHASTIC[name]
    assert torch.equal(last(sampler(gaussian, x_t, times(4), noise=never)), last(sampler(gaussian, x_t, times(4))))
    with pytest.raises(ValueError, match="needs `noise`"):
        last(sampler(gaussian, x_t, times(4), eta=0.5))


def test_restarts_keep_a_right_distribution_and_forget_a_wrong_start():
    # exactly, by what each unit of noise comes to: the start's, then each round's
    rounds, t, variance = 3, 0.7, 0.5
    units = torch.eye(rounds + 1, dtype=torch.float64)[:, :, None, None, None]
    found = {}
    for start in (1.0, 3.0):  # stds of the first noise; 1 is right
        solve = restarted(SAMPLERS["heun"], rounds, lambda i: units[i + 1], t, steps=40)
        parts = last(solve(pixel(variance), start * units[0], times(40))).flatten()
        assert len(list(solve(pixel(variance), start * units[0], times(40)))) == 40 * (rounds + 1)
        found[start] = parts.square().sum().item() / variance
    alpha, sigma = (a.item() for a in Schedule()(torch.tensor(t, dtype=torch.float64)))
    kept = (alpha**2 * variance / (alpha**2 * variance + sigma**2)) ** rounds  # of an excess of variance
    assert found[1.0] == pytest.approx(1, abs=0.02)
    assert found[3.0] - 1 == pytest.approx(8 * kept, abs=0.05 * 8 * kept + 0.02)


THEIRS = {
    "num_train_timesteps": 1000,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "sample",
}
POINTS = list(range(899, 98, -100))  # their last beta is capped and their first step is ours at t = 1 / 1000


def ours_and_theirs(sampler, scheduler, denoiser, **options):
    x_t = normal(1, 1, 6, 6)
    grid = torch.tensor([(point + 1) / 1000 for point in POINTS], dtype=torch.float64)
    mine = last(sampler(denoiser, x_t, grid))
    for point, t in list(zip(POINTS, grid, strict=True))[:-1]:
        x_t = scheduler.step(denoiser(x_t, t[None]), point, x_t, **options).prev_sample
    return (mine - x_t).abs().max().item()


def test_ddim_agrees_with_diffusers(gaussian):
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    scheduler = DDIMScheduler(**THEIRS, clip_sample=False, timestep_spacing="trailing")
    scheduler.set_timesteps(10)
    assert ours_and_theirs(ddim, scheduler, gaussian) < 1e-5


def test_ddim_with_fresh_noise_agrees_with_diffusers(gaussian):
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    scheduler = DDIMScheduler(**THEIRS, clip_sample=False, timestep_spacing="trailing")
    scheduler.set_timesteps(10)
    noise = normal(1, 1, 6, 6, seed=5)
    ours = partial(ddim, eta=0.7, noise=lambda i: noise)
    assert ours_and_theirs(ours, scheduler, gaussian, eta=0.7, variance_noise=noise) < 1e-5


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # their numpy calls
def test_dpmpp_agrees_with_diffusers(gaussian):
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

    scheduler = DPMSolverMultistepScheduler(**THEIRS, algorithm_type="dpmsolver++", lower_order_final=False)
    scheduler.set_timesteps(timesteps=POINTS)
    assert ours_and_theirs(dpmpp_2m, scheduler, gaussian) < 1e-5


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # their numpy calls
def test_dpmpp_with_fresh_noise_agrees_with_diffusers(gaussian):
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

    scheduler = DPMSolverMultistepScheduler(**THEIRS, algorithm_type="sde-dpmsolver++", lower_order_final=False)
    scheduler.set_timesteps(timesteps=POINTS)
    noise = normal(1, 1, 6, 6, seed=5)
    ours = partial(dpmpp_2m, eta=1.0, noise=lambda i: noise)
    assert ours_and_theirs(ours, scheduler, gaussian, variance_noise=noise) < 1e-5


def sampled_spectrum(sampler, size, steps, shifted=True):
    """Sampled over true variance of every mode, exactly: an impulse excites all modes alike, as white noise does."""
    schedule = Schedule().at_density(size / 32) if shifted else Schedule()
    field = GaussianDenoiser(waves(6), schedule)
    impulse = torch.zeros(1, 1, size, size, dtype=torch.float64)
    impulse[..., 0, 0] = size
    modes = torch.fft.fft2(last(sampler(field, impulse, times(steps))), norm="ortho").abs().square()[0, 0]
    low = torch.arange(-6, 7)
    return (modes / field.variances((size, size)))[low][:, low]


@every_sampler
def test_the_spectrum_is_the_fields_at_every_size(name):
    within = {"ddim": 0.17, "heun": 0.02, "dpmpp": 0.1}[name]
    for size in (32, 64, 128):
        assert sampled_spectrum(SAMPLERS[name], size, 120).sub(1).abs().max() < within


@every_sampler
def test_few_steps_err_alike_at_every_size_where_the_schedule_is_shifted(name):
    base, *others = (sampled_spectrum(SAMPLERS[name], size, 20) for size in (32, 64, 128))
    assert all((other / base - 1).abs().max() < 0.03 for other in others)
    unshifted = sampled_spectrum(SAMPLERS[name], 128, 20, shifted=False)
    assert (unshifted / base - 1).abs().max() > 0.3


def test_modes_that_no_picture_has_are_not_sampled():
    for name, sampler in SAMPLERS.items():
        field = GaussianDenoiser(waves(2), Schedule())
        modes = torch.fft.fft2(last(sampler(field, normal(1, 1, 16, 16), times(20))), norm="ortho")
        assert modes[0, 0, 3:13].abs().max() < 5e-3, name


@every_sampler
def test_the_same_seed_is_the_same_picture_at_every_density(name):
    pictures = {}
    for size in (32, 64, 128):
        field = GaussianDenoiser(waves(3, decay=2.0), Schedule().at_density(size / 32))
        noise = torch.stack([noise_field((size, size), 1, seed) for seed in (0, 1)]).double()
        pictures[size] = avg_pool2d(last(SAMPLERS[name](field, noise, times(20))), size // 32)
    for size in (64, 128):
        error = (pictures[size] - pictures[32]).square().mean() / pictures[32].square().mean()
        assert error.sqrt() < 0.12  # a coarse pixel's noise has some of the frequencies above its own
    other = (pictures[32][0] - pictures[32][1]).square().mean() / pictures[32].square().mean()
    assert other.sqrt() > 0.8


@pytest.mark.parametrize("t", [0.2, 0.5, 0.8])
def test_a_dense_state_at_its_shifted_time_is_denoised_to_the_coarse_ones_picture(t):
    at = torch.tensor([t], dtype=torch.float64)
    fine, coarse = (GaussianDenoiser(waves(3, 2.0), Schedule().at_density(n / 32)) for n in (96, 32))
    x = fine.draw(1, (96, 96), torch.Generator().manual_seed(0))
    (alpha, sigma), (alpha_coarse, _) = fine.schedule(at), coarse.schedule(at)
    x_t = alpha * x + sigma * normal(1, 1, 96, 96)
    seen = avg_pool2d(x_t, 3) * (alpha_coarse / alpha)  # signal as strong as there; so is the noise
    denoised, expected = avg_pool2d(fine(x_t, at), 3), coarse(seen, at)
    assert (denoised - expected).square().mean().sqrt() < 0.05 * expected.std()


@every_sampler
def test_a_picture_made_noisy_and_solved_back_is_itself(name, gaussian):
    # the flow runs both ways: times may rise
    x, up = 0.5 * normal(1, 1, 6, 6), torch.linspace(0.1, 0.8, 129, dtype=torch.float64)
    back = last(SAMPLERS[name](gaussian, last(SAMPLERS[name](gaussian, x, up)), up.flip(0)))
    assert (back - x).abs().max() < {"ddim": 0.1, "heun": 1e-2, "dpmpp": 1e-2}[name]
