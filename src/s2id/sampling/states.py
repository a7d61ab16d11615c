"""The states that sampling composes on: their sizes, their noise, and the rise from one density to a finer one."""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from s2id.condition import Asked
from s2id.coords import extent, state_size, trained_size
from s2id.diffusion.guidance import Guided
from s2id.diffusion.noise import finer, noise_field, white_noise
from s2id.diffusion.settings import NoiseKind
from s2id.media.images import resize
from s2id.memory import check_memory
from s2id.sampling.model import S2ID
from s2id.settings import Size
from s2id.shapes import Images, per_sample

_ACTIVATIONS = 10
"""Values that a network holds at once for each channel of each token, about."""


class Arc(NamedTuple):
    """A place on the way from one seed's noise to another's, in place of a seed."""

    start: int
    end: int
    share: float
    """How far it lies from `start`, from 0 to 1."""


def affordable(density: int) -> int:
    """Number of pictures to compose at once; it falls as states of `density` samples a side grow."""
    return max(1, min(50, 50 * 32**2 // density**2))


def state_sizes(model: S2ID, aspect: Size, density: int | None = None) -> tuple[Size, Size | None]:
    """Sizes of the state that pictures are composed on and of the finer state of the last steps, if there is one.

    Args:
        model: The model that composes.
        aspect: Height and width of the frame, in any unit.
        density: Number of samples along the long side of the only state. `None` is as the model was trained.
    """
    card, patch = model.card, model.config.patch

    def of(samples: int) -> Size:
        if aspect == card.size and not density:  # the states that training made of such pictures
            return trained_size(aspect, samples, patch, card.latent_factor)
        return state_size(samples, extent(aspect), patch)

    coarse, fine = of(density or card.density), of(card.detail_density or 1)
    return coarse, fine if card.detail_density and not density else None


def check_states(model: S2ID, size: Size, count: int) -> None:
    """Refuse so many states, composed at once, whose tokens would not fit into this machine's memory.

    Raises:
        InputError: They would not.
    """
    tokens = size[0] * size[1] // model.config.patch**2
    needed = count * _ACTIVATIONS * tokens * model.config.width * 4
    several = count > 1
    advice = "draw fewer at once, or choose a lower density" if several else "choose a lower density"
    what = f"{count:,} states" if several else "a state"
    check_memory(f"{what} of {size[0]}x{size[1]} samples {'take' if several else 'takes'}", needed, advice)


def unit_noise(
    model: S2ID, size: Size, seeds: Sequence[int | Arc], kind: NoiseKind = "nested", stream: int = 0
) -> Images:
    """Unit Gaussian noise on a model's states of a size, one per seed.

    On the way between two seeds it is cos(u) * start + sin(u) * end, which stays white and of unit variance, and is
    linear, so that block means of finer noise are still the coarser noise.

    Args:
        model: The model that composes.
        size: Height and width of the states.
        seeds: Seeds, or places between two.
        kind: How the noise of states of different densities is related.
        stream: Number of the noise: 0 begins a composition, the others are fresh noise of later steps.
    """
    one = partial(noise_field, frame=extent(size)) if kind == "nested" else white_noise
    ends = {seed for place in seeds for seed in (place[:2] if isinstance(place, Arc) else (place,))}
    known = {seed: one(size, model.config.state_channels, seed, stream) for seed in ends}

    def at(place: int | Arc) -> Float[Tensor, "c h w"]:
        if not isinstance(place, Arc):
            return known[place]
        if place.start == place.end:
            return known[place.start]
        angle = place.share * math.pi / 2
        return math.cos(angle) * known[place.start] + math.sin(angle) * known[place.end]

    return torch.stack([at(place) for place in seeds]).to(model.device)


def rise(
    coarse: Guided, fine: Guided, x_t: Images, t: float, label: Asked | None, noise: Float[Tensor, "b c y x"]
) -> Float[Tensor, "b c y x"]:
    """The finer state, at the same time, that shows the same picture as a coarse one.

    Noise hides until late what a coarse state cannot hold, so that detail may be drawn late. The finer state is the
    expected function at its own samples, with the noise of the coarse state and with fresh noise in the rest.

    Args:
        coarse: Denoiser of the given states.
        fine: Denoiser of the finer states.
        x_t: Coarse states.
        t: Time of the states.
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
