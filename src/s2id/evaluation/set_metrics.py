"""Distances between two sets of pictures, and the diversity of one set relative to another.

Most measures compare sets of features, one vector per picture, from any network; `variance_ratio` compares pixels.
Frechet and kernel distance need the extra `eval`.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from s2id.errors import InputError
from s2id.evaluation.extras import needs_eval

Classes = Int[Tensor, " n"]
"""Class of each of n pictures that are measured."""

TrueClasses = Int[Tensor, " m"]
"""Class of each of m pictures of the data."""

_CHUNK = 1000  # rows of a distance matrix computed at a time: 80 MB against 10,000 columns


def frechet_distance(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> float:
    """Squared Frechet distance of the Gaussians fitted to two sets of features; 0 for equal means and covariances.

    Heusel et al. 2017, Eq. 6 (arXiv 1706.08500), computed by torchmetrics. The estimate is biased upward in small sets,
    so only distances of equally large sets can be compared.

    Example:
        >>> features = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
        >>> round(frechet_distance(features, features + 1), 6)  # four means, each shifted by 1
        4.0

    Raises:
        InputError: A set has fewer than two samples per feature dimension.
    """
    least = 2 * a.shape[1]
    if min(len(a), len(b)) < least:
        raise InputError(
            f"the Frechet distance of {a.shape[1]} features needs at least {least} images in each set, and they have "
            f"{len(a)} and {len(b)}; draw more, or use the kernel distance."
        )
    with needs_eval():
        from torchmetrics.image.fid import FrechetInceptionDistance
    features = nn.Identity()
    features.num_features = a.shape[1]  # type: ignore[assignment]  # torchmetrics asks for it
    metric = FrechetInceptionDistance(feature=features).to(a.device)
    middle = a.double().mean(0)  # torchmetrics computes E[xx] - E[x]E[x], which loses digits far from 0
    metric.update(a.double() - middle, real=True)
    metric.update(b.double() - middle, real=False)
    return float(metric.compute())


def kernel_distance(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> float:
    """Squared maximum mean discrepancy of two sets of features, unbiased: 0 on average for equal distributions.

    Kernel (x.y / d + 1)^3, Binkowski et al. 2018, Section 4 (arXiv 1801.01401), computed by torchmetrics.

    Args:
        a: Features of the first set.
        b: Features of the second set.
        subsets: Number of random subsets whose distances are averaged.
        subset_size: Samples of each set in a subset; reduced to the size of the smaller set where that is less.
        seed: Seed of the choice of subsets.

    Example:
        >>> features = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
        >>> kernel_distance(features, features + 3) > kernel_distance(features, features + 1)
        True

    Raises:
        InputError: A set has fewer than two samples.
    """
    size = min(len(a), len(b), subset_size)
    if size < 2:
        raise InputError(f"the kernel distance needs subsets of 2 images, and they would have {size}; draw more.")
    with needs_eval():
        from torchmetrics.image.kid import KernelInceptionDistance
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # torchmetrics warns that it keeps all features; they are in memory already
        torch.default_generator.manual_seed(seed)
        once = size == len(a) == len(b)
        metric = KernelInceptionDistance(nn.Identity(), 1 if once else subsets, size).to(a.device)
        metric.update(a.double(), real=True)
        metric.update(b.double(), real=False)
        return float(metric.compute()[0])


@dataclass(frozen=True)
class Manifold:
    """Overlap of a set of generated features with a set of real ones; every value is near 1 for equal distributions.

    A sample's neighbourhood is the ball around it that reaches to its k-th nearest neighbour in its own set.
    """

    precision: float
    """Share of the generated samples that lie in the neighbourhood of some real sample."""
    recall: float
    """Share of the real samples that lie in the neighbourhood of some generated sample."""
    manifold_density: float
    """Mean number of real neighbourhoods that a generated sample lies in, divided by k; may exceed 1."""
    coverage: float
    """Share of the real samples whose neighbourhood holds a generated sample."""


def manifold(real: Float[Tensor, "n d"], fake: Float[Tensor, "m d"], k: int = 5) -> Manifold:
    """Precision, recall, density and coverage of generated features relative to real ones.

    Kynkaanniemi et al. 2019, Eq. 1-2 (arXiv 1904.06991); Naeem et al. 2020, Eq. 3-5 (arXiv 2002.09797).

    Args:
        real: Features of real pictures.
        fake: Features of generated pictures.
        k: Rank of the neighbour, in a sample's own set, that its neighbourhood reaches to.

    Example:
        >>> real = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
        >>> manifold(real, real).recall, manifold(real, real + 100).recall
        (1.0, 0.0)

    Raises:
        InputError: A set has at most k samples.
    """
    if min(len(real), len(fake)) <= k:
        raise InputError(
            f"{k} nearest neighbours need at least {k + 1} images in each set, and they have {len(real)} and "
            f"{len(fake)}; draw more."
        )
    real, fake = real.double(), fake.double()
    real_radius, fake_radius = _neighbour_distance(real, k), _neighbour_distance(fake, k)
    balls = torch.zeros(len(fake), dtype=torch.long, device=fake.device)
    recalled, covered = [], []
    for rows, radius in zip(real.split(_CHUNK), real_radius.split(_CHUNK), strict=True):
        distance = torch.cdist(rows, fake)
        inside = distance <= radius[:, None]
        balls += inside.sum(0)
        covered.append(inside.any(1))
        recalled.append((distance <= fake_radius).any(1))
    return Manifold(
        precision=_share(balls > 0),
        recall=_share(torch.cat(recalled)),
        manifold_density=balls.double().mean().item() / k,
        coverage=_share(torch.cat(covered)),
    )


def variance_ratio(
    images: Float[Tensor, "n c h w"], labels: Classes, truth: Float[Tensor, "m c h w"], truth_labels: TrueClasses
) -> float:
    """Pixel variance within a class divided by that of the data, averaged over the classes; 1 is the data's diversity.

    Args:
        images: Pictures to measure.
        labels: Class of each of them.
        truth: Pictures of the data.
        truth_labels: Class of each picture of the data.

    Example:
        >>> data, labels = torch.randn(20, 1, 8, 8), torch.arange(2).repeat(10)
        >>> round(variance_ratio(data / 2, labels, data, labels), 4)  # half the contrast, a quarter of the variance
        0.25

    Raises:
        InputError: A class has fewer than two pictures in either set, or the data's pictures of a class do not vary.
    """
    return _class_ratio(lambda x: x.var(0).mean(), images, labels, truth, truth_labels)


def feature_spread(
    features: Float[Tensor, "n d"], labels: Classes, truth: Float[Tensor, "m d"], truth_labels: TrueClasses
) -> float:
    """Mean distance of two samples of a class divided by that in the data, averaged over the classes; 1 is equal.

    Args:
        features: Features of the pictures to measure.
        labels: Class of each of them.
        truth: Features of the data's pictures.
        truth_labels: Class of each of those.

    Example:
        >>> data, labels = torch.randn(20, 8), torch.arange(2).repeat(10)
        >>> round(feature_spread(data / 2, labels, data, labels), 4)
        0.5

    Raises:
        InputError: A class has fewer than two samples in either set, or the data's samples of a class do not vary.
    """
    return _class_ratio(lambda x: torch.pdist(x).mean(), features, labels, truth, truth_labels)


def _share(holds: Bool[Tensor, " n"]) -> float:
    return holds.double().mean().item()


def _neighbour_distance(x: Float[Tensor, "n d"], k: int) -> Float[Tensor, " n"]:
    # k + 1: the smallest distance is that of a sample from itself
    return torch.cat([torch.cdist(rows, x).kthvalue(k + 1, dim=1).values for rows in x.split(_CHUNK)])


def _class_ratio(
    spread: Callable[[Tensor], Tensor], values: Tensor, labels: Tensor, truth: Tensor, truth_labels: Tensor
) -> float:
    """Spread of a class divided by that of the same class of the data, averaged over the classes."""
    ratios = []
    for label in torch.cat([labels, truth_labels]).unique().tolist():
        own, other = values[labels == label], truth[truth_labels == label]
        if min(len(own), len(other)) < 2:
            raise InputError(
                f"class {label} has {len(own)} samples and {len(other)} of the data, and its spread needs 2 of each; "
                "draw more, or leave the class out of both."
            )
        whole = spread(other.double())
        if not whole > 0:
            raise InputError(f"class {label} of the data does not vary, so nothing can be compared with its spread.")
        ratios.append(spread(own.double()) / whole)
    return torch.stack(ratios).mean().item()
