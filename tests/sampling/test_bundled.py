"""The model in the package keeps the package's promise: one seed, one picture."""

import math
import re
import resource
import subprocess
import sys

import pytest
import torch
from PIL import Image

import s2id
from s2id.media.images import resize
from s2id.sampling.model_file import BUNDLED, bundled, licence


@pytest.fixture(scope="module")
def fields():
    return s2id.sample(s2id.load("mnist"), [0, 3, 7, 8], [0, 1, 2, 3])


def psnr(a, b):
    return 10 * torch.log10(4 / (a - b).square().flatten(1).mean(1))


def test_every_bundled_model_loads_and_weighs_a_few_megabytes():
    assert {"emoji", "graphics", "graphics-invent", "mnist", "mnist-fast"} == {*bundled()}
    for name in bundled():
        folder = BUNDLED / name
        assert s2id.load(name).card.images_seen > 0
        assert sum(f.stat().st_size for f in folder.iterdir()) < (12e6 if name == "emoji" else 8e6)
        assert {"README.md", "config.json", "model.safetensors"} <= {f.name for f in folder.iterdir()}


def test_the_licence_of_a_bundled_model_names_whom_its_pictures_are_by():
    assert all(licence(name).startswith("MIT. Trained on ") and licence(name).endswith(".") for name in bundled())
    for name, count in (("graphics", 12), ("graphics-invent", 12), ("emoji", 6)):
        page = (BUNDLED / name / "README.md").read_text()
        sets = re.findall(r"^\| \[[^|]*\| ([^|]*) \| ([^|]*) \| [\d,]+ \|$", page, flags=re.MULTILINE)
        assert len(sets) == count
        for author, terms in sets:
            assert terms == "MIT" or author in licence(name) and terms in licence(name), author
    assert licence("out/mine") is None


@pytest.mark.parametrize("side", [14, 56, 113, 256])
def test_a_seed_is_the_same_picture_at_every_size(fields, side):
    base, other = fields.render((28, 28)).clamp(-1, 1), fields.render((side, side)).clamp(-1, 1)
    common = min(28, side)
    agreement = psnr(resize(other, (common, common)), resize(base, (common, common)))
    assert agreement.min() > 40, agreement


@pytest.mark.parametrize("size", [(64, 36), (36, 64)])
def test_another_aspect_shows_the_same_picture_on_more_canvas(fields, size):
    square, tall = fields.render((36, 36)), fields.render(size)
    top, left = (size[0] - 36) // 2, (size[1] - 36) // 2
    assert torch.allclose(tall[:, :, top : top + 36, left : left + 36], square, atol=1e-4)


def test_a_seed_does_not_depend_on_its_batch(fields):
    alone = s2id.sample(s2id.load("mnist"), 7, 2)
    assert torch.allclose(alone.render((28, 28)), fields.render((28, 28))[2:3], atol=1e-3)


def test_pictures_are_digits_on_black():
    # at guidance 1: more of it makes strokes bolder than the data's, and they come nearer to the border
    pictures = s2id.sample(s2id.load("mnist"), [0, 3, 7, 8], [0, 1, 2, 3], guidance=1.0).render((28, 28))
    assert pictures.amax((1, 2, 3)).min() > 0.8
    assert pictures[:, :, :2].max() < -0.9 and pictures[:, :, :, :2].max() < -0.9


@pytest.mark.slow
def test_8192_pixels_a_side_render_within_a_gigabyte_and_a_half(tmp_path):
    words = ["sample", "mnist", "--label", "7", "--size", "8192x8192", "--out", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "s2id", *words], check=True)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 1.5 * 2**20
    with Image.open(tmp_path / "label7-seed0-8192x8192.png") as image:
        assert image.size == (8192, 8192)


@pytest.mark.slow
def test_digits_are_learnt_from_nothing_downloaded(tmp_path):
    words = ["train", "digits", "--minutes", "2", "--out", str(tmp_path / "run"), "--set", "sample-minutes=0"]
    subprocess.run([sys.executable, "-m", "s2id", *words], check=True)
    model = s2id.load(tmp_path / "run" / "model")
    pictures = s2id.sample(model, [0] * 32 + [1] * 32, range(64), guidance=1.5).render((8, 8))
    middle = pictures[:, 0, 3:5, 3:5].mean((1, 2))
    assert middle[:32].mean() < -0.3 < 0.0 < middle[32:].mean(), "a 0 is hollow, a 1 is not"
    assert math.isfinite(pictures.abs().max().item())
