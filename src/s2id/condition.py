"""What is asked of pictures: a class, attributes, numbers and text, each of which may be unknown.

Denoisers take one, a plain tensor of classes, or nothing. What is unknown is not attended to, so nothing at all is
the unconditional model, and any subset may be asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from s2id.shapes import NULL, Labels

_Value = TypeVar("_Value", float, Tensor)


@dataclass(frozen=True)
class Condition:
    """What is asked of each picture of a batch."""

    label: Labels
    """Class; NULL is unknown."""
    attributes: Int[Tensor, "b a"] | None = None
    """1 present, -1 absent, 0 unknown; `None` knows none."""
    numbers: Float[Tensor, "b k"] | None = None
    """Scaled so that the training data span -1 to 1; NaN is unknown; `None` knows none."""
    tokens: Float[Tensor, "b n d"] | None = None
    """A text encoder's; rows of NaN are no token; `None` has none."""

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.label)

    def __getitem__(self, index: slice | Tensor) -> "Condition":
        """Of some of the pictures."""
        return self._each(lambda part: part[index])

    def to(self, device: torch.device) -> "Condition":
        """The same on a device."""
        return self._each(lambda part: part.to(device))

    def clone(self) -> "Condition":
        """A copy, for whoever must own its tensors."""
        return self._each(Tensor.clone)

    def split(self, count: int) -> list["Condition"]:
        """Of `count` pictures after another."""
        return [self[first : first + count] for first in range(0, len(self), count)]

    def where(self, kept: Bool[Tensor, " b"]) -> "Condition":
        """The same of the pictures kept, and of the others nothing."""
        lost, nan = ~kept, float("nan")
        attributes, numbers, tokens = self.attributes, self.numbers, self.tokens
        return Condition(
            self.label.masked_fill(lost, NULL),
            None if attributes is None else attributes.masked_fill(lost[:, None], 0),
            None if numbers is None else numbers.masked_fill(lost[:, None], nan),
            None if tokens is None else tokens.masked_fill(lost[:, None, None], nan),
        )

    def unknown(self) -> "Condition":
        """Nothing asked, of as many pictures and in the same shape."""
        return self.where(torch.zeros_like(self.label, dtype=torch.bool))

    @property
    def known(self) -> bool:
        """Whether anything is asked of any picture."""
        attributes = self.attributes is not None and bool((self.attributes != 0).any())
        measured = any(part is not None and not bool(part.isnan().all()) for part in (self.numbers, self.tokens))
        return bool((self.label != NULL).any()) or attributes or measured

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Condition":
        rest = (None if part is None else change(part) for part in (self.attributes, self.numbers, self.tokens))
        return Condition(change(self.label), *rest)


Asked = Labels | Condition
"""What a denoiser takes: classes alone, or a condition."""


def condition_of(asked: Asked | None, count: int, device: torch.device | None = None) -> Condition:
    """What is asked, as a condition; `None` asks nothing of `count` pictures."""
    if asked is None:
        return Condition(torch.full((count,), NULL, device=device))
    return asked if isinstance(asked, Condition) else Condition(asked)


def scaled(value: _Value, low: float, high: float) -> _Value:
    """A number as networks hear it: the data's least is -1, its most 1, NaN unknown; 0 where all are the same."""
    return 2 * (value - low) / (high - low) - 1 if high > low else 0 * value


def cat(conditions: Sequence[Condition]) -> Condition:
    """Several batches as one; where some know a kind of label and others do not, it is unknown in these."""

    def padded(name: str, nothing: float) -> Tensor | None:
        parts = [getattr(condition, name) for condition in conditions]
        some = next((part for part in parts if part is not None), None)
        if some is None:
            return None
        long = max(part.shape[1] for part in parts if part is not None)
        whole = []
        for part, condition in zip(parts, conditions, strict=True):
            row = some.new_full((len(condition), long, *some.shape[2:]), nothing)
            if part is not None:
                row[:, : part.shape[1]] = part
            whole.append(row)
        return torch.cat(whole)

    nan = float("nan")
    label = torch.cat([condition.label for condition in conditions])
    return Condition(label, padded("attributes", 0.0), padded("numbers", nan), padded("tokens", nan))
