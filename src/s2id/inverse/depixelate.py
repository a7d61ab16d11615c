"""A sharp picture from the pixelated frames of a camera that moved: `s2id.depixelate`.

Three steps: where was each frame taken (`motion`, then `fuse.refine`), which picture explains them all (`fuse`), and,
where a model of such pictures is given, which of its pictures do (`posterior`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from s2id.condition import Condition
from s2id.coords import check_size, extent
from s2id.diffusion.samplers import last
from s2id.errors import InputError
from s2id.inverse.frames import read_frames
from s2id.inverse.fusion import Frames, Fused, agreeing, fuse
from s2id.inverse.motion import register
from s2id.inverse.observation import Area, Observation
from s2id.inverse.posterior import STRADDLE, Posterior
from s2id.inverse.settings import RESTORING
from s2id.sampling.conditions import pair
from s2id.sampling.field import check_pixels
from s2id.sampling.model import S2ID
from s2id.sampling.sample import affordable, compose, read_out, state_sizes
from s2id.sampling.settings import Sampling
from s2id.settings import MAX_PIXELS, Size

_STILL = 0.05  # pixels; nearer to whole pixels, frames show the same samples again


@dataclass(frozen=True)
class Depixelated:
    """What the frames show, and how it was found."""

    picture: Float[Tensor, "c h w"]
    """In [-1, 1], in the first frame's place."""
    uncertainty: Float[Tensor, "h w"]
    """Std of each pixel, in the same unit."""
    motion: Float[Tensor, "f 2"]
    """What the camera moved by, (y, x) in pixels of a frame: pixel p of a frame shows what is at p + motion."""
    likeness: Float[Tensor, " f"]
    """Correlation of each frame with the first where they overlap; 1 where the motion was given."""
    used: Bool[Tensor, " f"]
    """Which frames the picture is made of; the others do not fit them."""
    fused: Fused
    """The picture without a model, with its surroundings."""
    frame_size: Size
    """Of the frames that went in."""
    notes: tuple[str, ...]
    """What to know about the result, a sentence each."""

    def redrawn(self) -> Iterator[Float[Tensor, "c h w"]]:
        """Every frame used as the camera would have seen it with pixels of the picture's size."""
        canvas, (top, left) = self.fused.canvas.clone(), self.fused.margin
        h, w = self.picture.shape[1:]
        canvas[:, top : top + h, left : left + w] = self.picture
        view, unit = extent(self.frame_size), 1 / max(self.frame_size)
        frame = view[0] * canvas.shape[1] / h, view[1] * canvas.shape[2] / w
        for y, x in self.motion[self.used].double().tolist():
            seen = Observation.of_picture(torch.zeros(1, h, w), view, (y * unit, x * unit))
            yield Area(seen, (canvas.shape[1], canvas.shape[2]), frame)(canvas[None])[0].mT.unflatten(1, (h, w))

    def facts(self) -> dict[str, object]:
        """All but the pictures, for a JSON file; motion in pixels of a frame, noise and uncertainty in [-1, 1]."""
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


def depixelate(
    frames: Float[Tensor, "f c h w"] | Path | str,
    size: Size,
    *,
    model: S2ID | None = None,
    noise: float | None = None,
    motion: Float[Tensor, "moves 2"] | None = None,
    label: int | str | Condition | None = None,
    seeds: Sequence[int] = tuple(range(8)),
    sampling: Sampling = RESTORING,
) -> Depixelated:
    """One picture of what the frames of a moving camera show, denser than any of them.

    Args:
        frames: In [-1, 1]; or where they are, as for `frames.read_frames`.
        size: Height and width of the picture, in the frames' aspect.
        model: The prior, trained on pictures like the whole of a frame; `None` fuses without one.
        noise: Std of a frame's pixel in [-1, 1]; `None` estimates it.
        motion: What the camera moved by, as in the result; `None` finds it.
        label: Class index or name, or what `s2id.ask` made, for the model; `None` is no condition.
        seeds: Answers of the model; the picture is their mean.
        sampling: How each answer is sampled.

    Raises:
        InputError: The frames cannot be read or do not overlap, the model does not fit, or a number is out of range.
    """
    frames = read_frames(Path(frames)) if isinstance(frames, Path | str) else frames
    _check(frames, size, model, noise, seeds)
    if motion is None:
        found, likeness = register(frames)
        motion, used = agreeing(frames, found, likeness)
    elif len(motion) == len(frames):
        likeness, used = torch.ones(len(frames)), torch.ones(len(frames), dtype=torch.bool)
    else:
        raise InputError(f"there are {len(frames)} frames and {len(motion)} motions; give one for each frame.")
    notes = []
    if float((motion - motion.round()).abs().max()) < _STILL:
        notes.append("no motion by parts of a pixel was found, so there is nothing to be gained but less noise.")
    if not used.all():
        lost = ", ".join(str(i) for i in (~used).nonzero()[:, 0].tolist())
        notes.append(f"frames that a moved camera does not explain were left out: {lost}.")
    fused = fuse(frames[used], motion[used], size, noise)
    picture, std = fused.picture, fused.uncertainty
    if fused.outliers > 0.02:
        notes.append(f"{fused.outliers:.0%} of the pixels do not fit the others; something moved besides the camera.")
    if model is None:
        notes.append("no model was given: the picture is fused without a prior.")
    else:
        picture, std = _under(model, frames[used], motion[used], fused, label, seeds, sampling)
    return Depixelated(
        picture.clamp(-1, 1), std, motion, likeness, used, fused, (frames.shape[2], frames.shape[3]), tuple(notes)
    )


def _under(
    model: S2ID,
    frames: Float[Tensor, "f c h w"],
    motion: Float[Tensor, "f 2"],
    fused: Fused,
    label: int | str | Condition | None,
    seeds: Sequence[int],
    sampling: Sampling,
) -> tuple[Float[Tensor, "c height width"], Float[Tensor, "height width"]]:
    """Mean and std of the model's answers given the frames; the mean explains the frames as `fuse` does."""
    h, w = frames.shape[2:]
    size = fused.picture.shape[1], fused.picture.shape[2]
    whole, seeds = pair(model, label, seeds)
    state, _ = state_sizes(model, (h, w), max(size) if model.config.dense else sampling.density)
    seen = _observed(frames, motion, (fused.noise**2 + STRADDLE**2) ** 0.5)
    drawn, batch = [], max(1, affordable(max(state)) // 2)
    for first in range(0, len(seeds), batch):
        some = seeds[first : first + batch]
        under = partial(Posterior, observation=seen, frame=extent(state))
        asked = whole[first : first + batch]
        walk = compose(model, asked, some, replace(sampling, density=max(state)), aspect=state, under=under)
        drawn.append(read_out(model, last(walk), asked).render(size, fit="stretch").cpu())
    answers = torch.cat(drawn)
    mean = answers.mean(0)
    # what the model's picture leaves unexplained is fused like frames of its own
    lens = Frames((h, w), motion, size)
    top, left = lens.margin
    canvas = fused.canvas.clone()
    canvas[:, top : top + size[0], left : left + size[1]] = mean
    left_over = fuse(frames - lens(canvas[None])[0].movedim(0, 1), motion, size, fused.noise)
    spread = answers.var(0, correction=int(len(answers) > 1)).mean(0)
    return mean + left_over.picture, spread.sqrt()


def _observed(frames: Float[Tensor, "f c h w"], motion: Float[Tensor, "f 2"], noise: float) -> Observation:
    """The frames' pixels whose centres lie in the first frame's view: a model knows nothing of what is beyond."""
    unit, view = 1 / max(frames.shape[2:]), torch.tensor(extent((frames.shape[2], frames.shape[3])))
    parts = []
    for frame, (y, x) in zip(frames, motion.double().tolist(), strict=True):
        whole = Observation.of_picture(frame, shift=(y * unit, x * unit))
        inside = (whole.coords.abs() <= view / 2).all(1).unflatten(0, frame.shape[1:])
        parts.append(Observation.of_picture(frame, shift=(y * unit, x * unit), mask=inside, noise=noise))
    return Observation.join(parts)


def _check(
    frames: Float[Tensor, "f c h w"], size: Size, model: S2ID | None, noise: float | None, seeds: Sequence[int]
) -> None:
    f, c, h, w = frames.shape
    check_size(size)
    check_pixels(size, MAX_PIXELS)
    if f < 2:
        raise InputError(f"there is {f} frame; give at least 2 of a camera that moved.")
    if not frames.isfinite().all():
        raise InputError("the frames hold NaN or infinity; leave such frames out or repair them.")
    if size[0] < h or size[1] < w:
        raise InputError(f"size {size[0]}x{size[1]} is smaller than the frames' {h}x{w}; choose a larger one.")
    if abs(size[1] - size[0] * w / h) > size[0] / h:
        raise InputError(
            f"size {size[0]}x{size[1]} is of another aspect than the frames' {h}x{w}; "
            f"choose {size[0]}x{round(size[0] * w / h)}."
        )
    if noise is not None and not 0 <= noise < float("inf"):
        raise InputError(f"noise is {noise:g}; it is a standard deviation in a range of -1 to 1, at least 0.")
    if model is not None:
        model.need_pixels("de-pixelating under a model")
    if model is not None and model.config.channels != c:
        raise InputError(
            f"the frames have {c} channels and this model draws {model.config.channels}; choose another model, or none."
        )
    if not seeds:
        raise InputError("there is no seed; give at least one.")
