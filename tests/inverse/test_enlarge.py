"""The enlarger draws tiles without seams, at any scale, with means over the given pixels as they are given."""

import re

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from s2id.cli.main import main
from s2id.errors import InputError
from s2id.evaluation.run import evaluate_model, t_scrape_model
from s2id.inverse.enlarge import drawn
from s2id.inverse.restore import restore, upscale
from s2id.media.alpha import in_channels, over
from s2id.media.images import resize, to_bytes, to_float
from s2id.network.enlarger import agreeing
from s2id.network.settings import EnlargerConfig
from s2id.sampling.model import S2ID, load
from s2id.sampling.settings import Card


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = S2ID(EnlargerConfig(width=8, blocks=1, head_width=8), Card(alpha="keep")).eval().requires_grad_(False)
    torch.nn.init.normal_(made.network.head.added.weight, std=0.3)
    return made


def disc(side, channels=3):
    """A disc with a soft border, in two colours."""
    y, x = torch.meshgrid(*[torch.arange(side) - side / 2 + 0.5] * 2, indexing="ij")
    inside = (side / 3 - (y**2 + x**2).sqrt()).clamp(0, 1)
    low, high = torch.tensor([-0.9, -0.5, 0.3, -1.0])[:channels], torch.tensor([0.8, 0.1, -0.7, 1.0])[:channels]
    return low[:, None, None] + (high - low)[:, None, None] * inside


@pytest.mark.parametrize("times", [(4, 4), (2, 5), (1, 1)])
def test_tiles_have_no_seams(model, times):
    given = in_channels(torch.rand(1, 3, 20, 20) * 2 - 1, 4)
    whole, tiled = (drawn(model.network, given, *times, tile) for tile in (64, 7))
    assert (whole - tiled).abs().max() < 1e-5  # a grey level is 8e-3


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(20, 20), (60, 60), (40, 160)])
def test_means_over_given_pixels_are_the_given_ones(model, channels, size):
    given = disc(20, channels)
    large = upscale(model, given, size)
    assert large.shape == (channels, *size)
    assert (resize(large, (20, 20)) - given).abs().max() < 1 / 255  # a quarter of a grey level


@pytest.mark.parametrize("size", [(26, 26), (33, 47), (90, 70)])
def test_other_sizes_show_the_same_picture(model, size):
    given = disc(20)
    large, exact = upscale(model, given, size), upscale(model, given, (240, 240))
    assert large.shape == (3, *size)
    assert (large - resize(exact, size)).square().mean().sqrt() < 0.05


def test_values_stay_in_the_range_of_pictures_and_flat_areas_flat(model):
    given = disc(20)
    assert upscale(model, given.sign(), (80, 80)).abs().max() <= 1, "black and white, beyond which the head goes"
    flat = upscale(model, given, (80, 80))[:, :8, :8]
    assert (flat - given[:, :1, :1]).abs().max() < 1e-6


def test_a_correction_leaves_what_agrees_as_it_is():
    large = disc(40)[None]
    given = resize(large, (10, 10))
    assert (agreeing(large, given, given, given) - large).abs().max() < 1e-5


def test_colours_stay_below_alpha_and_grey_stays_grey(model):
    cut = torch.cat([(disc(12, 1) + 1) / 2 * 0.5 - 0.5, (disc(12, 1) + 1) / 2], dim=0).clamp(-1, 1)
    cut[0] = torch.minimum(cut[0], cut[1])
    large = upscale(model, cut, 36)
    assert large.shape == (2, 36, 36) and bool((large[0] <= large[1] + 1e-6).all())


def test_any_size_goes_in_and_labels_are_refused(model):
    assert upscale(model, torch.zeros(3, 1, 1), (64, 64)).shape == (3, 64, 64)
    with pytest.raises(InputError, match="label '1' is none of this model's; it has no classes"):
        upscale(model, disc(8), (16, 16), label=1)
    with pytest.raises(InputError, match="enlarges given pictures, and restoring needs one that draws"):
        restore(model, torch.zeros(4, 8, 8), (16, 16))
    for measure in (evaluate_model, t_scrape_model):
        with pytest.raises(InputError, match="enlarges given pictures"):  # whatever data there are
            measure(model)
    with pytest.raises(InputError, match="smaller than the picture"):
        upscale(model, disc(8), (4, 4))


def test_the_command_enlarges_a_picture_in_its_own_colours(model, tmp_path, capsys):
    model.save(tmp_path / "graphics.safetensors")
    Image.new("RGBA", (9, 5), (200, 30, 90, 128)).save(tmp_path / "logo.png")
    words = ["upscale", str(tmp_path / "logo.png"), "--size", "36", "--weights", str(tmp_path / "graphics.safetensors")]
    assert main([*words, "--out", str(tmp_path)]) == 0
    with Image.open(tmp_path / "upscaled-logo-20x36.png") as image:
        assert image.mode == "RGBA" and {image.getpixel((x, 7)) for x in range(36)} == {
            (199, 30, 90, 128)
        }  # as premultiplied bytes are read
    assert float(re.search(r"by ([0-9.]+) grey levels", capsys.readouterr().out)[1]) < 0.3  # rounding to bytes


@pytest.fixture(scope="module")
def drawing():
    """Discs, bars and a ring in colours over white, 512 pixels a side, as a function at that density."""
    large = Image.new("RGB", (1024, 1024), "white")
    draw = ImageDraw.Draw(large)
    draw.ellipse((120, 90, 640, 610), fill=(220, 40, 80))
    draw.ellipse((250, 200, 420, 370), fill=(250, 210, 60), outline=(30, 20, 90), width=40)
    draw.polygon([(560, 980), (960, 340), (1000, 900)], fill=(20, 90, 200))
    draw.line((60, 960, 900, 420), fill=(20, 20, 20), width=28)
    return to_float(torch.from_numpy(np.array(large.reduce(2))).movedim(-1, 0))


@pytest.mark.parametrize("times", [2, 3, 4, 8])
def test_the_bundled_model_is_far_ahead_of_bicubic_interpolation(drawing, times):
    truth, given = resize(drawing, (64 * times, 64 * times)), to_float(to_bytes(resize(drawing, (64, 64))))
    found = upscale(load("graphics"), given, (64 * times, 64 * times))
    bicubic = torch.nn.functional.interpolate(given[None], truth.shape[1:], mode="bicubic")[0].clamp(-1, 1)
    assert 10 * torch.log10((bicubic - truth).square().mean() / (found - truth).square().mean()) > 10  # decibels


def test_the_bundled_model_keeps_colours_behind_transparency(drawing):
    alpha = ((drawing - 1).abs().amax(0, keepdim=True) > 0.1).float()  # what is not white is seen
    fine = torch.cat([(drawing + 1) * alpha - 1, 2 * alpha - 1])
    given = resize(fine, (64, 64))
    found = upscale(load("graphics"), given, (256, 256))
    for ground in ("black", "white"):
        shown, wanted, bicubic = (
            over(one, ground)
            for one in (
                found,
                resize(fine, (256, 256)),
                torch.nn.functional.interpolate(given[None], (256, 256), mode="bicubic")[0],
            )
        )
        assert (shown - wanted).square().mean() < 0.3 * (bicubic - wanted).square().mean()
