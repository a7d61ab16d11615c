"""What pictures are measured by: closeness of two sets, diversity, topology, sharpness, noise, layout.

Pictures are in [-1, 1] and finite (`check_images` says so); what measures single pictures returns one value for each,
NaN where there is nothing to measure. `pixel` is the side of a training pixel in the picture's pixels (1024 / 28), so
that sizes can be compared. Features come from any network. Needs the `eval` extra.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import grid_sample

from s2id.errors import InputError
from s2id.evaluation.set_metrics import _extra

_MOST_POINTS = 1000  # of a picture's edges

_EDGE = 1.2  # least height of an edge: 0.6 of the range

_TURN = 0.05  # a fall of more ends a rise; less is noise


def check_images(images: Float[Tensor, "b c h w"]) -> None:
    """Refuse pictures that hold NaN or infinite values.

    Raises:
        InputError: One does; the first is named.
    """
    broken = (~images.isfinite()).flatten(1).sum(1)
    if broken.any():
        first = int(broken.nonzero()[0])
        raise InputError(
            f"image {first} has {int(broken[first])} values that are NaN or infinite, of {images[first].numel()}, and "
            f"{int((broken > 0).sum())} of {len(images)} images have some; look for the cause before measuring."
        )


def psnr(a: Float[Tensor, "b c h w"], b: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio of each pair in dB, for a range of 2; infinite for equal pictures."""
    return 10 * torch.log10(4 / (a - b).square().flatten(1).mean(1))


def ssim(a: Float[Tensor, "b c h w"], b: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Structural similarity of each pair, for a range of 2; 1 for equal pictures, mean over the channels.

    Wang et al. 2004, Eq. 13, with its 11x11 Gaussian window, by torchmetrics; a picture with a shorter side has the
    largest odd window that fits, and the Gaussian narrows with it.

    Raises:
        InputError: A side is shorter than 3 pixels.
    """
    side = min(a.shape[2:])
    if side < 3:
        raise InputError(f"structural similarity needs sides of at least 3 pixels, and the shorter has {side}.")
    with _extra():
        from torchmetrics.functional.image import structural_similarity_index_measure
    half = (min(side, 11) - 1) // 2
    values = structural_similarity_index_measure(a, b, sigma=1.5 * half / 5, data_range=2.0, reduction="none")
    return torch.as_tensor(values).reshape(-1)


def components_and_holes(
    images: Float[Tensor, "b c h w"], threshold: float = 0.0, min_area: float = 0.002
) -> Int[Tensor, "b 2"]:
    """Number of ink's 8-connected parts, and of the 4-connected parts of the ground that it encloses.

    Args:
        images: Pictures with light ink; of several channels, their mean is looked at.
        threshold: What is above is ink.
        min_area: Parts and holes of a smaller share of the picture are ignored, so that sizes can be compared: two
            pixels at 28x28 count, one does not.
    """
    with _extra():
        from scipy import ndimage
    counts = []
    for ink in (images.mean(1) > threshold).cpu().numpy():
        least = min_area * ink.size
        parts, _ = ndimage.label(ink, structure=np.ones((3, 3)))
        kept = np.bincount(parts.ravel()) >= least
        kept[0] = False
        # a ring of ground around the picture makes one part of all that reaches the border
        ground, _ = ndimage.label(np.pad(~kept[parts], 1, constant_values=True))
        holes = np.bincount(ground.ravel()) >= least
        holes[[0, ground[0, 0]]] = False
        counts.append([int(kept.sum()), int(holes.sum())])
    return torch.tensor(counts, dtype=torch.long, device=images.device).reshape(-1, 2)


def edge_width(images: Float[Tensor, "b c h w"], pixel: float) -> Float[Tensor, " b"]:
    """Median width of the edges between 10 and 90 % of their height, in training pixels.

    0.8 w after a box blur of w, 2.563 sigma after a Gaussian one. Profiles run along the gradient through points where
    the picture, clipped to its range, is 0, up to four training pixels each way or until they turn back. Edges that
    rise by less than 0.6 of the range, or are still rising there, do not count. Values are interpolated linearly
    between pixels, which adds a blur of variance 1/6 of a squared picture pixel: 3 % to a width of 4 picture pixels,
    and a sharp step measures 0.8 of one or more.

    Args:
        images: Pictures; of several channels, their mean is looked at.
        pixel: Side of a training pixel, in picture pixels.
    """
    with _extra():
        from scipy import ndimage
    widths = []
    for image in images.clamp(-1, 1).mean(1).double().cpu():
        points = _zero_crossings(image)
        if not len(points) or min(image.shape) < 2:
            widths.append(float("nan"))
            continue
        points = points[torch.linspace(0, len(points) - 1, min(len(points), _MOST_POINTS)).long()]
        # the slope of a smoothed picture has a straight edge's direction, whatever the noise
        smooth = torch.from_numpy(ndimage.gaussian_filter(image.numpy(), max(0.5 * pixel, 0.7)))
        uphill = _interpolate(torch.stack(torch.gradient(smooth)), points[:, None])[..., 0].T
        uphill = uphill / uphill.norm(dim=1, keepdim=True).clamp(min=1e-12)
        step = min(pixel / 8, 0.5)
        half = round(4 * pixel / step)
        distance = step * torch.arange(-half, half + 1, dtype=torch.float64)
        profile = _interpolate(image[None], points[:, None] + distance[:, None] * uphill[:, None])[0]
        width = _rise_width(profile[:, half:], -profile[:, : half + 1].flip(1)) * step / pixel
        widths.append(width.nanmedian().item())
    return torch.tensor(widths, dtype=images.dtype, device=images.device)


def power_above(images: Float[Tensor, "b c h w"], cutoff: float) -> Float[Tensor, " b"]:
    """Share of a picture's variance at more than `cutoff` cycles per picture pixel along y or along x.

    Pictures are continued by reflection (a cosine transform), so borders add no jump. What a training grid can hold is
    below 0.5 / pixel on both axes. The channels' powers are added.
    """
    with _extra():
        from scipy import fft
    pixels = images.double()
    pixels = pixels - pixels.mean((2, 3), keepdim=True)
    power = torch.from_numpy(fft.dctn(pixels.cpu().numpy(), axes=(2, 3), norm="ortho")).square().sum(1)
    frequency = [torch.arange(n) / (2 * n) for n in images.shape[2:]]
    above = (frequency[0][:, None] > cutoff) | (frequency[1] > cutoff)
    total = power.sum((1, 2))
    share = (power * above).sum((1, 2)) / total
    flat = total < 1e-12 * images[0].numel()  # nothing but rounding
    return share.where(~flat, torch.nan).to(images)


def speckle(images: Float[Tensor, "b c h w"], pixel: float) -> Float[Tensor, " b"]:
    """Root mean square of what varies within three training pixels, where the picture should be flat; 0 if it is.

    That is the difference from the mean of a square window, out to one training pixel each way; white noise of standard
    deviation s gives s (1 - 1 / n)^(1/2) with n pixels in it. Flat is what lies farther than 1.5 training pixels from
    any slope: from where the picture, smoothed by a Gaussian of one training pixel, changes by a tenth of the range per
    training pixel. A training pixel counts as one picture pixel where it is smaller.

    Args:
        images: Pictures; a slope of any channel counts, and all channels' residuals are taken together.
        pixel: Side of a training pixel, in picture pixels.
    """
    with _extra():
        from scipy import ndimage
    reach = max(pixel, 1.0)
    window = 2 * round(reach) + 1
    values = []
    for image in images.double().cpu().numpy():
        slopes = [ndimage.gaussian_filter(image, (0, reach, reach), order) for order in ((0, 1, 0), (0, 0, 1))]
        steep = (np.hypot(*slopes) > 0.2 / reach).any(0)
        flat = ndimage.maximum_filter(steep.astype(np.uint8), 2 * round(1.5 * reach) + 1) == 0
        residual = image - ndimage.uniform_filter(image, (1, window, window))
        values.append(float(np.sqrt(np.square(residual[:, flat]).mean())) if flat.any() else float("nan"))
    return torch.tensor(values, dtype=images.dtype, device=images.device)


def ink_aspect(images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Standard deviation of the ink along y over that along x, from its second moments; 1 for a disk.

    Ink is what differs from the border's median by more than a twentieth of the range; of several channels, their mean.
    """
    ink = _ink(images)
    mass = ink.sum((1, 2))
    spreads = []
    for axis, other in ((1, 2), (2, 1)):
        density = ink.sum(other) / mass[:, None]
        place = torch.arange(ink.shape[axis], dtype=ink.dtype, device=ink.device)
        centre = (density * place).sum(1, keepdim=True)
        spreads.append((density * (place - centre).square()).sum(1) + 1 / 12)  # a pixel's ink fills its cell
    return (spreads[0] / spreads[1]).sqrt().to(images.dtype)


def border_ink(images: Float[Tensor, "b c h w"], width: float = 0.02) -> Float[Tensor, " b"]:
    """Share of the ink within `width` of a side's length from that side's ends; ink as in `ink_aspect`.

    Pixels that the strip's edge crosses count in part, so sizes can be compared.
    """
    ink = _ink(images)
    inside = []
    for count in ink.shape[1:]:
        place = torch.arange(count, dtype=ink.dtype, device=ink.device)
        low, high = place.clamp(min=width * count), (place + 1).clamp(max=(1 - width) * count)
        inside.append((high - low).clamp(min=0))
    within = torch.einsum("bhw,h,w->b", ink, *inside)
    return (1 - within / ink.sum((1, 2))).clamp(min=0).to(images.dtype)


def overshoot(images: Float[Tensor, "b c h w"], low: float = -1.0, high: float = 1.0) -> Float[Tensor, " b"]:
    """How far a picture's worst value lies outside the range, as a share of the range; 0 if none does."""
    values = images.flatten(1)
    beyond = torch.maximum(values.amax(1) - high, low - values.amin(1))
    return beyond.clamp(min=0) / (high - low)


def _zero_crossings(image: Float[Tensor, "h w"]) -> Float[Tensor, "p 2"]:
    points = []
    for axis, count in enumerate(image.shape):
        a, b = image.narrow(axis, 0, count - 1), image.narrow(axis, 1, count - 1)
        cross = (a > 0) != (b > 0)
        place = cross.nonzero().to(image)
        place[:, axis] += a[cross] / (a[cross] - b[cross])
        points.append(place)
    return torch.cat(points)


def _interpolate(maps: Float[Tensor, "c h w"], places: Float[Tensor, "p t 2"]) -> Float[Tensor, "c p t"]:
    # pixel centres are whole numbers here, (y, x); grid_sample wants (x, y), edges at -1 and 1
    size = torch.tensor(maps.shape[1:], dtype=places.dtype)
    grid = ((2 * places + 1) / size - 1).flip(-1).reshape(1, 1, -1, 2)
    found = grid_sample(maps[None], grid, padding_mode="border", align_corners=False)
    return found.reshape(len(maps), *places.shape[:-1])


def _rise_width(*sides: Float[Tensor, "p t"]) -> Float[Tensor, " p"]:
    """Samples from 10 to 90 % of an edge, given both of its sides as rises from its middle; NaN where it is no edge."""
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


def _ink(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
    pixels = images.double()
    ends = torch.cat([pixels[..., [0, -1], :].flatten(2), pixels[..., [0, -1]].flatten(2)], dim=2)
    ink = (pixels - ends.median(2).values[..., None, None]).abs().mean(1) / 2
    return ink.where(ink > 0.05, 0.0)
