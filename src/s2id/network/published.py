"""The network as it was published: it predicts the noise of every pixel of a state, on that state's own grid.

Its parts differ from ours in ways that are known defects (docs/results.md measures them): coordinates run from corner
to corner, jitter stands in place of averaging over cells, norms see the whole picture, the noise level enters as
alpha_bar at the trained density, and the tokens of classes are random and not learned.
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from s2id.condition import Asked, condition_of
from s2id.coords import Grid, Part, centres, check_size, extent
from s2id.errors import InputError
from s2id.linear import box_weights
from s2id.media.alpha import covered
from s2id.network.attention import AxialAttention, CrossAttention, Tokens
from s2id.network.base import Encoded, TwoHalves, checked_part, class_index, place
from s2id.network.blocks import FeedForward
from s2id.network.embeddings import fourier_features, octaves
from s2id.network.heads import Features
from s2id.network.settings import PublishedConfig
from s2id.settings import Size
from s2id.shapes import Images, Scalars


class PublishedNetwork(TwoHalves):
    """Predicts the noise in a state. Its feature samples are the predicted pixels themselves.

    Example:
        >>> network = PublishedNetwork(PublishedConfig(width=8, heads=2, encoder_blocks=1, decoder_blocks=1)).eval()
        >>> network(torch.randn(1, 1, 6, 4), torch.zeros(1), torch.tensor([7])).shape
        torch.Size([1, 1, 6, 4])
    """

    config: PublishedConfig
    head: "PixelHead"

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        self.block = PublishedBlock
        self.config = config
        width = config.width
        self.stem = nn.Linear(config.channels, width)
        self.position = CornerPositionEmbedding(width, config.jitter)
        self.noise = AlphaBarEmbedding(config.film_width)
        self.condition = nn.Embedding(config.classes + 1, config.condition_tokens * width)
        self.condition.requires_grad_(False)
        self.encoder = nn.ModuleList(PublishedBlock(config, cross=False) for _ in range(config.encoder_blocks))
        self.decoder = nn.ModuleList(PublishedBlock(config, cross=True) for _ in range(config.decoder_blocks))
        self.out = nn.Linear(width, config.channels)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)
        self.head = PixelHead(config.channels)

    def encode(
        self, x_t: Images, logsnr: Scalars, frame: tuple[float, float] | None = None, part: Part | None = None
    ) -> Encoded:
        """The encoder's output, which no condition enters; arguments and errors as for `TwoHalves.encode`."""
        size, (rows, columns) = checked_part(x_t, self.config, part)
        tokens = self.stem(x_t[:, :, rows, columns].movedim(1, -1)) + self.position(size)[rows, columns]
        film = self.noise(logsnr.to(x_t))
        for block in self.encoder:
            tokens = block(tokens, film)
        return Encoded(tokens, film, *place(size, frame or extent(size), part))

    def decode(self, encoded: Encoded, label: Asked | None = None) -> Features:
        """The predicted noise under a class; arguments and errors as for `TwoHalves.decode`."""
        tokens = encoded.tokens
        asked = condition_of(label, len(tokens), tokens.device)
        if asked.toward is not None:
            raise InputError("the published network's classes are random tokens, which do not blend; keep one class.")
        index = class_index(asked.label, self.config.classes)
        condition = rearrange(self.condition(index), "b (n d) -> b n d", n=self.config.condition_tokens)
        for block in self.decoder:
            tokens = block(tokens, encoded.film, condition)
        return Features(self.out(tokens), encoded.frame, encoded.middle)


class PixelHead(nn.Module):
    """Reads features that are pixels already: the picture is constant over each, and other sizes see its area means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(
        self, features: Features, grid: Grid, supersample: int | None = None, bound: float | None = None
    ) -> Float[Tensor, "b c h w"]:
        """Means over a grid's pixels, exact whatever `supersample` is; on the features' own grid, the features."""
        rows, columns = features.weights(grid, box_weights)
        values = features.values.movedim(-1, 1)
        return rows @ (values if bound is None else covered(values.clamp(-bound, bound))) @ columns.mT


class PublishedBlock(nn.Module):
    """A residual block: self-attention along rows and columns, cross-attention (only if `cross`), feed-forward layers.

    Every sub-layer is weighed by a learned scale per channel, and the sum of them once more.
    """

    recompute = False
    """Compute everything inside the block a second time in the backward pass, with the same dropout."""

    def __init__(self, config: PublishedConfig, cross: bool) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.attention = AxialAttention(width, heads, bias=True)
        self.cross = CrossAttention(width, heads, bias=True) if cross else None
        self.feed_forward = FeedForward(width, config.expansion)
        self.film = ScaledFilm(config.film_width, width, 3 if cross else 2)
        self.norms = nn.ModuleList(GroupNorm(width, groups) for groups in ((heads, 1, 1) if cross else (heads, 1)))
        self.scale = nn.Parameter(torch.full((width,), 0.1))
        self.dropout = config.dropout

    def forward(self, x: Tokens, film: Float[Tensor, "b f"], condition: Float[Tensor, "b n d"] | None = None) -> Tokens:
        """The transformed tokens."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(self._sublayers, x, film, condition, use_reentrant=False)
        return self._sublayers(x, film, condition)

    def _sublayers(self, x: Tokens, film: Float[Tensor, "b f"], condition: Float[Tensor, "b n d"] | None) -> Tokens:
        entered = x
        (a, *c, f), (norm_a, *norm_c, norm_f) = self.film(film), self.norms
        x = torch.addcmul(x, a[2], self._drop(self.attention(norm_a(x, a[0], a[1])), 0))
        if self.cross is not None and condition is not None:
            crossed = self.cross(norm_c[0](x, c[0][0], c[0][1]), condition)
            x = torch.addcmul(x, c[0][2], self._drop(crossed, 1))
        x = torch.addcmul(x, f[2], self._drop(self.feed_forward(norm_f(x, f[0], f[1])), 2))
        return torch.addcmul(entered, self.scale, x)

    def _drop(self, x: Tokens, sublayer: int) -> Tokens:
        return F.dropout(x, self.dropout[sublayer]) if self.training and self.dropout[sublayer] else x


class ScaledFilm(nn.Module):
    """Scale and shift of every sub-layer from a vector, and a gate that is learned, starts at one and ignores it."""

    def __init__(self, film_width: int, width: int, sublayers: int) -> None:
        super().__init__()
        self.sublayers = sublayers
        self.out = nn.Linear(film_width, 2 * sublayers * width)
        self.gate = nn.Parameter(torch.ones(sublayers, width))
        nn.init.normal_(self.out.weight, std=1e-3)
        nn.init.zeros_(self.out.bias)

    def forward(self, vector: Float[Tensor, "b f"]) -> list[tuple[Tensor, Tensor, Tensor]]:
        """One (scale, shift, gate) per sub-layer."""
        film = rearrange(self.out(vector), "b (s two d) -> s two b 1 1 d", s=self.sublayers, two=2)
        return [(scale, shift, gate) for (scale, shift), gate in zip(film, self.gate, strict=True)]


class GroupNorm(nn.Module):
    """Groups of channels normalised over the whole map, with learned scale and offset, then modulated.

    A token's value depends on the whole picture, so a crop of the input does not give the crop of the output.
    """

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tokens, scale: Float[Tensor, "b 1 1 d"], shift: Float[Tensor, "b 1 1 d"]) -> Tokens:
        """The normalised tokens, times 1 + scale, plus shift."""
        normed = F.group_norm(x.permute(0, 3, 1, 2), self.groups).permute(0, 2, 3, 1)
        # two passes over the tokens: the learned scale and the vector's are multiplied first, and so are the offsets
        return torch.addcmul(torch.addcmul(shift, self.bias, 1 + scale), normed, self.weight * (1 + scale))


class AlphaBarEmbedding(nn.Module):
    """The vector that modulates every block, from alpha_bar = alpha^2 alone."""

    exponents = range(-3, 7)

    def __init__(self, film_width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", octaves(self.exponents), persistent=False)
        self.frequencies: Tensor
        features = 2 * len(self.exponents)
        self.norm = nn.LayerNorm(features)
        self.hidden = nn.Linear(features, film_width)
        self.out = nn.Linear(film_width, film_width)

    def forward(self, logsnr: Scalars) -> Float[Tensor, "b f"]:
        """The vector; alpha_bar is the sigmoid of logsnr."""
        features = self.norm(fourier_features(logsnr.sigmoid() - 0.5, 0.0, self.frequencies))
        return F.silu(self.out(F.silu(self.hidden(features))))


class CornerPositionEmbedding(nn.Module):
    """A vector per pixel from its corner coordinates in both systems, with jitter in training."""

    exponents = range(-3, 8)

    def __init__(self, width: int, std: float) -> None:
        """Set up.

        Args:
            width: Channels of a vector.
            std: Standard deviation of the jitter, in pixels.
        """
        super().__init__()
        self.register_buffer("frequencies", octaves(self.exponents), persistent=False)
        self.frequencies: Tensor
        self.std = std
        features = 4 * len(self.exponents)
        self.norm = nn.GroupNorm(1, features)
        self.out = nn.Linear(2 * features, width, bias=False)

    def forward(self, size: Size) -> Float[Tensor, "h w d"]:
        """The vectors of a grid of pixels."""
        systems = []
        for box in (False, True):
            coords = corner_coords(size, box).to(self.frequencies)
            if self.training and self.std:
                cells = size if box else (max(size), max(size))
                coords = jitter(coords, (self.std / cells[0], self.std / cells[1]))
            features = [fourier_features(coords[..., axis], 0.0, self.frequencies) for axis in (0, 1)]
            systems.append(self.norm(torch.cat(features, dim=-1).movedim(-1, 0)[None])[0].movedim(0, -1))
        return self.out(torch.cat(systems, dim=-1))


def corner_coords(size: Size, box: bool = False) -> Float[Tensor, "h w 2"]:
    """Coordinates (y, x) that run from the first pixel's centre to the last: the longer side spans [-0.5, 0.5].

    This is a defect: one point of the scene has another coordinate at every size.

    Args:
        size: Height and width, in pixels.
        box: Both sides, not only the longer, span [-0.5, 0.5].

    Example:
        >>> corner_coords((1, 3))[0].tolist()
        [[0.0, -0.5], [0.0, 0.0], [0.0, 0.5]]
    """
    check_size(size)
    pitches = (1 / max(1, (side if box else max(size)) - 1) for side in size)
    y, x = (centres(side, pitch) for side, pitch in zip(size, pitches, strict=True))
    return torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1)


def jitter(
    coords: Float[Tensor, "h w 2"], std: tuple[float, float], generator: torch.Generator | None = None
) -> Float[Tensor, "h w 2"]:
    """Coordinates displaced by independent Gaussian noise.

    Args:
        coords: (y, x), in any unit.
        std: Standard deviation along y and x, in that unit; the published recipe has half a pixel, 1 / (2 max(h, w))
            in composition units and 1 / (2 h), 1 / (2 w) in box units.
        generator: Source of randomness; `None` is torch's own.
    """
    noise = torch.randn(coords.shape, generator=generator, dtype=coords.dtype, device=coords.device)
    return coords + noise * torch.tensor(std, dtype=coords.dtype, device=coords.device)
