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


def test_seams_between_tokens_are_no_sharper_than_within_them():
    """Jumps of a random network's features across token borders, over those within tokens."""

    def jump(overlap: bool) -> float:
        made = network(4, 6, overlap)
        values = made.decode(made.encode(torch.randn(2, 3, 32, 32), CLEAN)).values
        step = (values[:, 1:] - values[:, :-1]).square().mean((0, 2, 3))
        border = torch.arange(1, 48) % 6 == 0
        return (step[border].mean() / step[~border].mean()).item()

    assert jump(True) < 1.1
