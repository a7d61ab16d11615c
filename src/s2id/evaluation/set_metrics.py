"""Measures of a set of pictures against another."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from s2id.errors import InputError

_CHUNK = 1000  # rows of a distance matrix at a time: 80 MB against 10,000


def frechet_distance(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> float:
    """Squared Frechet distance of the Gaussians fitted to two sets of features; 0 for the same mean and covariance.

    Heusel et al. 2017, Eq. 6 (arXiv 1706.08500), by torchmetrics. It is biased upward in small sets, so compare
    distances at one n only.

    Raises:
        InputError: A set has fewer than two samples per feature dimension.
    """
    least = 2 * a.shape[1]
    if min(len(a), len(b)) < least:
        raise InputError(
            f"the Frechet distance of {a.shape[1]} features needs at least {least} images in each set, and they have "
            f"{len(a)} and {len(b)}; draw more, or use the kernel distance."
        )
    with _extra():
        from torchmetrics.image.fid import FrechetInceptionDistance
    features = nn.Identity()
    features.num_features = a.shape[1]  # type: ignore[assignment]  # torchmetrics asks for it
    metric = FrechetInceptionDistance(feature=features).to(a.device)
    middle = a.double().mean(0)  # its covariance is E[xx] - E[x]E[x], which loses digits far from 0
    metric.update(a.double() - middle, real=True)
    metric.update(b.double() - middle, real=False)
    return float(metric.compute())


def kernel_distance(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> float:
    """Squared maximum mean discrepancy of two sets of features, unbiased: 0 on average for one distribution.

    Kernel (x.y / d + 1)^3, Binkowski et al. 2018, Section 4 (arXiv 1801.01401), by torchmetrics.

    Args:
        a: Features of one set.
        b: Features of the other.
        subsets: Random subsets to average over.
        subset_size: Samples of each set in a subset; at most as many as the smaller set has.
        seed: Chooses the subsets.

    Raises:
        InputError: A set has fewer than two samples.
    """
    size = min(len(a), len(b), subset_size)
    if size < 2:
        raise InputError(f"the kernel distance needs subsets of 2 images, and they would have {size}; draw more.")
    with _extra():
        from torchmetrics.image.kid import KernelInceptionDistance
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # it warns of keeping the features, which are here already
        torch.default_generator.manual_seed(seed)
        once = size == len(a) == len(b)
        metric = KernelInceptionDistance(nn.Identity(), 1 if once else subsets, size).to(a.device)
        metric.update(a.double(), real=True)
        metric.update(b.double(), real=False)
        return float(metric.compute()[0])


@dataclass(frozen=True)
class Manifold:
    """How two sets of features overlap; all are 1 in expectation, or nearly, for one distribution."""

    precision: float
    """Share of the fake samples within some real sample's neighbourhood."""
    recall: float
    """Share of the real samples within some fake sample's neighbourhood."""
    density: float
    """Mean number of real neighbourhoods a fake sample is in, over k; may exceed 1."""
    coverage: float
    """Share of the real samples with a fake sample in their neighbourhood."""


def manifold(real: Float[Tensor, "n d"], fake: Float[Tensor, "m d"], k: int = 5) -> Manifold:
    """Precision, recall, density and coverage, with balls out to the k-th nearest neighbour in a sample's own set.

    Kynkaanniemi et al. 2019, Eq. 1-2 (arXiv 1904.06991); Naeem et al. 2020, Eq. 3-5 (arXiv 2002.09797).

    Raises:
        InputError: A set has no k-th neighbour.
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
        density=balls.double().mean().item() / k,
        coverage=_share(torch.cat(covered)),
    )


def variance_ratio(
    images: Float[Tensor, "n c h w"],
    labels: Int[Tensor, " n"],
    truth: Float[Tensor, "m c h w"],
    truth_labels: Int[Tensor, " m"],
) -> float:
    """Pixel variance within a class against the data's, mean over the classes; 1 is the data's diversity.

    Raises:
        InputError: A class has fewer than two images in either set, or the data's do not vary.
    """
    return _class_ratio(lambda x: x.var(0).mean(), images, labels, truth, truth_labels)


def feature_spread(
    features: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    truth_features: Float[Tensor, "m d"],
    truth_labels: Int[Tensor, " m"],
) -> float:
    """Mean distance of two samples of a class against the data's, mean over the classes; 1 is the data's diversity.

    Raises:
        InputError: A class has fewer than two samples in either set, or the data's do not vary.
    """
    return _class_ratio(lambda x: torch.pdist(x).mean(), features, labels, truth_features, truth_labels)


def _share(holds: Bool[Tensor, " n"]) -> float:
    return holds.double().mean().item()


def _neighbour_distance(x: Float[Tensor, "n d"], k: int) -> Float[Tensor, " n"]:
    # the smallest distance is a sample's own
    return torch.cat([torch.cdist(rows, x).kthvalue(k + 1, dim=1).values for rows in x.split(_CHUNK)])


def _class_ratio(
    spread: Callable[[Tensor], Tensor], values: Tensor, labels: Tensor, truth: Tensor, truth_labels: Tensor
) -> float:
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


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise InputError(f"this measure needs pip install 's2id[eval]' ({error}).") from error
