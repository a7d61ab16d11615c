"""Solvers of the reverse process: each takes a denoiser, a noisy state and times, and yields every step.

With `sigma_ve = sigma / alpha` and `x_ve = x_t / alpha` the probability flow is d x_ve / d sigma_ve =
(x_ve - denoised) / sigma_ve (Karras et al. 2022, arXiv 2206.00364, eq. 4 with s = 1). Tests measure the order of each
solver. A new solver is one function and one entry of `SAMPLERS`.
"""

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from inspect import signature
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from s2id.condition import Asked
from s2id.diffusion.denoiser import Denoiser
from s2id.media.images import resize
from s2id.shapes import Images

RESTART = 0.7
"""Default time that `restarted` adds noise up to. Above it, approximate posteriors are too wrong; below it, the class
of a sample no longer changes."""


Times = Float[Tensor, " n"]

_Result = TypeVar("_Result")

Fresh = Callable[[int], Images] | None
"""Unit noise from the number of a step."""


@dataclass(frozen=True)
class Step:
    """The result of a solver's step."""

    t: float
    """Time after the step."""
    x_t: Images
    """State at that time."""
    denoised: Images
    """Last estimate of the clean state that the step used."""


@runtime_checkable
class Sampler(Protocol):
    """`(denoiser, x_t, times, label) -> steps`."""

    def __call__(self, denoiser: Denoiser, x_t: Images, times: Times, label: Asked | None = None) -> Iterator[Step]:
        """Solve, yielding every step."""
        ...


def ddim(
    denoiser: Denoiser, x_t: Images, times: Times, label: Asked | None = None, *, eta: float = 0.0, noise: Fresh = None
) -> Iterator[Step]:
    """DDIM, of first order (Song et al. 2021, arXiv 2010.02502, eq. 12 and 16).

    Args:
        denoiser: Denoiser, guided or not.
        x_t: State at `times[0]`.
        times: Falling times from noise to data. Rising times, with eta 0, run the flow from data back to noise.
        label: Condition.
        eta: Amount of fresh noise, from 0 (deterministic) to 1 (ancestral sampling).
        noise: Function from the number of a step to unit noise; needed where eta > 0.

    Raises:
        ValueError: eta > 0 without noise.

    Example:
        >>> from s2id.diffusion.exact import GaussianDenoiser
        >>> from s2id.diffusion.process import Schedule, times
        >>> pixel = GaussianDenoiser(torch.tensor([[0.25]]), Schedule(), mean=1.0)  # normal, std 0.5, mean 1
        >>> noise = torch.tensor([-1.0, 0.0, 1.0]).reshape(3, 1, 1, 1)
        >>> [round(x, 1) for x in last(ddim(pixel, noise, times(200))).flatten().tolist()]
        [0.5, 1.0, 1.5]
    """
    for i, t, s in _intervals(times):
        denoised = _call(denoiser, x_t, t, label)
        x_t = _along(denoised, denoiser, x_t, (i, t, s), eta, noise)
        yield Step(s, x_t, denoised)


def heun(denoiser: Denoiser, x_t: Images, times: Times, label: Asked | None = None) -> Iterator[Step]:
    """Exponential Heun, of second order, two calls per step (ETD2RK; Cox and Matthews 2002, J. Comput. Phys. 176).

    The denoised state is taken as linear in logsnr / 2 over the step, for which the solution is exact. Heun's plain
    method in sigma_ve diverges in the first of evenly spaced steps, where sigma_ve falls to a hundredth.
    """
    for _, t, s in _intervals(times):
        (_, sigma), (alpha_s, sigma_s) = _scales(denoiser, t), _scales(denoiser, s)
        h = _half_logsnr(denoiser, s) - _half_logsnr(denoiser, t)
        share = -math.expm1(-h)
        denoised = _call(denoiser, x_t, t, label)
        guess = (sigma_s / sigma) * x_t + alpha_s * share * denoised
        corrected = _call(denoiser, guess, s, label)
        x_t = guess + alpha_s * (1 - share / h if h else 0.0) * (corrected - denoised)
        yield Step(s, x_t, corrected)


def dpmpp_2m(
    denoiser: Denoiser, x_t: Images, times: Times, label: Asked | None = None, *, eta: float = 0.0, noise: Fresh = None
) -> Iterator[Step]:
    """DPM-Solver++(2M), of second order, one call per step (Lu et al. 2022, arXiv 2211.01095, algorithm 2).

    Each step is that of DDIM with a denoised state extrapolated from the last two; with fresh noise this is
    SDE-DPM-Solver++(2M). The step to t = 0 is of first order: it is long in logsnr, and extrapolating over it would
    magnify errors of the denoised states. Arguments and errors as for `ddim`.
    """
    previous: tuple[Images, float] | None = None
    for i, t, s in _intervals(times):
        h = _half_logsnr(denoiser, s) - _half_logsnr(denoiser, t)
        denoised = _call(denoiser, x_t, t, label)
        estimate = denoised
        if previous is not None and s > 0:
            estimate = denoised + (denoised - previous[0]) * (h / (2 * previous[1]))
        x_t = _along(estimate, denoiser, x_t, (i, t, s), eta, noise)
        if h:  # with thousands of steps, the first lie where logsnr is bounded and does not change
            previous = (denoised, h)
        yield Step(s, x_t, denoised)


def _along(
    estimate: Images,
    denoiser: Denoiser,
    x_t: Images,
    step: tuple[int, float, float],
    eta: float,
    noise: Fresh,
) -> Images:
    """The state after a step of DDIM, given its number and two times, if `estimate` is the clean state."""
    if eta and noise is None:
        raise ValueError("eta > 0 needs `noise`, a function from the step's number to unit noise")
    i, t, s = step
    (alpha, sigma), (alpha_s, sigma_s) = _scales(denoiser, t), _scales(denoiser, s)
    eps = (x_t - alpha * estimate) / sigma
    fresh = eta * (sigma_s / sigma) * math.sqrt(1 - (alpha / alpha_s) ** 2) if eta else 0.0
    x_t = alpha_s * estimate + math.sqrt(max(0.0, sigma_s**2 - fresh**2)) * eps
    return x_t + fresh * noise(i) if noise is not None and fresh else x_t


def restarted(
    solve: Sampler, rounds: int, noise: Callable[[int], Images], t: float = RESTART, steps: int = 6
) -> Sampler:
    """A sampler that adds noise to its result and solves again from there, several times.

    Where the solver is exact below time `t`, every round keeps the right distribution and brings a wrong one nearer to
    it: errors made above `t` are forgotten (Xu et al. 2023, arXiv 2306.14878).

    Args:
        solve: Solver of the first solution and of every round.
        rounds: Number of rounds.
        noise: Function from the number of a round to unit noise.
        t: Time that noise is added up to.
        steps: Steps of each round.
    """

    def run(denoiser: Denoiser, x_t: Images, times: Times, label: Asked | None = None) -> Iterator[Step]:
        for step in solve(denoiser, x_t, times, label):
            x_t = step.x_t
            yield step
        alpha, sigma = _scales(denoiser, t)
        again = torch.linspace(t, 0, steps + 1, dtype=times.dtype, device=times.device)
        for i in range(rounds):
            fresh = noise(i)
            x_t = resize(x_t, (fresh.shape[2], fresh.shape[3]))  # solving may have ended on a finer state
            for step in solve(denoiser, alpha * x_t + sigma * fresh, again, label):
                x_t = step.x_t
                yield step

    return run


SAMPLERS: dict[str, Sampler] = {"ddim": ddim, "heun": heun, "dpmpp": dpmpp_2m}

STOCHASTIC: dict[str, Callable[..., Iterator[Step]]] = {
    name: solve for name, solve in SAMPLERS.items() if "eta" in signature(solve).parameters
}
"""The samplers that can add fresh noise in every step: those with the arguments `eta` and `noise`."""


def last(steps: Iterator[Step]) -> Images:
    """The state after the last step; earlier steps are not kept.

    Raises:
        ValueError: There was no step.
    """
    return result(last_of(steps))


def last_of(steps: Iterator[Step]) -> Generator[Step, None, Images]:
    """The steps, and at their end the last state as what the generator returns."""
    state: Images | None = None
    for step in steps:
        state = step.x_t
        yield step
    if state is None:
        raise ValueError("no steps: times must hold at least two entries")
    return state


def result(walk: Generator[Step, None, _Result]) -> _Result:
    """What a generator of steps returns at its end."""
    while True:
        try:
            next(walk)
        except StopIteration as end:
            return end.value


def _intervals(times: Times) -> Iterator[tuple[int, float, float]]:
    points = times.tolist()
    yield from ((i, t, s) for i, (t, s) in enumerate(zip(points[:-1], points[1:], strict=True)))


def _half_logsnr(denoiser: Denoiser, t: float) -> float:
    """Half of logsnr, which DPM-Solver calls lambda."""
    return denoiser.schedule.logsnr(torch.tensor(t, dtype=torch.float64)).item() / 2


def _scales(denoiser: Denoiser, t: float) -> tuple[float, float]:
    half = _half_logsnr(denoiser, t)
    return 1 / math.sqrt(1 + math.exp(-2 * half)), 1 / math.sqrt(1 + math.exp(2 * half))


def _call(denoiser: Denoiser, x_t: Images, t: float, label: Asked | None) -> Images:
    return denoiser(x_t, torch.full((len(x_t),), t, dtype=torch.float64, device=x_t.device), label)
