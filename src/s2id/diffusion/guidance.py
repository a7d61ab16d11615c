"""Guidance: denoisers that wrap a denoiser and extrapolate its denoised states.

Classifier-free guidance extrapolates from the unconditional state (Ho and Salimans 2022, arXiv 2207.12598, eq. 6):

    denoised = unconditional + guidance * (conditional - unconditional) + sum of weight * (toward - away)

The sum composes conditions (Liu et al. 2022, arXiv 2206.01714). With `away` unconditional, a positive weight adds the
condition `toward` (their conjunction) and a negative one avoids it (their negation). With `toward` the whole condition
and `away` all of it but one label, this label alone gets another weight. Guidance early and late in sampling costs
variety and gains nothing, so it may be limited to an interval of times (Kynkäänniemi et al. 2024, arXiv 2404.07724).

Autoguidance extrapolates from a weaker model's state under the same condition (Karras et al. 2024, arXiv 2406.02507):

    denoised = weaker + autoguidance * (own - weaker)

The weaker model is smaller or less trained and makes the same errors, only larger. No condition is exaggerated, so
autoguidance costs no variety.

A network that learned to predict all of this takes the weight of guidance as an input, in its `Condition` (Meng et al.
2022, arXiv 2210.03142, section 3.1), and needs one call under one condition. Sums of conditions are extrapolated from
its answers at weight 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from s2id.condition import Asked, condition_of
from s2id.diffusion.denoiser import Denoiser
from s2id.diffusion.settings import ALWAYS
from s2id.settings import Size
from s2id.shapes import Images, Scalars, per_sample

_NEAR = 1e-6  # an interval includes both ends in spite of rounding errors in a solver's times


@runtime_checkable
class ConditionalDenoiser(Denoiser, Protocol):
    """A denoiser that also takes several conditions at once and shares what does not depend on them."""

    def under_each(
        self, x_t: Images, t: Scalars, labels: Sequence[Asked | None], size: Size | None = None
    ) -> list[Float[Tensor, "b c y x"]]:
        """The expected clean state of a size (`None`: the noisy state's) under each condition."""
        ...


class AutoGuided:
    """Denoised states extrapolated from those of a weaker model."""

    def __init__(self, denoiser: ConditionalDenoiser, weaker: ConditionalDenoiser, autoguidance: float) -> None:
        """Wrap a denoiser.

        Args:
            denoiser: Denoiser to guide.
            weaker: Denoiser of the same states that makes the same errors, only larger.
            autoguidance: 0 gives `weaker`, 1 gives `denoiser`, more extrapolates.
        """
        self.denoiser = denoiser
        self.weaker = weaker
        self.autoguidance = autoguidance
        self.schedule = denoiser.schedule

    def __call__(self, x_t: Images, t: Scalars, label: Asked | None = None) -> Images:
        """The guided clean state."""
        return self.under_each(x_t, t, [label])[0]

    def under_each(
        self, x_t: Images, t: Scalars, labels: Sequence[Asked | None], size: Size | None = None
    ) -> list[Float[Tensor, "b c y x"]]:
        """The guided clean state, of the noisy state's size or another, under each of several conditions."""
        pairs = (one.under_each(x_t, t, labels, size) for one in (self.weaker, self.denoiser))
        return [weaker.lerp(own, self.autoguidance) for weaker, own in zip(*pairs, strict=True)]


@dataclass(frozen=True)
class Push:
    """The term `weight * (toward - away)` of the sum, with the denoised states under two conditions."""

    weight: float
    toward: Asked | None
    away: Asked | None = None


def clipped(guided: Images, conditional: Images) -> Images:
    """Guided states clipped to [-1, 1], or as far beyond as the conditional states are, which guidance 1 would keep.

    >>> clipped(torch.full((1, 1, 1, 1), 3.0), torch.full((1, 1, 1, 1), 0.5)).item()
    1.0
    """
    most = conditional.abs().clamp(min=1)
    return guided.clamp(-most, most)


class Guided:
    """Denoised states extrapolated from the unconditional ones; the encoder runs once per step.

    Example:
        >>> from s2id.diffusion.exact import EmpiricalDenoiser
        >>> from s2id.diffusion.process import Schedule
        >>> pictures = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1)
        >>> data = EmpiricalDenoiser(pictures, Schedule(), torch.tensor([0, 1]))
        >>> noise, t, label = torch.zeros(1, 1, 1, 1), torch.ones(1), torch.tensor([1])
        >>> round(Guided(data, 1.5)(noise, t, label).item(), 3)  # class 1 is at 1, the mean of both at 0
        1.5
    """

    def __init__(
        self,
        denoiser: ConditionalDenoiser,
        guidance: float,
        pushes: Sequence[Push] = (),
        interval: tuple[float, float] = ALWAYS,
        within: Callable[[Images, Images], Images] | None = None,
        learned: bool = False,
    ) -> None:
        """Wrap a denoiser.

        Args:
            denoiser: Denoiser to guide.
            guidance: 0 ignores the condition, 1 gives the conditional state, more exaggerates the condition.
            pushes: Terms of the sum. The decoder runs once per condition; conditions are told apart by identity.
            interval: Smallest and largest time of guidance; outside it guidance is 1 and there is no sum.
            within: Function from guided states and the conditional ones to states that stay in range, as `clipped`;
                `None` keeps the guided states as they are, for states that have no range.
            learned: Whether the denoiser takes the weight of guidance in its condition. The conditions of `pushes`
                must then have a weight too.
        """
        self.denoiser = denoiser
        self.guidance = guidance
        self.pushes = tuple(pushes)
        self.interval = interval
        self.within = within
        self.learned = learned
        self.schedule = denoiser.schedule

    def __call__(
        self, x_t: Images, t: Scalars, label: Asked | None = None, size: Size | None = None
    ) -> Float[Tensor, "b c y x"]:
        """The guided clean state, of the noisy state's size or another."""
        first, last = self.interval
        bounded = self.interval != ALWAYS  # reading times from a GPU would make the program wait for it
        inside = (t > first - _NEAR) & (t < last + _NEAR)
        if self.learned:
            weight = torch.where(inside, self.guidance, 1.0)
            label = condition_of(label, len(x_t), x_t.device).weighted(weight.to(x_t))
        if bounded and not inside.any():
            return self.denoiser.under_each(x_t, t, [label], size)[0]
        plain = self.learned or self.guidance == 1 or label is None
        asked = [label, *([] if plain else [None]), *(c for push in self.pushes for c in (push.toward, push.away))]
        distinct = {id(condition): condition for condition in asked}
        answers = self.denoiser.under_each(x_t, t, list(distinct.values()), size)
        denoised = dict(zip(distinct, answers, strict=True))
        guided = denoised[id(label)] if plain else denoised[id(None)].lerp(denoised[id(label)], self.guidance)
        for push in self.pushes:
            guided = guided + push.weight * (denoised[id(push.toward)] - denoised[id(push.away)])
        if self.within is not None:
            guided = self.within(guided, denoised[id(label)])
        return torch.where(per_sample(inside, guided), guided, denoised[id(label)]) if bounded else guided
