"""What is asked of a picture, from the names that a model's card knows."""

import operator
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor

from s2id.condition import Condition, cat, scaled
from s2id.errors import InputError
from s2id.sampling.model import S2ID
from s2id.shapes import NULL

_KINDS = ("label", "text")

Seeds = SupportsIndex | Iterable[SupportsIndex]
"""One integer or several, numpy's too."""


def ask(
    model: S2ID,
    label: int | str | None = None,
    *,
    attributes: Mapping[str, bool] | None = None,
    numbers: Mapping[str, float | int] | None = None,
    tokens: Float[Tensor, "n d"] | None = None,
) -> Condition:
    """A condition for one picture; what is not given is unknown.

    Args:
        model: Its card's names are known, whatever their case, with spaces, hyphens or underscores.
        label: Class index or name.
        attributes: Name -> whether the picture has it.
        numbers: Name -> value, in the data's unit.
        tokens: What a text encoder says of a text; the one that the model was trained with.

    Raises:
        InputError: The model knows no such class, name or text.
    """
    card, config = model.card, model.config
    here = torch.zeros(1, config.attributes, dtype=torch.long) if config.attributes else None
    for name, has in (attributes or {}).items():
        index = position(name, card.attributes, "attribute")
        assert here is not None  # a card with names has a network with as many
        here[0, index] = 1 if has else -1
    values = torch.full((1, config.numbers), torch.nan) if config.numbers else None
    for name, value in (numbers or {}).items():
        index = position(name, card.numbers, "number")
        assert values is not None
        low, high = card.number_ranges[index]
        values[0, index] = scaled(float(value), low, high)
    if tokens is not None and tokens.shape[1] != config.token_width:
        raise InputError(
            f"the text's tokens have {tokens.shape[1]} channels and this model takes "
            f"{config.token_width or 'no text'}; use the encoder it was trained with."
        )
    known = None if tokens is None else tokens[None].float()
    return Condition(torch.tensor([label_index(model, label)]), here, values, known)


def forget(model: S2ID, asked: Condition, name: str) -> Condition:
    """The same without one label.

    Args:
        model: Its card's names are known.
        asked: What is asked.
        name: Of an attribute or number, "label" or "text".

    Raises:
        InputError: The model knows no such name.
    """
    attributes, numbers = model.card.attributes, model.card.numbers
    which = position(name, (*attributes, *numbers, *_KINDS), "label")
    label, here, values, tokens = asked.label, asked.attributes, asked.numbers, asked.tokens
    if which < len(attributes):
        here = None if here is None else here.index_fill(1, torch.tensor([which], device=here.device), 0)
    elif (which := which - len(attributes)) < len(numbers):
        chosen = torch.tensor([which], device=label.device)
        values = None if values is None else values.index_fill(1, chosen, torch.nan)
    elif _KINDS[which - len(numbers)] == "label":
        label = torch.full_like(label, NULL)
    else:
        tokens = None
    return Condition(label, here, values, tokens)


def describe(model: S2ID, asked: Condition) -> list[str]:
    """What is asked of each picture beside a class, in words: `+Smiling -Eyeglasses age=30 text`."""
    said: list[list[str]] = [[] for _ in range(len(asked))]
    if asked.attributes is not None:
        for words, row in zip(said, asked.attributes.tolist(), strict=True):
            words += [
                ("+" if has > 0 else "-") + name for has, name in zip(row, model.card.attributes, strict=True) if has
            ]
    if asked.numbers is not None:
        for words, row in zip(said, asked.numbers.tolist(), strict=True):
            for heard, name, (low, high) in zip(row, model.card.numbers, model.card.number_ranges, strict=True):
                words += [f"{name}={low + (heard + 1) / 2 * (high - low):g}"] if heard == heard else []
    if asked.tokens is not None:
        for words, missing in zip(said, asked.tokens.isnan().flatten(1).all(1).tolist(), strict=True):
            words += [] if missing else ["text"]
    return [" ".join(words) for words in said]


def position(name: str, known: Sequence[str], kind: str) -> int:
    """Index of a name.

    Args:
        name: In any case, with spaces, hyphens or underscores.
        known: The names to choose from.
        kind: What they are names of, for the message.

    Raises:
        InputError: It is none of them; the near ones are suggested.
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
    """Index of a class given by index or name; NULL for `None`.

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


def pair(
    model: S2ID,
    label: int | str | Condition | Sequence[int | str | Condition | None] | None,
    seed: Seeds,
) -> tuple[Condition, list[int]]:
    """As many conditions as seeds; one goes with all.

    Raises:
        InputError: There are several of both, and not as many, or a label is none of the model's.
    """
    several = isinstance(label, Sequence) and not isinstance(label, str)
    labels: Sequence[int | str | Condition | None] = label if several else [label]  # type: ignore[assignment, list-item]
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
