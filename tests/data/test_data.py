"""Data sets are what their files say, and files that are not say so in one sentence."""

import gzip
import http.client
import io
import struct
import tracemalloc
import urllib.error
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import s2id
from s2id.data import idx as published
from s2id.data.pictures import Group, Pictures, batch_at
from s2id.data.registry import load_pictures
from s2id.errors import InputError


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def mnist_folder(tmp_path):
    rng = np.random.default_rng(0)
    for stem, count in (("train", 30), ("t10k", 10)):
        images = rng.integers(0, 256, (count, 28, 28))
        (tmp_path / f"{stem}-images-idx3-ubyte.gz").write_bytes(idx(images))
        (tmp_path / f"{stem}-labels-idx1-ubyte.gz").write_bytes(idx(np.arange(count) % 10))
    return tmp_path


def picture(path: Path, size: tuple[int, int], mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (size[1], size[0]), 99 if mode == "L" else (9, 99, 199)).save(path)


def test_idx_files_are_read_with_their_labels(mnist_folder):
    pictures = load_pictures("mnist", mnist_folder)
    assert len(pictures) == 30 and pictures.channels == 1
    assert pictures.groups[0].images.shape == (30, 1, 28, 28)
    assert pictures.groups[0].labels.tolist() == [i % 10 for i in range(30)]
    assert len(load_pictures("mnist", mnist_folder, "test")) == 10


@pytest.mark.parametrize("place", ["mnist", "MNIST/raw"])
def test_idx_files_are_found_where_others_put_them(mnist_folder, tmp_path, place):
    target = tmp_path / "elsewhere" / place
    target.mkdir(parents=True)
    for file in mnist_folder.glob("*.gz"):
        file.rename(target / file.name)
    assert len(load_pictures("mnist", tmp_path / "elsewhere")) == 30


def test_missing_idx_files_are_named(tmp_path):
    with pytest.raises(InputError, match="train-images-idx3-ubyte.gz.*put the four files"):
        load_pictures("mnist", tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"",
        lambda raw: raw[: len(raw) // 2],
        lambda raw: b"no gzip at all",
        lambda raw: gzip.compress(gzip.decompress(raw)[:-5]),
        lambda raw: gzip.compress(b""),
        lambda raw: raw[:20] + bytes(20 * [255]) + raw[40:],
    ],
    ids=["zero bytes", "truncated", "not gzip", "wrong size", "empty inside", "some bytes are others"],
)
def test_damaged_idx_files_are_named(mnist_folder, damage):
    file = mnist_folder / "train-images-idx3-ubyte.gz"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(InputError, match="train-images-idx3-ubyte.gz is no complete idx file"):
        load_pictures("mnist", mnist_folder)


def bomb(header: bytes, megabytes: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(2**20)
    return b"".join([packer.compress(header), *(packer.compress(zeros) for _ in range(megabytes)), packer.flush()])


@pytest.mark.parametrize("shape", [(2**32 - 1,) * 3, (100, 28, 28), (0, 28, 28), (2**20, 28, 28)])
def test_no_more_is_unpacked_than_a_header_may_ask_for(mnist_folder, shape):
    file = mnist_folder / "train-images-idx3-ubyte.gz"
    file.write_bytes(bomb(bytes([0, 0, 8, 3]) + struct.pack(">3I", *shape), 24))
    tracemalloc.start()
    with pytest.raises(InputError, match="train-images-idx3-ubyte.gz is no complete idx file .its header"):
        load_pictures("mnist", mnist_folder)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()


def test_labels_beyond_the_classes_are_refused(mnist_folder):
    (mnist_folder / "train-labels-idx1-ubyte.gz").write_bytes(idx(np.full(30, 200)))
    with pytest.raises(InputError, match="mnist has a label 200, and 10 classes from 0"):
        load_pictures("mnist", mnist_folder)


def test_images_and_labels_must_be_as_many(mnist_folder):
    (mnist_folder / "train-labels-idx1-ubyte.gz").write_bytes(idx(np.zeros(7)))
    with pytest.raises(InputError, match="30 images and 7 labels"):
        load_pictures("mnist", mnist_folder)


def test_a_download_with_the_wrong_checksum_is_refused_and_not_kept(tmp_path):
    target = tmp_path / "file.gz"
    with pytest.raises(InputError, match="not the published one"):
        published._download(
            "mnist", "train-images-idx3-ubyte.gz", target, open_url=lambda *_, **__: io.BytesIO(b"something else")
        )
    assert not target.exists()


@pytest.mark.parametrize(
    "error",
    [urllib.error.URLError("no route"), TimeoutError(), ConnectionResetError(), http.client.RemoteDisconnected()],
)
def test_without_network_the_files_to_bring_are_named(tmp_path, error):
    def unreachable(*_, **__):
        raise error

    with pytest.raises(InputError, match="put the four files .*t10k-labels.* --data"):
        published._download("mnist", "train-images-idx3-ubyte.gz", tmp_path / "x.gz", open_url=unreachable)


def test_subfolders_are_classes_and_sizes_are_groups(tmp_path):
    picture(tmp_path / "cat" / "a.png", (8, 6))
    picture(tmp_path / "cat" / "b.png", (8, 6))
    picture(tmp_path / "dog" / "deep" / "c.png", (5, 9), "RGB")
    pictures = s2id.pictures(tmp_path)
    assert pictures.labels == ("cat", "dog")
    assert [tuple(g.images.shape) for g in pictures.groups] == [(2, 3, 8, 6), (1, 3, 5, 9)]
    assert pictures.groups[0].labels.tolist() == [0, 0] and pictures.groups[1].labels.tolist() == [1]
    assert "3 RGB images (2 of 8x6, 1 of 5x9), 2 classes" in str(pictures)


def test_a_corrupt_image_is_named_skipped_and_counted(tmp_path):
    picture(tmp_path / "good.png", (4, 4))
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    pictures = s2id.pictures(tmp_path)
    assert len(pictures) == 1
    assert len(pictures.skipped) == 1 and "bad.png" in pictures.skipped[0]
    assert "1 left out" in str(pictures)


@pytest.mark.parametrize("name", ["", "missing"])
def test_a_folder_without_images_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="holds no readable images|is not a folder"):
        s2id.pictures(tmp_path / name)


def test_unknown_data_sets_are_refused():
    with pytest.raises(InputError, match="'imagenet' is unknown; choose mnist"):
        load_pictures("imagenet")


def test_scikit_learns_digits_split_into_all():
    train, test = load_pictures("digits"), load_pictures("digits", split="test")
    assert len(train) + len(test) == 1797
    assert train.groups[0].images.shape[1:] == (1, 8, 8)
    assert train.groups[0].images.max() == 255


def test_an_epoch_visits_every_picture():
    groups = tuple(
        Group(torch.arange(start, start + n, dtype=torch.uint8).reshape(n, 1, 1, 1), torch.zeros(n, dtype=torch.long))
        for start, n in ((0, 10), (100, 7))
    )
    pictures = Pictures("numbers", groups, ())
    per_epoch = 3 + 2  # batches of four
    for epoch in range(3):
        batches = [batch_at(pictures, epoch * per_epoch + i, 4, seed=1)[0].flatten().tolist() for i in range(per_epoch)]
        assert {n for batch in batches for n in batch} == {*range(10), *range(100, 107)}
        assert all(len(batch) == 4 for batch in batches)
        assert all(max(batch) - min(batch) < 50 for batch in batches), "a batch mixes sizes"


def test_batches_depend_on_seed_and_number_alone():
    pictures = load_pictures("digits")
    again = [batch_at(pictures, n, 16, seed=3)[0] for n in (40, 3, 40)]
    assert torch.equal(again[0], again[2]) and not torch.equal(again[0], again[1])
    assert not torch.equal(again[0], batch_at(pictures, 40, 16, seed=4)[0])


@pytest.mark.mnist
def test_real_mnist_is_what_was_published():
    try:
        pictures = load_pictures("mnist", Path("data") if Path("data").is_dir() else None)
    except InputError:
        pytest.skip("the MNIST files are not here")
    assert len(pictures) == 60_000
    assert torch.bincount(pictures.groups[0].labels).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
