"""The data set of a model, found by its card."""

import pytest

from s2id.errors import InputError
from s2id.sampling.settings import Card
from s2id.sampling.training_data import reader_of


def test_a_models_data_are_read_by_the_reader_that_read_them():
    """A folder may have the name of a data set, and a data set of the Hub any name."""
    assert reader_of(Card("mnist")) == "mnist"
    assert reader_of(Card("mnist", kind="folder")) == "folder"
    assert reader_of(Card("someone/pictures", kind="hub")) == "hub"
    with pytest.raises(InputError, match="w does not say what data"):
        reader_of(Card(), "w")
