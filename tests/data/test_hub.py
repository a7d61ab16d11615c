"""Data sets of the Hub, of which none is reachable here: local ones are what `datasets` makes of both."""

import sys
from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image

from s2id.data import cache, decoding
from s2id.data.registry import load_pictures
from s2id.errors import InputError
from s2id.shapes import NULL

datasets = pytest.importorskip("datasets")


def encoded(shade: int, size=(6, 6), damaged: bool = False) -> dict:
    file = BytesIO()
    Image.new("L", size, shade).save(file, "PNG")
    return {"bytes": file.getvalue()[: 30 if damaged else None], "path": None}


FEATURES = datasets.Features(
    {
        "id": datasets.Value("int64"),
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=["zebra", "ant", "never"]),
        "striped": datasets.Value("bool"),
        "age": datasets.Value("float32"),
        "caption": datasets.Value("string"),
        "url": datasets.Value("string"),
    }
)


def made(count: int = 4, features=FEATURES):
    rows = {
        "id": list(range(count)),
        "image": [encoded(40 * i, damaged=i == 3) for i in range(count)],
        "label": [i % 2 if i else -1 for i in range(count)],
        "striped": [i % 2 == 0 if i else None for i in range(count)],
        "age": [float(i) for i in range(count)],
        "caption": [f"number {i}" for i in range(count)],
        "url": ["x"] * count,
    }
    return datasets.Dataset.from_dict({name: rows[name] for name in features}, features)


@pytest.fixture(params=["saved", "parquet"])
def folder(request, tmp_path):
    if request.param == "saved":
        datasets.DatasetDict({"train": made()}).save_to_disk(tmp_path / "set")
    else:
        (tmp_path / "set").mkdir()
        made().to_parquet(tmp_path / "set" / "train-00000-of-00001.parquet")
    return tmp_path / "set"


def test_columns_are_what_their_kinds_say(folder):
    pictures = load_pictures("hub", folder, long_side=4)
    (group,) = pictures.groups
    known = group.condition(torch.arange(3))
    assert pictures.labels == ("zebra", "ant", "never"), "the data set's own order, with classes no picture has"
    assert known.label.tolist() == [NULL, 1, 0] and group.images[:, 0, 0, 0].tolist() == [0, 40, 80]
    assert group.images.shape == (3, 1, 4, 4), "shrunk"
    assert pictures.attributes == ("striped",) and known.attributes.flatten().tolist() == [0, -1, 1]
    assert pictures.numbers == ("age",) and pictures.number_ranges == ((0.0, 3.0),)
    assert group.texts == ("number 0", "number 1", "number 2")
    assert "row 3 of" in pictures.skipped[0] and "columns id, url of" in pictures.skipped[1]


def test_pictures_alone_are_a_set(tmp_path):
    bare = datasets.Features({name: FEATURES[name] for name in ("id", "image")})
    made(features=bare).save_to_disk(tmp_path)
    pictures = load_pictures("hub", tmp_path)
    assert len(pictures) == 3 and pictures.labels == () and pictures.reader == "hub"


def test_a_stream_is_read_once(folder, monkeypatch):
    first = load_pictures("hub", folder)
    monkeypatch.setitem(sys.modules, "datasets", None)
    again = load_pictures("hub", folder)
    assert torch.equal(first.groups[0].images, again.groups[0].images) and first.labels == again.labels
    assert len(list((cache.CACHE / "pictures").rglob("*.npy"))) == 1


def test_another_split_is_another_set(tmp_path):
    datasets.DatasetDict({"train": made(), "test": made(2)}).save_to_disk(tmp_path)
    assert len(load_pictures("hub", tmp_path)) == 3 and len(load_pictures("hub", tmp_path, "test")) == 2


def test_without_the_extra_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"need `datasets`; pip install 's2id\[data\]' brings it"):
        load_pictures("hub", Path("someone/pictures"))


def test_without_network_one_sentence_says_what_to_do(monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("Couldn't reach the Hub.\nand a traceback's worth of detail")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(InputError) as told:
        load_pictures("hub", Path("someone/pictures"))
    assert str(told.value) == (
        "someone/pictures cannot be loaded from the Hugging Face Hub (Couldn't reach the Hub); check its name and the "
        "network, or bring a folder that Dataset.save_to_disk wrote and give that."
    )


def test_a_stream_that_breaks_off_leaves_nothing_behind(monkeypatch):
    class Rows:
        features = FEATURES

        def cast_column(self, *_):
            return self

        def __iter__(self):
            yield {**made(1).cast_column("image", datasets.Image(decode=False))[0]}
            raise ConnectionError("connection lost")

    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: Rows())
    with pytest.raises(InputError, match=r"the stream of a/b ended after row 0 \(connection lost\)"):
        load_pictures("hub", Path("a/b"))
    assert not list((cache.CACHE / "pictures").rglob("*.npy"))


def test_without_pictures_or_a_name_it_is_refused(tmp_path):
    made(2, datasets.Features({"age": FEATURES["age"]})).save_to_disk(tmp_path / "numbers")
    with pytest.raises(InputError, match="has no column of pictures, but age"):
        load_pictures("hub", tmp_path / "numbers")
    with pytest.raises(InputError, match="the Hub needs --data NAME"):
        load_pictures("hub")


def test_only_a_set_that_is_not_kept_is_opened():
    opened = []
    entries = [decoding.Entry("a", encoded(9)["bytes"], {"label": "x"})]

    def source():
        opened.append(1)
        return entries, {"classes": ["x"]}

    for _ in range(2):
        kept = cache.keep("a", 1, source, None)
        assert kept.columns == {"label": ["x"]} and kept.facts == {"classes": ["x"]}
    assert len(opened) == 1
