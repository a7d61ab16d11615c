"""`s2id morph` and `s2id film` write the pictures that `sample` and `Field.image` give."""

import re

import numpy as np
import pytest
from PIL import Image

import s2id
from s2id.cli.main import main
from s2id.zoom import path


@pytest.fixture
def seven(tmp_path):
    field = s2id.sample(s2id.load("mnist-fast"), label=7, seed=0)
    field.save(tmp_path / "seven.safetensors")
    return field


def said(capsys, words):
    assert main(words) == 2
    return capsys.readouterr().err


def test_frames_of_a_film_are_the_images_of_their_windows(seven, tmp_path):
    words = ["--to", "0.3,0.4,0.5,0.5", "--size", "24x36", "--seconds", "0.2", "--out", str(tmp_path / "film")]
    assert main(["film", str(tmp_path / "seven.safetensors"), *words]) == 0
    film = path((0.0, 0.0, 1.0, 1.0), (0.3, 0.4, 0.5, 0.5), (24, 36), (1.0, 1.0))
    for i in range(6):
        with Image.open(tmp_path / "film" / f"{i:05}.png") as page:
            assert page.tobytes() == seven.image((24, 36), film.window(i / 5)).tobytes()
    assert len(list((tmp_path / "film").iterdir())) == 6
    with Image.open(tmp_path / "film" / "00005.png") as page:
        assert page.tobytes() == seven.image((24, 36), (0.3, 0.4, 0.5, 0.5)).tobytes()


def test_a_film_begins_where_it_is_told_and_has_the_look_that_it_is_told(seven, tmp_path, capsys):
    ends, size = ((0.2, 0.1, 0.4, 0.3), (0.7, 0.3, 0.9, 0.5)), (12, 18)
    words = ["film", str(tmp_path / "seven.safetensors"), "--size", "12x18", "--seconds", "0.1", "--set", "rate=20"]
    words += [
        word for name, end in zip(("--from", "--to"), ends, strict=True) for word in (name, ",".join(map(str, end)))
    ]
    for look in ("smooth", "squares"):
        assert main([*words, "--set", f"look={look}", "--out", str(tmp_path / look)]) == 0
        for number, window in ((0, ends[0]), (2, ends[1])):
            with Image.open(tmp_path / look / f"{number:05}.png") as page:
                assert page.tobytes() == seven.image(size, window, look=look).tobytes(), (look, number)
        assert len(list((tmp_path / look).iterdir())) == 3
    assert "the limit is 215;" in said(capsys, [*words, "--set", "max-pixels=215", "--out", str(tmp_path / "none")])


def test_a_film_lasts_as_long_as_its_way_and_comes_back(seven, tmp_path):
    words = ["film", str(tmp_path / "seven.safetensors"), "--to", "0,0,0.01,0.01", "--size", "8", "--set", "rate=10"]
    assert main([*words, "--loop", "--out", str(tmp_path / "a.gif")]) == 0
    with Image.open(tmp_path / "a.gif") as film:
        seconds = path((0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.01, 0.01), (8, 8), (1.0, 1.0)).length
        assert seconds > 3 and film.n_frames == 2 * round(10 * seconds) and film.info["duration"] == 100


def test_a_morph_goes_from_one_sample_to_the_next(tmp_path):
    words = ["morph", "mnist-fast", "--label", "7,3", "--frames", "3", "--size", "28", "--out"]
    assert main([*words, str(tmp_path / "film")]) == 0
    fields = list(s2id.between(s2id.load("mnist-fast"), (7, 0), (3, 0), 3))
    for number, field in enumerate(fields):
        with Image.open(tmp_path / "film" / f"{number:05}.png") as page:
            assert page.tobytes() == field.image(28).tobytes()
    assert main([*words, str(tmp_path / "loop.png"), "--loop", "--seed", "0"]) == 0
    with Image.open(tmp_path / "loop.png") as film:
        assert film.n_frames == 4
        film.seek(3)
        assert np.array_equal(np.array(film), np.array(fields[1].image(28)))


def test_a_morph_becomes_a_page(tmp_path):
    assert main(["morph", "mnist-fast", "--label", "7,none,3", "--frames", "2", "--out", str(tmp_path / "a.html")]) == 0
    options = re.findall(r'<option value="(\d)" label="([^"]*)"', (tmp_path / "a.html").read_text())
    assert options == [("0", "label 7, seed 0"), ("1", "seed 0"), ("2", "label 3, seed 0")]


def test_what_is_no_way_is_refused_in_a_sentence(seven, tmp_path, capsys):
    field = str(tmp_path / "seven.safetensors")
    for words, sentence in (
        (["morph", "mnist-fast", "--seed", "3"], "a way needs two pictures at least; give two labels or two seeds"),
        (["morph", "mnist-fast", "--label", "7,12"], "label '12' is none of this model's"),
        (["morph", "mnist-fast", "--out", "a.webm"], "a.webm has no film's ending"),
        (["film", field, "--to", "0,0,1,2"], "is no region of the frame"),
        (["film", field, "--to", "0,0,1"], "is not top,left,bottom,right"),
        (["film", field, "--to", "0,0,1,1", "--out", "a.jpg"], "a.jpg has no film's ending"),
        (["film", str(tmp_path / "no.safetensors"), "--to", "0,0,1,1"], "does not exist"),
    ):
        assert sentence in said(capsys, words), words
