"""The examiner of pictures: a judge, a feature extractor, or both; and the test set as the examiner finds it."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from s2id.condition import Condition, cat
from s2id.data.pictures import Pictures
from s2id.evaluation.judge import Extractor, Judge
from s2id.media.alpha import has_alpha, over
from s2id.media.images import resize, to_bytes, to_float
from s2id.settings import Alpha, Size
from s2id.shapes import Images

_BATCH = 100  # pictures that an extractor is given at once

_BALANCED = 10  # attributes whose mean is one number of the table


@dataclass(frozen=True)
class Findings:
    """Features, classes and attributes that an examiner finds in pictures."""

    features: Float[Tensor, "n d"] | None
    """`None` without an examiner."""
    classes: Int[Tensor, " n"] | None = None
    """Class that the judge assigns to each picture; `None` without a judge of classes."""
    attributes: Int[Tensor, "n a"] | None = None
    """Attributes that the judge finds present (1) or absent (-1); `None` without a judge of attributes."""


@dataclass(frozen=True)
class Examiner:
    """A judge, a feature extractor, both (the extractor gives the features), or neither, which finds nothing."""

    judge: Judge | None
    extractor: Extractor | None
    size: Size
    """Height and width of the pictures that are examined; others are resized by area means."""

    def __call__(self, pictures: Images) -> Findings:
        """Findings in pictures of any size."""
        judge = self.judge
        features = own = judge.features(pictures) if judge else None
        if self.extractor is not None:
            features = torch.cat([self.extractor(resize(part, self.size)) for part in pictures.split(_BATCH)])
        if judge is None or own is None:
            return Findings(features)
        return Findings(
            features,
            judge.classify(own) if judge.classes else None,
            judge.attributes_of(own) if judge.attributes else None,
        )

    def by_name(self, shares: Float[Tensor, " a"]) -> dict[str, float]:
        """Shares of attributes by the attributes' names; empty where the judge knows no attributes."""
        return dict(zip(self.judge.attributes if self.judge else (), shares.tolist(), strict=True))


@dataclass(frozen=True)
class RealPictures:
    """The pictures of the test set, their conditions, and an examiner's findings in them."""

    images: Images
    """Pictures at the examiner's size."""
    known: Condition
    """Condition of each picture."""
    findings: Findings

    @classmethod
    def of(cls, pictures: Pictures, examiner: Examiner) -> "RealPictures":
        """All pictures of a data set, as real ones to compare others with."""
        images, known = at_size(pictures, examiner.size)
        return cls(images, known, examiner(images))

    @property
    def balanced(self) -> list[int]:
        """Indices of the ten attributes that are most nearly as often present as absent, the most balanced first."""
        if self.known.attributes is None:
            return []
        has = self.known.attributes.float()
        share = has.sum(0) / (has != 0).sum(0).clamp(min=1)  # over the pictures it is known of
        return share.abs().where((has != 0).any(0), 1.0).argsort(stable=True)[:_BALANCED].tolist()


def ground_of(pictures: Pictures) -> Alpha:
    """The ground on which pictures with alpha are examined: white, or black if what they show is brighter than grey.

    White drawings could not be seen on white.
    """
    if not has_alpha(pictures.channels):
        return "white"
    colour, alpha = (
        sum(group.images[:, part].double().mean((1, 2, 3)).sum() for group in pictures.groups)
        for part in (slice(None, -1), slice(-1, None))
    )
    return "black" if colour > alpha / 2 else "white"


def laid_over(pictures: Pictures, ground: Alpha) -> Pictures:
    """The pictures laid over a ground; those without alpha as they are."""
    if not has_alpha(pictures.channels):
        return pictures
    groups = (
        replace(
            group, images=torch.cat([to_bytes(over(to_float(some), ground)) for some in group.images.split(_BATCH)])
        )
        for group in pictures.groups
    )
    return replace(pictures, groups=tuple(groups), alpha=ground)


def at_size(pictures: Pictures, size: Size) -> tuple[Images, Condition]:
    """All pictures of a data set, resized to one size, and the condition of each."""
    images = torch.cat([resize(to_float(group.images), size) for group in pictures.groups])
    return images, cat([group.condition() for group in pictures.groups])
