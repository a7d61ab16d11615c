"""Words as a condition: order says nothing, any subset is asked for, unknown words are refused with the near ones."""

import json
from dataclasses import replace

import pytest
import torch
from conftest import TINY, enliven
from hypothesis import given
from hypothesis import strategies as st

import s2id
from s2id.cli.main import main
from s2id.condition import Condition, cat
from s2id.errors import InputError
from s2id.sampling.conditions import describe, forget, parts_of
from s2id.sampling.denoisers import trained_denoiser
from s2id.sampling.model import S2ID
from s2id.sampling.rare import rare_asked
from s2id.sampling.sample import compose
from s2id.sampling.settings import Card, Sampling
from s2id.shapes import NULL
from s2id.words import parted, word_indices

WORDS = ("a", "red", "fox", "car", "hat")


@pytest.fixture
def icons() -> S2ID:
    """A small model that knows two styles, an attribute and five words."""
    card = Card(
        "icons", 8, ("flat", "round"), attributes=("hat",), words=WORDS, word_counts=(90, 50, 40, 9, 3), pictures=99,
        size=(8, 8),
    )  # fmt: skip
    made = S2ID(replace(TINY, classes=2, attributes=1, words=5), card).eval().requires_grad_(False)
    enliven(made)
    return made


def drawn(model, asked, **settings):
    return s2id.sample(model, asked, seed=0, steps=2, sampling=Sampling(**settings)).render((8, 8))


def test_order_case_and_repetition_say_nothing(icons):
    asked = [s2id.ask(icons, words=words) for words in ("red fox", "FOX, red fox", ["fox", "red"], ("red-fox",))]
    assert all(one.words.tolist() == [[1, 2]] for one in asked)
    pictures = [drawn(icons, one) for one in asked]
    assert all(torch.equal(one, pictures[0]) for one in pictures)
    turned = Condition(torch.tensor([NULL]), words=torch.tensor([[2, 1, NULL]]))
    assert torch.allclose(drawn(icons, turned), pictures[0], atol=1e-5), "nor does the order of indices, or padding"


def test_every_subset_of_words_is_a_condition_of_its_own(icons):
    asked = [s2id.ask(icons, words=words) for words in ("red", "fox", "red fox", "red fox car")]
    pictures = [drawn(icons, one) for one in (*asked, s2id.ask(icons), s2id.ask(icons, "flat", words="red fox"))]
    assert all((a - b).abs().max() > 1e-4 for i, a in enumerate(pictures) for b in pictures[:i])
    together = s2id.sample(icons, cat(asked), seed=[0] * 4, steps=2).render((8, 8))
    assert torch.allclose(together, torch.cat(pictures[:4]), atol=1e-4)


def test_style_is_the_class_by_another_name(icons):
    assert s2id.ask(icons, style="flat").label.tolist() == s2id.ask(icons, "flat").label.tolist() == [0]
    with pytest.raises(InputError, match="label 'flat' and style 'round' both name a class"):
        s2id.ask(icons, "flat", style="round")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "red foxx",
            r"^'foxx' \(did you mean fox\?\) is none of the 5 words that this model knows; ask for others",
        ),
        ("rad qqq", r"^'rad' \(did you mean red\?\), 'qqq' are none of the 5 words"),
        ("", "words is '', which holds no word"),
        ([], "words is '', which holds no word"),
        (3, "words is 3; give a text such as 'red fox'"),
        (["red", 3], r"words is \['red', 3\]; give a text"),
    ],
    ids=["near", "several", "empty", "none", "number", "mixed"],
)
def test_words_that_are_not_known_are_refused_with_the_near_ones(icons, words, said):
    with pytest.raises(InputError, match=said):
        s2id.ask(icons, words=words)


def test_a_model_without_words_says_so(model, network):
    with pytest.raises(InputError, match="words is 'red' and this model knows no words; leave it out"):
        s2id.ask(model, words="red")
    with pytest.raises(InputError, match="has word 0 and this model knows 0 words; make it with s2id.ask"):
        network()(torch.zeros(1, 1, 4, 4), torch.zeros(1), Condition(torch.tensor([1]), words=torch.tensor([[0]])))
    assert not [name for name in network(attributes=2).state_dict() if "words" in name]


@given(st.sets(st.sampled_from(WORDS), min_size=1), st.randoms())
def test_indices_rise_whatever_the_order(words, random):
    order = random.sample(sorted(words), len(words))
    assert word_indices(order, WORDS) == [i for i, word in enumerate(WORDS) if word in words]


def test_guidance_over_words_over_one_word_and_over_style_is_apart(icons):
    asked = s2id.ask(icons, "flat", words="red fox", attributes={"hat": True})
    assert describe(icons, asked) == ["red fox +hat"]
    assert forget(icons, asked, "words").words is None and forget(icons, asked, "words").label.tolist() == [0]
    for name in ("style", "label"):
        less = forget(icons, asked, name)
        assert less.label.tolist() == [NULL] and less.words.tolist() == [[1, 2]]
    assert forget(icons, asked, "fox").words.tolist() == [[1, NULL]]
    assert forget(icons, asked, "hat").attributes.tolist() == [[0]], "an attribute comes before a word"
    stronger = [{"stronger": ((name, 30.0),)} for name in ("words", "style", "fox")]
    pictures = [drawn(icons, asked, **settings) for settings in ({}, *stronger)]
    assert all((a - b).abs().max() > 1e-4 for i, a in enumerate(pictures) for b in pictures[:i])
    same = drawn(icons, asked, stronger=(("words", 1.5),))
    assert torch.allclose(same, pictures[0], atol=1e-5), "a weight of the guidance itself changes nothing"


def having(icons, *pairs):
    """The model, which has seen these pairs of words together."""
    rows = tuple(tuple(later for first, later in sorted(pairs) if first == word) for word in range(len(WORDS)))
    made = S2ID(icons.config, replace(icons.card, words_together=rows)).eval().requires_grad_(False)
    made.network.load_state_dict(icons.network.state_dict())
    return made


def test_words_that_no_picture_has_together_are_composed(icons):
    model = having(icons, (0, 1), (0, 2))
    asked = s2id.ask(model, "flat", words="red fox")
    first, other = parts_of(model, asked)
    assert (first.words.tolist(), other.words.tolist()) == ([[2]], [[1]]), "the rarer word comes first"
    guided = []
    next(compose(model, asked, [0], Sampling(2, guidance=2.0), under=lambda one: guided.append(one) or one))
    x_t, t = torch.randn(1, 1, 8, 8), torch.full((1,), 0.7, dtype=torch.float64)
    style = s2id.ask(model, "flat")
    each = trained_denoiser(model, (8, 8)).under_each(x_t, t, [None, first, other, style])
    by_hand = each[0] + 2 * (each[1] - each[0]) + 2 * (each[2] - each[3])
    assert torch.allclose(guided[0](x_t, t, first), by_hand, atol=1e-5)
    assert (drawn(model, asked) - drawn(icons, asked)).abs().max() > 1e-4
    stronger = drawn(model, asked, stronger=(("red", 9.0),))
    assert (stronger - drawn(model, asked)).abs().max() > 1e-4, "in whichever part the word is"


def test_words_that_go_together_are_asked_for_at_once(icons):
    model = having(icons, (1, 2))
    for words in ("red fox", "fox", "car", ""):
        asked = s2id.ask(model, words=words or None)
        assert parts_of(model, asked) == [asked]
    assert torch.equal(*(drawn(one, s2id.ask(one, words="red fox")) for one in (model, icons)))
    asked = s2id.ask(model, words="red car")
    assert len(parts_of(model, asked)) == 2 and parts_of(icons, asked) == [asked], "it is not known what was seen"
    student = S2ID(icons.config, replace(model.card, times=(1.0, 0.5)))
    assert parts_of(student, asked) == [asked], "a distilled model cannot compose"


def test_an_article_that_goes_with_no_word_is_left_out(icons):
    model = having(icons, (1, 2), (0, 3))
    for words, kept in (
        ("a fox", [[[2]]]),
        ("a red fox", [[[2, 1]]]),
        ("a car fox", [[[3, 0]], [[2]]]),
        ("a", [[[0]]]),
    ):
        assert [part.words.tolist() for part in parts_of(model, s2id.ask(model, words=words))] == kept


def test_a_picture_does_not_depend_on_what_others_of_its_batch_are_composed_of(icons):
    model = having(icons, (1, 2))
    asked = [s2id.ask(model, words=words) for words in ("red fox", "car red fox hat", "car")]
    assert [len(parts_of(model, one)) for one in asked] == [1, 3, 1]
    parts = parts_of(model, cat(asked))
    assert [part.words.tolist() for part in parts[1:]] == [[[NULL], [3], [NULL]], [[NULL, NULL], [2, 1], [NULL, NULL]]]
    together = s2id.sample(model, cat(asked), seed=[0] * 3, steps=2).render((8, 8))
    assert torch.allclose(together, torch.cat([drawn(model, one) for one in asked]), atol=1e-4)


def test_words_in_the_same_company_stand_in_for_one_another():
    company = tuple(range(3, 9))
    rows = ((2, *company), company, (), *[()] * 6)  # 0 and 1 are both beside 3 to 8, and 0 is also beside 2
    counts = (9,) * 9
    known = tuple("abcdefghi".upper())
    assert parted([1, 2], known, counts, rows) == [[2, 1]]
    assert parted([0, 1], known, counts, rows) == [[1], [0]], "no picture has both, and neither stands beside itself"
    fewer = ((2, *company[:2]), company[:2], (), *[()] * 6)
    assert parted([1, 2], known, counts, fewer) == [[2], [1]], "too few are beside both"


def test_the_user_is_told_of_words_that_no_picture_has_together(icons):
    card = having(icons, (1, 2)).card
    told = [rare_asked(card, s2id.ask(icons, words=words)) for words in ("red fox", "red fox car")]
    assert told == [[], ["no picture has all these words: it is 'car', moved towards 'red fox', which may fail."]]
    student = replace(card, times=(1.0, 0.5))
    assert rare_asked(student, s2id.ask(icons, words="red fox car")) == [], "a distilled model does not compose"


def test_words_travel_with_the_weights(icons, tmp_path, capsys):
    icons.save_pretrained(tmp_path)
    again = s2id.load(tmp_path)
    assert again.card == icons.card and again.config == icons.config
    asked = s2id.ask(again, words="hat fox")
    assert torch.equal(drawn(again, asked), drawn(icons, asked))
    page = (tmp_path / "README.md").read_text()
    assert "5: a, red, fox, car, hat" in page and 's2id.ask(model, label="flat", words="a")' in page
    capsys.readouterr()
    assert main(["info", str(tmp_path)]) == 0
    card = json.loads(capsys.readouterr().out)["card"]
    assert card["number of words"] == 5 and list(card["most frequent words"].items())[:2] == [("a", 90), ("red", 50)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"words": ("a", "a", "b", "c", "d"), "word_counts": ()}, "words names one of its entries twice"),
        ({"word_counts": (1,)}, "word_counts has 1 entries for 5 names"),
        ({"words_together": ((),)}, "words_together has 1 entries for 5 names"),
        ({"words_together": ((), (1,), (), (), ())}, "names a word that is not a later one"),
        ({"words_together": ((5,), (), (), (), ())}, "names a word that is not a later one"),
        ({"words_together": ((),) * 5, "word_counts": ()}, "words_together needs word_counts"),
        ({"words": ("a",), "word_counts": ()}, "has 1 words and the network 5"),
    ],
    ids=["twice", "counts", "rows", "itself", "beyond", "uncounted", "fewer"],
)
def test_a_card_whose_words_do_not_fit_is_refused(icons, changes, said, tmp_path):
    with pytest.raises(InputError, match=said):
        S2ID(icons.config, replace(icons.card, **changes)).save(tmp_path / "a.safetensors")
        s2id.load(tmp_path / "a.safetensors")


def test_rare_words_are_said(icons):
    (sentence,) = rare_asked(icons.card, s2id.ask(icons, words="a hat"))
    assert sentence.startswith("hat was seen in 3 pictures of 99")


def test_the_command_takes_words_and_a_style(icons, tmp_path, capsys):
    icons.save_pretrained(tmp_path / "m")
    draw = ["sample", str(tmp_path / "m"), "--steps", "2", "--out", str(tmp_path / "out")]
    assert main([*draw, "--words", "Fox, red", "--style", "flat"]) == 0
    assert main([*draw, "--words", "red fox"]) == 0, "words alone ask for no class"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "label0-flat-words-fox_red-seed0-8x8.png", "words-red_fox-seed0-8x8.png",
    }  # fmt: skip
    apart = ["--words", "red fox", "--style", "flat", "--grid", "--set", "stronger=words=3,style=1"]
    assert main([*draw, *apart]) == 0, "guidance over words and over the style apart"
    assert main([*draw, "--label", "round"]) == main([*draw, "--label", "none", "--seed", "1"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} > {
        "grid-words-red_fox-stronger-words=3-stronger-style=1-8x8.png", "label1-round-seed0-8x8.png", "seed1-8x8.png",
    }  # fmt: skip
    capsys.readouterr()
    assert main([*draw, "--words", "foxx"]) == 2
    assert "'foxx' (did you mean fox?)" in capsys.readouterr().err
