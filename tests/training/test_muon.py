"""Muon's steps are orthogonal, those of torch's own, and the same whatever stands beside a matrix."""

import pytest
import torch
from torch import nn

from s2id.training.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(24, 24), (16, 48), (48, 16)])
def test_singular_values_come_near_one_and_directions_stay(shape):
    generator = torch.Generator().manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(3, *shape, generator=generator), full_matrices=False)
    matrices = u @ torch.diag_embed(torch.rand(3, min(shape), generator=generator) + 0.1) @ v
    found = u.mT @ orthogonal(matrices) @ v.mT
    values = found.diagonal(dim1=1, dim2=2)
    assert values.min() > 0.5 and values.max() < 1.3  # the quintic's own scatter
    assert (found - torch.diag_embed(values)).abs().max() < 1e-3


def test_nothing_to_learn_moves_nothing():
    assert orthogonal(torch.zeros(2, 4, 6)).count_nonzero() == 0
    weight = nn.Parameter(torch.ones(3, 3))
    Muon([weight], lr=0.1).step()  # no gradient at all
    assert (weight == 1).all()


def walk(optimiser, weights, steps=4):
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=generator)
        optimiser.step()
    return [weight.detach().clone() for weight in weights]


def several():
    generator = torch.Generator().manual_seed(2)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in [(8, 8), (8, 24), (8, 8), (24, 8)]]


def test_a_walk_is_that_of_torch_to_bf16():
    ours, theirs, start = several(), several(), several()
    walk(Muon(ours, lr=0.02, weight_decay=0.1), ours)
    walk(torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"), theirs)
    for own, other, first in zip(ours, theirs, start, strict=True):
        assert (own - other).norm() < 0.05 * (own - first).norm()


def test_matrices_of_a_shape_do_not_know_each_other():
    together = several()
    walk(Muon(together, lr=0.02), together)
    apart = several()
    generator = torch.Generator().manual_seed(1)
    gradients = [[torch.randn(weight.shape, generator=generator) for weight in apart] for _ in range(4)]
    for i, weight in enumerate(apart):
        optimiser = Muon([weight], lr=0.02)
        for step in gradients:
            weight.grad = step[i]
            optimiser.step()
    for own, other in zip(together, apart, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5)


def test_a_convolution_moves_as_the_matrix_of_its_kernels():
    generator = torch.Generator().manual_seed(3)
    values, gradient = (torch.randn(6, 4, 3, 3, generator=generator) for _ in range(2))
    kernels, matrix = nn.Parameter(values.clone()), nn.Parameter(values.flatten(1).clone())
    kernels.grad, matrix.grad = gradient, gradient.flatten(1)
    Muon([kernels], lr=0.1).step()
    Muon([matrix], lr=0.1).step()
    assert torch.equal(kernels.flatten(1), matrix)
