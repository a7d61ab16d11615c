"""The head of our network, which reads a function's values from a lattice of features."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from s2id.coords import Grid, Part
from s2id.media.alpha import covered


def _quartic(u: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Integral from -inf to u of the cubic B-spline."""
    knots = (u[..., None] - torch.arange(-2, 3, dtype=u.dtype, device=u.device)).clamp(min=0)
    binomial = torch.tensor([1, -4, 6, -4, 1], dtype=u.dtype, device=u.device) / 24
    return (knots.square().square() * binomial).sum(-1).where(u < 2, torch.ones_like(u))


def _cubic(u: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The cubic B-spline."""
    a = u.abs()
    return torch.where(a < 1, 2 / 3 - a**2 + a**3 / 2, (2 - a).clamp(min=0) ** 3 / 6)


def spline_weights(position: Float[Tensor, " q"], width: float, count: int) -> Float[Tensor, "q count"]:
    """Weights that give the mean of a cubic B-spline over each of q cells, from its control samples at 0, 1, 2, ...

    Rows sum to 1 and have no negative entry. Beyond the ends, the outermost samples are repeated.

    Args:
        position: Middle of each cell in units of samples, in float64.
        width: Width of the cells in units of samples.
        count: Number of samples.

    Example:
        >>> spline_weights(torch.tensor([1.0], dtype=torch.float64), 0.0, 3).mul(6).round(decimals=3).tolist()
        [[1.0, 4.0, 1.0]]
    """
    # the spline is constant beyond -1 and `count`: cells are cut one sample further out, so that few nodes are enough
    start, stop = -2.0, count + 1.0
    nodes = torch.arange(-4, count + 4, dtype=position.dtype, device=position.device)
    low, high = position - width / 2, position + width / 2
    if width > 1e-3:
        inner = [edge.clamp(start, stop)[:, None] - nodes for edge in (low, high)]
        weights = (_quartic(inner[1]) - _quartic(inner[0])) / width
        weights[:, 0] += ((start - low) / width).clamp(0, 1)
        weights[:, -1] += ((high - stop) / width).clamp(0, 1)
    else:  # the difference above would cancel; the mean over so thin a cell is the value at its middle, to 1e-7
        weights = _cubic(position.clamp(start, stop)[:, None] - nodes)
    ends = nodes.long().clamp(0, count - 1).expand(len(position), -1)
    return torch.zeros(len(position), count, dtype=position.dtype, device=position.device).scatter_add(1, ends, weights)


@lru_cache(maxsize=64)
def _inverse_means(cells: int, samples: int) -> Float[Tensor, "samples cells"]:
    """Matrix from the means over cells of an axis to the flattest control samples whose spline has these means."""
    width = samples / cells
    with torch.inference_mode(False):  # it is kept, and training may be the next to use it
        middles = (torch.arange(cells, dtype=torch.float64) + 0.5) * width - 0.5
        means = spline_weights(middles, width, samples)
        steps = torch.eye(samples, dtype=torch.float64).diff(dim=0)
        return torch.linalg.solve(means.mT @ means + 1e-8 * steps.mT @ steps, means.mT).float()


def spline_of(means: Float[Tensor, "b c y x"], size: tuple[int, int]) -> Float[Tensor, "b h w c"]:
    """Control samples of a cubic B-spline whose means over the cells of a grid on the same frame are given.

    Args:
        means: The means; they are met where there are at least as many control samples along each axis.
        size: Number of control samples along y and x.

    Example:
        >>> spline_of(torch.ones(1, 1, 2, 2), (3, 3)).round(decimals=4).unique().tolist()
        [1.0]
    """
    rows, columns = (_inverse_means(n, m).to(means) for n, m in zip(means.shape[2:], size, strict=True))
    return torch.einsum("hy,bcyx,wx->bhwc", rows, means, columns)


MARGIN = 2
"""Number of samples of canvas that are added on each side of a frame."""

CACHED = 2**19
"""Number of feature values that a CPU works on at once: about as many as its cache holds."""


@dataclass(frozen=True)
class Features:
    """A function on the frame, as the feature samples that the head interpolates."""

    values: Float[Tensor, "b h w d"]
    frame: tuple[float, float]
    """Height and width of the frame in composition units."""
    middle: tuple[float, float] = (0.0, 0.0)
    """Middle of the part of the frame that the samples cover, (y, x) in composition units."""
    state: Float[Tensor, "b k y x"] | None = None
    """The clean state that networks of latents, and those with a local estimate, predict beside the function."""

    @property
    def pitch(self) -> tuple[float, float]:
        """Distance between samples along y and x, in composition units."""
        return self.frame[0] / self.values.shape[1], self.frame[1] / self.values.shape[2]

    def on_canvas(self) -> "Features":
        """The function with `MARGIN` samples of canvas around, of the median features along the frame's border.

        Repeating the edge instead would continue every stroke that touches it. Inside the frame little changes.
        """
        values = self.values.movedim(-1, 1)
        border = torch.cat([values[..., 0, :], values[..., -1, :], values[..., 0], values[..., -1]], dim=-1)
        # all but the last repeat the edge first: those beyond have a weight of at most 0.02 inside the frame
        near = F.pad(values, (MARGIN - 1,) * 4, mode="replicate")
        canvas = border.median(dim=-1).values[..., None, None].repeat(1, 1, near.shape[2] + 2, near.shape[3] + 2)
        canvas[..., 1:-1, 1:-1] = near
        frame = self.frame[0] + 2 * MARGIN * self.pitch[0], self.frame[1] + 2 * MARGIN * self.pitch[1]
        return Features(canvas.movedim(1, -1), frame, self.middle)

    def supersample(self, cell: tuple[float, float]) -> int:
        """Number of head samples per pixel side, chosen so that they are at most a quarter of a feature sample apart.

        Sharp edges rise within a fifth of a feature sample; with half as many, means over pixels miss them by some
        parts in a hundred, and one picture differs from size to size.
        """
        return max(1, *(math.ceil(4 * c / p - 1e-9) for c, p in zip(cell, self.pitch, strict=True)))

    def near(self, grid: Grid) -> "Features":
        """The function on the part of the frame that a grid's pixels depend on: as many samples as needed."""
        parts, frame, middle = [], [], []
        for (place, width, count), pitch, old in zip(self.axes(grid), self.pitch, self.middle, strict=True):
            first, last = math.floor(place[0] - width / 2) - 1, math.ceil(place[-1] + width / 2) + 2
            part = slice(min(max(first, 0), count - 1), max(min(last, count), 1))
            parts.append(part)
            frame.append(pitch * (part.stop - part.start))
            middle.append(old + pitch * (part.start + part.stop - count) / 2)
        return Features(self.values[:, *parts], (frame[0], frame[1]), (middle[0], middle[1]))

    def touched(self, grid: Grid, margin: int = 0) -> Part:
        """The rows and columns of a grid that see the samples, and one more on each side; all others are alike.

        Args:
            grid: Pixels, anywhere.
            margin: Number of samples around that count as samples too; `MARGIN` is as `on_canvas` would have them.
        """
        parts = []
        for place, width, count in self.axes(grid):
            inside = ((place + width / 2 > -1 - margin) & (place - width / 2 < count + margin)).nonzero().flatten()
            first, last = (int(inside[0]), int(inside[-1])) if len(inside) else (0, 0)
            parts.append(slice(max(0, first - 1), min(len(place), last + 2)))
        return parts[0], parts[1]

    def axes(self, grid: Grid) -> Iterator[tuple[Float[Tensor, " q"], float, int]]:
        """Of rows and of columns: middles and width of the cells in units of samples, and the number of samples."""
        for points, middle, cell, pitch, count in zip(
            (grid.y, grid.x), self.middle, grid.cell, self.pitch, self.values.shape[1:3], strict=True
        ):
            yield (points - middle) / pitch + (count - 1) / 2, cell / pitch, count

    def weights(
        self, grid: Grid, kernel: Callable[..., Tensor] = spline_weights
    ) -> tuple[Float[Tensor, "y h"], Float[Tensor, "x w"]]:
        """Weights of the feature samples in each of a grid's rows and columns."""
        rows, columns = (kernel(*axis).to(self.values) for axis in self.axes(grid))
        return rows, columns


def means(
    features: Features,
    grid: Grid,
    values: Callable[[Float[Tensor, "*b d"]], Float[Tensor, "*b c"]],
    supersample: int,
    bound: float | None = None,
) -> Float[Tensor, "b c h w"]:
    """Means over a grid's pixels of a function that two-layer heads compute from interpolated features.

    Args:
        features: The function.
        grid: Pixels, anywhere; beyond the frame, the values at its edge are repeated.
        values: The head's layers.
        supersample: Values of the function per pixel side, whose mean is the pixel.
        bound: Largest absolute value of the function, as for `FieldHead.forward`.
    """
    fine = grid.refine(supersample)
    features = features.near(fine)
    rows, columns = features.weights(fine)
    b, _, w, d = features.values.shape
    read = (rows @ features.values.reshape(b, -1, w * d)).reshape(b, len(rows), w, d)
    whole = torch.is_grad_enabled() or not read.is_cpu  # in parts only where a CPU draws: training keeps all values
    few = len(rows) if whole else max(1, CACHED // (b * len(columns) * d))
    found = torch.cat([values(columns @ part) for part in read.split(few, dim=1)], dim=1)
    if bound is not None:
        found = covered(found.clamp(-bound, bound), dim=-1)
    return (
        F.avg_pool2d(rearrange(found, "b h w c -> b c h w"), supersample) if supersample > 1 else found.movedim(-1, 1)
    )


class FieldHead(nn.Module):
    """Values of the function: the cubic B-spline of the features, averaged over the pixel's cell, then two layers.

    The spline is smooth and local and its weights are not negative, so there is no ringing and the lattice is not
    visible; the nonlinear layers make edges sharper than the lattice.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.hidden = nn.Linear(width, width)
        self.out = nn.Linear(width, channels)

    def forward(
        self, features: Features, grid: Grid, supersample: int | None = None, bound: float | None = None
    ) -> Float[Tensor, "b c h w"]:
        """Means over a grid's pixels.

        Args:
            features: The function.
            grid: Pixels, anywhere; beyond the frame, the values at its edge are repeated.
            supersample: Head samples per pixel side; `None` is `Features.supersample`.
            bound: Largest absolute value of the function, which is clipped before means are taken, and colours to
                their alpha; `None` clips nothing.
        """
        return means(features, grid, self.values, supersample or features.supersample(grid.cell), bound)

    def values(self, read: Float[Tensor, "*b d"]) -> Float[Tensor, "*b c"]:
        """The function's values from interpolated features: the two layers."""
        inplace = not torch.is_grad_enabled()  # only the backward pass needs the input of silu
        return self.out(F.silu(self.hidden(F.silu(read, inplace)), inplace))

    @torch.no_grad()
    def begin_with_differences(self) -> None:
        """Set the weights so that the head's values are a difference of features, and nothing else changes them yet.

        Of the last 2 * `channels` features, it is the first half less the second. Both layers hand a number on
        exactly as the difference of two of theirs, because silu(x) - silu(-x) = x.
        """
        given = 2 * self.channels
        for layer in (self.hidden.weight[-given:], self.hidden.weight[:, -given:], self.out.weight, self.out.bias):
            layer.zero_()
        self.hidden.bias[-given:].zero_()
        one = torch.eye(self.channels)
        self.hidden.weight[-given:, -given:] = torch.cat([torch.cat([one, -one], 1), torch.cat([-one, one], 1)])
        self.out.weight[:, -given:] = torch.cat([one, -one], 1)

    @classmethod
    def lerp(cls, start: "FieldHead", end: "FieldHead", weight: float) -> "FieldHead":
        """One head whose values are `start + weight * (end - start)`, of both heads' features side by side.

        The hidden layer is block-diagonal, one block per head, and the output layer adds the two with their weights.
        """
        with torch.device("meta"):  # drawing weights only to replace them would change the caller's random numbers
            both = cls(start.hidden.in_features + end.hidden.in_features, end.channels)
        layers = {
            "hidden.weight": torch.block_diag(start.hidden.weight, end.hidden.weight),
            "hidden.bias": torch.cat([start.hidden.bias, end.hidden.bias]),
            "out.weight": torch.cat([(1 - weight) * start.out.weight, weight * end.out.weight], dim=1),
            "out.bias": start.out.bias.lerp(end.out.bias, weight),
        }
        both.load_state_dict(layers, assign=True)
        return both.requires_grad_(False)
