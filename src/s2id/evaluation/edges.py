"""Measures of the edges of single pictures: how wide they are, and how far straight ones wave.

Pictures have values in [-1, 1]; an edge lies where a picture, averaged over its channels, is 0. Every measure returns
one value per picture in training pixels, NaN where a picture has nothing to measure. `pixel` is the side of a training
pixel in pixels of the picture, as in `image_metrics`.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample

from s2id.evaluation.extras import needs_eval

_MOST_POINTS = 1000  # points of a picture's edges that are measured

_EDGE = 1.2  # least rise of an edge: 0.6 of the range

_TURN = 0.05  # a profile that falls by more has turned back; a smaller fall is noise

_MOST_PIECES = 200  # pieces of a picture's edges that are held against a line

_LENGTH = 6.0  # training pixels of a piece

_REACH = 1.0  # training pixels to either side of a piece's line that hold its edge, and no other

_BEND = 0.1  # training pixels that a straight piece's parabola and cubic may reach together


def edge_width(images: Float[Tensor, "b c h w"], pixel: float) -> Float[Tensor, " b"]:
    """Median width of each picture's edges from 10 to 90 % of their rise, in training pixels.

    A step blurred by a box of width w measures 0.8 w; one blurred by a Gaussian measures 2.563 sigma. The values are
    read along the gradient, through points where the picture, clipped to its range, is 0, up to four training pixels
    to either side or until the values turn back. Edges that rise by less than 0.6 of the range are left out, and so
    are those that still rise at the end. Values between pixels are interpolated linearly, which blurs by a variance of
    1/6 of a squared picture pixel: this adds 3 % to a width of 4 picture pixels, and a sharp step measures at least
    0.8 picture pixels.

    Args:
        images: Pictures; several channels are averaged.
        pixel: Side of a training pixel, in picture pixels.

    Example:
        >>> step = torch.full((1, 1, 64, 64), -1.0)
        >>> step[..., 32:] = 1
        >>> [round(value, 2) for value in edge_width(step, pixel=1.0).tolist()]
        [0.8]
    """
    widths = []
    for image in images.clamp(-1, 1).mean(1).double().cpu():
        points = _zero_crossings(image)
        if not len(points) or min(image.shape) < 2:
            widths.append(float("nan"))
            continue
        points = points[torch.linspace(0, len(points) - 1, min(len(points), _MOST_POINTS)).long()]
        uphill = _uphill(image, points, pixel)
        step = min(pixel / 8, 0.5)
        half = round(4 * pixel / step)
        distance = step * torch.arange(-half, half + 1, dtype=torch.float64)
        profile = _interpolate(image[None], points[:, None] + distance[:, None] * uphill[:, None])[0]
        width = _rise_width(profile[:, half:], -profile[:, : half + 1].flip(1)) * step / pixel
        widths.append(width.nanmedian().item())
    return torch.tensor(widths, dtype=images.dtype, device=images.device)


def waviness(images: Float[Tensor, "b c h w"], pixel: float) -> Float[Tensor, " b"]:
    """Root mean square distance of each picture's straight edges from the lines fitted to them, in training pixels.

    Pieces of six training pixels are read around points of the edges. A piece is straight if every row across it meets
    the edge once, within a training pixel of the line, and if it is bent by at most a tenth of a training pixel: a
    stroke that turns is not meant to be straight, while waves as short as the training pixels are no one's intent.

    Args:
        images: Pictures; several channels are averaged.
        pixel: Side of a training pixel, in picture pixels.

    Example:
        >>> y, x = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
        >>> wave = 0.8 * torch.sin(2 * torch.pi * y / 16)  # of a tenth of a training pixel
        >>> round(waviness((x - 48 - wave).clamp(-1, 1)[None, None], pixel=8.0).item(), 2)
        0.07
    """
    return torch.tensor(
        [_waviness(image, pixel) for image in images.clamp(-1, 1).mean(1).double().cpu()],
        dtype=images.dtype,
        device=images.device,
    )


def _waviness(image: Float[Tensor, "h w"], pixel: float) -> float:
    points = _zero_crossings(image)
    if not len(points) or min(image.shape) < 2:
        return float("nan")
    middle = points[torch.linspace(0, len(points) - 1, min(len(points), _MOST_PIECES)).long()]
    across = _uphill(image, middle, pixel)
    along = pixel * torch.linspace(-_LENGTH / 2, _LENGTH / 2, round(8 * _LENGTH) + 1, dtype=image.dtype)
    place = torch.linspace(-1, 1, len(along), dtype=image.dtype)
    line = torch.stack([place.new_ones(len(place)), place])
    bends = torch.stack([(3 * place**2 - 1) / 2, (5 * place**3 - 3 * place) / 2])  # Legendre polynomials 2 and 3
    for _ in range(2):  # the first line turns the pieces so that they lie along their edges
        offset = _offsets(image, middle, across, along, pixel)
        kept = offset.isfinite().all(1)
        middle, across, offset = middle[kept], across[kept], offset[kept]
        shift, slope = torch.linalg.lstsq(line.T, offset.T).solution
        middle = middle + shift[:, None] * across
        turn = torch.atan(slope / along[-1])[:, None]
        across = across * turn.cos() - _quarter_turn(across) * turn.sin()
    offset = offset - shift[:, None] - slope[:, None] * place
    bent = torch.linalg.lstsq(bends.T, offset.T).solution.abs().sum(0)
    return (offset[bent <= _BEND * pixel].square().mean().sqrt() / pixel).item()


def _zero_crossings(image: Float[Tensor, "h w"]) -> Float[Tensor, "p 2"]:
    points = []
    for axis, count in enumerate(image.shape):
        a, b = image.narrow(axis, 0, count - 1), image.narrow(axis, 1, count - 1)
        cross = (a > 0) != (b > 0)
        place = cross.nonzero().to(image)
        place[:, axis] += a[cross] / (a[cross] - b[cross])
        points.append(place)
    return torch.cat(points)


def _uphill(image: Float[Tensor, "h w"], points: Float[Tensor, "p 2"], pixel: float) -> Float[Tensor, "p 2"]:
    """Direction of the gradient of the smoothed picture: noise would turn that of the picture itself."""
    with needs_eval():
        from scipy import ndimage
    smooth = torch.from_numpy(ndimage.gaussian_filter(image.numpy(), max(0.5 * pixel, 0.7)))
    uphill = _interpolate(torch.stack(torch.gradient(smooth)), points[:, None])[..., 0].T
    return uphill / uphill.norm(dim=1, keepdim=True).clamp(min=1e-12)


def _quarter_turn(direction: Float[Tensor, "p 2"]) -> Float[Tensor, "p 2"]:
    return torch.stack([-direction[:, 1], direction[:, 0]], dim=1)


def _offsets(
    image: Float[Tensor, "h w"],
    middle: Float[Tensor, "p 2"],
    across: Float[Tensor, "p 2"],
    along: Float[Tensor, " s"],
    pixel: float,
) -> Float[Tensor, "p s"]:
    """Distance of the edge from each point of pieces, in picture pixels; NaN where there is not exactly one edge.

    Args:
        image: The picture.
        middle: Middle of each piece.
        across: Unit vector of each piece, towards the brighter side.
        along: Places along the pieces, at a right angle to `across`.
        pixel: Side of a training pixel, in picture pixels.
    """
    step = min(pixel / 8, 0.5)
    reach = round(_REACH * pixel / step)
    distance = step * torch.arange(-reach, reach + 1, dtype=image.dtype)
    points = middle[:, None] + along[:, None] * _quarter_turn(across)[:, None]
    inside = ((points >= 0) & (points <= torch.tensor(image.shape) - 1)).all(-1)
    places = points[:, :, None] + distance[:, None] * across[:, None, None]
    value = _interpolate(image[None], places.flatten(0, 1))[0].unflatten(0, points.shape[:2])
    below, above = value[..., :-1], value[..., 1:]
    rises, falls = (below <= 0) & (above > 0), (below > 0) & (above <= 0)
    once = inside & (rises.sum(-1) == 1) & ~falls.any(-1)
    first = rises.int().argmax(-1, keepdim=True)
    low, high = below.gather(-1, first)[..., 0], above.gather(-1, first)[..., 0]
    offset = distance[first[..., 0]] - step * low / (high - low)
    return offset.where(once, torch.nan)


def _interpolate(maps: Float[Tensor, "c h w"], places: Float[Tensor, "p t 2"]) -> Float[Tensor, "c p t"]:
    # here pixel centres are whole numbers, (y, x); grid_sample wants (x, y) with the picture's edges at -1 and 1
    size = torch.tensor(maps.shape[1:], dtype=places.dtype)
    grid = ((2 * places + 1) / size - 1).flip(-1).reshape(1, 1, -1, 2)
    found = grid_sample(maps[None], grid, padding_mode="border", align_corners=False)
    return found.reshape(len(maps), *places.shape[:-1])


def _rise_width(*sides: Float[Tensor, "p t"]) -> Float[Tensor, " p"]:
    """Width of edges from 10 to 90 % of their rise, in samples, given the rises from their middles to either side.

    NaN where a profile is no edge.
    """
    held = []
    for side in sides:
        turned = (side < side.cummax(1).values - _TURN).cumsum(1) > 0
        held.append(side.where(~turned, -torch.inf).cummax(1).values)
    height = held[0][:, -1] + held[1][:, -1]
    width = torch.zeros_like(height)
    for rise in held:
        level = rise[:, -1] - 0.1 * height
        after = (rise < level[:, None]).sum(1, keepdim=True).clamp(min=1)
        below, above = rise.gather(1, after - 1)[:, 0], rise.gather(1, after)[:, 0]
        width += after[:, 0] - 1 + (level - below) / (above - below)
        still = rise[:, -1] - rise[:, rise.shape[1] * 3 // 4]
        width = width.where((height >= _EDGE) & (still < 0.05 * height), torch.nan)
    return width
