"""Attention over a grid of tokens: full, axial, in windows and linear; and cross-attention to a condition."""

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from s2id.linear import box_weights

Tokens = Float[Tensor, "b h w d"]

MANY_TOKENS = 512
"""Number of image tokens above which cross-attention to few condition tokens projects these instead of the image."""


def attend(
    q: Float[Tensor, "b m n d"],
    k: Float[Tensor, "b m k d"],
    v: Float[Tensor, "b m k d"],
    known: Bool[Tensor, "b k"] | None = None,
) -> Float[Tensor, "b m n d"]:
    """Softmax attention of n queries to k keys, in m heads.

    It calls the fused kernel, except in training on short sequences in bf16 on a CPU: there the kernel's backward pass
    takes five times as long as the two matrix products written out (benchmarks/attention.py).

    Args:
        q: Queries.
        k: Keys.
        v: Values.
        known: Which keys to attend to; `None` is all of them.

    Example:
        >>> q, k, v = torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 2, 2), torch.tensor([[[[1.0, 0.0], [3.0, 4.0]]]])
        >>> attend(q, k, v).tolist()  # equal logits: the mean of the values
        [[[[2.0, 2.0]]]]
    """
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.requires_grad and k.shape[2] <= 256:
        logits = q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)
        if known is not None:
            logits = logits.masked_fill(~known[:, None, None], -torch.inf)
        return logits.softmax(-1) @ v
    return F.scaled_dot_product_attention(q, k, v, None if known is None else known[:, None, None])


class FullAttention(nn.Module):
    """Self-attention of every token to every token."""

    def __init__(self, width: int, heads: int, bias: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)

    def forward(self, x: Tokens) -> Tokens:
        """The attended tokens."""
        h, w = x.shape[1:3]
        q, k, v = rearrange(self.qkv(x), "b h w (three m d) -> three b m (h w) d", three=3, m=self.heads)
        attended = attend(q, k, v)
        return self.out(rearrange(attended, "b m (h w) d -> b h w (m d)", h=h, w=w))


class AxialAttention(nn.Module):
    """The sum of self-attention along rows and self-attention along columns, each with its own weights."""

    def __init__(self, width: int, heads: int, bias: bool = False) -> None:
        super().__init__()
        self.row = FullAttention(width, heads, bias)
        self.column = FullAttention(width, heads, bias)

    def forward(self, x: Tokens) -> Tokens:
        """Attend."""
        h, w = x.shape[1:3]
        row = self.row(rearrange(x, "b h w d -> (b h) 1 w d"))
        # a strided view would be multiplied column by column, which takes ten times as long in bf16
        column = self.column(rearrange(x, "b h w d -> (b w) h 1 d").contiguous())
        return rearrange(row, "(b h) 1 w d -> b h w d", h=h) + rearrange(column, "(b w) h 1 d -> b h w d", w=w)


class WindowAttention(FullAttention):
    """Self-attention of every token to the tokens in and around its window, and to means over regions of the grid.

    All queries of a window share the same keys: the tokens up to `halo` beyond the window (Vaswani et al. 2021, arXiv
    2103.12731), moved inside at the grid's edges so that no key is padding (Hassani et al. 2022, arXiv 2204.07143).
    Distant tokens enter the same softmax as the means of `regions` x `regions` equal parts of the grid (Yang et al.
    2021, arXiv 2107.00641). On grids of at most `window + 2 * halo` tokens a side, this is full attention.
    """

    def __init__(self, width: int, heads: int, window: int = 8, halo: int = 3, regions: int = 6) -> None:
        super().__init__(width, heads)
        self.window, self.halo, self.regions = window, halo, regions

    def forward(self, x: Tokens) -> Tokens:
        """The attended tokens."""
        _, h, w, d = x.shape
        (height, rows), (width, columns) = self._windows(h), self._windows(w)
        n, o = len(rows), len(columns)
        if n * o == 1:
            return super().forward(x)
        q, kv = self.qkv(x).split((d, 2 * d), -1)
        # the last windows' queries may be padding; their results are cut off again
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
        """Size of each window along one axis, in tokens, and the indices of its keys."""
        if count <= self.window + 2 * self.halo:
            return count, torch.arange(count)[None]
        side = -(-count // -(-count // self.window))
        reach = side + 2 * self.halo
        first = (torch.arange(0, count, side) - self.halo).clamp(0, count - reach)
        return side, first[:, None] + torch.arange(reach)

    def _means(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b i j c"]:
        """Means over `regions` x `regions` equal parts of the grid."""
        rows, columns = (
            box_weights((torch.arange(n, dtype=torch.float64) + 0.5) * (count / n) - 0.5, count / n, count).to(x)
            for count, n in ((count, min(count, self.regions)) for count in x.shape[1:3])
        )
        return columns @ (rows @ x.flatten(2)).unflatten(2, x.shape[2:])


class LinearAttention(FullAttention):
    """Self-attention without softmax: the weight of a key is phi(q) . phi(k), with phi(x) = elu(x) + 1.

    The products of keys and values are summed first, so the cost is linear in the number of tokens (Katharopoulos et
    al. 2020, arXiv 2006.16236, equations 5 to 7). The sums are fp32 at any precision: bf16 counts only to 256.
    """

    def forward(self, x: Tokens) -> Tokens:
        """The attended tokens."""
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
        """The attended image tokens.

        Args:
            x: Image tokens.
            condition: Tokens of the condition.
            known: Which of these to attend to; `None` is all of them.
        """
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
        """Cross-attention with the image's projections multiplied into keys and values, of which there are few."""
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
