"""Noise as a function of place, fixed by a seed: a pixel's noise is the integral of white noise over the pixel's cell.

The integral is divided by the square root of the cell's area, which gives it unit variance. Block means of fine noise,
times the ratio of sizes, are therefore the coarse noise, for any size, window and ratio. The integral of white noise
from a corner of the plane is the Brownian sheet B(y, x), and that over a cell is a mixed difference of B. B is expanded
in products of Schauder functions (Levy's construction); the bridge below the last level is drawn per coordinate.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from s2id.coords import view
from s2id.errors import InputError
from s2id.linear import area_weights
from s2id.seeds import U64, key_of, mix, seed_of
from s2id.settings import Size, Window
from s2id.shapes import Images

_REACH = 2.0  # the noise is defined for composition coordinates in [-2, 2)

_LEVELS = 15  # leaves of 4 / 2^15: pixels of frames up to 8192 have at most one edge in a leaf

_ALIKE = 5
"""Pixels along a side of the squares over which smooth noise is averaged, twice."""

_F64 = NDArray[np.float64]


class _Basis(NamedTuple):
    """Values of basis functions at some points; at each point only the functions that are not zero there are kept."""

    names: U64
    """A number for each function that is not zero at some point."""
    which: NDArray[np.intp]
    """Index in `names` of each point's functions, shape (points, functions)."""
    values: _F64
    """Values of each point's functions, shape (points, functions)."""


def noise_field(
    size: Size,
    channels: int,
    seed: int,
    stream: int = 0,
    frame: tuple[float, float] = (1.0, 1.0),
    window: Window | None = None,
) -> Float[Tensor, "c h w"]:
    """Unit Gaussian noise on the pixels of a frame, or of a window of it.

    Args:
        size: Height and width, in pixels; pixels are oblong where size and region have different aspects.
        channels: Number of channels; each is independent noise.
        seed: Seed of the noise.
        stream: Number of an independent noise with the same seed, e.g. for a later step of sampling.
        frame: Height and width of the frame in composition units.
        window: Region, as fractions of the frame; `None` is all of it.

    Raises:
        InputError: The region contains places where the noise is not defined.

    Example:
        >>> fine, coarse = noise_field((32, 32), 1, seed=0), noise_field((16, 16), 1, seed=0)
        >>> torch.allclose(fine.reshape(16, 2, 16, 2).mean((1, 3)) * 2, coarse[0], atol=1e-5)
        True
    """
    rows, columns, scale = _edges(size, frame, window)
    sheets = [_sheet(rows, columns, key_of(seed, stream, c)) for c in range(channels)]
    noise = [np.diff(np.diff(sheet, axis=0), axis=1) * scale for sheet in sheets]
    return torch.from_numpy(np.stack(noise)).float()


def finer(coarse: Float[Tensor, "b c h w"], fine: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
    """Unit noise on a finer grid whose area means are the given coarse noise.

    It is white if `coarse` and `fine` are white and independent. The weights of the means are made orthonormal first,
    because those of cells which do not divide each other are not, and the result would not be white.

    Args:
        coarse: Unit noise on the coarse grid of a frame.
        fine: Unit noise on the finer grid of the same frame, of which the part that has no area means is kept.
    """
    rows, columns = (
        _orthonormal(area_weights(n, m)).to(fine) for n, m in zip(fine.shape[2:], coarse.shape[2:], strict=True)
    )
    return fine + rows.mT @ (coarse - rows @ fine @ columns.mT) @ columns


def _orthonormal(rows: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """The orthonormal rows nearest to the given ones: their polar factor."""
    u, _, v = torch.linalg.svd(rows.double(), full_matrices=False)
    return u @ v


def white_noise(size: Size, channels: int, seed: int, stream: int = 0) -> Float[Tensor, "c h w"]:
    """Unit Gaussian noise that is independent for every pixel and size, as in the published system.

    Args:
        size: Height and width, in pixels.
        channels: Number of channels; each is independent noise.
        seed: Seed of the noise.
        stream: Number of an independent noise with the same seed, e.g. for a later step of sampling.
    """
    generator = torch.Generator().manual_seed(seed_of(seed, stream, *size))
    return torch.randn(channels, *size, generator=generator)


def smooth_noise(size: Size, channels: int, seed: int) -> Float[Tensor, "c h w"]:
    """Unit Gaussian noise of single pixels that is much alike over `_ALIKE` of them.

    Networks that invent see it: what they invent within so many pixels is invented together. From white noise they draw
    grit, values that are likely each by itself and not together.

    >>> noise = smooth_noise((40, 50), 2, seed=3)
    >>> noise.shape, bool(noise.diff(dim=2).std() / noise.std() < 0.6)
    (torch.Size([2, 40, 50]), True)

    Args:
        size: Height and width, in pixels.
        channels: Number of channels; each is independent noise.
        seed: Seed of the noise.
    """
    noise = white_noise((size[0] + 2 * (_ALIKE - 1), size[1] + 2 * (_ALIKE - 1)), channels, seed)
    for _ in range(2):
        noise = nn.functional.avg_pool2d(noise, _ALIKE, stride=1)
    return noise * 3 * _ALIKE**3 / (2 * _ALIKE**2 + 1)  # over the standard deviation of means of means


def beside_noise(pictures: Images, channels: int, seeds: Sequence[int]) -> Float[Tensor, "b _ h w"]:
    """Pictures with channels of smooth noise after their own, one seed for each picture.

    Args:
        pictures: Pictures, of any values.
        channels: Channels in all; where the pictures have as many, they are returned as they are.
        seeds: Seeds of the noise.
    """
    (_, own, height, width) = pictures.shape
    if channels == own:
        return pictures
    noise = torch.stack([smooth_noise((height, width), channels - own, seed) for seed in seeds])
    return torch.cat([pictures, noise.to(pictures)], dim=1)


@lru_cache(maxsize=8)  # all seeds of a batch, and the noise of every step, have the same grid
def _edges(size: Size, frame: tuple[float, float], window: Window | None) -> tuple[_Basis, _Basis, float]:
    """Basis functions at the edges of a grid's rows and columns of pixels, and 1 / sqrt(area of a pixel)."""
    grid = view(size, frame, window, fit="stretch")
    rows, columns = (
        _schauder(np.append(points.numpy() - pitch / 2, points.numpy()[-1] + pitch / 2))
        for points, pitch in ((grid.y, grid.cell[0]), (grid.x, grid.cell[1]))
    )
    return rows, columns, 1 / math.sqrt(grid.cell[0] * grid.cell[1])


def _schauder(points: _F64) -> _Basis:
    """Values of the Schauder functions at points along one axis."""
    u = (points + _REACH) / (2 * _REACH)
    if u.min() < 0 or u.max() >= 1:
        raise InputError(f"noise is asked for at {points.min():g} to {points.max():g}; it exists from -2 to 2.")
    names, values = [np.zeros(u.shape, np.uint64)], [u]
    for level in range(_LEVELS):
        scaled = u * 2**level
        index = np.floor(scaled)
        names.append((2**level + index).astype(np.uint64))
        values.append((0.5 - np.abs(scaled - index - 0.5)) * 2 ** (-level / 2))
    leaf = u * 2**_LEVELS
    rest = leaf - np.floor(leaf)
    # rounded so that an edge has one name in spite of rounding errors, and different edges have different names
    names.append(np.round(u * 2**32).astype(np.uint64) + np.uint64(2**60))
    values.append(np.sqrt(rest * (1 - rest)) * 2 ** (-_LEVELS / 2))
    named, which = np.unique(np.stack(names, 1), return_inverse=True)
    return _Basis(named, which.reshape(len(points), -1), np.stack(values, 1) * math.sqrt(2 * _REACH))


def _sheet(rows: _Basis, columns: _Basis, key: np.uint64) -> _F64:
    """Values of the Brownian sheet at every pair of a row's and a column's point."""
    normals = _normals(mix(mix(rows.names ^ key)[:, None] ^ columns.names[None, :]))
    below = np.zeros((len(rows.values), len(columns.names)))
    for index, values in zip(rows.which.T, rows.values.T, strict=True):
        below += values[:, None] * normals[index]
    sheet = np.zeros((len(rows.values), len(columns.values)))
    for index, values in zip(columns.which.T, columns.values.T, strict=True):
        sheet += below[:, index] * values
    return sheet


def _normals(bits: U64) -> _F64:
    """Standard normal numbers, each from 64 bits (Box and Muller 1958). torch computes cosines four times as fast."""
    radius = torch.from_numpy((bits >> np.uint64(32)).astype(np.float64)).div_(2**32).add_(2**-33)
    angle = torch.from_numpy((bits & np.uint64(2**32 - 1)).astype(np.float64)).mul_(2 * math.pi / 2**32)
    normals: _F64 = radius.log_().mul_(-2).sqrt_().mul_(angle.cos_()).numpy()
    return normals
