"""Words of captions: how a text is split, which words a model learns, and how those that are asked for are found.

Case, order and punctuation do not count. Nothing here imports torch.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import lru_cache

from s2id.errors import InputError
from s2id.names import listed

MOST_WORDS = 2**14
"""Largest number of words that a model learns, the most frequent ones."""

MOST_PAIRS = 2**16
"""Largest number of pairs of words that pictures have together which a model keeps."""

ALIKE, COMMON = 0.5, 3
"""Share of the words beside either of two that are beside both, and their number, from which one can stand in for the
other."""

_ARTICLES = frozenset(("a", "an", "the"))

_LONG = 64
"""Most characters of a wrong word that a message repeats."""

_SHOWN = 8
"""Most words that a message lists, known or unknown."""


def words_of(text: str) -> list[str]:
    """The different words of a text, in the order in which they come: in lower case and without punctuation.

    Words consist of letters, digits and marks of any script, and of apostrophes inside; all else stands between them.

    >>> words_of("A woman's RED-hat, a hat")
    ['a', "woman's", 'red', 'hat']
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).replace("\u2019", "'")
    kept = "".join(c if c == "'" or unicodedata.category(c)[0] in "LMN" else " " for c in folded)
    return list(dict.fromkeys(filter(None, (word.strip("'") for word in kept.split()))))


def vocabulary(texts: Iterable[str], least: int, most: int = MOST_WORDS) -> tuple[str, ...]:
    """The words of several texts, the most frequent first, and in the order of the alphabet where equally frequent.

    Args:
        texts: The texts.
        least: Number of texts that a word must be in, 1 or more.
        most: Number of words at most.

    >>> vocabulary(["red fox", "red car", "blue car"], least=2)
    ('car', 'red')
    """
    count = Counter(word for text in texts for word in words_of(text))
    frequent = sorted((-number, word) for word, number in count.items() if number >= least)
    return tuple(word for _, word in frequent[:most])


def word_indices(asked: str | Sequence[str], known: Sequence[str]) -> list[int]:
    """Places of the words that are asked for among the known ones, rising.

    Args:
        asked: A text, or its words.
        known: Words that a model knows, the most frequent first.

    Raises:
        InputError: The text has no word, or one that is not known; the message names those that are near.

    >>> word_indices("fox, RED", ["red", "car", "fox"])
    [0, 2]
    """
    words = words_of(asked if isinstance(asked, str) else " ".join(asked))
    if not words:
        raise InputError(f"words is {str(asked)[:_LONG]!r}, which holds no word; give some, or leave it out.")
    if not known:
        raise InputError(f"words is {str(asked)[:_LONG]!r} and this model knows no words; leave it out.")
    place = {word: i for i, word in enumerate(known)}
    if unknown := [word for word in words if word not in place]:
        wrong = ", ".join(f"{word[:_LONG]!r}{_near(word, known)}" for word in unknown[:_SHOWN])
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise InputError(
            f"{wrong}{more} {'is' if len(unknown) == 1 else 'are'} none of the {len(known):,} words that this model "
            f"knows; ask for others, such as {listed(known[:_SHOWN])}."
        )
    return sorted(place[word] for word in words)


def parted(
    asked: Iterable[int], known: Sequence[str], counts: Sequence[int], together: tuple[tuple[int, ...], ...]
) -> list[list[int]]:
    """Groups of words that go together; the first group has the rarest word.

    Two words go together if some picture has both, or one of them and a word that can stand in for the other: as "man"
    and "woman" are mostly beside the same words, a picture of a woman who swims shows how a man does. An article that
    goes with no other word is left out.

    Args:
        asked: Indices of words.
        known: The words that a model knows, by index.
        counts: Number of pictures that have each word.
        together: For each word, the later words that pictures have it with. Empty: unknown, and one group has all.

    >>> known = ("a", "red", "fox", "car")
    >>> parted([0, 1, 2, 3], known, counts=(9, 6, 3, 4), together=((), (3,), (), ()))  # no picture has a fox and red
    [[2], [3, 1]]
    """
    asked = list(asked)
    if not together or len(asked) < 2:
        return [asked] if asked else []
    companions = _companions(together)

    def alike(one: int, other: int) -> bool:
        both = len(companions[one] & companions[other])
        return both >= max(COMMON, ALIKE * len(companions[one] | companions[other]))

    def fit(one: int, other: int) -> bool:
        if other in companions[one]:
            return True
        return any(alike(one, word) for word in companions[other]) or any(alike(other, w) for w in companions[one])

    groups = list[list[int]]()
    for word in sorted(asked, key=lambda word: (known[word] in _ARTICLES, counts[word], -word)):
        group = next((group for group in groups if all(fit(word, other) for other in group)), None)
        if group is not None:
            group.append(word)
        elif known[word] not in _ARTICLES or not groups:
            groups.append([word])
    return groups


@lru_cache(maxsize=4)
def _companions(together: tuple[tuple[int, ...], ...]) -> tuple[frozenset[int], ...]:
    """For each word, all words that pictures have it with."""
    companions = [set(row) for row in together]
    for word, row in enumerate(together):
        for later in row:
            companions[later].add(word)
    return tuple(map(frozenset, companions))


def _near(word: str, known: Sequence[str]) -> str:
    """A clause about the known words that are spelled like another one."""
    near = get_close_matches(word[:_LONG], known, n=3)
    return f" (did you mean {listed(near, ' or ')}?)" if near else ""
