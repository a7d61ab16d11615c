"""What a model has learned little of, and says so where asked: what few pictures show, words that none has together."""

from collections.abc import Iterator

from s2id.condition import Condition
from s2id.sampling.conditions import word_groups
from s2id.sampling.settings import Card

FEW = 100
"""Number of pictures below which a class, or an attribute's value, is rare."""

FEW_WITH_A_WORD = 5
"""Number of pictures below which a word is rare: pictures share words with others, and seldom a whole caption."""

_NAMED = 20  # rare classes or attributes that are named one by one


def rare(card: Card) -> list[str]:
    """One sentence about the classes of few pictures, and one about the attributes, with names and counts.

    >>> rare(Card(labels=("cat", "dog"), pictures=909, label_counts=(900, 9)))
    ['classes with fewer than 100 pictures, which may come out as others: dog (9).']
    """
    classes = [(name, count) for name, count in _classes(card) if count]  # of others, the data have none to look at
    kinds = {"classes": classes, "attributes": [pair for both in _attributes(card) for pair in both]}
    sentences = []
    for kind, counted in kinds.items():
        few = sorted((count, name) for name, count in counted if count < FEW)
        if few:
            named = ", ".join(f"{name} ({count})" for count, name in few[:_NAMED])
            more = f" and {len(few) - _NAMED} more" if len(few) > _NAMED else ""
            sentences.append(f"{kind} with fewer than {FEW} pictures, which may come out as others: {named}{more}.")
    return sentences


def rare_asked(card: Card, asked: Condition) -> list[str]:
    """A sentence for each rare class, attribute or word that is asked for, and for words that were not seen together.

    >>> import torch
    >>> card = Card(labels=("cat", "dog"), pictures=909, label_counts=(900, 9))
    >>> rare_asked(card, Condition(torch.tensor([0, 1, 1])))
    ['dog was seen in 9 pictures of 909; expect other pictures, or copies of those.']
    """
    seldom = [
        f"{name} was seen in {count:,} pictures of {card.pictures:,}; expect other pictures, or copies of those."
        for name, count, few in dict.fromkeys(_asked(card, asked))
        if count < few
    ]
    return [*seldom, *dict.fromkeys(_apart(card, asked))]


def _asked(card: Card, asked: Condition) -> Iterator[tuple[str, int, int]]:
    """Name and number of pictures of everything that is asked for, and the number below which it is rare."""
    classes, attributes = _classes(card), _attributes(card)
    if classes:
        yield from ((*classes[label], FEW) for label in asked.label.tolist() if label >= 0)
    if attributes and asked.attributes is not None:
        for row in asked.attributes.tolist():
            yield from ((*pair[0 if has > 0 else 1], FEW) for has, pair in zip(row, attributes, strict=True) if has)
    if card.word_counts and asked.words is not None:
        for word in asked.words.flatten().tolist():
            if word >= 0:
                yield card.words[word], card.word_counts[word], FEW_WITH_A_WORD


def _apart(card: Card, asked: Condition) -> Iterator[str]:
    """A sentence for the words of each picture that are composed, since they were not seen together."""
    for first, *others in filter(None, word_groups(card, asked)):
        if others:
            one, more = (" ".join(card.words[word] for word in sorted(group)) for group in (first, sum(others, [])))
            yield f"no picture has all these words: it is {one!r}, moved towards {more!r}, which may fail."


def _classes(card: Card) -> list[tuple[str, int]]:
    """Name and number of pictures of each class; empty where the numbers are unknown."""
    return list(zip(card.labels, card.label_counts, strict=True)) if card.label_counts else []


def _attributes(card: Card) -> list[tuple[tuple[str, int], tuple[str, int]]]:
    """Name and number of pictures of each attribute, present and absent; empty where the numbers are unknown."""
    counted = zip(card.attributes, card.attribute_counts, strict=True) if card.attribute_counts else ()
    return [((name, has), (f"without {name}", lacks)) for name, (has, lacks) in counted]
