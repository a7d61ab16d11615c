"""The data that a model was trained on are found by its card."""

from pathlib import Path

import pytest

from s2id.data.registry import load_pictures
from s2id.errors import InputError
from s2id.sampling import training_data
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Card
from s2id.sampling.training_data import load_data_of, reader_of


def test_a_models_data_are_read_by_what_read_them():
    """A folder may have the name of a data set, and a set of the Hub any name."""
    assert reader_of(Card("mnist")) == "mnist"
    assert reader_of(Card("mnist", kind="folder")) == "folder"
    assert reader_of(Card("someone/pictures", kind="hub")) == "hub"
    with pytest.raises(InputError, match="w does not say what data"):
        reader_of(Card(), "w")


def test_pictures_are_asked_for_as_training_saw_them(model: S2ID, monkeypatch, tmp_path):
    asked = []
    digits = load_pictures("digits")

    def load(*words, **more):
        asked.append((*words, more))
        return digits

    monkeypatch.setattr(training_data, "load_pictures", load)
    patch, kept = model.config.patch, {"min_side": model.config.patch, "alpha": "keep"}
    model.card = Card("someone/pictures", kind="hub", size=(40, 64), alpha="keep")
    load_data_of(model)
    load_data_of(model, tmp_path, "test")
    model.card = Card("mnist")
    load_data_of(model)
    hub = Path("someone/pictures")
    assert asked == [
        ("hub", hub, "train", 64, kept),
        ("hub", tmp_path, "test", 64, kept),
        ("mnist", None, "train", None, {"min_side": patch, "alpha": "white"}),
    ]
