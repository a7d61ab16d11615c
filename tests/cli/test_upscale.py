"""The command that enlarges: any scale, whole folders, what a file says beside its pixels, JPEG."""

import os
import sys

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageCms

from s2id.cli.main import main
from s2id.media.images import chunk, read, to_float
from s2id.media.metadata import is_lossy
from s2id.media.sixteen_bits import read_exactly
from s2id.network.settings import EnlargerConfig
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Card


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    model = S2ID(EnlargerConfig(width=8, blocks=1, head_width=8), Card(alpha="keep"))
    torch.nn.init.normal_(model.network.head.added.weight, std=0.3)
    path = tmp_path_factory.mktemp("model") / "graphics.safetensors"
    model.save(path)
    return path


def logo(size=(8, 6), colour=(200, 30, 90)):
    image = Image.new("RGB", size, "white")
    image.paste(colour, (2, 2, 5, 5))
    return image


def upscale(weights, folder, *words):
    return main(["upscale", *map(str, words), "--weights", str(weights), "--out", str(folder)])


@pytest.mark.parametrize(("scale", "size"), [("4", (32, 24)), ("2.5", (20, 15)), ("1.3", (10, 8))])
def test_any_scale_above_one(weights, tmp_path, scale, size):
    logo().save(tmp_path / "logo.png")
    assert upscale(weights, tmp_path, tmp_path / "logo.png", "--scale", scale) == 0
    with Image.open(tmp_path / f"upscaled-logo-{size[1]}x{size[0]}.png") as image:
        assert image.size == size


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "one of --scale 4 and --size"),
        (("--scale", 2, "--size", 9), "both say how large; keep one of --scale 4 and --size"),
        (("--scale", 2, "--seed", "abc"), "seed 'abc' is no number"),
        (("--scale", 1), "scale is 1; it must be a number, above 1"),
    ],
)
def test_a_size_is_said_once(weights, tmp_path, capsys, words, said):
    logo().save(tmp_path / "logo.png")
    assert upscale(weights, tmp_path, tmp_path / "logo.png", *words) == 2
    assert said in capsys.readouterr().err


def test_a_folder_is_enlarged_and_bad_pictures_are_named(weights, tmp_path, capsys):
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    for name in ("one.png", "one.bmp", "deep/two.png"):
        logo().save(folder / name)
    (folder / "bad.png").write_bytes(b"no picture")
    assert upscale(weights, tmp_path / "out", folder, "--scale", 2) == 2
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png")}
    assert written == {
        "upscaled-one.png-12x16.png",
        "upscaled-one.bmp-12x16.png",
        "deep/upscaled-two-12x16.png",
    }
    assert "bad.png" in (said := capsys.readouterr().err) and "1 of 4 pictures" in said
    (folder / "bad.png").unlink()
    assert upscale(weights, tmp_path / "out", folder, "--scale", 2) == 0
    assert upscale(weights, tmp_path / "out", tmp_path / "out" / "deep", "--size", 8) == 2  # smaller than given


def test_several_pictures_are_enlarged_and_bad_ones_are_named(weights, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    for name in ("logo.png", "logo.bmp", "other/two.png", "other/logo.png"):
        logo().save(tmp_path / name)
    given = [tmp_path / name for name in ("logo.png", "logo.bmp", "missing.png", "other/two.png")]
    assert upscale(weights, tmp_path / "out", *given, "--scale", 2) == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "upscaled-logo.png-12x16.png",
        "upscaled-logo.bmp-12x16.png",
        "upscaled-two-12x16.png",
    }
    said = capsys.readouterr().err
    assert "missing.png does not exist" in said and "1 of 4 pictures was" in said
    assert upscale(weights, tmp_path / "a", tmp_path / "logo.png", tmp_path / "other", "--scale", 2) == 2
    assert "other/logo.png would have results of the same name" in capsys.readouterr().err.replace(os.sep, "/")
    assert not (tmp_path / "a").exists()
    twice = [tmp_path / "logo.png", tmp_path / "other" / ".." / "logo.png"]
    assert upscale(weights, tmp_path / "b", *twice, "--scale", 2) == 0
    assert len([*(tmp_path / "b").iterdir()]) == 1


def test_a_folder_without_pictures_does_not_stop_the_others(weights, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    logo().save(tmp_path / "logo.png")
    assert upscale(weights, tmp_path / "out", tmp_path / "empty", tmp_path / "logo.png", "--scale", 2) == 2
    assert (
        "empty holds no picture" in capsys.readouterr().err and (tmp_path / "out" / "upscaled-logo-12x16.png").exists()
    )
    assert upscale(weights, tmp_path / "out", tmp_path / "empty", tmp_path / "no.png", "--scale", 2) == 2
    assert "wrote" not in capsys.readouterr().out


def test_pictures_stand_together_and_a_dash_is_no_name(weights, tmp_path, capsys):
    for words in (["a.png", "--scale", 2, "b.png"], ["--scale", 2, "-dash.png"]):
        assert upscale(weights, tmp_path, *words) == 2
        said = capsys.readouterr().err
        assert "is not understood; give all that have no flag one after the other" in said and "./-NAME" in said
    assert main(["evaluate", "mnist", "mnist"]) == 2
    assert "mnist is not understood; it may be one too many" in capsys.readouterr().err
    assert main(["upscale", "a.png", "--scale", "2", "--out="]) == main(["upscale", "a.png", "--out", ""]) == 2
    assert capsys.readouterr().err.count("is given an empty argument") == 2


@pytest.mark.parametrize(("words", "said"), [((), "needs a picture"), (("",), "is given an empty argument")])
def test_no_picture_is_not_the_present_folder(weights, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    logo().save("logo.png")
    assert upscale(weights, tmp_path / "out", *words, "--scale", 2) == 2
    assert said in capsys.readouterr().err


def test_profile_resolution_and_exif_are_taken_over(weights, tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[ExifTags.Base.Artist], exif[ExifTags.Base.Orientation] = "A. Painter", 6
    logo().save(tmp_path / "logo.png", icc_profile=profile, dpi=(300, 300), exif=exif)
    assert upscale(weights, tmp_path, tmp_path / "logo.png", "--scale", 2) == 0
    with Image.open(tmp_path / "upscaled-logo-16x12.png") as image:  # turned upright
        assert image.info["icc_profile"] == profile and image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert dict(image.getexif()) == {ExifTags.Base.Artist: "A. Painter"}


def test_a_file_that_says_nothing_gives_no_facts_and_a_profile_of_other_colours_is_left_out(weights, tmp_path):
    logo().save(tmp_path / "plain.png")
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    logo().save(tmp_path / "lab.png", icc_profile=lab)
    assert upscale(weights, tmp_path / "out", tmp_path, "--scale", 2) == 0
    for name in ("plain", "lab"):
        with Image.open(tmp_path / "out" / f"upscaled-{name}-12x16.png") as image:
            assert not {"icc_profile", "dpi", "exif"} & {*image.info} and not image.getexif()


def test_the_pixels_of_a_jpeg_are_not_met(weights, tmp_path, capsys):
    logo((16, 16)).save(tmp_path / "logo.jpg", quality=60)
    with Image.open(tmp_path / "logo.jpg") as image:
        image.save(tmp_path / "copy.png")
    assert is_lossy(tmp_path / "logo.jpg") and not is_lossy(tmp_path / "copy.png")
    for name in ("logo.jpg", "copy.png"):
        assert upscale(weights, tmp_path, tmp_path / name, "--scale", 2) == 0
    jpeg, png = (line for line in capsys.readouterr().out.splitlines() if "grey levels rms" in line)
    off = [float(line.split("by ")[1].split()[0]) for line in (jpeg, png)]
    assert "blocks" in jpeg and "blocks" not in png and off[0] > 2 * off[1]


def test_pixels_are_met_or_not_as_asked(weights, tmp_path, capsys):
    logo().save(tmp_path / "logo.png")
    for exact in ("true", "false"):
        assert upscale(weights, tmp_path, tmp_path / "logo.png", "--scale", 2, "--set", f"exact={exact}") == 0
    met, loose = (
        float(line.split("by ")[1].split()[0]) for line in capsys.readouterr().out.splitlines() if "rms" in line
    )
    assert met < loose


def deep(channels):
    """A ramp of fewer steps than one of 8 bits in its colours, and of alpha, in the order of OpenCV."""
    y, x = np.mgrid[:6, :8]
    colours = [20_000 + 40 * x + 7 * (k + 1) * y for k in range(min(channels, 3))]
    return np.stack([*colours, *[30_000 + 3_000 * x] * (channels == 4)], axis=-1).astype(np.uint16)


@pytest.mark.parametrize(("channels", "ending"), [(1, "png"), (3, "png"), (4, "png"), (1, "tif"), (3, "tif")])
def test_sixteen_bits_are_read_and_written(weights, tmp_path, channels, ending):
    cv2 = pytest.importorskip("cv2")
    cv2.imwrite(str(tmp_path / f"deep.{ending}"), deep(channels).squeeze())
    assert upscale(weights, tmp_path, tmp_path / f"deep.{ending}", "--scale", 2) == 0
    found = cv2.imread(str(tmp_path / "upscaled-deep-12x16.png"), cv2.IMREAD_UNCHANGED).reshape(12, 16, channels)
    assert found.dtype == np.uint16
    share = found[..., 3:] / 65_535 if channels == 4 else 1  # means are of premultiplied colours
    means = (found[..., :3] * share).reshape(6, 2, 8, 2, -1).mean((1, 3))
    wanted = deep(channels)[..., :3] * (deep(channels)[..., 3:] / 65_535 if channels == 4 else 1)
    assert np.abs(means - wanted).max() < 2


@pytest.mark.parametrize("turn", range(1, 9))
def test_sixteen_bits_are_turned_upright(tmp_path, turn):
    cv2 = pytest.importorskip("cv2")
    cv2.imwrite(str(tmp_path / "plain.png"), deep(3))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    content = (tmp_path / "plain.png").read_bytes()
    (tmp_path / "turned.png").write_bytes(content[:33] + chunk(b"eXIf", exif.tobytes()[6:]) + content[33:])
    picture, depth = read_exactly(tmp_path / "turned.png")
    assert depth == 16 and (picture - to_float(read(tmp_path / "turned.png"))).abs().max() < 2 / 255


def test_what_is_not_read_of_sixteen_bits_is_said(weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    Image.new("I;16", (4, 4), 40_000).save(tmp_path / "deep.png")
    assert upscale(weights, tmp_path, tmp_path / "deep.png", "--scale", 2) == 0
    assert "of which 8 are read" in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of another kind")
def test_a_pipe_is_refused_and_not_waited_for(weights, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.png")
    assert upscale(weights, tmp_path, tmp_path / "pipe.png", "--scale", 2) == 2
    assert "pipe.png is no ordinary file; give a picture." in capsys.readouterr().err


def test_what_an_animation_loses_is_said(weights, tmp_path, capsys):
    logo().save(tmp_path / "film.gif", save_all=True, append_images=[logo(colour=c) for c in ("blue", "lime")])
    assert upscale(weights, tmp_path, tmp_path / "film.gif", "--scale", 2) == 0
    assert "note: film.gif is an animation of 3 pictures, of which the first is read." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("restore", "logo.png", "--size", "0"), "size 0x0 is smaller than the picture's 6x8"),
        (("restore", "logo.png", "--size", "1x1000000000"), "has a side of more than 9 digits; give fewer pixels"),
        (("upscale", "logo.png", "--size", "1000000000"), "has a side of more than 9 digits; give fewer pixels"),
        (("upscale", "logo.png", "--size", "0"), "size 0"),
        (("upscale", "empty", "--scale", "2"), "empty holds no picture"),
        (("restore", "empty"), "empty is a folder; give a picture."),
        (("restore", "nowhere.png"), "nowhere.png does not exist; give a picture."),
    ],
)
def test_sizes_and_places_that_cannot_be_are_one_sentence(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    logo().convert("L").save("logo.png")
    (tmp_path / "empty").mkdir()
    assert main([*words]) == 2
    told = capsys.readouterr().err
    assert told.startswith("s2id: ") and said in told and told.count("\n") == 1
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_results_in_a_folder_of_pictures_are_not_enlarged_again(weights, tmp_path, capsys):
    logo().save(tmp_path / "logo.png")
    (tmp_path / "small").mkdir()
    logo((4, 4)).save(tmp_path / "small" / "logo.png")
    for _ in range(2):
        assert upscale(weights, tmp_path / "out", tmp_path, "--scale", 2) == 0
        assert capsys.readouterr().out.count("means over the given pixels") == 2
    assert upscale(weights, tmp_path / "out", tmp_path / "out", "--scale", 2) == 0, "unless one asks for them"
    assert "small/upscaled-logo-8x8.png: means" in capsys.readouterr().out.replace(os.sep, "/")


@pytest.mark.parametrize(
    ("words", "said"),
    [("--size 7x9", "no whole multiple"), ("--scale 3 --set exact=false", "not set right")],
)
def test_a_poor_match_has_the_reason_that_it_has(weights, tmp_path, capsys, words, said):
    logo().save(tmp_path / "logo.png")
    assert upscale(weights, tmp_path, tmp_path / "logo.png", *words.split()) == 0
    assert said in capsys.readouterr().out
