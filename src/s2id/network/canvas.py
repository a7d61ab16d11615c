"""The picture that a condition alone lets expect, which the decoder's tokens see before a state says anything."""

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from s2id.condition import Condition
from s2id.network.blocks import FeedForward
from s2id.network.embeddings import ConditionTokens
from s2id.network.settings import BESIDE_CLASSES, CANVAS_PATCH, ModelConfig
from s2id.settings import Size
from s2id.shapes import Images

_WIDTH = 64  # channels of a square that a canvas is corrected by


class Canvas(nn.Module):
    """The mean of the pictures that fit a condition, as a small picture that is stretched over the frame.

    At t = 1 a state says nothing, and the best denoiser is this mean. It is a regression from labels. A network that
    sees no state learns it in a fraction of the steps and of the time per step, so `training.canvas` teaches it first
    and by itself. After that its weights stay as they are, and the denoiser learns what the mean lacks.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, self.side = config.canvas_width, config.canvas
        self.classes = nn.Embedding(config.classes + 1, width)
        self.asked: ConditionTokens | None = None
        if any(getattr(config, name) for name in BESIDE_CLASSES):
            self.asked = ConditionTokens(replace(config, width=width, heads=1))
        self.blocks = nn.ModuleList(FeedForward(width, 2) for _ in range(2))
        self.rise = nn.Linear(width, 2 * width)
        self.out = nn.Linear(2 * width, config.state_channels * self.side**2)
        for embedding in self.modules():
            if isinstance(embedding, nn.Embedding):
                nn.init.normal_(embedding.weight, std=0.5)
        nn.init.zeros_(self.out.weight)
        # the errors of a mixture are mixtures too, which look like noise; knowing what pictures look like removes most
        blocks = config.canvas_blocks
        self.correction = Correction(config.state_channels, self.side, blocks) if blocks else None
        self.requires_grad_(False)

    def code(self, index: Int[Tensor, " b"], asked: Condition) -> Float[Tensor, "b d"]:
        """The sum of all embedded labels; of labels of one kind, their sum over the root of their number.

        Args:
            index: Class of each picture, from 0; the number of classes where it is unknown.
            asked: All other labels.
        """
        code = self.classes(index)
        if self.asked is not None:
            for tokens, known in zip(*self.asked(asked), strict=True):
                few = known.sum(1, keepdim=True).clamp(min=1)
                code = code + (tokens * known[..., None]).sum(1) / few.sqrt()
        return code

    def forward(self, code: Float[Tensor, "b d"]) -> Images:
        """The small pictures, (b, c, side, side)."""
        drawn = self.mixture(code)
        return drawn if self.correction is None else drawn + self.correction(drawn)

    def mixture(self, code: Float[Tensor, "b d"]) -> Images:
        """The small pictures before they are corrected: sums of pictures that the last layer has learned."""
        for block in self.blocks:
            code = code + block(F.layer_norm(code, code.shape[-1:]))
        # hidden channels are twice the code's: the pictures are mixtures of as many, and too few blur them
        hidden = F.silu(self.rise(F.layer_norm(code, code.shape[-1:])))
        return self.out(hidden).unflatten(1, (-1, self.side, self.side))


class Correction(nn.Module):
    """What a canvas lacks, from the canvas itself: zero at first.

    Squares of `CANVAS_PATCH` x `CANVAS_PATCH` samples become tokens, which mix over the grid and over channels in turns
    (MLP-Mixer: Tolstikhin et al. 2021, arXiv 2105.01601, section 2).
    """

    def __init__(self, channels: int, side: int, blocks: int) -> None:
        super().__init__()
        tokens, values = (side // CANVAS_PATCH) ** 2, channels * CANVAS_PATCH**2
        self.rise = nn.Linear(values, _WIDTH)
        self.place = nn.Parameter(0.3 * torch.randn(tokens, _WIDTH))
        self.blocks = nn.ModuleList(Mixing(tokens, _WIDTH) for _ in range(blocks))
        self.fall = nn.Linear(_WIDTH, values)
        nn.init.zeros_(self.fall.weight)
        nn.init.zeros_(self.fall.bias)

    def forward(self, drawn: Images) -> Images:
        """What to add to canvases."""
        x = self.rise(F.pixel_unshuffle(drawn, CANVAS_PATCH).flatten(2).mT) + self.place
        for block in self.blocks:
            x = block(x)
        squares = self.fall(F.layer_norm(x, x.shape[-1:])).mT
        return F.pixel_shuffle(squares.unflatten(2, [drawn.shape[2] // CANVAS_PATCH] * 2), CANVAS_PATCH)


class Mixing(nn.Module):
    """A feed-forward layer over a grid of tokens, the same for each channel, and one over the channels of each."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.over_grid = FeedForward(tokens, 1)
        self.over_channels = FeedForward(width, 2)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """The mixed tokens."""
        x = x + self.over_grid(F.layer_norm(x, x.shape[-1:]).mT).mT
        return x + self.over_channels(F.layer_norm(x, x.shape[-1:]))


def stretched(canvas: Images, size: Size) -> Float[Tensor, "b c y x"]:
    """A canvas at the samples of a state, interpolated linearly; where these are farther apart, without aliasing."""
    if tuple(canvas.shape[2:]) == tuple(size):
        return canvas
    # in floats: a CPU has no such interpolation of bfloat16
    return F.interpolate(canvas.float(), size, mode="bilinear", align_corners=False, antialias=True)
