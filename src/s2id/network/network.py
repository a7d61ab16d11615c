"""Our network: a state of any size in, a function on the frame out.

    state -> encoder (once per step) -> decoder (once per condition) -> feature lattice -> head -> values anywhere

The encoder and decoder work on tokens; the head interpolates the feature lattice and averages over each pixel's own
cell. Theory: docs/notation.md. The published network, in `published`, shares what stands below `FieldNetwork` here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from s2id.condition import Asked, Condition, condition_of
from s2id.coords import Grid, Part, extent, view
from s2id.errors import InputError
from s2id.network.attention import Tokens
from s2id.network.blocks import Block, FeedForward, normalise
from s2id.network.embeddings import ConditionFilm, ConditionTokens, NoiseEmbedding, PositionEmbedding
from s2id.network.heads import Features, FieldHead
from s2id.network.settings import ModelConfig, NetworkConfig, Recompute
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


class FieldNetwork(nn.Module):
    """Predicts the clean picture as a function, from which pixels of any grid are read.

    Example:
        >>> network = FieldNetwork(ModelConfig(width=8, heads=2))
        >>> x_t, logsnr = torch.randn(1, 1, 20, 12), torch.zeros(1)
        >>> network(x_t, logsnr, torch.tensor([7])).shape  # at the state's own samples
        torch.Size([1, 1, 20, 12])
        >>> network(x_t, logsnr, torch.tensor([7]), grid=state_grid((30, 18), (1.0, 0.6))).shape  # at others
        torch.Size([1, 1, 30, 18])
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width, patch, lattice = config.width, config.patch, config.lattice
        self.stem = nn.Linear(config.state_channels * patch**2, width)
        self.position = PositionEmbedding(width)
        self.noise = NoiseEmbedding(config.film_width)
        self.condition = nn.Embedding(config.classes + 1, config.condition_tokens * width)
        more = config.attributes or config.numbers or config.token_width
        self.asked = ConditionTokens(config) if more else None
        self.condition_film = ConditionFilm(config) if config.condition_film else None
        self.encoder = nn.ModuleList(Block(config, cross=False) for _ in range(config.encoder_blocks))
        self.decoder = nn.ModuleList(Block(config, cross=True) for _ in range(config.decoder_blocks))
        self.lattice = nn.Linear(width, lattice**2 * config.head_width)
        self.head = FieldHead(config.head_width, config.channels)
        self.state = nn.Linear(width, config.latents * patch**2) if config.latents else None

    def encode(
        self, x_t: Images, logsnr: Scalars, frame: tuple[float, float] | None = None, part: Part | None = None
    ) -> Encoded:
        """The encoder's output, which no condition enters.

        Args:
            x_t: State; its sides are multiples of the patch.
            logsnr: Of the state's own samples.
            frame: Height and width of the frame in composition units; `None` has square samples.
            part: Rows and columns of samples that the network gets, with edges at multiples of the patch; `None` is
                all of the state.

        Raises:
            InputError: The state's size or channels, or the part's edges, do not fit the network.
        """
        patch = self.config.patch
        size, (rows, columns) = checked_part(x_t, self.config, part)
        tokens = self.stem(rearrange(x_t[:, :, rows, columns], "b c (h p) (w q) -> b h w (c p q)", p=patch, q=patch))
        # positions and density are those of the whole state, so that a part's tokens know where they are
        position = self.position((size[0] // patch, size[1] // patch))
        tokens = tokens + position[tuple(slice(s.start // patch, s.stop // patch) for s in (rows, columns))]
        film = self.noise(logsnr.to(x_t), 1 / max(size))
        for block in self.encoder:
            tokens = block(tokens, film)
        return Encoded(tokens, film, *place(size, frame or extent(size), part))

    def decode(self, encoded: Encoded, label: Asked | None = None) -> Features:
        """The predicted function under a condition, as features that the head reads.

        Args:
            encoded: The encoder's output.
            label: Class of each image, or a condition; `None`, or NULL for one image, is no class.

        Raises:
            InputError: The network does not know a label.
        """
        tokens, film = encoded.tokens, encoded.film
        condition, known = self.condition_tokens(condition_of(label, len(tokens), tokens.device))
        if self.condition_film is not None:
            film = film + self.condition_film(condition, known)
        for block in self.decoder:
            tokens = block(tokens, film, condition, known)
        tokens = normalise(tokens)
        side, patch = self.config.lattice, self.config.patch
        values = rearrange(self.lattice(tokens), "b h w (p q d) -> b (h p) (w q) d", p=side, q=side)
        state = None
        if self.state is not None:
            state = rearrange(self.state(tokens), "b h w (c p q) -> b c (h p) (w q)", p=patch, q=patch)
        return Features(values, encoded.frame, encoded.middle, state)

    def condition_tokens(self, asked: Condition) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"] | None]:
        """Tokens of a condition, and which of them are known; `None` where all are.

        Raises:
            InputError: The network has not such a class, or not as many attributes, numbers or channels of text.
        """
        for name, part, wanted in (
            ("attributes", asked.attributes, self.config.attributes),
            ("numbers", asked.numbers, self.config.numbers),
            ("channels per text token", asked.tokens, self.config.token_width),
        ):
            if part is not None and part.shape[-1] != wanted:
                raise InputError(
                    f"the condition has {part.shape[-1]} {name} and this model knows {wanted}; make it with s2id.ask."
                )
        index = class_index(asked.label, self.config.classes)
        condition = rearrange(self.condition(index), "b (n d) -> b n d", n=self.config.condition_tokens)
        if self.asked is None:
            return condition, None
        tokens, known = self.asked(asked)
        always = torch.ones(condition.shape[:2], dtype=torch.bool, device=condition.device)
        return torch.cat([condition, *tokens], dim=1), torch.cat([always, *known], dim=1)

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
        """The predicted pixels; where states are latents, a pair of these and the predicted clean state.

        Args:
            x_t: State.
            logsnr: Of the state's samples.
            label: Class of each image, or a condition; `None`, or NULL for one image, is no class. A multiple of the
                batch size, with the first condition of all images first, gives as many predictions; the encoder runs
                once.
            grid: Pixels to predict; `None` is the state's own samples, or those of its part.
            frame: Height and width of the frame in composition units; `None` has square samples.
            supersample: Head samples per pixel side; `None` takes as many as needed.
            part: Rows and columns of samples that the network gets, with edges at multiples of the patch; `None` is
                all of the state.
        """
        encoded = self.encode(x_t, logsnr, frame, part)
        grid = own_grid(x_t, frame, part) if grid is None else grid
        features = [self.decode(encoded, row) for row in rows_of(label, len(x_t))]
        values = torch.cat([self.head(one, grid, supersample) for one in features])
        states = [one.state for one in features if one.state is not None]
        return (values, torch.cat(states)) if states else values

    def recompute(self, what: Recompute) -> None:
        """Trade time for memory in training: `what` is computed a second time in the backward pass."""
        recompute(self, what, Block)

    def predict(self, features: Features, size: tuple[int, int]) -> Images:
        """The predicted clean state of a size: means of the function over its samples, or the latents."""
        if features.state is not None:
            return features.state
        return self.head(features, state_grid(size, features.frame))


def rows_of(label: Int[Tensor, " n"] | Condition | None, count: int) -> Sequence[Asked | None]:
    """The conditions of `count` images, one after another."""
    return [None] if label is None else list(label.split(count))


def own_grid(x_t: Images, frame: tuple[float, float] | None, part: Part | None) -> Grid:
    """The samples of a state, or of its part, as pixels to predict; arguments as for `FieldNetwork.forward`."""
    size = (x_t.shape[2], x_t.shape[3])
    grid = state_grid(size, frame or extent(size))
    return grid.part(*part) if part else grid


def recompute(network: nn.Module, what: Recompute, block: type[nn.Module]) -> None:
    """Mark the feed-forward layers, or the blocks, of a network to be computed anew in the backward pass."""
    for module in network.modules():
        if isinstance(module, FeedForward):
            module.recompute = what == "feed_forward"
        elif isinstance(module, block):
            module.recompute = what == "blocks"  # type: ignore[assignment]


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


def state_grid(size: tuple[int, int], frame: tuple[float, float]) -> Grid:
    """The samples of a state that covers a frame; they are oblong where size and frame have different aspects."""
    return view(size, frame, fit="stretch")
