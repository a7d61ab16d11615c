"""Settings of the network. No field is an image size."""

from dataclasses import dataclass
from typing import Literal

from s2id.errors import InputError
from s2id.settings import Prediction, at_least_1

Recompute = Literal["no", "feed_forward", "blocks"]


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
        at_least_1(
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
