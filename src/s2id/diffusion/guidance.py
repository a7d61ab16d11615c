"""Guidance: a denoiser that wraps a denoiser, and moves its states along differences between conditions.

    denoised = none + guidance * (asked - none) + sum of weight * (toward - away)

with the denoised states under each condition, `none` under nothing (Ho and Salimans 2022, arXiv 2207.12598, eq. 6).
The sum composes conditions (Liu et al. 2022, arXiv 2206.01714): `away` nothing asks for one more thing, their
conjunction, or, where the weight is negative, for its absence, their negation; `toward` all that is asked and `away`
all but one label makes that label weigh more, the others as they do. Early and late in sampling guidance costs variety
and gains nothing, so it may be bound to an interval of times (Kynkäänniemi et al. 2024, arXiv 2404.07724).

Autoguidance moves along another difference, that between two models under the same condition:

    denoised = weaker + autoguidance * (own - weaker)

with a weaker model, smaller or less trained, which makes the same errors but larger ones (Karras et al. 2024, arXiv
2406.02507). It asks for nothing more strongly, so it costs no variety. The last call, which reads the function out, is
moved alike, but half as far (`compose.read_out`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from s2id.condition import Asked
from s2id.diffusion.denoiser import Denoiser
from s2id.diffusion.settings import ALWAYS
from s2id.settings import Size
from s2id.shapes import Images, Scalars, per_sample

_NEAR = 1e-6  # both ends of an interval are in it, however a solver's times are rounded


@runtime_checkable
class ConditionalDenoiser(Denoiser, Protocol):
    """A denoiser that answers for several conditions at once, sharing what does not depend on them."""

    def under_each(
        self, x_t: Images, t: Scalars, labels: Sequence[Asked | None], size: Size | None = None
    ) -> list[Float[Tensor, "b c y x"]]:
        """The expected clean state, of a size, under each condition."""
        ...


class AutoGuided:
    """Denoised states moved away from a weaker model's, under each condition."""

    def __init__(self, denoiser: ConditionalDenoiser, weaker: ConditionalDenoiser, autoguidance: float) -> None:
        """Wrap a denoiser.

        Args:
            denoiser: What to guide.
            weaker: What makes its errors, only larger; of the same states.
            autoguidance: 1 is `denoiser` as it is, 0 is `weaker`, more goes on in a straight line.
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
    """A term of the sum: `weight * (toward - away)`."""

    weight: float
    toward: Asked | None
    away: Asked | None = None


class Guided:
    """Denoised states moved away from the unconditional ones; the encoder runs once per step."""

    def __init__(
        self,
        denoiser: ConditionalDenoiser,
        guidance: float,
        pushes: Sequence[Push] = (),
        interval: tuple[float, float] = ALWAYS,
    ) -> None:
        """Wrap a denoiser.

        Args:
            denoiser: What to guide.
            guidance: 1 is the condition as it is, 0 ignores it, more exaggerates it.
            pushes: Terms of the sum. The decoder runs once for each condition; the same object is the same condition.
            interval: First and last time of guidance; outside it the condition is as it is.
        """
        self.denoiser = denoiser
        self.guidance = guidance
        self.pushes = tuple(pushes)
        self.interval = interval
        self.schedule = denoiser.schedule

    def __call__(
        self, x_t: Images, t: Scalars, label: Asked | None = None, size: Size | None = None
    ) -> Float[Tensor, "b c y x"]:
        """The guided clean state, of the noisy state's size or another."""
        first, last = self.interval
        bounded = self.interval != ALWAYS  # looking at times would make a GPU wait
        inside = (t > first - _NEAR) & (t < last + _NEAR)
        if bounded and not inside.any():
            return self.denoiser.under_each(x_t, t, [label], size)[0]
        plain = self.guidance == 1 or label is None
        asked = [label, *([] if plain else [None]), *(c for push in self.pushes for c in (push.toward, push.away))]
        distinct = {id(condition): condition for condition in asked}
        answers = self.denoiser.under_each(x_t, t, list(distinct.values()), size)
        denoised = dict(zip(distinct, answers, strict=True))
        guided = denoised[id(label)] if plain else denoised[id(None)].lerp(denoised[id(label)], self.guidance)
        for push in self.pushes:
            guided = guided + push.weight * (denoised[id(push.toward)] - denoised[id(push.away)])
        return torch.where(per_sample(inside, guided), guided, denoised[id(label)]) if bounded else guided
