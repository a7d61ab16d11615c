"""What commands say of the pictures that they are given."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from s2id.sampling.model import S2ID


def given(path: Path, model: "S2ID") -> "tuple[Tensor, int]":
    """The picture of a file in [-1, 1], and how many bits of each channel were read.

    The user is told what is lost: transparency where a model has no alpha, and all but an animation's first picture.
    """
    from s2id.media.alpha import has_alpha
    from s2id.media.raster import count_pages
    from s2id.media.sixteen_bits import read_exactly

    picture, depth = read_exactly(path)
    if (count := count_pages(path)) > 1:
        print(f"note: {path.name} is an animation of {count} pictures, of which the first is read.")
    if has_alpha(len(picture)) and not has_alpha(model.config.channels):
        print(f"note: {path.name} is laid over {model.card.alpha}, because this model draws no transparency.")
    return picture, depth


def agreement(rms: float) -> str:
    """A clause on how near pictures come to the given one, from the root mean square of their residual."""
    decibels = 20 * math.log10(2 / max(rms, 1e-9))
    return f"means over the given pixels differ from them by {127.5 * rms:.2f} grey levels rms ({decibels:.1f} dB)"
