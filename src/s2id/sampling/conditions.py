"""Conditions from the names that a model's card lists: what `s2id.ask` makes, and labels paired with seeds."""

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, SupportsFloat, SupportsIndex

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from s2id.checks import MisfitError, checked, fits, meant, shown
from s2id.condition import KINDS, Condition, cat, scaled
from s2id.errors import InputError
from s2id.names import WHOLE, is_number, position
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Card
from s2id.seeds import LARGEST_SEED
from s2id.settings import MOST_SEEDS
from s2id.shapes import NULL
from s2id.text import text_encoder
from s2id.words import parted, word_indices

if TYPE_CHECKING:
    Label = SupportsIndex | str | Condition | None
    """What one picture is asked for: name or index of a class, a condition, or nothing."""
    Labels = Label | Iterable[Label]
    """What one picture or several are asked for: an array or a tensor of integers is several."""
    Seeds = SupportsIndex | Iterable[SupportsIndex]
    """One integer or several, of Python, numpy or torch."""
    Attributes = Mapping[str, bool]
    Numbers = Mapping[str, SupportsFloat]
    Words = str | Sequence[str] | None
else:  # while a program runs anything may come, and what is none of these is refused below in one sentence
    Label = Labels = Seeds = Attributes = Numbers = Words = object


@checked
def ask(
    model: S2ID,
    label: Label = None,
    *,
    style: Label = None,
    words: Words = None,
    attributes: Attributes | None = None,
    numbers: Numbers | None = None,
    tokens: Float[Tensor, "n d"] | None = None,
) -> Condition:
    """A condition for one picture; everything that is not given stays unknown.

    Args:
        model: A model from `s2id.load`. Its card lists the names, which are known in any case and with spaces, hyphens
            or underscores.
        label: Name or index of a class, as for `label_index`.
        style: The same as `label`, by the name that classes have where they are sets of drawings.
        words: What is shown, as a text or its words, in any order and case; of a model with a text encoder, any text.
        attributes: By name, whether the picture has the attribute.
        numbers: By name, the number in the unit of the data.
        tokens: Output of the text encoder that the model was trained with.

    Raises:
        InputError: The model has no such class, name, word or text, or a value is no truth value or no number.

    Example:
        >>> import s2id
        >>> model = s2id.load("mnist-fast")
        >>> s2id.ask(model, label="7").label
        tensor([7])
    """
    if label is not None and style is not None:
        raise InputError(f"label {label!r} and style {style!r} both name a class; keep one of them.")
    card, config = model.card, model.config
    more: dict[str, Any] = {}
    if words is not None and card.encoder:
        if tokens is not None:
            raise InputError("words and tokens both say what is shown; keep one of them.")
        if not (text := _words(words)).strip():
            raise InputError("words is empty; say what is shown, or leave it out.")
        tokens = text_encoder(card.encoder)(text)
    elif words is not None:
        more["words"] = torch.tensor([word_indices(_words(words), card.words)])
    if config.attributes:
        more["attributes"] = torch.zeros(1, config.attributes, dtype=torch.long)
    for index, name, has in _found(attributes, card.attributes, "attribute"):
        if not isinstance(has, bool | np.bool_):
            raise InputError(f"attribute {name!r} is {shown(has)}; give True if the picture has it, or False.")
        more["attributes"][0, index] = 1 if has else -1
    if config.numbers:
        more["numbers"] = torch.full((1, config.numbers), torch.nan)
    for index, name, value in _found(numbers, card.numbers, "number"):
        if not fits(value, float):
            raise InputError(f"number {name!r} is {shown(value)}; give a finite number.")
        more["numbers"][0, index] = scaled(float(value), *card.number_ranges[index])
        if not more["numbers"][0, index].isfinite():
            raise InputError(
                f"number {name!r} is {shown(value)}, which is too far from the data's; give one like them."
            )
    if tokens is not None:
        if tokens.ndim != 2 or tokens.shape[1] != config.token_width:
            raise InputError(
                f"the text's tokens have {tokens.shape[-1]} channels and this model takes "
                f"{config.token_width or 'no text'}; use the encoder it was trained with."
            )
        more["tokens"] = tokens[None].float()
    return Condition(torch.tensor([label_index(model, style if label is None else label)]), **more)


def _words(given: Any) -> str:  # noqa: ANN401  (whatever was given)
    """A text of words, from a text or several.

    Raises:
        InputError: It is neither.
    """
    several = [given] if isinstance(given, str) else given
    if not isinstance(several, Sequence) or not all(isinstance(one, str) for one in several):
        raise InputError(f"words is {shown(given)}; give a text such as 'red fox', or a list of words.")
    return " ".join(several)


def _found(asked: Any, known: Sequence[str], kind: str) -> list[tuple[int, str, Any]]:  # noqa: ANN401
    """Index, name and value of each name that is asked for.

    Raises:
        InputError: The model has no such name, or two of them are one.
    """
    if asked is not None and not isinstance(asked, Mapping):
        raise InputError(f"{kind}s are {shown(asked)}; give a dict from names to values.")
    found: dict[int, tuple[str, Any]] = {}
    for name, value in (asked or {}).items():
        if not isinstance(name, str):
            raise InputError(f"{kind} {name!r} is no name; give a text.")
        if (index := position(name, known, kind)) in found:
            raise InputError(f"{kind} {found[index][0]!r} is asked for again as {name!r}; keep one of them.")
        found[index] = name, value
    return [(index, *pair) for index, pair in found.items()]


def forget(model: S2ID, asked: Condition, name: str) -> Condition:
    """The same conditions with one label unknown.

    Args:
        model: The model whose card lists the names.
        asked: Conditions.
        name: Name of an attribute or number, "label" or "style" for the class, "text" for the tokens, "words" for all
            words, or one of them.

    Raises:
        InputError: The model has no such name.
    """
    if asked.toward is not None:
        asked = replace(asked, toward=forget(model, asked.toward, name))
    attributes, numbers = model.card.attributes, model.card.numbers
    which = position(name, (*attributes, *numbers, *WHOLE, *model.card.words), "label")
    if which < len(attributes):
        return _without(asked, "attributes", which)
    if (which := which - len(attributes)) < len(numbers):
        return _without(asked, "numbers", which)
    if (which := which - len(numbers)) < len(WHOLE):
        if WHOLE[which] in ("label", "style"):
            return replace(asked, label=torch.full_like(asked.label, NULL))
        text = WHOLE[which] == "text" or model.card.encoder
        return replace(asked, tokens=None) if text else replace(asked, words=None)
    word = which - len(WHOLE)
    return asked if asked.words is None else replace(asked, words=asked.words.masked_fill(asked.words == word, NULL))


def _without(asked: Condition, kind: str, index: int) -> Condition:
    """The same conditions with one entry of a kind unknown."""
    part = getattr(asked, kind)
    if part is None:
        return asked
    return replace(asked, **{kind: part.index_fill(1, torch.tensor([index], device=part.device), KINDS[kind])})


def word_groups(card: Card, asked: Condition) -> list[list[list[int]]]:
    """For each picture, its words in groups, each a condition of its own, as `s2id.words.parted` says.

    There is one group for a distilled model, which cannot compose conditions, and for conditions on the way to others.

    Args:
        card: The model's card, which says which words were seen together.
        asked: Conditions.
    """
    together = () if card.times or asked.toward is not None else card.words_together
    rows = [] if asked.words is None else asked.words.tolist()
    return [parted([i for i in row if i != NULL], card.words, card.word_counts, together) for row in rows]


def parts_of(model: S2ID, asked: Condition) -> list[Condition]:
    """Conditions that together ask for all words, each for one of the groups of `word_groups`.

    The first one has the rarest word. A picture that needs fewer parts than others of its batch has no words in the
    last ones.

    Args:
        model: The model, whose card says which words were seen together.
        asked: Conditions.
    """
    if asked.words is None:
        return [asked]
    groups, numbers = word_groups(model.card, asked), (asked.words != NULL).sum(1).tolist()
    if all(len(each) < 2 and sum(map(len, each)) == number for each, number in zip(groups, numbers, strict=True)):
        return [asked]
    parts = []
    for k in range(max(map(len, groups))):
        rows = [torch.tensor(each[k] if k < len(each) else [], dtype=torch.long) for each in groups]
        parts.append(replace(asked, words=pad_sequence(rows, batch_first=True, padding_value=NULL).to(asked.words)))
    return parts


def describe(model: S2ID, asked: Condition) -> list[str]:
    """Each picture's condition, apart from its class, in words: `fox red +Smiling -Eyeglasses age=30 text`."""
    rows = asked.words.tolist() if asked.words is not None else [[]] * len(asked)
    texts = [[model.card.words[i] for i in row if i != NULL] for row in rows]
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


def label_index(model: S2ID, label: Label) -> int:
    """Index of a class that is given by its name or index; NULL for `None`.

    A name is found first, and the integer 3 is the name "3" too. What is no name is an index, unless a class is called
    by a number that is not its index: then an index could be mistaken for a name, and is refused.

    Raises:
        InputError: The model has no such class.
    """
    if label is None:
        return NULL
    text = label if isinstance(label, str) else shown(_whole(label, "label"))  # str refuses thousands of digits
    indices = [str(i) for i in range(model.config.classes)]
    names = model.card.labels or indices
    if not names:
        raise InputError(f"label {text[:40]!r} is none of this model's; it has no classes: leave it out.")
    apart = all(name == index for name, index in zip(names, indices, strict=False) if is_number(name))
    try:
        return position(text, names, "label")
    except InputError:
        if apart and text in indices:
            return int(text)
        raise


def pair(model: S2ID, label: Labels, seed: Seeds) -> tuple[Condition, list[int]]:
    """As many conditions as seeds: a single one of either is repeated for all of the other.

    Raises:
        InputError: There are several of both but not equally many, or one is no label of the model or no seed.
    """
    labels = _listed(label, "label")
    if not labels:
        raise InputError("there is no label; give at least one, or None for no condition.")
    whole = cat([one if isinstance(one, Condition) else ask(model, one) for one in labels])
    seeds = seed_list(seed)
    if len(whole) == 1:
        whole = whole[torch.zeros(len(seeds), dtype=torch.long)]
    if len(seeds) == 1:
        seeds *= len(whole)
    if len(whole) != len(seeds) or not seeds:
        raise InputError(f"{len(whole)} labels and {len(seeds)} seeds cannot be paired; give as many of each, or one.")
    return whole, seeds


def seed_list(seed: Seeds, argument: str = "seed") -> list[int]:
    """The seeds as a list.

    Args:
        seed: One or several.
        argument: What the caller names them, for the message.

    Raises:
        InputError: One is no integer, or out of range; or there are none, or more than a million.
    """
    seeds = [_whole(one, argument) for one in _listed(seed, argument)]
    if not seeds:
        raise InputError("there is no seed; give at least one.")
    if wrong := [one for one in seeds if not 0 <= one <= LARGEST_SEED]:
        raise InputError(f"{argument} is {shown(wrong[0])}; it must be a whole number from 0 to {LARGEST_SEED}.")
    return seeds


def _listed(given: Any, argument: str) -> list[Any]:  # noqa: ANN401  (whatever was given)
    """One value or several, of Python, numpy or torch, as a list of values of Python.

    Raises:
        InputError: There are too many, or they have no order.
    """
    if isinstance(given, np.generic | np.ndarray | Tensor) and given.ndim == 0:
        return [given.tolist()]
    if isinstance(given, str | bytes | Condition) or not isinstance(given, Iterable):
        return [given]
    if isinstance(given, Mapping | AbstractSet):
        raise InputError(f"{argument} is a {type(given).__name__}, which has no order; give a list.")
    several = list(islice(given, MOST_SEEDS + 1))
    if len(several) > MOST_SEEDS:
        raise InputError(f"{argument} has more than {MOST_SEEDS:,} entries; give them in several calls.")
    return [one.tolist() if isinstance(one, np.generic | np.ndarray | Tensor) else one for one in several]


def _whole(value: Any, argument: str) -> int:  # noqa: ANN401  (whatever was given)
    """A whole number.

    Raises:
        InputError: The value is none.
    """
    try:
        return int(meant(value, int))
    except MisfitError:
        wanted = "the name or the index of a class" if argument == "label" else "a whole number, or several"
        raise InputError(f"{argument} is {value!r}; give {wanted}.") from None
