"""Pictures of a function that is smoother than their pixels: polynomials through few exact values, in checked blocks.

Between neighbouring feature samples the function is two layers of a cubic polynomial. Each such square is a block. A
block whose values are not foretold by every other one of them is halved; where pixels then are as dense as the values,
all are computed. Blocks lie on a lattice of the function, so a pixel does not depend on the window, tile or batch.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from s2id.coords import Grid
from s2id.media.alpha import covered
from s2id.network.heads import CACHED, Features, FieldHead, spline_weights
from s2id.sampling.field_file import Head

_ORDER = 8  # of the polynomials along each axis; those that check them have half of it

_FEWEST = 12  # pixels along a side of the smallest blocks; up to twice as many

_TOLERANCE = 1 / 255
"""Largest error of a checking polynomial at the nodes: half a grey level. The drawn one has twice its order."""

_SHARP = 16 / 255
"""Error of a block beside which all pixels are computed: an edge may reach past the nodes of the next block."""

_BEFORE, _NEAR = 2, 6  # feature samples before a block, and in all, on which its values depend

_CLOSEST = 2.0**40  # pixels per feature sample, up to which doubles tell their places apart

Read = tuple[Int[Tensor, " n"], Float[Tensor, "n _ near"]]
"""Along one axis: the feature sample before each block, and at places in it the weights of the samples around."""


def draw(head: Head, features: Features, grid: Grid, bound: float) -> Float[Tensor, "b c h w"]:
    """The pixels that `head(features, grid, bound=bound)` computes, to within half a grey level, where that is cheaper.

    Args:
        head: The layers.
        features: The function.
        grid: Pixels, anywhere.
        bound: Largest absolute value of the function.
    """
    halvings = _halvings(features, grid)
    if halvings < 0 or not isinstance(head, FieldHead):
        return head(features, grid, bound=bound)
    y, x = (_Axis(place.clamp(-2, count + 1), width, halvings) for place, width, count in features.axes(grid))
    function = _Function(head, features.values, bound)
    nodes, unknown = _fitted(function, y, x)
    rows = torch.cat([nodes[:, :, :, j] @ reader.to(nodes).mT for j, reader in enumerate(x.readers())], dim=-1)
    picture = torch.cat([reader.to(nodes) @ rows[:, :, i] for i, reader in enumerate(y.readers())], dim=-2)
    picture = function.bounded(picture, -3)
    if len(left := unknown.nonzero()):
        which, i, j = left.T
        (ys, down), (xs, across) = y.pixels(i), x.pixels(j)
        exact = function.bounded(function(which, down, across), 1)
        picture[which[:, None, None], :, ys[:, :, None], xs[:, None, :]] = exact.permute(0, 2, 3, 1)
    return picture


def values_per_pixel(head: Head, features: Features, grid: Grid) -> int:
    """Values that `draw` holds for every pixel of a grid, about."""
    if isinstance(head, FieldHead) and _halvings(features, grid) >= 0:
        return 8 * head.channels * len(features.values)
    return features.supersample(grid.cell) ** 2 * features.values.shape[-1] * len(features.values)


def _halvings(features: Features, grid: Grid) -> int:
    """How often blocks may be halved for a grid's pixels; -1 where computing every pixel is cheaper."""
    fewest = min(1 / width for _, width, _ in features.axes(grid))
    if not features.values.is_cpu or not _FEWEST <= fewest * (1 + 1e-9) <= _CLOSEST:
        return -1
    return math.floor(math.log2(fewest / _FEWEST) + 1e-9)


def _fitted(
    function: "_Function", y: "_Axis", x: "_Axis"
) -> tuple[Float[Tensor, "b c y x p q"], Bool[Tensor, "b y x"]]:
    """Values at the nodes of the smallest blocks, and which of the blocks these do not describe."""
    count, channels = len(function.samples), function.head.channels
    coarse = _lagrange(_nodes(), _ORDER // 2).to(function.samples)
    halves = torch.stack([_lagrange((_nodes() + i) / 2) for i in range(2)]).to(function.samples)
    shape = len(y.blocks(0)), len(x.blocks(0))
    nodes = function.samples.new_empty(count, channels, *shape, _ORDER + 1, _ORDER + 1)
    error = torch.full((count, *shape), torch.inf)
    for level in range(y.halvings + 1):
        rows, columns = y.blocks(level), x.blocks(level)
        if level:
            i, j = (part // 2 - part[0] // 2 for part in (rows, columns))
            nodes = halves[rows % 2][:, None] @ nodes[:, :, i][:, :, :, j] @ halves[columns % 2].mT
            error = error[:, i][:, :, j]
        which, i, j = (error > _TOLERANCE).nonzero().T
        values = function(which, y.nodes(rows, level, i), x.nodes(columns, level, j))
        nodes[which, :, i, j] = values
        foretold = coarse @ values[..., ::2, ::2] @ coarse.mT
        off = (function.bounded(foretold, 1) - function.bounded(values, 1)).abs().amax(dim=(1, 2, 3))
        error[which, i, j] = off.float().nan_to_num(torch.inf)
    beside = F.max_pool2d(error, 3, stride=1)
    return nodes[:, :, 1:-1, 1:-1], (error[:, 1:-1, 1:-1] > _TOLERANCE) | (beside > _SHARP)


@dataclass(frozen=True)
class _Function:
    """The function before it is clipped, at places in blocks."""

    head: FieldHead
    samples: Float[Tensor, "b h w d"]
    bound: float

    def __call__(self, which: Int[Tensor, " n"], down: Read, across: Read) -> Float[Tensor, "n c p q"]:
        """Values in some blocks, at the places that lie `down` and `across`; `which` is the function of each block."""
        near = torch.arange(_NEAR) - _BEFORE
        height, width, d = self.samples.shape[1:]
        few = max(1, CACHED // (down[1].shape[1] * across[1].shape[1] * d))
        values = [self.samples.new_empty(0, down[1].shape[1], across[1].shape[1], self.head.channels)]
        for b, y, rows, x, columns in zip(*(part.split(few) for part in (which, *down, *across)), strict=True):
            y, x = (y[:, None] + near).clamp(0, height - 1), (x[:, None] + near).clamp(0, width - 1)
            read = rows.to(self.samples) @ self.samples[b[:, None, None], y[:, :, None], x[:, None, :]].flatten(2)
            values.append(self.head.values(columns.to(read)[:, None] @ read.unflatten(2, (_NEAR, d))))
        return torch.cat(values).movedim(-1, 1)

    def bounded(self, values: Float[Tensor, "..."], channels: int) -> Float[Tensor, "..."]:
        """Values within the range of pictures; `channels` is their axis."""
        return covered(values.clamp(-self.bound, self.bound), channels)


@dataclass(frozen=True)
class _Axis:
    """The rows or the columns of a picture, and the blocks that they lie in."""

    place: Float[Tensor, " n"]
    """Middle of each pixel, in units of feature samples."""
    width: float
    """Width of the pixels, in units of feature samples."""
    halvings: int

    def blocks(self, level: int) -> Int[Tensor, " m"]:
        """The blocks that have been halved so often, with one of the smallest around; block 0 begins at sample 0."""
        first, last = (math.floor(self.place[end] * 2**self.halvings) for end in (0, -1))
        return torch.arange(first - 1 >> self.halvings - level, (last + 1 >> self.halvings - level) + 1)

    def nodes(self, blocks: Int[Tensor, " m"], level: int, some: Int[Tensor, " n"]) -> Read:
        """What the nodes of some of the blocks depend on."""
        samples = blocks >> level
        return samples[some], self._weights((blocks[:, None] + _nodes()) / 2**level, samples[:, None])[some]

    def pixels(self, some: Int[Tensor, " n"]) -> tuple[Int[Tensor, "n p"], Read]:
        """The pixels of some of the smallest blocks, the last repeated in smaller ones, and what they depend on."""
        samples = self.place.floor().long()
        first, last = self._edges[some], self._edges[some + 1] - 1
        own = torch.minimum(first[:, None] + torch.arange(int((last - first).max()) + 1), last[:, None])
        return own, (samples[first], self._weights(self.place, samples)[own])

    def readers(self) -> tuple[Float[Tensor, "p q"], ...]:
        """Matrices from the nodes of each of the smallest blocks to its pixels."""
        place = self.place * 2**self.halvings
        return _lagrange(place - place.floor()).split(self._edges.diff().tolist())

    @cached_property
    def _edges(self) -> Int[Tensor, " edges"]:
        """The first pixel of each of the smallest blocks, and the number of all pixels."""
        blocks = self.blocks(self.halvings)[1:-1]
        own = (self.place * 2**self.halvings).floor().long()
        return torch.searchsorted(own, torch.cat([blocks, blocks[-1:] + 1]))

    def _weights(self, place: Float[Tensor, "*n"], sample: Int[Tensor, "..."]) -> Float[Tensor, "*n near"]:
        """Weights of the samples around places, of which each lies between `sample` and the next."""
        within = place - sample + _BEFORE
        return spline_weights(within.flatten(), self.width, _NEAR).unflatten(0, within.shape)


def _nodes(order: int = _ORDER) -> Float[Tensor, " q"]:
    """Extrema of a Chebyshev polynomial, on [0, 1]; every other one is an extremum of that of half the order."""
    return (1 - torch.linspace(0, math.pi, order + 1, dtype=torch.float64).cos()) / 2


def _lagrange(place: Float[Tensor, " n"], order: int = _ORDER) -> Float[Tensor, "n q"]:
    """Matrix from values at the nodes to those at places on the polynomial through them."""
    nodes, same = _nodes(order), torch.eye(order + 1, dtype=torch.bool)
    ratios = (place[:, None, None] - nodes) / (nodes[:, None] - nodes).masked_fill(same, 1)
    return ratios.masked_fill(same, 1).prod(dim=-1)
