"""A sharp picture from the pixelated frames of a camera that moved: `s2id.depixelate`.

First the camera's motion is found (`motion`, then `alignment`), then the one picture that explains all frames
(`fusion`). If a model of such pictures is given, pictures are drawn from its posterior given the frames (`posterior`).
"""

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from s2id.checks import checked
from s2id.coords import check_pixels, check_size, extent, whole_size
from s2id.diffusion.samplers import Step, result
from s2id.errors import InputError
from s2id.inverse.alignment import agreeing
from s2id.inverse.enlarge import enlarge
from s2id.inverse.frames import read_frames
from s2id.inverse.fusion import FramesOperator, Fused, fuse
from s2id.inverse.motion import register
from s2id.inverse.observation import STRADDLE, Area, Observation, check_noise, check_scale
from s2id.inverse.posterior import Measurement, posterior_steps
from s2id.inverse.settings import RESTORING
from s2id.media.alpha import covered, has_alpha, with_alpha
from s2id.network.enlarger import Enlarger
from s2id.sampling.conditions import Label, Seeds, pair, seed_list
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Sampling
from s2id.sampling.states import state_sizes
from s2id.settings import MAX_PIXELS, AnySize, Size

_STILL = 0.05  # distance of all shifts from whole pixels below which the frames show the same samples again

_MANY = 0.02  # share of outliers that the user is told of


@dataclass(frozen=True)
class Depixelated:
    """The picture that the frames show, and how it was found."""

    picture: Float[Tensor, "c h w"]
    """Pixel values in [-1, 1], at the position of the first frame."""
    uncertainty: Float[Tensor, "h w"]
    """Standard deviation of each pixel, in [-1, 1]."""
    motion: Float[Tensor, "f 2"]
    """Movement (y, x) of the camera since the first frame, in pixels of a frame: pixel p of a frame shows what is at
    p + motion in the first."""
    likeness: Float[Tensor, " f"]
    """Correlation of each frame with the first where they overlap; 1 if the motion was given."""
    used: Bool[Tensor, " f"]
    """True for each frame that the picture is made of; the other frames do not fit."""
    fused: Fused
    """The picture without a model, with its surroundings."""
    frame_size: Size
    """Height and width of a frame, in pixels."""
    notes: tuple[str, ...]
    """What a user should know about the result, one sentence each."""

    @property
    def spread(self) -> Float[Tensor, "1 h w"]:
        """The uncertainty as a picture in which 0 is black and the largest value white."""
        return (2 * self.uncertainty / self.uncertainty.max().clamp(min=1e-6) - 1)[None]

    def redrawn(self) -> Iterator[Float[Tensor, "c h w"]]:
        """Each used frame as the camera would have recorded it with pixels of the picture's size."""
        canvas, (top, left) = self.fused.canvas.clone(), self.fused.margin
        h, w = self.picture.shape[1:]
        canvas[:, top : top + h, left : left + w] = self.picture
        view, unit = extent(self.frame_size), 1 / max(self.frame_size)
        frame = view[0] * canvas.shape[1] / h, view[1] * canvas.shape[2] / w
        for y, x in self.motion[self.used].double().tolist():
            pixels = Observation.of_picture(torch.zeros(1, h, w), view, (y * unit, x * unit))
            yield Area(pixels, (canvas.shape[1], canvas.shape[2]), frame)(canvas[None])[0].mT.unflatten(1, (h, w))

    def facts(self) -> dict[str, object]:
        """Everything but the pictures, for a JSON file; motion in pixels of a frame, noise in [-1, 1]."""
        return {
            "frame_size": list(self.frame_size),
            "size": list(self.picture.shape[1:]),
            "motion": [[round(v, 4) for v in one] for one in self.motion.tolist()],
            "likeness": [round(v, 4) for v in self.likeness.tolist()],
            "used": self.used.tolist(),
            "noise": self.fused.noise,
            "strength": self.fused.strength,
            "outliers": self.fused.outliers,
            "uncertainty_white": float(self.uncertainty.max()),
            "notes": list(self.notes),
        }


_SETTLED = 0.75
"""Pixels along each side of a frame's pixel that frames settle, over the root of their number. From 4, 9 and 16 frames
of drawings, so many gave the best pictures of all that were tried (runs/LOG.md)."""

_FARTHEST = 16
"""Length of the longest motion, in frames: a scene's picture grows with it."""

_MOST_NOISE = 0.5
"""Standard deviation that the noise of frames may have where none is given, in [-1, 1]."""


@checked
def depixelate(
    frames: Float[Tensor, "f c h w"] | Path | str,
    size: AnySize,
    *,
    model: S2ID | None = None,
    noise: float | None = None,
    motion: Float[Tensor, "moves 2"] | None = None,
    label: Label = None,
    seeds: Seeds = tuple(range(8)),
    sampling: Sampling = RESTORING,
) -> Depixelated:
    """The scene of a moving camera in smaller pixels than any of its frames has.

    >>> import s2id
    >>> frames = torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(0)) - 0.5
    >>> motion = torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.0, 0.5], [0.5, 0.5]])
    >>> s2id.depixelate(frames, (12, 12), motion=motion).picture.shape
    torch.Size([1, 12, 12])

    Args:
        frames: Pixel values in [-1, 1]; or the path of a folder or file, as for `frames.read_frames`.
        size: Height and width of the picture in pixels, in the frames' aspect; or its long side.
        model: The prior: a model of pictures that resemble a whole frame; or a model that enlarges, such as "graphics",
            for frames of any size. `None` fuses the frames without a prior.
        noise: Standard deviation of a frame's pixels, in [-1, 1]; `None` estimates it.
        motion: Movement of the camera, as in the result; `None` estimates it.
        label: Condition for the model: a class's name or index, or the result of `s2id.ask`. `None` is no condition.
        seeds: The model draws one picture per seed, and the result is their mean; one that enlarges needs none.
        sampling: Solver and guidance of the model.

    Raises:
        InputError: The frames cannot be read or do not overlap, the model does not fit, or a number is out of range.
    """
    frames = read_frames(Path(frames)) if isinstance(frames, Path | str) else frames.float()
    steps = depixelating(
        frames, size, model=model, noise=noise, motion=motion, label=label, seeds=seeds, sampling=sampling
    )
    return result(steps)


def depixelating(
    frames: Float[Tensor, "f c h w"],
    size: AnySize,
    *,
    model: S2ID | None = None,
    noise: float | None = None,
    motion: Float[Tensor, "moves 2"] | None = None,
    label: Label = None,
    seeds: Seeds = tuple(range(8)),
    sampling: Sampling = RESTORING,
) -> Generator[Step, None, Depixelated]:
    """The steps of the model's solver in `depixelate`, whose result is what the generator returns; arguments as there.

    Arguments are checked before the first step is asked for.
    """
    if model is None and label is not None:
        raise InputError("label asks a model, and there is none; give model, or leave label out.")
    if model is not None and isinstance(model.network, Enlarger):
        pair(model, label, range(1))  # refuses a label, which it knows none of
        if model.config.invents:
            raise InputError("the model invents, and frames are to be explained; give one that does not, as graphics.")
    elif model is not None and has_alpha(model.config.channels):
        frames = with_alpha(frames)
    size = whole_size(size, extent((frames.shape[2], frames.shape[3])))
    _check(frames, size, model, noise)
    each = seed_list(seeds, "seeds")
    return _steps(frames, size, model, noise, motion, [label] * len(each), each, sampling)


def _steps(
    frames: Float[Tensor, "f c h w"],
    size: Size,
    model: S2ID | None,
    noise: float | None,
    motion: Float[Tensor, "moves 2"] | None,
    labels: Sequence[Label],
    seeds: Sequence[int],
    sampling: Sampling,
) -> Generator[Step, None, Depixelated]:
    """The steps of `depixelating`, and its result."""
    motion, likeness, used = _moved(frames, motion)
    fused = fuse(frames[used], motion[used], size, noise)
    picture, std = fused.picture, fused.uncertainty
    if model is not None and isinstance(model.network, Enlarger):
        picture = _enlarged(model.network, frames[used], motion[used], fused)
    elif model is not None:
        picture, std = yield from _under(model, frames[used], motion[used], fused, labels, seeds, sampling)
    notes = tuple(_notes(motion, used, fused, model))
    frame_size = frames.shape[2], frames.shape[3]
    return Depixelated(covered(picture.clamp(-1, 1)), std, motion, likeness, used, fused, frame_size, notes)


def _moved(
    frames: Float[Tensor, "f c h w"], motion: Float[Tensor, "moves 2"] | None
) -> tuple[Float[Tensor, "f 2"], Float[Tensor, " f"], Bool[Tensor, " f"]]:
    """Motion, likeness and use of every frame; a motion that is given is kept, and all frames are used."""
    if motion is None:
        found, likeness = register(frames)
        motion, used = agreeing(frames, found, likeness)
        return motion, likeness, used
    if len(motion) != len(frames):
        raise InputError(f"there are {len(frames)} frames and {len(motion)} motions; give one for each frame.")
    if not bool((motion.abs() < _FARTHEST * max(frames.shape[2:])).all()):  # false for NaN as well
        raise InputError(f"a motion is no number, or farther than {_FARTHEST} frames; frames of one scene overlap.")
    return motion, torch.ones(len(frames)), torch.ones(len(frames), dtype=torch.bool)


def _notes(motion: Float[Tensor, "f 2"], used: Bool[Tensor, " f"], fused: Fused, model: S2ID | None) -> Iterator[str]:
    """What a user should know about the result."""
    if float((motion - motion.round()).abs().max()) < _STILL:
        yield "no motion by parts of a pixel was found, so there is nothing to be gained but less noise."
    if not used.all():
        lost = ", ".join(str(i) for i in (~used).nonzero()[:, 0].tolist())
        yield f"frames that a moved camera does not explain were left out: {lost}."
    if fused.outliers > _MANY:
        yield f"{fused.outliers:.0%} of the pixels do not fit the others; something moved besides the camera."
    if model is None:
        yield "no model was given: the picture is fused without a prior."


def _under(
    model: S2ID,
    frames: Float[Tensor, "f c h w"],
    motion: Float[Tensor, "f 2"],
    fused: Fused,
    labels: Sequence[Label],
    seeds: Sequence[int],
    sampling: Sampling,
) -> Generator[Step, None, tuple[Float[Tensor, "c height width"], Float[Tensor, "height width"]]]:
    """Mean and std of the model's pictures given the frames; the mean explains the frames as a fused picture does."""
    aspect, size = (frames.shape[2], frames.shape[3]), (fused.picture.shape[1], fused.picture.shape[2])
    if model.config.dense:  # its state is the picture
        sampling = replace(sampling, density=max(size))
    state, _ = state_sizes(model, aspect, sampling.density)
    pixels = _observed(frames, motion, (fused.noise**2 + STRADDLE**2) ** 0.5)
    measurement = Measurement.of(pixels, state, extent(aspect))
    # without a bound and with one more step than where single pictures are restored: so the tables were measured
    walk = posterior_steps(model, measurement, labels, seeds, sampling, aspect=aspect, iterations=4, bound=None)
    fields = yield from walk
    drawn = fields.render(size, fit="stretch").cpu()
    spread = drawn.var(0, correction=int(len(drawn) > 1)).mean(0)
    return _completed(drawn.mean(0), frames, motion, fused), spread.sqrt()


def _enlarged(
    network: Enlarger, frames: Float[Tensor, "f c h w"], motion: Float[Tensor, "f 2"], fused: Fused
) -> Float[Tensor, "c height width"]:
    """The picture of as many pixels as the frames settle, enlarged by the network; it explains the frames as well."""
    size, times = (fused.picture.shape[1], fused.picture.shape[2]), math.ceil(_SETTLED * len(frames) ** 0.5)
    settled = min(times * frames.shape[2], size[0]), min(times * frames.shape[3], size[1])
    seen = fused.picture if settled == size else fuse(frames, motion, settled, fused.noise, draws=0).picture
    device = network.stem.weight.device
    # means over its pixels are estimates, which need not be met: the frames are
    large = enlarge(network, covered(seen.clamp(-1, 1))[None].to(device), size, exact=False)[0].cpu()
    return _completed(large, frames, motion, fused)


def _completed(
    picture: Float[Tensor, "c height width"],
    frames: Float[Tensor, "f c h w"],
    motion: Float[Tensor, "f 2"],
    fused: Fused,
) -> Float[Tensor, "c height width"]:
    """The picture and what it leaves unexplained of the frames, which is fused like frames of its own."""
    size = picture.shape[1], picture.shape[2]
    operator = FramesOperator((frames.shape[2], frames.shape[3]), motion, size)
    top, left = operator.margin
    canvas = fused.canvas.clone()
    canvas[:, top : top + size[0], left : left + size[1]] = picture
    left_over = frames - operator(canvas[None])[0].movedim(0, 1)
    return picture + fuse(left_over, motion, size, fused.noise, draws=0).picture


def _observed(frames: Float[Tensor, "f c h w"], motion: Float[Tensor, "f 2"], noise: float) -> Observation:
    """The frames' pixels whose centres lie in the first frame's view: a model knows nothing of what is beyond."""
    unit, view = 1 / max(frames.shape[2:]), torch.tensor(extent((frames.shape[2], frames.shape[3])))
    parts = []
    for frame, (y, x) in zip(frames, motion.double().tolist(), strict=True):
        whole = Observation.of_picture(frame, shift=(y * unit, x * unit))
        inside = (whole.coords.abs() <= view / 2).all(1).unflatten(0, frame.shape[1:])
        if inside.any():  # a given motion may lead beyond the view
            parts.append(Observation.of_picture(frame, shift=(y * unit, x * unit), mask=inside, noise=noise))
    if not parts:
        raise InputError("no frame shows the first one's view; give the motion since the first frame, which is 0, 0.")
    return Observation.join(parts)


def _check(frames: Float[Tensor, "f c h w"], size: Size, model: S2ID | None, noise: float | None) -> None:
    """Refuse arguments of `depixelate` that are out of range."""
    f, c, h, w = frames.shape
    check_size(size)
    check_pixels(size, MAX_PIXELS)
    if f < 2:
        raise InputError(f"there {'is 1 frame' if f else 'are no frames'}; give at least 2 of a camera that moved.")
    if not frames.isfinite().all():
        raise InputError("the frames hold NaN or infinity; leave such frames out or repair them.")
    if noise is not None:
        check_noise(noise)
    check_scale(frames, _MOST_NOISE if noise is None else noise, "the frames have")
    if size[0] < h or size[1] < w:
        raise InputError(f"size {size[0]}x{size[1]} is smaller than the frames' {h}x{w}; choose a larger one.")
    if abs(size[1] - size[0] * w / h) > size[0] / h:
        raise InputError(
            f"size {size[0]}x{size[1]} is of another aspect than the frames' {h}x{w}; "
            f"choose {size[0]}x{round(size[0] * w / h)}."
        )
    if model is not None and not isinstance(model.network, Enlarger):
        model.need_pixels("de-pixelating under a model")
        if (draws := model.config.channels) != c:
            raise InputError(
                f"the frames have {c} channels and this model draws {draws}; choose another model, or none."
            )
