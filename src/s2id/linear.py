"""Linear maps that are never written down as a matrix: their solution."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor


def conjugate_gradients(
    apply: Callable[[Float[Tensor, "b ..."]], Float[Tensor, "b ..."]],
    target: Float[Tensor, "b ..."],
    iterations: int,
    tolerance: float = 1e-5,
    start: Float[Tensor, "b ..."] | None = None,
) -> Float[Tensor, "b ..."]:
    """The solution of `apply(solution) = target`, each of the batch by itself (Hestenes and Stiefel 1952).

    Args:
        apply: A symmetric positive map of each.
        target: What it should give.
        iterations: At most so many calls.
        tolerance: Stop one whose residual is this small, relative to its target. One also stops where the map turns out
            not to be positive.
        start: Where to begin, at the price of one more call; `None` is 0.
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
    """The steps of conjugate gradients, each after its call of `apply`: how far, and in which direction.

    For callers that want another linear map of the solution too, which `apply` computes on the way.

    Args:
        apply: A symmetric positive map of each.
        residual: What is still missing where the solution begins.
        iterations: At most so many steps.
        enough: Squared norm of a residual at which one stops.
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


def box_weights(position: Float[Tensor, " q"], width: float, count: int) -> Float[Tensor, "q count"]:
    """Row q reads, from `count` samples that are each constant over their cell, the mean over a cell.

    Arguments and the ends as for `spline_weights`; a width of 0 reads one sample.
    """
    half = max(width, 1e-6) / 2
    middle = position[:, None]
    nodes = torch.arange(count, dtype=position.dtype, device=position.device)
    edges = torch.stack([nodes - 0.5, nodes + 0.5])
    edges[0, 0], edges[1, -1] = -torch.inf, torch.inf
    overlap = torch.minimum(middle + half, edges[1]) - torch.maximum(middle - half, edges[0])
    return overlap.clamp(min=0) / (2 * half)
