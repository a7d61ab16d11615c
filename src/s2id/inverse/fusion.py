"""One picture from the frames of a camera that moved, without a model.

Every pixel of every frame is the mean of one function over its cell (`observe.Area`), so the frames are a linear map
of the picture, and the picture is a regularised least-squares solution. Where the frames were taken is refined
through the same map: the motion is right when the fused picture explains the frames.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from s2id.coords import extent
from s2id.errors import InputError
from s2id.inverse.observation import Area, Observation
from s2id.linear import conjugate_gradients
from s2id.settings import Size
from s2id.shapes import Images, Scalars

STRENGTHS = tuple(10.0**e for e in (-3, -2.5, -2, -1.5, -1, -0.5, 0))
"""Strengths of the smoothness to choose from."""

_EDGE = 0.05  # differences between neighbours, in [-1, 1], beyond which they count as an edge

_OUTLIER = 3.0  # residuals, in stds of the noise, beyond which a pixel loses weight

_HIDDEN = 0.2  # share of the pixels that choose the strength

_ROUNDS, _STEPS = 5, 40  # turns of new weights, and steps of conjugate gradients in each

_ENOUGH = 1e-4  # residual, relative to the right side, at which these stop

_COARSE, _FINE, _TURN = 0.3, 0.003, 20  # strengths and steps while motion is refined

_SMALL = 2**13  # pixels; motion of frames of more is refined on fewer samples per pixel

_LONGEST_STEP = 0.5  # pixels

_PUSH = 1.7  # steps are too short, as the picture is partly made of each frame where it was before

_UNLIKE, _LEAST_UNLIKE = 4.0, 0.05  # 1 - likeness, in that of the middle frame, beyond which one is left out

_MISFIT = 2.0  # residuals of a frame, in those of the middle one, beyond which it is left out

_LEAST_NOISE = 1 / 255  # bytes are no finer, and a noise of 0 would call every residual an outlier


@dataclass(frozen=True)
class Fused:
    """A picture and how well it explains the frames."""

    picture: Float[Tensor, "c h w"]
    """In [-1, 1]."""
    uncertainty: Float[Tensor, "h w"]
    """Std of each pixel, rms over the channels, in the same unit."""
    canvas: Float[Tensor, "c h2 w2"]
    """The picture with what only the moved frames saw around it."""
    margin: Size
    """Pixels of the canvas above, and left of, the picture."""
    noise: float
    """Std of a frame's pixel, in the same unit: given, or estimated from pixels held out."""
    strength: float
    """Of the smoothness."""
    outliers: float
    """Share of the frames' pixels that do not fit the others and lost at least half their weight."""


class Frames:
    """The linear map from a picture on a canvas to all frames, and its transpose.

    The canvas reaches as far beyond the first frame's view as the camera moved, in whole pixels, so that what enters
    at the borders is solved for instead of being folded into the picture.
    """

    def __init__(self, frame_size: Size, shifts: Float[Tensor, "f 2"], size: Size) -> None:
        """Prepare the map.

        Args:
            frame_size: Height and width of a frame.
            shifts: What the camera moved by, (y, x) in pixels of a frame: pixel p shows what p + shift is in the
                picture's own place.
            size: Height and width of the picture.
        """
        per_pixel = [n / m for n, m in zip(size, frame_size, strict=True)]
        reach = shifts.abs().amax(0).tolist() if len(shifts) else [0.0, 0.0]
        self.margin = math.ceil(reach[0] * per_pixel[0]), math.ceil(reach[1] * per_pixel[1])
        self.canvas = size[0] + 2 * self.margin[0], size[1] + 2 * self.margin[1]
        seen = extent(frame_size)
        frame = seen[0] / size[0] * self.canvas[0], seen[1] / size[1] * self.canvas[1]
        self.size, unit, nothing = size, 1 / max(frame_size), torch.zeros(1, *frame_size)
        # every frame lies on a grid of its own, so each is a product of two small matrices
        areas = [
            Area(Observation.of_picture(nothing, shift=(y * unit, x * unit)), self.canvas, frame)
            for y, x in shifts.double().tolist()
        ]
        self.rows = torch.stack([area.rows for area in areas]).float()
        self.columns = torch.stack([area.columns for area in areas]).float()

    def __call__(self, x: Images) -> Float[Tensor, "b c f rows columns"]:
        """The frames."""
        f, h, _ = self.rows.shape
        return (self.rows.flatten(0, 1) @ x).unflatten(2, (f, h)) @ self.columns.mT

    def transpose(self, y: Float[Tensor, "b c f rows columns"]) -> Images:
        """The transpose."""
        return self.rows.flatten(0, 1).mT @ (y @ self.columns).flatten(2, 3)

    def crop(self, canvas: Float[Tensor, "*b h2 w2"]) -> Float[Tensor, "*b h w"]:
        """The picture on a canvas."""
        top, left = self.margin
        return canvas[..., top : top + self.size[0], left : left + self.size[1]]


def differences(x: Images) -> Float[Tensor, "4 b c h w"]:
    """Down, right and along both diagonals, each over its length; 0 at the last row and column."""
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
class _Problem:
    """`weight |y - A x|^2 + strength edges |D x|^2`, with both weights."""

    frames: Frames
    y: Float[Tensor, "1 c f rows columns"]
    weight: Float[Tensor, "1 c f rows columns"]
    edges: Float[Tensor, "4 1 1 h2 w2"]
    strength: float

    def hessian(self, x: Images) -> Images:
        data = self.frames.transpose(self.weight * self.frames(x))
        return data + self.strength * differences_transpose(self.edges * differences(x))

    def solve(self, x: Images, steps: int) -> Images:
        right = self.frames.transpose(self.weight * self.y)
        return conjugate_gradients(self.hessian, right, steps, _ENOUGH, x)

    def with_edges(self, x: Images) -> "_Problem":
        """Weights of the differences that make the quadratic a majoriser of a penalty linear beyond `_EDGE`."""
        steep = differences(x).square().sum((0, 2), keepdim=True).sqrt() / _EDGE
        return replace(self, edges=(1 + steep.square()).rsqrt().expand(4, -1, -1, -1, -1))


def _start(frames: Frames, y: Float[Tensor, "1 c f rows columns"]) -> Images:
    """Each sample the mean of the pixels that saw it; unseen ones the mean of all."""
    seen = frames.transpose(torch.ones_like(y[:, :1]))
    return (frames.transpose(y) + 1e-3 * y.mean()) / (seen + 1e-3)


def _spread(values: Tensor) -> float:
    """Std of most of the values, however far off the rest are."""
    return max(1.4826 * float(values.abs().median()), 1e-6)


def fuse(
    frames: Float[Tensor, "f c h w"],
    shifts: Float[Tensor, "f 2"],
    size: Size,
    noise: float | None = None,
    draws: int = 8,
) -> Fused:
    """The picture whose area means are the frames, as smooth between its edges as the frames allow.

    How smooth is chosen by hiding a fifth of the pixels and predicting them from the others.

    Args:
        frames: In [-1, 1].
        shifts: What the camera moved by, (y, x) in pixels of a frame: pixel p shows what p + shift is in the picture.
        size: Height and width of the picture.
        noise: Std of a frame's pixel in [-1, 1]; `None` estimates it.
        draws: Random pictures that the uncertainty is measured with.

    Raises:
        InputError: There is no frame, not one shift per frame, or the size is smaller than a frame.
    """
    f, _, h, w = frames.shape
    if not f or len(shifts) != f:
        raise InputError(
            f"there are {f} frames and {len(shifts)} shifts; give at least one frame and a shift for each."
        )
    if size[0] < h or size[1] < w:
        raise InputError(f"size {size[0]}x{size[1]} is smaller than the frames' {h}x{w}; choose a larger one.")
    lens, y = Frames((h, w), shifts, size), frames.float().movedim(1, 0)[None]
    generator = torch.Generator().manual_seed(0)
    # hidden in all frames: where two frames are nearly the same, each would give away the other's errors
    shown = (torch.rand(h, w, generator=generator) > _HIDDEN).float().expand(y.shape)
    strength, estimated = _choose(lens, y, shown)
    noise = max(estimated if noise is None else noise, _LEAST_NOISE)
    problem = _problem(lens, y, torch.ones_like(y), strength)
    x = problem.solve(_start(lens, y), _STEPS)
    for _ in range(_ROUNDS):
        far = (y - lens(x)).abs() / (_OUTLIER * noise)
        problem = replace(problem, weight=far.clamp(min=1).pow(-2)).with_edges(x)
        x = problem.solve(x, _STEPS)
    std = _deviation(problem, noise, draws, generator)
    outliers = float((problem.weight < 0.5).float().mean())
    return Fused(lens.crop(x)[0], lens.crop(std), x[0], lens.margin, noise, strength, outliers)


def refine(frames: Float[Tensor, "f c h w"], shifts: Float[Tensor, "f 2"], rounds: int = 48) -> Float[Tensor, "f 2"]:
    """Shifts at which one picture explains all frames best, found from shifts within about a pixel of them.

    Fusing and Gauss-Newton steps on the residual take turns, from a smooth picture to a sharp one. The first frame
    stays where it is.

    Args:
        frames: In [-1, 1].
        shifts: As for `fuse`.
        rounds: Turns.
    """
    h, w = frames.shape[2:]
    # an error of a hundredth of a pixel shows in a picture four times as dense
    denser = 4 if h * w <= _SMALL else 2
    y, size = frames.float().movedim(1, 0)[None], (denser * h, denser * w)
    x, before = None, None
    for turn in range(rounds):
        lens = Frames((h, w), shifts, size)
        if x is None or before != lens.canvas:
            x, before = _start(lens, y), lens.canvas
        strength = _COARSE * (_FINE / _COARSE) ** min(1.0, 2 * turn / max(1, rounds - 1))
        problem = _problem(lens, y, torch.ones_like(y), strength).with_edges(x)
        x = problem.solve(x, _TURN)
        step = _PUSH * _newton(lens, y, x)
        shifts = shifts + step - step[0]
        if float(step.abs().max()) < 1e-3 and turn > rounds // 2:
            break
    return shifts


def agreeing(
    frames: Float[Tensor, "f c h w"], shifts: Float[Tensor, "f 2"], likeness: Float[Tensor, " f"]
) -> tuple[Float[Tensor, "f 2"], Bool[Tensor, " f"]]:
    """Refined shifts, and which frames one picture explains; the others turn, zoom or show something else.

    Args:
        frames: In [-1, 1].
        shifts: As for `refine`.
        likeness: Of each frame and the first, as `motion.register` finds it.
    """
    unlike = 1 - likeness
    fits = unlike <= (_UNLIKE * unlike[1:].median()).clamp(min=_LEAST_UNLIKE)
    for _ in range(3):  # without the worst, the picture is better, and others stand out
        shifts = shifts.index_put((fits,), refine(frames[fits], shifts[fits]))
        wrong = _misfit(frames, shifts, fits)
        now = fits & (wrong <= _MISFIT * wrong[fits].median())
        if bool((now == fits).all()) or now.sum() < 2:
            break
        fits = now
    return shifts, fits


def _misfit(frames: Float[Tensor, "f c h w"], shifts: Float[Tensor, "f 2"], fits: Bool[Tensor, " f"]) -> Scalars:
    """Rms of what the picture of the frames that fit leaves of each frame."""
    h, w = frames.shape[2:]
    lens, y = Frames((h, w), shifts, (2 * h, 2 * w)), frames.float().movedim(1, 0)[None]
    problem = _problem(lens, y, fits[:, None, None].expand(y.shape).float(), _FINE)
    x = problem.solve(_start(lens, y), _STEPS)
    x = problem.with_edges(x).solve(x, _STEPS)
    return (y - lens(x)).square().mean((0, 1, 3, 4)).sqrt()


def _newton(lens: Frames, y: Float[Tensor, "1 c f rows columns"], x: Images) -> Float[Tensor, "f 2"]:
    """Each frame's step towards where the picture shows what the frame does."""
    slopes = torch.zeros(2, *x.shape[1:])
    slopes[0, :, 1:-1] = (x[0, :, 2:] - x[0, :, :-2]) / 2 * (lens.size[0] / y.shape[3])
    slopes[1, :, :, 1:-1] = (x[0, :, :, 2:] - x[0, :, :, :-2]) / 2 * (lens.size[1] / y.shape[4])
    seen, residual = lens(slopes), y - lens(x)
    weight = (residual.abs() / (_OUTLIER * max(_spread(residual), _LEAST_NOISE))).clamp(min=1).pow(-2)
    normal = torch.einsum("icfhw,jcfhw,cfhw->fij", seen, seen, weight[0])
    right = torch.einsum("icfhw,cfhw->fi", seen, (weight * residual)[0])
    # where a frame has no slope along an axis, it stays
    normal = normal + torch.eye(2) * (1e-3 * normal.diagonal(dim1=1, dim2=2).amax(1).clamp(min=1e-6))[:, None, None]
    return torch.linalg.solve(normal, right).clamp(-_LONGEST_STEP, _LONGEST_STEP)


def _problem(
    lens: Frames, y: Float[Tensor, "1 c f rows columns"], weight: Float[Tensor, "1 c f rows columns"], strength: float
) -> _Problem:
    return _Problem(lens, y, weight, torch.ones(4, 1, 1, *lens.canvas), strength)


def _choose(
    lens: Frames, y: Float[Tensor, "1 c f rows columns"], shown: Float[Tensor, "1 c f rows columns"]
) -> tuple[float, float]:
    """The strength that predicts hidden pixels best from those shown, and the std of what it gets wrong."""
    best, x = (math.inf, 0.0, 0.0), _start(lens, y)
    for strength in reversed(STRENGTHS):
        problem = _problem(lens, y, shown, strength).with_edges(x)
        for _ in range(2):
            x = problem.solve(x, _STEPS)
            problem = problem.with_edges(x)
        wrong = (y - lens(x))[shown == 0]
        # not squared: a few outliers must not decide
        best = min(best, (float(wrong.abs().mean()), strength, _spread(wrong)))
    return best[1], best[2]


def _deviation(problem: _Problem, noise: float, draws: int, generator: torch.Generator) -> Float[Tensor, "h w"]:
    """Std of each sample of the canvas under the last quadratic: the spread of its solutions for noise alone.

    Papandreou and Yuille 2010: solutions for right sides drawn from the noise and the smoothness are draws from the
    Gaussian with that Hessian.
    """
    total = torch.zeros(problem.frames.canvas)
    for _ in range(draws):
        e = torch.randn(problem.y.shape, generator=generator)
        d = torch.randn((4, 1, problem.y.shape[1], *problem.frames.canvas), generator=generator)
        right = problem.frames.transpose(problem.weight.sqrt() * e)
        right = right + problem.strength**0.5 * differences_transpose(problem.edges.sqrt() * d)
        x = conjugate_gradients(problem.hessian, noise * right, _STEPS, _ENOUGH)
        total += x[0].square().mean(0) / draws
    # few draws scatter; neighbours are about as uncertain
    return torch.nn.functional.avg_pool2d(total[None], 3, 1, 1, count_include_pad=False)[0].sqrt()
