"""Array types with their axes, and the one helper that broadcasts a value per picture over its pixels.

Axes: `b` batch, `c` colour channels, `h w` pixels, `n` tokens, `d` feature channels, `q` queries.
"""

from jaxtyping import Float, Int, Shaped
from torch import Tensor

Images = Float[Tensor, "b c h w"]
"""Pictures with values in [-1, 1], or diffusion states of the same shape."""

Scalars = Float[Tensor, " b"]
"""One value per picture of a batch."""

Labels = Int[Tensor, " b"]
"""One class index per picture of a batch; NULL (-1) means that no class is given."""

NULL = -1


def per_sample(values: Shaped[Tensor, " b"], like: Float[Tensor, "b ..."]) -> Shaped[Tensor, "b ..."]:
    """`values` with axes of length 1 appended until it has as many axes as `like`, so that the two broadcast.

    >>> import torch
    >>> per_sample(torch.ones(2), like=torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 1, 1, 1])
    """
    return values.reshape(-1, *(1,) * (like.ndim - 1))
