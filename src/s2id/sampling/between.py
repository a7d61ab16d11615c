"""Fields on the way from one picture to another: noise moves along an arc, and the condition's tokens along a line."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import torch
from jaxtyping import Float
from torch import Tensor

from s2id.checks import Within, checked
from s2id.condition import KINDS, Condition, is_unknown
from s2id.diffusion.samplers import result
from s2id.errors import InputError
from s2id.modes import modes_kept
from s2id.sampling.conditions import Label, pair
from s2id.sampling.field import Field
from s2id.sampling.field_file import of_each
from s2id.sampling.model import S2ID
from s2id.sampling.resolving import resolved
from s2id.sampling.sample import drawing, sample
from s2id.sampling.settings import Sampling
from s2id.sampling.states import Arc, affordable
from s2id.settings import Size

if TYPE_CHECKING:
    Stop = int | Label | tuple[Label, int]
    """A picture: its seed, what it is asked for, or both."""
else:  # as for labels, anything may come, and is refused in one sentence
    Stop = object

Frames = Annotated[int, Within(2, 100_000)]
"""Number of fields on the way from one picture to the next, both of them included."""

_AT_ONCE = 16
"""Fields that are composed at once, so that the first are there soon; more at once are hardly faster."""

_DIFFERENT = {
    "attributes": "an attribute that is asked for at one end is left open at the other",
    "numbers": "a number that is given at one end is left open at the other",
    "tokens": "the texts at the two ends have different numbers of tokens",
    "words": "the words at the two ends differ",
}
"""Kinds of label -> why the conditions at two ends do not blend."""


@checked
def between(
    model: S2ID,
    a: Stop,
    b: Stop,
    n: Frames = 24,
    *,
    label: Label = None,
    seed: int = 0,
    sampling: Sampling = Sampling(),
    aspect: Size | None = None,
) -> Iterator[Field]:
    """Fields of one function each, from `a` to `b`, which are exactly the fields that `sample` gives for them.

    Noise is interpolated spherically, so it stays Gaussian and of unit variance. Tokens of classes, attributes and
    texts, and numbers, are interpolated linearly. Fields are composed a few at a time, as they are asked for.

    Args:
        model: A model from `s2id.load`.
        a: A seed; or a condition from `s2id.ask`, or the name of a class; or a pair of a condition, name or index of a
            class, and a seed.
        b: The same of the last field.
        n: Number of fields, with both ends.
        label: What is asked for where an end is a seed alone.
        seed: Seed where an end is a condition alone.
        sampling: Settings, as for `sample`.
        aspect: Height and width of the frame, as for `sample`.

    Raises:
        InputError: An argument is out of range, or the conditions at the ends do not blend.

    Example:
        >>> import s2id
        >>> way = s2id.between(s2id.load("mnist-fast"), (7, 0), (3, 1), n=5)
        >>> list(way)[2].facts["asked"]
        '50% of the way from label 7, seed 0 to label 3, seed 1'
    """
    labels, seeds = zip(*(_stop(one, label, seed) for one in (a, b)), strict=True)
    return path(model, *pair(model, labels, seeds), n, sampling, aspect)


def _stop(stop: Stop, label: Label, seed: int) -> tuple[Label, Any]:
    """What is asked for at an end, and its seed."""
    if isinstance(stop, tuple) and len(stop) == 2:
        return stop
    return (stop, seed) if isinstance(stop, Condition | str) else (label, stop)


def path(
    model: S2ID, asked: Condition, seeds: Sequence[int], n: int, sampling: Sampling, aspect: Size | None = None
) -> Iterator[Field]:
    """Fields through several pictures in a row, `n` from each to the next with both of them; each picture comes once.

    Args:
        model: A model from `s2id.load`.
        asked: Conditions of the pictures.
        seeds: Their seeds.
        n: Number of fields.
        sampling: Settings, as for `sample`.
        aspect: Height and width of the frame, as for `sample`.

    Raises:
        InputError: A setting is out of range, or conditions do not blend; before anything is composed.
    """
    resolved(model, sampling)
    stops = [(asked[i : i + 1], seed) for i, seed in enumerate(seeds)]
    for (start, _), (end, _) in pairwise(stops):
        _check_blend(start, end)

    def fields() -> Iterator[Field]:
        yield (last := sample(model, *stops[0], sampling, aspect=aspect))
        for (start, first_seed), (end, last_seed) in pairwise(stops):
            first, last = last, sample(model, end, last_seed, sampling, aspect=aspect)
            shares = torch.linspace(0, 1, n, dtype=torch.float64)[1:-1]
            most = min(_AT_ONCE, affordable(sampling.density or model.card.density))
            for few in shares.split(most) if n > 2 else ():
                arcs = [Arc(first_seed, last_seed, share) for share in few.tolist()]
                names = f"{_name(first)} to {_name(last)}"
                words = [f"{share:.3g}% of the way from {names}" for share in (100 * few).tolist()]
                facts = {"data": model.card.data, "asked": of_each(words)}
                blend = _blend(start, end, few.float())
                with modes_kept():
                    drawn = result(drawing(model, blend, arcs, sampling, aspect=aspect, facts=facts))
                yield from drawn
            yield last

    return fields()


def _name(field: Field) -> str:
    """What a sampled picture is of, for the facts of those on the way."""
    label, asked, seed = (field.facts.get(name, "") for name in ("labels", "asked", "seeds"))
    return ", ".join(filter(None, ("" if label == "-1" else f"label {label}", asked, f"seed {seed}")))


def _check_blend(start: Condition, end: Condition) -> None:
    """Refuse conditions, each of one picture, between which there is no way.

    Raises:
        InputError: Different parts of them are known, or they hold different words.
    """
    for name, unknown in KINDS.items():
        one, other = getattr(start, name), getattr(end, name)
        if one is None:
            continue
        told = (part.sort().values if name == "words" else is_unknown(part, unknown) for part in (one, other))
        if not torch.equal(*told):
            raise InputError(f"{_DIFFERENT[name]}, and between these there is no way; ask for the same kinds at both.")


def _blend(start: Condition, end: Condition, shares: Float[Tensor, " n"]) -> Condition:
    """Conditions at shares of the way from one to the other."""
    end = replace(end, words=start.words)  # the same words, perhaps in another order
    pairs = [(start.label, end.label), *((part, getattr(end, name)) for name, part, _ in start.parts())]
    rows = torch.zeros(len(shares), dtype=torch.long)
    if all(torch.equal(one.nan_to_num(), other.nan_to_num()) for one, other in pairs):
        return start[rows]
    start, end = start[rows], end[rows]
    if start.numbers is not None and end.numbers is not None:  # a number between two has a token of its own
        numbers = start.numbers.lerp(end.numbers, shares[:, None])
        start, end = replace(start, numbers=numbers), replace(end, numbers=numbers)
    return replace(start, toward=end, share=shares)
