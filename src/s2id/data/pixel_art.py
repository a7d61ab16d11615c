"""Whether pictures look like pixel art, and the few colours that they then consist of.

Pixel art has hard edges and few colours. An edge is hard if no pixel on it has a colour between those of its two
neighbours, as an antialiased edge has. `runs/pixel_art.py` measures both numbers on several kinds of pictures.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from s2id.data.pictures import Pictures
from s2id.media.palette import MOST, to_hex

_SOFT = 0.2
"""Share of soft edges up to which edges are hard. Pixel art and nearest-neighbour reductions of icons and line drawings
have 0 to 0.094, antialiased icons, line drawings, glyphs and digits 0.407 to 0.448: 0.2 is their geometric mean."""

_FEW = 64
"""Colours of a picture, in the median, up to which pictures have few. Pixel art and those reductions have 2 to 47."""

_COVERED = 0.999
"""Share of all pixels that a palette's colours make up; rarer colours are left out of it."""

_PIXELS = 2**21
"""About as many pixels are looked at, in pictures from the whole data set."""


def palette_of(pictures: Pictures) -> tuple[str, ...] | None:
    """Colours of the pictures, as `Card.palette` lists them, if they look like pixel art; else `None`.

    The palette is empty if it would have more than 256 colours.

    >>> squares = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    >>> squares[:, 0, 2:6, 2:6] = 255
    >>> from s2id.data.source import pictures
    >>> palette_of(pictures(squares))
    ('#000000', '#ff0000')
    """
    soft, colours, count, places = 0, [], [], 0
    for images in _some(pictures):
        codes = _codes(images)
        counted = torch.tensor([len(code.unique()) for code in codes])
        few, edges = soft_edges(images)
        soft, places = soft + few, places + edges
        count.append(counted)
        colours.append(codes.flatten())
    if places == 0 or soft > _SOFT * places or torch.cat(count).median() > _FEW:
        return None
    values, often = torch.cat(colours).unique(return_counts=True)
    order = often.argsort(descending=True, stable=True)
    share = often[order].cumsum(0) / often.sum()
    kept = int((share < _COVERED).sum()) + 1
    if kept > MOST:
        return ()
    codes = values[order[:kept]].sort().values
    channels = [codes >> 8 * k & 255 for k in reversed(range(pictures.channels))]
    return to_hex(torch.stack(channels, dim=1).to(torch.uint8))


def soft_edges(images: UInt8[Tensor, "n c h w"]) -> tuple[int, int]:
    """Number of soft edges, and of all edges, that the two neighbours of a pixel in its row or column form.

    An edge is where the neighbours differ; it is soft where the pixel differs from both and lies between them in every
    channel.
    """
    soft = edges = 0
    for axis in (axis for axis in (2, 3) if images.shape[axis] > 2):
        low, middle, high = (images.narrow(axis, k, images.shape[axis] - 2) for k in range(3))
        edge = (low != high).any(1)
        inside = ((middle >= low.minimum(high)) & (middle <= low.maximum(high))).all(1)
        soft += int((edge & inside & (middle != low).any(1) & (middle != high).any(1)).sum())
        edges += int(edge.sum())
    return soft, edges


def _some(pictures: Pictures) -> Iterator[UInt8[Tensor, "n c h w"]]:
    """Pictures from the whole data set, a batch per group; premultiplied, invisible pixels have one colour."""
    in_all = sum(len(group.labels) * group.images.shape[2] * group.images.shape[3] for group in pictures.groups)
    stride = max(1, round(in_all / _PIXELS))
    for group in pictures.groups:
        yield torch.as_tensor(group.images[::stride])


def _codes(images: UInt8[Tensor, "n c h w"]) -> Int[Tensor, "n p"]:
    """Every pixel's colour as one number."""
    codes = torch.zeros(len(images), *images.shape[2:], dtype=torch.long)
    for plane in images.unbind(1):
        codes = codes * 256 + plane
    return codes.flatten(1)
