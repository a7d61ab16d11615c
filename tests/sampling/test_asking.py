"""What is asked for in Python is understood from the values of any library, or refused by its argument's name."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

import s2id
from s2id.errors import InputError
from s2id.network.settings import ModelConfig
from s2id.sampling.conditions import label_index, pair, seed_list
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Card
from s2id.shapes import NULL


def named(*labels, **card):
    config = ModelConfig(
        width=8, heads=1, encoder_blocks=0, decoder_blocks=1, film_width=8, classes=len(labels),
        attributes=len(card.get("attributes", ())), numbers=len(card.get("numbers", ())),
    )  # fmt: skip
    return S2ID(config, Card("noise", 8, labels, **card)).eval()


FACES = named(
    "cat",
    attributes=("Smiling", "big, red", "hat", "Hat"),
    numbers=("age", "a=b"),
    number_ranges=((20.0, 60.0), (0.0, 1.0)),
)


@pytest.mark.parametrize(
    ("labels", "asked", "index"),
    [
        (("3", "5", "7"), {3: 0, "7": 2, np.int64(5): 1, np.str_("3"): 0}, 1),
        (("3", "cat"), {3: 0, "CAT": 1}, 0),
        (("01", "02"), {"01": 0, "02": 1}, 1),
        (("-1", "1"), {-1: 0, 1: 1}, 0),
    ],
)
def test_where_numbers_are_names_no_index_is_taken_for_one(labels, asked, index):
    model = named(*labels)
    assert {one: label_index(model, one) for one in asked} == asked
    for wrong in (index, str(index)):
        with pytest.raises(InputError, match=f"label '{index}' is none of this model's; choose one of {labels[0]}, "):
            label_index(model, wrong)


def test_an_index_is_taken_where_it_cannot_be_mistaken():
    letters = named(*"0123456789AB")
    assert [label_index(letters, one) for one in (7, "7", 11, "11", "b")] == [7, 7, 11, 11, 11]
    assert [label_index(named("cat", "dog"), one) for one in (1, "1", np.uint8(0), None)] == [1, 1, 0, NULL]
    unnamed = S2ID(letters.config, replace(letters.card, labels=()))
    assert label_index(unnamed, 11) == label_index(unnamed, "11") == 11


def kind_of(value) -> str:
    """A test's name, the same in every process."""
    return type(value).__name__


LABELS = [
    3, "3", np.int64(3), np.array(3), np.str_("3"), torch.tensor(3), torch.tensor(3, dtype=torch.uint8), [3],
    (np.int32(3),), range(3, 4), np.array([3]), np.array(["3"]), torch.tensor([3]), iter([3]),
]  # fmt: skip


@pytest.mark.parametrize("label", LABELS, ids=kind_of)
def test_labels_of_any_library_are_the_same(model, label):
    assert pair(model, label, 0)[0].label.tolist() == [3]


def test_a_tensor_is_several_labels_and_an_array_several_seeds(model):
    drawn = s2id.sample(model, torch.tensor([1, 2]), np.arange(2), steps=1)
    assert drawn.facts["labels"] == "1 2" and drawn.facts["seeds"] == "0 1"
    assert s2id.sample(model, np.int64(3), torch.arange(4), steps=1).facts["labels"] == "3 3 3 3"
    for seed in (7, np.uint64(7), np.array(7), torch.tensor(7), [np.int8(7)], range(7, 8), iter([torch.tensor(7)])):
        assert seed_list(seed) == [7]
    assert seed_list(2**64 - 1) == [2**64 - 1]


WRONG = [1.5, 7.0, True, np.bool_(True), b"7", torch.tensor(True), torch.tensor(1.5), math.nan, {7: 7}, {7}, object()]


@pytest.mark.parametrize(
    "value",
    [*WRONG, [[1, 2]], [1.5], [True], np.ones((2, 2), int), np.array([1.5])],
    ids=kind_of,
)
def test_what_is_no_label_or_seed_is_refused_by_name(model, value):
    for argument, asked in {"label": (value, 0), "seed": (1, value)}.items():
        with pytest.raises(InputError, match=f"^{argument} is ") as caught:
            s2id.sample(model, *asked)
        assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


@pytest.mark.parametrize("seed", ["7", -1, 10**30, 10**400, -(10**5000), [-1], [None], None, range(10**9)], ids=kind_of)
def test_seeds_out_of_range_are_refused(model, seed):
    with pytest.raises(InputError, match="^seed (is|has)"):
        s2id.sample(model, 1, seed)
    with pytest.raises(InputError, match="^seeds (is|has)"):
        s2id.restore(model, torch.zeros(1, 8, 8), seeds=seed)


def test_nothing_is_no_label_and_no_seed(model):
    for label in ([], np.array([], int), torch.arange(0)):
        with pytest.raises(InputError, match="there is no label"):
            s2id.sample(model, label)
        with pytest.raises(InputError, match="there is no seed"):
            s2id.sample(model, 1, label)
    with pytest.raises(InputError, match="label '1000.* is none of this model's|label 'of type int' is none"):
        s2id.sample(model, 10**5000)
    for label in ("7.0", "", "10", 10, -1):
        with pytest.raises(InputError, match=re.escape(f"label '{label}' is none of this model's; choose one of 0, 1")):
            s2id.sample(model, label)


def test_attributes_and_numbers_are_what_they_say():
    asked = s2id.ask(FACES, attributes={"smiling": np.True_, "hat": False}, numbers={"Age": np.float32(60)})
    assert asked.attributes.tolist() == [[1, 0, -1, 0]] and asked.numbers[0].tolist()[0] == 1
    for values, said in {
        "-1": ({"smiling": -1}, "attribute 'smiling' is -1; give True"),
        "text": ({"smiling": "false"}, "attribute 'smiling' is 'false'; give True"),
        "twice": ({"smiling": True, "Smiling": False}, "attribute 'smiling' is asked for again as 'Smiling'"),
        "alike": ({"HAT": True}, "attribute 'HAT' may be any of hat, Hat"),
        "list": (["smiling"], "attributes are "),
        "number": ({3: True}, "attribute 3 is no name"),
    }.values():
        with pytest.raises(InputError, match=re.escape(said)):
            s2id.ask(FACES, attributes=values)
    for value in (math.nan, math.inf, 1e308, 10**400, 10**5000, "30", True, None, torch.zeros(2)):
        with pytest.raises(InputError, match="^number 'age' is "):
            s2id.ask(FACES, numbers={"age": value})
