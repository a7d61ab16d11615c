"""Ripple: what a render shows in areas that are flat in the same picture at the data's size.

A function is trained on means over the data's pixels, and nothing that training sees says what it does between them. A
pattern there repeats with the network's own grids, tokens and feature samples; noise and true detail do not.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from s2id.errors import InputError
from s2id.sampling.model import S2ID
from s2id.settings import Size
from s2id.shapes import Images, Scalars

GREY = 127.5
"""Grey levels per unit of a picture's values, which lie in [-1, 1]."""

_FLAT = 2.5  # grey levels by which a flat area's pixels may differ: two levels, and what is lost in rounding

_NEAR_END = 16  # grey levels from white or black within which a colour was meant to be white or black


@dataclass(frozen=True)
class Ripple:
    """Unevenness of renders in flat areas, in grey levels: one value per picture, NaN where nothing is flat."""

    rms: Scalars
    """Root mean square of the deviation from the plane through the 3x3 data pixels around."""
    token: Scalars
    """Root mean square of the part of it that repeats with the tokens."""
    lattice: Scalars
    """Root mean square of the part of it that repeats with the feature samples."""
    off_white: Scalars
    """Mean distance from white or black in flat areas that are white or black."""
    off_white_worst: Scalars
    """Largest such distance."""
    flat: Scalars
    """Share of the picture that is flat."""


@dataclass(frozen=True)
class Grids:
    """Numbers of tokens, and of feature samples, along the height and the width of a frame."""

    tokens: Size
    samples: Size

    @classmethod
    def of(cls, model: S2ID, state: Size) -> "Grids | None":
        """The grids of a model that reads its function out of a state; `None` for a model without a function.

        Args:
            model: The model.
            state: Height and width of the state.
        """
        config = model.config
        if config.dense:
            return None
        tokens = state[0] // config.patch, state[1] // config.patch
        return cls(tokens, (tokens[0] * config.lattice, tokens[1] * config.lattice))


def ripple(render: Float[Tensor, "b c height width"], base: Images, grids: Grids | None = None) -> Ripple:
    """Unevenness of renders where the same pictures at the data's size are flat.

    A pixel of the data's size is flat if it and its eight neighbours differ by at most two grey levels. There, the
    render should be flat too, up to a plane: slow gradients are no ripple.

    Args:
        render: Pictures whose sides are a whole multiple, at least 2, of the sides of `base`.
        base: The same pictures at the data's size: renders, or the pictures that were read.
        grids: The network's grids; `None` leaves `token` and `lattice` NaN.

    Raises:
        InputError: The render is no whole multiple of the base, or the base has a side of less than three pixels.

    Example:
        >>> base = torch.zeros(1, 1, 8, 8)
        >>> wave = torch.sin(2 * torch.pi * (torch.arange(64) + 0.5) / 8) * 2 / GREY  # 8 periods of 2 grey levels
        >>> found = ripple(wave.expand(1, 1, 64, 64), base, Grids((4, 4), (8, 8)))
        >>> round(found.rms.item(), 3), round(found.lattice.item(), 3), round(found.token.item(), 3)
        (1.414, 1.414, 0.0)
    """
    (height, width), (h, w) = render.shape[2:], base.shape[2:]
    factor = height // h
    if min(h, w) < 3 or factor < 2 or (height, width) != (h * factor, w * factor):
        raise InputError(
            f"the render has {height}x{width} pixels and the base {h}x{w}; give a base of at least 3x3 pixels and a "
            "render at a whole multiple of its size, 2 or more."
        )
    kept = flat(base)
    cells = rearrange(render, "b c (h k) (w l) -> b c h w k l", k=factor, l=factor)
    deviation = GREY * (cells - _plane(cells)) * kept[:, None, :, :, None, None]
    count = kept.float().sum((1, 2)) * factor**2  # pixels; 0 of them give 0 / 0, which is NaN
    whole = rearrange(deviation, "b c h w k l -> b c (h k) (w l)")
    unknown = torch.full_like(count, torch.nan)
    mean, worst = _off_white(cells, base, kept)
    return Ripple(
        rms=(deviation.square().mean(1).sum((1, 2, 3, 4)) / count).sqrt(),
        token=_repeating(whole, count, grids.tokens) if grids else unknown,
        lattice=_repeating(whole, count, grids.samples) if grids else unknown,
        off_white=mean,
        off_white_worst=worst,
        flat=kept.float().mean((1, 2)),
    )


def flat(base: Images) -> Bool[Tensor, "b h w"]:
    """Whether a pixel and its eight neighbours are alike in every channel; false along the border.

    >>> flat(torch.zeros(1, 1, 4, 3)).int().tolist()
    [[[0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0]]]
    """
    spread = F.max_pool2d(base, 3, 1) + F.max_pool2d(-base, 3, 1)
    return F.pad((spread <= _FLAT / GREY).all(1), (1,) * 4)


def _plane(cells: Float[Tensor, "b c h w k l"]) -> Float[Tensor, "b c h w k l"]:
    """The least-squares plane through the means of the 3x3 cells around each cell, at the cell's own pixels."""
    means = F.pad(cells.mean((-1, -2)), (1,) * 4, mode="replicate")
    rows, columns = (F.avg_pool2d(means, side, 1) for side in ((1, 3), (3, 1)))
    slope_y = (rows[..., 2:, :] - rows[..., :-2, :]) / 2
    slope_x = (columns[..., 2:] - columns[..., :-2]) / 2
    middle = F.avg_pool2d(means, 3, 1)
    y, x = ((torch.arange(n, device=cells.device) + 0.5) / n - 0.5 for n in cells.shape[-2:])
    return middle[..., None, None] + slope_y[..., None, None] * y[:, None] + slope_x[..., None, None] * x


def _repeating(deviation: Images, count: Scalars, grid: Size) -> Scalars:
    """Root mean square of the waves of a grid's period along y, along x and along both diagonals, over the flat areas.

    A real wave of amplitude a has the power a^2 / 2 = 2 |c|^2, where c is its coefficient.

    Args:
        deviation: Grey levels, 0 outside the flat areas.
        count: Pixels in the flat areas.
        grid: Periods along the height and the width.
    """
    y, x = (
        torch.exp(2j * torch.pi * n * (torch.arange(side, device=deviation.device) + 0.5) / side).to(torch.complex64)
        for n, side in zip(grid, deviation.shape[2:], strict=True)
    )
    along = deviation.to(torch.complex64) @ torch.stack([x, torch.ones_like(x), x.conj()], dim=1)
    waves = torch.stack([(along * y[:, None]).sum(2), along.sum(2)])  # with and without a wave along y
    power = waves.abs().square()
    total = power[0].sum(-1) + power[1, ..., 0]  # of (y, x), (y, 0), (y, -x) and (0, x)
    return (2 * total.mean(1)).sqrt() / count


def _off_white(
    cells: Float[Tensor, "b c h w k l"], base: Images, kept: Bool[Tensor, "b h w"]
) -> tuple[Scalars, Scalars]:
    """Mean and largest distance, in grey levels, from the end of the range that a flat pixel of the base is near."""
    plain = kept & (base.abs() > 1 - _NEAR_END / GREY).all(1)
    distance = (GREY * (cells - base.sign()[..., None, None]).abs()).movedim(1, 3)  # b h w c k l
    mean = (distance.mean((3, 4, 5)) * plain).sum((1, 2)) / plain.sum((1, 2))
    worst = (distance.amax((3, 4, 5)) * plain).amax((1, 2))
    return mean, worst.where(plain.any(1).any(1), torch.nan)
