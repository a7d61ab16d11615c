"""Beading: how the width and the tone of straight strokes vary along them.

A straight bar is the plainest stroke, and its truth is known exactly: bars of many angles and sub-pixel places are
drawn in the data's own colours at the data's size, read by the model, and measured on the function that it returns.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from s2id.data.pictures import Pictures
from s2id.inverse.consistent import consistent
from s2id.inverse.restore import reconstructed
from s2id.media.alpha import covered
from s2id.media.images import resize, to_float
from s2id.sampling.model import S2ID
from s2id.settings import Size
from s2id.shapes import Images, Scalars

FINE = 8
"""Rendered pixels along the side of a data pixel, for strokes: their widths are integrals, which are exact."""

_REACH = 3.0  # data pixels to either side of a stroke that hold all of its ink

_LENGTH = 8.0  # data pixels of a stroke that are measured

_MARGIN = 2.0  # data pixels by which a stroke must go on at both ends: its ends are no beads

_ANGLES = 16  # directions in which strokes are drawn, and looked for

_GOLDEN = (math.sqrt(5) - 1) / 2  # multiples of it, modulo 1, fill the unit interval evenly

_INK = 0.5  # least ink, as a share of a picture's most, along the whole core of a stroke


@dataclass(frozen=True)
class Beading:
    """Variation along straight strokes, mean over the strokes; NaN where there is none."""

    tone: float
    """Standard deviation of the tone in the middle of the stroke, in per cent of the contrast of ink and ground."""
    width: float
    """Standard deviation of the width, which is the ink across the stroke over the contrast, in data pixels."""
    tone_error: float = math.nan
    """Mean distance of the tone from the truth, in per cent of the contrast; NaN where the truth is unknown."""
    width_error: float = math.nan
    """Mean distance of the width from the truth, in data pixels."""


def beading(model: S2ID, pictures: Pictures, width: float = 2.0, upscaled: bool = False) -> Beading:
    """Variation of straight bars that a model reads, against their truth.

    Args:
        model: A model whose states are pictures and that returns functions.
        pictures: Data whose most common colour along the border is the ground, and whose most common colour far from
            that is the ink.
        width: Width of the bars, in data pixels.
        upscaled: Whether the bars are enlarged as `s2id.upscale` does, or the function is taken as it is read.
    """
    size = model.card.size or pictures.size
    ground, ink = (colour[:, None, None] for colour in colours(pictures))
    drawn = bars(size, width)
    given = ground + resize(drawn, size) * (ink - ground)
    found = reconstructed(model, given).render((size[0] * FINE, size[1] * FINE)).cpu()
    if upscaled:
        found = covered(consistent(found, given))
    contrast = ink - ground
    return _summary(_profiles(((found - ground) * contrast).sum(1) / contrast.square().sum()), width)


def found_beading(pictures: Images, size: Size) -> Beading:
    """Variation along the straight strokes that are found in pictures, at most one in each.

    A stroke is straight ink over the measured length and a margin at both ends, with bare ground on both sides. Its
    tone is relative to its own mean, and a steady change along it is no beading.

    Args:
        pictures: Pictures of at least `FINE` pixels per data pixel.
        size: Height and width at the data's density.
    """
    fine = resize(pictures, (size[0] * FINE, size[1] * FINE))
    border = torch.cat([fine[..., 0, :], fine[..., -1, :], fine[..., 0], fine[..., -1]], dim=-1)
    ink = (fine - border.median(-1).values[..., None, None]).square().sum(1).sqrt()
    strokes = [stroke for one in ink if (stroke := _straightest(one)) is not None]
    return _summary(torch.stack(strokes)) if strokes else Beading(math.nan, math.nan)


def bars(size: Size, width: float) -> Float[Tensor, "n 1 h w"]:
    """Ink, from 0 to 1, of a straight bar per angle, at `FINE` pixels per data pixel; each has a sub-pixel place.

    Args:
        size: Height and width, in data pixels.
        width: Width of the bars, in data pixels.
    """
    along, across = _places(size)
    length = 0.7 * min(size)
    near = [(side / 2 - place.abs()) * FINE + 0.5 for side, place in ((length, along), (width, across))]
    return (near[0].clamp(0, 1) * near[1].clamp(0, 1))[:, None]


def colours(pictures: Pictures) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """The most common colour along the borders of pictures, and the most common one of those far from it."""
    images = max(pictures.groups, key=lambda group: len(group.labels)).images
    edges = torch.cat([images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1]], dim=-1)
    ground = _most_common(edges.movedim(1, -1).flatten(0, -2))
    every = images.movedim(1, -1).flatten(0, -2)
    distance = (every.float() - ground).square().sum(1)
    ink = _most_common(every[distance >= 0.64 * distance.max()])  # 0.8 of the largest distance
    return to_float(ground), to_float(ink)


def _most_common(values: UInt8[Tensor, "n c"]) -> UInt8[Tensor, " c"]:
    found, counts = values.unique(dim=0, return_counts=True)
    return found[counts.argmax()]


def _places(size: Size) -> tuple[Float[Tensor, "n h w"], Float[Tensor, "n h w"]]:
    """Place of each fine pixel along and across the bar of each angle, in data pixels from the bar's middle."""
    y, x = ((torch.arange(side * FINE) + 0.5) / FINE - side / 2 for side in size)
    turn = torch.arange(_ANGLES)[:, None, None]
    angle, shift = torch.pi * turn / _ANGLES, (turn * _GOLDEN) % 1 - 0.5
    sin, cos = angle.sin(), angle.cos()
    return cos * y[:, None] + sin * x, cos * x - sin * y[:, None] - shift


def _profiles(ink: Float[Tensor, "n h w"]) -> Float[Tensor, "n length across"]:
    """Ink across the bars of `bars`, resampled so that every row crosses its bar at a right angle."""
    sides = torch.tensor(ink.shape[1:]) / FINE
    s, r = (torch.arange(round(2 * reach * FINE)) / FINE - reach + 0.5 / FINE for reach in (_LENGTH / 2, _REACH))
    turn = torch.arange(len(ink))[:, None, None]
    angle, shift = torch.pi * turn / _ANGLES, (turn * _GOLDEN) % 1 - 0.5
    across = r + shift
    y, x = (angle.cos() * s[:, None] - angle.sin() * across, angle.sin() * s[:, None] + angle.cos() * across)
    place = torch.stack([2 * x / sides[1], 2 * y / sides[0]], dim=-1)
    return F.grid_sample(ink[:, None], place, align_corners=False)[:, 0]


def _straightest(ink: Float[Tensor, "h w"]) -> Float[Tensor, "length across"] | None:
    """Ink across the straightest stroke of a picture, row by row along it; `None` if there is no stroke."""
    turned = _turned(ink)
    margin, reach = round(_MARGIN * FINE), round(_REACH * FINE)
    window = round(_LENGTH * FINE) + 2 * margin
    if turned.shape[1] <= window or turned.shape[2] <= 2 * reach:
        return None
    least, most = -_most_along(-turned, window), _most_along(turned, window)
    bare = torch.maximum(most[..., : -2 * reach], most[..., 2 * reach :])
    score = least[..., reach:-reach] - bare
    best = int(score.argmax())
    if not score.flatten()[best] > _INK * ink.max():
        return None
    which, top, left = (int(i) for i in torch.unravel_index(torch.tensor(best), score.shape))
    stroke = turned[which, top + margin : top + window - margin, left : left + 2 * reach]
    return stroke / _core(stroke[None])[0].mean()


def _most_along(values: Float[Tensor, "n h w"], window: int) -> Float[Tensor, "n h2 w"]:
    """Largest value of every `window` neighbouring rows, from windows that double in length."""
    rows = 1
    while 2 * rows <= window:
        values, rows = torch.maximum(values[:, :-rows], values[:, rows:]), 2 * rows
    more = window - rows
    return torch.maximum(values[:, :-more], values[:, more:]) if more else values


def _turned(ink: Float[Tensor, "h w"]) -> Float[Tensor, "n h w"]:
    """A picture turned about its middle by every angle; ground fills its corners."""
    h, w = ink.shape
    angle = torch.pi * torch.arange(_ANGLES) / _ANGLES
    sin, cos = angle.sin(), angle.cos()
    rows = torch.stack([cos, sin * h / w, 0 * sin, -sin * w / h, cos, 0 * sin], dim=1).reshape(-1, 2, 3)
    places = F.affine_grid(rows, [_ANGLES, 1, h, w], align_corners=False)
    return F.grid_sample(ink.expand(_ANGLES, 1, h, w), places, align_corners=False)[:, 0]


def _core(strokes: Float[Tensor, "n length across"]) -> Float[Tensor, "n length"]:
    """Tone in the middle of each row of strokes: mean ink within a quarter of a data pixel of the centroid."""
    place = (torch.arange(strokes.shape[2]) + 0.5) / FINE
    ink = strokes.clamp(min=0)
    middle = (ink * place).sum(-1) / ink.sum(-1)
    near = ((0.25 - (place - middle[..., None]).abs()) * FINE + 0.5).clamp(0, 1)
    return (strokes * near).sum(-1) / near.sum(-1)


def _summary(strokes: Float[Tensor, "n length across"], width: float = math.nan) -> Beading:
    """Variation along strokes whose ink is 1, and distance from the truth where their width is given."""
    tone, wide = _core(strokes), strokes.sum(-1) / FINE
    known = not math.isnan(width)
    return Beading(
        tone=100 * _unsteady(tone).mean().item(),
        width=_unsteady(wide).mean().item(),
        tone_error=100 * (tone - 1).abs().mean().item() if known else math.nan,
        width_error=(wide - width).abs().mean().item(),
    )


def _unsteady(values: Float[Tensor, "n length"]) -> Scalars:
    """Standard deviation of each row about the straight line through it."""
    place = torch.linspace(-1, 1, values.shape[1])
    slope = (values * place).sum(1) / place.square().sum()
    return (values - slope[:, None] * place).std(1, correction=0)
