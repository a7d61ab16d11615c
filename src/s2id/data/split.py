"""Which drawings are held out: pairs of concept and style, and whole concepts, by hashes of their names alone.

A concept is what several drawings show, such as "red fox"; a style is a set that draws many concepts. A model that has
seen a concept in two styles, and a third style in other concepts, can be asked for the pair that it has never seen.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal

from s2id.data.pictures import Pictures

Part = Literal["train", "pair", "concept"]
"""What a drawing is for: training; or it is held out, alone or with its whole concept."""

PAIRS, CONCEPTS = 10, 20
"""One pair in so many, and one concept in so many, is held out."""

SEEN = 2
"""A pair is held out only if training has its concept in so many other styles."""


def parts(concepts: Sequence[str], styles: Sequence[str]) -> list[Part]:
    """The part that each drawing belongs to, which the order of the drawings does not change.

    Args:
        concepts: What each drawing shows.
        styles: Style of each drawing, "" for none.

    >>> parts(["fox", "owl"], ["flat", "flat"])
    ['concept', 'train']
    """
    styles_of: dict[str, set[str]] = {}
    for concept, style in zip(concepts, styles, strict=True):
        styles_of.setdefault(concept, set()).add(style)
    held = {(concept, style) for concept, known in styles_of.items() for style in _held_styles(concept, known)}
    return [
        "concept" if _is_chosen(concept, CONCEPTS) else "pair" if (concept, style) in held else "train"
        for concept, style in zip(concepts, styles, strict=True)
    ]


def parts_of(pictures: Pictures) -> list[list[Part]]:
    """The part of every picture of each group; concepts are the captions, and styles the classes."""
    names = (*pictures.labels, "")  # an unknown class is -1
    texts = [group.captions for group in pictures.groups]
    styles = [[names[i] for i in group.labels.tolist()] for group in pictures.groups]
    whole = iter(parts([text for some in texts for text in some], [style for some in styles for style in some]))
    return [[next(whole) for _ in some] for some in texts]


def _held_styles(concept: str, styles: set[str]) -> list[str]:
    """Styles that a concept is held out in; at least `SEEN` others stay."""
    chosen = sorted((number(concept, style), style) for style in styles if _is_chosen(f"{concept}\0{style}", PAIRS))
    return [style for _, style in chosen][: max(0, len(styles) - SEEN)]


def number(*names: str) -> int:
    """A number that looks random and depends on the names alone."""
    return int.from_bytes(hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass")).digest()[:8], "big")


def _is_chosen(name: str, share: int) -> bool:
    """Whether a name is one of `share`."""
    return number(name) % share == 0
