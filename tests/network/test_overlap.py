"""Tokens that overlap."""

import pytest
import torch

from s2id.network.network import FieldNetwork
from s2id.network.settings import ModelConfig

CLEAN = torch.full((2,), 14.0)  # logsnr of a state without noise


def network(patch: int, lattice: int, overlap: bool = True) -> FieldNetwork:
    small = {"channels": 3, "width": 16, "heads": 2, "head_width": 8, "film_width": 8}
    torch.manual_seed(0)
    return FieldNetwork(ModelConfig(**small, encoder_blocks=1, decoder_blocks=1, patch=patch, lattice=lattice,
                                    overlap=overlap))  # fmt: skip


@pytest.mark.parametrize(("patch", "lattice"), [(1, 1), (2, 2), (2, 3), (3, 3), (4, 4), (4, 8), (5, 4), (8, 8)])
def test_overlapping_tokens_give_the_same_lattice_as_others(patch, lattice):
    made = network(patch, lattice)
    features = made.decode(made.encode(torch.randn(2, 3, 4 * patch, 3 * patch), CLEAN))
    assert features.values.shape == (2, 4 * lattice, 3 * lattice, 8)


def test_a_token_sees_half_of_its_neighbours_and_no_more():
    made, state = network(4, 4), torch.zeros(1, 3, 12, 12)
    before = made.stem(state)
    state[..., 5, 5] = 1  # within the middle token, two samples from its upper left neighbours
    assert ((made.stem(state) - before).abs().sum(-1)[0] > 0).int().tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_a_feature_is_the_sum_of_what_the_tokens_around_it_predict():
    lattice = network(4, 6).lattice.requires_grad_(False)
    tokens = torch.randn(1, 3, 3, 16, generator=torch.Generator().manual_seed(0))
    alone = torch.eye(9).reshape(9, 3, 3, 1) * tokens
    each = lattice(alone) - lattice.bias
    assert torch.allclose(each.sum(0) + lattice.bias, lattice(tokens)[0], atol=1e-5)
    reached = torch.zeros(18, 18, dtype=torch.bool)
    reached[3:15, 3:15] = True  # the middle token's own six samples a side, and half of every neighbour's
    assert torch.equal((each[4].abs() > 0).any(-1), reached)
