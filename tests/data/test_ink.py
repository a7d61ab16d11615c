"""Digits of fonts are framed as MNIST's, and pens of other widths are left out."""

import json

import pytest
import torch
from test_glyphs import build, square

from s2id.cli.main import main
from s2id.data import ink
from s2id.data.registry import load_pictures
from s2id.errors import InputError
from s2id.media.images import resize, to_float

STROKE = [(40, 0), (40, 700), (140, 700), (140, 0)]
L_SHAPE = [(0, 0), (0, 700), (100, 700), (100, 100), (400, 100), (400, 0)]
PENS = {"square": [STROKE], "triangle": [L_SHAPE], "ring": [L_SHAPE], "small": [L_SHAPE]}


@pytest.fixture(scope="module")
def fonts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fonts")
    build(folder / "Pens-Regular.ttf", shapes=PENS)
    build(folder / "Blocks-Regular.ttf", shapes={name: [square(0, 0, 700)] for name in PENS})
    return folder


def test_digits_fill_a_box_of_20_pixels_around_their_centre_of_mass(fonts):
    pictures = load_pictures("ink", fonts, long_side=112)
    assert pictures.size == (112, 112) and pictures.labels == tuple("0123456789") and not pictures.skipped
    assert pictures.groups[0].labels.tolist() == list(range(10))  # of Blocks, whose strokes are too wide, there is none
    for picture in to_float(pictures.groups[0].images)[:, 0] / 2 + 0.5:
        place = (torch.arange(112) + 0.5) / 4 - 14
        for axis in (0, 1):
            assert (picture.sum(axis) * place).sum() / picture.sum() == pytest.approx(0, abs=0.05)
        sides = [((picture > 0.5).any(axis)).sum().item() / 4 for axis in (0, 1)]
        assert max(sides) == pytest.approx(20, abs=0.5)


def test_every_digit_has_its_own_slant_and_the_same_each_time(fonts):
    first, again = (load_pictures("ink", fonts).groups[0].images for _ in range(2))
    assert first.equal(again)
    bent = [first[i] for i in range(1, 10)]  # one outline
    assert all(not a.equal(b) for a, b in zip(bent, bent[1:], strict=False))


def test_the_truth_of_a_digit_is_one_function(fonts):
    group = load_pictures("ink", fonts).groups[0]
    fine = group.truth(3, (224, 224))
    assert (resize(fine[None], (28, 28)) - to_float(group.images[3:4])).abs().max() < 0.01


def test_the_stroke_of_a_bar_is_its_width():
    bar = torch.zeros(64, 64)
    bar[2:62, 20:23] = 1
    assert ink.stroke(bar) == pytest.approx(3, rel=0.06)


def test_a_folder_without_pens_is_refused(fonts, tmp_path):
    (tmp_path / "Blocks-Regular.ttf").write_bytes((fonts / "Blocks-Regular.ttf").read_bytes())
    with pytest.raises(InputError, match="no font whose digits are like a pen's for the train split"):
        load_pictures("ink", tmp_path)
    (tmp_path / "Broken-Regular.ttf").write_bytes(b"no font")
    with pytest.raises(InputError, match="the first that cannot be used: .*cannot be read as a font"):
        load_pictures("ink", tmp_path)


def test_finer_pictures_are_named_on_the_command_line(fonts, tmp_path, capsys):
    words = ["train", "tiny", "--dry-run", "--out", str(tmp_path / "run"), "--set"]
    assert main([*words, f"finer=ink:{fonts}"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["finer"]["sizes"] == {"64x64": 10} and found["data"]["sizes"] == {"8x8": 1437}
