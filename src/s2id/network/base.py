"""What all networks share: the two halves of a call, and checks of their inputs.

state -> encode (once per step) -> decode (once per condition) -> features -> head -> values on a grid
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from s2id.condition import Asked, Condition
from s2id.coords import Grid, Part, extent, view
from s2id.errors import InputError
from s2id.network.attention import Tokens
from s2id.network.blocks import FeedForward
from s2id.network.heads import Features
from s2id.network.settings import NetworkConfig, Recompute
from s2id.shapes import NULL, Images, Labels, Scalars


@dataclass(frozen=True)
class Encoded:
    """The encoder's output for a state, the input of any number of decoder calls."""

    tokens: Tokens
    film: Float[Tensor, "b f"]
    """Vector that modulates the blocks."""
    frame: tuple[float, float]
    """Height and width of the part of the frame that the tokens cover, in composition units."""
    middle: tuple[float, float] = (0.0, 0.0)
    """Middle of that part, (y, x) in composition units."""
    size: tuple[int, int] = (0, 0)
    """Height and width of the whole state, in samples."""
    covered: Part = (slice(None), slice(None))
    """Rows and columns of the whole state's tokens that these are."""
    state: tuple[Float[Tensor, "b c y x"], Scalars] | None = None
    """The part of the state that the tokens cover, and the logsnr of its samples, where the decoder needs them."""


class TwoHalves(nn.Module, ABC):
    """A network that encodes a state without a condition and decodes it under any number of conditions."""

    config: NetworkConfig
    block: type[nn.Module]
    """Class of the network's blocks."""
    head: nn.Module
    """Reads features on a grid of pixels."""

    @abstractmethod
    def encode(
        self, x_t: Images, logsnr: Scalars, frame: tuple[float, float] | None = None, part: Part | None = None
    ) -> Encoded:
        """The encoder's output, which no condition enters.

        Args:
            x_t: State; its sides are multiples of the patch.
            logsnr: Of the state's own samples; of samples of the trained density where the network knows one only.
            frame: Height and width of the frame in composition units; `None` has square samples.
            part: Rows and columns of samples that the network gets, with edges at multiples of the patch; `None` is
                all of the state.

        Raises:
            InputError: The state's size or channels, or the part's edges, do not fit the network.
        """

    @abstractmethod
    def decode(self, encoded: Encoded, label: Asked | None = None) -> Features:
        """The prediction under a condition, as features that the head reads.

        Args:
            encoded: The encoder's output.
            label: Class of each image, or a condition; `None`, or NULL for one image, is no class.

        Raises:
            InputError: The network does not know a label.
        """

    def forward(
        self,
        x_t: Images,
        logsnr: Scalars,
        label: Int[Tensor, " n"] | Condition | None = None,
        grid: Grid | None = None,
        frame: tuple[float, float] | None = None,
        supersample: int | None = None,
        part: Part | None = None,
    ) -> Float[Tensor, "n k y x"] | tuple[Float[Tensor, "n k y x"], Float[Tensor, "n c _ _"]]:
        """The prediction at a grid's pixels. Networks that predict a clean state too return a pair: this and the state.

        Args:
            x_t: State.
            logsnr: Of the state's samples.
            label: Class of each image, or a condition; `None`, or NULL for one image, is no class. A multiple of the
                batch size, with the first condition of all images first, gives as many predictions; the encoder runs
                once.
            grid: Pixels to predict; `None` is the state's own samples, or those of its part.
            frame: Height and width of the frame in composition units; `None` has square samples.
            supersample: Head samples per pixel side; `None` takes `step_values` at the state's own samples, and
                elsewhere as many as needed.
            part: Rows and columns of samples that the network gets, with edges at multiples of the patch; `None` is
                all of the state.
        """
        encoded = self.encode(x_t, logsnr, frame, part)
        if grid is None:
            size = (x_t.shape[2], x_t.shape[3])
            grid = state_grid(size, frame or extent(size))
            grid = grid.part(*part) if part else grid
            supersample = supersample or step_values(self.config)
        rows = [None] if label is None else label.split(len(x_t))
        features = [self.decode(encoded, row) for row in rows]
        values = torch.cat([self.head(one, grid, supersample) for one in features])
        states = [one.state for one in features if one.state is not None]
        return (values, torch.cat(states)) if states else values

    def recompute(self, what: Recompute) -> None:
        """Trade time for memory in training: `what` is computed a second time in the backward pass."""
        for module in self.modules():
            if isinstance(module, FeedForward):
                module.recompute = what == "feed_forward"
            elif isinstance(module, self.block):
                module.recompute = what == "blocks"  # type: ignore[assignment]

    def predict(self, features: Features, size: tuple[int, int]) -> Images:
        """The prediction at the samples of a state of a size.

        It is the clean state that some networks predict beside the function, at that state's own size: the function's
        means stray from it, and a solver would add these errors up step by step. Elsewhere it is the means of the
        function, as it always is after guidance distillation, which teaches the function alone. A predicted picture is
        clipped to [-1, 1]; so is a function, as where it is rendered, before means are taken. Latents are not clipped.
        """
        own = features.state
        if own is not None and self.config.latents:
            return own
        if own is not None and not self.config.guided and tuple(own.shape[2:]) == tuple(size):
            return own.clamp(-1, 1)
        bound = 1.0 if self.config.prediction == "x" else None
        return self.head(features, state_grid(size, features.frame), step_values(self.config), bound)


def checked_part(x_t: Images, config: NetworkConfig, part: Part | None) -> tuple[tuple[int, int], Part]:
    """A state's size and the rows and columns of it that the network gets.

    Raises:
        InputError: The state's size or channels, or the part's edges, do not fit the network.
    """
    (_, channels, h, w), patch = x_t.shape, config.patch
    if channels != config.state_channels or h % patch or w % patch:
        raise InputError(
            f"the state has {channels} channels and size {h}x{w}; this network takes "
            f"{config.state_channels} and multiples of {patch}."
        )
    rows, columns = part or (slice(0, h), slice(0, w))
    if wrong := [edge for s in (rows, columns) for edge in (s.start, s.stop) if edge % patch]:
        raise InputError(f"the part has an edge at {wrong[0]}; this network takes multiples of {patch}.")
    return (h, w), (rows, columns)


def class_index(label: Labels, classes: int) -> Labels:
    """Rows of the table of class tokens; the row after the last class is that of no class.

    Raises:
        InputError: A label is no class.
    """
    wrong = label[(label < NULL) | (label >= classes)]
    if len(wrong):
        raise InputError(f"label {int(wrong[0])} is none of this model's {classes} classes; choose 0 to {classes - 1}.")
    return torch.where(label == NULL, classes, label)


def place(
    size: tuple[int, int], frame: tuple[float, float], part: Part | None
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Height and width, and middle, of what a part of a state covers in a frame, in composition units.

    Example:
        >>> place((10, 10), (1.0, 1.0), (slice(0, 5), slice(0, 10)))  # the upper half
        ((0.5, 1.0), (-0.25, 0.0))
    """
    if part is None:
        return frame, (0.0, 0.0)
    shares = [(axis.start / side, axis.stop / side) for axis, side in zip(part, size, strict=True)]
    height, width = (long * (last - first) for long, (first, last) in zip(frame, shares, strict=True))
    y, x = (long * ((first + last) / 2 - 0.5) for long, (first, last) in zip(frame, shares, strict=True))
    return (height, width), (y, x)


def step_values(config: NetworkConfig) -> int:
    """Values of the predicted function along each side of a state's sample in a solver's step and in training.

    They lie half a feature sample apart. Renders take twice as many along a side, which a step's noise would hide.

    >>> from s2id.network.settings import ModelConfig
    >>> step_values(ModelConfig(patch=2, lattice=3))
    3
    """
    return math.ceil(2 * config.lattice / config.patch)


def state_grid(size: tuple[int, int], frame: tuple[float, float]) -> Grid:
    """The samples of a state that covers a frame; they are oblong where size and frame have different aspects."""
    return view(size, frame, fit="stretch")
