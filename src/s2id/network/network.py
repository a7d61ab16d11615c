"""The network: a state at any size in, a function out.

    state -> encoder (once per step) -> decoder (once per condition) -> feature lattice -> head -> values anywhere

The trunk composes on tokens; the head reads the feature lattice through a pixel's own cell. Theory: docs/notation.md.
The config's other choices (PixelHead, AlphaBarEmbedding and those of `layers`) make the network as it was published.
"""

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
from s2id.network.embeddings import AlphaBarEmbedding, ConditionFilm, ConditionTokens, NoiseEmbedding, PositionEmbedding
from s2id.network.heads import Features, FieldHead, PixelHead
from s2id.network.settings import ModelConfig, Recompute
from s2id.shapes import NULL, Images, Scalars


@dataclass(frozen=True)
class Encoded:
    """What the encoder knows of a state, for any number of decoder calls."""

    tokens: Tokens
    film: Float[Tensor, "b f"]
    frame: tuple[float, float]
    middle: tuple[float, float] = (0.0, 0.0)


class Network(nn.Module):
    """`(x_t, logsnr, label) -> prediction`, at the state's pixels or any other."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width, patch, lattice = config.width, config.patch, config.lattice
        self.stem = nn.Linear(config.state_channels * patch**2, width)
        self.position = PositionEmbedding(config)
        self.noise = {"logsnr": NoiseEmbedding, "alpha_bar": AlphaBarEmbedding}[config.hears](config.film_width)
        self.condition = nn.Embedding(config.classes + 1, config.condition_tokens * width)
        self.condition.requires_grad_(config.learned_condition)
        more = config.attributes or config.numbers or config.token_width
        self.asked = ConditionTokens(config) if more else None
        self.condition_film = ConditionFilm(config) if config.condition_film else None

        def blocks(count: int, cross: bool) -> nn.ModuleList:
            return nn.ModuleList(Block(config, cross) for _ in range(count))

        self.encoder = blocks(config.encoder_blocks, cross=False)
        self.decoder = blocks(config.decoder_blocks, cross=True)
        self.head: FieldHead | PixelHead
        if config.head == "field":
            self.lattice = nn.Linear(width, lattice**2 * config.head_width)
            self.head = FieldHead(config.head_width, config.channels)
        else:
            self.lattice = nn.Linear(width, config.channels)
            self.head = PixelHead(config.channels)
            for parameter in self.lattice.parameters():
                nn.init.zeros_(parameter)
        self.state = nn.Linear(width, config.latents * patch**2) if config.latents else None

    def encode(
        self, x_t: Images, logsnr: Scalars, frame: tuple[float, float] | None = None, part: Part | None = None
    ) -> Encoded:
        """The first half of the trunk, which knows no condition.

        Args:
            x_t: State; its sides are multiples of the patch.
            logsnr: Of the state's own samples.
            frame: Height and width of the frame in composition units; `None` has square samples.
            part: Rows and columns of samples to see, their edges multiples of the patch; `None` is all.

        Raises:
            InputError: The state's size or channels, or the part's edges, do not fit the network.
        """
        (_, channels, h, w), patch = x_t.shape, self.config.patch
        if channels != self.config.state_channels or h % patch or w % patch:
            raise InputError(
                f"the state has {channels} channels and size {h}x{w}; this network takes "
                f"{self.config.state_channels} and multiples of {patch}."
            )
        rows, columns = part or (slice(0, h), slice(0, w))
        if wrong := [edge for s in (rows, columns) for edge in (s.start, s.stop) if edge % patch]:
            raise InputError(f"the part has an edge at {wrong[0]}; this network takes multiples of {patch}.")
        tokens = self.stem(rearrange(x_t[:, :, rows, columns], "b c (h p) (w q) -> b h w (c p q)", p=patch, q=patch))
        # places and density are the whole's: a part's tokens know where they are
        position = self.position((h // patch, w // patch), self.config.jitter / patch if self.training else 0.0)
        tokens = tokens + position[tuple(slice(s.start // patch, s.stop // patch) for s in (rows, columns))]
        film = self.noise(logsnr.to(x_t), 1 / max(h, w))
        for block in self.encoder:
            tokens = block(tokens, film)
        return Encoded(tokens, film, *_place((h, w), frame or extent((h, w)), part))

    def decode(self, encoded: Encoded, label: Asked | None = None) -> Features:
        """The second half of the trunk, under a condition.

        Args:
            encoded: The encoder's output.
            label: Class of each image, or a condition; `None`, or NULL for one image, is no class.

        Raises:
            InputError: A label is none of the network's.
        """
        tokens = encoded.tokens
        condition, known = self.heard(condition_of(label, len(tokens), tokens.device))
        film = encoded.film
        if self.condition_film is not None:
            film = film + self.condition_film(condition, known)
        for block in self.decoder:
            tokens = block(tokens, film, condition, known)
        if self.config.head == "field":
            tokens = normalise(tokens)
        side = self.config.lattice
        values = rearrange(self.lattice(tokens), "b h w (p q d) -> b (h p) (w q) d", p=side, q=side)
        state = None
        if self.state is not None:
            p = self.config.patch
            state = rearrange(self.state(tokens), "b h w (c p q) -> b c (h p) (w q)", p=p, q=p)
        return Features(values, encoded.frame, encoded.middle, state)

    def heard(self, asked: Condition) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"] | None]:
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
        label = asked.label
        wrong = label[(label < NULL) | (label >= self.config.classes)]
        if len(wrong):
            raise InputError(
                f"label {int(wrong[0])} is none of this model's {self.config.classes} classes; "
                f"choose 0 to {self.config.classes - 1}."
            )
        index = torch.where(label == NULL, self.config.classes, label)
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
        """The prediction, and beside it the clean state where that is latents.

        Args:
            x_t: State.
            logsnr: Of the state's samples.
            label: Class of each image, or a condition; `None`, or NULL for one image, is no class. Several per image,
                all images' first ones first, give as many predictions; the encoder runs once.
            grid: Pixels to predict; `None` is the state's own, or its part's.
            frame: Height and width of the frame in composition units; `None` has square samples.
            supersample: Head samples per pixel side; `None` takes as many as needed.
            part: Rows and columns of samples to see, their edges multiples of the patch; `None` is all.
        """
        encoded = self.encode(x_t, logsnr, frame, part)
        if grid is None:
            size = (x_t.shape[2], x_t.shape[3])
            grid = state_grid(size, frame or extent(size))
            grid = grid.part(*part) if part else grid
        rows = [None] if label is None else label.split(len(x_t))
        functions = [self.decode(encoded, row) for row in rows]
        values = torch.cat([self.head(one, grid, supersample) for one in functions])
        states = [one.state for one in functions if one.state is not None]
        return (values, torch.cat(states)) if states else values

    def recompute(self, what: Recompute) -> None:
        """Trade time for memory in training: see FeedForward and Block."""
        for module in self.modules():
            if isinstance(module, FeedForward):
                module.recompute = what == "feed_forward"
            elif isinstance(module, Block):
                module.recompute = what == "blocks"

    def predict(self, features: Features, size: tuple[int, int]) -> Images:
        """The function at the samples of a state of that size; eps and v are trained on these alone, x on means.

        Of latents, the clean state that the function goes with.
        """
        if features.state is not None:
            return features.state
        supersample = None if self.config.prediction == "x" else 1
        return self.head(features, state_grid(size, features.frame), supersample)


def _place(
    size: tuple[int, int], frame: tuple[float, float], part: Part | None
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Height and width, and middle, of the part of a frame that some of a state's samples cover."""
    if part is None:
        return frame, (0.0, 0.0)
    shares = [(axis.start / side, axis.stop / side) for axis, side in zip(part, size, strict=True)]
    height, width = (long * (last - first) for long, (first, last) in zip(frame, shares, strict=True))
    y, x = (long * ((first + last) / 2 - 0.5) for long, (first, last) in zip(frame, shares, strict=True))
    return (height, width), (y, x)


def state_grid(size: tuple[int, int], frame: tuple[float, float]) -> Grid:
    """The samples of a state that covers a frame; oblong where size and frame have different aspects."""
    return view(size, frame, fit="stretch")
