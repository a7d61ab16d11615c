"""The data set that a model was trained on, found by the model's card."""

from pathlib import Path

from s2id.data.captions import with_words
from s2id.data.known import with_known
from s2id.data.pictures import Pictures, Split, with_tokens
from s2id.data.registry import READERS, load_pictures
from s2id.errors import InputError
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Card
from s2id.text import text_encoder


def reader_of(card: Card, weights: str = "this model") -> str:
    """Name, among `data.registry.READERS`, of the reader that loads the data a model was trained on.

    Args:
        card: The model's card.
        weights: The user's name for the model, for the message.

    Example:
        >>> reader_of(Card(data="mnist")), reader_of(Card(data="holiday"))
        ('mnist', 'folder')

    Raises:
        InputError: The card names no data.
    """
    if not card.data:
        raise InputError(f"{weights} does not say what data it was trained on; its card needs the name of a data set.")
    return card.kind or (card.data if card.data in READERS else "folder")


def load_data_of(
    model: S2ID, folder: Path | None = None, split: Split = "train", weights: str = "this model"
) -> Pictures:
    """The pictures that a model was trained on, or its test set, shrunk, with transparency and words as in training.

    Args:
        model: The model.
        folder: Folder of the data; `None` looks in the usual places, downloads, or asks the Hub.
        split: Part of the data set.
        weights: The user's name for the model, for the message.

    Raises:
        InputError: The card names no data, or its files cannot be found or read.
    """
    card, reader = model.card, reader_of(model.card, weights)
    if card.kind == "hub" and folder is None:
        folder = Path(card.data)
    long_side = max(card.size) if card.size else None
    pictures = load_pictures(reader, folder, split, long_side, min_side=model.config.patch, alpha=card.alpha)
    known = with_known(pictures, *card.names, card.number_ranges, model.config.channels)
    return with_captions(known, card)


def with_captions(pictures: Pictures, card: Card) -> Pictures:
    """The same pictures with what a model takes of their captions: the words that it knows, or its encoder's tokens.

    Args:
        pictures: A data set.
        card: The model's card.

    Raises:
        InputError: The model has an encoder that is not installed, or no picture has a caption.
    """
    return with_tokens(pictures, text_encoder(card.encoder)) if card.encoder else with_words(pictures, card.words)
