"""Compose, then render: sampling runs on the composition grid and returns a field.

The seed alone decides the picture: noise is a field keyed by it, and no later choice of size, window, batch or tile
reaches the composition. A dense model's composition is the picture: it composes anew for every size.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

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
from s2id.diffusion.settings import ALWAYS, NoiseKind
from s2id.errors import InputError
from s2id.images import resize
from s2id.network.build import AnyNetwork
from s2id.network.heads import Features, FieldHead
from s2id.network.published import PixelHead
from s2id.sampling.conditions import Seeds, describe, forget, pair
from s2id.sampling.field import Field
from s2id.sampling.model import S2ID, check_denoises
from s2id.sampling.settings import DEFAULT_GUIDANCE, DEFAULT_STEPS, Sampling
from s2id.settings import Size
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
    sampling: Sampling = Sampling(),
    *,
    steps: int | None = None,
    guidance: float | None = None,
    avoid: Condition | None = None,
    aspect: Size | None = None,
) -> Field:
    """A field per label and seed: functions to be looked at in any size.

    Args:
        model: From `s2id.load`.
        label: Class index or name, or what `s2id.ask` made; `None` is no condition. A sequence goes with a sequence of
            seeds, one to one; a single one goes with them all.
        seed: Decides the picture, whatever else is drawn in the same batch.
        sampling: How to sample.
        steps: Number of solver steps; `None` is that of `sampling`.
        guidance: Weight of classifier-free guidance; `None` is that of `sampling`.
        avoid: What the picture should not be, as strongly as `guidance` says.
        aspect: Height and width, in any unit, of the frame to compose on, to whole patches; `None` is the training
            data's. Another asks the model for compositions it has not seen; to see the same picture in another aspect,
            render it so instead.

    Raises:
        InputError: An argument is out of range.
    """
    if steps is not None:
        sampling = replace(sampling, steps=steps)
    if guidance is not None:
        sampling = replace(sampling, guidance=guidance)
    asked, seeds = pair(model, label, seed)
    walk = compose(model, asked, seeds, sampling, avoid=avoid, aspect=aspect)
    facts = {
        "seeds": " ".join(map(str, seeds)),
        "labels": " ".join(map(str, asked.label.tolist())),
        "data": model.card.data,
    }
    if any(words := describe(model, asked)):
        facts["asked"] = "; ".join(words)
    t = model.card.times[-1] if model.card.times else 0.0
    frame = extent(aspect or model.card.size or (1, 1))
    return read_out(model, last(walk), asked, facts, t, frame, autoguidance_of(model, sampling.autoguidance))


@torch.inference_mode()
def compose(
    model: S2ID,
    asked: Asked,
    seeds: Sequence[int],
    sampling: Sampling = Sampling(),
    *,
    avoid: Condition | None = None,
    aspect: Size | None = None,
    under: Callable[[Denoiser], Denoiser] | None = None,
) -> Iterator[Step]:
    """The steps of `sample`, for callers that draw progress or previews. Arguments as there, already paired.

    `under` wraps the guided denoiser, as `Posterior` does; `None` leaves it as it is. Under observations a model's
    guide is left out, for the derivative of what autoguidance makes is no covariance, and so are finer states: what
    was seen is told to the samples of one.
    """
    _check(model, sampling, avoid, under is not None)
    aspect = aspect or model.card.size or (1, 1)
    if min(aspect) < 1:
        raise InputError(f"aspect {aspect[0]}:{aspect[1]} is empty; both sides must be at least 1.")
    own = model.card.times
    guidance, sampler = sampling.guidance, sampling.sampler
    if own:
        guidance, sampler = 1.0, "ddim"
    guidance = DEFAULT_GUIDANCE if guidance is None else guidance
    strength = autoguidance_of(model, sampling.autoguidance if under is None else 1.0)
    size, fine = state_sizes(model, aspect, sampling.density)
    if under is not None:
        fine = None
    fresh = partial(unit_noise, model, seeds=seeds, noise=sampling.noise)

    def guided(size: Size) -> Guided:
        denoiser = guided_denoiser(model, size, sampling.shift, strength)
        return Guided(denoiser, guidance, pushes if wanted or avoid else (), sampling.guidance_interval)

    def solver(size: Size, first: int = 0) -> Sampler:
        # a step's noise is a stream of its own; the first one's is the beginning's
        if not sampling.eta:
            return SAMPLERS[sampler]
        return partial(STOCHASTIC[sampler], eta=sampling.eta, noise=lambda i: fresh(size, stream=first + i + 1))

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
    pushes = [Push(w - guidance, whole, forget(model, whole, name)) for name, w in sampling.stronger]
    if avoid is not None:
        pushes.append(Push(-guidance, pair(model, avoid, seeds)[0].to(model.device)))
    again = restarted(solve, sampling.restarts, lambda i: fresh(size, stream=i + 1)) if sampling.restarts else solve
    times = torch.tensor(own, dtype=torch.float64) if own else even_times(sampling.steps or DEFAULT_STEPS)
    denoiser = guided(size)
    yield from again(under(denoiser) if under else denoiser, fresh(size), times, wanted)


def _check(model: S2ID, sampling: Sampling, avoid: Condition | None, restoring: bool) -> None:
    """Refuse settings that this model, or its solver, has no use for."""
    sampler, eta = sampling.sampler, sampling.eta
    if sampler not in SAMPLERS:
        raise InputError(f"sampler {sampler!r} is unknown; choose {', '.join(SAMPLERS)}.")
    if eta and sampler not in STOCHASTIC:
        raise InputError(f"eta {eta:g} works with the samplers {' and '.join(STOCHASTIC)}; leave it 0 with {sampler}.")
    if restoring and sampling.autoguidance not in (None, 1):
        raise InputError("autoguidance has no place where a picture is restored; leave it out.")
    if not (own := len(model.card.times)):
        return
    if restoring:
        check_denoises(model)
    if sampling.steps not in (None, own):
        raise InputError(f"steps is {sampling.steps} and this model is distilled for {own} calls; leave steps out.")
    steered = bool(sampling.stronger) or avoid is not None or sampling.guidance_interval != ALWAYS
    if sampling.guidance not in (None, 1) or steered or eta:
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


def unit_noise(model: S2ID, size: Size, seeds: Sequence[int], noise: NoiseKind = "nested", stream: int = 0) -> Images:
    """The noise that a model's states of a size begin with; of a later step in another stream."""
    one = partial(noise_field, frame=extent(size)) if noise == "nested" else white_noise
    return torch.stack([one(size, model.config.state_channels, seed, stream) for seed in seeds]).to(model.device)


def autoguidance_of(model: S2ID, wanted: float | None) -> float:
    """The weight of a model's guide, where one may have been asked for.

    Raises:
        InputError: One was, of a model without a guide.
    """
    if wanted is None:
        return model.card.autoguidance if model.guide else 1.0
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


def _denoiser(model: S2ID, network: AnyNetwork, size: Size, shift: bool) -> TrainedDenoiser:
    config, schedule = network.config, _schedule(model, size, shift)
    input_schedule = schedule if config.knows_density else model.schedule
    # at t = 1 an eps-prediction's error is magnified by 1 / alpha, a thousandfold; clean states are in [-1, 1]
    bound = 1.0 if config.prediction == "eps" else None
    return TrainedDenoiser(network, schedule, config.prediction, input_schedule, bound)


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

    def read(network: AnyNetwork) -> Features:
        return network.decode(network.encode(x, logsnr, frame), asked.to(x.device))

    own, head = read(model.network), model.network.head
    if autoguidance == 1 or model.guide is None:
        return Field(own, head, facts)
    assert isinstance(head, FieldHead) and isinstance(model.guide.head, FieldHead)  # alike, and not dense
    weaker = read(model.guide)
    both = Features(torch.cat([weaker.values, own.values], dim=-1), own.frame, own.middle)
    return Field(both, FieldHead.lerp(model.guide.head, head, 1 + _READING * (autoguidance - 1)), facts)
