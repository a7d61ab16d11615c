"""Conditions: class, attributes, numbers, text and words that pictures have or should have; any may be unknown.

A denoiser takes a `Condition`, a plain tensor of classes, or `None`. The network does not attend to what is unknown, so
a condition in which everything is unknown gives the unconditional model. A further kind of label needs one more field
of `Condition`, an embedding (`network.embeddings.ConditionTokens`) with its count in `network.settings.BESIDE_CLASSES`,
labels of pictures (`data.pictures`), names in the model's card, an argument of `s2id.ask` with its words in
`sampling.conditions.describe`, and a sentence in `sampling.between` on conditions that differ in it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from s2id.checks import check
from s2id.shapes import NULL, Labels

_Value = TypeVar("_Value", float, Tensor)


def _kind(unknown: float | int) -> Any:  # noqa: ANN401  (a field of any type)
    """A field for a kind of label that a condition may lack; `unknown` marks unknown values in its tensor."""
    return field(default=None, metadata={"unknown": unknown})


@dataclass(frozen=True)
class Condition:
    """Labels of each picture of a batch, known from data or asked of a model.

    >>> asked = Condition(torch.tensor([3, NULL]))
    >>> len(asked), asked.known, asked[1:].known
    (2, True, False)
    """

    made_by: ClassVar = "s2id.ask"
    """Where users have it from, for messages."""

    label: Labels
    """Class index of each picture; NULL (-1) is unknown."""
    attributes: Int[Tensor, "b a"] | None = _kind(0)
    """1 where an attribute is present, -1 where it is absent, 0 where it is unknown. `None`: all are unknown."""
    numbers: Float[Tensor, "b k"] | None = _kind(math.nan)
    """Numbers, scaled so that the training data span -1 to 1; NaN is unknown. `None`: all are unknown."""
    tokens: Float[Tensor, "b n d"] | None = _kind(math.nan)
    """Tokens of a text encoder; a row of NaN is no token. `None`: no picture has a text."""
    words: Int[Tensor, "b w"] | None = _kind(NULL)
    """Indices of words that the model knows, in any order; NULL (-1) is no word. `None`: no picture has words."""
    guidance: Float[Tensor, " b"] | None = None
    """Weight of guidance of each picture, for networks that take it as an input. NaN, or `None` for all pictures, asks
    for the network's plain prediction, without guidance and without autoguidance."""
    toward: "Condition | None" = None
    """Another condition of the same pictures, towards which the tokens of this one are moved. `None`: they are not."""
    share: Float[Tensor, " b"] | None = None
    """How far they are moved, from 0 to 1."""

    def __post_init__(self) -> None:
        """Refuse tensors of other types and axes."""
        check(self)

    @classmethod
    def of(cls, label: Labels, parts: Mapping[str, Any]) -> "Condition":
        """Condition from classes and a tensor for each kind of label, by its name."""
        return cls(label, **parts)

    def __len__(self) -> int:
        """Number of pictures in the batch."""
        return len(self.label)

    def __getitem__(self, index: slice | Tensor) -> "Condition":
        """Condition of some pictures of the batch."""
        return self._each(lambda part, _: part[index])

    def to(self, device: torch.device) -> "Condition":
        """The same condition on another device."""
        return self._each(lambda part, _: part.to(device))

    def clone(self) -> "Condition":
        """A copy that shares no memory with this condition."""
        return self._each(lambda part, _: part.clone())

    def split(self, count: int) -> list["Condition"]:
        """Conditions of consecutive parts of the batch, `count` pictures each; the last part may be smaller."""
        return [self[first : first + count] for first in range(0, len(self), count)]

    def where(self, kept: Bool[Tensor, " b"]) -> "Condition":
        """The same condition for pictures where `kept` is true; every label is unknown for the others."""
        changed = self._each(lambda part, unknown: part.masked_fill(_per_picture(~kept, part), unknown))
        return replace(changed, guidance=self.guidance)

    def weighted(self, guidance: Float[Tensor, " b"] | float) -> "Condition":
        """The same labels with a weight of guidance, or one for each picture.

        >>> Condition(torch.tensor([3, NULL])).weighted(1.5).guidance
        tensor([1.5000, 1.5000])
        """
        each = torch.as_tensor(guidance, dtype=torch.float32, device=self.label.device)
        return replace(self, guidance=each.expand(len(self)))

    def unknown(self) -> "Condition":
        """A condition of the same shape in which everything is unknown."""
        return self.where(torch.zeros_like(self.label, dtype=torch.bool))

    @property
    def known(self) -> bool:
        """Whether anything is known of any picture."""
        parts = [(self.label, NULL), *((part, unknown) for _, part, unknown in self.parts())]
        own = any(not bool(is_unknown(part, unknown).all()) for part, unknown in parts)
        return own or (self.toward is not None and self.toward.known)

    def parts(self) -> list[tuple[str, Tensor, float | int]]:
        """Name, tensor and mark of unknown values of each kind of label that the condition has besides the class."""
        return [(name, part, unknown) for name, unknown in KINDS.items() if (part := getattr(self, name)) is not None]

    def _each(self, change: Callable[[Tensor, float | int], Tensor]) -> "Condition":
        """Condition with a function applied to each tensor and its mark of unknown values."""
        more = {name: change(part, unknown) for name, part, unknown in self.parts()}
        guidance = None if self.guidance is None else change(self.guidance, math.nan)
        toward = None if self.toward is None else self.toward._each(change)
        share = None if self.share is None else change(self.share, 0.0)
        return Condition(change(self.label, NULL), **more, guidance=guidance, toward=toward, share=share)


KINDS: dict[str, float | int] = {
    one.name: one.metadata["unknown"] for one in fields(Condition) if "unknown" in one.metadata
}
"""Kinds of label besides the class: the name of each, and the mark of unknown values in its tensor."""

Asked = Labels | Condition
"""Type of a denoiser's condition: class indices alone, or a `Condition`."""


def condition_of(asked: Asked | None, count: int, device: torch.device | None = None) -> Condition:
    """Condition of `count` pictures from any form that denoisers accept; `None` becomes one with everything unknown."""
    if asked is None:
        return Condition(torch.full((count,), NULL, device=device))
    return asked if isinstance(asked, Condition) else Condition(asked)


def scaled(value: _Value, low: float, high: float) -> _Value:
    """A number mapped linearly from [low, high] to [-1, 1], or to 0 if `low` equals `high`; NaN stays NaN.

    >>> scaled(30.0, low=20.0, high=60.0)
    -0.5
    """
    return 2 * (value - low) / (high - low) - 1 if high > low else 0 * value


def cat(conditions: Sequence[Condition]) -> Condition:
    """One condition of several batches; a kind of label that one batch lacks is unknown for its pictures."""

    def padded(name: str, nothing: float | int) -> Tensor | None:  # one kind of label; `nothing` marks what is unknown
        parts = [getattr(condition, name) for condition in conditions]
        some = next((part for part in parts if part is not None), None)
        if some is None:
            return None
        longest = max(part.shape[1:2] for part in parts if part is not None)  # empty for one value per picture
        whole = []
        for part, condition in zip(parts, conditions, strict=True):
            rows = some.new_full((len(condition), *longest, *some.shape[2:]), nothing)
            if part is not None:
                rows[tuple(map(slice, part.shape[:2]))] = part
            whole.append(rows)
        return torch.cat(whole)

    label = torch.cat([condition.label for condition in conditions])
    kinds = {**KINDS, "guidance": math.nan, "share": 0.0}
    toward = None
    if any(condition.toward is not None for condition in conditions):
        toward = cat([one.toward or replace(one, guidance=None, share=None) for one in conditions])
    return Condition.of(label, {"toward": toward, **{name: padded(name, nothing) for name, nothing in kinds.items()}})


def is_unknown(part: Tensor, unknown: float | int) -> Bool[Tensor, "*shape"]:
    """Where the values of a tensor are marked as unknown."""
    return part.isnan() if math.isnan(unknown) else part == unknown


def _per_picture(chosen: Bool[Tensor, " b"], part: Tensor) -> Bool[Tensor, "b ..."]:
    """One truth value per picture, with as many axes as a tensor of labels."""
    return chosen.reshape(-1, *[1] * (part.ndim - 1))
