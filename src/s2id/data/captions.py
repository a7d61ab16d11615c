"""Words of captions as a condition: which of them the pictures teach, and which of them each picture has."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from s2id.data.pictures import Pictures
from s2id.shapes import NULL
from s2id.words import vocabulary, words_of

MOST_OF_ONE = 32
"""Largest number of words that a picture has; of a longer caption, the rarest ones, which say most."""


def learn_words(pictures: Pictures, least: int, known: Sequence[str] = ()) -> Pictures:
    """The same pictures with the words of their captions; unchanged if they have words, or tokens of a text encoder.

    Args:
        pictures: A data set.
        least: Number of pictures that a word must belong to, to be learned; 0 learns none.
        known: Words that are known already, and stay the first ones.
    """
    if pictures.words or pictures.token_width:
        return pictures
    texts = (text for group in pictures.groups for text in group.texts)
    kept = set(known)
    new = [word for word in vocabulary(texts, least) if word not in kept] if least else []
    return with_words(pictures, [*known, *new]) if known or new else pictures


def with_words(pictures: Pictures, words: Sequence[str]) -> Pictures:
    """The same pictures with those words of their captions that are among the given ones.

    Args:
        pictures: A data set.
        words: All words that are known, the most frequent first, as the card of a model has them.
    """
    place = {word: i for i, word in enumerate(words)}

    def indices(texts: Sequence[str]) -> Int[Tensor, "n m"] | None:
        if not place:
            return None
        rows = [sorted(place[word] for word in words_of(text) if word in place)[-MOST_OF_ONE:] for text in texts]
        held = torch.full((len(rows), max(map(len, rows), default=0)), NULL, dtype=torch.int32)
        for row, found in zip(held, rows, strict=True):
            row[: len(found)] = torch.tensor(found, dtype=torch.int32)
        return held

    groups = tuple(replace(group, words=indices(group.captions)) for group in pictures.groups)
    return replace(pictures, groups=groups, words=tuple(words))
