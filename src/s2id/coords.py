"""Coordinates of pixels: centres, cells, windows, and the sizes of diffusion states.

A model composes a *frame*. In composition units the frame's longer side spans [-0.5, 0.5], and the unit is the same on
both axes, so a circle stays a circle. In box units each axis spans [-0.5, 0.5], so a coordinate tells how far the edges
are. A coordinate is the (y, x) of a pixel's centre; a point of the scene has one coordinate at all picture sizes.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from s2id.checks import shown
from s2id.errors import InputError
from s2id.settings import AnySize, Fit, Size, Window

_MOST_SIDE = 2**40
"""Largest number of pixels along a side, at any limit of the pixels in all."""

Part = tuple[slice, slice]
"""A rectangle of samples: the slice of its rows and the slice of its columns."""


@dataclass(frozen=True)
class Grid:
    """Pixel centres of a picture in composition units; a pixel lies at its row's y and its column's x."""

    y: Float[Tensor, " h"]
    """Coordinate of each row."""
    x: Float[Tensor, " w"]
    """Coordinate of each column."""
    cell: tuple[float, float]
    """Distance between neighbouring rows and between neighbouring columns."""

    @property
    def size(self) -> Size:
        """Height and width, in pixels."""
        return len(self.y), len(self.x)

    @property
    def coords(self) -> Float[Tensor, "h w 2"]:
        """Coordinates (y, x) of every pixel."""
        return torch.stack(torch.meshgrid(self.y, self.x, indexing="ij"), dim=-1)

    def refine(self, factor: int) -> "Grid":
        """Grid with every pixel split into `factor` x `factor` pixels; their mean coordinate is that of the pixel."""
        cy, cx = self.cell[0] / factor, self.cell[1] / factor
        offset = torch.arange(factor, dtype=self.y.dtype, device=self.y.device) - (factor - 1) / 2
        y = (self.y[:, None] + cy * offset).flatten()
        x = (self.x[:, None] + cx * offset).flatten()
        return Grid(y, x, (cy, cx))

    def part(self, rows: slice, columns: slice) -> "Grid":
        """Grid of a slice of the rows and a slice of the columns."""
        return Grid(self.y[rows], self.x[columns], self.cell)

    def to(self, device: torch.device) -> "Grid":
        """The same grid on another device."""
        return Grid(self.y.to(device), self.x.to(device), self.cell)


def slices(whole: slice, most: int) -> list[slice]:
    """A slice cut into parts of at most so many entries.

    >>> slices(slice(2, 7), most=3)
    [slice(2, 5, None), slice(5, 7, None)]
    """
    return [slice(first, min(first + most, whole.stop)) for first in range(whole.start, whole.stop, most)]


def check_size(size: Size) -> None:
    """Refuse a size with an empty side, or one that no picture has.

    Raises:
        InputError: A side is less than one pixel, or absurdly long.
    """
    if min(size) < 1:
        raise InputError(f"size {size[0]}x{size[1]} is empty; both sides must be at least 1 pixel.")
    _check_most(size)


def _check_most(size: AnySize) -> None:
    """Refuse a side so long that floats and messages may not hold it."""
    if max(map(abs, (size,) if isinstance(size, int) else size)) > _MOST_SIDE:
        raise InputError(f"size {shown(size)} is beyond any picture; both sides can have {_MOST_SIDE:,} pixels.")


def check_pixels(size: Size, most: int, pictures: int = 1, more: str = " or raise max_pixels") -> None:
    """Refuse pictures of more than `most` pixels together, before anything is allocated.

    Args:
        size: Height and width of a picture.
        most: Pixels of all pictures together, at most.
        pictures: Number of pictures.
        more: What else can be done than to choose a smaller size, for the message.

    Raises:
        InputError: They have more pixels.
    """
    if (pixels := size[0] * size[1] * pictures) > most:
        raise InputError(
            f"size {size[0]}x{size[1]} has {pixels:,} pixels{f' in {pictures} pictures' if pictures > 1 else ''} and "
            f"the limit is {most:,}; choose a smaller size{more}."
        )


def whole_size(size: AnySize, frame: tuple[float, float] = (1.0, 1.0), window: Window | None = None) -> Size:
    """Height and width of a picture of which perhaps only the long side is given.

    Args:
        size: Height and width in pixels, which are kept; or the long side alone.
        frame: Height and width of the frame that the picture shows, in any unit.
        window: Region of the frame that the picture shows; `None` is the whole frame.

    Raises:
        InputError: A side is absurdly long.

    >>> whole_size(1024, frame=(9.0, 16.0)), whole_size((5, 7), frame=(9.0, 16.0))
    ((576, 1024), (5, 7))
    """
    _check_most(size)
    if not isinstance(size, int):
        return size
    top, left, bottom, right = window or (0.0, 0.0, 1.0, 1.0)
    sides = frame[0] * (bottom - top), frame[1] * (right - left)
    if not min(sides) > 0:
        return size, size  # `view` refuses such a window
    # neither side is empty, unless the size is
    height, width = (max(min(1, size), round(size * side / max(sides))) for side in sides)
    return height, width


def extent(size: Size) -> tuple[float, float]:
    """Height and width of a frame in composition units; the longer of the two is 1.

    >>> extent((30, 40))
    (0.75, 1.0)
    """
    long = max(size)
    return size[0] / long, size[1] / long


def cell(size: Size) -> float:
    """Distance between neighbouring pixels in composition units, for a picture of a whole frame."""
    return 1 / max(size)


def centres(count: int, pitch: float, middle: float = 0.0) -> Float[Tensor, " n"]:
    """`count` points that lie `pitch` apart around `middle`, in float64 because deep zooms need the digits."""
    return middle + pitch * (torch.arange(count, dtype=torch.float64) - (count - 1) / 2)


def frame_grid(size: Size) -> Grid:
    """Grid of a picture that shows a whole frame of the same aspect."""
    check_size(size)
    pitch = cell(size)
    return Grid(centres(size[0], pitch), centres(size[1], pitch), (pitch, pitch))


def pixel_coords(size: Size) -> Float[Tensor, "h w 2"]:
    """Composition coordinates (y, x) of pixel centres; the longer side spans [-0.5, 0.5].

    >>> pixel_coords((1, 2))
    tensor([[[ 0.0000, -0.2500],
             [ 0.0000,  0.2500]]], dtype=torch.float64)
    """
    return frame_grid(size).coords


def box_coords(size: Size) -> Float[Tensor, "h w 2"]:
    """Box coordinates (y, x) of pixel centres; both sides span [-0.5, 0.5]."""
    return pixel_coords(size) / torch.tensor(extent(size), dtype=torch.float64)


def view(
    size: Size,
    frame: tuple[float, float] = (1.0, 1.0),
    window: Window | None = None,
    fit: Fit = "fit",
) -> Grid:
    """Grid of a picture that shows a frame, or a window of it.

    Args:
        size: Height and width of the picture, in pixels.
        frame: Height and width of the frame, in composition units.
        window: Region to show, as fractions of the frame. `None` shows the whole frame.
        fit: What to do if the region and the picture have different aspects. `"fit"` shows the whole region and canvas
            beyond it, `"fill"` shows less of the region, `"stretch"` makes pixels oblong.

    Raises:
        InputError: The size is empty, the window is inverted or leaves the frame, or `fit` is unknown.

    >>> view((28, 28), window=(0.0, 0.0, 0.5, 0.5)).cell == (0.5 / 28, 0.5 / 28)
    True
    """
    check_size(size)
    top, left, bottom, right = window or (0.0, 0.0, 1.0, 1.0)
    if not (0 <= top < bottom <= 1 and 0 <= left < right <= 1):
        raise InputError(
            f"window {top:g},{left:g},{bottom:g},{right:g} is no region of the frame; give "
            "top,left,bottom,right with 0 <= top < bottom <= 1 and 0 <= left < right <= 1."
        )
    pitch_y, pitch_x = frame[0] * (bottom - top) / size[0], frame[1] * (right - left) / size[1]
    if fit == "fit":
        pitch_y = pitch_x = max(pitch_y, pitch_x)
    elif fit == "fill":
        pitch_y = pitch_x = min(pitch_y, pitch_x)
    middle_y = frame[0] * ((top + bottom) / 2 - 0.5)
    middle_x = frame[1] * ((left + right) / 2 - 0.5)
    return Grid(centres(size[0], pitch_y, middle_y), centres(size[1], pitch_x, middle_x), (pitch_y, pitch_x))


def state_size(density: int, frame: tuple[float, float] = (1.0, 1.0), multiple: int = 1) -> Size:
    """Height and width of the diffusion state of a frame.

    Args:
        density: Samples along the longer side.
        frame: Height and width of the frame, in any unit.
        multiple: Both sides are rounded to a positive multiple of this, which is the network's patch.

    >>> state_size(20, frame=(0.75, 1.0), multiple=2)
    (16, 20)
    """
    scale = density / max(frame) / multiple
    return max(1, round(frame[0] * scale)) * multiple, max(1, round(frame[1] * scale)) * multiple


def trained_size(size: Size, density: int, patch: int, factor: int = 1) -> Size:
    """Height and width of the diffusion state of training pictures: neither side has more samples than the picture.

    Args:
        size: Height and width of the pictures, in pixels.
        density: Samples along the longer side, if the pictures have as many.
        patch: Samples per side of a token.
        factor: Pixels per side of the finest allowed sample: 1, or the factor of an autoencoder.
    """
    most = [side // factor // patch * patch for side in size]
    fitting = max(patch, min(density, max(size) // factor) // patch * patch)
    height, width = state_size(fitting, extent(size), patch)
    return min(height, most[0]), min(width, most[1])
