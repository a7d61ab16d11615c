"""Composed states without small differences of colour.

What a network gets wrong in the last steps shows as blotches in flat colours, and a network that enlarges draws them
with care. They are fainter than borders, so a filter that keeps borders takes them away.
"""

from itertools import product

import torch
from torch.nn import functional as F

from s2id.shapes import Images

_SPREAD = 2.0
"""Standard deviation of the weights by distance, in samples."""

_AROUND = 3
"""Samples on each side of a sample that its mean is taken over."""

_TIMES = 2
"""How often the filter is applied: the second time finds flat colours flatter, so that their edges are smoothed too."""


def smoothed(states: Images, difference: float) -> Images:
    """States whose samples are means of those around, weighted by how near and how alike in colour they are.

    The bilateral filter (Tomasi and Manduchi, Bilateral filtering for gray and color images, ICCV 1998, equation 5 with
    Gaussian weights), twice.

    Args:
        states: Pictures in [-1, 1], on the composition grid.
        difference: Standard deviation of the weights by colour: differences below are smoothed away, and borders of
            several times as much stay. 0 changes nothing.

    Example:
        >>> line = torch.tensor([[[[0.0, 0.1, 0.0, 1.0, 0.9, 1.0]]]])
        >>> [round(value, 2) for value in smoothed(line, 0.15).flatten().tolist()]
        [0.02, 0.02, 0.03, 0.97, 0.98, 0.98]
    """
    for _ in range(_TIMES if difference else 0):
        states = _filtered(states, difference)
    return states


def _filtered(states: Images, difference: float) -> Images:
    height, width = states.shape[2:]
    padded, side = F.pad(states, (_AROUND,) * 4, mode="replicate"), range(2 * _AROUND + 1)
    total, weights = torch.zeros_like(states), torch.zeros_like(states[:, :1])
    for down, across in product(side, side):
        near = padded[:, :, down : down + height, across : across + width]
        apart = ((down - _AROUND) ** 2 + (across - _AROUND) ** 2) / _SPREAD**2
        unlike = (near - states).square().sum(1, keepdim=True) / difference**2
        weight = torch.exp(-(apart + unlike) / 2)
        total, weights = total + weight * near, weights + weight
    return total / weights
