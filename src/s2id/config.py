"""The values that describe a model and a run, and the error of bad input.

Nothing here imports torch: the command line is generated from these dataclasses, and its help has to
be there at once.
"""

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, TypeVar

Size = tuple[int, int]
"""Height and width, in pixels."""

Window = tuple[float, float, float, float]
"""Top, left, bottom, right of a region, as fractions of the frame: (0, 0, 1, 1) is all of it."""

Fit = Literal["fit", "fill", "stretch"]
"""How a frame meets a picture of another aspect: more canvas, less frame, or unequal axes."""

MAX_PIXELS = 2**27
"""Pictures of more are refused unless told otherwise."""

ALWAYS = (0.0, 1.0)
"""First and last time of guidance that never stops."""

DEFAULT_STEPS = 12
"""Solver steps of sampling where none are given."""

Prediction = Literal["eps", "x", "v"]

SamplerName = Literal["ddim", "heun", "dpmpp"]

Recompute = Literal["no", "feed_forward", "blocks"]

Noise = Literal["nested", "white"]
"""How a seed's noise at one density relates to that at another: as block means, or not at all."""


class InputError(ValueError):
    """Input that cannot be used; its one sentence names it, what was expected and what to do."""


@dataclass(frozen=True)
class Pixelation:
    """How poorly training sees pictures."""

    kind: Literal["area", "bicubic"]
    cell: int
    """Pixels of the picture per side of an observed one."""
    still: bool = False
    """Every picture from one place."""
    scale: int = 0
    """Cells are up to so many pixels smaller or larger, anew in each view: the camera's distance."""
    blur: float = 0.0
    """Most std of the blur, in pixels, before cells take their means: each view has none, half or all of it."""

    @classmethod
    def read(cls, text: str) -> "Pixelation":
        """From "area:K", with ":still" or ":scale=S" and ":blur=B" behind it if wanted, or "bicubic:K".

        Raises:
            InputError: It is nothing of the kind.
        """
        kind, _, rest = text.partition(":")
        digits, *more = rest.split(":")
        still = more == ["still"]
        try:
            given = {} if still else dict(word.split("=") for word in more)
            scale, blur = int(given.pop("scale", 0)), float(given.pop("blur", 0))
            known = not given and digits.isascii() and digits.isdigit()
        except ValueError:
            known = False
        if not known or kind not in ("area", "bicubic") or kind == "bicubic" and more:
            raise InputError(
                f"observe {text!r} is not understood; write area:K, area:K:still, area:K:scale=S:blur=B or bicubic:K "
                "with K pixels a side, as in area:4."
            )
        cell = int(digits)
        if cell < 2:
            raise InputError(f"observe {text!r} pixelates nothing; K must be at least 2.")
        if not 0 <= scale <= cell - 2:
            raise InputError(f"observe {text!r} has cells of {cell - scale} pixels; S must be 0 to {cell - 2}.")
        if not 0 <= blur <= cell:
            raise InputError(f"observe {text!r} has a blur of {blur:g}; B must lie between 0 and {cell}, in pixels.")
        return cls("area" if kind == "area" else "bicubic", cell, still, scale, blur)

    @property
    def lenses(self) -> tuple[tuple[int, float], ...]:
        """Cell and blur of every kind of view."""
        cells = range(self.cell - self.scale, self.cell + self.scale + 1)
        blurs = (0.0, self.blur / 2, self.blur) if self.blur else (0.0,)
        return tuple((cell, blur) for cell in cells for blur in blurs)


def _at_least_1(config: object, *names: str) -> None:
    """Refuse counts, or any of several, that are below 1."""
    for name in names:
        counts = value if isinstance(value := getattr(config, name), tuple) else (value,)
        if not counts or min(counts) < 1:
            raise InputError(f"{name} is {value}; it must be at least 1.")


@dataclass(frozen=True)
class ModelConfig:
    """Architecture of the network. No field is an image size."""

    channels: int = 1
    """Colour channels of the data."""
    latents: int = 0
    """Channels of an autoencoder's latents, which the states then are; 0 has pictures as states."""
    classes: int = 10
    """Labels the condition knows; 0 means unconditional."""
    width: int = 96
    """Channels of a token."""
    encoder_blocks: int = 3
    """Blocks run once per step."""
    decoder_blocks: int = 3
    """Blocks run once per condition."""
    heads: int = 3
    """Attention heads; divides the width."""
    expansion: int = 3
    """Hidden channels of a feed-forward layer, in widths."""
    film_width: int = 64
    """Channels of the vector that modulates every block."""
    condition_tokens: int = 4
    """Learned tokens per class."""
    attributes: int = 0
    """What a picture may have or not have, a learned token each for having and lacking it."""
    numbers: int = 0
    """Measures of a picture, such as an age, a token each."""
    token_width: int = 0
    """Channels of a text encoder's tokens; 0 knows no text."""
    attention: Literal["full", "axial", "window", "linear"] = "window"
    """Every token with every token; rows and columns apart; what is near, and means of what is far; or every token with
    every token without softmax. "window" has the weights of "full", and is it on grids of up to 14 x 14 tokens."""
    patch: int = 2
    """State samples per token side."""
    lattice: int = 3
    """Feature samples per token side, for the head to interpolate."""
    head_width: int = 32
    """Channels of a feature sample and of the head's hidden layer."""
    jitter: float = 0.0
    """Std of the coordinates' Gaussian jitter in training, in state pixels; 0.5 as published."""
    prediction: Prediction = "x"
    """What the network's output means."""
    coordinates: Literal["dual", "composition", "box"] = "dual"
    """Both coordinate systems, or one of them."""
    corners: bool = False
    """Coordinates end to end over the outermost centres, as published, instead of over the cells."""
    fade: bool = True
    """Attenuate the positions' Fourier features by the cell; off as published."""
    norm: Literal["token", "group"] = "token"
    """Each token by itself, or groups of channels over the whole map with learned scales, as published."""
    residual: Literal["gated", "scaled"] = "gated"
    """Residuals gated by the noise from zero, or with a learned scale per channel from one, as published."""
    neighbours: bool = True
    """A depthwise 3x3 convolution over the tokens in every block; off as published."""
    bias: bool = False
    """Biases in attention; on as published."""
    dropout: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Share dropped in training of what self-attention, cross-attention and feed-forward say; 0.1 0.1 0.2 published."""
    hears: Literal["logsnr", "alpha_bar"] = "logsnr"
    """Noise as the state's own logsnr and density, or as alpha_bar at the trained density, as published."""
    condition_film: bool = True
    """The condition modulates the decoder's blocks too, besides being attended to; off as published."""
    learned_condition: bool = True
    """Train the condition's tokens; off leaves them as they were drawn, as published."""
    head: Literal["field", "linear"] = "field"
    """A function of any place, or one value per state sample, as published."""

    @property
    def state_channels(self) -> int:
        """Channels of a state."""
        return self.latents or self.channels

    @property
    def dense(self) -> bool:
        """Whether a composed state is the picture itself, so that each size is composed anew."""
        return self.head == "linear" or self.prediction != "x"

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        _at_least_1(
            self, "width", "heads", "expansion", "film_width", "condition_tokens", "patch", "lattice", "head_width"
        )
        if not all(0 <= share < 1 for share in self.dropout):
            raise InputError(f"dropout is {self.dropout}; each must be at least 0 and below 1.")
        if self.width % self.heads:
            raise InputError(
                f"width {self.width} is not a multiple of heads {self.heads}; choose heads that divide it."
            )
        if self.prediction != "x" and self.patch != self.lattice:
            raise InputError(
                f"prediction {self.prediction!r} is defined on the state's own samples; use lattice = patch."
            )
        if self.head == "linear" and (self.patch, self.lattice) != (1, 1):
            raise InputError("head 'linear' says one value per state sample; use patch = lattice = 1.")
        if self.latents and self.dense:
            raise InputError("latents are no picture to draw; they need a function: head field and prediction x.")


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
    """How training saw the pictures where it never saw them as they are; `TrainConfig.observe`."""
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


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained."""

    images: int = 600_000
    """Images to draw, over all processes."""
    minutes: float | None = None
    """Bound the run by time instead, with the learning rate's schedule fitted to it."""
    batch: int = 32
    """Images per process and forward pass."""
    accumulate: int = 1
    """Forward passes per optimiser step."""
    optimiser: Literal["adamw", "muon"] = "muon"
    """What moves the blocks' matrices; all else is AdamW's."""
    lr: float = 4e-3
    """Peak learning rate; 4e-3 suits muon, about a quarter of it adamw."""
    final_lr: float = 1e-5
    """Learning rate at the end of the cosine."""
    warmup: float = 0.02
    """Share of the run over which the learning rate rises."""
    weight_decay: float = 0.01
    """Decoupled decay of matrices; vectors and embeddings have none."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.9995
    """Decay of the weights' moving average per step, reached by a warm-up."""
    drop_label: float = 0.1
    """Share of images trained without any condition."""
    drop_each: float = 0.5
    """Mean share of an image's labels trained as unknown where there are attributes, numbers or text: every image draws
    its own, evenly between 0 and twice this, so at 0.5 all numbers of known labels are alike frequent."""
    long_side: int | None = None
    """Shrink the pictures of a folder to at most so many pixels a side when they are read; none is enlarged. Emoji are
    drawn at so many, or at 32."""
    workers: int = 2
    """Processes that read the pictures of a folder, or of the Hub, for the first time; 0 reads in this one."""
    both_conditions: bool = False
    """Train every image with its label and without it, in one step with one encoder pass, as published."""
    observe: str | None = None
    """See the pictures only as observations: "area:K", means over cells K pixels wide, from places that are drawn anew
    each time; "area:K:still", all from one place; "area:K:scale=S:blur=B", through cells of K - S to K + S pixels and a
    blur of up to B pixels; "bicubic:K", enlarged again. States are then observations: that sets the densities and the
    network's patch and lattice."""
    views: int = 4
    """Places from which each picture is observed per draw with "area:K"; more steady the gradient, and no more."""
    recompute: Recompute = "no"
    """Compute the feed-forward layers anew in the backward pass (a tenth more time, half the memory), or whole blocks
    (one forward pass more, and the memory of one block)."""
    densities: tuple[int, ...] = (20, 16, 24)
    """State densities (samples along the long side), one drawn per batch; multiples of the patch. Sampling composes
    on the first."""
    density_weights: tuple[float, ...] = (0.94, 0.03, 0.03)
    """Share of the batches of each density."""
    detail_density: int = 0
    """State density of the last steps of sampling, where noise no longer hides what a coarser state cannot hold; a
    multiple of the patch. 0 stays on `densities`."""
    detail_time: float = 0.25
    """t below which states of `detail_density` are trained, and sampled."""
    detail_share: float = 0.3
    """Share of the batches with states of `detail_density`, where there is one."""
    supersample: tuple[int, ...] = (2, 3, 4)
    """Head samples per target pixel side, one drawn per batch."""
    queries: float = 2.0
    """Head samples per state sample: targets are as many of the picture's pixels as this buys, evenly spread."""
    max_weight: float = 10.0
    """Bound of the loss weight 1 / sigma^2 (v-prediction's) in x-prediction."""
    schedule_shift: float = -1.0
    """Added to the cosine schedule's logsnr: below 0 spends more of training and sampling on composition."""
    token_share: float = 1.0
    """Share of a state's tokens, and of the targets, that a step trains on: a window of the grid, drawn per batch."""
    dense_finish: float = 0.25
    """Share of the run, at its end, that trains on whole states although `token_share` is less."""
    seed: int = 0
    """Seed of everything random in the run."""
    precision: Literal["auto", "no", "bf16"] = "auto"
    """Mixed precision; `auto` is bf16 where the processor multiplies it fast."""
    compile: bool = False
    """Compile the network with torch.compile."""
    cpu: bool = False
    """Stay on the CPU although there is an accelerator."""
    checkpoint_minutes: float = 5.0
    """Time between checkpoints."""
    checkpoint_images: int | None = None
    """Images between checkpoints, instead of a time."""
    keep: int = 2
    """Checkpoints kept."""
    sample_minutes: float = 5.0
    """Time between sample grids; 0 draws none."""
    tensorboard: bool = False
    """Write TensorBoard files beside the metrics."""

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if len(self.densities) != len(self.density_weights):
            raise InputError(
                f"densities has {len(self.densities)} entries and density_weights "
                f"{len(self.density_weights)}; give one weight per density."
            )
        if self.observe is not None:
            Pixelation.read(self.observe)
        _at_least_1(self, "images", "batch", "accumulate", "keep", "views", "densities", "supersample")
        for name in ("queries", "clip", *(["minutes"] if self.minutes is not None else [])):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name):g}; it must be above 0.")
        if min(self.density_weights) < 0 or not sum(self.density_weights) > 0:
            raise InputError(f"density_weights is {self.density_weights}; give none below 0 and one above.")
        if self.workers < 0:
            raise InputError(f"workers is {self.workers}; it must be at least 0.")
        if not 0 < self.token_share <= 1:
            raise InputError(f"token_share is {self.token_share:g}; it must be above 0 and at most 1.")
        if self.observe is not None and self.token_share < 1:
            raise InputError("observe looks at whole pictures and token_share at windows of them; use one of the two.")
        shares = ("drop_label", "dense_finish", "detail_time", "detail_share")
        for name, most in (*((share, 1.0) for share in shares), ("drop_each", 0.5)):
            if not 0 <= getattr(self, name) <= most:
                raise InputError(f"{name} is {getattr(self, name):g}; it must lie between 0 and {most:g}.")


@dataclass(frozen=True)
class DistillConfig:
    """What of a teacher's trajectories a student is taught."""

    times: tuple[float, ...] = (1.0, 0.5)
    """Times of the student's calls, from 1 down, all of them the teacher's too."""
    steps: int = 10
    """Solver steps of the teacher."""
    guidance: float = 1.0
    """Of the teacher; the student has it built in."""
    guidance_interval: tuple[float, float] = ALWAYS
    """First and last time of it."""
    autoguidance: float | None = None
    """Of the teacher by its guide; `None` is the teacher's own."""
    pairs: int = 2000
    """Trajectories, each used many times."""

    def __post_init__(self) -> None:
        """Refuse what cannot be taught."""
        _at_least_1(self, "steps", "pairs")
        falling = all(s < t for t, s in zip(self.times[:-1], self.times[1:], strict=True))
        if len(self.times) < 2 or self.times[0] != 1 or self.times[-1] <= 0 or not falling:
            raise InputError(f"times is {self.times}; give two or more, from 1 down and above 0.")
        if wrong := [t for t in self.times if abs(t * self.steps - round(t * self.steps)) > 1e-6]:
            raise InputError(f"time {wrong[0]:g} is none of the teacher's; choose multiples of 1 / {self.steps}.")


@dataclass(frozen=True)
class EvaluateConfig:
    """What is drawn to judge a model."""

    sizes: tuple[Size, ...] = (
        (14, 14), (28, 28), (56, 56), (113, 113), (256, 256), (1024, 1024), (1024, 576), (576, 1024), (37, 61),
    )  # fmt: skip
    """Height and width of the pictures, a row of the table each."""
    count: int = 2000
    """Pictures per size: seeds 0, 1, 2, ..., classes in turn or what the test pictures are."""
    detail: int = 50
    """Pictures per size whose strokes and zooms are measured."""
    guidance: float = 1.0
    """1 is off; more exaggerates the label."""
    guidance_interval: tuple[float, float] = ALWAYS
    """First and last time of it."""
    autoguidance: float | None = None
    """Weight of the model's guide; `None` is the model's own, 1 is off."""
    steps: int | None = None
    """Solver steps; `None` is what `s2id.sample` takes."""
    sampler: SamplerName = "dpmpp"
    """The solver."""
    eta: float = 0.0
    """Fresh noise per step with ddim and dpmpp, 0 to 1."""
    density: int | None = None
    """Samples along the long side of the only state; `None` is as trained."""
    noise: Noise = "nested"
    """How a seed's noise at one density relates to that at another."""
    shift: bool = True
    """Match the noise to the density."""
    fit: Literal["fit", "stretch"] = "fit"
    """Where aspects differ: "fit" shows more canvas, "stretch" squeezes."""

    def __post_init__(self) -> None:
        """Refuse what cannot be judged."""
        for size in self.sizes:
            if min(size) < 3:
                raise InputError(f"size {size[0]}x{size[1]} is too small to judge; both sides must be at least 3.")
        if not self.sizes:
            raise InputError("there is no size to judge at; give at least one.")
        if self.detail < 1:
            raise InputError(f"detail is {self.detail}; it must be at least 1.")
        if self.density is not None and self.density < 1:
            raise InputError(f"density is {self.density}; it must be at least 1.")

    def quick(self) -> "EvaluateConfig":
        """The same in a minute or two: fewer pictures, none beyond 256 pixels.

        Raises:
            InputError: All sizes are larger.
        """
        sizes = tuple(size for size in self.sizes if max(size) <= 256)
        return replace(self, sizes=sizes, count=min(self.count, 300), detail=min(self.detail, 30))


@dataclass(frozen=True)
class Preset:
    """A named run: data, network, training."""

    data: Literal["mnist", "fashion-mnist", "digits", "glyphs", "emoji", "folder", "celeba", "hub"]
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


_Config = TypeVar("_Config", ModelConfig, Card, TrainConfig, DistillConfig)


def to_dict(config: Any) -> dict[str, Any]:  # noqa: ANN401  (any dataclass)
    """Plain values of a dataclass, for JSON."""
    return asdict(config)


def from_dict(kind: type[_Config], values: dict[str, Any], source: str) -> _Config:
    """A dataclass from JSON's values.

    Args:
        kind: The dataclass.
        values: Its fields; lists become tuples.
        source: Where the values come from, for the message.

    Raises:
        InputError: A field is unknown.
    """
    known = {f.name for f in fields(kind)}
    if unknown := sorted(set(values) - known):
        raise InputError(
            f"{source} has fields that this version of s2id does not know ({', '.join(unknown)}); "
            "it belongs to another config or a newer release."
        )
    return kind(**{k: _frozen(v) for k, v in values.items()})


def _frozen(value: Any) -> Any:  # noqa: ANN401  (any of JSON's)
    return tuple(_frozen(one) for one in value) if isinstance(value, list) else value
