"""Compose, then render: sampling runs on the composition grid and returns a field.

The seed alone decides the picture: noise is a field keyed by it, and no later choice of size, window, batch or tile
reaches the composition. A dense model's composition is the picture: it composes anew for every size.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor

from s2id.condition import Asked, Condition, condition_of
from s2id.coords import extent, state_size, trained_size
from s2id.diffusion.denoiser import Denoiser, TrainedDenoiser
from s2id.diffusion.guidance import AutoGuided, Guided, Push
from s2id.diffusion.noise import finer, noise_field, white_noise
from s2id.diffusion.process import Schedule
from s2id.diffusion.process import times as even_times
from s2id.diffusion.samplers import SAMPLERS, STOCHASTIC, Sampler, Step, last, restarted
from s2id.diffusion.settings import ALWAYS, Noise, SamplerName
from s2id.errors import InputError
from s2id.images import resize
from s2id.network.heads import Features, FieldHead, PixelHead
from s2id.network.network import Network
from s2id.sampling.conditions import Seeds, describe, forget, pair
from s2id.sampling.field import Field
from s2id.sampling.model import S2ID, check_denoises
from s2id.sampling.settings import DEFAULT_STEPS
from s2id.settings import MAX_PIXELS, Size
from s2id.shapes import Images, per_sample

_READING = 0.5
"""Share of autoguidance in the last call: all of it draws edges sharper than the data's (runs/LOG.md, 2026-11-26)."""


def affordable(density: int) -> int:
    """Fields to compose at once: fewer where states are dense."""
    return max(1, min(50, 50 * 32**2 // density**2))


def sample(
    model: S2ID,
    label: int | str | Condition | Sequence[int | str | Condition | None] | None = None,
    seed: Seeds = 0,
    *,
    steps: int | None = None,
    guidance: float | None = None,
    guidance_interval: tuple[float, float] = ALWAYS,
    autoguidance: float | None = None,
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
        steps: Solver steps, 12 if `None`; each is one call of the network (two for "heun"), and one more reads the
            function out, as one does where a finer state begins. A guide is called as often. A distilled model has its
            own.
        guidance: 1 is off, more exaggerates the label; 1.5 if `None`. A distilled model has it built in.
        guidance_interval: First and last time at which conditions guide; time runs from 1, noise, to 0.
        autoguidance: 1 is off, more moves further away from what the model's guide, a weaker model, would draw; `None`
            is the model's own. Without a guide there is none.
        weights: Guidance of single labels, by the name of an attribute or number, "label" for the class or "text" for
            the tokens; what is not named has `guidance`.
        avoid: What the picture should not be, as strongly as `guidance` says.
        sampler: "ddim", "heun" or "dpmpp"; a distilled model's steps are all of them at once.
        eta: Fresh noise per step, 0 to 1, for "ddim" and "dpmpp"; a seed is then another picture with other `steps`.
        aspect: Height and width, in any unit, of the frame to compose on, to whole patches; `None` is the training
            data's. Another asks the model for compositions it has not seen; to see the same picture in another aspect,
            render it so instead.
        density: Samples along the long side of the only state to compose on; `None` is as the model was trained, which
            may end on a finer one.
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
        guidance_interval=guidance_interval,
        autoguidance=autoguidance,
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
    t = model.card.times[-1] if model.card.times else 0.0
    frame = extent(aspect or model.card.size or (1, 1))
    return read_out(model, last(walk), asked, facts, t, frame, autoguidance_of(model, autoguidance))


@torch.inference_mode()
def compose(
    model: S2ID,
    asked: Asked,
    seeds: Sequence[int],
    *,
    steps: int | None = None,
    guidance: float | None = None,
    guidance_interval: tuple[float, float] = ALWAYS,
    autoguidance: float | None = None,
    weights: Mapping[str, float | int] | None = None,
    avoid: Condition | None = None,
    sampler: SamplerName = "dpmpp",
    eta: float = 0.0,
    aspect: tuple[int, int] | None = None,
    density: int | None = None,
    noise: Noise = "nested",
    shift: bool = True,
    restarts: int = 0,
    under: Callable[[Denoiser], Denoiser] | None = None,
) -> Iterator[Step]:
    """The steps of `sample`, for callers that draw progress or previews. Arguments as there, already paired.

    `restarts` is how often the answer is made noisy again and solved anew. `under` wraps the guided denoiser, as
    `Posterior` does; `None` leaves it as it is. Under observations a model's guide is left out, for the derivative of
    what autoguidance makes is no covariance, and so are finer states: what was seen is told to the samples of one.
    """
    if own := model.card.times:
        if under is not None:
            check_denoises(model)
        steered = bool(weights) or avoid is not None or guidance_interval != ALWAYS
        _check_own(model, steps, guidance, eta, steered)
        steps, guidance, sampler = len(own), 1.0, "ddim"
    strength = autoguidance_of(model, autoguidance if under is None else 1.0)
    steps, guidance = DEFAULT_STEPS if steps is None else steps, 1.5 if guidance is None else guidance
    aspect = aspect or model.card.size or (1, 1)
    _check(steps, guidance, guidance_interval, sampler, eta, restarts, aspect, density, noise)
    size, fine = state_sizes(model, aspect, density)
    if under is not None:
        fine = None
    fresh = partial(unit_noise, model, seeds=seeds, noise=noise)

    def guided(size: Size) -> Guided:
        denoiser = guided_denoiser(model, size, shift, strength)
        return Guided(denoiser, guidance, pushes if wanted or avoid else (), guidance_interval)

    def solver(size: Size, first: int = 0) -> Sampler:
        # a step's noise is a stream of its own; the first one's is the beginning's
        if not eta:
            return SAMPLERS[sampler]
        return partial(STOCHASTIC[sampler], eta=eta, noise=lambda i: fresh(size, stream=first + i + 1))

    def solve(
        denoiser: Denoiser, x_t: Images, times: Float[Tensor, " n"], label: Asked | None = None
    ) -> Iterator[Step]:
        early = times if fine is None else times[: int((times > model.card.detail_time).sum()) + 1]
        for step in solver(size)(denoiser, x_t, early, label):
            x_t = step.x_t
            yield step
        if fine is not None and len(early) < len(times):
            risen = rise(guided(size), guided(fine), x_t, early[-1].item(), label, fresh(fine))
            late = times[len(early) - 1 :]
            yield from solver(fine, len(early) - 1)(guided(fine), risen, late, label)

    # nothing asked of any picture needs no guidance; where it is of some, guidance leaves the others as they are
    whole = condition_of(asked, len(seeds)).to(model.device)
    wanted = whole if whole.known else None
    pushes = [Push(w - guidance, whole, forget(model, whole, name)) for name, w in (weights or {}).items()]
    if avoid is not None:
        pushes.append(Push(-guidance, pair(model, avoid, seeds)[0].to(model.device)))
    again = restarted(solve, restarts, lambda i: fresh(size, stream=i + 1)) if restarts else solve
    times = torch.tensor(own, dtype=torch.float64) if own else even_times(steps)
    denoiser = guided(size)
    yield from again(under(denoiser) if under else denoiser, fresh(size), times, wanted)


def _check(
    steps: int,
    guidance: float,
    guidance_interval: tuple[float, float],
    sampler: str,
    eta: float,
    restarts: int,
    aspect: tuple[int, int],
    density: int | None,
    noise: str,
) -> None:
    """Refuse arguments of `sample` that are out of range."""
    if steps < 1:
        raise InputError(f"steps is {steps}; it must be at least 1.")
    if not math.isfinite(guidance):
        raise InputError(f"guidance is {guidance:g}; it must be a number.")
    first, last = guidance_interval
    if not 0 <= first <= last <= 1:
        raise InputError(f"guidance_interval is {first:g} to {last:g}; give two times, from 0 to 1 and rising.")
    if sampler not in SAMPLERS:
        raise InputError(f"sampler {sampler!r} is unknown; choose {', '.join(SAMPLERS)}.")
    if eta and sampler not in STOCHASTIC:
        raise InputError(f"eta {eta:g} works with the samplers {' and '.join(STOCHASTIC)}; leave it 0 with {sampler}.")
    if not 0 <= eta <= 1:
        raise InputError(f"eta is {eta:g}; it must lie between 0 and 1.")
    if restarts < 0:
        raise InputError(f"restarts is {restarts}; it must be at least 0.")
    if restarts and eta:
        raise InputError(f"restarts bring fresh noise of their own; leave eta 0 instead of {eta:g}.")
    if min(aspect) < 1:
        raise InputError(f"aspect {aspect[0]}:{aspect[1]} is empty; both sides must be at least 1.")
    most = math.isqrt(MAX_PIXELS)
    if density is not None and not 1 <= density <= most:
        raise InputError(f"density is {density}; it must be at least 1 and at most {most:,}.")
    if noise not in get_args(Noise):
        raise InputError(f"noise {noise!r} is unknown; choose {', '.join(get_args(Noise))}.")


def _check_own(model: S2ID, steps: int | None, guidance: float | None, eta: float, steered: bool) -> None:
    own = len(model.card.times)
    if steps not in (None, own):
        raise InputError(f"steps is {steps} and this model is distilled for {own} calls; leave steps out.")
    if guidance not in (None, 1) or steered or eta:
        raise InputError("a distilled model has its guidance built in and takes no fresh noise; leave them out.")


def state_sizes(model: S2ID, aspect: Size, density: int | None = None) -> tuple[Size, Size | None]:
    """Size of the state that pictures are composed on, and of the finer one for the last steps, if there is one.

    Args:
        model: What composes.
        aspect: Height and width of the frame, in any unit.
        density: Samples along the long side of the only state; `None` is as the model was trained.
    """
    card, patch = model.card, model.config.patch

    def of(samples: int) -> Size:
        if aspect == card.size and not density:  # as its pictures were trained
            return trained_size(aspect, samples, patch, card.latent_factor)
        return state_size(samples, extent(aspect), patch)

    coarse, fine = of(density or card.density), of(card.detail_density or 1)
    return coarse, fine if card.detail_density and not density else None


def rise(
    coarse: Guided, fine: Guided, x_t: Images, t: float, label: Asked | None, noise: Float[Tensor, "b c y x"]
) -> Float[Tensor, "b c y x"]:
    """A state of finer samples at the same time, that shows what the coarse one does.

    What the coarse state cannot hold is hidden by noise until late, so it may be drawn late: the finer state is the
    expected function at its own samples, the noise of the coarse one, and fresh noise in what is finer.

    Args:
        coarse: Denoiser of the states given.
        fine: Denoiser of finer ones.
        x_t: States.
        t: Their time.
        label: Condition.
        noise: Unit noise on the finer grid.
    """
    moment = torch.full((len(x_t),), t, dtype=torch.float64, device=x_t.device)
    expected = coarse(x_t, moment, label, (noise.shape[2], noise.shape[3]))
    known = resize(expected, (x_t.shape[2], x_t.shape[3]))
    (alpha, sigma), (fine_alpha, fine_sigma) = (
        (per_sample(a.to(x_t), x_t) for a in d.schedule(moment)) for d in (coarse, fine)
    )
    eps = (x_t - alpha * known) / sigma
    return fine_alpha * expected + fine_sigma * finer(eps, noise)


def unit_noise(model: S2ID, size: Size, seeds: Sequence[int], noise: Noise = "nested", stream: int = 0) -> Images:
    """The noise that a model's states of a size begin with; of a later step in another stream."""
    one = partial(noise_field, frame=extent(size)) if noise == "nested" else white_noise
    return torch.stack([one(size, model.config.state_channels, seed, stream) for seed in seeds]).to(model.device)


def autoguidance_of(model: S2ID, wanted: float | None) -> float:
    """The weight of a model's guide, where one may have been asked for.

    Raises:
        InputError: One was, of a model without a guide, or it is no number.
    """
    if wanted is None:
        return model.card.autoguidance if model.guide else 1.0
    if not math.isfinite(wanted):
        raise InputError(f"autoguidance is {wanted:g}; it must be a number.")
    if wanted != 1 and model.guide is None:
        raise InputError(f"autoguidance is {wanted:g} and this model has no guide; `s2id guide` gives it one.")
    return wanted


def guided_denoiser(
    model: S2ID, size: Size, shift: bool = True, autoguidance: float = 1.0
) -> TrainedDenoiser | AutoGuided:
    """The model as a denoiser of states of a size, moved away from its guide; `shift` as for `sample`."""
    own = trained_denoiser(model, size, shift)
    if autoguidance == 1 or model.guide is None:
        return own
    return AutoGuided(own, _denoiser(model, model.guide, size, shift), autoguidance)


def trained_denoiser(model: S2ID, size: Size, shift: bool = True) -> TrainedDenoiser:
    """The model by itself as a denoiser of states of a size; `shift` as for `sample`."""
    return _denoiser(model, model.network, size, shift)


def _denoiser(model: S2ID, network: Network, size: Size, shift: bool) -> TrainedDenoiser:
    config, schedule = network.config, _schedule(model, size, shift)
    heard = schedule if config.hears == "logsnr" else model.schedule
    # at t = 1 an eps-prediction's error is magnified by 1 / alpha, a thousandfold; clean states are in [-1, 1]
    bound = 1.0 if config.prediction == "eps" else None
    return TrainedDenoiser(network, schedule, config.prediction, heard, bound)


def _schedule(model: S2ID, size: Size, shift: bool = True) -> Schedule:
    """The forward process of states of a size."""
    return model.schedule.at_density(max(size) / model.card.density) if shift else model.schedule


@torch.inference_mode()
def read_out(
    model: S2ID,
    x: Images,
    asked: Asked,
    facts: dict[str, str] | None = None,
    t: float = 0.0,
    frame: tuple[float, float] | None = None,
    autoguidance: float = 1.0,
) -> Field:
    """The functions that states show: the last call of the denoiser, on states without noise.

    Args:
        model: What composed them.
        x: States on the composition grid.
        asked: Their classes, or what else was asked of them.
        facts: For the field's file.
        t: Time of the states; 0, where they are samples of the functions, but for a distilled model.
        frame: Height and width of what the states cover, in composition units; whole patches seldom have its aspect.
            `None` has square samples.
        autoguidance: As for `sample`, 1 is off. A weaker model reads more softly, so to move away from it sharpens;
            this call goes half as far as the others.
    """
    size = (x.shape[2], x.shape[3])
    if model.config.dense:
        return Field(Features(x.movedim(1, -1), frame or extent(size)), PixelHead(model.config.channels), facts)
    logsnr = _schedule(model, size).logsnr(torch.full((len(x),), t, dtype=torch.float64, device=x.device)).to(x)

    def read(network: Network) -> Features:
        return network.decode(network.encode(x, logsnr, frame), asked.to(x.device))

    own, head = read(model.network), model.network.head
    if autoguidance == 1 or model.guide is None:
        return Field(own, head, facts)
    assert isinstance(head, FieldHead) and isinstance(model.guide.head, FieldHead)  # alike, and not dense
    weaker = read(model.guide)
    both = Features(torch.cat([weaker.values, own.values], dim=-1), own.frame, own.middle)
    return Field(both, FieldHead.lerp(model.guide.head, head, 1 + _READING * (autoguidance - 1)), facts)
