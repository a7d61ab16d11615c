"""Pictures from Python: tensors, folders and names."""

import inspect

import numpy as np
import pytest
import torch
from PIL import Image

import s2id
from s2id.data.registry import READERS, load_pictures
from s2id.media.images import to_float

BYTES = torch.randint(0, 256, (6, 3, 8, 10), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def test_a_tensor_of_bytes_or_of_floats_is_the_same_data_set():
    for tensor in (BYTES, to_float(BYTES), to_float(BYTES).double()):
        pictures = s2id.pictures(tensor)
        assert torch.equal(pictures.groups[0].images, BYTES) and pictures.labels == ()
        assert pictures.groups[0].labels.tolist() == [-1] * 6


def test_labels_are_names_or_numbers():
    named = s2id.pictures(BYTES, ["b", "10", "", "9", "b", "10"])
    assert s2id.pictures(BYTES, np.array(["b", "10", "", "9", "b", "10"])).labels == named.labels
    assert named.labels == ("9", "10", "b") and named.groups[0].labels.tolist() == [2, 1, -1, 0, 2, 1]
    own = [0, 2, -1, 0, 1, 2]
    for labels in (own, torch.tensor(own), np.array(own, np.int8), [np.int64(i) for i in own], iter(own)):
        numbered = s2id.pictures(BYTES, labels)
        assert numbered.labels == ("0", "1", "2") and numbered.groups[0].labels.tolist() == [0, 2, -1, 0, 1, 2]


def test_a_tensor_shrinks_to_the_long_side():
    assert s2id.pictures(BYTES, long_side=5).size == (4, 5)
    assert s2id.pictures(BYTES, long_side=50).size == (8, 10), "none is enlarged"


@pytest.mark.parametrize(
    ("source", "labels", "sentence"),
    [
        (BYTES[:0], None, "shape .0, 3, 8, 10. cannot be used"),
        (BYTES.repeat(1, 2, 1, 1), None, "1 to 4 channels"),
        (BYTES.long(), None, "torch.int64 cannot be used; give uint8"),
        (BYTES.float(), None, "run from 0 to 25[0-9]; floats must lie in"),
        (torch.full((1, 1, 2, 2), float("nan")), None, "run from nan to nan"),
        (BYTES, [0, 1], "6 pictures and 2 labels"),
        (BYTES, [0, 1, 2, 3, 4, 10**9], "label 1000000000 cannot be used"),
        (BYTES, [0, 1, 2, 3, 4, 1.5], "label 1.5 cannot be used"),
        (BYTES, [0, 1, 2, 3, 4, np.bool_(True)], "label True cannot be used"),
        (BYTES, [0, 1, 2, 3, 4, -2], "label -2 cannot be used"),
        (BYTES, [0.5] * 6, "label 0.5 cannot be used"),
        (BYTES, ["a", 1] * 3, "label 'a' cannot be used"),
        (BYTES, {0, 1, 2, 3, 4, 5}, "labels is a set; give a list with one label for each picture"),
        (BYTES, "abcdef", "labels is a str; give a list"),
        (BYTES, dict.fromkeys(range(6), "cat"), "labels is a dict; give a list"),
        (BYTES, torch.tensor(3), "labels is a Tensor; give a list"),
        ("digits", [0], "labels belong to a tensor"),
        ("nowhere", None, "'nowhere' is not a folder, nor the name of a data set; those are mnist, "),
    ],
)
def test_what_cannot_be_used_is_a_sentence(source, labels, sentence):
    # the types are wrong on purpose, and would be found by the checker before they are refused
    checked = inspect.unwrap(s2id.pictures)
    with pytest.raises(s2id.InputError, match=sentence):
        checked(source, labels)


def test_sizes_are_refused_wherever_the_pictures_come_from(tmp_path):
    for source in (BYTES, "digits", tmp_path):
        with pytest.raises(s2id.InputError, match="long_side is 0; it must be a whole number, at least 1"):
            s2id.pictures(source, long_side=0)
    with pytest.raises(s2id.InputError, match="8x10 pixels, and both sides need 9"):
        s2id.pictures(BYTES, min_side=9)
    with pytest.raises(s2id.InputError, match="so folder=elsewhere means nothing"):
        s2id.pictures(tmp_path, folder="elsewhere")


def test_a_folder_and_a_name_are_read(tmp_path, monkeypatch):
    (tmp_path / "cat").mkdir()
    Image.new("RGB", (6, 4)).save(tmp_path / "cat" / "a.png")
    for source in (tmp_path, str(tmp_path), tmp_path / "cat"):
        assert s2id.pictures(source).size == (4, 6)
    monkeypatch.chdir(tmp_path / "cat")
    assert [s2id.pictures(source).name for source in (".", "..")] == ["cat", tmp_path.name]
    assert len(s2id.pictures("digits", split="test")) == len(load_pictures("digits", split="test"))


def test_a_data_set_is_a_function_and_a_name(monkeypatch):
    asked = []

    def read(request):
        asked.append(request)
        return s2id.pictures(BYTES, long_side=request.long_side)

    monkeypatch.setitem(READERS, "mine", read)
    assert s2id.pictures("mine", long_side=5).size == (4, 5)
    assert (asked[0].name, asked[0].split, asked[0].place.name) == ("mine", "train", "data")
