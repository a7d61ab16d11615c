"""Likeness of a set of pictures to the test set, at the data's size."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from s2id.condition import Condition
from s2id.evaluation import set_metrics
from s2id.evaluation.examiner import Findings, RealPictures
from s2id.evaluation.report import Likeness
from s2id.shapes import NULL, Images, Labels


def likeness(images: Images, findings: Findings, asked: Condition, real: RealPictures) -> Likeness:
    """The measures of likeness between a set of pictures and the test set; none without features to compare.

    Args:
        images: Pictures at the examiner's size.
        findings: The examiner's findings in the same pictures, at any size.
        asked: Condition that each picture was meant to show.
        real: The test set.

    Raises:
        InputError: A set is too small, or its pictures do not vary.
    """
    own, true = findings.features, real.findings.features
    if own is None or true is None:
        return Likeness()
    few = min(len(own), len(true))
    chosen = torch.randperm(len(true), generator=torch.Generator().manual_seed(1))[:few]
    near = set_metrics.manifold(true[chosen], own)
    labels, true_labels = _grouping(asked), _grouping(real.known)
    # where there are classes, pictures of no class say nothing of the variety within one
    classes = bool((labels != NULL).any() and (true_labels != NULL).any())
    ours, theirs = ((one != NULL) | (not classes) for one in (labels, true_labels))
    return Likeness(
        right_class=share_equal(findings.classes, asked.label),
        right_attributes=balanced_right(findings, asked, real),
        frechet=set_metrics.frechet_distance(own, true),
        kernel=1000 * set_metrics.kernel_distance(own, true),
        precision=near.precision,
        recall=near.recall,
        manifold_density=near.manifold_density,
        coverage=near.coverage,
        variance=set_metrics.variance_ratio(images[ours], labels[ours], real.images[theirs], true_labels[theirs]),
        spread=set_metrics.feature_spread(own[ours], labels[ours], true[theirs], true_labels[theirs]),
    )


def share_equal(classes: Int[Tensor, " n"] | None, known: Int[Tensor, " n"] | None) -> float:
    """Share of the pictures whose class equals the known one, where one is known; NaN where none is."""
    if classes is None or known is None:
        return math.nan
    return (classes == known)[known != NULL].float().mean().item()


def attributes_right(findings: Findings, asked: Condition) -> Float[Tensor, " a"]:
    """Share of the pictures that have or lack each attribute as asked; NaN for an attribute that was never asked."""
    if findings.attributes is None or asked.attributes is None:
        return torch.empty(0)
    return (findings.attributes == asked.attributes).float().where(asked.attributes != 0, math.nan).nanmean(0)


def balanced_right(findings: Findings, asked: Condition, real: RealPictures) -> float:
    """Mean share of right attributes over the most balanced ones; NaN without attributes.

    A rare attribute would count as right in most pictures, whatever they show.
    """
    right = attributes_right(findings, asked)
    return right[real.balanced].nanmean().item() if len(right) else math.nan


def _grouping(known: Condition) -> Labels:
    """The classes within which variety is measured, where classes are all that is known; otherwise one group of all."""
    more = (known.attributes, known.numbers, known.tokens, known.words)
    return known.label if all(part is None for part in more) else torch.full_like(known.label, NULL)
