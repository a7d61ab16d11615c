"""One picture from the frames of a camera that moved, without a model.

Every pixel of every frame is the mean of one function over the pixel's cell, so the frames are a linear map of the
picture (`FramesOperator`), and the picture is the regularised least-squares solution.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from s2id.coords import extent
from s2id.errors import InputError
from s2id.inverse.observation import Area, Observation
from s2id.linear import conjugate_gradients
from s2id.settings import Size
from s2id.shapes import Images

STRENGTHS = tuple(10.0**e for e in (-3, -2.5, -2, -1.5, -1, -0.5, 0))
"""Strengths of the smoothness term that `fuse` chooses from."""

OUTLIER = 3.0
"""Residual, in standard deviations of the noise, beyond which a pixel loses weight."""

LEAST_NOISE = 1 / 255
"""Least noise that is assumed: bytes are no finer, and a noise of 0 would make an outlier of every pixel."""

STEPS = 40
"""Steps of conjugate gradients for one solution."""

_EDGE = 0.05  # difference between neighbours, in [-1, 1], beyond which it counts as an edge

_HIDDEN = 0.2  # share of the pixels that choose the strength

_ROUNDS = 5  # turns of new weights and a new solution

_ENOUGH = 1e-4  # residual, relative to the right side, at which a solution is accurate


@dataclass(frozen=True)
class Fused:
    """A picture and how well it explains the frames."""

    picture: Float[Tensor, "c h w"]
    """Pixel values in [-1, 1]."""
    uncertainty: Float[Tensor, "h w"]
    """Standard deviation of each pixel, rms over the channels, in [-1, 1]."""
    canvas: Float[Tensor, "c h2 w2"]
    """The picture with the surroundings that only the moved frames show."""
    margin: Size
    """Pixels of the canvas above, and left of, the picture."""
    noise: float
    """Standard deviation of a frame's pixels, in [-1, 1]: given, or estimated from hidden pixels."""
    strength: float
    """Strength of the smoothness term."""
    outliers: float
    """Share of the frames' pixels that do not fit the others and lost at least half their weight."""


class FramesOperator:
    """The linear map from a picture on a canvas to all frames of a moving camera, with its transpose.

    The canvas reaches as far beyond the first frame's view as the camera moved, in whole pixels, so that what enters
    at the borders is solved for instead of being folded into the picture.

    >>> operator = FramesOperator((4, 4), torch.tensor([[0.0, 0.0], [0.5, 0.25]]), (8, 8))
    >>> operator(torch.zeros(1, 3, *operator.canvas)).shape  # 2 frames
    torch.Size([1, 3, 2, 4, 4])
    """

    def __init__(self, frame_size: Size, shifts: Float[Tensor, "f 2"], size: Size) -> None:
        """Prepare the map.

        Args:
            frame_size: Height and width of a frame, in pixels.
            shifts: Movement (y, x) of the camera in pixels of a frame: pixel p of a frame shows what is at p + shift
                in the picture.
            size: Height and width of the picture, in pixels.
        """
        per_pixel = [n / m for n, m in zip(size, frame_size, strict=True)]
        reach = shifts.abs().amax(0).tolist() if len(shifts) else [0.0, 0.0]
        self.margin = math.ceil(reach[0] * per_pixel[0]), math.ceil(reach[1] * per_pixel[1])
        self.canvas = size[0] + 2 * self.margin[0], size[1] + 2 * self.margin[1]
        view = extent(frame_size)
        frame = view[0] / size[0] * self.canvas[0], view[1] / size[1] * self.canvas[1]
        self.size, unit, nothing = size, 1 / max(frame_size), torch.zeros(1, *frame_size)
        # the pixels of one frame lie on a grid, so the map to each frame is a product of two small matrices
        areas = [
            Area(Observation.of_picture(nothing, shift=(y * unit, x * unit)), self.canvas, frame)
            for y, x in shifts.double().tolist()
        ]
        self.rows = torch.stack([area.rows for area in areas]).float()
        self.columns = torch.stack([area.columns for area in areas]).float()

    def __call__(self, x: Images) -> Float[Tensor, "b c f rows columns"]:
        """The frames of pictures on the canvas."""
        f, h, _ = self.rows.shape
        return (self.rows.flatten(0, 1) @ x).unflatten(2, (f, h)) @ self.columns.mT

    def transpose(self, y: Float[Tensor, "b c f rows columns"]) -> Images:
        """Pictures on the canvas from frames, by the transpose."""
        return self.rows.flatten(0, 1).mT @ (y @ self.columns).flatten(2, 3)

    def crop(self, canvas: Float[Tensor, "*b h2 w2"]) -> Float[Tensor, "*b h w"]:
        """The part of a canvas that the picture covers."""
        top, left = self.margin
        return canvas[..., top : top + self.size[0], left : left + self.size[1]]


def differences(x: Images) -> Float[Tensor, "4 b c h w"]:
    """Slopes of pictures between neighbours: down, right and along both diagonals; 0 at the last row and column."""
    d = x.new_zeros(4, *x.shape)
    d[0, ..., :-1, :] = x[..., 1:, :] - x[..., :-1, :]
    d[1, ..., :-1] = x[..., 1:] - x[..., :-1]
    d[2, ..., :-1, :-1] = (x[..., 1:, 1:] - x[..., :-1, :-1]) / 2**0.5
    d[3, ..., :-1, 1:] = (x[..., 1:, :-1] - x[..., :-1, 1:]) / 2**0.5
    return d


def differences_transpose(d: Float[Tensor, "4 b c h w"]) -> Images:
    """The transpose of `differences`."""
    x = torch.zeros_like(d[0])
    for i, (low, high) in enumerate(
        (
            ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
            ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
            ((slice(None, -1), slice(None, -1)), (slice(1, None), slice(1, None))),
            ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))),
        )
    ):
        part = d[i][..., low[0], low[1]] / (1 if i < 2 else 2**0.5)
        x[..., low[0], low[1]] -= part
        x[..., high[0], high[1]] += part
    return x


@dataclass(frozen=True)
class Problem:
    """The quadratic `weight |y - A x|^2 + strength edges |D x|^2` in x, where D are the `differences`."""

    operator: FramesOperator
    """The map A."""
    y: Float[Tensor, "1 c f rows columns"]
    """The frames."""
    weight: Float[Tensor, "1 c f rows columns"]
    """Weight of each pixel of the frames."""
    edges: Float[Tensor, "4 1 1 h2 w2"]
    """Weight of each difference, small where the picture has an edge."""
    strength: float
    """Strength of the smoothness term."""

    @classmethod
    def even(
        cls,
        operator: FramesOperator,
        y: Float[Tensor, "1 c f rows columns"],
        weight: Float[Tensor, "1 c f rows columns"],
        strength: float,
    ) -> "Problem":
        """A problem in which all differences have the weight 1."""
        return cls(operator, y, weight, torch.ones(4, 1, 1, *operator.canvas), strength)

    def hessian(self, x: Images) -> Images:
        """Half the quadratic's second derivative, applied to x."""
        data = self.operator.transpose(self.weight * self.operator(x))
        return data + self.strength * differences_transpose(self.edges * differences(x))

    def solve(self, x: Images, steps: int) -> Images:
        """The minimiser, by conjugate gradients that begin at x."""
        right = self.operator.transpose(self.weight * self.y)
        return conjugate_gradients(self.hessian, right, steps, _ENOUGH, x)

    def with_edges(self, x: Images) -> "Problem":
        """The problem with weights that make it a majoriser of a penalty that is linear beyond `_EDGE`."""
        steep = differences(x).square().sum((0, 2), keepdim=True).sqrt() / _EDGE
        return replace(self, edges=(1 + steep.square()).rsqrt().expand(4, -1, -1, -1, -1))


def beginning(operator: FramesOperator, y: Float[Tensor, "1 c f rows columns"]) -> Images:
    """A first picture: each sample is the mean of the pixels that cover it, or the mean of all pixels."""
    seen = operator.transpose(torch.ones_like(y[:, :1]))
    return (operator.transpose(y) + 1e-3 * y.mean()) / (seen + 1e-3)


def spread(values: Tensor) -> float:
    """Standard deviation of most of the values, however far away the others are."""
    return max(1.4826 * float(values.abs().median()), 1e-6)


def fuse(
    frames: Float[Tensor, "f c h w"],
    shifts: Float[Tensor, "f 2"],
    size: Size,
    noise: float | None = None,
    draws: int = 8,
) -> Fused:
    """The picture whose area means are the frames, as smooth between its edges as the frames allow.

    The strength of the smoothness is chosen by hiding a fifth of the pixels and predicting them from the others.

    Args:
        frames: Pixel values in [-1, 1].
        shifts: Movement (y, x) of the camera, as for `FramesOperator`.
        size: Height and width of the picture, in pixels.
        noise: Standard deviation of a frame's pixels, in [-1, 1]; `None` estimates it.
        draws: Number of random pictures that the uncertainty is estimated from.

    Raises:
        InputError: There is no frame, the numbers of frames and shifts differ, or a frame is larger than the picture.
    """
    f, _, h, w = frames.shape
    if not f or len(shifts) != f:
        raise InputError(
            f"there are {f} frames and {len(shifts)} shifts; give at least one frame and a shift for each."
        )
    if size[0] < h or size[1] < w:
        raise InputError(f"size {size[0]}x{size[1]} is smaller than the frames' {h}x{w}; choose a larger one.")
    operator, y = FramesOperator((h, w), shifts, size), frames.float().movedim(1, 0)[None]
    generator = torch.Generator().manual_seed(0)
    # hidden in all frames: where two frames are nearly the same, each would give away the other's errors
    shown = torch.rand(h, w, generator=generator) > _HIDDEN
    shown[0, 0] &= not shown.all()  # of few pixels, chance may have hidden none
    shown = shown.float().expand(y.shape)
    strength, estimated = _choose(operator, y, shown)
    noise = max(estimated if noise is None else noise, LEAST_NOISE)
    problem = Problem.even(operator, y, torch.ones_like(y), strength)
    x = problem.solve(beginning(operator, y), STEPS)
    for _ in range(_ROUNDS):
        far = (y - operator(x)).abs() / (OUTLIER * noise)
        problem = replace(problem, weight=far.clamp(min=1).pow(-2)).with_edges(x)
        x = problem.solve(x, STEPS)
    std = _deviation(problem, noise, draws, generator)
    outliers = float((problem.weight < 0.5).float().mean())
    return Fused(operator.crop(x)[0], operator.crop(std), x[0], operator.margin, noise, strength, outliers)


def _choose(
    operator: FramesOperator, y: Float[Tensor, "1 c f rows columns"], shown: Float[Tensor, "1 c f rows columns"]
) -> tuple[float, float]:
    """The strength with which the shown pixels predict the hidden ones best, and the std of the errors."""
    best, x = (math.inf, 0.0, 0.0), beginning(operator, y)
    for strength in reversed(STRENGTHS):
        problem = Problem.even(operator, y, shown, strength).with_edges(x)
        for _ in range(2):
            x = problem.solve(x, STEPS)
            problem = problem.with_edges(x)
        wrong = (y - operator(x))[shown == 0]
        # not squared: a few outliers must not decide
        best = min(best, (float(wrong.abs().mean()), strength, spread(wrong)))
    return best[1], best[2]


def _deviation(problem: Problem, noise: float, draws: int, generator: torch.Generator) -> Float[Tensor, "h w"]:
    """Standard deviation of each sample of the canvas: the spread of the problem's solutions for noise alone.

    Solutions for right sides that are drawn from the noise and from the smoothness term are draws from the Gaussian
    with the problem's Hessian (Papandreou and Yuille 2010).
    """
    total = torch.zeros(problem.operator.canvas)
    for _ in range(draws):
        e = torch.randn(problem.y.shape, generator=generator)
        d = torch.randn((4, 1, problem.y.shape[1], *problem.operator.canvas), generator=generator)
        right = problem.operator.transpose(problem.weight.sqrt() * e)
        right = right + problem.strength**0.5 * differences_transpose(problem.edges.sqrt() * d)
        x = conjugate_gradients(problem.hessian, noise * right, STEPS, _ENOUGH)
        total += x[0].square().mean(0) / draws
    # few draws scatter; neighbours are about as uncertain
    return torch.nn.functional.avg_pool2d(total[None], 3, 1, 1, count_include_pad=False)[0].sqrt()
