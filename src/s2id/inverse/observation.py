"""Observations: measured values of a function, each the mean over a cell, with noise.

A sensor's pixel is the mean of the function over the pixel's cell. So a picture, some of its pixels, the frames of a
moving camera and a grey picture of a coloured scene are all linear maps of one function. `Area` is that map for a
function given as samples, each constant over its own cell.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from s2id.checks import check
from s2id.coords import Grid, extent, view
from s2id.errors import InputError
from s2id.linear import box_weights
from s2id.settings import Size
from s2id.shapes import Images

STRADDLE = 0.05
"""Standard deviation, in [-1, 1], of the error that a state's samples make in the mean over a cell that ends inside a
sample; measured on MNIST with 7 pixels over 20 samples."""

_CHUNK = 2**22  # numbers that scattered cells gather at once


def check_noise(noise: float | Tensor) -> None:
    """Refuse standard deviations that no measurement has.

    Args:
        noise: Standard deviation of each value, or of all.

    Raises:
        InputError: A standard deviation is below 0 or not finite.
    """
    std = torch.as_tensor(noise)
    if len(wrong := std[~(torch.isfinite(std) & (std >= 0))]):
        raise InputError(f"noise is {wrong[0]:g}; it is a standard deviation in a range of -1 to 1, at least 0.")


def check_scale(values: Tensor, noise: float, holder: str) -> None:
    """Refuse values that lie farther beyond the range of -1 to 1 than six standard deviations: by no chance.

    Args:
        values: Measured values.
        noise: Standard deviation of their noise.
        holder: What has them, with its verb, for the message.

    Raises:
        InputError: A value does.
    """
    if values.numel() and (far := values.abs().max().item()) > 1.001 + 6 * noise:
        raise InputError(f"{holder} a value {far:g} from 0; scale all values to lie between -1 and 1.")


@dataclass(frozen=True)
class Observation:
    """Values measured of one function, or of `b` functions at the same places.

    An observation holds positions in the frame, so it does not depend on the size of the state that explains it.
    """

    values: Float[Tensor, "*b n c"]
    """Measured values in [-1, 1]: `n` cells with `c` channels each."""
    coords: Float[Tensor, "places 2"]
    """Centre (y, x) of each cell, in composition units (1 is the long side of the frame)."""
    cell: Float[Tensor, "cells 2"] | Float[Tensor, "2"]
    """Height and width of each cell, or of all cells, in composition units."""
    noise: float | Float[Tensor, " stds"] = 0.0
    """Standard deviation of the noise, for each cell or for all cells."""
    mix: Float[Tensor, "k channels"] | None = None
    """Matrix from the function's channels to the measured ones; `None` measures every channel by itself."""

    def __post_init__(self) -> None:
        """Refuse measurements that cannot be.

        Raises:
            InputError: There is no value, values and places differ in number, or a number is out of range.
        """
        check(self)
        n = self.values.shape[-2]
        if not n:
            raise InputError("the observation holds no value; observe at least one pixel.")
        if self.coords.shape != (n, 2) or self.cell.shape not in ((n, 2), (1, 2), (2,)):
            raise InputError(f"the observation has {n} values and {len(self.coords)} places; give one place per value.")
        if not all(torch.isfinite(one).all() for one in (self.values, self.coords, self.cell)):
            raise InputError("the observation holds NaN or infinity; mask such pixels or repair them.")
        if not (self.cell > 0).all():
            raise InputError("a cell of the observation is empty; cells need a height and width above 0.")
        check_noise(self.noise)
        if self.mix is not None and len(self.mix) != self.values.shape[-1]:
            raise InputError(f"mix makes {len(self.mix)} channels and {self.values.shape[-1]} were seen; make as many.")

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.coords)

    @classmethod
    def of_picture(
        cls,
        picture: Float[Tensor, "*b c h w"],
        frame: tuple[float, float] | None = None,
        shift: tuple[float, float] = (0.0, 0.0),
        mask: Bool[Tensor, "rows columns"] | None = None,
        noise: float = 0.0,
        mix: Float[Tensor, "k channels"] | None = None,
    ) -> "Observation":
        """The pixels of a picture that shows the whole frame.

        >>> picture = torch.zeros(1, 7, 7)
        >>> len(Observation.of_picture(picture, noise=0.1))
        49

        Args:
            picture: Pixel values in [-1, 1].
            frame: Height and width of the region that the picture shows, in composition units. `None` is the region
                for which the pixels are square.
            shift: Movement (y, x) of the camera in composition units: pixel p shows the function at p + shift.
            mask: True where a pixel was measured; `None` measures all pixels. Other pixels may hold anything.
            noise: Standard deviation of every pixel's noise.
            mix: The field of that name; `torch.full((1, 3), 1 / 3)` measures a coloured function in grey.

        Raises:
            InputError: The mask has another size or marks no pixel, or a measured value is not finite.
        """
        size = (picture.shape[-2], picture.shape[-1])
        grid = view(size, frame or extent(size), fit="stretch")
        values, coords = picture.flatten(-2).mT, grid.coords.reshape(-1, 2)
        if mask is not None:
            if mask.shape != size:
                raise InputError(
                    f"the mask is {'x'.join(map(str, mask.shape))} and the picture {size[0]}x{size[1]}; "
                    "give one of the same size."
                )
            if not mask.any():
                raise InputError("the mask leaves nothing to see; mark at least one pixel as seen.")
            values, coords = values[..., mask.flatten(), :], coords[mask.flatten().to(coords.device)]
        return cls(values, coords + coords.new_tensor(shift), coords.new_tensor(grid.cell), noise, mix)

    @classmethod
    def join(cls, parts: Sequence["Observation"]) -> "Observation":
        """One observation that holds all cells of several observations of the same function.

        Raises:
            InputError: There is no observation, or their channels differ.
        """
        if not parts:
            raise InputError("there are no observations to join; give at least one.")
        first = parts[0]
        for part in parts:
            same = part.mix is first.mix or (
                part.mix is not None and first.mix is not None and torch.equal(part.mix, first.mix)
            )
            if not same or part.values.shape[-1] != first.values.shape[-1]:
                raise InputError("the observations to join see different channels; join those of the same ones.")
        alike = all(isinstance(part.noise, float | int) and part.noise == first.noise for part in parts)
        noises = [torch.as_tensor(part.noise, dtype=torch.float64).expand(len(part)) for part in parts]
        return cls(
            torch.cat([part.values for part in parts], dim=-2),
            torch.cat([part.coords for part in parts]),
            torch.cat([part.cell.expand(len(part), 2) for part in parts]),
            first.noise if alike else torch.cat(noises),
            first.mix,
        )

    def lattice(self) -> tuple[Grid, Int[Tensor, " n"]] | None:
        """The grid that the cells lie on, and the index of each cell in it; `None` if the cells are scattered.

        Cells of different sizes, or that would leave most of a grid empty, count as scattered.
        """
        cell = self.cell.expand(len(self), 2)
        if not bool((cell == cell[0]).all()):
            return None
        # positions that differ by rounding are one row; a millionth of a cell is far above float64's last digit
        near = (self.coords / cell[0] * 1e6).round()
        (rows, at_row), (columns, at_column) = (near[:, i].unique(return_inverse=True) for i in (0, 1))
        if len(rows) * len(columns) > 4 * len(self):
            return None
        pitch = cell[0].tolist()
        grid = Grid(rows / 1e6 * cell[0, 0], columns / 1e6 * cell[0, 1], (pitch[0], pitch[1]))
        return grid, at_row * len(columns) + at_column


class Area:
    """The linear map from samples, each constant over its cell, to the exact means over an observation's cells.

    Beyond the frame the outermost samples continue. If the observation's cells lie on a grid, the map is a product of
    two small matrices. Otherwise each cell gathers the few samples that it overlaps, so memory per cell is bounded.
    """

    def __init__(self, observation: Observation, size: Size, frame: tuple[float, float] | None = None) -> None:
        """Prepare the map.

        Args:
            observation: Places, cells and mix of the measurement; its values and noise are not used.
            size: Height and width of the array of samples.
            frame: Height and width of the region that the samples cover, in composition units. `None` is the region
                for which the samples are square.
        """
        self.size, self.mix, self.count = size, observation.mix, len(observation)
        pitch = [side / n for side, n in zip(frame or extent(size), size, strict=True)]
        self.lattice = observation.lattice()
        if self.lattice is not None:
            grid, self.place = self.lattice
            axes = zip((grid.y, grid.x), grid.cell, pitch, size, strict=True)
            self.rows, self.columns = (box_weights(p / d + (n - 1) / 2, c / d, n) for p, c, d, n in axes)
            self.plane = len(grid.y), len(grid.x)
            return
        # scattered cells: their upper left corner and their size, in samples
        unit = observation.coords.new_tensor(pitch)
        self.width = observation.cell.double().expand(self.count, 2) / unit
        self.low = observation.coords / unit + observation.coords.new_tensor(size) / 2 - self.width / 2
        reach = self.width.amax(0).ceil().long() + 1
        self.offsets = [(i, j) for i in range(int(reach[0])) for j in range(int(reach[1]))]

    def __call__(self, x: Images) -> Float[Tensor, "b n k"]:
        """Mean of the samples over each cell."""
        flat = x if self.mix is None else torch.einsum("kc,bchw->bkhw", self.mix.to(x), x)
        if self.lattice is not None:
            seen = self.rows.to(x) @ flat @ self.columns.to(x).mT
            return seen.flatten(2)[..., self.place.to(x.device)].mT
        flat = flat.flatten(2)
        parts = []
        for part in self._parts(len(x) * flat.shape[1]):
            terms = (flat[..., index.to(x.device)] * weight.to(x) for index, weight in self._overlaps(part))
            parts.append(sum(terms, flat.new_zeros(())))
        return torch.cat(parts, dim=-1).mT

    def transpose(self, y: Float[Tensor, "b n k"]) -> Images:
        """Transpose of the map: `(A x) . y = x . (A^T y)`."""
        b, _, c = y.shape
        if self.lattice is not None:
            plane = y.new_zeros(b, c, self.plane[0] * self.plane[1]).index_add(2, self.place.to(y.device), y.mT)
            x = self.rows.to(y).mT @ plane.unflatten(2, self.plane) @ self.columns.to(y)
        else:
            flat = y.new_zeros(b, c, self.size[0] * self.size[1])
            for part in self._parts(b * c):
                for index, weight in self._overlaps(part):
                    flat.index_add_(2, index.to(y.device), y.mT[..., part] * weight.to(y))
            x = flat.unflatten(2, self.size)
        return x if self.mix is None else torch.einsum("kc,bkhw->bchw", self.mix.to(y), x)

    def _parts(self, planes: int) -> list[slice]:
        step = max(1, _CHUNK // planes)
        return [slice(first, first + step) for first in range(0, self.count, step)]

    def _overlaps(self, part: slice) -> Iterator[tuple[Int[Tensor, " n"], Float[Tensor, " n"]]]:
        """Index and share of one sample per cell at a time, until all samples that overlap a cell were given."""
        low, width = self.low[part], self.width[part]
        first = low.floor()
        for offset in self.offsets:
            sample = first + first.new_tensor(offset)
            overlap = torch.minimum(low + width, sample + 1) - torch.maximum(low, sample)
            share = (overlap.clamp(min=0) / width).prod(1)
            y, x = (sample[:, i].long().clamp(0, n - 1) for i, n in enumerate(self.size))
            yield y * self.size[1] + x, share
