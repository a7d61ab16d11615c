"""Noise as a field keyed by a seed: a pixel's noise is white noise integrated over its cell, over the cell's root area.

The integral of white noise from a corner is the Brownian sheet B(y, x), a fixed function of seed and place, and a
pixel's noise is its mixed difference: block means of fine noise *are* the coarse noise (times the factor, for unit
variance), for any size, window and ratio. B is expanded in products of Schauder functions (Levy's construction), with
the bridge below the last level drawn per coordinate, so that pixels have exactly unit variance.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from s2id.coords import view
from s2id.errors import InputError
from s2id.linear import area_weights
from s2id.seeds import key_of, mix, seed_of
from s2id.settings import Size, Window

_REACH = 2.0  # noise exists for composition coordinates in [-2, 2)

_LEVELS = 15  # leaves of 4 / 2^15: pixels of frames up to 8192 have at most one edge in a leaf

_U64 = NDArray[np.uint64]

_F64 = NDArray[np.float64]


class _Basis(NamedTuple):
    """Functions at some points, of which few are not zero at each."""

    names: _U64
    """Of all functions that are not zero somewhere."""
    which: NDArray[np.intp]
    """Place in `names` of each point's, (points, functions)."""
    values: _F64
    """Theirs, (points, functions)."""


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
        size: Height and width, in pixels; pixels are as oblong as size and region make them.
        channels: Independent noise fields.
        seed: The field.
        stream: Another independent field of the same seed: a later step's.
        frame: Height and width of the frame in composition units.
        window: Region, as fractions of the frame; `None` is all of it.

    Raises:
        InputError: The region leaves the noise's reach.
    """
    rows, columns, scale = _edges(size, frame, window)
    sheets = [_sheet(rows, columns, key_of(seed, stream, c)) for c in range(channels)]
    noise = [np.diff(np.diff(sheet, axis=0), axis=1) * scale for sheet in sheets]
    return torch.from_numpy(np.stack(noise)).float()


def finer(coarse: Float[Tensor, "b c h w"], fine: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
    """The finer of two unit noises with the coarser in place of its own area means; white if both are, independently.

    The means' weights are made orthonormal, so that cells which do not divide each other keep the noise white.

    Args:
        coarse: On a grid of the same frame.
        fine: On the finer grid.
    """
    rows, columns = (
        _orthonormal(area_weights(n, m)).to(fine) for n, m in zip(fine.shape[2:], coarse.shape[2:], strict=True)
    )
    return fine + rows.mT @ (coarse - rows @ fine @ columns.mT) @ columns


def _orthonormal(rows: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """The nearest rows of length one at right angles: the polar factor."""
    u, _, v = torch.linalg.svd(rows.double(), full_matrices=False)
    return u @ v


def white_noise(size: Size, channels: int, seed: int, stream: int = 0) -> Float[Tensor, "c h w"]:
    """Unit Gaussian noise per pixel, unrelated to any other size's, as published.

    Args:
        size: Height and width, in pixels.
        channels: Independent fields.
        seed: The field.
        stream: Another independent field of the same seed: a later step's.
    """
    generator = torch.Generator().manual_seed(seed_of(seed, stream, *size))
    return torch.randn(channels, *size, generator=generator)


@lru_cache(maxsize=8)  # a batch of seeds, and each step's noise, are on one grid
def _edges(size: Size, frame: tuple[float, float], window: Window | None) -> tuple[_Basis, _Basis, float]:
    """The basis at the edges between a grid's rows and columns of pixels, and one over a pixel's root area."""
    grid = view(size, frame, window, fit="stretch")
    rows, columns = (
        _schauder(np.append(points.numpy() - pitch / 2, points.numpy()[-1] + pitch / 2))
        for points, pitch in ((grid.y, grid.cell[0]), (grid.x, grid.cell[1]))
    )
    return rows, columns, 1 / math.sqrt(grid.cell[0] * grid.cell[1])


def _schauder(points: _F64) -> _Basis:
    """The basis functions that are not zero at each point."""
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
    # coarse enough that an edge has one name however it was computed, fine enough to tell all edges apart
    names.append(np.round(u * 2**32).astype(np.uint64) + np.uint64(2**60))
    values.append(np.sqrt(rest * (1 - rest)) * 2 ** (-_LEVELS / 2))
    named, which = np.unique(np.stack(names, 1), return_inverse=True)
    return _Basis(named, which.reshape(len(points), -1), np.stack(values, 1) * math.sqrt(2 * _REACH))


def _sheet(rows: _Basis, columns: _Basis, key: np.uint64) -> _F64:
    """The Brownian sheet at every row's and column's point."""
    normals = _normals(mix(mix(rows.names ^ key)[:, None] ^ columns.names[None, :]))
    below = np.zeros((len(rows.values), len(columns.names)))
    for index, values in zip(rows.which.T, rows.values.T, strict=True):
        below += values[:, None] * normals[index]
    sheet = np.zeros((len(rows.values), len(columns.values)))
    for index, values in zip(columns.which.T, columns.values.T, strict=True):
        sheet += below[:, index] * values
    return sheet


def _normals(bits: _U64) -> _F64:
    """Standard normals, each from 64 bits (Box and Muller 1958). By torch: its cosine is four times as fast."""
    radius = torch.from_numpy((bits >> np.uint64(32)).astype(np.float64)).div_(2**32).add_(2**-33)
    angle = torch.from_numpy((bits & np.uint64(2**32 - 1)).astype(np.float64)).mul_(2 * math.pi / 2**32)
    normals: _F64 = radius.log_().mul_(-2).sqrt_().mul_(angle.cos_()).numpy()
    return normals
