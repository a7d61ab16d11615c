"""Words of captions: split in any script, learned by how many pictures have them, and kept with each picture."""

import unicodedata
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import s2id
from s2id.data import captions
from s2id.data.captions import learn_words, with_words
from s2id.data.pictures import Group, Pictures, with_tokens
from s2id.data.registry import load_pictures
from s2id.media.images import write
from s2id.words import MOST_WORDS, vocabulary, words_of


def captioned(*texts):
    images = torch.zeros(len(texts), 1, 8, 8, dtype=torch.uint8)
    return Pictures("toys", (Group(images, torch.full((len(texts),), -1), texts=texts),), ())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Red FOX, red_fox; red-fox!", ["red", "fox"]),
        ("Straße STRASSE", ["strasse"]),
        (unicodedata.normalize("NFD", "café") + " CAFÉ", ["café"]),
        ("हिन्दी лиса 狐", ["हिन्दी", "лиса", "狐"]),
        ("the fox\u2019s den, 'quoted' rock'n'roll", ["the", "fox's", "den", "quoted", "rock'n'roll"]),
        ("ﬁsh №7 🦊", ["fish", "no7"]),
        (" ,;--' ", []),
    ],
    ids=["case", "folded", "composed", "scripts", "apostrophes", "compatible", "nothing"],
)
def test_words_are_letters_digits_and_marks_in_one_form(text, words):
    assert words_of(text) == words


@given(st.text())
def test_words_of_words_are_the_same_words(text):
    assert words_of(" ".join(words_of(text))) == words_of(text)


def test_frequent_words_come_first_and_rare_ones_are_left_out():
    texts = ["red fox", "red red car", "blue car", "owl"]
    assert vocabulary(texts, 1) == ("car", "red", "blue", "fox", "owl")
    assert vocabulary(texts, 2) == vocabulary(reversed(texts), 2) == ("car", "red")
    assert len(vocabulary((f"w{i}" for i in range(MOST_WORDS + 9)), 1)) == MOST_WORDS


def test_each_picture_has_its_words_and_every_word_its_count():
    learned = learn_words(captioned("red fox", "fox RED car", "", "car owl"), 2)
    assert learned.words == ("car", "fox", "red") and learned.word_counts == (2, 2, 2)
    (group,) = learned.groups
    assert group.words.tolist() == [[1, 2, -1], [0, 1, 2], [-1, -1, -1], [0, -1, -1]]
    assert group.condition(torch.tensor([3, 2])).words.tolist() == [[0], [-1]], "columns of padding are left out"
    assert group.condition(torch.tensor([2])).words.shape == (1, 0)
    assert not group.condition(torch.tensor([2])).known and "3 words" in str(learned)
    assert with_words(captioned("owl fox"), learned.words).groups[0].words.tolist() == [[1]]


def test_pairs_of_words_that_pictures_have_together_are_known_unless_they_are_too_many(monkeypatch):
    learned = learn_words(captioned("red fox", "fox RED car", "", "car owl", "red"), 1)
    assert learned.words == ("red", "car", "fox", "owl") and learned.words_together == ((1, 2), (2, 3), (), ())
    assert captioned("red fox").words_together == ()
    monkeypatch.setattr("s2id.data.pictures.MOST_PAIRS", 3)
    assert replace(learned).words_together == ()


def test_words_are_learned_from_captions_alone(tmp_path):
    for plain in (captioned("red fox", "red"), s2id.pictures(torch.zeros(2, 1, 8, 8))):
        assert learn_words(plain, 0) is plain
    encoded = with_tokens(captioned("red fox", "red"), lambda text: torch.ones(1, 2))
    assert learn_words(encoded, 1) is encoded, "an encoder reads the captions"
    nothing = learn_words(s2id.pictures(torch.zeros(2, 1, 8, 8)), 1)
    assert nothing.words == () and nothing.groups[0].words is None and nothing.word_counts == ()


def test_a_long_caption_keeps_its_rarest_words(monkeypatch):
    monkeypatch.setattr(captions, "MOST_OF_ONE", 2)
    learned = learn_words(captioned("a the fox", "a the", "a"), 1)
    assert learned.words == ("a", "the", "fox") and learned.groups[0].words.tolist()[0] == [1, 2]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_captions_and_tags_of_metadata_are_one_text(form, tmp_path):
    for name in ("0.png", "1.png"):
        write(tmp_path / name, torch.zeros(1, 8, 8))
    rows = {
        "csv": 'file_name,text,tags\n0.png,a fox,"red, wild"\n1.png,,tame\n',
        "jsonl": '{"file_name": "0.png", "text": "a fox", "tags": ["red", "wild"]}\n{"file_name": "1.png", '
        '"caption": "tame"}\n',
    }
    (tmp_path / f"metadata.{form}").write_text(rows[form])
    assert load_pictures("folder", tmp_path).groups[0].texts == ("a fox, red, wild", "tame")
