"""Composed states without small differences of colour.

What a network gets wrong in the last steps shows as blotches in flat colours, and a network that enlarges draws them
with care. They are fainter than borders, so a filter that keeps borders takes them away.
"""

from itertools import product

import torch
from torch.nn import functional as F

from s2id.shapes import Images

_SPREAD = 3.0
"""Standard deviation of the weights by distance, in samples."""

_AROUND = 5
"""Samples on each side of a sample that its mean is taken over."""

_HUE = 1.5
"""Difference that is smoothed away in what channels differ in, over that in their mean: faint lines within an object
are darker or lighter than it, and seldom of another hue, while blotches are of any."""

_TIMES = 2
"""How often the filter is applied: the second time finds flat colours flatter, so that their edges are smoothed too."""


def smoothed(states: Images, difference: float) -> Images:
    """States whose samples are means of those around, weighted by how near and how alike in colour they are.

    The bilateral filter (Tomasi and Manduchi, Bilateral filtering for gray and color images, ICCV 1998, equation 5 with
    Gaussian weights), twice. The mean over the channels is filtered with weights that tell colours apart more sharply
    than those that filter what the channels differ in.

    Args:
        states: Pictures in [-1, 1], on the composition grid.
        difference: Standard deviation of the weights by colour: differences below are smoothed away, and borders of
            several times as much stay. 0 changes nothing.

    Example:
        >>> line = torch.tensor([[[[0.0, 0.1, 0.0, 1.0, 0.9, 1.0]]]])
        >>> [round(value, 2) for value in smoothed(line, 0.15).flatten().tolist()]
        [0.02, 0.02, 0.02, 0.98, 0.98, 0.98]
    """
    least, most = states.amin((1, 2, 3), keepdim=True), states.amax((1, 2, 3), keepdim=True)
    for _ in range(_TIMES if difference else 0):
        mean, other = _filtered(states, (difference, _HUE * difference))
        states = (other + (mean - other).mean(1, keepdim=True)).clamp(least, most)
    return states


def _filtered(states: Images, differences: tuple[float, ...]) -> list[Images]:
    """The states filtered with weights of each of some standard deviations by colour."""
    height, width = states.shape[2:]
    padded, side = F.pad(states, (_AROUND,) * 4, mode="replicate"), range(2 * _AROUND + 1)
    totals, weights = ([torch.zeros_like(x) for _ in differences] for x in (states, states[:, :1]))
    for down, across in product(side, side):
        near = padded[:, :, down : down + height, across : across + width]
        apart = ((down - _AROUND) ** 2 + (across - _AROUND) ** 2) / _SPREAD**2
        unlike = (near - states).square().sum(1, keepdim=True)
        for i, difference in enumerate(differences):
            weight = torch.exp(-(apart + unlike / difference**2) / 2)
            totals[i] += weight * near
            weights[i] += weight
    return [total / weight for total, weight in zip(totals, weights, strict=True)]
