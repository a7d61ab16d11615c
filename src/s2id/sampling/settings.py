"""Settings of sampling, and the card of facts in a model's file. Nothing here imports torch."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from s2id.checks import Positive, Share, Within, check
from s2id.diffusion.settings import ALWAYS, NoiseKind
from s2id.errors import InputError
from s2id.settings import MAX_PIXELS, Alpha, check_alpha, check_palette, setting

DEFAULT_STEPS = 12
"""Number of solver steps where the settings name none."""

DEFAULT_GUIDANCE = 1.5
"""Weight of classifier-free guidance where the settings name none."""

Temperature = Annotated[float, Within(0, 2)]
"""Factor of all noise that is drawn."""

Smoothing = Annotated[float, Within(0, 2)]
"""Differences of colour, of values in [-1, 1], that are smoothed away in composed states."""

Weight = Annotated[float, Within(-1000, 1000)]
"""Weight of guidance. Beyond some tens nothing is left of the picture, and far beyond float32 overflows."""

MOST_DENSE = math.isqrt(MAX_PIXELS)
"""Largest number of samples along a side of a state."""

Density = Annotated[int, Within(1, MOST_DENSE)]
"""Number of samples along the long side of a state."""

Count = Annotated[int, Within(0)]


@dataclass(frozen=True)
class Sampling:
    """Settings of sampling: the solver, the guidance, and the state that pictures are composed on.

    Example:
        >>> Sampling(steps=20, sampler="heun").steps
        20
    """

    steps: Annotated[int, Within(1, 100_000)] | None = None
    """Number of solver steps. `None` is 12, or the number that a distilled model was trained for. A step is one call of
    the network, two for "heun"; one more call reads the function out, and one more moves to a finer state."""
    guidance: Weight | None = None
    """Weight of classifier-free guidance: 1 is off, more exaggerates the condition. `None` is 1.5; a distilled model
    has its guidance built in."""
    autoguidance: Weight | None = None
    """Weight of autoguidance by the weaker model that the model file may hold: 1 is off, more moves further away from
    what the weaker model would draw. `None` is the weight in the model's card."""
    sampler: str = "dpmpp"
    """Name of the solver: a key of `s2id.diffusion.samplers.SAMPLERS`, e.g. "ddim", "heun" or "dpmpp"."""
    guidance_interval: tuple[Share, Share] = setting(ALWAYS, "sampling")
    """First and last time at which guidance acts, from 0 to 1 and rising. Time 1 is noise, time 0 the picture."""
    eta: Share = setting(0.0, "sampling")
    """Share of fresh noise in every step, from 0 to 1, for the solvers "ddim" and "dpmpp". With more than 0, a seed
    gives another picture for another number of steps."""
    temperature: Temperature | None = setting(None, "sampling")
    """Factor of all noise: 1 draws pictures as various as the model expects them, less draws what it is surer of, which
    is smoother and differs less from seed to seed; at 0 every seed draws the same. `None` is the card's, which is 1 for
    most models; pictures are restored at 1."""
    smoothing: Smoothing | None = setting(None, "sampling")
    """Differences of colour, of values in [-1, 1], that a filter which keeps borders takes out of the composed state
    before a renderer draws it (`s2id.sampling.smoothing`); 0 is none. `None` is the card's, which is 0 for most models;
    models without a renderer and restored pictures have none."""
    density: Density | None = setting(None, "sampling")
    """Number of samples along the long side of the one state to compose on. `None` is the density of training, which
    may end on a finer state."""
    noise: NoiseKind = setting("nested", "sampling")
    """How a seed's noise on states of different densities is related. "nested": block means of the denser noise are the
    coarser noise, so a seed shows one picture at all densities. "white": unrelated, as published."""
    shift: bool = setting(True, "sampling")
    """Whether logsnr is lowered by 2 ln k on a state k times as dense as in training, where k^2 times as many samples
    show the same picture. Without it, as published, diversity falls as density rises."""
    restarts: Annotated[int, Within(0, 1000)] = setting(0, "sampling")
    """How often a composed or restored state is made noisy again, up to time 0.7, and solved anew (restart sampling, Xu
    et al. 2023)."""
    stronger: tuple[tuple[str, Weight], ...] = setting((), "sampling")
    """Guidance weights of single labels, as pairs of a name and a weight. A name is that of an attribute or a number,
    "label" or "style" for the class, "text" for the tokens, "words" for all words, or one of these. All other labels
    have `guidance`."""

    def __post_init__(self) -> None:
        """Refuse values out of range, whatever the model."""
        check(self)
        first, last = self.guidance_interval
        if first > last:
            raise InputError(f"guidance_interval is {first:g} to {last:g}; give two times, from 0 to 1 and rising.")
        if self.restarts and self.eta:
            raise InputError(f"restarts bring fresh noise of their own; leave eta 0 instead of {self.eta:g}.")


@dataclass(frozen=True)
class Card:
    """Facts about a model's training that sampling and rendering need besides the network."""

    data: str = ""
    """Name of the data set."""
    density: Density = 20
    """Number of samples along the long side of the state that pictures are composed on."""
    labels: tuple[str, ...] = ()
    """Names of the classes, by index."""
    images_seen: Count = 0
    """Number of images drawn in training."""
    schedule_s: Share = 0.008
    """Offset s of the cosine schedule."""
    schedule_shift: Annotated[float, Within(-100, 100)] = 0.0
    """Number added to the cosine schedule's logsnr on states of the density `density`."""
    size: tuple[Density, Density] | None = None
    """Height and width of most of the data's pictures, in pixels. `None`: unknown."""
    attributes: tuple[str, ...] = ()
    """Names of the attributes, by index."""
    numbers: tuple[str, ...] = ()
    """Names of the numbers, by index."""
    number_ranges: tuple[tuple[float, float], ...] = ()
    """Least and largest value of each number in the data."""
    observe: str = ""
    """How training pixelated its pictures, if it never saw them as they are (`TrainConfig.pixelate`)."""
    times: tuple[Share, ...] = ()
    """Times of a distilled model's only calls, from 1 down; the last call reads the function out. Empty for others."""
    autoencoder: str = ""
    """Class and SHA-256 of the autoencoder whose latents are the states. Empty: the states are pictures."""
    latent_factor: Annotated[int, Within(1, 1024)] = 1
    """Number of pixels of a picture per side of a latent sample."""
    latent_mean: tuple[float, ...] = ()
    """Mean of each channel of the autoencoder's latents: a state is `(latents - mean) / std`."""
    latent_std: tuple[Positive, ...] = ()
    """Standard deviation of each channel of the autoencoder's latents."""
    detail_density: Annotated[int, Within(0, MOST_DENSE)] = 0
    """Number of samples along the long side of the finer state that sampling ends on. 0: it ends on `density`."""
    detail_time: Share = 0.0
    """Time t from which on the state has `detail_density`."""
    kind: str = ""
    """Name of the reader that loads the data set, as "folder". Empty if the data set's own name identifies it."""
    alpha: Alpha = "white"
    """What became of transparency in training: "keep", or the ground that it was laid over."""
    autoguidance: Weight = 1.0
    """Weight of autoguidance by the guide where the settings of sampling name none; 1 is off."""
    temperature: Temperature = 1.0
    """Factor of all noise that is drawn, where the settings of sampling name none."""
    smoothing: Smoothing = 0.0
    """Differences of colour that are smoothed away before the renderer draws, where the settings of sampling name
    none."""
    pictures: Count = 0
    """Number of pictures in the data set. 0: unknown."""
    label_counts: tuple[Count, ...] = ()
    """Number of pictures of each class in the last training, by index. Empty: unknown."""
    attribute_counts: tuple[tuple[Count, Count], ...] = ()
    """Number of pictures that have each attribute, and of those that lack it, by index. Empty: unknown."""
    words: tuple[str, ...] = ()
    """Words of captions that the model knows, by index, the most frequent first."""
    word_counts: tuple[Count, ...] = ()
    """Number of pictures that have each word, by index. Empty: unknown."""
    words_together: tuple[tuple[Count, ...], ...] = ()
    """For each word, by index, the later words that pictures have it with. Empty: unknown, or more pairs than
    `s2id.words.MOST_PAIRS`."""
    encoder: str = ""
    """Text encoder, of `s2id.text`, whose tokens the model takes in place of words. Empty: it takes none."""
    palette: tuple[str, ...] = ()
    """Colours of the data, each "#" and two hexadecimal digits per channel, premultiplied by alpha if there is any; if
    the data look like pixel art and have at most 256 colours. Empty for all other data."""

    def __post_init__(self) -> None:
        """Refuse facts that no training leaves behind, as an altered file may hold them."""
        check(self)
        check_alpha(self.alpha)
        for name in ("labels", "attributes", "numbers", "words"):
            names = getattr(self, name)
            if len({*names}) < len(names):
                raise InputError(f"{name} names one of its entries twice; each needs a name of its own.")
        if len(self.number_ranges) != len(self.numbers) or any(low > high for low, high in self.number_ranges):
            raise InputError("number_ranges does not give a rising range for each of numbers.")
        if any(later >= earlier for earlier, later in pairwise(self.times)):
            raise InputError(f"times is {self.times}; times fall.")
        if len(self.latent_mean) != len(self.latent_std):
            raise InputError("latent_mean and latent_std have an entry per channel each, and not equally many.")
        counted = {
            "label_counts": self.labels,
            "attribute_counts": self.attributes,
            "word_counts": self.words,
            "words_together": self.words,
        }
        for name, names in counted.items():
            if getattr(self, name) and len(getattr(self, name)) != len(names):
                raise InputError(f"{name} has {len(getattr(self, name))} entries for {len(names)} names.")
        if self.words_together and not self.word_counts:
            raise InputError("words_together needs word_counts, which say which of two words is the rarer.")
        if any(not first < other < len(self.words) for first, row in enumerate(self.words_together) for other in row):
            raise InputError("words_together names a word that is not a later one of words.")
        check_palette(self.palette)

    @property
    def names(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """Names of the classes, of the attributes and of the numbers."""
        return self.labels, self.attributes, self.numbers
