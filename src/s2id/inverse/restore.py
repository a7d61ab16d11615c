"""Restoration of one picture: enlarged, filled in, coloured or without its noise. `s2id.upscale` and `s2id.restore`.

`upscale` is one call of the network. `restore` samples the posterior given the measured picture, one answer per seed.
Both end with a back-projection (`consistent`): answers agree with the measured pixels as far as nothing burns.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from s2id.checks import checked
from s2id.coords import check_pixels, extent, whole_size
from s2id.diffusion.samplers import Step, result
from s2id.errors import InputError
from s2id.inverse.consistent import consistent, residual, rms
from s2id.inverse.enlarge import enlarge
from s2id.inverse.observation import STRADDLE, Observation, check_noise, check_scale
from s2id.inverse.posterior import Measurement, at_once, posterior_steps
from s2id.inverse.settings import RESTORING
from s2id.linear import area_weights
from s2id.media.alpha import (
    check_premultiplied,
    covered,
    has_alpha,
    in_channels,
    over,
    premultiply,
    straight,
    with_alpha,
)
from s2id.media.images import resize, rounded
from s2id.modes import modes_kept
from s2id.network.enlarger import Enlarger
from s2id.sampling.conditions import Label, Seeds, pair, seed_list
from s2id.sampling.denoisers import read_out
from s2id.sampling.field import Field
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Sampling
from s2id.sampling.states import state_sizes
from s2id.settings import MAX_PIXELS, AnySize, Size
from s2id.shapes import Images, Scalars

_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow's conversion to grey
_FINER, _COARSER = 0.01, 0.02  # least noise of a state's samples measured by smaller, and by larger, pixels


@dataclass(frozen=True)
class Restored:
    """Restored pictures, one per seed."""

    pictures: Images
    """Pixel values in [-1, 1]."""
    fields: Field
    """The functions that the pictures were rendered from, before the back-projection."""
    residual: Scalars
    """Root mean square of each picture's residual, y - A x, over the measured pixels, in [-1, 1]."""

    @property
    def mean(self) -> Float[Tensor, "c h w"]:
        """Mean of the pictures. Its expected squared error is the least of all pictures'."""
        return self.pictures.mean(0)

    @property
    def std(self) -> Float[Tensor, "c h w"]:
        """Standard deviation of each pixel over the pictures; 0 for a single picture."""
        return self.pictures.std(0, correction=int(len(self.pictures) > 1))

    @property
    def spread(self) -> Float[Tensor, "k h w"]:
        """The standard deviation as a picture in which 0 is black and 1, half of the range, white.

        Where there is alpha, all channels are shown as one.
        """
        std = self.std.square().mean(0, keepdim=True).sqrt() if has_alpha(len(self.std)) else self.std
        return 2 * std - 1


@modes_kept()
@checked
def upscale(
    model: S2ID,
    picture: Float[Tensor, "c h w"],
    size: AnySize,
    label: Label = None,
    *,
    exact: bool = True,
    seed: int = 0,
) -> Float[Tensor, "k h2 w2"]:
    """A picture enlarged by one call of the network, whose means over the old pixels are as near to these as it can be.

    `disagreement` says how near. Means are set right within the range of the colours around, so pixel art is met less
    exactly.
    A model that was trained to enlarge (the preset graphics) takes pictures of any size and kind at their own pixels.

    >>> import s2id
    >>> model = s2id.load("mnist")
    >>> small = s2id.sample(model, label=7, seed=0).render((14, 14))[0]
    >>> s2id.upscale(model, small, (56, 56)).shape
    torch.Size([1, 56, 56])

    Args:
        model: The model, from `s2id.load`.
        picture: Pixel values in [-1, 1]; with alpha, premultiplied as `Field.render` gives them. `fitted` says what
            becomes of pictures with alpha and models without, or the reverse.
        size: Height and width of the enlarged picture, in pixels; or its long side, in the aspect of the picture.
        label: Condition: a class's name or index, or the result of `s2id.ask`. `None` is no condition.
        exact: Whether the picture's pixels are trusted. False leaves out the last step, which sets means over them
            right, as suits JPEG files: the noise of their blocks is no part of the picture.
        seed: Of a model that invents (as graphics-invent): each seed shows another of the pictures that may have been,
            the same at every size. Others give one answer.

    Raises:
        InputError: An argument is out of range.
    """
    if not 1 <= picture.shape[0] <= 4:
        raise InputError(f"the picture has {picture.shape[0]} channels; give grey or RGB, with alpha or without.")
    size = whole_size(size, extent((picture.shape[1], picture.shape[2])))
    if isinstance(model.network, Enlarger):
        pair(model, label, range(1))  # refuses a label, which it knows none of
        (seed,) = seed_list(seed)
        check(model, in_channels(picture.float(), 4), size)
        check_premultiplied(picture)
        return enlarge(model.network, picture[None].float().to(model.device), size, exact, seed)[0]
    picture = fitted(model, picture)
    check(model, picture, size)
    if picture.shape[0] != model.config.channels:
        raise InputError("the picture is grey and this model draws colours; use restore.")
    model.need_function("upscaling")
    measured = picture[None].to(model.device)
    large = reconstructed(model, measured, label).render(size, fit="stretch")
    return covered((consistent(large, measured) if exact else large)[0])


def reconstructed(model: S2ID, measured: Images, label: Label = None) -> Field:
    """The functions that one call of the network reads out of measured pictures; arguments as for `upscale`."""
    measured = measured.to(model.device)
    asked, _ = pair(model, label, range(len(measured)))
    h, w = measured.shape[2:]
    coarse, finest = state_sizes(model, (h, w))
    # a clean picture is what sampling ends with, so it is read where sampling ends, if it has as many pixels
    state = finest if finest and h >= finest[0] and w >= finest[1] else coarse
    fine = h >= state[0] and w >= state[1]
    x = resize(measured, state) if fine else F.interpolate(measured, state, mode="bicubic").clamp(-1, 1)
    return read_out(model, x, asked, frame=extent((h, w)))


@modes_kept()
@checked
def restore(
    model: S2ID,
    picture: Float[Tensor, "c h w"],
    size: AnySize | None = None,
    *,
    mask: Bool[Tensor, "rows columns"] | None = None,
    noise: float = 0.0,
    label: Label = None,
    seeds: Seeds = tuple(range(8)),
    sampling: Sampling = RESTORING,
) -> Restored:
    """Pictures drawn from the posterior given a measured picture: larger, filled in, in colour or without its noise.

    A grey picture is coloured if the model draws colours.

    >>> import s2id
    >>> model = s2id.load("mnist")
    >>> small = s2id.sample(model, label=7, seed=0).render((7, 7))[0]
    >>> found = s2id.restore(model, small, (28, 28), label=7, seeds=[0, 1], sampling=s2id.Sampling(steps=2))
    >>> found.pictures.shape, found.std.shape
    (torch.Size([2, 1, 28, 28]), torch.Size([1, 28, 28]))

    Args:
        model: The prior, from `s2id.load`.
        picture: Measured pixels in [-1, 1], with alpha as for `upscale`; those that `mask` leaves out hold anything.
        size: Height and width of the restored pictures, in pixels, or their long side; `None` is the measured
            picture's size.
        mask: True where a pixel was measured; `None` measures all pixels.
        noise: Standard deviation of the measured pixels' noise, in [-1, 1].
        label: Condition: a class's name or index, or the result of `s2id.ask`. `None` is no condition.
        seeds: One picture is drawn per seed.
        sampling: Solver and guidance. For holes, "ddim" with `eta` 1 and 40 steps repairs some of the errors that
            early steps make. A step costs about four calls of the network.

    Raises:
        InputError: An argument is out of range.
    """
    return result(restoring(model, picture, size, mask=mask, noise=noise, label=label, seeds=seeds, sampling=sampling))


def restoring(
    model: S2ID,
    picture: Float[Tensor, "c h w"],
    size: AnySize | None = None,
    *,
    mask: Bool[Tensor, "rows columns"] | None = None,
    noise: float = 0.0,
    label: Label = None,
    seeds: Seeds = tuple(range(8)),
    sampling: Sampling = RESTORING,
) -> Generator[Step, None, Restored]:
    """The solver's steps of `restore`, whose result is what the generator returns; arguments and errors as there.

    Arguments are checked before the first step is asked for.
    """
    own = picture.shape[1], picture.shape[2]
    size = own if size is None else whole_size(size, extent(own))
    picture = fitted(model, picture, mask)
    check(model, picture, size, mask, noise)
    each = seed_list(seeds, "seeds")
    every = [label] * len(each)
    return _steps(model, picture.expand(len(each), -1, -1, -1), every, each, size, mask, noise, sampling)


def restore_each(
    model: S2ID,
    pictures: Images,
    labels: Sequence[Label],
    seeds: Sequence[int],
    size: Size,
    mask: Bool[Tensor, "rows columns"] | None = None,
    noise: float = 0.0,
    sampling: Sampling = RESTORING,
) -> Restored:
    """One restored picture for each of several measured pictures, each with a label and a seed of its own.

    Arguments as for `restore`, already checked.
    """
    return result(_steps(model, pictures, labels, seeds, size, mask, noise, sampling))


def _steps(
    model: S2ID,
    pictures: Images,
    labels: Sequence[Label],
    seeds: Sequence[int],
    size: Size,
    mask: Bool[Tensor, "rows columns"] | None,
    noise: float,
    sampling: Sampling,
) -> Generator[Step, None, Restored]:
    """The steps of `restore_each`, and its result."""
    pictures = pictures.to(model.device)
    if mask is not None:
        mask = mask.to(model.device)
        pictures = torch.where(mask, pictures, 0.0)
    mix = None if pictures.shape[1] == model.config.channels else _grey(model.config.channels).to(model.device)
    aspect = pictures.shape[2], pictures.shape[3]
    if model.config.dense:  # its state is the restored picture
        aspect, sampling = size, replace(sampling, density=max(size))
    state, _ = state_sizes(model, aspect, sampling.density)
    measurement = Measurement.of(observation_of_state(pictures, state, mask, noise, mix), state, extent(state))
    fields = yield from posterior_steps(model, measurement, labels, seeds, sampling, aspect=aspect)
    rendered, count = fields.render(size, fit="stretch"), at_once(state)
    parts = zip(rendered.split(count), pictures.split(count), strict=True)
    found = covered(torch.cat([consistent(x, y, mask, noise, mix, drawn=True) for x, y in parts]))
    return Restored(found, fields, rms(residual(found, pictures, mask, mix), mask))


def disagreement(
    found: Float[Tensor, "b c height width"],
    picture: Float[Tensor, "k h w"],
    mask: Bool[Tensor, "rows columns"] | None = None,
    depth: int = 8,
) -> float:
    """Root mean square of measured pixels minus the means over them of pictures, after these are rounded for a file.

    Args:
        found: Pictures in [-1, 1].
        picture: The measured picture, in colour or grey, of that size or smaller.
        mask: True where a pixel was measured; `None` is everywhere.
        depth: Bits for each channel of the file.
    """
    mix = None if len(picture) == found.shape[1] else _grey(found.shape[1]).to(found)
    left = residual(premultiply(rounded(straight(found), depth)), picture[None].to(found), mask, mix)
    return rms(left, mask).square().mean().sqrt().item()


def fitted(
    model: S2ID, picture: Float[Tensor, "c h w"], mask: Bool[Tensor, "rows columns"] | None = None
) -> Float[Tensor, "k h w"]:
    """The picture with alpha if the model has it, else without: opaque, or over the ground of the training pictures.

    Args:
        model: The model.
        picture: Pixel values in [-1, 1], premultiplied if there is alpha.
        mask: As for `restore`.

    Raises:
        InputError: A colour exceeds its alpha.
    """
    picture = picture.float()
    check_premultiplied(picture if mask is None or mask.shape != picture.shape[1:] else torch.where(mask, picture, 0.0))
    return with_alpha(picture) if has_alpha(model.config.channels) else over(picture, model.card.alpha)


def _grey(channels: int) -> Float[Tensor, "k c"]:
    """Matrix from RGB to grey; from RGBA to grey and alpha."""
    mix = torch.eye(channels)[2:].clone()
    mix[0] = torch.tensor([*_LUMINANCE, *[0.0] * (channels - 3)])
    return mix


def observation_of_state(
    pictures: Images,
    state: Size,
    mask: Bool[Tensor, "rows columns"] | None = None,
    noise: float = 0.0,
    mix: Float[Tensor, "k channels"] | None = None,
) -> Observation:
    """What measured pictures tell about a state's samples, in the frame of the state.

    The samples of a state are area means of a fine picture. So a picture with pixels smaller than the samples measures
    the values of all samples that it covers; its single pixels would contradict each other, because they are not
    constant over a sample. The pixels of a coarse picture are means over samples.

    Args:
        pictures: Measured pixels in [-1, 1]; 0 where `mask` is false.
        state: Height and width of the state.
        mask: True where a pixel was measured; `None` is everywhere.
        noise: Standard deviation of the pixels' noise.
        mix: Matrix from the state's channels to the measured ones; `None` measures each channel by itself.
    """
    h, w = pictures.shape[2:]
    straddles = state[0] % h or state[1] % w
    if h < state[0] or w < state[1]:
        std = (noise**2 + (STRADDLE if straddles else _FINER) ** 2) ** 0.5
        return Observation.of_picture(pictures, extent(state), mask=mask, noise=std, mix=mix)
    seen = torch.ones(h, w, device=pictures.device) if mask is None else mask.to(pictures)
    share = resize(seen[None], state)[0]  # of each sample's area that was measured
    kept = share > 0.5 if bool((share > 0.5).any()) else share > 0
    values = resize(pictures * seen, state) / share.clamp(min=1e-6)
    # the mean of independent noises has less noise; the unmeasured part of a sample is about as uncertain as the data
    rows, columns = area_weights(h, state[0]), area_weights(w, state[1])
    averaged = noise * (rows.square().sum(1)[:, None] * columns.square().sum(1)).sqrt().to(share) / share.clamp(min=0.1)
    std = (averaged**2 + (1 - share) ** 2 + _COARSER**2).sqrt()
    whole = Observation.of_picture(values, extent(state), mask=kept, mix=mix)
    return replace(whole, noise=std[kept])


def check(
    model: S2ID,
    picture: Float[Tensor, "c h w"],
    size: Size,
    mask: Bool[Tensor, "rows columns"] | None = None,
    noise: float = 0.0,
) -> None:
    """Refuse a picture that cannot be restored. Arguments as for `restore`.

    Raises:
        InputError: An argument is out of range.
    """
    model.need_denoiser("restoring a picture")
    model.need_pixels("restoring a picture")
    (c, h, w), channels = picture.shape, model.config.channels
    if (c, channels) not in ((channels, channels), (1, 3), (2, 4)):
        raise InputError(
            f"the picture has {c} channels and this model draws {channels}; use a model of such "
            "pictures (--weights), or convert the picture."
        )
    if size[0] < h or size[1] < w:
        raise InputError(f"size {size[0]}x{size[1]} is smaller than the picture's {h}x{w}; resize it instead.")
    check_pixels(size, MAX_PIXELS)
    check_noise(noise)
    known = picture[:, mask] if mask is not None and mask.shape == (h, w) else picture
    check_scale(known, noise, "the picture has")
    if mask is not None and mask.shape == (h, w) and mask.all():
        raise InputError("the mask marks every pixel as seen and leaves nothing to fill in; leave it out.")
    Observation.of_picture(picture, mask=mask)  # refuses other sizes, nothing seen, and NaN
