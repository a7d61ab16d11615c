"""Array types and the one broadcast helper.

Axes: `b` batch, `c` colour channels, `h w` pixels, `n` tokens, `d` feature channels, `q` queries.
"""

from jaxtyping import Float, Int, Shaped
from torch import Tensor

Images = Float[Tensor, "b c h w"]
"""Pictures in [-1, 1], or states of that shape."""

Scalars = Float[Tensor, " b"]
"""One value per image."""

Labels = Int[Tensor, " b"]
"""One class index per image; NULL means no condition."""

NULL = -1


def per_sample(values: Shaped[Tensor, " b"], like: Float[Tensor, "b ..."]) -> Shaped[Tensor, "b ..."]:
    """`values` with trailing axes of length one, to be combined with `like`."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))
