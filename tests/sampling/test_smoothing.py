"""The filter that composed states pass before a renderer draws them, and who has it."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import KINDS, toys

import s2id
from s2id.errors import InputError
from s2id.sampling.resolving import resolved
from s2id.sampling.settings import Card, Sampling
from s2id.sampling.smoothing import smoothed
from s2id.training.card import like_card
from s2id.training.presets import PRESETS
from s2id.training.settings import Preset, TrainConfig


@pytest.fixture
def drawn(model, enlarger):
    """The test model, drawn by an enlarger."""
    return model.drawn_by(enlarger)


def blotched(seed, side=16):
    """Two flat colours with a straight border, and the same with blotches."""
    clean = torch.full((1, 3, side, side), -0.6)
    clean[..., side // 2 :] = torch.tensor([0.7, 0.2, -0.1]).view(1, 3, 1, 1)
    noise = 0.05 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    return clean, clean + noise


@given(seed=st.integers(0, 100))
def test_blotches_go_and_a_border_stays(seed):
    clean, states = blotched(seed)
    found = smoothed(states, 0.15)
    assert (found - clean).square().mean() < 0.15 * (states - clean).square().mean()
    jump = found[..., 8] - found[..., 7]
    assert torch.allclose(jump, (clean[..., 8] - clean[..., 7]), atol=0.1)


def test_one_that_is_as_unlike_as_a_border_is_not_smoothed_into_its_ground():
    states = torch.full((1, 1, 9, 9), -1.0)
    states[0, 0, 4, 4] = 1.0
    assert torch.allclose(smoothed(states, 0.15), states, atol=1e-6)
    assert smoothed(states, 2.0)[0, 0, 4, 4] < 0.5, "of a difference that is smoothed away, little is left"


def test_the_first_pass_is_the_mean_that_its_equation_says(monkeypatch):
    monkeypatch.setattr("s2id.sampling.smoothing._TIMES", 1)
    states = torch.rand(1, 2, 13, 12, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    y, x = torch.meshgrid(torch.arange(13), torch.arange(12), indexing="ij")
    near = ((y - 6).abs() <= 5) & ((x - 6).abs() <= 5)
    apart = ((y - 6) ** 2 + (x - 6) ** 2) / 3.0**2
    unlike = (states[0] - states[0, :, 6, 6].view(2, 1, 1)).square().sum(0)
    brightness, hue = (
        (weight * states[0]).sum((1, 2)) / weight.sum()
        for weight in (torch.exp(-(apart + unlike / difference**2) / 2) * near for difference in (0.3, 0.45))
    )
    wanted = brightness.mean() + hue - hue.mean()
    assert torch.allclose(smoothed(states, 0.3)[0, :, 6, 6], wanted, atol=1e-6)


def test_a_faint_darker_line_stays_longer_than_one_of_another_hue():
    ground = torch.tensor([0.6, 0.3, -0.6]).view(1, 3, 1, 1).expand(1, 3, 12, 12)
    darker, other = ground.clone(), ground.clone()
    darker[..., 5] -= 0.18
    other[..., 5] += torch.tensor([0.18, -0.18, 0.0]).view(1, 3, 1) * 1.5**0.5  # as far away as the darker one
    darker, other = (
        ((smoothed(x, 0.1) - ground)[..., 5].norm() / (x - ground)[..., 5].norm()).item() for x in (darker, other)
    )
    assert darker > 1.5 * other, "of the darker line more is left"


@given(seed=st.integers(0, 100), difference=st.floats(1e-3, 2.0))
def test_flat_states_stay_no_value_leaves_the_range_and_pictures_do_not_mix(seed, difference):
    states = torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    found = smoothed(states, difference)
    assert found.min() >= states.min() - 1e-6 and found.max() <= states.max() + 1e-6
    assert torch.allclose(found[:1], smoothed(states[:1], difference), atol=1e-6)
    assert torch.allclose(smoothed(states.transpose(2, 3), difference), found.transpose(2, 3), atol=1e-5)
    flat = torch.full((1, 1, 4, 7), 0.3)
    assert torch.allclose(smoothed(flat, difference), flat)
    assert smoothed(states, 0.0) is states


@torch.inference_mode()
def test_a_renderer_draws_the_smoothed_state_and_the_card_says_so_where_nothing_is_asked(drawn):
    def fields(**how):
        return s2id.sample(drawn, 3, 5, Sampling(steps=3, **how)).features.values

    plain = fields()
    assert torch.equal(fields(smoothing=0.0), plain)
    state = list(s2id.sampling.sample.compose(drawn, s2id.ask(drawn, label=3), [5], Sampling(steps=3)))[-1].x_t
    wanted, _ = drawn.renderer.function_of(smoothed(state.clamp(-1, 1), 0.4))
    assert torch.equal(fields(smoothing=0.4), wanted.values) and not torch.allclose(wanted.values, plain)
    drawn.card = replace(drawn.card, smoothing=0.4)
    assert torch.equal(fields(), wanted.values) and torch.equal(fields(smoothing=0.0), plain)


def test_a_model_that_draws_by_itself_and_a_restored_picture_are_not_smoothed(model, drawn):
    model.card = replace(model.card, smoothing=0.4)
    assert resolved(model, Sampling()).smoothing == 0
    with pytest.raises(InputError, match=r"smoothing is 0\.2, and this model draws its states itself; leave"):
        resolved(model, Sampling(smoothing=0.2))
    drawn.card = replace(drawn.card, smoothing=0.4)
    assert resolved(drawn, Sampling(), restoring=True).smoothing == 0
    with pytest.raises(InputError, match="a restored picture is not smoothed"):
        resolved(drawn, Sampling(smoothing=0.2), restoring=True)
    with pytest.raises(InputError, match="smoothing"):
        Sampling(smoothing=-0.1)


def test_a_run_without_a_renderer_refuses_smoothing_and_one_that_begins_with_a_model_keeps_its_own(tmp_path):
    tiny = PRESETS["tiny"]
    wrong = replace(tiny.train, smoothing=0.1, device="cpu")
    with pytest.raises(InputError, match="smoothing is of states that a renderer draws"):
        s2id.train(toys(KINDS), tmp_path / "run", Preset("folder", tiny.model, wrong))
    assert like_card(Card(smoothing=0.3), TrainConfig(), TrainConfig()).smoothing == 0.3
    assert s2id.load("emoji").card.smoothing == PRESETS["emoji"].train.smoothing > 0
