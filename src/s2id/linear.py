"""Linear maps: solving them without writing down a matrix, and matrices of means over cells."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from s2id.errors import InputError

_LARGEST = 2**27
"""Most entries of a matrix of means; one of doubles is 1 GB then."""


def conjugate_gradients(
    apply: Callable[[Float[Tensor, "b ..."]], Float[Tensor, "b ..."]],
    target: Float[Tensor, "b ..."],
    iterations: int,
    tolerance: float = 1e-5,
    start: Float[Tensor, "b ..."] | None = None,
) -> Float[Tensor, "b ..."]:
    """Solution of `apply(solution) = target`, found separately for each member of the batch.

    The method is conjugate gradients (Hestenes and Stiefel 1952).

    Args:
        apply: Linear map, symmetric and positive, that acts on each member of the batch.
        target: Right-hand side of the equation.
        iterations: Largest number of calls of `apply`.
        tolerance: A member is finished when the norm of its residual is at most this fraction of its target's norm. It
            also ends where the map turns out not to be positive.
        start: First guess of the solution, which costs one more call of `apply`. `None` starts from 0.

    >>> scale = torch.tensor([[1.0, 2.0, 4.0]])
    >>> conjugate_gradients(lambda y: scale * y, torch.ones(1, 3), iterations=3).round(decimals=3)
    tensor([[1.0000, 0.5000, 0.2500]])
    """
    residual = target if start is None else target - apply(start)
    enough = tolerance**2 * _dot(target, target)
    solution = torch.zeros_like(target) if start is None else start
    for step, direction in conjugate_steps(apply, residual, iterations, enough):
        solution = solution + step * direction
    return solution


def conjugate_steps(
    apply: Callable[[Float[Tensor, "b ..."]], Float[Tensor, "b ..."]],
    residual: Float[Tensor, "b ..."],
    iterations: int,
    enough: Float[Tensor, "b ..."],
) -> Iterator[tuple[Float[Tensor, "b ..."], Float[Tensor, "b ..."]]]:
    """Step length and direction of each conjugate gradient step, right after its call of `apply`.

    The solution is the sum of length times direction. A caller that also needs another linear map of the solution can
    collect it inside `apply` and add it up with the same lengths.

    Args:
        apply: Linear map, symmetric and positive, that acts on each member of the batch.
        residual: Right-hand side minus the map of the first guess.
        iterations: Largest number of steps.
        enough: Squared norm of the residual at which a member is finished.
    """
    direction, energy = residual, _dot(residual, residual)
    for _ in range(iterations):
        if not (energy > enough).any():
            break
        mapped = apply(direction)
        curvature = _dot(direction, mapped)
        going = (curvature > 0) & (energy > enough)
        if not going.any():
            break
        step = torch.where(going, energy / torch.where(going, curvature, 1), 0)
        yield step, direction
        residual = residual - step * mapped
        before, energy = energy, torch.where(going, _dot(residual, residual), 0)
        direction = residual + energy / before.clamp(min=torch.finfo(before.dtype).tiny) * direction


def _dot(a: Float[Tensor, "b ..."], b: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
    return (a * b).sum(tuple(range(1, a.ndim)), keepdim=True)


def area_weights(source: int, target: int) -> Float[Tensor, "target source"]:
    """Matrix that resamples one axis from `source` pixels to `target` pixels by area means; every row sums to 1.

    Entry (i, j) is the share of target cell i that source pixel j covers.

    >>> area_weights(3, 2)
    tensor([[0.6667, 0.3333, 0.0000],
            [0.0000, 0.3333, 0.6667]])
    """
    edges = torch.arange(target + 1, dtype=torch.float64) * (source / target)
    samples = torch.arange(source, dtype=torch.float64)
    return (_overlaps(edges[:-1], edges[1:], samples, samples + 1) * (target / source)).float()


def box_weights(position: Float[Tensor, " q"], width: float, count: int) -> Float[Tensor, "q count"]:
    """Matrix of means over cells anywhere on an axis of `count` samples; every row sums to 1.

    Each sample is a constant over its own cell, and the two outermost samples continue to infinity. `area_weights` is
    the case of cells that divide the axis; its own edges come from one product, so the two differ in the last bits.

    Args:
        position: Middle of each cell, in samples: sample 0 lies at 0, the last sample at `count - 1`.
        width: Width of the cells, in samples. A width of 0 picks the sample at the position.
        count: Number of samples.

    >>> box_weights(torch.tensor([0.5, 9.0]), 1.0, 3)
    tensor([[0.5000, 0.5000, 0.0000],
            [0.0000, 0.0000, 1.0000]])
    """
    half = max(width, 1e-6) / 2
    nodes = torch.arange(count, dtype=position.dtype, device=position.device)
    left, right = nodes - 0.5, nodes + 0.5
    left[0], right[-1] = -torch.inf, torch.inf
    return _overlaps(position - half, position + half, left, right) / (2 * half)


def _overlaps(
    low: Float[Tensor, " q"], high: Float[Tensor, " q"], left: Float[Tensor, " n"], right: Float[Tensor, " n"]
) -> Float[Tensor, "q n"]:
    """Length that interval q, from `low` to `high`, shares with interval n, from `left` to `right`.

    Raises:
        InputError: The matrix would fill the memory.
    """
    if len(low) * len(left) > _LARGEST:
        raise InputError(
            f"an axis of {len(left)} pixels is not resampled to {len(low)}, which needs a matrix of more than "
            f"{_LARGEST} entries; give a smaller picture or size."
        )
    return (torch.minimum(high[:, None], right) - torch.maximum(low[:, None], left)).clamp(min=0)
