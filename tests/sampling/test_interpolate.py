"""Pixels between exact values of the function: as exact as bytes are, and the same however they are asked for."""

import pytest
import torch

import s2id
from s2id.coords import view
from s2id.network.heads import Features, FieldHead
from s2id.sampling import field as module
from s2id.sampling import interpolate
from s2id.sampling.field import Field
from s2id.sampling.interpolate import draw

HALF_A_LEVEL = 1 / 255


def rough(sharpness, channels=3, lattice=(6, 6), seed=0):
    """Two functions with random weights, whose hidden layer is as many times steeper than one that is trained."""
    generator = torch.Generator().manual_seed(seed)
    head = FieldHead(8, channels).requires_grad_(False)
    for parameter in head.parameters():
        parameter.normal_(0, (parameter.shape[1] if parameter.ndim > 1 else 4) ** -0.5, generator=generator)
    head.hidden.weight.mul_(sharpness), head.hidden.bias.mul_(sharpness), head.out.weight.mul_(0.3)
    long = max(lattice)
    frame = lattice[0] / long, lattice[1] / long
    return Field(Features(torch.randn(2, *lattice, 8, generator=generator), frame), head)


def compare(made, grid, monkeypatch):
    """Largest difference from the pixels that the head computes, and values computed instead per pixel."""
    features, count = made.features.on_canvas(), []
    exact = made.head(features, grid, bound=1.0)
    plain = made.head.values
    monkeypatch.setattr(made.head, "values", lambda read: count.append(read[..., 0].numel()) or plain(read))
    drawn = draw(made.head, features, grid, 1.0)
    return (drawn - exact).abs().max().item(), sum(count) / exact[:, 0].numel()


@pytest.mark.parametrize("name", ["mnist", "mnist-fast"])
def test_digits_are_drawn_to_within_half_a_grey_level_from_few_values(name, monkeypatch):
    few = s2id.Sampling() if name == "mnist-fast" else s2id.Sampling(steps=3)
    made = s2id.sample(s2id.load(name), 4, seed=3, sampling=few)
    for side, part in ((1024, slice(400, 600)), (8192, slice(4000, 4200))):
        grid = made._view((side, side), None, "fit", 2**30, one=False).part(part, part)
        off, values = compare(made, grid, monkeypatch)
        assert off <= HALF_A_LEVEL and values < (0.8 if side == 1024 else 0.2)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("sharpness", [1, 10, 30])
@pytest.mark.parametrize("window", [None, (0.2, 0.3, 0.5, 0.6), (0.6, 0.1, 0.600001, 0.100001)])
def test_a_sharp_function_is_drawn_to_within_half_a_grey_level(channels, sharpness, window, monkeypatch):
    made = rough(sharpness, channels)
    off, _ = compare(made, made._view((150, 170), window, "stretch", 2**30, one=False), monkeypatch)
    assert off <= HALF_A_LEVEL


def test_what_no_polynomial_describes_is_computed(monkeypatch):
    monkeypatch.setattr(interpolate, "_TOLERANCE", -1.0)
    made = rough(3)
    off, values = compare(made, made._view((130, 100), (0.1, 0.1, 0.9, 0.7), "fit", 2**30, one=False), monkeypatch)
    assert off < 1e-5 and values > 1


def test_a_block_beside_an_edge_is_computed_too(monkeypatch):
    made = rough(30)
    grid = made._view((120, 120), None, "fit", 2**30, one=False)
    _, few = compare(made, grid, monkeypatch)
    monkeypatch.setattr(interpolate, "_SHARP", 0.0)
    off, values = compare(made, grid, monkeypatch)
    assert values > few and off <= HALF_A_LEVEL


@pytest.mark.parametrize("sharpness", [3, 30])
def test_pixels_do_not_depend_on_window_tile_or_batch(sharpness, monkeypatch):
    made = rough(sharpness, lattice=(4, 6))
    whole = made.render((120, 180))
    cut = made.render((55, 100), (40 / 120, 60 / 180, 95 / 120, 160 / 180))
    assert torch.allclose(cut, whole[:, :, 40:95, 60:160], atol=1e-4)
    assert torch.allclose(made[1].render((120, 180))[0], whole[1], atol=1e-4)
    monkeypatch.setattr(module, "_TILE_VALUES", 16 * 1000)
    assert torch.allclose(made.render((120, 180)), whole, atol=1e-4)


def test_few_pixels_per_sample_and_very_many_are_computed():
    made = rough(1)
    features = made.features.on_canvas()
    for size, window in (((60, 60), None), ((40, 40), (0.3, 0.3, 0.3 + 1e-13, 0.3 + 1e-13))):
        grid = view(size, features.frame, window)
        assert torch.equal(draw(made.head, features, grid, 1.0), made.head(features, grid, bound=1.0))


def test_a_function_with_nan_is_not_smoothed_over():
    made = rough(1)
    made.features.values[0, 2, 2, 0] = torch.nan
    seen = made.render((150, 150))
    assert seen[0].isnan().any() and not seen[1].isnan().any()
