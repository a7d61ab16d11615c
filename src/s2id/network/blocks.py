"""Parts of a network: Fourier features, attention, modulation, reading of samples. Knows no diffusion.

Tokens are kept as a grid `b h w d`, so that all kinds of self-attention share one signature. Our norm acts per token:
crops, tiles and token subsets stay exact. Parts of the published network stand behind the signatures of ours.
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from s2id.network.attention import (
    AxialAttention,
    CrossAttention,
    FullAttention,
    LinearAttention,
    Tokens,
    WindowAttention,
)
from s2id.network.settings import ModelConfig


def normalise(x: Tokens) -> Tokens:
    """Layer norm of each token by itself, without parameters."""
    return F.layer_norm(x, x.shape[-1:])


class Neighbours(nn.Module):
    """Depthwise 3x3 convolution over the grid of tokens: where each token's neighbours are, from the first step on.

    Chu et al. 2021, arXiv 2102.10882 (conditional positional encodings). Starts at zero.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, groups=width)
        for parameter in self.conv.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tokens) -> Tokens:
        """Mix."""
        return self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class FeedForward(nn.Module):
    """Two layers with SiLU between them, on each token by itself."""

    recompute = False
    """Forget what is between the layers and compute it again in the backward pass."""

    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        self.rise = nn.Linear(width, expansion * width)
        self.fall = nn.Linear(expansion * width, width)

    def forward(self, x: Tokens) -> Tokens:
        """Transform."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(self._layers, x, use_reentrant=False, preserve_rng_state=False)
        return self._layers(x)

    def _layers(self, x: Tokens) -> Tokens:
        # nobody needs what silu hears but the backward pass, and memory not touched is a third of its time
        return self.fall(F.silu(self.rise(x), inplace=not torch.is_grad_enabled()))


class Film(nn.Module):
    """Scale, shift and gate of each sub-layer from a vector (FiLM; gates start at zero, Peebles and Xie 2022)."""

    def __init__(self, film_width: int, width: int, sublayers: int) -> None:
        super().__init__()
        self.sublayers = sublayers
        self.out = nn.Linear(film_width, 3 * sublayers * width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, vector: Float[Tensor, "b f"]) -> Float[Tensor, "sublayers 3 b 1 1 d"]:
        """One (scale, shift, gate) per sub-layer."""
        return rearrange(self.out(vector), "b (s three d) -> s three b 1 1 d", s=self.sublayers, three=3)


class ScaledFilm(nn.Module):
    """Scale and shift from a vector, and a gate that is learned, from one, and does not hear it: as published."""

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


def modulate(x: Tokens, scale: Float[Tensor, "b 1 1 d"], shift: Float[Tensor, "b 1 1 d"]) -> Tokens:
    """The normalised tokens, scaled and shifted."""
    return torch.addcmul(shift, normalise(x), 1 + scale)


class TokenNorm(nn.Module):
    """`modulate`, as a part."""

    def forward(self, x: Tokens, scale: Float[Tensor, "b 1 1 d"], shift: Float[Tensor, "b 1 1 d"]) -> Tokens:
        """Normalise and modulate."""
        return modulate(x, scale, shift)


class GroupNorm(nn.Module):
    """Groups of channels normalised over the whole map, with learned scale and offset, then modulated: as published.

    A token's value depends on the whole picture, so a crop is not a crop.
    """

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tokens, scale: Float[Tensor, "b 1 1 d"], shift: Float[Tensor, "b 1 1 d"]) -> Tokens:
        """Normalise and modulate, in two passes over the tokens: both scales are one, and both offsets."""
        normed = F.group_norm(x.permute(0, 3, 1, 2), self.groups).permute(0, 2, 3, 1)
        return torch.addcmul(torch.addcmul(shift, self.bias, 1 + scale), normed, self.weight * (1 + scale))


class Block(nn.Module):
    """Modulated residual block: self-attention, cross-attention if `cross`, feed-forward."""

    recompute = False
    """Forget what is between the block's ends and compute it again in the backward pass, dropping the same."""

    def __init__(self, config: ModelConfig, cross: bool) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.neighbours = Neighbours(width) if config.neighbours else None
        attentions = {
            "full": FullAttention,
            "axial": AxialAttention,
            "window": WindowAttention,
            "linear": LinearAttention,
        }
        self.attention = attentions[config.attention](width, heads, config.bias)
        self.cross = CrossAttention(width, heads, config.bias) if cross else None
        self.feed_forward = FeedForward(width, config.expansion)
        films = {"gated": Film, "scaled": ScaledFilm}
        self.film = films[config.residual](config.film_width, width, 3 if cross else 2)
        groups = (config.heads, 1, 1) if cross else (config.heads, 1)
        self.norms = nn.ModuleList(GroupNorm(width, g) if config.norm == "group" else TokenNorm() for g in groups)
        self.scale = nn.Parameter(torch.full((width,), 0.1)) if config.residual == "scaled" else None
        self.dropout = config.dropout

    def forward(
        self,
        x: Tokens,
        film: Float[Tensor, "b f"],
        condition: Float[Tensor, "b n d"] | None = None,
        known: Bool[Tensor, "b n"] | None = None,
    ) -> Tokens:
        """Transform; the condition's tokens that are not `known`, where this is given, are not attended to."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(self._sublayers, x, film, condition, known, use_reentrant=False)
        return self._sublayers(x, film, condition, known)

    def _sublayers(
        self,
        x: Tokens,
        film: Float[Tensor, "b f"],
        condition: Float[Tensor, "b n d"] | None,
        known: Bool[Tensor, "b n"] | None,
    ) -> Tokens:
        entered = x
        (a, *c, f), (norm_a, *norm_c, norm_f) = self.film(film), self.norms
        if self.neighbours is not None:
            x = x + self.neighbours(x)
        x = torch.addcmul(x, a[2], self._drop(self.attention(norm_a(x, a[0], a[1])), 0))
        if self.cross is not None and condition is not None:
            crossed = self.cross(norm_c[0](x, c[0][0], c[0][1]), condition, known)
            x = torch.addcmul(x, c[0][2], self._drop(crossed, 1))
        x = torch.addcmul(x, f[2], self._drop(self.feed_forward(norm_f(x, f[0], f[1])), 2))
        # as published, with the block as a whole weighed once more
        return x if self.scale is None else torch.addcmul(entered, self.scale, x)

    def _drop(self, x: Tokens, sublayer: int) -> Tokens:
        return F.dropout(x, self.dropout[sublayer]) if self.training and self.dropout[sublayer] else x
