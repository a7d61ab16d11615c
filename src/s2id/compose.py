"""Compose, then render: sampling runs on the composition grid and returns a field.

The seed alone decides the picture: noise is a field keyed by it, and no later choice of size, window, batch or tile
reaches the composition. A dense model's composition is the picture: it composes anew for every size.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import get_args

import torch

from s2id.checkpoint import S2ID
from s2id.condition import Asked, Condition, condition_of
from s2id.config import InputError, Noise, SamplerName, Size
from s2id.coords import extent, state_size
from s2id.denoiser import Denoiser, TrainedDenoiser
from s2id.field import Field
from s2id.guidance import Guided, Push
from s2id.labels import describe, forget, pair
from s2id.model import Features, PixelHead
from s2id.noise import noise_field, white_noise
from s2id.samplers import SAMPLERS, Sampler, Step, ddim, last
from s2id.schedule import Schedule, times
from s2id.shapes import Images


def affordable(density: int) -> int:
    """Fields to compose at once: fewer where states are dense."""
    return max(1, min(50, 50 * 32**2 // density**2))


def sample(
    model: S2ID,
    label: int | str | Condition | Sequence[int | str | Condition | None] | None = None,
    seed: int | Sequence[int] = 0,
    *,
    steps: int = 20,
    guidance: float = 1.5,
    weights: Mapping[str, float | int] | None = None,
    avoid: Condition | None = None,
    sampler: SamplerName = "dpmpp",
    eta: float = 0.0,
    aspect: tuple[int, int] | None = None,
    density: int | None = None,
    noise: Noise = "nested",
    shift: bool = True,
) -> Field:
    """A field per label and seed: functions to be looked at in any size.

    Args:
        model: From `s2id.load`.
        label: Class index or name, or what `s2id.ask` made; `None` is no condition. A sequence goes with a sequence of
            seeds, one to one; a single one goes with them all.
        seed: Decides the picture, whatever else is drawn in the same batch.
        steps: Solver steps; each is one call of the network (two for "heun").
        guidance: 1 is off, more exaggerates the label.
        weights: Guidance of single labels, by the name of an attribute or number, "label" for the class or "text" for
            the tokens; what is not named has `guidance`.
        avoid: What the picture should not be, as strongly as `guidance` says.
        sampler: "ddim", "heun" or "dpmpp".
        eta: Fresh noise per step, 0 to 1, for "ddim".
        aspect: Height and width, in any unit, of the frame to compose on, to whole patches; `None` is the training
            data's. Another asks the model for compositions it has not seen; to see the same picture in another aspect,
            render it so instead.
        density: Samples along the long side of the state to compose on; `None` is the trained density.
        noise: "nested": block means of a denser state's noise are a coarser one's, so a seed is one picture at all
            densities. "white": unrelated at every size, as published.
        shift: Lower logsnr by 2 ln k on a state k times as dense as trained, where k^2 as many samples show the same
            picture. Without it, as published, diversity falls as the density rises.

    Raises:
        InputError: An argument is out of range.
    """
    asked, seeds = pair(model, label, seed)
    walk = compose(
        model,
        asked,
        seeds,
        steps=steps,
        guidance=guidance,
        weights=weights,
        avoid=avoid,
        sampler=sampler,
        eta=eta,
        aspect=aspect,
        density=density,
        noise=noise,
        shift=shift,
    )
    facts = {
        "seeds": " ".join(map(str, seeds)),
        "labels": " ".join(map(str, asked.label.tolist())),
        "data": model.card.data,
    }
    if any(words := describe(model, asked)):
        facts["asked"] = "; ".join(words)
    return read_out(model, last(walk), asked, facts)


def compose(
    model: S2ID,
    asked: Asked,
    seeds: Sequence[int],
    *,
    steps: int = 20,
    guidance: float = 1.5,
    weights: Mapping[str, float | int] | None = None,
    avoid: Condition | None = None,
    sampler: SamplerName = "dpmpp",
    eta: float = 0.0,
    aspect: tuple[int, int] | None = None,
    density: int | None = None,
    noise: Noise = "nested",
    shift: bool = True,
    under: Callable[[Denoiser], Denoiser] | None = None,
) -> Iterator[Step]:
    """The steps of `sample`, for callers that draw progress or previews. Arguments as there, already paired.

    `under` wraps the guided denoiser, as `Posterior` does; `None` leaves it as it is.
    """
    if steps < 1:
        raise InputError(f"steps is {steps}; it must be at least 1.")
    if sampler not in SAMPLERS:
        raise InputError(f"sampler {sampler!r} is unknown; choose {', '.join(SAMPLERS)}.")
    if eta and sampler != "ddim":
        raise InputError(f"eta {eta:g} works with the ddim sampler only; leave it 0 with {sampler}.")
    if not 0 <= eta <= 1:
        raise InputError(f"eta is {eta:g}; it must lie between 0 and 1.")
    aspect = aspect or model.card.size or (1, 1)
    if min(aspect) < 1:
        raise InputError(f"aspect {aspect[0]}:{aspect[1]} is empty; both sides must be at least 1.")
    if density is not None and density < 1:
        raise InputError(f"density is {density}; it must be at least 1.")
    if noise not in get_args(Noise):
        raise InputError(f"noise {noise!r} is unknown; choose {', '.join(get_args(Noise))}.")
    size = state_size(density or model.card.density, extent(aspect), model.config.patch)
    frame, channels = extent(size), model.config.state_channels

    def unit_noise(stream: int) -> Images:
        nested = noise == "nested"
        one = partial(noise_field, frame=frame) if nested else white_noise
        return torch.stack([one(size, channels, seed, stream) for seed in seeds]).to(model.device)

    solve: Sampler = partial(ddim, eta=eta, noise=lambda i: unit_noise(i + 1)) if eta else SAMPLERS[sampler]
    with torch.inference_mode():
        # nothing asked of any picture needs no guidance; where it is of some, guidance leaves the others as they are
        whole = condition_of(asked, len(seeds)).to(model.device)
        wanted = whole if whole.known else None
        pushes = [Push(w - guidance, whole, forget(model, whole, name)) for name, w in (weights or {}).items()]
        if avoid is not None:
            pushes.append(Push(-guidance, pair(model, avoid, seeds)[0].to(model.device)))
        denoiser = Guided(trained_denoiser(model, size, shift), guidance, pushes if wanted or avoid else ())
        yield from solve(under(denoiser) if under else denoiser, unit_noise(0), times(steps), wanted)


def trained_denoiser(model: S2ID, size: Size, shift: bool = True) -> TrainedDenoiser:
    """The model as a denoiser of states of a size; `shift` as for `sample`."""
    config, schedule = model.config, _schedule(model, size, shift)
    heard = schedule if config.hears == "logsnr" else model.schedule
    # at t = 1 an eps-prediction's error is magnified by 1 / alpha, a thousandfold; clean states are in [-1, 1]
    bound = 1.0 if config.prediction == "eps" else None
    return TrainedDenoiser(model.network, schedule, config.prediction, heard, bound)


def _schedule(model: S2ID, size: Size, shift: bool = True) -> Schedule:
    """The forward process of states of a size."""
    return model.schedule.at_density(max(size) / model.card.density) if shift else model.schedule


@torch.inference_mode()
def read_out(model: S2ID, x: Images, asked: Asked, facts: dict[str, str] | None = None) -> Field:
    """The functions that clean states are samples of.

    Args:
        model: What composed them.
        x: Clean states on the composition grid.
        asked: Their classes, or what else was asked of them.
        facts: For the field's file.
    """
    size = (x.shape[2], x.shape[3])
    if model.config.dense:
        return Field(Features(x.movedim(1, -1), extent(size)), PixelHead(model.config.channels), facts)
    logsnr = _schedule(model, size).logsnr(torch.zeros(len(x), device=x.device))
    features = model.network.decode(model.network.encode(x, logsnr), asked.to(x.device))
    return Field(features, model.network.head, facts)
