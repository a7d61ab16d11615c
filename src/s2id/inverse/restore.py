"""Pictures from poor ones: enlarged, filled in, coloured, denoised. `s2id.upscale` and `s2id.restore`.

`upscale` is one call of the network; `restore` draws from the posterior given what was seen, an answer per seed. Both
end by giving back what the answer leaves of the observation unexplained, spread smoothly over the cells that saw it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from s2id.condition import Asked, Condition
from s2id.coords import extent
from s2id.diffusion.samplers import last
from s2id.errors import InputError
from s2id.images import resize
from s2id.inverse.observation import Observation
from s2id.inverse.posterior import STRADDLE, Posterior
from s2id.inverse.settings import RESTORING
from s2id.linear import area_weights, conjugate_gradients
from s2id.network.heads import Features
from s2id.sampling.conditions import label_index, pair
from s2id.sampling.field import Field, check_pixels
from s2id.sampling.model import S2ID, check_denoises
from s2id.sampling.sample import affordable, compose, read_out, state_sizes
from s2id.sampling.settings import Sampling
from s2id.settings import MAX_PIXELS, Size
from s2id.shapes import Images, Scalars

_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow's conversion to grey

_ROUNDS = 64  # at most; most pictures need a few

_RELAXED = 1.8  # between 1 and 2: clipping answers a correction in part only


@dataclass(frozen=True)
class Restored:
    """Answers to what was seen, one per seed."""

    pictures: Images
    """In [-1, 1]."""
    fields: Field
    """The functions, before what they left unexplained was given back."""
    residual: Scalars
    """Rms of what each answer leaves of the values seen, in the values' own unit."""

    @property
    def mean(self) -> Float[Tensor, "c h w"]:
        """The mean of the answers: of all pictures, the nearest to the truth on average."""
        return self.pictures.mean(0)

    @property
    def std(self) -> Float[Tensor, "c h w"]:
        """Standard deviation over the answers: what the observation leaves open; 0 for a single one."""
        return self.pictures.std(0, correction=int(len(self.pictures) > 1))


def upscale(
    model: S2ID, picture: Float[Tensor, "c h w"], size: Size, label: int | str | None = None
) -> Float[Tensor, "c h2 w2"]:
    """A picture enlarged by one call of the network; its means over the old pixels are the old picture.

    Args:
        model: From `s2id.load`.
        picture: In [-1, 1].
        size: Height and width wanted.
        label: Class index or name; `None` is no condition.

    Raises:
        InputError: An argument is out of range.
    """
    check(model, picture, size)
    if picture.shape[0] != model.config.channels:
        raise InputError(f"the picture is grey and this model draws {model.config.channels} channels; use restore.")
    if model.config.dense:
        raise InputError("a dense model composes each size anew and has no function to enlarge by; use restore.")
    labels, seen = torch.tensor([label_index(model, label)]), picture[None].to(model.device)
    frame = _state(model, seen, size)
    fine = all(have >= want for have, want in zip(seen.shape[2:], frame, strict=True))
    state = resize(seen, frame) if fine else F.interpolate(seen, frame, mode="bicubic").clamp(-1, 1)
    field = read_out(model, state, labels, frame=extent((seen.shape[2], seen.shape[3])))
    return consistent(_render(field, size), seen)[0]


def restore(
    model: S2ID,
    picture: Float[Tensor, "c h w"],
    size: Size | None = None,
    *,
    mask: Bool[Tensor, "rows columns"] | None = None,
    noise: float = 0.0,
    label: int | str | Condition | None = None,
    seeds: Sequence[int] = tuple(range(8)),
    sampling: Sampling = RESTORING,
) -> Restored:
    """Answers drawn from the posterior given a picture: larger, whole, in colour, without its noise.

    A grey picture is coloured where the model draws colours.

    Args:
        model: From `s2id.load`.
        picture: What was seen, in [-1, 1]; unseen pixels may hold anything.
        size: Height and width of the answers; `None` is the picture's.
        mask: True where the picture was seen; `None` is everywhere.
        noise: Std of the picture's noise, in its unit.
        label: Class index or name, or what `s2id.ask` made; `None` is no condition.
        seeds: One answer each.
        sampling: How to sample; a step costs some four calls of the network. `eta` 1 with some 40 steps of "ddim" lets
            later steps mend some of the errors that early ones make where a hole leaves much open.

    Raises:
        InputError: An argument is out of range.
    """
    size = size or (picture.shape[1], picture.shape[2])
    check(model, picture, size, mask, noise)
    if not seeds:
        raise InputError("there is no seed; give at least one.")
    asked, seeds = pair(model, label, seeds)
    batch = max(
        1, affordable(max(_state(model, picture[None], size, sampling.density))) // 2
    )  # a derivative keeps what it passed
    drawn = [
        answers(
            model, picture.expand(len(some), *picture.shape), asked[first : first + batch], some, size,
            mask=mask, noise=noise, sampling=sampling,
        )
        for first in range(0, len(seeds), batch)
        for some in [seeds[first : first + batch]]
    ]  # fmt: skip
    features = drawn[0].fields.features
    values = torch.cat([part.fields.features.values for part in drawn])
    return Restored(
        torch.cat([part.pictures for part in drawn]),
        Field(Features(values, features.frame), drawn[0].fields.head, {"seeds": " ".join(map(str, seeds))}),
        torch.cat([part.residual for part in drawn]),
    )


def answers(
    model: S2ID,
    pictures: Images,
    asked: Asked,
    seeds: Sequence[int],
    size: Size,
    *,
    mask: Bool[Tensor, "rows columns"] | None = None,
    noise: float = 0.0,
    sampling: Sampling = RESTORING,
) -> Restored:
    """One answer to each of several pictures, in one batch; arguments as for `restore`, already checked and paired."""
    pictures = pictures.to(model.device)
    if mask is not None:
        mask = mask.to(model.device)
        pictures = torch.where(mask, pictures, 0.0)
    mix = _mix(model, pictures)
    state = _state(model, pictures, size, sampling.density)
    observation = seen_by_state(pictures, state, mask, noise, mix)
    walk = compose(
        model,
        asked,
        seeds,
        replace(sampling, density=max(size)) if model.config.dense else sampling,
        aspect=size if model.config.dense else (pictures.shape[2], pictures.shape[3]),
        under=partial(Posterior, observation=observation, frame=extent(state), iterations=3, bound=1.0),
    )
    fields = read_out(model, last(walk), asked, frame=extent((pictures.shape[2], pictures.shape[3])))
    found = consistent(_render(fields, size), pictures, mask, noise, mix)
    left = _unexplained(found, pictures, mask, mix)
    return Restored(found, fields, _rms(left, mask))


def seen_by_state(
    pictures: Images,
    state: Size,
    mask: Bool[Tensor, "rows columns"] | None = None,
    noise: float = 0.0,
    mix: Float[Tensor, "k channels"] | None = None,
) -> Observation:
    """What pictures say of a state's samples.

    A state is the area mean of a fine picture, so that says exactly which values its wholly seen samples have; the
    pixels themselves are not constant over samples, and would contradict each other. A coarse picture's pixels are
    means over the state's samples.
    """
    h, w = pictures.shape[2:]
    straddles = state[0] % h or state[1] % w
    if h < state[0] or w < state[1]:
        std = (noise**2 + (STRADDLE if straddles else 0.01) ** 2) ** 0.5
        return Observation.of_picture(pictures, extent(state), mask=mask, noise=std, mix=mix)
    seen = torch.ones(h, w, device=pictures.device) if mask is None else mask.to(pictures)
    share = resize(seen[None], state)[0]
    kept = share > 0.5 if bool((share > 0.5).any()) else share > 0
    values = resize(pictures * seen, state) / share.clamp(min=1e-6)
    # a mean of independent noises; the rest of a sample that was seen in part is about as uncertain as the data
    rows, columns = area_weights(h, state[0]), area_weights(w, state[1])
    averaged = noise * (rows.square().sum(1)[:, None] * columns.square().sum(1)).sqrt().to(share) / share.clamp(min=0.1)
    std = (averaged**2 + (1 - share) ** 2 + 0.02**2).sqrt()
    seen_well = Observation.of_picture(values, extent(state), mask=kept, mix=mix)
    return Observation(seen_well.values, seen_well.coords, seen_well.cell, std[kept], mix)


def consistent(
    found: Float[Tensor, "b c height width"],
    pictures: Float[Tensor, "seen k h w"],
    mask: Bool[Tensor, "rows columns"] | None = None,
    noise: float = 0.0,
    mix: Float[Tensor, "k c"] | None = None,
) -> Float[Tensor, "b c height width"]:
    """Pictures in [-1, 1] whose means over the cells of what was seen are what was seen, to its noise.

    Of all corrections it is the smallest that is smooth at the scale of a seen pixel: `K A^T (A K A^T)^-1 (y - A x)`
    with K a Gaussian kernel. No more is corrected than brings the residual's rms down to the noise.

    Args:
        found: The pictures as they are.
        pictures: What was seen, at their size or below; one for all, or one each.
        mask: True where; `None` is everywhere.
        noise: Std of what was seen.
        mix: How its channels are made of the pictures'; `None` sees each by itself.
    """
    spreads, gains = [], []
    for large, small in zip(found.shape[2:], pictures.shape[2:], strict=True):
        place = (torch.arange(large, dtype=torch.float64) + 0.5) * (small / large)
        kernel = torch.exp(-2 * (place[:, None] - place).square())  # a std of half a seen pixel
        rows = area_weights(large, small).double()
        spread = kernel @ rows.T
        spreads.append(spread.to(found.device))
        gains.append((rows @ spread).to(found.device))
    power = 1.0 if mix is None else mix.square().sum().item()
    seen = torch.ones(1, device=found.device) if mask is None else mask

    def gained(u: Tensor) -> Tensor:
        return power * (gains[0] @ u @ gains[1].mT) * seen

    free = found  # not clipped, so that what clipping takes away is asked for again
    relaxed = 1.0
    for _ in range(_ROUNDS):
        found = free.clamp(-1, 1)
        left = _unexplained(found, pictures, mask, mix).double()
        rms = _rms(left, mask)
        share = (1 - noise / rms.clamp(min=1e-12)).clamp(min=0)
        if not bool((rms * share > 3e-4).any()):
            break
        u = conjugate_gradients(gained, left, 60)
        moved = spreads[0] @ u @ spreads[1].mT
        moved = moved if mix is None else torch.einsum("kc,bkhw->bchw", mix.to(moved), moved)
        free = free + (relaxed * share[:, None, None, None] * moved).to(free)
        relaxed = _RELAXED
    return free.clamp(-1, 1)


def check(
    model: S2ID,
    picture: Float[Tensor, "c h w"],
    size: Size,
    mask: Bool[Tensor, "rows columns"] | None = None,
    noise: float = 0.0,
) -> None:
    """Refuse what cannot be restored.

    Raises:
        InputError: An argument is out of range.
    """
    check_denoises(model)
    model.need_pixels("restoring a picture")
    (c, h, w), channels = picture.shape, model.config.channels
    if c not in (1, channels) or (c != channels and channels != 3):
        raise InputError(f"the picture has {c} channels and this model draws {channels}; convert the picture.")
    if size[0] < h or size[1] < w:
        raise InputError(f"size {size[0]}x{size[1]} is smaller than the picture's {h}x{w}; resize it instead.")
    check_pixels(size, MAX_PIXELS)
    if not 0 <= noise < float("inf"):
        raise InputError(f"noise is {noise:g}; it is a standard deviation in a range of -1 to 1, at least 0.")
    if mask is not None and mask.shape == (h, w) and mask.all():
        raise InputError("the mask marks every pixel as seen and leaves nothing to fill in; leave it out.")
    Observation.of_picture(picture, mask=mask)  # refuses other sizes, nothing seen, and NaN


def _mix(model: S2ID, pictures: Images) -> Float[Tensor, "k channels"] | None:
    """Luminance where grey was seen of colours."""
    same = pictures.shape[1] == model.config.channels
    return None if same else torch.tensor([_LUMINANCE], device=pictures.device)


def _state(model: S2ID, pictures: Images, size: Size, density: int | None = None) -> Size:
    """Size of the state that a picture is composed on; a dense model's is the answer itself."""
    if model.config.dense:
        return state_sizes(model, size, max(size))[0]
    return state_sizes(model, (pictures.shape[2], pictures.shape[3]), density)[0]


def _render(field: Field, size: Size) -> Images:
    return field.render(size, fit="stretch")


def _unexplained(
    found: Float[Tensor, "b c height width"],
    pictures: Float[Tensor, "seen k h w"],
    mask: Bool[Tensor, "rows columns"] | None,
    mix: Float[Tensor, "k c"] | None,
) -> Float[Tensor, "b k h w"]:
    """What pictures leave of what was seen; 0 where nothing was."""
    means = resize(found, (pictures.shape[2], pictures.shape[3]))
    means = means if mix is None else torch.einsum("kc,bchw->bkhw", mix, means)
    return pictures - means if mask is None else torch.where(mask, pictures - means, 0.0)


def _rms(left: Images, mask: Bool[Tensor, "rows columns"] | None) -> Scalars:
    seen = 1.0 if mask is None else mask.double().mean().item()
    return (left.square().mean((1, 2, 3)) / seen).sqrt()
