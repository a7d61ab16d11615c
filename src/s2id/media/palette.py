"""Palettes: the few colours that pixel art consists of, as texts such as "#ff8000" and as tensors."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from s2id.media.images import to_float

MOST = 256
"""Largest number of colours of a palette."""


def to_hex(colours: UInt8[Tensor, "n c"]) -> tuple[str, ...]:
    """Each colour as two hexadecimal digits per channel.

    >>> to_hex(torch.tensor([[255, 128, 0]], dtype=torch.uint8))
    ('#ff8000',)
    """
    return tuple("#" + bytes(colour).hex() for colour in colours.tolist())


def from_hex(texts: tuple[str, ...] | list[str]) -> Float[Tensor, "n c"]:
    """The colours that `to_hex` wrote, with values in [-1, 1].

    >>> from_hex(["#ff", "#00"])
    tensor([[ 1.],
            [-1.]])
    """
    return to_float(torch.tensor([list(bytes.fromhex(text.removeprefix("#"))) for text in texts], dtype=torch.uint8))


def snap(pixels: Float[Tensor, "b c h w"], palette: Float[Tensor, "n c"]) -> Float[Tensor, "b c h w"]:
    """The pixels, each with the colour of the palette that is nearest to its own.

    >>> snap(torch.tensor([[[[0.3, -0.1]]]]), torch.tensor([[1.0], [-1.0]]))
    tensor([[[[ 1., -1.]]]])
    """
    values = pixels.movedim(1, -1)
    nearest = torch.cdist(values.flatten(0, -2), palette.to(values)).argmin(dim=1)
    return palette.to(values)[nearest].reshape(values.shape).movedim(-1, 1)
