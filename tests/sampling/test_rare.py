"""A model knows how few pictures it has seen of a class or an attribute, and the command says so."""

from dataclasses import replace

import pytest
import torch
from conftest import TINY, enliven

import s2id
from s2id.cli.main import main
from s2id.condition import Condition
from s2id.data.pictures import Group, Pictures
from s2id.sampling.model import S2ID
from s2id.sampling.rare import rare, rare_asked
from s2id.sampling.sample import compose
from s2id.sampling.settings import Card, Sampling

CARD = Card(
    density=8,
    size=(8, 8),
    labels=("cat", "dog"),
    attributes=("hat", "tie"),
    pictures=1009,
    label_counts=(1000, 9),
    attribute_counts=((500, 509), (7, 1002)),
)


def test_pictures_of_all_sizes_are_counted():
    images = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    hats = torch.tensor([[1], [1], [-1], [0]])
    first = Group(images, torch.tensor([0, 1, 1, -1]), hats)
    data = Pictures("x", (first, replace(first, images=images[..., :6])), ("cat", "dog"), ("hat",))
    assert data.label_counts == (2, 4) and data.attribute_counts == ((4, 2),)


def test_each_kind_is_one_sentence():
    classes, attributes = rare(CARD)
    assert classes.startswith("classes with fewer than 100 pictures") and classes.endswith("others: dog (9).")
    assert attributes.endswith("tie (7).")
    many = Card(labels=tuple(map(str, range(50))), pictures=99, label_counts=tuple(range(1, 51)))
    assert rare(many)[0].endswith("19 (20) and 30 more.")
    assert rare(Card(labels=("cat",))) == []  # the counts are unknown
    assert rare(Card(labels=("cat",), pictures=9, label_counts=(0,))) == []  # known from another training


@pytest.mark.parametrize(
    ("label", "attributes", "said"),
    [(0, [1, 0], []), (1, [0, 0], ["dog was seen in 9 pictures of 1,009"]), (-1, [-1, 1], ["tie was seen in 7"]),
     (0, [0, -1], [])],
)  # fmt: skip
def test_what_is_rare_is_said_where_it_is_asked_for(label, attributes, said):
    found = rare_asked(CARD, Condition(torch.tensor([label]), torch.tensor([attributes])))
    assert len(found) == len(said) and all(one.startswith(start) for one, start in zip(found, said, strict=True))


def test_the_command_says_it_once(tmp_path, capsys):
    made = S2ID(replace(TINY, classes=2, attributes=2), CARD).eval()
    made.save(tmp_path / "pets.safetensors")
    words = [
        "sample",
        tmp_path / "pets.safetensors",
        "--label",
        "dog",
        "--seed",
        "0-2",
        "--steps",
        1,
        "--out",
        tmp_path,
    ]
    assert main([str(word) for word in words]) == 0
    assert capsys.readouterr().out.count("dog was seen in 9 pictures of 1,009") == 1


def test_strong_guidance_composes_no_state_beyond_the_range_of_pictures():
    made = S2ID(replace(TINY, classes=2, attributes=2), CARD).eval().requires_grad_(False)
    enliven(made)
    asked = s2id.ask(made, "dog", attributes={"hat": True, "tie": True})
    assert max(step.denoised.abs().max() for step in compose(made, asked, [0], Sampling(4, 300.0))) <= 1
