"""Residual blocks of our network. They know nothing of diffusion.

Tokens are kept as a grid `b h w d`, so that all kinds of self-attention share one signature. The norm acts on each
token alone, so a crop of the grid, a tile or a subset of tokens is computed exactly as within the whole.
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

ATTENTIONS = {"full": FullAttention, "axial": AxialAttention, "window": WindowAttention, "linear": LinearAttention}
"""Self-attention by its name in ModelConfig."""


def normalise(x: Tokens) -> Tokens:
    """Layer norm of each token alone, without parameters."""
    return F.layer_norm(x, x.shape[-1:])


class Neighbours(nn.Module):
    """A depthwise 3x3 convolution over the grid of tokens, which tells each token who its neighbours are.

    Chu et al. 2021, arXiv 2102.10882 (conditional positional encodings). Its weights start at zero.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, groups=width)
        for parameter in self.conv.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tokens) -> Tokens:
        """The convolved tokens."""
        return self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class FeedForward(nn.Module):
    """Two linear layers with SiLU between them, on each vector alone."""

    recompute = False
    """Compute the hidden layer a second time in the backward pass instead of keeping it in memory."""

    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        self.rise = nn.Linear(width, expansion * width)
        self.fall = nn.Linear(expansion * width, width)

    def forward(self, x: Float[Tensor, "*grid d"]) -> Float[Tensor, "*grid d"]:
        """The transformed vectors."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(self._layers, x, use_reentrant=False, preserve_rng_state=False)
        return self._layers(x)

    def _layers(self, x: Float[Tensor, "*grid d"]) -> Float[Tensor, "*grid d"]:
        # only the backward pass needs the input of silu; writing over it saves a third of the time
        return self.fall(F.silu(self.rise(x), inplace=not torch.is_grad_enabled()))


class Film(nn.Module):
    """Scale, shift and gate of every sub-layer from one vector; all start at zero.

    This is adaLN-Zero (Peebles and Xie 2022, arXiv 2212.09748, section 3.2).
    """

    def __init__(self, film_width: int, width: int, sublayers: int) -> None:
        super().__init__()
        self.sublayers = sublayers
        self.out = nn.Linear(film_width, 3 * sublayers * width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, vector: Float[Tensor, "b f"]) -> Float[Tensor, "sublayers 3 b 1 1 d"]:
        """One (scale, shift, gate) per sub-layer."""
        return rearrange(self.out(vector), "b (s three d) -> s three b 1 1 d", s=self.sublayers, three=3)


def modulate(x: Tokens, scale: Float[Tensor, "b 1 1 d"], shift: Float[Tensor, "b 1 1 d"]) -> Tokens:
    """The normalised tokens, times 1 + scale, plus shift."""
    return torch.addcmul(shift, normalise(x), 1 + scale)


class Block(nn.Module):
    """A residual block: convolution, self-attention, cross-attention (only if `cross`), feed-forward layers.

    Example:
        >>> block = Block(ModelConfig(width=8, heads=2, film_width=4), cross=False)
        >>> tokens = torch.randn(1, 3, 5, 8)
        >>> torch.equal(block(tokens, torch.randn(1, 4)), tokens)  # a fresh block is the identity
        True
    """

    recompute = False
    """Compute everything inside the block a second time in the backward pass instead of keeping it in memory."""

    def __init__(self, config: ModelConfig, cross: bool) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.neighbours = Neighbours(width)
        self.attention = ATTENTIONS[config.attention](width, heads)
        self.cross = CrossAttention(width, heads) if cross else None
        self.feed_forward = FeedForward(width, config.expansion)
        self.film = Film(config.film_width, width, 3 if cross else 2)

    def forward(
        self,
        x: Tokens,
        film: Float[Tensor, "b f"],
        condition: Float[Tensor, "b n d"] | None = None,
        known: Bool[Tensor, "b n"] | None = None,
    ) -> Tokens:
        """The transformed tokens.

        Args:
            x: Image tokens.
            film: Vector that scales, shifts and gates the sub-layers.
            condition: Tokens for cross-attention.
            known: Which of these tokens to attend to; `None` is all of them.
        """
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
        a, *c, f = self.film(film)
        x = x + self.neighbours(x)
        x = torch.addcmul(x, a[2], self.attention(modulate(x, a[0], a[1])))
        if self.cross is not None and condition is not None:
            x = torch.addcmul(x, c[0][2], self.cross(modulate(x, c[0][0], c[0][1]), condition, known))
        return torch.addcmul(x, f[2], self.feed_forward(modulate(x, f[0], f[1])))
