"""The matrix-free solver, against maps whose solution is known."""

import pytest
import torch

from s2id.linear import conjugate_gradients


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_conjugate_gradients_solve_each_of_a_batch_and_stop_where_the_map_is_not_positive():
    root = normal(2, 5, 5)
    matrix = root @ root.mT + torch.eye(5, dtype=torch.float64)
    target = normal(2, 5, 1, seed=1)
    solution = conjugate_gradients(lambda y: matrix @ y, target, 20, 1e-12)
    assert torch.allclose(matrix @ solution, target, atol=1e-8)
    matrix[1] = -torch.eye(5, dtype=torch.float64)
    again = conjugate_gradients(lambda y: matrix @ y, target, 20, 1e-12)
    assert torch.allclose(again[0], solution[0]) and not again[1].any()


@pytest.mark.parametrize("started", [False, True])
def test_conjugate_gradients_solve_pictures_from_anywhere_in_as_many_steps_as_values_differ(started):
    scale = torch.arange(1.0, 13).reshape(1, 1, 3, 4)
    b = normal(2, 1, 3, 4).float()
    start = normal(2, 1, 3, 4, seed=1).float() if started else None
    assert torch.allclose(conjugate_gradients(lambda x: scale * x, b, 12, 1e-4, start), b / scale, atol=1e-4)


def test_a_start_that_is_the_solution_is_kept():
    b = normal(2, 3, 4)
    assert torch.equal(conjugate_gradients(lambda x: 2 * x, b, 5, start=b / 2), b / 2)
