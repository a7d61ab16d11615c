"""Parts of the network: what is read from splines and waves, and what attention may depend on."""

import math
from dataclasses import replace

import pytest
import torch
from conftest import enliven

from s2id.network import attention
from s2id.network.attention import (
    AxialAttention,
    CrossAttention,
    FullAttention,
    LinearAttention,
    WindowAttention,
    attend,
)
from s2id.network.blocks import Block, FeedForward, modulate, normalise
from s2id.network.embeddings import fourier_features
from s2id.network.heads import spline_weights
from s2id.network.settings import ModelConfig

SMALL = ModelConfig(width=8, heads=2, expansion=2, film_width=4)
WIDTHS = [1e-9, 5e-4, 0.01, 0.5, 1.0, 2.3, 9.0]


def places(count, n=61):
    return torch.linspace(-4, count + 3, n, dtype=torch.float64)


def cubic_spline(u):
    """The cubic B-spline as four convolved boxes say it (de Boor)."""
    weight = torch.zeros_like(u)
    for i in range(5):
        weight = weight + (-1) ** i * math.comb(4, i) * (u + 2 - i).clamp(min=0) ** 3 / 6
    return weight.where(u.abs() < 2, torch.zeros_like(u))


def spline(x, samples):
    """The spline through control samples whose outermost go on for ever."""
    nodes = torch.arange(-10, len(samples) + 10, dtype=torch.float64)
    held = samples[nodes.long().clamp(0, len(samples) - 1)]
    return (cubic_spline(x[..., None] - nodes) * held).sum(-1)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("width", WIDTHS)
def test_spline_weights_are_shares(width, count):
    weights = spline_weights(places(count), width, count)
    assert torch.allclose(weights.sum(1), torch.ones(61, dtype=torch.float64), atol=1e-12)
    assert weights.min() > -1e-12


@pytest.mark.parametrize("width", WIDTHS)
def test_splines_reproduce_straight_lines_inside(width):
    count = 24
    position = torch.linspace(7, 16, 50, dtype=torch.float64)
    line = 3 - 0.5 * torch.arange(count, dtype=torch.float64)
    assert torch.allclose(spline_weights(position, width, count) @ line, 3 - 0.5 * position, atol=1e-10)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_cell_reads_the_mean_of_the_spline_over_it(width):
    samples = torch.randn(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    position = places(5, 25)
    quadrature = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000 - 0.5
    means = spline(position[:, None] + width * quadrature, samples).mean(1)
    assert torch.allclose(spline_weights(position, width, 5) @ samples, means, atol=1e-6)


def test_thin_cells_pass_into_points_without_a_step():
    position = places(5, 501)
    above, below = (spline_weights(position, width, 5) for width in (1.0000001e-3, 1e-3))
    assert (above - below).abs().max() < 1e-7
    assert torch.allclose(below, spline_weights(position, 0.0, 5), atol=1e-15)


def test_far_outside_the_outermost_sample_is_read():
    position = torch.tensor([-1e6, 1e6], dtype=torch.float64)
    for width in (0.0, 0.5, 1000.0):
        ends = torch.eye(4, dtype=torch.float64)[[0, 3]]
        assert torch.allclose(spline_weights(position, width, 4), ends, atol=1e-12)
    both = spline_weights(torch.tensor([1.5], dtype=torch.float64), 1e6, 4)
    assert torch.allclose(both, torch.tensor([[0.5, 0, 0, 0.5]], dtype=torch.float64), atol=1e-5)


def test_splines_are_mirror_symmetric_and_shift_with_the_samples():
    position = places(6)
    for width in (0.0, 0.7):
        weights = spline_weights(position, width, 6)
        assert torch.allclose(weights, spline_weights(5 - position, width, 6).flip(1), atol=1e-14)
    inside = torch.linspace(3, 5, 21, dtype=torch.float64)
    moved = spline_weights(inside + 2, 0.7, 12)[:, 2:]
    assert torch.allclose(spline_weights(inside, 0.7, 10), moved, atol=1e-14)


@pytest.mark.parametrize("cell", [0.0, 0.03, 0.25, 1.0])
def test_fourier_features_are_means_over_the_cell(cell):
    frequencies = math.pi * 2.0 ** torch.arange(-3, 8, dtype=torch.float64)
    coords = torch.linspace(-0.5, 0.5, 17, dtype=torch.float64)
    inside = coords[:, None, None] + cell * ((torch.arange(4000, dtype=torch.float64) + 0.5) / 4000 - 0.5)[:, None]
    means = torch.cat([(inside * frequencies).sin().mean(1), (inside * frequencies).cos().mean(1)], -1)
    assert torch.allclose(fourier_features(coords, cell, frequencies), means, atol=1e-4)


def test_features_of_a_coarse_pixel_are_the_means_of_its_fine_ones():
    frequencies = math.pi * 2.0 ** torch.arange(-3, 8, dtype=torch.float64)
    coords = (torch.arange(24, dtype=torch.float64) + 0.5) / 24 - 0.5
    fine = fourier_features(coords, 1 / 24, frequencies)
    coarse = fourier_features(coords.reshape(8, 3).mean(1), 1 / 8, frequencies)
    assert torch.allclose(fine.reshape(8, 3, -1).mean(1), coarse, atol=1e-12)


def small_windows(width, heads):
    """Window attention that is not full attention on small grids."""
    return WindowAttention(width, heads, window=3, halo=1, regions=2)


@pytest.fixture
def tokens():
    return torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(0))


def alive(module):
    enliven(module)
    return module.requires_grad_(False)


ATTENTIONS = [FullAttention, AxialAttention, WindowAttention, LinearAttention]


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (6, 2), (1, 33), (20, 15)])
def test_every_attention_takes_a_grid_of_any_size(attention, size):
    module = alive(attention(8, 2))
    assert module(torch.randn(2, *size, 8)).shape == (2, *size, 8)


@pytest.mark.parametrize("attention", [*ATTENTIONS, small_windows])
def test_attention_keeps_pictures_apart(attention, tokens):
    module = alive(attention(8, 2))
    assert torch.allclose(module(tokens)[1:], module(tokens[1:]), atol=1e-6)


@pytest.mark.parametrize("attention", [*ATTENTIONS, small_windows])
def test_attention_passes_gradients_to_every_weight_and_token(attention, tokens):
    module = alive(attention(8, 2)).requires_grad_(True)
    x = tokens.clone().requires_grad_(True)
    module(x).square().mean().backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().max() > 0 for p in module.parameters())
    assert x.grad.isfinite().all() and x.grad.abs().amax(-1).min() > 0


def test_full_attention_is_softmax_attention(tokens):
    module = alive(FullAttention(8, 2))
    q, k, v = module.qkv(tokens.flatten(1, 2)).reshape(2, 15, 3, 2, 4).permute(2, 0, 3, 1, 4)
    expected = module.out((torch.softmax(q @ k.mT / 2, -1) @ v).transpose(1, 2).reshape(2, 3, 5, 8))
    assert torch.allclose(module(tokens), expected, atol=1e-5)


def test_attention_written_out_for_bf16_is_the_fused_one():
    q, k, v = (torch.randn(2, 3, n, 8, generator=torch.Generator().manual_seed(n)) for n in (20, 30, 30))
    k = torch.roll(v, 1, 2)
    fused = attend(q, k, v)
    written_out = attend(q.bfloat16().requires_grad_(True), k.bfloat16(), v.bfloat16())
    assert written_out.grad_fn is not None
    assert torch.allclose(written_out.float(), fused, atol=0.03)
    assert torch.allclose(fused, (q @ k.mT / 8**0.5).softmax(-1) @ v, atol=1e-5)


def test_full_attention_knows_no_places(tokens):
    module = alive(FullAttention(8, 2))
    order = torch.randperm(15, generator=torch.Generator().manual_seed(0))
    shuffled = tokens.flatten(1, 2)[:, order].reshape(2, 3, 5, 8)
    assert torch.allclose(module(shuffled).flatten(1, 2), module(tokens).flatten(1, 2)[:, order], atol=1e-5)
    assert torch.allclose(module(tokens.transpose(1, 2)), module(tokens).transpose(1, 2), atol=1e-5)


def test_axial_attention_is_full_attention_of_every_row_plus_every_column(tokens):
    module = alive(AxialAttention(8, 2))
    rows = torch.cat([module.row(tokens[:, i : i + 1]) for i in range(3)], 1)
    columns = torch.cat([module.column(tokens[:, :, i : i + 1]) for i in range(5)], 2)
    assert torch.allclose(module(tokens), rows + columns, atol=1e-5)


def test_axial_attention_on_one_row_attends_along_it_and_to_itself(tokens):
    module = alive(AxialAttention(8, 2))
    row = tokens[:, :1]
    alone = module.column.out(module.column.qkv(row)[..., 16:])  # softmax over one token is 1
    assert torch.allclose(module(row), module.row(row) + alone, atol=1e-5)


def test_axial_attention_transposes_with_its_weights(tokens):
    module, swapped = alive(AxialAttention(8, 2)), AxialAttention(8, 2)
    swapped.row, swapped.column = module.column, module.row
    assert torch.allclose(swapped(tokens.transpose(1, 2)), module(tokens).transpose(1, 2), atol=1e-5)


def seen_keys(count, window, halo):
    """Which keys the queries along one axis see, said token by token."""
    windows = math.ceil(count / window)
    side = math.ceil(count / windows)
    seen = torch.zeros(count, count, dtype=torch.bool)
    for query in range(count):
        first = query // side * side - halo
        first = max(0, min(first, count - side - 2 * halo))
        seen[query, first : first + side + 2 * halo] = True
    return seen


def region_means(count, regions):
    """Row i takes the mean over the i-th of equal parts, from means over a grid so fine that both divide it."""
    regions = min(count, regions)
    return torch.kron(torch.eye(count), torch.ones(1, regions)).reshape(count, regions, count).sum(2).T / count


@pytest.mark.parametrize("size", [(3, 5), (6, 6), (7, 13), (12, 4), (1, 11), (16, 17)])
def test_window_attention_is_softmax_over_near_keys_and_means_of_the_whole(size):
    module = alive(small_windows(8, 2))
    h, w = size
    x = torch.randn(2, h, w, 8, generator=torch.Generator().manual_seed(0))
    near = torch.einsum("ik,jl->ijkl", seen_keys(h, 3, 1), seen_keys(w, 3, 1)).reshape(h * w, h * w)
    means = torch.kron(region_means(h, 2), region_means(w, 2))
    means = torch.zeros(0, h * w) if near.all() else means
    q, k, v = module.qkv(x.flatten(1, 2)).reshape(2, h * w, 3, 2, 4).permute(2, 0, 3, 1, 4)
    k, v = (torch.cat([a, means @ a], 2) for a in (k, v))
    seen = torch.cat([near, torch.ones(h * w, len(means), dtype=torch.bool)], 1)
    share = (q @ k.mT / 2).masked_fill(~seen, -torch.inf).softmax(-1)
    expected = module.out((share @ v).transpose(1, 2).reshape(2, h, w, 8))
    assert torch.allclose(module(x), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (10, 10), (13, 8), (14, 14)])
def test_window_attention_that_sees_the_whole_grid_is_full_attention(size):
    full, window = alive(FullAttention(8, 2)), WindowAttention(8, 2)
    window.load_state_dict(full.state_dict())
    x = torch.randn(2, *size, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(window(x), full(x))


def test_padding_of_windows_is_never_heard(monkeypatch):
    module = alive(small_windows(8, 2)).requires_grad_(True)
    x = torch.randn(1, 7, 11, 8, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    heard, gradients = [], []
    pad = attention.F.pad
    for value in (0.0, 1e3):
        monkeypatch.setattr(attention.F, "pad", lambda x, width, value=value: pad(x, width, value=value))
        heard.append(module(x))
        gradients.append(torch.autograd.grad(heard[-1].square().sum(), (x, *module.parameters())))
    assert torch.equal(*heard)
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_what_is_far_is_heard_through_the_means():
    module = alive(small_windows(8, 2))
    x = torch.randn(1, 12, 12, 8, generator=torch.Generator().manual_seed(0))
    other = x.clone()
    other[0, 0, 0] += 1
    assert ((module(other) - module(x)).abs().amax(-1) > 1e-6).all()


@pytest.mark.parametrize("attention", [WindowAttention, small_windows, LinearAttention])
@pytest.mark.parametrize("size", [(3, 5), (7, 16), (15, 20)])
def test_transposing_the_grid_transposes_what_is_heard(attention, size):
    module = alive(attention(8, 2))
    x = torch.randn(2, *size, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(module(x.transpose(1, 2)), module(x).transpose(1, 2), atol=1e-5)


def test_windows_that_divide_the_grid_have_no_side():
    module = alive(small_windows(8, 2))
    x = torch.randn(1, 6, 9, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(module(x.flip(1)), module(x).flip(1), atol=1e-5)


def test_linear_attention_is_the_product_of_the_kernels_matrix(tokens):
    module = alive(LinearAttention(8, 2))
    q, k, v = module.qkv(tokens.flatten(1, 2)).reshape(2, 15, 3, 2, 4).permute(2, 0, 3, 1, 4)

    def phi(x):
        return torch.where(x > 0, x + 1, x.exp())

    kernel = torch.einsum("bmqd,bmkd->bmqk", phi(q), phi(k))
    share = kernel / kernel.sum(-1, keepdim=True)
    expected = module.out((share @ v).transpose(1, 2).reshape(2, 3, 5, 8))
    assert torch.allclose(module(tokens), expected, atol=1e-5)


def test_linear_attention_counts_many_tokens_in_bf16():
    module = alive(LinearAttention(8, 2))
    x = torch.randn(8, generator=torch.Generator().manual_seed(0)).expand(1, 64, 64, 8)
    one = module.out(module.qkv(x[:, :1, :1])[..., 16:])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(module(x).float(), one.expand_as(x), atol=0.02, rtol=0.02)


def test_cross_attention_reads_the_condition_alone_and_in_any_order(tokens):
    module = alive(CrossAttention(8, 2))
    condition = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(1))
    attended = module(tokens, condition)
    assert torch.allclose(module(tokens, condition.flip(1)), attended, atol=1e-5)
    assert torch.allclose(module(tokens[:, 1:2], condition), attended[:, 1:2], atol=1e-5)
    one = module(tokens, condition[:, :1])
    assert torch.allclose(one, module.out(module.kv(condition[:, :1])[..., 8:])[:, None].expand_as(one), atol=1e-5)


def test_norms_act_on_each_token_by_itself(tokens):
    normed = normalise(tokens)
    assert torch.equal(normed[:, 1:, 2:], normalise(tokens[:, 1:, 2:]))
    assert torch.allclose(normed.mean(-1), torch.zeros(2, 3, 5), atol=1e-6)
    assert torch.allclose(normed.square().mean(-1), torch.ones(2, 3, 5), atol=1e-3)
    zero = torch.zeros(2, 1, 1, 8)
    assert torch.allclose(modulate(tokens, zero, zero), normed)


@pytest.mark.parametrize("cross", [False, True])
def test_a_fresh_block_is_the_identity_and_a_live_one_is_not(cross, tokens):
    block = Block(SMALL, cross).requires_grad_(False)
    film, condition = torch.randn(2, 4), torch.randn(2, 3, 8)
    assert torch.equal(block(tokens, film, condition), tokens)
    assert not torch.allclose(alive(block)(tokens, film, condition), tokens, atol=0.1)


def test_every_sublayer_of_a_block_hears_the_film(tokens):
    block = alive(Block(replace(SMALL, attention="axial"), cross=True))
    condition = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(1))
    base = block(tokens, torch.zeros(2, 4), condition)
    per_sublayer = block.film.out.bias.reshape(3, 3, 8)
    for sublayer in per_sublayer:
        for part in sublayer:
            part += 0.5
            assert not torch.allclose(block(tokens, torch.zeros(2, 4), condition), base, atol=1e-3)
            part -= 0.5
    assert torch.allclose(block(tokens, torch.zeros(2, 4), condition), base, atol=1e-6)


def test_a_feed_forward_layer_says_the_same_without_gradients_and_keeps_its_input():
    layer, x = FeedForward(8, 4), torch.randn(2, 3, 5, 8)
    before = x.clone()
    with torch.no_grad():
        assert torch.allclose(layer(x), layer.fall(torch.nn.functional.silu(layer.rise(x))), atol=1e-6)
    assert torch.equal(x, before)
    layer(x.requires_grad_()).square().mean().backward()
    assert x.grad.abs().max() > 0
