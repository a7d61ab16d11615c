"""Training on pixelated views of the pictures, means over large cells, only. Theory: docs/pixelate.md.

A state is the view from the place of no shift, A x; the network predicts x itself, at the pictures' own resolution. A
is linear, so the mean of a prediction over a state's cells is the expected state: sampling composes states and reads x
out of the last. What lies between a state's samples is learned from views elsewhere: only x explains them all.
"""

import math
from dataclasses import dataclass, replace
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from s2id.data.pictures import Pictures
from s2id.errors import InputError
from s2id.linear import box_weights
from s2id.media.images import resize
from s2id.network.settings import ModelConfig
from s2id.shapes import Images
from s2id.training.settings import SMALLEST, Pixelation, Preset

_RIDGE = 0.05
"""Regulariser of the correction, on the scale of a pattern's visibility, which is 1 for one that views show in full.
Corrections of patterns that are less visible than this are not magnified to their full size."""


@dataclass(frozen=True)
class PixelatedViews:
    """Means over cells of a batch of pictures, each picture seen from several places of its own."""

    values: Float[Tensor, "v b c y x"]
    """Means, for each of v views of a picture."""
    rows: Float[Tensor, "v b 1 y h"]
    """Weights of the pixel rows in the cells: a view of x is `rows @ x @ columns^T`."""
    columns: Float[Tensor, "v b 1 x w"]
    """Weights of the pixel columns in the cells."""
    weight: Float[Tensor, "v b 1 1 1"]
    """Weight of each view in a correction: the number of pixels in one of its cells."""
    pixelation: Pixelation

    def __call__(self, x: Images) -> Float[Tensor, "v b c y x"]:
        """Views A x of other pictures from the same places."""
        return self.rows @ x @ self.columns.mT

    def transpose(self, y: Float[Tensor, "v b c y x"]) -> Images:
        """The transpose A^T y of the views: `(A x) . y = x . (A^T y)`."""
        return (self.rows.mT @ y @ self.columns).sum(0)

    def correct(self, x: Images) -> Images:
        """The target of a prediction: `x + (M + ridge)^-1 A^T (values - A x)`.

        M is the mean of `A^T A` over all places and lenses, taken along each axis separately. It is scaled so that a
        pattern that views show in full has the value 1 in M. The squared distance of x to the target has the gradient
        of `|A x - values|^2`, but all patterns that views show are learned at about the same pace: without the
        inverse, fine patterns, which every view shows faintly, would be learned last. If `values` are views of x, the
        target is x.

        Args:
            x: Prediction of the network.
        """
        projected = self.transpose(self.weight * (self.values - self(x))) / len(self.values)
        (rows, down), (columns, across) = (visibility(side, self.pixelation) for side in x.shape[2:])
        down, across, share = down.to(x), across.to(x), (rows[:, None] * columns).to(x)
        return x + down @ (down.mT @ projected @ across / (share + _RIDGE)) @ across.mT

    def to(self, device: torch.device) -> "PixelatedViews":
        """The views on a device."""
        values, rows, columns, weight = (
            part.to(device) for part in (self.values, self.rows, self.columns, self.weight)
        )
        return PixelatedViews(values, rows, columns, weight, self.pixelation)


def pixelated(x: Images, pixelation: Pixelation, views: int, generator: torch.Generator) -> PixelatedViews:
    """Views of pictures from places, and through lenses, that are drawn for each picture.

    Places differ by whole pixels of the pictures: cells then hold whole pixels, and a view is exact for any function
    whose means over pixels the pictures are.

    Args:
        x: Pictures.
        pixelation: Cells and blur of the views.
        views: Views per picture.
        generator: Source of randomness.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> pixelated(torch.ones(1, 1, 8, 8), Pixelation("area", 4), 2, generator).values.shape
        torch.Size([2, 1, 1, 3, 3])
    """
    cells = torch.tensor([cell for cell, _ in pixelation.lenses])
    lens = torch.randint(len(cells), (views, len(x)), generator=generator)
    places = torch.ones_like(lens) if pixelation.still else cells[lens]
    rows, columns = (
        all_cell_weights(side, pixelation)[lens, (torch.rand(lens.shape, generator=generator) * places).long()][
            :, :, None
        ]
        for side in x.shape[2:]
    )
    weight = cells[lens].square()[..., None, None, None]
    return PixelatedViews(rows.to(x) @ x @ columns.mT.to(x), rows.to(x), columns.to(x), weight.to(x), pixelation)


@cache
def all_cell_weights(side: int, pixelation: Pixelation) -> Float[Tensor, "lens place y side"]:
    """`cell_weights` of all lenses, padded with empty places and cells to the largest number of each."""
    parts = [cell_weights(side, cell, blur) for cell, blur in pixelation.lenses]
    places, cells = (max(part.shape[axis] for part in parts) for axis in (0, 1))
    return torch.stack([F.pad(p, (0, 0, 0, cells - p.shape[1], 0, places - p.shape[0])) for p in parts])


@cache
def cell_weights(side: int, cell: int, blur: float = 0.0) -> Float[Tensor, "cell y side"]:
    """Weights of a side's pixels in the means over cells, for every place at which the first cell may end.

    A cell that reaches beyond the picture continues the pixel at the edge. A cell wholly outside has weights 0.

    Args:
        side: Pixels along the side.
        cell: Pixels along a cell.
        blur: Standard deviation of the Gaussian blur before the means, in pixels.

    Example:
        >>> cell_weights(4, 2)[0].tolist()  # the first place: no cell is cut, the first is wholly outside
        [[0.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    """
    first = torch.arange(cell, dtype=torch.float64)[:, None] - cell
    starts = first + cell * torch.arange(-(-side // cell) + 1, dtype=torch.float64)
    rows = torch.stack([box_weights(one + (cell - 1) / 2, float(cell), side) for one in starts])
    rows = rows * ((starts > -cell) & (starts < side))[..., None]
    return rows @ gaussian(side, blur) if blur else rows


def gaussian(side: int, std: float) -> Float[Tensor, "side side"]:
    """Matrix of a Gaussian blur along a side, whose pixels beyond both ends equal those at the ends.

    Args:
        side: Pixels along the side.
        std: Standard deviation, in pixels; above 0.
    """
    reach = math.ceil(4 * std)
    steps = torch.arange(-reach, reach + 1)
    share = torch.exp(-0.5 * (steps.double() / std).square())
    places = (torch.arange(side)[:, None] + steps).clamp(0, side - 1)
    return torch.zeros(side, side, dtype=torch.float64).scatter_add(1, places, (share / share.sum()).expand(side, -1))


@cache
def visibility(side: int, pixelation: Pixelation) -> tuple[Float[Tensor, " side"], Float[Tensor, "side side"]]:
    """Eigenvalues and eigenvectors of `A^T A` along one axis, averaged over all places and lenses.

    An eigenvector is a pattern along the side; its eigenvalue says how visible the pattern is in the views, from 0 to
    1.
    """
    shown = torch.zeros(side, side, dtype=torch.float64)
    for cell, blur in pixelation.lenses:
        rows = cell_weights(side, cell, blur)[: 1 if pixelation.still else None]
        shown += (rows.mT @ rows).mean(0) * (cell / len(pixelation.lenses))
    share, basis = torch.linalg.eigh(shown)
    return share.clamp(min=0), basis


def enlarged(x: Images, cell: int) -> Images:
    """Pictures shrunk by area means and enlarged again bicubically: the baseline that views are compared with.

    Args:
        x: Pictures.
        cell: Pixels along each side of a cell.
    """
    small = resize(x, (x.shape[2] // cell, x.shape[3] // cell))
    return F.interpolate(small, size=x.shape[2:], mode="bicubic").clamp(-1, 1)


def for_views(preset: Preset, pictures: Pictures) -> Preset:
    """The preset with states that are pixelated views; the preset itself if it does not pixelate.

    A state has one sample per cell, and the field one feature sample per pixel of the pictures.

    Raises:
        InputError: The pictures have several sizes, cells do not divide them, or the network predicts no functions.
    """
    if preset.train.pixelate is None:
        return preset
    text, cell = preset.train.pixelate, Pixelation.read(preset.train.pixelate).cell
    if not isinstance(preset.model, ModelConfig):
        raise InputError(f"pixelate {text} needs a network that predicts functions, and the published one does not.")
    sizes = {(group.images.shape[2], group.images.shape[3]) for group in pictures.groups}
    if len(sizes) > 1:
        raise InputError(
            f"pixelate {text} needs pictures of one size and {pictures.name} has {len(sizes)}; bring them to one first."
        )
    height, width = pictures.size
    if height % cell or width % cell or cell >= min(height, width):
        fitting = [str(n) for n in range(2, min(height, width)) if not (height % n or width % n)]
        choice = f"choose K of {', '.join(fitting)}" if fitting else "crop them"
        raise InputError(f"pixelate {text} does not divide pictures of {height}x{width} into cells; {choice}.")
    state, patch = (height // cell, width // cell), preset.model.patch or SMALLEST
    patch = 1 if state[0] % patch or state[1] % patch else patch
    return replace(
        preset,
        model=replace(preset.model, patch=patch, lattice=cell * patch),
        train=replace(preset.train, densities=(max(state),), density_weights=(1.0,), detail_density=0),
    )
