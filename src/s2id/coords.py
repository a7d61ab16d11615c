"""Where pixels are: centres, cells, windows, jitter.

The frame is what a model composes. In *composition* units its longer side spans [-0.5, 0.5] and the unit
is the same on both axes, so a circle stays a circle; in *box* units each axis spans [-0.5, 0.5], so edges
are known. Coordinates are (y, x) of pixel *centres*: one point of the scene has one coordinate at any size.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from s2id.errors import InputError
from s2id.settings import Fit, Size, Window

Part = tuple[slice, slice]
"""Rows and columns of samples, each from a start to a stop."""


@dataclass(frozen=True)
class Grid:
    """Pixel centres of a picture: every row's y with every column's x, in composition units."""

    y: Float[Tensor, " h"]
    x: Float[Tensor, " w"]
    cell: tuple[float, float]
    """Pixel pitch along y and x."""

    @property
    def size(self) -> Size:
        """Height and width, in pixels."""
        return len(self.y), len(self.x)

    @property
    def coords(self) -> Float[Tensor, "h w 2"]:
        """(y, x) of every pixel."""
        return torch.stack(torch.meshgrid(self.y, self.x, indexing="ij"), dim=-1)

    def refine(self, factor: int) -> "Grid":
        """The grid with every pixel split into `factor` x `factor`; its block means are this grid."""
        cy, cx = self.cell[0] / factor, self.cell[1] / factor
        offset = torch.arange(factor, dtype=self.y.dtype, device=self.y.device) - (factor - 1) / 2
        y = (self.y[:, None] + cy * offset).flatten()
        x = (self.x[:, None] + cx * offset).flatten()
        return Grid(y, x, (cy, cx))

    def part(self, rows: slice, columns: slice) -> "Grid":
        """The grid of some rows and columns."""
        return Grid(self.y[rows], self.x[columns], self.cell)

    def to(self, device: torch.device) -> "Grid":
        """The grid on a device."""
        return Grid(self.y.to(device), self.x.to(device), self.cell)


def check_size(size: Size) -> None:
    """Refuse a size that is not a picture's.

    Raises:
        InputError: A side is less than one pixel.
    """
    if min(size) < 1:
        raise InputError(f"size {size[0]}x{size[1]} is empty; both sides must be at least 1 pixel.")


def extent(size: Size) -> tuple[float, float]:
    """Height and width of a frame in composition units; the longer is 1."""
    long = max(size)
    return size[0] / long, size[1] / long


def cell(size: Size) -> float:
    """Pixel pitch of a whole frame in composition units."""
    return 1 / max(size)


def centres(count: int, pitch: float, middle: float = 0.0) -> Float[Tensor, " n"]:
    """`count` points `pitch` apart around `middle`, in float64 (zooms need the digits)."""
    return middle + pitch * (torch.arange(count, dtype=torch.float64) - (count - 1) / 2)


def frame_grid(size: Size) -> Grid:
    """The pixels of a whole frame of that size."""
    check_size(size)
    pitch = cell(size)
    return Grid(centres(size[0], pitch), centres(size[1], pitch), (pitch, pitch))


def pixel_coords(size: Size) -> Float[Tensor, "h w 2"]:
    """Composition coordinates (y, x) of pixel centres; the longer side spans [-0.5, 0.5]."""
    return frame_grid(size).coords


def box_coords(size: Size) -> Float[Tensor, "h w 2"]:
    """Box coordinates (y, x) of pixel centres; each side spans [-0.5, 0.5]."""
    return pixel_coords(size) / torch.tensor(extent(size), dtype=torch.float64)


def corner_coords(size: Size, box: bool = False) -> Float[Tensor, "h w 2"]:
    """Coordinates that run from the first centre to the last: those of the longer side are at -0.5 and 0.5.

    As published, and a defect: one point of the scene has another coordinate at every size.

    Args:
        size: Height and width, in pixels.
        box: Each side, not the longer only, spans [-0.5, 0.5].
    """
    check_size(size)
    pitches = (1 / max(1, (side if box else max(size)) - 1) for side in size)
    y, x = (centres(side, pitch) for side, pitch in zip(size, pitches, strict=True))
    return torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1)


def view(
    size: Size,
    frame: tuple[float, float] = (1.0, 1.0),
    window: Window | None = None,
    fit: Fit = "fit",
) -> Grid:
    """The pixels of a picture that looks at a frame, or at a window of it.

    Args:
        size: Height and width of the picture.
        frame: Height and width of the frame in composition units.
        window: Region looked at; `None` is the whole frame.
        fit: What to do where the aspects differ. `"fit"` shows all of the region and canvas beyond it,
            `"fill"` fills the picture and shows less of the region, `"stretch"` makes pixels oblong.

    Raises:
        InputError: The size is empty or the window is inverted or leaves the frame.
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
    elif fit != "stretch":
        raise InputError(f"fit {fit!r} is unknown; choose fit, fill or stretch.")
    middle_y = frame[0] * ((top + bottom) / 2 - 0.5)
    middle_x = frame[1] * ((left + right) / 2 - 0.5)
    return Grid(centres(size[0], pitch_y, middle_y), centres(size[1], pitch_x, middle_x), (pitch_y, pitch_x))


def state_size(density: int, frame: tuple[float, float] = (1.0, 1.0), multiple: int = 1) -> Size:
    """Size of the state of a frame: `density` samples along the longer side.

    Args:
        density: Samples along the longer side.
        frame: Height and width of the frame, in any unit.
        multiple: Both sides are rounded to a multiple of this (a network's patch), at least one.
    """
    scale = density / max(frame) / multiple
    return max(1, round(frame[0] * scale)) * multiple, max(1, round(frame[1] * scale)) * multiple


def trained_size(size: Size, density: int, patch: int, factor: int = 1) -> Size:
    """Size of the state of pictures of a size: the density's where they have as many samples, on neither side more.

    Args:
        size: Height and width of the pictures.
        density: Samples along the longer side.
        patch: Samples per token side.
        factor: Pixels per sample's side where none is to be finer: 1, or an autoencoder's.
    """
    most = [side // factor // patch * patch for side in size]
    fitting = max(patch, min(density, max(size) // factor) // patch * patch)
    height, width = state_size(fitting, extent(size), patch)
    return min(height, most[0]), min(width, most[1])


def jitter(
    coords: Float[Tensor, "h w 2"], std: tuple[float, float], generator: torch.Generator | None = None
) -> Float[Tensor, "h w 2"]:
    """Coordinates displaced by independent Gaussian noise.

    Args:
        coords: (y, x), in any unit.
        std: Standard deviation along y and x in that unit; the published recipe has half a pixel, 1 / (2 max(h, w))
            in composition units and 1 / (2 h), 1 / (2 w) in box units.
        generator: Source of randomness; `None` is torch's own.
    """
    noise = torch.randn(coords.shape, generator=generator, dtype=coords.dtype, device=coords.device)
    return coords + noise * torch.tensor(std, dtype=coords.dtype, device=coords.device)
