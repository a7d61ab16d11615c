"""Enlarging with the network made for it: tile by tile at the picture's own pixels, then means over those set right.

The network is local, so a tile with as many pixels around as its features depend on is drawn as in the whole picture,
and nothing but the result grows with the picture. Where a picture is flat the function is too, and not evaluated. The
correction is local as well: inside each given pixel, values move
towards the lightest or the darkest around in proportion to how far they are from it. What lies there already stays, so
flat areas do, and borders move. It needs whole pixels in each given one; other sizes are area means of such a picture.
"""

from itertools import product

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from s2id.coords import Grid, Part, centres, slices
from s2id.diffusion.noise import beside_noise
from s2id.media.alpha import has_alpha, in_channels
from s2id.media.images import resize
from s2id.memory import keep_memory
from s2id.network.enlarger import Enlarger, agreeing, extremes
from s2id.network.heads import MARGIN, Features
from s2id.settings import Size
from s2id.shapes import Images

TILE = 512
"""Given pixels along a side of a tile, at most. The network also computes those around, so small ones cost more, and
large ones need memory: three quarters of a gigabyte at this size."""

_PIECE = 4
"""Given pixels along a side of the pieces of a tile that the head draws: it needs few feature samples for each, and
many are flat."""

_AT_ONCE = 2**22
"""Interpolated features of the pieces that are drawn at once: enough for torch to share among its threads."""

_VALUES = 6
"""Values along a side of a given pixel that are drawn, at least, before their mean is corrected: of fewer, a border's
place is not known so well. Where a given pixel gets as many pixels as it has feature samples, or a multiple, one value
for each pixel is enough: the values then lie where the samples do."""

_SMALL = 4
"""Number of times below which a size that is no multiple is the mean of a picture twice as fine as it need be."""


def enlarge(
    network: Enlarger, pictures: Images, size: Size, exact: bool = True, seed: int = 0
) -> Float[Tensor, "b _ height width"]:
    """Pictures enlarged; their means over the given pixels are those, as far as the colours around allow.

    At a size that is no multiple of the given one, this holds of the function before its means over pixels are taken.

    Args:
        network: The network.
        pictures: Grey or RGB, with alpha or without, premultiplied, in [-1, 1]. The result has the same channels.
        size: Height and width of the result, no smaller than the pictures.
        exact: Whether means over the given pixels are set right.
        seed: Of the noise of a network that sees noise: each shows another of the pictures that may have been. One
            seed shows the same at every size.
    """
    given = in_channels(pictures, 4)
    times = _times(size[0], given.shape[2]), _times(size[1], given.shape[3])
    seen = beside_noise(given, network.config.state_channels, [seed] * len(given))
    found = resize(drawn(network, seen, *times, exact=exact), size)
    colours, alpha = found[:, :3], found[:, 3:]
    if pictures.shape[1] < 3:
        colours = colours.mean(1, keepdim=True)
    return torch.cat([colours, alpha], dim=1) if has_alpha(pictures.shape[1]) else colours


def _times(pixels: int, given: int) -> int:
    """Pixels in each given one along an axis, so that there are at least so many in all."""
    times = -(-pixels // given)
    return 2 * times if pixels % given and times <= _SMALL else times


@torch.inference_mode()
def drawn(
    network: Enlarger, seen: Float[Tensor, "b _ h w"], down: int, across: int, tile: int = TILE, exact: bool = True
) -> Float[Tensor, "b 4 height width"]:
    """RGBA pictures with whole pixels in each given one, drawn and corrected tile by tile.

    Where the tiles lie makes no difference.

    Args:
        network: The network.
        seen: RGBA pictures, with the channels of noise that the network sees beside them.
        down: Pixels in each given one along y.
        across: The same along x.
        tile: Given pixels along a side of a tile, at most.
        exact: Whether means over the given pixels are set right.
    """
    keep_memory()
    given = seen[:, : network.config.channels]
    height, width = given.shape[2:]
    result = given.new_empty(*given.shape[:2], height * down, width * across)
    logsnr = torch.zeros(len(given), device=given.device)
    ends = torch.stack([given, *extremes(given, 1)])
    for rows, columns in product(slices(slice(0, height), tile), slices(slice(0, width), tile)):
        around = _with((rows, columns), network.reach + MARGIN, (height, width))
        features = network.encode(seen, logsnr, part=around).tokens
        found = _pieces(network, features, around, (rows, columns), ends, (down, across), exact)
        result[:, :, rows.start * down : rows.stop * down, columns.start * across : columns.stop * across] = found
    return result


def _pieces(
    network: Enlarger,
    features: Float[Tensor, "b fy fx d"],
    seen: Part,
    part: Part,
    ends: Float[Tensor, "3 b c h w"],
    times: Size,
    exact: bool,
) -> Float[Tensor, "b c height width"]:
    """Part of the pictures, from features of a larger part: where they are not flat, in pieces, many at once."""
    lattice = network.config.lattice
    (ys, rows), (xs, columns) = (
        _places(own, all_, lattice, side) for own, all_, side in zip(part, seen, ends.shape[3:], strict=True)
    )
    near = ends[:, :, :, ys.flatten()][..., xs.flatten()]
    found = near[0].repeat_interleave(times[0], 2).repeat_interleave(times[1], 3)
    finer = tuple(-(-_VALUES // n) if exact and n % lattice else 1 for n in times)
    size = _PIECE * times[0], _PIECE * times[1]
    into = found.unflatten(2, (-1, size[0])).unflatten(4, (-1, size[1])).permute(0, 2, 4, 1, 3, 5)
    near = near.unflatten(3, ys.shape).unflatten(5, xs.shape).permute(0, 1, 3, 5, 2, 4, 6)
    spans = features[..., -network.config.channels :].amax(-1)
    busy = spans[:, rows[:, None, :, None], columns[:, None]].amax((3, 4)).nonzero()
    frame = rows.shape[1] / lattice, columns.shape[1] / lattice  # in given pixels, from here on
    cells = [1 / (n * more) for n, more in zip(times, finer, strict=True)]
    y, x = (centres(round(_PIECE / cell), cell) for cell in cells)
    grid = Grid(y, x, (cells[0], cells[1])).to(features.device)
    few = max(1, _AT_ONCE // (len(y) * len(x) * features.shape[-1]))
    for some in busy.split(few) if len(busy) else ():
        b, i, j = some.T
        read = features[b[:, None, None], rows[i][:, :, None], columns[j][:, None]]
        values = network.head(Features(read, frame), grid, bound=1.0)
        into[b, i, j] = F.avg_pool2d(agreeing(values, *near[:, b, i, j]), finer) if exact else values
    return found[:, :, : (part[0].stop - part[0].start) * times[0], : (part[1].stop - part[1].start) * times[1]]


def _places(own: slice, seen: slice, lattice: int, side: int) -> tuple[Int[Tensor, "n _"], Int[Tensor, "n _"]]:
    """Along one axis: the given pixels of each piece, and the feature samples that it needs; edges are repeated.

    Args:
        own: Pixels to cut into pieces.
        seen: Pixels that there are features of.
        lattice: Feature samples in each pixel.
        side: Pixels of the picture.
    """
    starts = torch.arange(own.start, own.stop, _PIECE)[:, None]
    around = -(-MARGIN // lattice)  # pixels that have as many samples as a spline needs
    samples = torch.arange((_PIECE + 2 * around) * lattice) + (starts - around - seen.start) * lattice
    return (starts + torch.arange(_PIECE)).clamp(max=side - 1), samples.clamp(0, (seen.stop - seen.start) * lattice - 1)


def _with(part: Part, around: int, size: Size) -> Part:
    """A part of a picture with as many more pixels on each side as there are."""
    rows, columns = (
        slice(max(0, axis.start - around), min(side, axis.stop + around)) for axis, side in zip(part, size, strict=True)
    )
    return rows, columns
