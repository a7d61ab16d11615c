"""Sampling in two parts: compose a function on a grid of fixed density, then render it at any size.

The seed alone decides the picture. Its noise is a field that is keyed by the seed, so no size, window, batch or tile
that is chosen later changes the composition. A model whose state is the picture composes anew for every size instead.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from s2id.checks import checked
from s2id.condition import Asked, Condition, condition_of
from s2id.coords import extent
from s2id.diffusion.denoiser import Denoiser
from s2id.diffusion.guidance import Guided, Push, clipped
from s2id.diffusion.process import times as even_times
from s2id.diffusion.samplers import SAMPLERS, STOCHASTIC, Sampler, Step, last_of, restarted, result
from s2id.errors import InputError
from s2id.modes import modes_kept
from s2id.sampling.conditions import Labels, Seeds, describe, forget, pair, parts_of
from s2id.sampling.denoisers import guided_denoiser, read_out
from s2id.sampling.field import Field
from s2id.sampling.field_file import of_each
from s2id.sampling.model import S2ID
from s2id.sampling.resolving import autoguidance_of, guides_itself, resolved, smoothing_of, temperature_of
from s2id.sampling.settings import DEFAULT_STEPS, MOST_DENSE, Sampling
from s2id.sampling.states import Arc, affordable, check_states, rise, state_sizes, unit_noise
from s2id.settings import Size
from s2id.shapes import Images


@modes_kept()
@checked
def sample(
    model: S2ID,
    label: Labels = None,
    seed: Seeds = 0,
    sampling: Sampling = Sampling(),
    *,
    steps: int | None = None,
    guidance: float | None = None,
    avoid: Condition | None = None,
    aspect: Size | None = None,
) -> Field:
    """A field of one function per label and seed, which can be rendered at any size.

    Args:
        model: A model from `s2id.load`.
        label: Name or index of a class, as for `s2id.ask`, or a condition from there; `None` asks for nothing. Several,
            in a list, an array or a tensor, are paired with several seeds, one to one; a single label goes with every
            seed.
        seed: Integer from 0 to 2**64 - 1, or several. A seed's picture does not depend on the others of its batch.
        sampling: Settings of the solver, the guidance and the state.
        steps: Number of solver steps, in place of `sampling.steps`; `None` keeps that.
        guidance: Weight of classifier-free guidance, in place of `sampling.guidance`; `None` keeps that.
        avoid: Condition to move away from, with the weight of the guidance.
        aspect: Height and width, in any unit, of the frame to compose on. `None` is that of the training data. The
            model has seen no other; to see the same picture in another aspect, render it in that aspect.

    Raises:
        InputError: An argument is out of range, or the model has no use for it.

    Example:
        >>> import s2id
        >>> model = s2id.load("mnist-fast")
        >>> s2id.sample(model, label=[7, 3], seed=[0, 1]).render((14, 14)).shape
        torch.Size([2, 1, 14, 14])
    """
    sampling = replace(
        sampling,
        steps=sampling.steps if steps is None else steps,
        guidance=sampling.guidance if guidance is None else guidance,
    )
    asked, seeds = pair(model, label, seed)
    return result(drawing(model, asked, seeds, sampling, avoid=avoid, aspect=aspect))


def drawing(
    model: S2ID,
    asked: Condition,
    seeds: Sequence[int | Arc],
    sampling: Sampling = Sampling(),
    *,
    avoid: Condition | None = None,
    aspect: Size | None = None,
    facts: dict[str, str] | None = None,
) -> Generator[Step, None, Field]:
    """The solver's steps of `sample`, whose field is what the generator returns; arguments as for `compose`.

    `facts` stand in the field instead of its labels and seeds.
    """
    state = yield from last_of(compose(model, asked, seeds, sampling, avoid=avoid, aspect=aspect))
    t = model.card.times[-1] if model.card.times else 0.0
    frame, facts = extent(aspect or model.card.size or (1, 1)), facts or _facts(model, asked, seeds)
    autoguidance, smoothing = autoguidance_of(model, sampling.autoguidance), smoothing_of(model, sampling.smoothing)
    return read_out(model, state, asked, facts, t, frame, autoguidance, smoothing)


def _facts(model: S2ID, asked: Condition, seeds: Sequence[int | Arc]) -> dict[str, str]:
    """Facts about sampled pictures, for the field's file."""
    labels = " ".join(map(str, asked.label.tolist()))
    facts = {"seeds": " ".join(map(str, seeds)), "labels": labels, "data": model.card.data}
    if any(words := describe(model, asked)):
        facts["asked"] = of_each(words)
    return facts


@torch.inference_mode()
def compose(
    model: S2ID,
    asked: Asked,
    seeds: Sequence[int | Arc],
    sampling: Sampling = Sampling(),
    *,
    avoid: Condition | None = None,
    aspect: Size | None = None,
    under: Callable[[Denoiser], Denoiser] | None = None,
) -> Iterator[Step]:
    """The solver's steps of `sample`, one by one, for callers that show progress or previews.

    Args:
        model: A model from `s2id.load`.
        asked: One condition per seed, or their classes.
        seeds: Seeds, or places on the way between two, one per picture.
        sampling: Settings, as for `sample`.
        avoid: As for `sample`.
        aspect: As for `sample`.
        under: Wraps the guided denoiser in another, as `inverse.posterior.Posterior` does to restore; `None` wraps
            nothing. A wrapped denoiser is not autoguided, because the derivative of an autoguided denoiser is no
            covariance, and it does not end on finer states, because an observation refers to the samples of one state.

    Raises:
        InputError: An argument is out of range, or the model has no use for it.
    """
    sampling = resolved(model, sampling, steered=avoid is not None, restoring=under is not None)
    aspect = aspect or model.card.size or (1, 1)
    if min(aspect) < 1:
        raise InputError(f"aspect {aspect[0]}:{aspect[1]} is empty; both sides must be at least 1.")
    if avoid is not None and len(avoid) not in (1, len(seeds)):
        raise InputError(f"avoid is for {len(avoid)} pictures and {len(seeds)} are drawn; give one, or one for each.")
    size, fine = state_sizes(model, aspect, sampling.density)
    check_states(model, size, len(seeds))
    one = _Composition(model, asked, seeds, sampling, avoid, fine, restoring=under is not None)
    solve = one.solve
    if sampling.restarts:
        solve = restarted(solve, sampling.restarts, lambda i: one.noise(size, i + 1))
    own = model.card.times
    times = torch.tensor(own, dtype=torch.float64) if own else even_times(sampling.steps or DEFAULT_STEPS)
    denoiser = one.denoiser(size)
    yield from solve(under(denoiser) if under else denoiser, one.noise(size), times, one.wanted)


class _Composition:
    """One composition: its guided denoisers and noise at every size of state, and the rise to finer states."""

    def __init__(
        self,
        model: S2ID,
        asked: Asked,
        seeds: Sequence[int | Arc],
        sampling: Sampling,
        avoid: Condition | None,
        fine: Size | None,
        restoring: bool,
    ) -> None:
        self.model, self.sampling, self.fine = model, sampling, None if restoring else fine
        self.seeds = seeds
        assert sampling.guidance is not None and sampling.autoguidance is not None  # resolved
        self.temperature = temperature_of(model, sampling.temperature, restoring)
        self.guidance, self.autoguidance = sampling.guidance, sampling.autoguidance
        self.learned = guides_itself(model, self.autoguidance)
        whole, *beside = map(self._comparable, parts_of(model, condition_of(asked, len(seeds))))
        # where no picture has a condition there is nothing to guide; where some have one, guidance leaves the others
        self.wanted = whole if whole.known else None
        pushes = [Push(self.guidance, more, replace(more, words=None)) for more in beside]
        for name, weight in sampling.stronger:
            for part in (whole, *beside):
                less = forget(model, part, name)
                if part is whole or less.words is not part.words:  # all parts have the labels that are no words
                    pushes.append(Push(weight - self.guidance, part, less))
        if avoid is not None:
            nothing = whole.unknown() if self.learned else None
            pushes.append(Push(-self.guidance, self._comparable(pair(model, avoid, range(len(seeds)))[0]), nothing))
        self.pushes = pushes if self.wanted or avoid is not None else []
        # latents have no range; a posterior bounds its states itself and needs the derivative of those that it is given
        self.within = None if restoring or model.config.latents else clipped

    def _comparable(self, asked: Condition) -> Condition:
        """A condition under which predictions are compared: with weight 1 where the network takes a weight."""
        asked = asked.to(self.model.device)
        return asked.weighted(1.0) if self.learned else asked

    def noise(self, size: Size, stream: int = 0) -> Images:
        """The noise of every seed on states of a size, of the wanted temperature."""
        return self.temperature * unit_noise(self.model, size, self.seeds, self.sampling.noise, stream)

    def denoiser(self, size: Size) -> Guided:
        """The guided denoiser of states of a size."""
        inner = guided_denoiser(self.model, size, self.sampling.shift, self.autoguidance)
        interval = self.sampling.guidance_interval
        return Guided(inner, self.guidance, self.pushes, interval, self.within, self.learned)

    def solver(self, size: Size, first: int = 0) -> Sampler:
        """The solver of states of a size; `first` is the number of steps that were made before."""
        name, eta = self.sampling.sampler, self.sampling.eta
        if not eta:
            return SAMPLERS[name]
        # stream 0 is the noise that composing begins with, stream i + 1 the fresh noise of step i
        return partial(STOCHASTIC[name], eta=eta, noise=lambda i: self.noise(size, first + i + 1))

    def solve(
        self, denoiser: Denoiser, x_t: Images, times: Float[Tensor, " n"], label: Asked | None = None
    ) -> Iterator[Step]:
        """Steps through all times; those at or below the card's `detail_time` are made on the finer states."""
        fine, size = self.fine, (x_t.shape[2], x_t.shape[3])
        early = times if fine is None else times[: int((times > self.model.card.detail_time).sum()) + 1]
        for step in self.solver(size)(denoiser, x_t, early, label):
            x_t = step.x_t
            yield step
        if fine is not None and len(early) < len(times):
            finer = self.denoiser(fine)
            risen = rise(self.denoiser(size), finer, x_t, early[-1].item(), label, self.noise(fine))
            yield from self.solver(fine, len(early) - 1)(finer, risen, times[len(early) - 1 :], label)


@dataclass(frozen=True)
class Plan:
    """One composition per seed, and the sizes that it is rendered at."""

    sizes: tuple[Size, ...]
    """Sizes of the pictures."""
    aspect: Size | None
    """Frame to compose on, for `sample`; `None` where one composition serves every size."""
    sampling: Sampling
    """Settings of the composition."""
    batch: int
    """Number of seeds to compose at once."""


def plans(model: S2ID, sizes: Sequence[Size], sampling: Sampling = Sampling()) -> list[Plan]:
    """The compositions that pictures of several sizes need: a single one, or one per size if the model is dense.

    A dense model's state is the picture, so it composes every size anew, unless `sampling.density` fixes the state.

    Args:
        model: The model to sample from.
        sizes: Sizes of the pictures.
        sampling: Settings.

    Raises:
        InputError: The model is dense, and a size has more samples along a side than states may have.

    Example:
        >>> import s2id
        >>> [plan.sizes for plan in plans(s2id.load("mnist-fast"), [(28, 28), (61, 37)])]
        [((28, 28), (61, 37))]
    """
    if not model.config.dense or sampling.density is not None:
        return [Plan(tuple(sizes), None, sampling, affordable(sampling.density or model.card.density))]
    for height, width in sizes:
        if max(height, width) > MOST_DENSE:
            raise InputError(
                f"size {height}x{width} is too long for this model, whose state is the picture; choose up to "
                f"{MOST_DENSE:,} pixels a side."
            )
    return [Plan((size,), size, replace(sampling, density=max(size)), affordable(max(size))) for size in sizes]
