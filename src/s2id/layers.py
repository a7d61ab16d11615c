"""Parts of a network: Fourier features, attention, modulation, reading of samples. Knows no diffusion.

Tokens are kept as a grid `b h w d`, so that all kinds of self-attention share one signature. Our norm acts per token:
crops, tiles and token subsets stay exact. Parts of the published network stand behind the signatures of ours.
"""

import math

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from s2id.config import ModelConfig

Tokens = Float[Tensor, "b h w d"]

MANY_TOKENS = 512
"""Image tokens from which cross-attention to few tokens multiplies its projections into these first."""


def fourier_features(
    coords: Float[Tensor, "*shape"], cell: float, frequencies: Float[Tensor, " k"]
) -> Float[Tensor, "*shape 2*k"]:
    """Means of sin and cos over a cell around each coordinate: what a pixel of that width can know of them.

    The mean of sin(w x) over a cell of width c is sin(w x) sinc(w c / 2): frequencies that the cell cannot resolve
    fade out (integrated positional encoding; Barron et al. 2021, arXiv 2103.13415, section 3.1, with a box for
    the Gaussian).

    Args:
        coords: Coordinates along one axis.
        cell: Width averaged over; 0 is the plain feature.
        frequencies: Angular frequencies w.
    """
    angle = coords[..., None] * frequencies
    fade = torch.sinc(frequencies * (cell / (2 * math.pi)))
    return torch.cat([angle.sin() * fade, angle.cos() * fade], dim=-1)


def _quartic(u: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Integral from -inf to u of the cubic B-spline."""
    knots = (u[..., None] - torch.arange(-2, 3, dtype=u.dtype, device=u.device)).clamp(min=0)
    binomial = torch.tensor([1, -4, 6, -4, 1], dtype=u.dtype, device=u.device) / 24
    return (knots.square().square() * binomial).sum(-1).where(u < 2, torch.ones_like(u))


def _cubic(u: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The cubic B-spline."""
    a = u.abs()
    return torch.where(a < 1, 2 / 3 - a**2 + a**3 / 2, (2 - a).clamp(min=0) ** 3 / 6)


def spline_weights(position: Float[Tensor, " q"], width: float, count: int) -> Float[Tensor, "q count"]:
    """Row q reads, from `count` samples at 0, 1, 2, ..., the mean of their cubic B-spline over a cell.

    Rows sum to 1 and have no negative entry; beyond the ends the outermost samples go on for ever.

    Args:
        position: Middle of each cell, in samples, in float64.
        width: Width of the cells, in samples.
        count: Number of samples.
    """
    # beyond -1 and `count` the spline is constant: cells are cut a sample further out, to bound the nodes
    start, stop = -2.0, count + 1.0
    nodes = torch.arange(-4, count + 4, dtype=position.dtype, device=position.device)
    low, high = position - width / 2, position + width / 2
    if width > 1e-3:
        inner = [edge.clamp(start, stop)[:, None] - nodes for edge in (low, high)]
        weights = (_quartic(inner[1]) - _quartic(inner[0])) / width
        weights[:, 0] += ((start - low) / width).clamp(0, 1)
        weights[:, -1] += ((high - stop) / width).clamp(0, 1)
    else:  # the difference above would cancel; the mean over so thin a cell is its middle, to 1e-7
        weights = _cubic(position.clamp(start, stop)[:, None] - nodes)
    ends = nodes.long().clamp(0, count - 1).expand(len(position), -1)
    return torch.zeros(len(position), count, dtype=position.dtype, device=position.device).scatter_add(1, ends, weights)


def box_weights(position: Float[Tensor, " q"], width: float, count: int) -> Float[Tensor, "q count"]:
    """Row q reads, from `count` samples that are each constant over their cell, the mean over a cell.

    Arguments and the ends as for `spline_weights`; a width of 0 reads one sample.
    """
    half = max(width, 1e-6) / 2
    middle = position[:, None]
    nodes = torch.arange(count, dtype=position.dtype, device=position.device)
    edges = torch.stack([nodes - 0.5, nodes + 0.5])
    edges[0, 0], edges[1, -1] = -torch.inf, torch.inf
    overlap = torch.minimum(middle + half, edges[1]) - torch.maximum(middle - half, edges[0])
    return overlap.clamp(min=0) / (2 * half)


def normalise(x: Tokens) -> Tokens:
    """Layer norm of each token by itself, without parameters."""
    return F.layer_norm(x, x.shape[-1:])


def attend(
    q: Float[Tensor, "b m n d"],
    k: Float[Tensor, "b m k d"],
    v: Float[Tensor, "b m k d"],
    known: Bool[Tensor, "b k"] | None = None,
) -> Float[Tensor, "b m n d"]:
    """Softmax attention of n queries to k keys, in m heads; to those `known`, where this is given.

    The fused kernel, but for training on short sequences in bf16 on a CPU: there its backward pass is five times
    slower than the products written out (benchmarks/attention.py).
    """
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.requires_grad and k.shape[2] <= 256:
        logits = q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)
        if known is not None:
            logits = logits.masked_fill(~known[:, None, None], -torch.inf)
        return logits.softmax(-1) @ v
    return F.scaled_dot_product_attention(q, k, v, None if known is None else known[:, None, None])


class FullAttention(nn.Module):
    """Self-attention of every token with every token."""

    def __init__(self, width: int, heads: int, bias: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)

    def forward(self, x: Tokens) -> Tokens:
        """Attend."""
        h, w = x.shape[1:3]
        q, k, v = rearrange(self.qkv(x), "b h w (three m d) -> three b m (h w) d", three=3, m=self.heads)
        attended = attend(q, k, v)
        return self.out(rearrange(attended, "b m (h w) d -> b h w (m d)", h=h, w=w))


class AxialAttention(nn.Module):
    """Self-attention along rows plus self-attention along columns, with weights of their own."""

    def __init__(self, width: int, heads: int, bias: bool = False) -> None:
        super().__init__()
        self.row = FullAttention(width, heads, bias)
        self.column = FullAttention(width, heads, bias)

    def forward(self, x: Tokens) -> Tokens:
        """Attend."""
        h, w = x.shape[1:3]
        row = self.row(rearrange(x, "b h w d -> (b h) 1 w d"))
        # a strided view would be multiplied column by column, a tenth as fast in bf16
        column = self.column(rearrange(x, "b h w d -> (b w) h 1 d").contiguous())
        return rearrange(row, "(b h) 1 w d -> b h w d", h=h) + rearrange(column, "(b w) h 1 d -> b h w d", w=w)


class WindowAttention(FullAttention):
    """Self-attention of every token with the tokens around its window and with means over the whole grid.

    A window's queries share the keys up to `halo` tokens beyond it (Vaswani et al. 2021, arXiv 2103.12731),
    pushed inside at the grid's edges so that none is padding (Hassani et al. 2022, arXiv 2204.07143). What is far is
    heard as the means of `regions` x `regions` equal parts of the grid, beside the near keys in one softmax (Yang et
    al. 2021, arXiv 2107.00641). Where one window's keys are the whole grid, up to `window + 2 * halo` tokens a side,
    this is full attention.
    """

    def __init__(
        self, width: int, heads: int, bias: bool = False, window: int = 8, halo: int = 3, regions: int = 6
    ) -> None:
        super().__init__(width, heads, bias)
        self.window, self.halo, self.regions = window, halo, regions

    def forward(self, x: Tokens) -> Tokens:
        """Attend."""
        _, h, w, d = x.shape
        (height, rows), (width, columns) = self._windows(h), self._windows(w)
        n, o = len(rows), len(columns)
        if n * o == 1:
            return super().forward(x)
        q, kv = self.qkv(x).split((d, 2 * d), -1)
        # the last windows' queries may be padding: what they hear is cut off again
        q = F.pad(q, (0, 0, 0, o * width - w, 0, n * height - h))
        q = rearrange(q, "b (n i) (o j) (m d) -> (b n o) m (i j) d", n=n, o=o, m=self.heads)
        near = kv.index_select(1, rows.flatten().to(kv.device)).index_select(2, columns.flatten().to(kv.device))
        pattern = "b (n i) (o j) (two m d) -> two (b n o) m (i j) d"
        k, v = rearrange(near, pattern, n=n, o=o, two=2, m=self.heads)
        far = rearrange(self._means(kv), "b i j (two m d) -> two b 1 m (i j) d", two=2, m=self.heads)
        far_k, far_v = far.expand(-1, -1, n * o, -1, -1, -1).flatten(1, 2)
        k, v = torch.cat([k, far_k], 2), torch.cat([v, far_v], 2)
        pattern = "(b n o) m (i j) d -> b (n i) (o j) (m d)"
        return self.out(rearrange(attend(q, k, v), pattern, n=n, o=o, i=height)[:, :h, :w])

    def _windows(self, count: int) -> tuple[int, Int[Tensor, "n k"]]:
        """Tokens along one axis of each window, alike within one token, and the indices of each one's keys."""
        if count <= self.window + 2 * self.halo:
            return count, torch.arange(count)[None]
        side = -(-count // -(-count // self.window))
        reach = side + 2 * self.halo
        first = (torch.arange(0, count, side) - self.halo).clamp(0, count - reach)
        return side, first[:, None] + torch.arange(reach)

    def _means(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b i j c"]:
        """Means over equal parts of the grid."""
        rows, columns = (
            box_weights((torch.arange(n, dtype=torch.float64) + 0.5) * (count / n) - 0.5, count / n, count).to(x)
            for count, n in ((count, min(count, self.regions)) for count in x.shape[1:3])
        )
        return columns @ (rows @ x.flatten(2)).unflatten(2, x.shape[2:])


class LinearAttention(nn.Module):
    """Self-attention without softmax: the weight of a key is phi(q) . phi(k), with phi(x) = elu(x) + 1.

    Keys and values are summed first, so the cost is linear in the tokens (Katharopoulos et al. 2020, arXiv 2006.16236,
    equations 5 to 7). The sums are fp32 whatever the precision: bf16 would stop counting at 256.
    """

    def __init__(self, width: int, heads: int, bias: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)

    def forward(self, x: Tokens) -> Tokens:
        """Attend."""
        h, w = x.shape[1:3]
        q, k, v = rearrange(self.qkv(x), "b h w (three m d) -> three b m (h w) d", three=3, m=self.heads)
        with torch.autocast(x.device.type, enabled=False):
            phi_q, phi_k = F.elu(q.float()) + 1, F.elu(k.float()) + 1
            attended = phi_q @ (phi_k.mT @ v.float()) / (phi_q @ phi_k.sum(2)[..., None])
        return self.out(rearrange(attended.to(v.dtype), "b m (h w) d -> b h w (m d)", h=h, w=w))


class CrossAttention(nn.Module):
    """Attention of image tokens to condition tokens."""

    def __init__(self, width: int, heads: int, bias: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width, bias=bias)
        self.kv = nn.Linear(width, 2 * width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)

    def forward(self, x: Tokens, condition: Float[Tensor, "b n d"], known: Bool[Tensor, "b n"] | None = None) -> Tokens:
        """Attend; to the tokens `known`, where this is given."""
        h, w = x.shape[1:3]
        k, v = rearrange(self.kv(condition), "b n (two m d) -> two b m n d", two=2, m=self.heads)
        if h * w > MANY_TOKENS and 2 * self.heads * condition.shape[1] < x.shape[3]:
            return self._few_keys(x, k, v, known)
        q = rearrange(self.q(x), "b h w (m d) -> b m (h w) d", m=self.heads)
        attended = attend(q, k, v, known)
        return self.out(rearrange(attended, "b m (h w) d -> b h w (m d)", h=h, w=w))

    def _few_keys(
        self,
        x: Tokens,
        k: Float[Tensor, "b m n e"],
        v: Float[Tensor, "b m n e"],
        known: Bool[Tensor, "b n"] | None,
    ) -> Tokens:
        """The same, with the projections multiplied into the keys and values: these are fewer than channels."""
        m, scale = self.heads, k.shape[-1] ** -0.5
        keys = torch.einsum("bmne,med->bmnd", k * scale, rearrange(self.q.weight, "(m e) d -> m e d", m=m))
        values = torch.einsum("bmne,dme->bmnd", v, rearrange(self.out.weight, "d (m e) -> d m e", m=m))
        logits = x.flatten(1, 2) @ keys.flatten(1, 2).mT
        if self.q.bias is not None:
            logits = logits + (k * scale * rearrange(self.q.bias, "(m e) -> m 1 e", m=m)).sum(-1).flatten(1)[:, None]
        logits = logits.unflatten(-1, (m, -1))
        if known is not None:
            logits = logits.masked_fill(~known[:, None, None], -torch.inf)
        share = logits.softmax(-1).flatten(2)
        attended = share @ values.flatten(1, 2)
        return (attended if self.out.bias is None else attended + self.out.bias).view(x.shape)


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
