"""Films hold the pictures that they were given, whatever the format, and are written as the pictures come."""

import struct
import tracemalloc
from itertools import count, islice

import numpy as np
import pytest
from PIL import Image, ImageSequence

from s2id.errors import InputError
from s2id.media.films import there_and_back, write_film

MODES = ("L", "LA", "RGB", "RGBA")


def pictures(mode, number=3, size=(20, 14)):
    """Smooth pictures of few colours, each another; those with alpha are transparent in part."""
    for i in range(number):
        ramp = np.add.outer(np.arange(size[1]), np.arange(size[0])) * 5 + 20 * i
        bands = [ramp + 30 * c for c in range(len(mode))]
        if mode.endswith("A"):
            bands[-1] = np.where(ramp > 60, 255, 100)
        array = np.stack(bands, -1).astype(np.uint8)
        yield Image.fromarray(array[..., 0] if mode == "L" else array)


def read(path):
    with Image.open(path) as film:
        return [page.copy() for page in ImageSequence.Iterator(film)], film.info


def over_white(picture):
    whole = picture.convert("RGBA")
    return np.array(Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole).convert("RGB")).astype(int)


@pytest.mark.parametrize("mode", MODES)
def test_an_animated_png_is_exact_and_keeps_alpha(tmp_path, mode):
    write_film(tmp_path / "a.png", pictures(mode), rate=20.0)
    pages, info = read(tmp_path / "a.png")
    assert len(pages) == 3 and info["duration"] == 50 and info["loop"] == 0
    for page, picture in zip(pages, pictures(mode), strict=True):
        assert np.array_equal(np.array(page.convert("RGBA")), np.array(picture.convert("RGBA")))


@pytest.mark.parametrize("mode", MODES)
def test_a_gif_has_the_nearest_of_256_colours_over_white(tmp_path, mode):
    write_film(tmp_path / "a.gif", pictures(mode), rate=20.0)
    pages, info = read(tmp_path / "a.gif")
    assert len(pages) == 3 and info["duration"] == 50 and info["loop"] == 0
    for page, picture in zip(pages, pictures(mode), strict=True):
        off = abs(np.array(page.convert("RGB")).astype(int) - over_white(picture)).max()
        assert off <= (0 if mode == "L" else 8)


def test_a_folder_has_a_file_for_each_picture(tmp_path):
    write_film(tmp_path / "film", pictures("RGBA"))
    for number, picture in enumerate(pictures("RGBA")):
        with Image.open(tmp_path / "film" / f"{number:05}.png") as page:
            assert page.mode == "RGBA" and page.tobytes() == picture.tobytes()


def test_a_shorter_film_leaves_no_picture_of_a_longer_one_and_no_other_is_lost(tmp_path):
    write_film(tmp_path, pictures("L", 5))
    own = {"00007.png", "notes.png", "00008.png"}
    for name in own:
        next(pictures("L")).save(tmp_path / name)
    (tmp_path / "00008.png").write_bytes(b"damaged")
    write_film(tmp_path, pictures("L", 2))
    assert {path.name for path in tmp_path.iterdir()} == {"00000.png", "00001.png", *own}


@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_an_mp4_looks_like_its_pictures(tmp_path, size):
    av = pytest.importorskip("av", reason="PyAV is not installed (extra frames)")
    write_film(tmp_path / "a.mp4", pictures("L", size=size), rate=20.0)
    with av.open(str(tmp_path / "a.mp4")) as film:
        pages = [page.to_ndarray(format="rgb24").astype(int) for page in film.decode(video=0)]
        assert film.streams.video[0].average_rate == 20 and film.streams.video[0].codec.name == "h264"
    assert len(pages) == 3 and pages[0].shape == (size[1] // 2 * 2, size[0] // 2 * 2, 3)
    for page, picture in zip(pages, pictures("L", size=size), strict=True):
        wanted = np.array(picture.convert("RGB")).astype(int)[: len(page), : page.shape[1]]
        assert abs(page - wanted).mean() < 4


def test_there_and_back_repeats_no_picture():
    once = list(pictures("LA", 4))
    assert [one.tobytes() for one in there_and_back(iter(once))] == [
        once[i].tobytes() for i in (0, 1, 2, 3, 2, 1)
    ]  # fmt: skip
    assert len(list(there_and_back(pictures("L", 1)))) == 1 and len(list(there_and_back(pictures("L", 2)))) == 2


@pytest.mark.parametrize("name", ["a.gif", "a.png", "film"])
def test_memory_does_not_grow_with_the_number_of_pictures(tmp_path, name):
    """Of 30 pictures of 90 kB, never more than a few are in memory."""
    rng = np.random.default_rng(0)
    noise = (Image.fromarray(rng.integers(0, 255, (300, 300), np.uint8)) for _ in count())
    write_film(tmp_path / "warm" / name, islice(noise, 2))
    tracemalloc.start()
    write_film(tmp_path / name, islice(noise, 30))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1_500_000


def test_what_cannot_be_a_film_is_refused_with_a_sentence(tmp_path, monkeypatch):
    def drawn():
        raise AssertionError("nothing is drawn before the name is read")
        yield

    with pytest.raises(InputError, match=r"a\.webm has no film's ending; use \.gif, \.png, \.apng, \.mp4, or"):
        write_film(tmp_path / "a.webm", drawn())
    with pytest.raises(InputError, match=r"a\.gif cannot hold such a film"):
        write_film(tmp_path / "a.gif", [Image.new("L", (2**16, 1))])
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(InputError, match=r"a\.mp4 is written with PyAV, which is missing; pip install"):
        write_film(tmp_path / "a.mp4", drawn())
    assert not list(tmp_path.iterdir())


def test_an_animated_png_says_how_many_pictures_it_has(tmp_path):
    """A count at its beginning, which is known at its end; every number of its chunks follows the one before."""
    write_film(tmp_path / "a.apng", pictures("L", 5))
    data, at, numbers, told = (tmp_path / "a.apng").read_bytes(), 8, [], None
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"acTL":
            told = struct.unpack_from(">2I", data, at + 8)
        if kind in (b"fcTL", b"fdAT"):
            numbers += struct.unpack_from(">I", data, at + 8)
        at += 12 + length
    assert told == (5, 0) and numbers == list(range(9))
