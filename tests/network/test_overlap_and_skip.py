"""Tokens that overlap, and predictions that correct the state's own interpolation."""

from dataclasses import replace

import pytest
import torch

import s2id
from s2id.network.heads import FieldHead, controls, spline_weights
from s2id.network.network import FieldNetwork, skip_weight
from s2id.network.settings import ModelConfig
from s2id.sampling.denoisers import read_out
from s2id.sampling.field import Field
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Card

CLEAN = torch.full((2,), 14.0)  # logsnr of a state without noise


def config(**changes: int | bool) -> ModelConfig:
    small = ModelConfig(channels=3, width=16, heads=2, head_width=8, encoder_blocks=1, decoder_blocks=1, film_width=8)
    return replace(small, **{"patch": 4, "lattice": 4, "overlap": True, "skip": True, **changes})


def random_model(**changes: int | bool) -> S2ID:
    torch.manual_seed(0)
    model = S2ID(config(**changes), Card(density=16, size=(16, 16)))
    for parameter in model.network.parameters():
        parameter.data.normal_(0, 0.2)
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize(("patch", "lattice"), [(1, 1), (2, 2), (2, 3), (3, 3), (4, 4), (4, 8), (5, 4), (8, 8)])
def test_overlapping_tokens_give_the_same_lattice_as_others(patch, lattice):
    network = FieldNetwork(config(patch=patch, lattice=lattice))
    features = network.decode(network.encode(torch.randn(2, 3, 4 * patch, 3 * patch), CLEAN))
    assert features.values.shape == (2, 4 * lattice, 3 * lattice, 8 + 3)


@pytest.mark.parametrize("size", [(16, 16), (8, 20)])
def test_a_fresh_network_returns_a_state_without_noise(size):
    network = FieldNetwork(config())
    state = torch.rand(2, 3, *size) - 0.5
    found = network(state, CLEAN)
    assert isinstance(found, torch.Tensor)
    assert (found - state).square().mean().sqrt() < 0.02  # the head reads four values per sample


def test_the_interpolation_is_a_function_whose_means_are_the_state():
    state = torch.randn(1, 2, 7, 5)
    rows, columns = (spline_weights(torch.arange(n, dtype=torch.float64), 1.0, n).float() for n in (7, 5))
    again = rows @ controls(state, (7, 5)).movedim(-1, 1) @ columns.T
    assert torch.allclose(again, state, atol=1e-4)


def test_a_coarser_lattice_has_the_nearest_means_and_a_finer_one_the_same():
    ramp = torch.linspace(-1, 1, 12)[None, None, :, None]
    for count in (6, 24):
        width = count / 12
        weights = spline_weights((torch.arange(12, dtype=torch.float64) + 0.5) * width - 0.5, width, count).float()
        again = weights @ controls(ramp, (count, 1))[0, :, 0]
        assert (again - ramp[0, 0]).abs().max() < (1e-3 if count == 24 else 0.05)


def test_a_noisy_sample_counts_as_much_as_it_tells():
    """The weight is that of linear regression of x on x_t."""
    generator = torch.Generator().manual_seed(0)
    x, eps = 0.5 * torch.randn(10**6, generator=generator), torch.randn(10**6, generator=generator)
    for logsnr in (-3.0, 0.0, 3.0):
        alpha, sigma = torch.sigmoid(torch.tensor([logsnr, -logsnr])).sqrt()
        x_t = alpha * x + sigma * eps
        best = (x * x_t).mean() / x_t.square().mean()
        assert skip_weight(torch.tensor([logsnr])).item() == pytest.approx(best.item(), abs=0.01)


def test_the_weight_is_finite_at_every_noise():
    assert skip_weight(torch.tensor([-60.0, -20.0, 20.0, 60.0])).isfinite().all()


def test_a_field_with_an_interpolation_is_the_same_after_it_was_saved(tmp_path):
    field = read_out(random_model(), torch.rand(1, 3, 16, 16) - 0.5, s2id.ask(random_model()))
    field.save(tmp_path / "field.safetensors")
    assert torch.equal(Field.load(tmp_path / "field.safetensors").render((40, 40)), field.render((40, 40)))


def test_autoguidance_adds_the_interpolation_once():
    model = random_model()
    model.guide = FieldNetwork(config(encoder_blocks=1)).eval().requires_grad_(False)
    state = torch.rand(1, 3, 16, 16) - 0.5
    own = read_out(model, state, s2id.ask(model))
    both = read_out(model, state, s2id.ask(model), autoguidance=1 + 2e-6)
    assert torch.allclose(both.render((16, 16)), own.render((16, 16)), atol=1e-4)


def test_a_model_of_latents_has_no_interpolation():
    assert not FieldNetwork(config(latents=4)).skip


def test_seams_between_tokens_are_no_sharper_than_within_them():
    """Jumps of a random network's features across token borders, against those within tokens."""
    jumps = {}
    for overlap in (False, True):
        torch.manual_seed(0)
        network = FieldNetwork(config(overlap=overlap, skip=False, lattice=6))
        values = network.decode(network.encode(torch.randn(2, 3, 32, 32), CLEAN)).values
        step = (values[:, 1:] - values[:, :-1]).square().mean((0, 2, 3))
        border = torch.arange(1, 48) % 6 == 0
        jumps[overlap] = (step[border].mean() / step[~border].mean()).item()
    assert jumps[True] < 1.1  # without overlap, features across a border have nothing in common
    assert FieldHead(8, 3, skip=True).out.weight.abs().max() == 0
