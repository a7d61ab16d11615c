"""Conditions: what is unknown is not heard, labels can be asked for in any subset, and names are found or refused."""

from dataclasses import replace

import pytest
import torch
from conftest import TINY, enliven

import s2id
from s2id.condition import Condition, cat, condition_of
from s2id.diffusion.denoiser import TrainedDenoiser
from s2id.diffusion.guidance import Guided, Push
from s2id.diffusion.process import Schedule
from s2id.diffusion.samplers import last
from s2id.errors import InputError
from s2id.network.attention import CrossAttention
from s2id.sampling.conditions import describe, forget, position
from s2id.sampling.model import S2ID
from s2id.sampling.sample import compose
from s2id.sampling.settings import Card, Sampling
from s2id.shapes import NULL

RICH = {"attributes": 3, "numbers": 2, "token_width": 5}
NAMES = ("Smiling", "Eyeglasses", "Wearing_Hat")


@pytest.fixture
def faces() -> S2ID:
    """A small model that knows classes, attributes, numbers and text."""
    card = Card(
        "faces", 8, ("cat", "dog"), attributes=NAMES, numbers=("age", "size"), number_ranges=((0.0, 80.0), (1.0, 3.0))
    )
    made = S2ID(replace(TINY, classes=2, **RICH), card).eval().requires_grad_(False)
    enliven(made)
    return made


def condition(count=4, seed=0):
    """Everything known."""
    generator = torch.Generator().manual_seed(seed)
    return Condition(
        torch.arange(count) % 2,
        torch.randint(0, 2, (count, 3), generator=generator) * 2 - 1,
        torch.rand(count, 2, generator=generator) * 2 - 1,
        torch.randn(count, 3, 5, generator=generator),
    )


def state(count=4, seed=1):
    return torch.randn(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed))


def test_nothing_known_is_nothing_asked(network):
    made, x_t, t = network(**RICH), state(), torch.zeros(4)
    nothing = condition().unknown()
    assert not nothing.known and condition().known
    for empty in (nothing, Condition(torch.full((4,), NULL)), torch.full((4,), NULL)):
        assert torch.allclose(made(x_t, t, empty), made(x_t, t), atol=1e-6)


@pytest.mark.parametrize("attention", ["full", "axial", "window", "linear"])
def test_each_known_label_is_heard_and_each_unknown_one_is_not(network, attention):
    made, x_t, t = network(attention=attention, **RICH), state(), torch.zeros(4)
    whole = condition()
    base = made(x_t, t, whole)
    changes = [
        replace(whole, label=1 - whole.label),
        *(replace(whole, attributes=whole.attributes * (1 - 2 * torch.eye(3, dtype=torch.long)[i])) for i in range(3)),
        *(replace(whole, numbers=whole.numbers + 0.3 * torch.eye(2)[i]) for i in range(2)),
        replace(whole, tokens=whole.tokens + 0.3),
        replace(whole, attributes=None),
    ]
    said = [base, *(made(x_t, t, change) for change in changes)]
    assert all((a - b).abs().max() > 1e-4 for i, a in enumerate(said) for b in said[:i])
    padding = torch.full((4, 2, 5), torch.nan)
    padded = made(x_t, t, replace(whole, tokens=torch.cat([whole.tokens, padding], dim=1)))
    assert torch.allclose(padded, base, atol=1e-5)


def test_pictures_of_different_conditions_do_not_know_each_other(network):
    made, x_t, t = network(**RICH), state(), torch.zeros(4)
    rows = [condition(1, seed=i) for i in range(4)]
    rows[1] = replace(rows[1], attributes=None, tokens=rows[1].tokens[:, :1])
    rows[2] = Condition(torch.tensor([1]))
    together = made(x_t, t, cat(rows))
    for i, row in enumerate(rows):
        assert torch.allclose(together[i : i + 1], made(x_t[i : i + 1], t[:1], row), atol=1e-5)


def test_many_tokens_attend_to_the_known_ones_alone():
    generator = torch.Generator().manual_seed(0)
    made = CrossAttention(64, 2).requires_grad_(False)
    x = torch.randn(2, 24, 24, 64, generator=generator)  # enough of them for the few-keys way
    tokens, known = torch.randn(2, 3, 64, generator=generator), torch.tensor([[True, True, False]]).expand(2, 3)
    assert torch.allclose(made(x, tokens, known), made(x, tokens[:, :2]), atol=1e-5)
    few, fewer = x[:, :4, :4], x[:, :4, :4].bfloat16().requires_grad_(True)
    assert torch.allclose(made(few, tokens, known), made(few, tokens[:, :2]), atol=1e-5)
    written_out = made.bfloat16()(fewer, tokens.bfloat16(), known)
    assert torch.allclose(written_out, made(fewer, tokens[:, :2].bfloat16()), atol=1e-2)


def test_every_parameter_of_the_condition_learns(network):
    made = network(**RICH).requires_grad_(True)
    made(state(), torch.zeros(4), condition()).square().mean().backward()
    still = [name for name, p in made.asked.named_parameters() if not p.grad.abs().max() > 0]
    assert not still


def test_a_condition_that_does_not_fit_is_refused(network):
    whole = condition()
    with pytest.raises(InputError, match="has 3 attributes and this model knows 0"):
        network()(state(), torch.zeros(4), whole)
    with pytest.raises(InputError, match="has 1 numbers and this model knows 2"):
        network(**RICH)(state(), torch.zeros(4), replace(whole, numbers=whole.numbers[:, :1]))


def test_a_class_model_has_no_new_weights(network):
    assert not [name for name in network().state_dict() if name.startswith("asked")]


def test_conditions_split_and_join():
    whole = condition(6)
    parts = whole.split(4)
    assert [len(part) for part in parts] == [4, 2]
    again = cat(parts)
    assert all(torch.equal(getattr(again, k), getattr(whole, k)) for k in ("label", "attributes", "numbers", "tokens"))
    moved = replace(parts[0].weighted(2.0), toward=condition(4, seed=1), share=torch.full((4,), 0.5))
    both = cat([parts[1], moved])
    assert both.guidance.nan_to_num(-1).tolist() == [-1, -1, 2, 2, 2, 2] and both.share.tolist() == [0, 0, *[0.5] * 4]
    assert torch.equal(both.toward.tokens, torch.cat([parts[1].tokens, moved.toward.tokens]))
    assert len(condition_of(None, 3)) == 3 and not condition_of(None, 3).known
    assert condition_of(torch.tensor([1, NULL]), 2).known


def test_guidance_over_a_subset_is_its_formula(network):
    plain = TrainedDenoiser(network(**RICH), Schedule())
    x_t, t, whole = state(), torch.full((4,), 0.5), condition()
    one_less = replace(whole, attributes=whole.attributes * torch.tensor([0, 1, 1]))
    unwanted = Condition(torch.full((4,), NULL), torch.tensor([[0, 1, 0]]).expand(4, 3))
    pushes = (Push(2.0, whole, one_less), Push(-1.5, unwanted))
    d, none, less, bad = (plain(x_t, t, c) for c in (whole, None, one_less, unwanted))
    wanted = none + 1.5 * (d - none) + 2.0 * (d - less) - 1.5 * (bad - none)
    assert torch.allclose(Guided(plain, 1.5, pushes)(x_t, t, whole), wanted, atol=1e-5)
    assert torch.allclose(Guided(plain, 1.0, pushes[:1])(x_t, t, whole), d + 2.0 * (d - less), atol=1e-5)
    assert torch.allclose(Guided(plain, 1.5, pushes[1:])(x_t, t), none - 1.5 * (bad - none), atol=1e-5)


def test_the_decoder_runs_once_per_condition():
    class Counting:
        schedule = Schedule()

        def __call__(self, x_t, t, label=None):
            raise AssertionError("one call for all")

        def under_each(self, x_t, t, labels, size=None):
            self.count = len(labels)
            return [x_t for _ in labels]

    whole, other = condition(), condition(seed=1)
    counting = Counting()
    Guided(counting, 1.5, (Push(2.0, whole, other), Push(1.0, other)))(state(), torch.zeros(4), whole)
    assert counting.count == 3


def test_names_are_found_in_any_spelling(faces):
    asked = s2id.ask(faces, "dog", attributes={"smiling": True, "wearing-hat": False}, numbers={"Age": 60})
    assert asked.label.tolist() == [1] and asked.attributes.tolist() == [[1, 0, -1]]
    assert asked.numbers[0, 0] == pytest.approx(0.5) and asked.numbers[0, 1].isnan()
    assert describe(faces, asked) == ["+Smiling -Wearing_Hat age=60"]
    less = forget(faces, asked, "wearing hat")
    assert less.attributes.tolist() == [[1, 0, 0]] and torch.equal(less.label, asked.label)
    assert forget(faces, asked, "age").numbers.isnan().all() and forget(faces, asked, "label").label.tolist() == [NULL]


def test_unknown_names_are_refused_with_the_near_ones(faces, model):
    with pytest.raises(InputError, match="attribute 'smilin' is none of this model's; did you mean Smiling"):
        s2id.ask(faces, attributes={"smilin": True})
    with pytest.raises(InputError, match="number 'weight' is none of this model's; choose one of age, size"):
        s2id.ask(faces, numbers={"weight": 3.0})
    with pytest.raises(InputError, match="it knows no attributes: leave it out"):
        s2id.ask(model, attributes={"smiling": True})
    with pytest.raises(InputError, match="4 channels and this model takes 5; use the encoder"):
        s2id.ask(faces, tokens=torch.zeros(2, 4))
    with pytest.raises(InputError, match="label 'smiley' is none of this model's; did you mean Smiling"):
        s2id.sample(
            faces, s2id.ask(faces, attributes={"smiling": True}), sampling=Sampling(stronger=(("smiley", 3.0),))
        )
    assert position("wearing hat", NAMES, "attribute") == 2


def test_samples_hear_conditions_weights_and_what_to_avoid(faces):
    smile = s2id.ask(faces, "dog", attributes={"smiling": True, "eyeglasses": False}, tokens=torch.ones(2, 5))
    hat = s2id.ask(faces, attributes={"wearing hat": True})
    drawn = [
        s2id.sample(faces, asked, seed=0, steps=2, **more).render((8, 8))
        for asked, more in (
            ("dog", {}),
            (smile, {}),
            (smile, {"sampling": Sampling(stronger=(("smiling", 40.0),))}),
            (smile, {"sampling": Sampling(stronger=(("text", 40.0),))}),
            (smile, {"avoid": hat}),
            (None, {"avoid": hat}),
            (None, {}),
        )
    ]
    assert all((a - b).abs().max() > 1e-4 for i, a in enumerate(drawn) for b in drawn[:i])
    same = s2id.sample(faces, smile, seed=0, steps=2, sampling=Sampling(stronger=(("smiling", 1.5),))).render((8, 8))
    assert torch.allclose(same, drawn[1], atol=1e-5), "a weight of the guidance itself changes nothing"
    pair = s2id.sample(faces, [smile, "dog"], seed=[0, 0], steps=2)
    assert pair.facts["labels"] == "1 1" and pair.facts["asked"] == '["+Smiling -Eyeglasses text", ""]'
    both = pair.render((8, 8))
    assert torch.allclose(both, torch.cat([drawn[1], drawn[0]]), atol=1e-4)


def test_what_to_avoid_is_one_for_all_or_one_for_each(faces):
    hats = s2id.ask(faces, attributes={"wearing hat": True})[torch.zeros(3, dtype=torch.long)]
    with pytest.raises(InputError, match="avoid is for 3 pictures and 1 are drawn; give one, or one for each"):
        s2id.sample(faces, "dog", seed=0, steps=1, avoid=hats)


def test_classes_as_a_tensor_are_the_same_condition(model):
    by_tensor = last(compose(model, torch.tensor([3, NULL]), [0, 1], Sampling(2)))
    by_condition = last(compose(model, Condition(torch.tensor([3, NULL])), [0, 1], Sampling(2)))
    assert torch.equal(by_tensor, by_condition)


def test_names_travel_with_the_weights(faces, tmp_path):
    faces.save(tmp_path / "faces.safetensors")
    again = s2id.load(tmp_path / "faces.safetensors")
    assert again.card == faces.card and again.config == faces.config
