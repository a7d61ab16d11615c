"""Observations: what was seen of a function, where, over how large a cell, and how noisily.

A sensor's pixel is the mean of the function over its cell, so a picture, some of its pixels, the frames of a moving
camera and a grey look at colours are all the same thing: a linear map of the function. `Area` is that map on samples
that are each constant over their cell, exact, with its transpose; `through` is the same of a field's features.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from s2id.coords import Grid, extent, view
from s2id.errors import InputError
from s2id.linear import box_weights
from s2id.network.heads import Features, FieldHead
from s2id.network.published import PixelHead
from s2id.settings import Size
from s2id.shapes import Images

_CHUNK = 2**22


@dataclass(frozen=True)
class Observation:
    """Values seen of one function, or of `b` functions looked at in the same places."""

    values: Float[Tensor, "*b n c"]
    """In [-1, 1]."""
    coords: Float[Tensor, "places 2"]
    """(y, x) of each cell's centre, in composition units."""
    cell: Float[Tensor, "cells 2"] | Float[Tensor, "2"]
    """Height and width of each cell, or of all, in composition units."""
    noise: float | Float[Tensor, " stds"] = 0.0
    """Std of each value, or of all."""
    mix: Float[Tensor, "k channels"] | None = None
    """How each value is made of the function's channels; `None` sees every channel by itself."""

    def __post_init__(self) -> None:
        """Refuse what nobody can have seen.

        Raises:
            InputError: Nothing is seen, values and places do not match, or a number is out of range.
        """
        n = self.values.shape[-2]
        if not n:
            raise InputError("the observation holds no value; observe at least one pixel.")
        if self.coords.shape != (n, 2) or self.cell.shape not in ((n, 2), (1, 2), (2,)):
            raise InputError(f"the observation has {n} values and {len(self.coords)} places; give one place per value.")
        if not all(torch.isfinite(one).all() for one in (self.values, self.coords, self.cell)):
            raise InputError("the observation holds NaN or infinity; mask such pixels or repair them.")
        if not (self.cell > 0).all():
            raise InputError("a cell of the observation is empty; cells need a height and width above 0.")
        noise = torch.as_tensor(self.noise)
        if not (torch.isfinite(noise).all() and (noise >= 0).all()):
            raise InputError(f"noise is {noise.min():g}; it is a standard deviation, at least 0.")
        if self.mix is not None and len(self.mix) != self.values.shape[-1]:
            raise InputError(f"mix makes {len(self.mix)} channels and {self.values.shape[-1]} were seen; make as many.")

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.coords)

    @property
    def channels(self) -> int:
        """Colour channels of the function."""
        return self.values.shape[-1] if self.mix is None else self.mix.shape[1]

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
        """The pixels of a picture that shows a whole frame.

        Args:
            picture: In [-1, 1].
            frame: Height and width of what it shows, in composition units; `None` has square pixels.
            shift: What the camera moved by, (y, x) in composition units: pixel p shows the function at p + shift.
            mask: True where the picture was seen; `None` is everywhere. Unseen pixels may hold anything.
            noise: Std of every value.
            mix: As the field of that name; `torch.full((1, 3), 1 / 3)` is a grey look at colours.

        Raises:
            InputError: The mask is of another size or sees nothing, or a seen value is not finite.
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
    def of_frames(
        cls, frames: Float[Tensor, "f c h w"], shifts: Float[Tensor, "f 2"], noise: float = 0.0
    ) -> "Observation":
        """Several pictures by a camera that moved; arguments as for `of_picture`, one shift per frame."""
        moves = ((float(y), float(x)) for y, x in shifts)
        return cls.join([cls.of_picture(one, shift=by, noise=noise) for one, by in zip(frames, moves, strict=True)])

    @classmethod
    def join(cls, parts: Sequence["Observation"]) -> "Observation":
        """All of several observations of one function.

        Raises:
            InputError: There is none, or they see different channels.
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

    def to(self, like: Tensor) -> "Observation":
        """The observation with its values on a tensor's device and in its dtype; places stay exact."""
        mix = None if self.mix is None else self.mix.to(like)
        noise = self.noise.to(like) if isinstance(self.noise, Tensor) else self.noise
        places = self.coords.to(like.device), self.cell.to(like.device)
        return replace(self, values=self.values.to(like), coords=places[0], cell=places[1], noise=noise, mix=mix)

    def lattice(self) -> tuple[Grid, Int[Tensor, " n"]] | None:
        """The grid that the cells lie on, and each one's place in it; `None` where they are scattered.

        A grid is worth its while as long as few of its places are empty.
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
    """What an observation sees of samples that are each constant over their cell: exact means over its cells.

    Beyond the frame the outermost samples go on. On a lattice the map is a product of two small matrices; else each
    cell gathers the few samples that it overlaps, so memory is a few numbers per cell, whatever their number.
    """

    def __init__(self, observation: Observation, size: Size, frame: tuple[float, float] | None = None) -> None:
        """Prepare the map.

        Args:
            observation: Where is looked, and at what mix of channels; its values are not.
            size: Height and width of the samples.
            frame: What they cover, in composition units; `None` has square samples.
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
        unit = observation.coords.new_tensor(pitch)
        self.width = observation.cell.double().expand(self.count, 2) / unit
        self.low = observation.coords / unit + observation.coords.new_tensor(size) / 2 - self.width / 2
        reach = self.width.amax(0).ceil().long() + 1
        self.offsets = [(i, j) for i in range(int(reach[0])) for j in range(int(reach[1]))]

    def __call__(self, x: Images) -> Float[Tensor, "b n k"]:
        """The means."""
        flat = x if self.mix is None else torch.einsum("kc,bchw->bkhw", self.mix.to(x), x)
        if self.lattice is not None:
            seen = self.rows.to(x) @ flat @ self.columns.to(x).mT
            return seen.flatten(2)[..., self.place].mT
        flat = flat.flatten(2)
        parts = []
        for part in self._parts(len(x) * flat.shape[1]):
            terms = (flat[..., index] * weight.to(x) for index, weight in self._overlaps(part))
            parts.append(sum(terms, flat.new_zeros(())))
        return torch.cat(parts, dim=-1).mT

    def transpose(self, y: Float[Tensor, "b n k"]) -> Images:
        """The transpose: `(A x) . y = x . (A^T y)`."""
        b, _, c = y.shape
        if self.lattice is not None:
            plane = y.new_zeros(b, c, self.plane[0] * self.plane[1]).index_add(2, self.place, y.mT)
            x = self.rows.to(y).mT @ plane.unflatten(2, self.plane) @ self.columns.to(y)
        else:
            flat = y.new_zeros(b, c, self.size[0] * self.size[1])
            for part in self._parts(b * c):
                for index, weight in self._overlaps(part):
                    flat.index_add_(2, index, y.mT[..., part] * weight.to(y))
            x = flat.unflatten(2, self.size)
        return x if self.mix is None else torch.einsum("kc,bkhw->bchw", self.mix.to(y), x)

    def _parts(self, planes: int) -> list[slice]:
        step = max(1, _CHUNK // planes)
        return [slice(first, first + step) for first in range(0, self.count, step)]

    def _overlaps(self, part: slice) -> Iterator[tuple[Int[Tensor, " n"], Float[Tensor, " n"]]]:
        """Index and share of each sample that some cells overlap: the nearest one of every cell, the next, ..."""
        low, width = self.low[part], self.width[part]
        first = low.floor()
        for offset in self.offsets:
            sample = first + first.new_tensor(offset)
            overlap = torch.minimum(low + width, sample + 1) - torch.maximum(low, sample)
            share = (overlap.clamp(min=0) / width).prod(1)
            y, x = (sample[:, i].long().clamp(0, n - 1) for i, n in enumerate(self.size))
            yield y * self.size[1] + x, share


def through(observation: Observation, head: FieldHead | PixelHead, features: Features) -> Float[Tensor, "b n k"]:
    """What an observation sees of the functions that a head reads out of features; gradients reach the features.

    A cell's mean is of head samples half a feature sample apart, as in a rendered pixel.
    """
    features = features.on_canvas()
    lattice = observation.lattice()
    if lattice is not None:
        seen = head(features, lattice[0]).flatten(2)[..., lattice[1]].mT
    elif isinstance(head, PixelHead):
        seen = Area(
            replace(observation, mix=None), (features.values.shape[1], features.values.shape[2]), features.frame
        )(features.values.movedim(-1, 1))
    else:
        seen = _scattered(observation, head, features)
    return seen if observation.mix is None else seen @ observation.mix.to(seen).mT


def _scattered(observation: Observation, head: FieldHead, features: Features) -> Float[Tensor, "b n k"]:
    cells, seen = observation.cell.double().expand(len(observation), 2), []
    largest = cells.amax(0).tolist()
    factor = features.supersample((largest[0], largest[1]))
    steps = (torch.arange(factor, dtype=torch.float64, device=cells.device) + 0.5) / factor - 0.5
    inside = torch.cartesian_prod(steps, steps)
    # the head takes one blur for all its samples; where cells differ, their places alone tell them apart
    blur = cells.mean(0) / factor
    b, h, w, d = features.values.shape
    for part in range(0, len(cells), step := max(1, _CHUNK // (b * w * d * factor**2))):
        places = observation.coords[part : part + step, None] + cells[part : part + step, None] * inside
        values = head.at(features, places.flatten(0, 1), (float(blur[0]), float(blur[1])))
        seen.append(values.unflatten(1, (-1, factor**2)).mean(2))
    return torch.cat(seen, dim=1)
