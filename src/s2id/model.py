"""The network: a state at any size in, a function out.

    state -> encoder (once per step) -> decoder (once per condition) -> feature lattice -> head -> values anywhere

The trunk composes on tokens; the head reads the feature lattice through a pixel's own cell. Theory: docs/notation.md.
The config's other choices (PixelHead, AlphaBarEmbedding and those of `layers`) make the network as it was published.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from s2id.condition import Asked, Condition, condition_of
from s2id.config import InputError, ModelConfig, Recompute
from s2id.coords import Grid, Part, box_coords, corner_coords, extent, jitter, pixel_coords, view
from s2id.layers import Block, FeedForward, Tokens, box_weights, fourier_features, normalise, spline_weights
from s2id.shapes import NULL, Images, Scalars

_CACHED = 2**19
"""Values of features that a processor reads at once: about what its cache holds; with more it waits for memory."""


@dataclass(frozen=True)
class Encoded:
    """What the encoder knows of a state, for any number of decoder calls."""

    tokens: Tokens
    film: Float[Tensor, "b f"]
    frame: tuple[float, float]
    middle: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Features:
    """A function on the frame, as the samples that the head interpolates."""

    values: Float[Tensor, "b h w d"]
    frame: tuple[float, float]
    """Height and width of the frame in composition units."""
    middle: tuple[float, float] = (0.0, 0.0)
    """Where the samples' middle is, if they are of a part of a frame."""
    state: Float[Tensor, "b k y x"] | None = None
    """The clean state that the function goes with, where that is latents and not the function's own means."""

    @property
    def pitch(self) -> tuple[float, float]:
        """Distance between samples along y and x, in composition units."""
        return self.frame[0] / self.values.shape[1], self.frame[1] / self.values.shape[2]

    def on_canvas(self) -> "Features":
        """The function with canvas around it, of the median of the border; the frame stays all but as it is.

        Continuing the edge itself would draw a stroke that touches it for ever.
        """
        values = self.values.movedim(-1, 1)
        border = torch.cat([values[..., 0, :], values[..., -1, :], values[..., 0], values[..., -1]], dim=-1)
        reach = 1  # one sample more than this is seen from inside the frame with a weight of 0.02 at most
        near = F.pad(values, (reach,) * 4, mode="replicate")
        canvas = border.median(dim=-1).values[..., None, None].repeat(1, 1, near.shape[2] + 2, near.shape[3] + 2)
        canvas[..., 1:-1, 1:-1] = near
        more = 2 * (reach + 1)
        frame = self.frame[0] + more * self.pitch[0], self.frame[1] + more * self.pitch[1]
        return Features(canvas.movedim(1, -1), frame, self.middle)

    def supersample(self, cell: tuple[float, float]) -> int:
        """Head samples per pixel side that keep them at most half a feature sample apart."""
        return max(1, *(math.ceil(2 * c / p - 1e-9) for c, p in zip(cell, self.pitch, strict=True)))

    def weights(
        self, grid: Grid, kernel: Callable[..., Tensor] = spline_weights
    ) -> tuple[Float[Tensor, "y h"], Float[Tensor, "x w"]]:
        """How a grid's rows and columns read the samples."""
        per_axis = zip((grid.y, grid.x), self.middle, grid.cell, self.pitch, self.values.shape[1:3], strict=True)
        rows, columns = (
            kernel((points - middle) / pitch + (count - 1) / 2, cell / pitch, count).to(self.values)
            for points, middle, cell, pitch, count in per_axis
        )
        return rows, columns


class FieldHead(nn.Module):
    """Values of the function: features averaged over the query's cell by a cubic B-spline, then two layers.

    The spline is smooth and local and its weights are positive, so there is no ringing and no lattice to see; the
    nonlinear layers make edges sharper than the lattice.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.hidden = nn.Linear(width, width)
        self.out = nn.Linear(width, channels)

    def forward(
        self, features: Features, grid: Grid, supersample: int | None = None, bound: float | None = None
    ) -> Float[Tensor, "b c h w"]:
        """Means over a grid's pixels.

        Args:
            features: The function.
            grid: Pixels anywhere; what lies beyond the frame continues its edge.
            supersample: Head samples per pixel side; `None` takes as many as the pixel needs.
            bound: Of the function's values, before means are taken; `None` has none.
        """
        factor = supersample or features.supersample(grid.cell)
        rows, columns = features.weights(grid.refine(factor))
        b, _, w, d = features.values.shape
        read = (rows @ features.values.reshape(b, -1, w * d)).reshape(b, len(rows), w, d)
        whole = torch.is_grad_enabled() or not read.is_cpu  # training keeps all of them, a GPU wants much to do
        few = len(rows) if whole else max(1, _CACHED // (b * len(columns) * d))
        values = torch.cat([self.values(columns @ part) for part in read.split(few, dim=1)], dim=1)
        if bound is not None:
            values = values.clamp(-bound, bound)
        return F.avg_pool2d(rearrange(values, "b h w c -> b c h w"), factor) if factor > 1 else values.movedim(-1, 1)

    def at(self, features: Features, coords: Float[Tensor, "q 2"], cell: tuple[float, float]) -> Float[Tensor, "b q c"]:
        """Values at scattered coordinates (y, x), one head sample each."""
        rows, columns = features.weights(Grid(coords[:, 0], coords[:, 1], cell))
        return self.values(torch.einsum("qh,qw,bhwd->bqd", rows, columns, features.values))

    def values(self, read: Float[Tensor, "*b d"]) -> Float[Tensor, "*b c"]:
        """The two layers."""
        inplace = not torch.is_grad_enabled()  # nobody but the backward pass needs what silu hears
        return self.out(F.silu(self.hidden(F.silu(read, inplace)), inplace))

    @classmethod
    def lerp(cls, start: "FieldHead", end: "FieldHead", weight: float) -> "FieldHead":
        """The head that says `start + weight * (end - start)` of both heads' features, side by side.

        Two heads that read side by side are one: each hidden layer keeps to its own features, and the output adds.
        """
        with torch.device("meta"):  # drawing weights, only to replace them, would move the caller's random numbers
            both = cls(start.hidden.in_features + end.hidden.in_features, end.channels)
        layers = {
            "hidden.weight": torch.block_diag(start.hidden.weight, end.hidden.weight),
            "hidden.bias": torch.cat([start.hidden.bias, end.hidden.bias]),
            "out.weight": torch.cat([(1 - weight) * start.out.weight, weight * end.out.weight], dim=1),
            "out.bias": start.out.bias.lerp(end.out.bias, weight),
        }
        both.load_state_dict(layers, assign=True)
        return both.requires_grad_(False)


class PixelHead(nn.Module):
    """Features that are pixels already: a picture, constant over each pixel; other sizes see its means over areas."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(
        self, features: Features, grid: Grid, supersample: int | None = None, bound: float | None = None
    ) -> Float[Tensor, "b c h w"]:
        """Means over a grid's pixels, exact whatever `supersample` is; on the features' own grid, the features."""
        rows, columns = features.weights(grid, box_weights)
        values = features.values.movedim(-1, 1)
        return rows @ (values if bound is None else values.clamp(-bound, bound)) @ columns.mT


class NoiseEmbedding(nn.Module):
    """The vector that modulates every block, from logsnr and the state's density."""

    octaves = range(-5, 1)

    def __init__(self, film_width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.tensor(self.octaves), persistent=False)
        self.frequencies: Tensor
        self.hidden = nn.Linear(4 * len(self.octaves), film_width)
        self.out = nn.Linear(film_width, film_width)

    def forward(self, logsnr: Scalars, cell: float) -> Float[Tensor, "b f"]:
        """The vector; `cell` is the state's pixel pitch in composition units."""
        density = logsnr.new_full((1,), -math.log2(cell))
        heard = [fourier_features(a, 0.0, self.frequencies) for a in (logsnr, density)]
        heard[1] = heard[1].expand(len(logsnr), -1)
        return F.silu(self.out(F.silu(self.hidden(torch.cat(heard, dim=-1)))))


class AlphaBarEmbedding(nn.Module):
    """The vector that modulates every block, from alpha_bar alone: as published."""

    octaves = range(-3, 7)

    def __init__(self, film_width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.tensor(self.octaves), persistent=False)
        self.frequencies: Tensor
        features = 2 * len(self.octaves)
        self.norm = nn.LayerNorm(features)
        self.hidden = nn.Linear(features, film_width)
        self.out = nn.Linear(film_width, film_width)

    def forward(self, logsnr: Scalars, cell: float) -> Float[Tensor, "b f"]:
        """The vector; `cell` is not heard."""
        heard = self.norm(fourier_features(logsnr.sigmoid() - 0.5, 0.0, self.frequencies))
        return F.silu(self.out(F.silu(self.hidden(heard))))


class PositionEmbedding(nn.Module):
    """Dual positions, composition and box, as Fourier features faded by the token's own cell."""

    octaves = range(-3, 8)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.tensor(self.octaves), persistent=False)
        self.frequencies: Tensor
        self.corners, self.fade = config.corners, config.fade
        self.systems = ("composition", "box") if config.coordinates == "dual" else (config.coordinates,)
        features = 4 * len(self.octaves)
        self.norm = nn.GroupNorm(1, features) if config.norm == "group" else None
        self.out = nn.Linear(features * len(self.systems), config.width, bias=False)

    def forward(self, size: tuple[int, int], std: float = 0.0) -> Float[Tensor, "h w d"]:
        """One vector per token.

        Args:
            size: Height and width, in tokens.
            std: Standard deviation of the coordinates' jitter, in tokens.
        """
        systems = []
        for system in self.systems:
            box = system == "box"
            cells = (1 / size[0], 1 / size[1]) if box else (1 / max(size), 1 / max(size))
            coords = corner_coords(size, box) if self.corners else box_coords(size) if box else pixel_coords(size)
            coords = coords.to(self.frequencies)
            if std:
                coords = jitter(coords, (std * cells[0], std * cells[1]))
            faded = cells if self.fade else (0.0, 0.0)
            heard = [fourier_features(coords[..., i], faded[i], self.frequencies) for i in (0, 1)]
            systems.append(torch.cat(heard, dim=-1))
        if self.norm is not None:
            systems = [self.norm(heard.movedim(-1, 0)[None])[0].movedim(0, -1) for heard in systems]
        return self.out(torch.cat(systems, dim=-1))


class NumberEmbedding(nn.Module):
    """A token per number, from Fourier features of its value."""

    octaves = range(-2, 3)

    def __init__(self, numbers: int, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.tensor(self.octaves), persistent=False)
        self.frequencies: Tensor
        self.which = nn.Embedding(numbers, width)
        self.weight = nn.Parameter(torch.randn(numbers, 2 * len(self.octaves), width) * len(self.octaves) ** -0.5)

    def forward(self, numbers: Float[Tensor, "b k"]) -> Float[Tensor, "b k d"]:
        """The tokens; what lies beyond the training data's span is heard as its end."""
        heard = fourier_features(numbers.clamp(-1, 1), 0.0, self.frequencies)
        return self.which.weight + torch.einsum("bkf,kfd->bkd", heard, self.weight)


class ConditionTokens(nn.Module):
    """What else than a class is asked, as tokens: attributes, numbers and a text encoder's."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.attributes = nn.Embedding(2 * config.attributes, config.width) if config.attributes else None
        self.numbers = NumberEmbedding(config.numbers, config.width) if config.numbers else None
        self.text = nn.Linear(config.token_width, config.width) if config.token_width else None

    def forward(self, asked: Condition) -> tuple[list[Float[Tensor, "b n d"]], list[Bool[Tensor, "b n"]]]:
        """Tokens of each kind, and which of them are known."""
        tokens, known = [], []
        if self.attributes is not None and asked.attributes is not None:
            # the learned tokens of having come first, then those of lacking
            lacking = (asked.attributes < 0).long() * self.config.attributes
            which = torch.arange(self.config.attributes, device=lacking.device)
            tokens.append(self.attributes(which + lacking))
            known.append(asked.attributes != 0)
        if self.numbers is not None and asked.numbers is not None:
            tokens.append(self.numbers(asked.numbers.nan_to_num()))
            known.append(~asked.numbers.isnan())
        if self.text is not None and asked.tokens is not None:
            tokens.append(self.text(asked.tokens.nan_to_num()))
            known.append(~asked.tokens.isnan().any(-1))
        return tokens, known


class ConditionFilm(nn.Module):
    """What the condition adds to the vector that modulates the decoder's blocks, from the mean of its tokens.

    Every token of the picture hears it at once, where attention must first learn whom to listen to. Starts at zero.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.hidden = nn.Linear(config.width, config.film_width)
        self.out = nn.Linear(config.film_width, config.film_width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, condition: Float[Tensor, "b n d"], known: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b f"]:
        """The vector; tokens that are not `known`, where this is given, do not count."""
        if known is None:
            mean = condition.mean(1)
        else:
            mean = (condition * known[..., None]).sum(1) / known.sum(1, keepdim=True)
        return self.out(F.silu(self.hidden(mean)))


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
