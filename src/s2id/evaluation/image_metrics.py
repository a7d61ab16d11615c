"""Measures of single pictures: fidelity to another picture, topology, noise and layout of the ink.

Pictures have values in [-1, 1] and must be finite (`check_images` refuses others). Every measure returns one value per
picture, NaN where a picture has nothing to measure. `pixel` is the side of a training pixel in pixels of the picture
(1024 / 28 for a 1024x1024 picture of a model of 28x28 ones), so that values of several sizes can be compared.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from s2id.errors import InputError
from s2id.evaluation.extras import needs_eval


def check_images(images: Float[Tensor, "b c h w"]) -> None:
    """Refuse pictures that hold NaN or infinite values.

    Raises:
        InputError: A picture holds such values; the message names the first one.
    """
    broken = (~images.isfinite()).flatten(1).sum(1)
    if broken.any():
        first = int(broken.nonzero()[0])
        raise InputError(
            f"image {first} has {int(broken[first])} values that are NaN or infinite, of {images[first].numel()}, and "
            f"{int((broken > 0).sum())} of {len(images)} images have some; look for the cause before measuring."
        )


def psnr(a: Float[Tensor, "b c h w"], b: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio of each pair of pictures in dB, for values of range 2; infinite for equal pictures.

    Example:
        >>> black = torch.full((1, 1, 4, 4), -1.0)
        >>> [round(value, 2) for value in psnr(black, black + 0.2).tolist()]
        [20.0]
    """
    return 10 * torch.log10(4 / (a - b).square().flatten(1).mean(1))


def ssim(a: Float[Tensor, "b c h w"], b: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Structural similarity of each pair of pictures, for values of range 2; 1 for equal pictures.

    Wang et al. 2004, Eq. 13, with its 11x11 Gaussian window, computed by torchmetrics and averaged over the channels.
    For a picture with a shorter side the window is the largest odd one that fits, and the Gaussian narrows with it.

    Example:
        >>> picture = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0))
        >>> [round(value, 4) for value in ssim(picture, picture).tolist()]
        [1.0]

    Raises:
        InputError: A side is shorter than 3 pixels.
    """
    side = min(a.shape[2:])
    if side < 3:
        raise InputError(f"structural similarity needs sides of at least 3 pixels, and the shorter has {side}.")
    with needs_eval():
        from torchmetrics.functional.image import structural_similarity_index_measure
    half = (min(side, 11) - 1) // 2
    values = structural_similarity_index_measure(a, b, sigma=1.5 * half / 5, data_range=2.0, reduction="none")
    return torch.as_tensor(values).reshape(-1)


def components_and_holes(
    images: Float[Tensor, "b c h w"], threshold: float = 0.0, min_area: float = 0.002
) -> Int[Tensor, "b 2"]:
    """Number of 8-connected parts of the ink of each picture, and number of 4-connected holes that the ink encloses.

    Args:
        images: Pictures of light ink on dark ground; several channels are averaged.
        threshold: Pixels of a higher value are ink.
        min_area: Least area of a part or hole, as a share of the picture; smaller ones are ignored, so that sizes can
            be compared. With the default two pixels of a 28x28 picture count, and one does not.

    Example:
        >>> ring = torch.full((1, 1, 9, 9), -1.0)
        >>> ring[..., 2:7, 2:7] = 1
        >>> ring[..., 4, 4] = -1
        >>> components_and_holes(ring).tolist()
        [[1, 1]]
    """
    with needs_eval():
        from scipy import ndimage
    counts = []
    for ink in (images.mean(1) > threshold).cpu().numpy():
        least = min_area * ink.size
        parts, _ = ndimage.label(ink, structure=np.ones((3, 3)))
        kept = np.bincount(parts.ravel()) >= least
        kept[0] = False
        # a ring of ground around the picture joins all ground that reaches the border into one part
        ground, _ = ndimage.label(np.pad(~kept[parts], 1, constant_values=True))
        holes = np.bincount(ground.ravel()) >= least
        holes[[0, ground[0, 0]]] = False
        counts.append([int(kept.sum()), int(holes.sum())])
    return torch.tensor(counts, dtype=torch.long, device=images.device).reshape(-1, 2)


def power_above(images: Float[Tensor, "b c h w"], cutoff: float) -> Float[Tensor, " b"]:
    """Share of each picture's variance above `cutoff` cycles per picture pixel along y or along x.

    The transform is a cosine transform, which continues a picture by reflection, so that its borders add no jump. The
    channels' powers are added.

    Args:
        images: Pictures.
        cutoff: Frequency in cycles per picture pixel; a training grid holds frequencies below `0.5 / pixel`.

    Example:
        >>> stripes = torch.tensor([-1.0, 1.0]).repeat(32).expand(1, 1, 64, 64)  # half a cycle per pixel
        >>> [round(share, 2) for share in power_above(stripes, 0.25).tolist()]
        [0.99]
    """
    with needs_eval():
        from scipy import fft
    pixels = images.double()
    pixels = pixels - pixels.mean((2, 3), keepdim=True)
    power = torch.from_numpy(fft.dctn(pixels.cpu().numpy(), axes=(2, 3), norm="ortho")).square().sum(1)
    frequency = [torch.arange(n) / (2 * n) for n in images.shape[2:]]
    above = (frequency[0][:, None] > cutoff) | (frequency[1] > cutoff)
    total = power.sum((1, 2))
    share = (power * above).sum((1, 2)) / total
    flat = total < 1e-12 * images[0].numel()  # a constant picture: all power is rounding
    return share.where(~flat, torch.nan).to(images)


def speckle(images: Float[Tensor, "b c h w"], pixel: float) -> Float[Tensor, " b"]:
    """Root mean square of the noise in each picture's flat areas; 0 where they are constant.

    The noise of a pixel is its difference from the mean of a square window that reaches one training pixel to every
    side; white noise of standard deviation s measures s (1 - 1 / n)^(1/2) with n pixels in the window. An area is flat
    where it lies farther than 1.5 training pixels from every slope, and a slope is where the picture, smoothed by a
    Gaussian of one training pixel, changes by a tenth of the range per training pixel. A training pixel smaller than
    a picture pixel counts as one picture pixel.

    Args:
        images: Pictures; a slope in any channel counts, and the mean is taken over all channels.
        pixel: Side of a training pixel, in picture pixels.
    """
    with needs_eval():
        from scipy import ndimage
    reach = max(pixel, 1.0)
    window = 2 * round(reach) + 1
    values = []
    for image in images.double().cpu().numpy():
        slopes = [ndimage.gaussian_filter(image, (0, reach, reach), order) for order in ((0, 1, 0), (0, 0, 1))]
        steep = (np.hypot(*slopes) > 0.2 / reach).any(0)
        flat = ndimage.maximum_filter(steep.astype(np.uint8), 2 * round(1.5 * reach) + 1) == 0
        noise = image - ndimage.uniform_filter(image, (1, window, window))
        values.append(float(np.sqrt(np.square(noise[:, flat]).mean())) if flat.any() else float("nan"))
    return torch.tensor(values, dtype=images.dtype, device=images.device)


def ink_aspect(images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Standard deviation of the ink's position along y divided by that along x; 1 for a disk.

    A pixel's ink is its difference from the median of the border's pixels, averaged over the channels; a difference of
    less than a twentieth of the range counts as none.
    """
    ink = _ink(images)
    mass = ink.sum((1, 2))
    spreads = []
    for axis, other in ((1, 2), (2, 1)):
        share = ink.sum(other) / mass[:, None]
        place = torch.arange(ink.shape[axis], dtype=ink.dtype, device=ink.device)
        centre = (share * place).sum(1, keepdim=True)
        spreads.append((share * (place - centre).square()).sum(1) + 1 / 12)  # a pixel's ink fills its cell
    return (spreads[0] / spreads[1]).sqrt().to(images.dtype)


def border_ink(images: Float[Tensor, "b c h w"], width: float = 0.02) -> Float[Tensor, " b"]:
    """Share of each picture's ink that lies in a strip along its border; ink is defined as in `ink_aspect`.

    Args:
        images: Pictures.
        width: Width of the strip, as a share of the side's length. A pixel that the strip's edge crosses counts in
            part, so that sizes can be compared.
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
    """Distance of each picture's worst value from the range, as a share of the range; 0 if all values lie within.

    Example:
        >>> overshoot(torch.tensor([-1.0, 0.0, 1.5]).reshape(1, 1, 1, 3)).tolist()
        [0.25]
    """
    values = images.flatten(1)
    beyond = torch.maximum(values.amax(1) - high, low - values.amin(1))
    return beyond.clamp(min=0) / (high - low)


def _ink(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
    pixels = images.double()
    ends = torch.cat([pixels[..., [0, -1], :].flatten(2), pixels[..., [0, -1]].flatten(2)], dim=2)
    ink = (pixels - ends.median(2).values[..., None, None]).abs().mean(1) / 2
    return ink.where(ink > 0.05, 0.0)
