"""On the way from one picture to another the noise stays noise, and the ends are the pictures that `sample` gives."""

from dataclasses import replace
from itertools import islice

import pytest
import torch
from conftest import SMALL_PUBLISHED

import s2id
from s2id.condition import Condition
from s2id.diffusion.noise import noise_field
from s2id.errors import InputError
from s2id.sampling import between as module
from s2id.sampling.between import between, path
from s2id.sampling.conditions import pair
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Card
from s2id.sampling.states import Arc, unit_noise


@pytest.fixture(scope="module")
def fast():
    return s2id.load("mnist-fast")


def same(one, other):
    return torch.equal(one.features.values, other.features.values) and one.facts == other.facts


def test_the_ends_are_what_sample_gives_bit_for_bit(fast, model):
    for one, settings in ((fast, s2id.Sampling()), (model, s2id.Sampling(steps=2, guidance=3.0, eta=0.5))):
        first, middle, last = between(one, (7, 0), (3, 1), 3, sampling=settings)
        assert same(first, s2id.sample(one, 7, 0, settings)) and same(last, s2id.sample(one, 3, 1, settings))
        assert middle.facts["asked"] == "50% of the way from label 7, seed 0 to label 3, seed 1"
        assert "seeds" not in middle.facts and middle.facts["data"] == one.card.data


def test_noise_on_the_way_has_unit_variance_and_is_white(model):
    size = (128, 128)
    start, middle, end = unit_noise(model, size, [3, Arc(3, 4, 0.5), 4])[:, 0]
    assert middle.var().item() == pytest.approx(1, abs=4 * (2 / middle.numel()) ** 0.5)
    for move in ((0, 1), (1, 0), (1, 1)):  # neighbours know nothing of each other
        assert abs((middle * middle.roll(move, (0, 1))).mean()) < 4 / 128
    for other in (start, end):  # as near to either: the cosine of half a right angle
        assert (middle * other).mean().item() == pytest.approx(0.5**0.5, abs=4 / 128)
    assert torch.equal(unit_noise(model, (8, 8), [Arc(3, 3, 0.3)])[0], unit_noise(model, (8, 8), [3])[0])
    assert torch.equal(start, noise_field(size, 1, 3)[0])


def test_block_means_of_noise_on_the_way_are_the_coarser_noise(model):
    fine, coarse = (unit_noise(model, (side, side), [Arc(1, 2, 0.3)])[0, 0] for side in (32, 16))
    assert torch.allclose(fine.reshape(16, 2, 16, 2).mean((1, 3)) * 2, coarse, atol=1e-5)


def test_pictures_on_the_way_move_from_one_to_the_other(fast):
    way = torch.cat([field.render(28) for field in between(fast, 0, 1, 7, label=7)])
    gone, left = ((way - end).square().mean((1, 2, 3)).sqrt() for end in (way[0], way[-1]))
    assert bool((gone.diff() > 0).all()) and bool((left.diff() < 0).all())
    assert gone.diff().max() < 0.5 * gone[-1]  # no jump


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_blend_of_classes_has_blended_tokens(fast, share):
    network, asked = fast.network, Condition(torch.tensor([7]))
    blended = replace(asked, toward=Condition(torch.tensor([-1])), share=torch.tensor([share]))
    seven, none = (network.condition_tokens(Condition(torch.tensor([i])))[0] for i in (7, -1))
    assert torch.equal(network.condition_tokens(blended)[0], torch.lerp(seven, none, share))
    assert torch.equal(network.condition_tokens(blended.unknown())[0], none)
    assert blended.known and not blended.unknown().known and len(blended[:0].toward) == 0


def test_numbers_on_the_way_are_numbers_between():
    start, end = (Condition(torch.tensor([1]), numbers=torch.tensor([[x, float("nan")]])) for x in (-1.0, 1.0))
    middle = module._blend(start, end, torch.tensor([0.25, 0.5]))
    for one in (middle, middle.toward):
        assert one.numbers.nan_to_num(9).tolist() == [[-0.5, 9.0], [0.0, 9.0]]
    assert module._blend(start, start, torch.tensor([0.5])).toward is None


def test_ways_through_several_pictures_show_each_once(fast):
    asked, seeds = pair(fast, [7, None, 3], [0, 0, 1])
    fields = list(path(fast, asked, seeds, 3, s2id.Sampling()))
    assert [field.facts.get("seeds") for field in fields] == ["0", None, "0", None, "1"]
    assert fields[1].facts["asked"] == "50% of the way from label 7, seed 0 to seed 0"


def test_fields_are_composed_as_they_are_asked_for(fast, monkeypatch):
    asked = []
    own = module.drawing
    monkeypatch.setattr(module, "drawing", lambda *given, **more: asked.append(len(given[1])) or own(*given, **more))
    assert len(list(islice(between(fast, 0, 1, 90_000, label=3), 20))) == 20
    assert asked == [16, 16]


@pytest.mark.parametrize(
    ("ends", "sentence"),
    [
        (({"words": torch.tensor([[1, 2]])}, {"words": torch.tensor([[1, 3]])}), "the words at the two ends differ"),
        (({"numbers": torch.tensor([[0.5]])}, {"numbers": torch.tensor([[torch.nan]])}), "a number that is given at"),
        (({"attributes": torch.tensor([[1]])}, {"attributes": torch.tensor([[0]])}), "an attribute that is asked for"),
        (({"tokens": torch.zeros(1, 2, 4)}, {"tokens": torch.full((1, 2, 4), torch.nan)}), "the texts at the two"),
    ],
)
def test_conditions_between_which_there_is_no_way_are_refused(fast, ends, sentence):
    start, end = (Condition(torch.tensor([1]), **more) for more in ends)
    with pytest.raises(InputError, match=sentence):
        between(fast, (start, 0), (end, 0))


def test_the_order_of_words_says_nothing():
    start, end = (Condition(torch.tensor([c]), words=torch.tensor([w])) for c, w in ((1, [4, 2, -1]), (2, [2, -1, 4])))
    module._check_blend(start, end)
    assert torch.equal(module._blend(start, end, torch.tensor([0.5])).toward.words, start.words)


def test_bad_ends_are_refused_with_a_sentence(fast):
    for given, sentence in (
        ((0, "11"), "label '11' is none of this model's"),
        ((0, (1, -1)), "seed is -1"),
        (([0, 1], 2), "seed is"),
    ):
        with pytest.raises(InputError, match=sentence):
            between(fast, *given)
    with pytest.raises(InputError, match="n is 1"):
        between(fast, 0, 1, 1)


def test_the_published_networks_classes_do_not_blend():
    published = S2ID(SMALL_PUBLISHED, Card(density=8)).eval()
    with pytest.raises(InputError, match="random tokens, which do not blend"):
        list(between(published, (1, 0), (2, 0), 3, sampling=s2id.Sampling(steps=1)))
    assert len(list(between(published, (1, 0), (1, 1), 3, sampling=s2id.Sampling(steps=1)))) == 3
