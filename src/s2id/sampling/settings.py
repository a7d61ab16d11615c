"""What a model file says beside its weights, and how to sample. Nothing here imports torch."""

import math
from dataclasses import dataclass
from typing import get_args

from s2id.diffusion.settings import ALWAYS, NoiseKind
from s2id.errors import InputError
from s2id.settings import MAX_PIXELS, Size, setting

DEFAULT_STEPS = 12
"""Number of solver steps where the settings name none."""

DEFAULT_GUIDANCE = 1.5
"""Weight of classifier-free guidance where the settings name none."""


@dataclass(frozen=True)
class Sampling:
    """All settings of sampling: the solver, the guidance and the state that pictures are composed on."""

    steps: int | None = None
    """Number of solver steps. `None` is 12, or the number that a distilled model was trained for. A step is one call of
    the network, two for "heun"; one more call reads the function out, and one more moves to a finer state."""
    guidance: float | None = None
    """Weight of classifier-free guidance: 1 is off, more exaggerates the condition. `None` is 1.5; a distilled model
    has its guidance built in."""
    autoguidance: float | None = None
    """Weight of autoguidance by the weaker model that the model file may hold: 1 is off, more moves further away from
    what the weaker model would draw. `None` is the weight in the model's card."""
    sampler: str = "dpmpp"
    """Name of the solver: a key of `s2id.diffusion.samplers.SAMPLERS`, e.g. "ddim", "heun" or "dpmpp"."""
    guidance_interval: tuple[float, float] = setting(ALWAYS, "sampling")
    """First and last time at which guidance acts, from 0 to 1 and rising. Time 1 is noise, time 0 the picture."""
    eta: float = setting(0.0, "sampling")
    """Share of fresh noise in every step, from 0 to 1, for the solvers "ddim" and "dpmpp". With more than 0, a seed
    gives another picture for another number of steps."""
    density: int | None = setting(None, "sampling")
    """Number of samples along the long side of the one state to compose on. `None` is the density of training, which
    may end on a finer state."""
    noise: NoiseKind = setting("nested", "sampling")
    """How a seed's noise on states of different densities is related. "nested": block means of the denser noise are the
    coarser noise, so a seed shows one picture at all densities. "white": unrelated, as published."""
    shift: bool = setting(True, "sampling")
    """Whether logsnr is lowered by 2 ln k on a state k times as dense as in training, where k^2 times as many samples
    show the same picture. Without it, as published, diversity falls as density rises."""
    restarts: int = setting(0, "sampling")
    """How often a restored picture is made noisy again and solved anew."""
    stronger: tuple[tuple[str, float], ...] = setting((), "sampling")
    """Guidance weights of single labels, as pairs of a name and a weight. A name is that of an attribute or a number,
    "label" for the class, or "text" for the tokens. All other labels have `guidance`."""

    def __post_init__(self) -> None:
        """Refuse values out of range, whatever the model."""
        if self.steps is not None and self.steps < 1:
            raise InputError(f"steps is {self.steps}; it must be at least 1.")
        weights = {"guidance": self.guidance, "autoguidance": self.autoguidance, **dict(self.stronger)}
        for name, weight in weights.items():
            if weight is not None and not math.isfinite(weight):
                raise InputError(f"{name} is {weight:g}; it must be a number.")
        first, last = self.guidance_interval
        if not 0 <= first <= last <= 1:
            raise InputError(f"guidance_interval is {first:g} to {last:g}; give two times, from 0 to 1 and rising.")
        if not 0 <= self.eta <= 1:
            raise InputError(f"eta is {self.eta:g}; it must lie between 0 and 1.")
        most = math.isqrt(MAX_PIXELS)
        if self.density is not None and not 1 <= self.density <= most:
            raise InputError(f"density is {self.density}; it must be at least 1 and at most {most:,}.")
        if self.noise not in get_args(NoiseKind):
            raise InputError(f"noise {self.noise!r} is unknown; choose {', '.join(get_args(NoiseKind))}.")
        if self.restarts < 0:
            raise InputError(f"restarts is {self.restarts}; it must be at least 0.")
        if self.restarts and self.eta:
            raise InputError(f"restarts bring fresh noise of their own; leave eta 0 instead of {self.eta:g}.")


@dataclass(frozen=True)
class Card:
    """What a model was trained on: all that sampling and rendering must know besides the network."""

    data: str = ""
    """Name of the data set."""
    density: int = 20
    """Samples along the long side of the state that sampling composes on."""
    labels: tuple[str, ...] = ()
    """Name of each class, by index."""
    images_seen: int = 0
    """Images drawn in training."""
    schedule_s: float = 0.008
    """Offset s of the cosine schedule."""
    schedule_shift: float = 0.0
    """What is added to the cosine schedule's logsnr at that density."""
    size: Size | None = None
    """Height and width of most of the data's pictures; `None` is not known."""
    attributes: tuple[str, ...] = ()
    """Name of each attribute, by index."""
    numbers: tuple[str, ...] = ()
    """Name of each number, by index."""
    number_ranges: tuple[tuple[float, float], ...] = ()
    """Least and most of each number in the data."""
    observe: str = ""
    """How training saw the pictures where it never saw them as they are; `TrainConfig.pixelate`."""
    times: tuple[float, ...] = ()
    """Of a distilled model: the times of the only calls it makes, from 1 down; the last reads the function out."""
    autoencoder: str = ""
    """Whose latents the states are: its class and the SHA-256 of its weights; empty where states are pictures."""
    latent_factor: int = 1
    """Pixels of a picture per side of a latent sample."""
    latent_mean: tuple[float, ...] = ()
    """Mean of each channel of the autoencoder's latents: a state is `(latents - mean) / std`."""
    latent_std: tuple[float, ...] = ()
    """Standard deviation of each."""
    detail_density: int = 0
    """Samples along the long side of the state that sampling ends on; 0 is `density`."""
    detail_time: float = 0.0
    """t from which on the state has `detail_density`."""
    kind: str = ""
    """What reads the data set, "folder" or "hub"; empty where its name says so."""
    autoguidance: float = 1.0
    """Weight of the guide's autoguidance in sampling, where there is a guide; 1 is off."""

    def knows(self, names: tuple[tuple[str, ...], ...]) -> bool:
        """Whether data with such names of labels, attributes and numbers are what the model was trained on."""
        return (self.labels, self.attributes, self.numbers) == names
