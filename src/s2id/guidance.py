"""Classifier-free guidance: a denoiser that wraps a denoiser (Ho and Salimans 2022, arXiv 2207.12598, eq. 6)."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from s2id.denoiser import Denoiser
from s2id.shapes import Images, Labels, Scalars


@runtime_checkable
class ConditionalDenoiser(Denoiser, Protocol):
    """A denoiser that answers for several conditions at once, sharing what does not depend on them."""

    def under_each(self, x_t: Images, t: Scalars, labels: Sequence[Labels | None]) -> list[Images]:
        """The expected clean state under each condition."""
        ...


class Guided:
    """Denoised states moved away from the unconditional ones; the encoder runs once per step."""

    def __init__(self, denoiser: ConditionalDenoiser, guidance: float) -> None:
        """Wrap a denoiser.

        Args:
            denoiser: What to guide.
            guidance: 1 is the condition as it is, 0 ignores it, more exaggerates it.
        """
        self.denoiser = denoiser
        self.guidance = guidance
        self.schedule = denoiser.schedule

    def __call__(self, x_t: Images, t: Scalars, label: Labels | None = None) -> Images:
        """The guided clean state."""
        if self.guidance == 1 or label is None:
            return self.denoiser(x_t, t, label)
        with_label, without = self.denoiser.under_each(x_t, t, [label, None])
        return without.lerp(with_label, self.guidance)
