"""What a model of words and styles draws of pairs that it was trained on, and of what was held out, as a judge sees it.

A pair is a concept, which the caption names, in a style, which is the class; `data.split` says which are held out.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from s2id.condition import Condition
from s2id.data.pictures import Pictures
from s2id.data.split import Part, number, parts_of
from s2id.errors import InputError
from s2id.evaluation.judge import Judge
from s2id.evaluation.set_metrics import frechet_distance
from s2id.media.images import resize, to_float
from s2id.shapes import Images

PARTS: dict[Part, str] = {"train": "seen pairs", "pair": "held-out pairs", "concept": "held-out concepts"}
"""Parts of the drawings, as tables name them."""

_TEN = 10  # concepts among which the right one may be

_BATCH = 256


@dataclass(frozen=True)
class Drawings:
    """All drawings of a data set at the judge's size, what each shows, and the judge's features of them."""

    images: UInt8[Tensor, "n c h w"]
    asked: Condition
    """Style and words of each."""
    captions: tuple[str, ...]
    concepts: Int[Tensor, " n"]
    """Index of each caption: the judge's own, and further ones for captions that it does not know."""
    parts: tuple[Part, ...]
    features: Float[Tensor, "n d"]

    @classmethod
    def of(cls, pictures: Pictures, judge: Judge) -> "Drawings":
        """The drawings of a data set of one size, with the words that a model knows.

        Raises:
            InputError: They have no captions or several sizes, or the judge knows other classes or no concepts.
        """
        if len(pictures.groups) > 1 or not any(pictures.groups[0].texts):
            raise InputError(f"{pictures.name} needs drawings of one size with captions, such as packages of icons.")
        if not judge.concepts or judge.classes != len(pictures.labels) or judge.channels != pictures.channels:
            raise InputError(
                f"the judge of {judge.data!r} knows {len(judge.concepts)} concepts in {judge.classes} classes and "
                f"{judge.channels} channels, and {pictures.name} has {len(pictures.labels)} classes in "
                f"{pictures.channels} channels; train one as runs/classifier.py --captions does."
            )
        (group,) = pictures.groups
        index = {caption: i for i, caption in enumerate(dict.fromkeys((*judge.concepts, *group.texts)))}
        known, (parts,) = group.condition(), parts_of(pictures)
        features = torch.cat([judge.features(to_float(some)) for some in group.images.split(_BATCH)])
        return cls(
            group.images,
            Condition(known.label, words=known.words, tokens=known.tokens),
            group.texts,
            torch.tensor([index[caption] for caption in group.texts]),
            tuple(parts),
            features,
        )

    def of_part(self, *parts: Part) -> Int[Tensor, " m"]:
        """Indices of the drawings of some parts, in an order that looks random and follows from their names alone."""
        rows = [i for i, part in enumerate(self.parts) if part in parts]
        named = {i: number(self.captions[i], str(self.asked.label[i].item())) for i in rows}
        return torch.tensor(sorted(rows, key=named.__getitem__), dtype=torch.long)

    def concepts_in_all(self, count: int) -> list[list[int]]:
        """Drawings, by style, of the concepts that a hash puts first of those in every style and not held out whole.

        Args:
            count: Number of concepts.

        Raises:
            InputError: There are fewer.
        """
        found: dict[str, dict[int, int]] = {}
        for i, (caption, label) in enumerate(zip(self.captions, self.asked.label.tolist(), strict=True)):
            if self.parts[i] != "concept":
                found.setdefault(caption, {})[label] = i
        styles = len({*self.asked.label.tolist()})
        whole = sorted((caption for caption, known in found.items() if len(known) == styles), key=number)
        if len(whole) < count:
            raise InputError(f"{len(whole)} concepts are drawn in all {styles} styles and the sheet needs {count}.")
        return [[i for _, i in sorted(found[caption].items())] for caption in whole[:count]]


@dataclass(frozen=True)
class Nearness:
    """Distances to the nearest training drawing, in features and in pixels, and those of the held-out drawings."""

    drawings: Drawings
    bars: tuple[Float[Tensor, " m"], Float[Tensor, " m"]]
    """Distances of all held-out drawings in features, and in root mean square grey levels."""

    @classmethod
    def of(cls, drawings: Drawings) -> "Nearness":
        """The distances of a data set's held-out drawings.

        Raises:
            InputError: None are held out, or all are.
        """
        held = drawings.of_part("pair", "concept")
        if not 0 < len(held) < len(drawings.captions):
            raise InputError(
                f"{len(held)} of {len(drawings.captions)} drawings are held out, so nothing can be compared; a hash of "
                "names holds out one in ten, so give more."
            )
        own = cls(drawings, (torch.empty(0), torch.empty(0)))
        return cls(drawings, own.distances(to_float(drawings.images[held]), drawings.features[held]))

    def distances(
        self, images: Images, features: Float[Tensor, "b d"]
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """Distance of each picture from the nearest training drawing, in features and in grey levels."""
        train = self.drawings.of_part("train")
        seen = to_float(self.drawings.images[train]).flatten(1)
        grey = 127.5 / seen.shape[1] ** 0.5
        return _nearest(features, self.drawings.features[train]), grey * _nearest(images.flatten(1), seen)


def named(
    features: Float[Tensor, "b d"], rows: Int[Tensor, " b"], drawings: Drawings, judge: Judge
) -> dict[str, float]:
    """Shares of pictures whose style and whose concept the judge names right, by the headings of a table.

    Args:
        features: The judge's features of the pictures.
        rows: The drawing that each is, or of which it has the style and the words.
        drawings: All drawings.
        judge: The judge.
    """
    style, concept = drawings.asked.label[rows], drawings.concepts[rows]
    near = judge.resemblance(features).topk(min(_TEN, len(judge.concepts)), dim=1).indices
    right = near == concept[:, None]
    shares = (judge.classify(features) == style, right[:, 0], right.any(1))
    names = ("style right", "concept right", "among the ten nearest")
    return {name: share.float().mean().item() for name, share in zip(names, shares, strict=True)}


def of_samples(
    images: Images, rows: Int[Tensor, " b"], drawings: Drawings, judge: Judge, near: Nearness
) -> dict[str, float]:
    """What the judge says of samples, by the headings of a table; a measure that needs more of them is missing.

    Args:
        images: Samples of any size.
        rows: The drawing of which each has the style and the words.
        drawings: All drawings.
        judge: The judge.
        near: Distances of the drawings.
    """
    images = torch.cat([resize(some, judge.size) for some in images.split(_BATCH)])
    features = judge.features(images)
    found = named(features, rows, drawings, judge)
    if (nearer := nearer_to_truth(features, rows, drawings)) is not None:
        found["nearer to the truth"] = nearer
    if len(rows) >= 2 * features.shape[1]:
        held = drawings.features[drawings.of_part("pair", "concept")]
        as_many = drawings.features[drawings.of_part("train")[: len(rows)]]
        found["Frechet / training's"] = frechet_distance(features, held) / frechet_distance(as_many, held)
    for what, apart, bar in zip(("features", "pixels"), near.distances(images, features), near.bars, strict=True):
        found[f"copies, {what}"] = (apart < bar.min()).float().mean().item()
        found[f"nearer than 99 %, {what}"] = (apart < bar.quantile(0.01)).float().mean().item()
    return found


def nearer_to_truth(features: Float[Tensor, "b d"], rows: Int[Tensor, " b"], drawings: Drawings) -> float | None:
    """Share of the samples that lie nearer to the true drawing than any other style's drawing of the concept does.

    Samples of concepts that no other style draws are left out; `None` if that is all of them.
    """
    nearer = []
    for feature, row in zip(features, rows.tolist(), strict=True):
        others = (drawings.concepts == drawings.concepts[row]) & (drawings.asked.label != drawings.asked.label[row])
        if others.any():
            truth = drawings.features[row]
            nearer.append((feature - truth).norm() < (drawings.features[others] - truth).norm(dim=1).min())
    return torch.stack(nearer).float().mean().item() if nearer else None


def _nearest(points: Float[Tensor, "b d"], others: Float[Tensor, "m d"]) -> Float[Tensor, " b"]:
    """Distance of each point from the nearest of the others."""
    return torch.cat([torch.cdist(some, others).amin(1) for some in points.split(_BATCH)])
