"""The network: one set of weights for every size, and a head that reads one function anywhere."""

import json
import math
from dataclasses import fields, replace
from typing import get_args, get_type_hints

import pytest
import torch
from conftest import TINY
from torch.nn.functional import avg_pool2d

from s2id.coords import Grid, extent, frame_grid
from s2id.diffusion.denoiser import Network
from s2id.errors import InputError
from s2id.network.base import state_grid, step_values
from s2id.network.build import build
from s2id.network.heads import Features
from s2id.network.network import FieldNetwork
from s2id.network.published import PublishedNetwork
from s2id.network.settings import ModelConfig, PublishedConfig, network_from_dict, network_to_dict
from s2id.shapes import NULL

ATTENTIONS = get_args(get_type_hints(ModelConfig)["attention"])
SIZES = [(16, 16), (24, 40), (64, 64), (2, 2), (2, 10)]


def state(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_the_same_weights_run_at_every_size(network, attention):
    weights = network(attention=attention).state_dict()
    for size in SIZES:
        fresh = FieldNetwork(replace(TINY, attention=attention)).eval()
        fresh.load_state_dict(weights)
        with torch.inference_mode():
            out = fresh(state(1, 1, *size), torch.zeros(1), torch.tensor([3]))
        assert out.shape == (1, 1, *size) and out.isfinite().all()
        assert {k: v.shape for k, v in fresh.state_dict().items()} == {k: v.shape for k, v in weights.items()}


def test_no_part_of_the_config_is_an_image_size():
    words = {word for field in fields(ModelConfig) for word in field.name.split("_")}
    assert not words & {"size", "height", "density", "resolution", "pixels", "image", "length"}


def test_a_network_keeps_the_contract(network):
    assert isinstance(network(), Network)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_pictures_in_a_batch_do_not_know_each_other(network, attention):
    made = network(attention=attention)
    x_t, logsnr, label = state(3, 1, 8, 12), torch.tensor([-3.0, 0.0, 5.0]), torch.tensor([4, NULL, 0])
    together = made(x_t, logsnr, label)
    for i in range(3):
        alone = made(x_t[i : i + 1], logsnr[i : i + 1], label[i : i + 1])
        assert torch.allclose(together[i : i + 1], alone, atol=1e-5)


PART = slice(4, 10), slice(2, 12)


def test_tokens_of_a_part_enter_as_they_do_in_the_whole(network):
    made, x_t, logsnr = network(encoder_blocks=0), state(2, 1, 12, 16), torch.tensor([-2.0, 3.0])
    whole, part = made.encode(x_t, logsnr), made.encode(x_t, logsnr, part=PART)
    assert torch.allclose(part.tokens, whole.tokens[:, 2:5, 1:6], atol=1e-6)
    assert torch.equal(part.film, whole.film)


@pytest.mark.parametrize("frame", [None, (0.5, 1.0)])
def test_the_head_reads_a_part_where_it_is(network, frame):
    made, x_t = network(encoder_blocks=0, decoder_blocks=0), state(1, 1, 12, 16)
    grid = state_grid((12, 16), frame or extent((12, 16))).refine(2).part(slice(12, 16), slice(8, 20))
    whole, part = (made(x_t, torch.zeros(1), grid=grid, frame=frame, part=part) for part in (None, PART))
    assert torch.allclose(part, whole, atol=1e-5), "a token from the part's edges there is no difference"
    own = made(x_t, torch.zeros(1), frame=frame, part=PART)
    assert own.shape == (1, 1, 6, 10)
    within = made(x_t, torch.zeros(1), frame=frame)[:, :, 6:8, 4:10]
    assert torch.allclose(own[:, :, 2:4, 2:8], within, atol=1e-5)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_part_that_is_all_is_the_whole(network, attention):
    made, x_t = network(attention=attention), state(1, 1, 12, 16)
    whole, part = made(x_t, torch.zeros(1)), made(x_t, torch.zeros(1), part=(slice(0, 12), slice(0, 16)))
    assert torch.allclose(part, whole, atol=1e-6)


def test_what_is_outside_of_a_part_is_not_seen(network):
    made, x_t = network(), state(1, 1, 12, 16)
    other = torch.randn_like(x_t)
    other[:, :, PART[0], PART[1]] = x_t[:, :, PART[0], PART[1]]
    assert torch.equal(*(made(x, torch.zeros(1), part=PART) for x in (x_t, other)))


def test_a_part_that_cuts_through_tokens_is_refused(network):
    with pytest.raises(InputError, match="the part has an edge at 5; this network takes multiples of 2"):
        network()(state(1, 1, 12, 16), torch.zeros(1), part=(slice(0, 4), slice(5, 8)))


def test_no_label_is_null_for_every_picture(network):
    made, x_t = network(), state(2, 1, 4, 4)
    assert torch.equal(made(x_t, torch.zeros(2)), made(x_t, torch.zeros(2), torch.tensor([NULL, NULL])))


def test_no_label_is_a_condition_of_its_own(network):
    made, x_t = network(), state(1, 1, 4, 4)
    said = [made(x_t, torch.zeros(1), torch.tensor([label])) for label in range(NULL, 10)]
    assert all((a - b).abs().max() > 1e-4 for i, a in enumerate(said) for b in said[:i])


def test_a_coarse_token_knows_of_its_place_the_mean_of_what_its_fine_ones_do(network):
    position = network().position
    fine, coarse = position((12, 18)), position((4, 6))
    assert torch.allclose(avg_pool2d(fine.movedim(-1, 0), 3).movedim(0, -1), coarse, atol=1e-5)


def test_every_input_matters(network):
    made, x_t = network(), state(1, 1, 8, 8)
    base = made(x_t, torch.zeros(1), torch.tensor([1]))
    others = [
        made(x_t + 0.1, torch.zeros(1), torch.tensor([1])),
        made(x_t, torch.ones(1), torch.tensor([1])),
        made(x_t, torch.zeros(1), torch.tensor([2])),
        made(x_t, torch.zeros(1)),
        made(x_t.flip(2), torch.zeros(1), torch.tensor([1])).flip(2),  # positions
    ]
    assert all((other - base).abs().max() > 1e-3 for other in others)


def test_the_network_hears_the_density_of_the_state(network):
    made = network()
    heard = [made.noise(torch.zeros(1), 1 / n) for n in (14, 28)]
    assert (heard[0] - heard[1]).abs().max() > 1e-3


@pytest.mark.parametrize("label", [10, -2, 99])
def test_a_label_that_is_no_class_is_named(network, label):
    with pytest.raises(InputError, match=f"label {label} is none of this model's 10 classes"):
        network()(state(2, 1, 4, 4), torch.zeros(2), torch.tensor([3, label]))


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (1, 1, 5, 4), (1, 1, 4, 7)])
def test_a_state_that_does_not_fit_the_network_is_refused(network, shape):
    with pytest.raises(InputError, match=f"{shape[1]} channels and size {shape[2]}x{shape[3]}; this network takes"):
        network()(state(*shape), torch.zeros(1))


def test_a_config_that_cannot_be_built_is_refused():
    with pytest.raises(InputError, match="choose heads that divide"):
        ModelConfig(width=10, heads=3)
    with pytest.raises(InputError, match="lattice is -1; it must be a whole number, at least 0"):
        ModelConfig(lattice=-1)
    with pytest.raises(InputError, match="lattice is 0, which training chooses by the data"):
        FieldNetwork(ModelConfig(lattice=0))


def test_a_config_in_a_file_names_its_network():
    for config, kind in (
        (TINY, FieldNetwork),
        (PublishedConfig(width=8, encoder_blocks=1, decoder_blocks=1), PublishedNetwork),
    ):
        again = network_from_dict(json.loads(json.dumps(network_to_dict(config))), "the file")
        assert again == config and type(build(again)) is kind
    for values, reason in (({}, "None"), ({"network": "unet"}, "'unet'")):
        with pytest.raises(
            InputError, match=f"the file is for a network {reason} and this version of s2id has field and published"
        ):
            network_from_dict(values, "the file")
    with pytest.raises(InputError, match="does not know \\(jitter\\)"):
        network_from_dict({"network": "field", "jitter": 0.5}, "the file")


@pytest.mark.parametrize("factor", [2, 3])
def test_a_pixel_is_the_mean_of_its_head_samples(network, factor):
    made = network()
    features = made.decode(made.encode(state(1, 1, 8, 8), torch.zeros(1)))
    grid = frame_grid((6, 6))
    means = avg_pool2d(made.head(features, grid.refine(factor), supersample=1), factor)
    assert torch.allclose(made.head(features, grid, supersample=factor), means, atol=1e-6)


@pytest.mark.parametrize("values", [1, 100, 1000])
def test_a_few_rows_at_a_time_are_read_as_all_at_once(network, monkeypatch, values):
    made = network()
    features = made.decode(made.encode(state(2, 1, 8, 6), torch.zeros(2)))
    whole = made.head(features, frame_grid((9, 14)))  # all at once, as in training
    monkeypatch.setattr("s2id.network.heads.CACHED", values)
    with torch.no_grad():
        assert torch.allclose(made.head(features, frame_grid((9, 14))), whole, atol=1e-6)


def test_head_samples_are_at_most_a_quarter_of_a_feature_sample_apart(network):
    made = network()
    features = made.decode(made.encode(state(1, 1, 8, 4), torch.zeros(1)))
    assert features.pitch == (1 / 8, 1 / 8) and features.frame == (1.0, 0.5)
    for cell in (1.0, 1 / 3, 1 / 8, 1 / 31, 1 / 32, 1 / 33, 1e-4):
        factor = features.supersample((cell, cell))
        assert cell / factor <= 1 / 32 + 1e-9
        assert factor == 1 or cell / (factor - 1) > 1 / 32


@pytest.mark.parametrize("size", [(8, 8), (5, 9), (30, 20)])
def test_flipping_or_transposing_the_features_does_so_to_the_picture(network, size):
    made = network()
    features = made.decode(made.encode(state(1, 1, 8, 4), torch.zeros(1)))
    picture = made.head(features, state_grid(size, features.frame))
    flipped = replace(features, values=features.values.flip(1, 2))
    assert torch.allclose(made.head(flipped, state_grid(size, features.frame)), picture.flip(2, 3), atol=1e-6)
    turned = Features(features.values.transpose(1, 2), features.frame[::-1])
    assert torch.allclose(made.head(turned, state_grid(size[::-1], turned.frame)), picture.mT, atol=1e-6)


def test_beyond_the_frame_its_edge_goes_on(network):
    made = network()
    features = made.decode(made.encode(state(1, 1, 8, 8), torch.zeros(1)))
    y = torch.zeros(1, dtype=torch.float64)
    x = torch.tensor([0.7, 0.9, 30.0], dtype=torch.float64)
    beyond = made.head(features, Grid(y, x, (0.01, 0.01)))
    assert torch.allclose(beyond, beyond[..., :1].expand_as(beyond), atol=1e-6)


def test_one_forward_pass_is_its_three_parts(network):
    made = network()
    x_t, logsnr, label = state(2, 1, 8, 12), torch.tensor([1.0, -1.0]), torch.tensor([1, 2])
    parts = made.predict(made.decode(made.encode(x_t, logsnr), label), (8, 12))
    samples = state_grid((8, 12), extent((8, 12)))
    whole = made.head(made.decode(made.encode(x_t, logsnr), label), samples, step_values(made.config))
    assert torch.equal(whole, made(x_t, logsnr, label))
    assert torch.allclose(parts, whole.clamp(-1, 1), atol=0.03) and parts.abs().max() <= 1  # clipped before means


def test_a_given_frame_is_what_the_function_lives_on(network):
    made = network()
    encoded = made.encode(state(1, 1, 8, 4), torch.zeros(1), frame=(1.0, 0.6))
    features = made.decode(encoded)
    assert features.frame == (1.0, 0.6) and features.pitch == (1 / 8, 0.6 / 4)
    grid = state_grid((8, 4), (1.0, 0.6))
    assert grid.cell == (1 / 8, 0.15) and (grid.x[-1] - grid.x[0]).item() == pytest.approx(0.45)


def test_a_fresh_network_passes_gradients_to_its_output(network):
    fresh = FieldNetwork(TINY)
    fresh(state(2, 1, 4, 4), torch.zeros(2), torch.tensor([1, NULL])).square().mean().backward()
    assert fresh.head.out.weight.grad.abs().max() > 0 and fresh.stem.weight.grad.abs().max() > 0


def test_every_parameter_of_a_live_network_learns(network):
    made = network(attention="axial").requires_grad_(True)
    made(state(2, 1, 8, 8), torch.zeros(2), torch.tensor([1, NULL])).square().mean().backward()
    dead = [name for name, p in made.named_parameters() if p.grad is None or not math.isfinite(p.grad.sum())]
    still = [name for name, p in made.named_parameters() if not p.grad.abs().max() > 0]
    assert not dead and not still


def test_computing_anew_changes_no_gradient_and_keeps_less(network):
    gradients, kept = [], []
    for what in ("no", "feed_forward", "blocks"):
        made = network().requires_grad_(True)
        made.recompute(what)
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, to=sizes: to.append(x.numel()) or x, lambda x: x):
            made(state(2, 1, 16, 16), torch.zeros(2), torch.tensor([1, NULL]), supersample=1).square().mean().backward()
        gradients.append([p.grad for p in made.parameters()])
        kept.append(sum(sizes))
    for anew in gradients[1:]:
        assert all(torch.equal(a, b) for a, b in zip(anew, gradients[0], strict=True))
    assert kept[0] > 1.1 * kept[1] and kept[1] > 1.1 * kept[2]
