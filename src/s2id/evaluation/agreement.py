"""Agreement of the pictures of one size with the same seeds' pictures at the data's size."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from s2id.evaluation import image_metrics
from s2id.evaluation.likeness import share_equal
from s2id.evaluation.report import Agreement
from s2id.evaluation.samples import Samples, as_saved, frame_part
from s2id.media.images import resize
from s2id.settings import Size
from s2id.shapes import Images

_ZOOM = (0.25, 0.25, 0.75, 0.75)


@dataclass(frozen=True)
class Layout:
    """Where each picture's ink lies: measures that need no second picture."""

    topology: Int[Tensor, "n 2"]
    """Number of parts, and of holes."""
    aspect: Float[Tensor, " n"]
    """Height of the ink divided by its width."""
    border: Float[Tensor, " n"]
    """Share of the ink along the picture's border."""

    @classmethod
    def of(cls, framed: Images, whole: Float[Tensor, "b c y x"]) -> "Layout":
        """The layout of pictures, of which `framed` shows the frame alone and `whole` the canvas around it too."""
        return cls(
            image_metrics.components_and_holes(framed),
            image_metrics.ink_aspect(whole),
            image_metrics.border_ink(whole),
        )

    @classmethod
    def cat(cls, parts: "list[Layout]") -> "Layout":
        """Several batches' layouts as one."""
        columns = zip(*((part.topology, part.aspect, part.border) for part in parts), strict=True)
        return cls(*(torch.cat(column) for column in columns))


@dataclass(frozen=True)
class BasePictures:
    """The pictures at the data's size, with which every other size is compared."""

    images: Images
    classes: Int[Tensor, " n"] | None
    layout: Layout

    @property
    def size(self) -> Size:
        """Height and width of the pictures."""
        return self.images.shape[2], self.images.shape[3]


def agreement(
    pictures: Images, classes: Int[Tensor, " n"] | None, layout: Layout, zoom_psnr: float, base: BasePictures
) -> Agreement:
    """The measures of agreement between two sizes of the same samples.

    Args:
        pictures: Pictures of the size to measure, resized to at most the examiner's size.
        classes: Class that the judge assigns to each of them; `None` without a judge of classes.
        layout: Layout of the ink at the size to measure.
        zoom_psnr: Median PSNR of a zoom at that size, from `zoom`.
        base: The pictures at the data's size.
    """
    common = coarser(pictures, base.size)
    here, there = resize(pictures, common), resize(base.images, common)
    psnr = image_metrics.psnr(here, there)
    return Agreement(
        psnr=psnr.median().item(),
        psnr_worst=psnr.min().item(),
        ssim=image_metrics.ssim(here, there).median().item(),
        same_class=share_equal(classes, base.classes),
        same_topology=(layout.topology == base.layout.topology).all(1).float().mean().item(),
        zoom_psnr=zoom_psnr,
        aspect=(layout.aspect / base.layout.aspect).nanmedian().item(),
        border=(layout.border - base.layout.border).nanmean().item(),
    )


def zoom(samples: Samples, size: Size, base: BasePictures) -> float:
    """Median PSNR in dB of a window rendered at a size, against the same part of the pictures at the data's size.

    NaN for a dense model, whose pictures are not defined between their pixels.
    """
    if samples.model.config.dense:
        return math.nan
    height, width = base.size
    top, left, bottom, right = (round(share * side) for share, side in zip(_ZOOM, 2 * base.size, strict=True))
    part = base.images[..., top:bottom, left:right]
    window = (top / height, left / width, bottom / height, right / width)  # whole pixels of the data's size
    shown = samples.frame[0] * (bottom - top) / height, samples.frame[1] * (right - left) / width
    values: list[Tensor] = []
    done = 0
    for pictures in samples.at(size, window):
        rows, columns = frame_part(size, shown, samples.config.fit)
        zoomed = as_saved(pictures)[..., rows, columns]
        common = coarser(zoomed, (part.shape[2], part.shape[3]))
        values.append(image_metrics.psnr(resize(zoomed, common), resize(part[done : done + len(zoomed)], common)))
        done += len(zoomed)
        if done >= samples.config.detail:
            break
    return torch.cat(values).median().item()


def coarser(pictures: Images, size: Size) -> Size:
    """Height and width of the pictures or of a size, whichever is smaller on each axis."""
    return min(pictures.shape[2], size[0]), min(pictures.shape[3], size[1])
