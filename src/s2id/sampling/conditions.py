"""Conditions from the names that a model's card lists: what `s2id.ask` makes, and labels paired with seeds."""

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor

from s2id.condition import KINDS, Condition, cat, scaled
from s2id.errors import InputError
from s2id.sampling.model import S2ID
from s2id.shapes import NULL

_WHOLE = ("label", "text")
"""Names of the class and the tokens among those that guidance weights may name."""

Label = int | str | Condition | None
"""What one picture is asked for: index or name of a class, a condition, or nothing."""

Seeds = SupportsIndex | Iterable[SupportsIndex]
"""One integer or several; integers of numpy count too."""


def ask(
    model: S2ID,
    label: int | str | None = None,
    *,
    attributes: Mapping[str, bool] | None = None,
    numbers: Mapping[str, float | int] | None = None,
    tokens: Float[Tensor, "n d"] | None = None,
) -> Condition:
    """A condition for one picture; everything that is not given stays unknown.

    Args:
        model: A model from `s2id.load`. Its card lists the names, which are known in any case and with spaces, hyphens
            or underscores.
        label: Class index or name.
        attributes: By name, whether the picture has the attribute.
        numbers: By name, the number in the unit of the data.
        tokens: Output of the text encoder that the model was trained with.

    Raises:
        InputError: The model has no such class, name or text.

    Example:
        >>> import s2id
        >>> model = s2id.load("mnist-fast")
        >>> s2id.ask(model, label="7").label
        tensor([7])
    """
    card, config = model.card, model.config
    more: dict[str, Tensor] = {}
    if config.attributes:
        more["attributes"] = torch.zeros(1, config.attributes, dtype=torch.long)
    for name, has in (attributes or {}).items():
        index = position(name, card.attributes, "attribute")
        more["attributes"][0, index] = 1 if has else -1
    if config.numbers:
        more["numbers"] = torch.full((1, config.numbers), torch.nan)
    for name, value in (numbers or {}).items():
        index = position(name, card.numbers, "number")
        more["numbers"][0, index] = scaled(float(value), *card.number_ranges[index])
    if tokens is not None:
        if tokens.shape[1] != config.token_width:
            raise InputError(
                f"the text's tokens have {tokens.shape[1]} channels and this model takes "
                f"{config.token_width or 'no text'}; use the encoder it was trained with."
            )
        more["tokens"] = tokens[None].float()
    return Condition(torch.tensor([label_index(model, label)]), **more)


def forget(model: S2ID, asked: Condition, name: str) -> Condition:
    """The same conditions with one label unknown.

    Args:
        model: The model whose card lists the names.
        asked: Conditions.
        name: Name of an attribute or number, "label" for the class or "text" for the tokens.

    Raises:
        InputError: The model has no such name.
    """
    attributes, numbers = model.card.attributes, model.card.numbers
    which = position(name, (*attributes, *numbers, *_WHOLE), "label")
    if which < len(attributes):
        return _without(asked, "attributes", which)
    if (which := which - len(attributes)) < len(numbers):
        return _without(asked, "numbers", which)
    if _WHOLE[which - len(numbers)] == "label":
        return replace(asked, label=torch.full_like(asked.label, NULL))
    return replace(asked, tokens=None)


def _without(asked: Condition, kind: str, index: int) -> Condition:
    """The same conditions with one entry of a kind unknown."""
    part = getattr(asked, kind)
    if part is None:
        return asked
    return replace(asked, **{kind: part.index_fill(1, torch.tensor([index], device=part.device), KINDS[kind])})


def describe(model: S2ID, asked: Condition) -> list[str]:
    """Each picture's condition, apart from its class, in words: `+Smiling -Eyeglasses age=30 text`."""
    texts: list[list[str]] = [[] for _ in range(len(asked))]
    if asked.attributes is not None:
        for words, row in zip(texts, asked.attributes.tolist(), strict=True):
            words += [
                ("+" if has > 0 else "-") + name for has, name in zip(row, model.card.attributes, strict=True) if has
            ]
    if asked.numbers is not None:
        for words, row in zip(texts, asked.numbers.tolist(), strict=True):
            for value, name, (low, high) in zip(row, model.card.numbers, model.card.number_ranges, strict=True):
                words += [] if math.isnan(value) else [f"{name}={low + (value + 1) / 2 * (high - low):g}"]
    if asked.tokens is not None:
        for words, missing in zip(texts, asked.tokens.isnan().flatten(1).all(1).tolist(), strict=True):
            words += [] if missing else ["text"]
    return [" ".join(words) for words in texts]


def position(name: str, known: Sequence[str], kind: str) -> int:
    """Index of a name.

    Args:
        name: A name, in any case and with spaces, hyphens or underscores.
        known: The names to choose from.
        kind: What these are names of, for the message.

    Raises:
        InputError: There is no such name; the message suggests similar ones.
    """
    plain = [_plain(one) for one in known]
    if _plain(name) in plain:
        return plain.index(_plain(name))
    near = [known[plain.index(one)] for one in get_close_matches(_plain(name), plain, n=3)]
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    else:
        hint = f"choose one of {', '.join(known)}." if known else f"it knows no {kind}s: leave it out."
    raise InputError(f"{kind} {name!r} is none of this model's; {hint}")


def _plain(name: str) -> str:
    return name.lower().replace("_", " ").replace("-", " ").strip()


def label_index(model: S2ID, label: int | str | None) -> int:
    """Index of a class that is given by index or name; NULL for `None`.

    Raises:
        InputError: The model has no such class.
    """
    if label is None:
        return NULL
    names, classes = model.card.labels, model.config.classes
    plain = [_plain(name) for name in names]
    if isinstance(label, str) and (label in names or _plain(label) in plain):
        return names.index(label) if label in names else plain.index(_plain(label))
    if (isinstance(label, int) or label.isdecimal()) and 0 <= int(label) < classes:
        return int(label)
    known = ", ".join(names) if names else f"0 to {classes - 1}" if classes else "none: it has no classes"
    raise InputError(f"label {label!r} is none of this model's; choose one of {known}.")


def pair(model: S2ID, label: Label | Sequence[Label], seed: Seeds) -> tuple[Condition, list[int]]:
    """As many conditions as seeds: a single one of either is repeated for all of the other.

    Raises:
        InputError: There are several of both but not equally many, or the model has no such label.
    """
    several = isinstance(label, Sequence) and not isinstance(label, str)
    labels: Sequence[Label] = label if several else [label]  # type: ignore[assignment, list-item]
    if not labels:
        raise InputError("there is no label; give at least one, or None for no condition.")
    asked = (one if isinstance(one, Condition) else ask(model, one) for one in labels)
    whole = cat(list(asked))
    seeds = [operator.index(one) for one in (seed if isinstance(seed, Iterable) else [seed])]
    if len(whole) == 1:
        whole = whole[torch.zeros(len(seeds), dtype=torch.long)]
    if len(seeds) == 1:
        seeds *= len(whole)
    if len(whole) != len(seeds) or not seeds:
        raise InputError(f"{len(whole)} labels and {len(seeds)} seeds cannot be paired; give as many of each, or one.")
    return whole, seeds
