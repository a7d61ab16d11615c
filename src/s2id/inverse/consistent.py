"""Exact back-projection: pictures are corrected until their means over the measured pixels are the measured values."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from s2id.images import resize
from s2id.linear import area_weights, conjugate_gradients
from s2id.shapes import Images, Scalars

_ROUNDS = 64  # at most; most pictures need a few

_ENOUGH = 3e-4  # rms residual, in [-1, 1], at which a picture is consistent

_RELAXED = 1.8  # over-relaxation, between 1 and 2: clipping takes a part of each correction away


def consistent(
    found: Float[Tensor, "b c height width"],
    measured: Float[Tensor, "sets k h w"],
    mask: Bool[Tensor, "rows columns"] | None = None,
    noise: float = 0.0,
    mix: Float[Tensor, "k c"] | None = None,
) -> Float[Tensor, "b c height width"]:
    """Pictures in [-1, 1] that a measured picture's pixels are the means of, up to its noise.

    The correction is the smallest one that is smooth at the scale of a measured pixel,
    `K A^T (A K A^T)^-1 (y - A x)` with K a Gaussian kernel. It is scaled so that the residual's rms is the noise.

    >>> large = consistent(torch.zeros(1, 1, 8, 8), torch.full((1, 1, 4, 4), 0.5))
    >>> bool((resize(large, (4, 4)) - 0.5).abs().max() < 1e-3)
    True

    Args:
        found: Pictures to correct.
        measured: Measured pictures of that size or smaller; one for all pictures, or one each.
        mask: True where a pixel was measured; `None` is everywhere.
        noise: Standard deviation of the measured pixels' noise, in their unit.
        mix: Matrix from the pictures' channels to the measured ones; `None` measures each channel by itself.
    """
    axes = zip(found.shape[2:], measured.shape[2:], strict=True)
    (rows, gained_rows), (columns, gained_columns) = (_smoothing(large, small, found.device) for large, small in axes)
    # of each measured channel; channels that measure alpha as well as grey have no colour in common
    power = 1.0 if mix is None else mix.square().sum(1)[:, None, None]
    seen = torch.ones(1, device=found.device) if mask is None else mask

    def gained(u: Tensor) -> Tensor:
        return power * (gained_rows @ u @ gained_columns.mT) * seen

    free = found  # not clipped, so that the next round corrects again what clipping took away
    relaxed = 1.0
    for _ in range(_ROUNDS):
        found = free.clamp(-1, 1)
        left = residual(found, measured, mask, mix).double()
        size = rms(left, mask)
        share = (1 - noise / size.clamp(min=1e-12)).clamp(min=0)
        if not bool((size * share > _ENOUGH).any()):
            break
        u = conjugate_gradients(gained, left, 60)
        moved = rows @ u @ columns.mT
        moved = moved if mix is None else torch.einsum("kc,bkhw->bchw", mix.to(moved), moved)
        free = free + (relaxed * share[:, None, None, None] * moved).to(free)
        relaxed = _RELAXED
    return free.clamp(-1, 1)


def residual(
    found: Float[Tensor, "b c height width"],
    measured: Float[Tensor, "sets k h w"],
    mask: Bool[Tensor, "rows columns"] | None = None,
    mix: Float[Tensor, "k c"] | None = None,
) -> Float[Tensor, "b k h w"]:
    """Measured pixels minus the pictures' means over them, y - A x; 0 where nothing was measured.

    Arguments as for `consistent`.
    """
    means = resize(found, (measured.shape[2], measured.shape[3]))
    means = means if mix is None else torch.einsum("kc,bchw->bkhw", mix, means)
    return measured - means if mask is None else torch.where(mask, measured - means, 0.0)


def rms(residual: Images, mask: Bool[Tensor, "rows columns"] | None = None) -> Scalars:
    """Root mean square of each picture's residual over the measured pixels."""
    share = 1.0 if mask is None else mask.double().mean().item()
    return (residual.square().mean((1, 2, 3)) / share).sqrt()


def _smoothing(large: int, small: int, device: torch.device) -> tuple[Float[Tensor, "l s"], Float[Tensor, "s s"]]:
    """`K A^T` and `A K A^T` along one axis, where A takes the means of `large` samples over `small` pixels."""
    place = (torch.arange(large, dtype=torch.float64) + 0.5) * (small / large)
    kernel = torch.exp(-2 * (place[:, None] - place).square())  # a standard deviation of half a measured pixel
    means = area_weights(large, small).double()
    spread = kernel @ means.T
    return spread.to(device), (means @ spread).to(device)
