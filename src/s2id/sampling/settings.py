"""Settings of sampling, and the card of facts in a model's file. Nothing here imports torch."""

import math
from dataclasses import dataclass
from typing import get_args

from s2id.diffusion.settings import ALWAYS, NoiseKind
from s2id.errors import InputError
from s2id.settings import MAX_PIXELS, Alpha, Size, setting

DEFAULT_STEPS = 12
"""Number of solver steps where the settings name none."""

DEFAULT_GUIDANCE = 1.5
"""Weight of classifier-free guidance where the settings name none."""


@dataclass(frozen=True)
class Sampling:
    """Settings of sampling: the solver, the guidance, and the state that pictures are composed on.

    Example:
        >>> Sampling(steps=20, sampler="heun").steps
        20
    """

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
    """Facts about a model's training that sampling and rendering need besides the network."""

    data: str = ""
    """Name of the data set."""
    density: int = 20
    """Number of samples along the long side of the state that pictures are composed on."""
    labels: tuple[str, ...] = ()
    """Names of the classes, by index."""
    images_seen: int = 0
    """Number of images drawn in training."""
    schedule_s: float = 0.008
    """Offset s of the cosine schedule."""
    schedule_shift: float = 0.0
    """Number added to the cosine schedule's logsnr on states of the density `density`."""
    size: Size | None = None
    """Height and width of most of the data's pictures, in pixels. `None`: unknown."""
    attributes: tuple[str, ...] = ()
    """Names of the attributes, by index."""
    numbers: tuple[str, ...] = ()
    """Names of the numbers, by index."""
    number_ranges: tuple[tuple[float, float], ...] = ()
    """Least and largest value of each number in the data."""
    observe: str = ""
    """How training pixelated its pictures, if it never saw them as they are (`TrainConfig.pixelate`)."""
    times: tuple[float, ...] = ()
    """Times of a distilled model's only calls, from 1 down; the last call reads the function out. Empty for others."""
    autoencoder: str = ""
    """Class and SHA-256 of the autoencoder whose latents are the states. Empty: the states are pictures."""
    latent_factor: int = 1
    """Number of pixels of a picture per side of a latent sample."""
    latent_mean: tuple[float, ...] = ()
    """Mean of each channel of the autoencoder's latents: a state is `(latents - mean) / std`."""
    latent_std: tuple[float, ...] = ()
    """Standard deviation of each channel of the autoencoder's latents."""
    detail_density: int = 0
    """Number of samples along the long side of the finer state that sampling ends on. 0: it ends on `density`."""
    detail_time: float = 0.0
    """Time t from which on the state has `detail_density`."""
    kind: str = ""
    """Name of the reader that loads the data set: "folder" or "hub". Empty if the data set's own name identifies it."""
    alpha: Alpha = "white"
    """What became of transparency in training: "keep", or the ground that it was laid over."""
    autoguidance: float = 1.0
    """Weight of autoguidance by the guide where the settings of sampling name none; 1 is off."""
    pictures: int = 0
    """Number of pictures in the data set. 0: unknown."""
    label_counts: tuple[int, ...] = ()
    """Number of pictures of each class, by index. Empty: unknown."""
    attribute_counts: tuple[tuple[int, int], ...] = ()
    """Number of pictures that have each attribute, and of those that lack it, by index. Empty: unknown."""

    palette: tuple[str, ...] = ()
    """Colours of the data, each "#" and two hexadecimal digits per channel, premultiplied by alpha if there is any; if
    the data look like pixel art and have at most 256 colours. Empty for all other data."""

    def knows(self, names: tuple[tuple[str, ...], ...]) -> bool:
        """Whether the names of labels, attributes and numbers of some data are those of the training data."""
        return (self.labels, self.attributes, self.numbers) == names
