"""Settings of the networks: ours, the published one and the enlarger. No field is an image size."""

from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, ClassVar, Literal

from s2id.checks import Within, check
from s2id.errors import InputError
from s2id.settings import MOST_NAMES, Prediction, from_dict, to_dict

Recompute = Literal["no", "feed_forward", "blocks"]
"""Activations that training computes a second time in the backward pass instead of keeping them in memory."""

Channels = Annotated[int, Within(1, 4)]
"""Grey, grey + alpha, RGB, or RGBA."""

Width = Annotated[int, Within(1, 2**14)]
Blocks = Annotated[int, Within(0, 256)]

CANVAS_PATCH = 4
"""Samples along each side of the squares that a canvas is corrected by."""

Few = Annotated[int, Within(1, 1000)]
Side = Annotated[int, Within(0, 64)]
Names = Annotated[int, Within(0, MOST_NAMES)]
Part = Annotated[float, Within(0, 1, open_high=True)]

BESIDE_CLASSES = ("attributes", "numbers", "token_width", "words")
"""Fields of a network's config that say which conditions it takes beside a class; 0 is none of the kind."""

DATA_FIELDS = ("channels", "latents", "classes", *BESIDE_CLASSES)
"""Facts of a network's config that the training data decide; `for_data` sets them."""


@dataclass(frozen=True)
class ModelConfig:
    """Architecture of our network, `FieldNetwork`, which predicts functions.

    Example:
        >>> config = ModelConfig(width=64, heads=2).for_data(channels=3, classes=5)
        >>> config.width, config.state_channels, config.classes
        (64, 3, 5)
    """

    network: ClassVar = "field"
    prediction: ClassVar[Prediction] = "x"
    dense: ClassVar = False
    """Whether a composed state is the picture itself, so that every size is composed anew."""
    composes: ClassVar = True
    invents: ClassVar = False
    """Whether pictures can be drawn with the network from noise, rather than from a given picture only."""
    knows_density: ClassVar = True
    """Whether the network's input includes how many samples the state has along its long side."""

    channels: Channels = 1
    """Colour channels of the pictures."""
    latents: Annotated[int, Within(0, 256)] = 0
    """Channels of the autoencoder's latents that the states consist of. 0: the states are pictures."""
    classes: Names = 10
    """Number of classes; 0 has none."""
    width: Width = 96
    """Channels of a token."""
    encoder_blocks: Blocks = 3
    """Blocks before the condition enters. They run once per step, whatever the number of conditions."""
    decoder_blocks: Blocks = 3
    """Blocks that the condition enters. They run once per condition."""
    heads: Few = 3
    """Attention heads; must divide the width."""
    expansion: Few = 3
    """Hidden channels of a feed-forward layer, as a multiple of the width."""
    film_width: Width = 64
    """Channels of the vector that scales, shifts and gates every block."""
    condition_tokens: Few = 4
    """Learned tokens per class."""
    attributes: Names = 0
    """Number of attributes, each of which a picture may have or lack; each state has one learned token."""
    numbers: Names = 0
    """Number of measured quantities of a picture, such as an age; each becomes one token."""
    token_width: Annotated[int, Within(0, 2**16)] = 0
    """Channels of a text encoder's tokens. 0: the network takes no text."""
    words: Names = 0
    """Number of words of captions, each of which has one learned token; their order has none."""
    attention: Literal["full", "axial", "window", "linear"] = "window"
    """Self-attention of image tokens. "full": every token attends to every token. "axial": along rows, and along
    columns. "window": to near tokens, and to means over regions of the grid. "linear": to every token, without softmax.
    "window" has the weights of "full" and computes the same on grids of up to 14 x 14 tokens."""
    patch: Side = 2
    """Samples of the state along each side of a token. 0: training chooses by the pictures' size."""
    lattice: Side = 3
    """Feature samples along each side of a token; the head interpolates between them. 0: training chooses as many as
    the pictures determine, so that no lattice shows in enlarged pictures."""
    head_width: Width = 32
    """Channels of a feature sample, and of the head's hidden layer."""
    overlap: bool = False
    """Whether tokens see, and predict features for, half of each neighbour's area as well as their own, so that no seam
    shows between them."""
    condition_film: bool = True
    """Whether the condition also scales, shifts and gates the decoder's blocks, beside being attended to."""
    canvas: Side = 0
    """Samples along each side of the picture that is expected of the condition alone, which training learns first and
    tokens see. 0: they see none."""
    canvas_width: Width = 256
    """Channels of the vector that the canvas is made from."""
    canvas_blocks: Blocks = 0
    """Mixer blocks over squares of 4x4 samples that correct the canvas. 0: it is not corrected."""
    local_blocks: Blocks = 0
    """Blocks of two 3x3 convolutions at the state's own samples, which correct what the canvas and each sample by
    itself let expect. 0: the prediction is made of tokens alone."""
    local_width: Width = 32
    """Channels of a sample in these blocks."""
    most_guidance: Annotated[float, Within(1, 1000)] = 1.0
    """Largest weight of guidance that the decoder takes as an input, so that one call gives what guidance and
    autoguidance take several for. 1: it takes none. Guidance distillation sets it."""

    @property
    def state_channels(self) -> int:
        """Channels of a state."""
        return self.latents or self.channels

    @property
    def guided(self) -> bool:
        """Whether the decoder takes a weight of guidance."""
        return self.most_guidance > 1

    def for_data(self, **facts: int) -> "ModelConfig":
        """The config for data with these facts, each of which is the field of that name among `DATA_FIELDS`."""
        return replace(self, **facts)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        check(self)
        _check_heads(self.width, self.heads)
        if self.canvas and self.latents:
            raise InputError("a canvas is a picture, and the states are latents; leave out canvas or the autoencoder.")
        if self.canvas_blocks and (not self.canvas or self.canvas % CANVAS_PATCH):
            raise InputError(
                f"canvas_blocks is {self.canvas_blocks} and canvas is {self.canvas}; make canvas a multiple of "
                f"{CANVAS_PATCH}, or leave canvas_blocks out."
            )
        if self.local_blocks and not self.canvas:
            raise InputError(
                f"local_blocks is {self.local_blocks} and there is no canvas to correct; set canvas too, or leave "
                "both out."
            )


@dataclass(frozen=True)
class PublishedConfig:
    """Architecture of the network as it was published, `PublishedNetwork`, which predicts the noise of every pixel.

    Its states are pictures: it has no latents, one sample per token, and classes as its only condition.

    Example:
        >>> PublishedConfig().for_data(channels=1, classes=10).dense
        True
    """

    network: ClassVar = "published"
    prediction: ClassVar[Prediction] = "eps"
    dense: ClassVar = True
    composes: ClassVar = True
    invents: ClassVar = False
    knows_density: ClassVar = False
    latents: ClassVar = 0
    attributes: ClassVar = 0
    numbers: ClassVar = 0
    token_width: ClassVar = 0
    words: ClassVar = 0
    canvas: ClassVar = 0
    local_blocks: ClassVar = 0
    most_guidance: ClassVar = 1.0
    guided: ClassVar = False
    patch: ClassVar = 1
    lattice: ClassVar = 1

    channels: Channels = 1
    """Colour channels of the pictures."""
    classes: Names = 10
    """Number of classes; 0 has none."""
    width: Width = 128
    """Channels of a token."""
    encoder_blocks: Blocks = 8
    """Blocks before the condition enters. They run once per step, whatever the number of conditions."""
    decoder_blocks: Blocks = 8
    """Blocks that the condition enters. They run once per condition."""
    heads: Few = 8
    """Attention heads, and groups of the norm before self-attention; must divide the width."""
    expansion: Few = 4
    """Hidden channels of a feed-forward layer, as a multiple of the width."""
    film_width: Width = 128
    """Channels of the vector that scales and shifts every block."""
    condition_tokens: Few = 2
    """Tokens per class; they stay as they were drawn."""
    jitter: Annotated[float, Within(0, 100)] = 0.5
    """Standard deviation of the Gaussian noise on coordinates in training, in pixels."""
    dropout: tuple[Part, Part, Part] = (0.1, 0.1, 0.2)
    """Shares of self-attention's, cross-attention's and the feed-forward layers' output that training drops."""

    @property
    def state_channels(self) -> int:
        """Channels of a state."""
        return self.channels

    def for_data(self, *, channels: int, classes: int, **others: int) -> "PublishedConfig":
        """The config for data with these facts; each is the field of that name.

        Raises:
            InputError: The data have attributes, numbers, text or latents.
        """
        if wrong := [name for name, value in others.items() if value]:
            raise InputError(f"the published network takes classes only, and these data have {wrong[0]}; use another.")
        return replace(self, channels=channels, classes=classes)

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        check(self)
        _check_heads(self.width, self.heads)


@dataclass(frozen=True)
class EnlargerConfig:
    """Architecture of the network that enlarges graphics, `Enlarger`, whose state is a given picture.

    Channels of noise may stand beside it. It takes no condition, and always RGBA: grey and opaque pictures are such
    pictures too.

    Example:
        >>> EnlargerConfig(width=32).for_data(channels=1, classes=5).state_channels
        4
    """

    network: ClassVar = "enlarger"
    prediction: ClassVar[Prediction] = "x"
    dense: ClassVar = False
    knows_density: ClassVar = False
    guided: ClassVar = False
    most_guidance: ClassVar = 1.0
    composes: ClassVar = False
    channels: ClassVar = 4
    latents: ClassVar = 0
    classes: ClassVar = 0
    attributes: ClassVar = 0
    numbers: ClassVar = 0
    token_width: ClassVar = 0
    words: ClassVar = 0
    canvas: ClassVar = 0
    local_blocks: ClassVar = 0
    patch: ClassVar = 1

    width: Width = 48
    """Channels of a pixel in the blocks."""
    blocks: Annotated[int, Within(1, 256)] = 6
    """Blocks of two 3x3 convolutions. Each sees two pixels further."""
    lattice: Annotated[int, Within(1, 8)] = 3
    """Feature samples along each side of a pixel; the head interpolates between them."""
    head_width: Width = 16
    """Channels of a feature sample, and of the head's hidden layer."""
    noise_channels: Annotated[int, Within(0, 16)] = 0
    """Channels of noise that the network sees beside a picture's own. With any, it draws one of the pictures that may
    have been, another for each noise; with none, the one in the middle."""

    @property
    def invents(self) -> bool:
        """Whether the network draws one of the pictures that may have been, by the noise that it sees."""
        return self.noise_channels > 0

    @property
    def state_channels(self) -> int:
        """Channels of a state: the picture's own, and the noise."""
        return self.channels + self.noise_channels

    def for_data(self, **_: int) -> "EnlargerConfig":
        """The config itself: it is the same for all data."""
        return self

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        check(self)


def _check_heads(width: int, heads: int) -> None:
    if width % heads:
        raise InputError(f"width {width} is not a multiple of heads {heads}; choose heads that divide it.")


NetworkConfig = ModelConfig | PublishedConfig | EnlargerConfig

_CONFIGS: dict[str, type[NetworkConfig]] = {
    config.network: config for config in (ModelConfig, PublishedConfig, EnlargerConfig)
}


def like(start: NetworkConfig, asked: NetworkConfig, preset: NetworkConfig) -> NetworkConfig:
    """Settings of a network that begins with another's weights: the other's where the preset's were left as they are.

    Args:
        start: Settings of the network to begin with.
        asked: The preset's settings, some of them changed.
        preset: The preset's settings. What data decide stays as `asked` has it, and all where the networks are of two
            kinds.

    Example:
        >>> preset = ModelConfig(width=64, heads=2)
        >>> found = like(ModelConfig(width=96, heads=4, classes=7), replace(preset, film_width=32), preset)
        >>> found.width, found.heads, found.film_width, found.classes
        (96, 4, 32, 10)
    """
    if type(start) is not type(asked):
        return asked
    names = {field.name for field in fields(asked)} - {*DATA_FIELDS, "most_guidance"}
    left = (name for name in names if getattr(asked, name) == getattr(preset, name))
    return replace(asked, **{name: getattr(start, name) for name in left})


def network_to_dict(config: NetworkConfig) -> dict[str, Any]:
    """Plain values of a network's config, with the network's name first, for JSON.

    Example:
        >>> values = network_to_dict(ModelConfig(patch=1))
        >>> values["network"], values["patch"]
        ('field', 1)
        >>> network_from_dict(values, "this example").patch
        1
    """
    return {"network": config.network, **to_dict(config)}


def network_from_dict(values: object, source: str) -> NetworkConfig:
    """A network's config from the values that `network_to_dict` returned.

    Args:
        values: Name of the network, and fields of its config.
        source: Where the values come from, for the message.

    Raises:
        InputError: The network or a field is unknown.
    """
    if not isinstance(values, dict):
        raise InputError(f"{source} is no set of names and values; use the file as it was saved.")
    name = values.get("network")
    if not isinstance(name, str) or name not in _CONFIGS:
        raise InputError(
            f"{source} is for a network {name!r} and this version of s2id has {' and '.join(_CONFIGS)}; "
            "use the version that wrote it."
        )
    kind: type[Any] = _CONFIGS[name]
    return from_dict(kind, {k: v for k, v in values.items() if k != "network"}, source)
