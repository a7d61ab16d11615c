"""The forward process `x_t = alpha * x + sigma * eps` in continuous time, t = 0 clean and t = 1 noise.

A state that is k times as dense has k^2 times as many noise samples on the same area, and their mean is k times as
small. So a picture is equally visible in it at `logsnr - 2 ln k` (Hoogeboom et al. 2023, arXiv 2301.11093, eq. 4):
that is the schedule which `at_density` returns.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor


def alpha_sigma(
    logsnr: Float[Tensor, "*shape"],
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """Scale of the signal and of the noise, with alpha^2 + sigma^2 = 1."""
    return torch.sigmoid(logsnr).sqrt(), torch.sigmoid(-logsnr).sqrt()


@dataclass(frozen=True)
class Schedule:
    """Cosine schedule (Nichol and Dhariwal 2021, arXiv 2102.09672, eq. 17), shifted by density.

    `logsnr = log(alpha^2 / sigma^2)` is bounded before the shift, so that it is finite for every t in [0, 1].

    Example:
        >>> schedule = Schedule()
        >>> t = torch.tensor([0.25, 0.75])
        >>> [round(value, 2) for value in schedule.logsnr(t).tolist()]
        [1.71, -1.78]
        >>> [round(value, 2) for value in schedule.at_density(2.0).logsnr(t).tolist()]  # lower by 2 ln 2
        [0.33, -3.17]
    """

    s: float = 0.008
    """Offset of the cosine, which keeps the noise from vanishing near t = 0."""
    shift: float = 0.0
    """Added to logsnr."""
    bound: float = 14.0
    """Largest absolute value of logsnr before the shift."""

    def at_density(self, ratio: float) -> "Schedule":
        """The schedule of a state that is `ratio` times as dense; its logsnr is lower by 2 ln(ratio)."""
        return replace(self, shift=self.shift - 2 * math.log(ratio))

    def logsnr(self, t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The logarithm of alpha^2 / sigma^2 at time t; it falls as t rises."""
        angle = (t.double() + self.s) / (1 + self.s) * (math.pi / 2)
        alpha_bar = (angle.cos() / math.cos(self.s / (1 + self.s) * math.pi / 2)).square()
        logsnr = alpha_bar.log() - (1 - alpha_bar).clamp(min=1e-12).log()
        return (logsnr.clamp(-self.bound, self.bound) + self.shift).to(t.dtype)

    def __call__(self, t: Float[Tensor, "*shape"]) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        """(alpha, sigma) at time t."""
        return alpha_sigma(self.logsnr(t))


def times(steps: int, device: torch.device | None = None) -> Float[Tensor, " n"]:
    """`steps` + 1 times from 1 (noise) to 0 (clean), evenly spaced, in float64."""
    return torch.linspace(1, 0, steps + 1, dtype=torch.float64, device=device)
