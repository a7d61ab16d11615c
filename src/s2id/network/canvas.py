"""The picture that a condition alone lets expect, which the decoder's tokens see before a state says anything."""

from dataclasses import replace

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from s2id.condition import Condition
from s2id.network.blocks import FeedForward
from s2id.network.embeddings import ConditionTokens
from s2id.network.settings import BESIDE_CLASSES, ModelConfig
from s2id.settings import Size
from s2id.shapes import Images


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
        for block in self.blocks:
            code = code + block(F.layer_norm(code, code.shape[-1:]))
        # hidden channels are twice the code's: the pictures are mixtures of as many, and too few blur them
        hidden = F.silu(self.rise(F.layer_norm(code, code.shape[-1:])))
        return self.out(hidden).unflatten(1, (-1, self.side, self.side))


def stretched(canvas: Images, size: Size) -> Float[Tensor, "b c y x"]:
    """A canvas at the samples of a state, interpolated linearly; where these are farther apart, without aliasing."""
    if tuple(canvas.shape[2:]) == tuple(size):
        return canvas
    # in floats: a CPU has no such interpolation of bfloat16
    return F.interpolate(canvas.float(), size, mode="bilinear", align_corners=False, antialias=True)
