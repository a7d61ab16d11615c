"""Sampling may end on a finer state than it began on, and shows the same picture there."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import enliven

import s2id
from s2id.condition import condition_of
from s2id.coords import extent, frame_grid, trained_size
from s2id.diffusion.guidance import Guided
from s2id.diffusion.noise import finer
from s2id.diffusion.process import Schedule
from s2id.diffusion.samplers import dpmpp_2m, last
from s2id.errors import InputError
from s2id.media.images import resize
from s2id.sampling.denoisers import read_out, trained_denoiser
from s2id.sampling.model import S2ID
from s2id.sampling.resolving import resolved
from s2id.sampling.sample import compose
from s2id.sampling.settings import Sampling
from s2id.sampling.states import rise, state_sizes, unit_noise
from s2id.shapes import per_sample


@pytest.fixture
def rising(model):
    """A model that composes on 8 samples a side and ends on 12."""
    model.card = replace(model.card, detail_density=12, detail_time=0.25, size=(12, 12))
    return model


class Known:
    """The exact denoiser of data that are one picture."""

    def __init__(self, picture, schedule):
        self.picture, self.schedule = picture, schedule

    def under_each(self, x_t, t, labels, size=None):
        return [resize(self.picture, size or (x_t.shape[2], x_t.shape[3])).expand(len(x_t), -1, -1, -1) for _ in labels]

    def __call__(self, x_t, t, label=None):
        return self.under_each(x_t, t, [label])[0]


def test_a_finer_state_is_the_same_picture_under_noise_that_holds_the_coarse():
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(1, 1, 12, 12, generator=generator)
    schedules = Schedule(), Schedule().at_density(12 / 8)
    coarse, fine = (Guided(Known(picture, schedule), 1.0) for schedule in schedules)
    eps, fresh = torch.randn(2, 1, 8, 8, generator=generator), torch.randn(2, 1, 12, 12, generator=generator)
    t = torch.full((2,), 0.25, dtype=torch.float64)
    (alpha, sigma), (fine_alpha, fine_sigma) = ([per_sample(a.float(), eps) for a in s(t)] for s in schedules)
    x_t = alpha * resize(picture, (8, 8)) + sigma * eps
    risen = rise(coarse, fine, x_t, 0.25, None, fresh)
    torch.testing.assert_close(risen, fine_alpha * picture + fine_sigma * finer(eps, fresh), rtol=1e-4, atol=1e-5)
    end = last(dpmpp_2m(fine, risen, torch.linspace(0.25, 0, 6, dtype=torch.float64)))
    assert (end - picture).abs().max() < 0.01


def test_the_last_steps_are_on_finer_states_and_the_field_is_read_there(rising):
    walk = list(compose(rising, condition_of(None, 2), [0, 1], Sampling(8, 1.0)))
    assert [(step.t, step.x_t.shape[-1]) for step in walk] == [
        (0.875, 8), (0.75, 8), (0.625, 8), (0.5, 8), (0.375, 8), (0.25, 8), (0.125, 12), (0.0, 12),
    ]  # fmt: skip
    lattice = rising.config.lattice * 12 // rising.config.patch
    assert s2id.sample(rising, seed=0, steps=8).features.values.shape[1:3] == (lattice, lattice)


def test_a_model_is_guided_by_its_guide_unless_told_otherwise(model):
    weaker = S2ID(replace(model.config, width=8, heads=1), model.card)
    enliven(weaker, seed=3)
    guided = model.guided_by(weaker, 3.0)
    how = {"label": 3, "seed": [0, 1], "steps": 3}
    plain, own, less = (
        s2id.sample(guided, **how, sampling=Sampling(autoguidance=w)).render((16, 16)) for w in (1.0, None, 2.0)
    )
    assert torch.equal(plain, s2id.sample(model, **how).render((16, 16)))
    assert torch.equal(own, s2id.sample(guided, **how, sampling=Sampling(autoguidance=3.0)).render((16, 16)))
    assert min((a - b).abs().max() for a, b in ((plain, own), (own, less), (plain, less))) > 1e-3
    # one step of ddim ends on the first call's answer, which is the formula's
    x_t, t = unit_noise(model, (8, 8), [0, 1]), torch.ones(2, dtype=torch.float64)
    (step,) = compose(guided, torch.tensor([3, 3]), [0, 1], Sampling(1, 1.0, 2.0, "ddim"))
    better, worse = (trained_denoiser(one, (8, 8))(x_t, t, torch.tensor([3, 3])) for one in (model, weaker))
    torch.testing.assert_close(step.denoised, 2 * better - worse)
    with pytest.raises(InputError, match="this model has no guide"):
        s2id.sample(model, **how, sampling=Sampling(autoguidance=2.0))
    with pytest.raises(InputError, match="autoguidance is inf"):
        Sampling(autoguidance=math.inf)


def test_the_function_is_read_out_with_the_guide(model, tmp_path):
    weaker = S2ID(replace(model.config, width=8, heads=1, head_width=16), model.card)
    enliven(weaker, seed=3)
    guided, labels = model.guided_by(weaker, 3.0), torch.tensor([3, 4])
    how = Sampling(2, autoguidance=2.0)
    state = last(compose(guided, labels, [0, 1], how))
    field, grid = s2id.sample(guided, [3, 4], [0, 1], how), frame_grid((24, 24))
    better, worse = (read_out(one, state, labels) for one in (model, weaker))
    better, worse = (one.head(one.features, grid) for one in (better, worse))
    assert (better - worse).abs().max() > 1e-2
    half_as_far = 1.5 * better - 0.5 * worse
    torch.testing.assert_close(field.head(field.features, grid), half_as_far, rtol=1e-4, atol=1e-5)
    field.save(tmp_path / "field.safetensors")
    assert torch.equal(s2id.Field.load(tmp_path / "field.safetensors").render((24, 24)), field.render((24, 24)))


def test_a_guide_goes_along_to_finer_states_and_moves_no_random_numbers(rising):
    """The bundled digits are drawn so; the guide's tokens may be smaller."""
    weaker = S2ID(replace(rising.config, patch=1, lattice=1), replace(rising.card, detail_density=0, detail_time=0.0))
    enliven(weaker, seed=3)
    guided = rising.guided_by(weaker, 2.0)
    label, how = torch.tensor([3]), Sampling(8, 1.0)
    with_both, alone = (last(compose(guided, label, [0], replace(how, autoguidance=w))) for w in (2.0, 1.0))
    assert with_both.shape[-1] == 12 and (with_both - alone).abs().max() > 1e-3
    before = torch.random.get_rng_state()
    field = s2id.sample(guided, 3, 0, how)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(field.features.values, read_out(guided, with_both, label, autoguidance=2.0).features.values)


@pytest.mark.parametrize(("size", "state"), [((16, 13), (8, 6)), ((9, 16), (4, 8)), ((8, 7), (8, 6))])
def test_a_field_has_the_frame_that_pictures_were_trained_in(model, size, state):
    """Whole patches have another aspect, and a state no more samples than the pictures had."""
    model.card = replace(model.card, size=size)
    assert state_sizes(model, size)[0] == trained_size(size, 8, 2) == state
    field = s2id.sample(model, 3, 0, steps=1)
    assert field.features.frame == pytest.approx(extent(size))
    whole = field.render((4 * size[0], 4 * size[1]))
    assert torch.equal(whole, field.render((4 * size[0], 4 * size[1]), fit="stretch")), "no canvas beside it"


def test_between_steps_the_callers_mode_is_the_callers(model):
    walks = [compose(model, torch.zeros(1, dtype=torch.long), [0], Sampling(steps)) for steps in (1, 3)]
    for _ in zip(*walks, strict=False):
        assert not torch.is_inference_mode_enabled()
    del walks
    assert not torch.is_inference_mode_enabled()


def test_seeds_may_be_any_integers(model):
    plain = s2id.sample(model, 3, [4, 5], steps=1)
    assert torch.equal(s2id.sample(model, 3, np.array([4, 5]), steps=1).features.values, plain.features.values)
    assert s2id.sample(model, 3, np.int64(4), steps=1).facts["seeds"] == "4"
    assert plain[1].facts["seeds"] == "5" and plain[1].facts["labels"] == "3" and plain.facts["seeds"] == "4 5"


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_few_steps_end_where_they_can(rising, steps):
    walk = list(compose(rising, condition_of(None, 1), [0], Sampling(steps, 1.0)))
    assert len(walk) == steps and walk[-1].t == 0
    # every step leaves a time above the threshold: nothing is left to be done on a finer state
    assert walk[-1].x_t.shape[-1] == 8


def test_a_density_that_is_asked_for_is_kept(rising):
    assert state_sizes(rising, (12, 12)) == ((8, 8), (12, 12))
    assert state_sizes(rising, (24, 12)) == ((8, 4), (12, 6))
    assert state_sizes(rising, (12, 12), density=10) == ((10, 10), None)
    rising.card = replace(rising.card, detail_density=0)
    assert state_sizes(rising, (12, 12)) == ((8, 8), None)


@pytest.mark.parametrize(("sampler", "eta"), [("ddim", 0.0), ("ddim", 1.0), ("dpmpp", 1.0)])
def test_a_seed_is_its_own_picture_on_finer_states_too(rising, sampler, eta):
    settings = Sampling(6, 1.5, sampler=sampler, eta=eta)
    alone = s2id.sample(rising, 3, seed=5, sampling=settings).render((12, 12))
    among = s2id.sample(rising, [1, 3], seed=[4, 5], sampling=settings).render((12, 12))[1:]
    torch.testing.assert_close(alone, among, rtol=0, atol=1e-4)


def test_the_temperature_is_a_factor_of_the_noise_and_the_cards_where_none_is_asked_for(rising):
    enliven(rising)

    def drawn(seed=0, **settings):
        return s2id.sample(rising, 3, seed, Sampling(steps=4, **settings)).render((12, 12))

    (step, *_) = compose(rising, s2id.ask(rising, label=3), [0], Sampling(steps=4, temperature=0.5))
    denoiser = Guided(trained_denoiser(rising, (8, 8)), 1.5)
    x_t = 0.5 * unit_noise(rising, (8, 8), [0])
    first = next(iter(dpmpp_2m(denoiser, x_t, torch.linspace(1, 0, 5, dtype=torch.float64), s2id.ask(rising, label=3))))
    assert torch.allclose(step.x_t, first.x_t, atol=1e-5)
    assert torch.equal(drawn(0, temperature=0.0), drawn(1, temperature=0.0))
    assert not torch.allclose(drawn(0), drawn(1), atol=1e-2)
    plain, half = drawn(), drawn(temperature=0.5)
    rising.card = replace(rising.card, temperature=0.5)
    assert torch.equal(drawn(), half) and torch.equal(drawn(temperature=1.0), plain)
    assert not torch.allclose(plain, half, atol=1e-3)


def test_restoring_has_all_its_noise_whatever_the_cards_temperature(model):
    model.card = replace(model.card, temperature=0.5)
    assert resolved(model, Sampling(), restoring=True).temperature == 1
    assert resolved(model, Sampling()).temperature == 0.5
    assert resolved(model, Sampling(temperature=0.2), restoring=True).temperature == 0.2
    with pytest.raises(InputError, match="temperature"):
        Sampling(temperature=-0.1)
