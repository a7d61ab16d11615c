"""Training on pictures that are seen only as observations, means over large cells. Theory: docs/observe.md.

A state is the view from the place of no shift, A x; predicted is x itself, at the pictures' own density. A is linear,
so the mean of a prediction over a state's cells is the expected state: sampling composes states and reads x out of the
last. What lies between a state's samples is learned from views elsewhere: only x explains them all.
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
from s2id.images import resize
from s2id.linear import box_weights
from s2id.network.settings import ModelConfig
from s2id.shapes import Images
from s2id.training.settings import Pixelation, Preset

_RIDGE = 0.05
"""What a pattern's visibility, 0 to 1, is compared with: below it, corrections are not magnified to their full size."""


@dataclass(frozen=True)
class Views:
    """Means over cells of a batch of pictures, each picture from several places of its own."""

    values: Float[Tensor, "v b c y x"]
    rows: Float[Tensor, "v b 1 y h"]
    """A view is `rows @ x @ columns^T`."""
    columns: Float[Tensor, "v b 1 x w"]
    weight: Float[Tensor, "v b 1 1 1"]
    """Of each view in a correction: its cells' pixels."""
    seen: Pixelation

    def __call__(self, x: Images) -> Float[Tensor, "v b c y x"]:
        """A x: what is seen of other pictures from the same places."""
        return self.rows @ x @ self.columns.mT

    def transpose(self, y: Float[Tensor, "v b c y x"]) -> Images:
        """The transpose: `(A x) . y = x . (A^T y)`."""
        return (self.rows.mT @ y @ self.columns).sum(0)

    def correct(self, x: Images) -> Images:
        """What a prediction should have been: `x + (M + ridge)^-1 A^T (values - A x)`.

        M is the mean of `A^T A` over all places, and over all lenses, of each axis by itself; both are scaled so that a
        pattern that shows in full has 1 in M. The squared distance to it has the gradient of `|A x - values|^2`, with
        all that views show of a picture learned at about one pace: fine patterns hardly show in any of them, and would
        be learned last. Where `values` are views of x, nothing is corrected.
        """
        asked = self.transpose(self.weight * (self.values - self(x))) / len(self.values)
        (rows, down), (columns, across) = (visible(side, self.seen) for side in x.shape[2:])
        down, across, share = down.to(x), across.to(x), (rows[:, None] * columns).to(x)
        return x + down @ (down.mT @ asked @ across / (share + _RIDGE)) @ across.mT

    def to(self, device: torch.device) -> "Views":
        """The views on a device."""
        values, rows, columns, weight = (
            part.to(device) for part in (self.values, self.rows, self.columns, self.weight)
        )
        return Views(values, rows, columns, weight, self.seen)


def look(x: Images, seen: Pixelation, views: int, generator: torch.Generator) -> Views:
    """Pictures seen from places, and through lenses, drawn for each of them.

    Places are whole pixels of the pictures apart: cells then hold whole pixels, and a view is exact for any function
    whose means over pixels the pictures are.
    """
    cells = torch.tensor([cell for cell, _ in seen.lenses])
    lens = torch.randint(len(cells), (views, len(x)), generator=generator)
    places = torch.ones_like(lens) if seen.still else cells[lens]
    rows, columns = (
        every_sight(side, seen)[lens, (torch.rand(lens.shape, generator=generator) * places).long()][:, :, None]
        for side in x.shape[2:]
    )
    weight = cells[lens].square()[..., None, None, None]
    return Views(rows.to(x) @ x @ columns.mT.to(x), rows.to(x), columns.to(x), weight.to(x), seen)


@cache
def every_sight(side: int, seen: Pixelation) -> Float[Tensor, "lens place y side"]:
    """`sights` of all lenses; where they have fewer places or cells than others, there are empty ones."""
    parts = [sights(side, cell, blur) for cell, blur in seen.lenses]
    places, cells = (max(part.shape[axis] for part in parts) for axis in (0, 1))
    return torch.stack([F.pad(p, (0, 0, 0, cells - p.shape[1], 0, places - p.shape[0])) for p in parts])


@cache
def sights(side: int, cell: int, blur: float = 0.0) -> Float[Tensor, "cell y side"]:
    """How cells along a side read its pixels, by the place where the first one ends.

    A cell that leaves the picture sees its edge go on; one that sees none of it is empty.

    Args:
        side: Pixels.
        cell: Pixels of a cell.
        blur: Std, in pixels, of a Gaussian that pixels are blurred with first.
    """
    first = torch.arange(cell, dtype=torch.float64)[:, None] - cell
    starts = first + cell * torch.arange(-(-side // cell) + 1, dtype=torch.float64)
    rows = torch.stack([box_weights(one + (cell - 1) / 2, float(cell), side) for one in starts])
    rows = rows * ((starts > -cell) & (starts < side))[..., None]
    return rows @ gaussian(side, blur) if blur else rows


def gaussian(side: int, std: float) -> Float[Tensor, "side side"]:
    """A row's pixels blurred; beyond its ends they go on as they are there."""
    reach = math.ceil(4 * std)
    steps = torch.arange(-reach, reach + 1)
    share = torch.exp(-0.5 * (steps.double() / std).square())
    places = (torch.arange(side)[:, None] + steps).clamp(0, side - 1)
    return torch.zeros(side, side, dtype=torch.float64).scatter_add(1, places, (share / share.sum()).expand(side, -1))


@cache
def visible(side: int, seen: Pixelation) -> tuple[Float[Tensor, " side"], Float[Tensor, "side side"]]:
    """How visible patterns along a side are, and the patterns: `A^T A` of one axis, averaged over places and lenses."""
    shown = torch.zeros(side, side, dtype=torch.float64)
    for cell, blur in seen.lenses:
        rows = sights(side, cell, blur)[: 1 if seen.still else None]
        shown += (rows.mT @ rows).mean(0) * (cell / len(seen.lenses))
    share, basis = torch.linalg.eigh(shown)
    return share.clamp(min=0), basis


def enlarged(x: Images, cell: int) -> Images:
    """Pictures as they come back from one observation by bicubic interpolation: what is done without this module."""
    small = resize(x, (x.shape[2] // cell, x.shape[3] // cell))
    return F.interpolate(small, size=x.shape[2:], mode="bicubic").clamp(-1, 1)


def fitted(preset: Preset, pictures: Pictures) -> Preset:
    """The preset for states that are observations; as it is where the pictures are seen as they are.

    A state has a sample per cell, and the function a feature sample per pixel of the pictures.

    Raises:
        InputError: The pictures have several sizes, cells do not divide them, or the network predicts no functions.
    """
    if preset.train.observe is None:
        return preset
    seen, text = Pixelation.read(preset.train.observe), preset.train.observe
    if not isinstance(preset.model, ModelConfig):
        raise InputError(f"observe {text} needs a network that predicts functions, and the published one does not.")
    sizes = {(group.images.shape[2], group.images.shape[3]) for group in pictures.groups}
    if len(sizes) > 1:
        raise InputError(
            f"observe {text} needs pictures of one size and {pictures.name} has {len(sizes)}; bring them to one first."
        )
    (height, width), k = pictures.size, seen.cell
    if height % k or width % k or k >= min(height, width):
        fitting = [str(n) for n in range(2, min(height, width)) if not (height % n or width % n)]
        choice = f"choose K of {', '.join(fitting)}" if fitting else "crop them"
        raise InputError(f"observe {text} does not divide pictures of {height}x{width} into cells; {choice}.")
    state, patch = (height // k, width // k), preset.model.patch
    patch = 1 if state[0] % patch or state[1] % patch else patch
    return replace(
        preset,
        model=replace(preset.model, patch=patch, lattice=k * patch),
        train=replace(preset.train, densities=(max(state),), density_weights=(1.0,), detail_density=0),
    )
