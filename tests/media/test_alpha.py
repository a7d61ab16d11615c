"""Transparency is premultiplied when it is read and divided out when it is written, so hidden colours never show."""

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY, enliven
from PIL import Image

import s2id
from s2id.cli.main import main
from s2id.data import cache
from s2id.data.registry import load_pictures
from s2id.evaluation.evaluate import evaluate
from s2id.evaluation.examiner import ground_of, laid_over
from s2id.evaluation.judge import Judge
from s2id.evaluation.settings import EvaluateConfig
from s2id.media.alpha import check_premultiplied, covered, has_alpha, over, premultiply, straight, with_alpha
from s2id.media.images import read, resize, tile, to_bytes, to_float, write
from s2id.sampling.field import Field
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Card, Sampling
from s2id.training.presets import PRESETS
from s2id.training.settings import TrainConfig

ALL = ("keep", "white", "black", "checker", "#ff8000")


def disc(side=32, radius=0.3, colour=(255, 0, 0), hidden=(0, 255, 0)):
    """A disc with a soft edge on transparent ground, whose hidden colour is another."""
    y, x = np.mgrid[:side, :side] + 0.5 - side / 2
    alpha = np.clip(radius * side - np.hypot(y, x) + 0.5, 0, 1)
    pixels = np.zeros((side, side, 4), np.uint8)
    pixels[...] = (*hidden, 0)
    pixels[alpha > 0, :3] = colour
    pixels[..., 3] = np.round(255 * alpha)
    return Image.fromarray(pixels)


def made(channels, alpha="white", classes=0):
    card = Card(data="noise", density=8, size=(16, 16), alpha=alpha)
    model = S2ID(replace(TINY, channels=channels, classes=classes), card).eval().requires_grad_(False)
    enliven(model)
    return model


@pytest.fixture
def folder(tmp_path):
    """A folder of red discs, one of them opaque; all differ, so that a model has something to learn."""
    place = tmp_path / "discs"
    place.mkdir()
    for i in range(19):
        disc(16, 0.2 + 0.01 * i).save(place / f"{i:02d}.png")
    Image.new("RGB", (16, 16), (0, 0, 255)).save(place / "opaque.png")
    return place


def test_premultiplied_means_are_pillows(tmp_path):
    random = np.random.default_rng(0).integers(0, 256, (24, 30, 4), dtype=np.uint8)
    image = Image.fromarray(random)
    theirs = np.array(image.resize((10, 8), Image.Resampling.BOX)).astype(int)
    values = premultiply(to_float(torch.from_numpy(random.copy()).permute(2, 0, 1)))
    ours = to_bytes(straight(resize(values, (8, 10)))).permute(1, 2, 0).int()
    assert (ours - torch.from_numpy(theirs)).abs().max() <= 2
    assert torch.allclose(premultiply(straight(values)), values, atol=1e-6), "nothing is lost but what is hidden"


def test_a_red_disc_has_no_green_fringe_at_any_size(tmp_path):
    disc(64).save(tmp_path / "a.png")
    for side in (64, 48, 31, 17, 8, 3):
        (group,) = s2id.pictures(tmp_path, long_side=side, alpha="keep").groups
        write(tmp_path / "out" / "small.png", to_float(group.images[0]))
        with Image.open(tmp_path / "out" / "small.png") as image:
            red, green, blue, alpha = torch.from_numpy(np.array(image)).permute(2, 0, 1).int()
        assert image.mode == "RGBA" and image.size == (side, side)
        assert not green.any() and not blue.any() and (red[alpha > 8] >= 240).all()
        (tmp_path / "out" / "small.png").unlink()


@pytest.mark.parametrize("channels", [2, 4])
def test_a_field_is_the_same_over_any_ground_as_image_and_as_values(field, channels, tmp_path):
    drawn = field(channels=channels)
    values = drawn.render((24, 24))
    assert (values[:, :-1] <= values[:, -1:]).all(), "a colour above its alpha cannot be seen"
    assert torch.allclose(resize(values, (6, 6)), drawn.render((6, 6)), atol=0.02)
    image = drawn.image((24, 24))
    assert image.mode == {2: "LA", 4: "RGBA"}[channels]
    for ground in ("white", "black", "#ff8000"):
        colour = {"white": "white", "black": "black"}.get(ground, ground)
        seen = Image.alpha_composite(Image.new("RGBA", image.size, colour), image.convert("RGBA")).convert("RGB")
        mine = to_bytes(over(values[0], ground)).expand(3, -1, -1).permute(1, 2, 0).int()
        assert (mine - torch.from_numpy(np.array(seen)).int()).abs().max() <= 2
    drawn.write(tmp_path / "a.png", (24, 24))
    drawn.write(tmp_path / "a.webp", (24, 24))
    with Image.open(tmp_path / "a.png") as png, Image.open(tmp_path / "a.webp") as webp:
        assert np.array_equal(np.array(png), np.array(image)) and webp.mode == "RGBA"
    drawn.save(tmp_path / "a.safetensors")
    assert torch.equal(Field.load(tmp_path / "a.safetensors").render((24, 24)), values)


def test_canvas_beyond_a_transparent_border_is_transparent(field):
    drawn = field(channels=4)
    drawn.features.values[...] = drawn.features.values[:, :1, :1]  # the same everywhere
    drawn.head.out.bias.data = torch.tensor([2.0, 2.0, 2.0, -9.0])
    assert (drawn.render((8, 24)) == -1).all()


@pytest.mark.parametrize("ending", ["jpg", "bmp"])
def test_a_format_without_transparency_is_refused(field, tmp_path, ending):
    with pytest.raises(s2id.InputError, match="cannot hold the picture's transparency; use .png, .webp or .tif"):
        field(channels=4).write(tmp_path / f"a.{ending}", (8, 8))
    assert not list(tmp_path.iterdir())
    write(tmp_path / "a.jpg", over(field(channels=4).render((8, 8))[0], "white"))


def test_a_sheet_of_pictures_with_alpha_is_transparent_between_them():
    sheet = tile(torch.ones(3, 4, 2, 2), columns=2)
    assert (sheet[:, 2] == -1).all() and (sheet[:, :2, :2] == 1).all() and (sheet[:, 3:, 3:] == -1).all()


@pytest.mark.parametrize("alpha", ALL)
def test_every_choice_makes_the_pictures_that_it_names(folder, alpha):
    pictures = s2id.pictures(folder, alpha=alpha)
    (group,) = pictures.groups
    first, opaque = group.images[0], group.images[-1]
    assert pictures.alpha == alpha and pictures.channels == (4 if alpha == "keep" else 3)
    expected = {"keep": [0, 0, 0, 0], "black": [0, 0, 0], "#ff8000": [255, 128, 0]}.get(alpha, [255, 255, 255])
    assert first[:, 0, 0].tolist() == expected and first[:3, 8, 8].tolist() == [255, 0, 0]
    assert opaque[:3, 5, 5].tolist() == [0, 0, 255] and (opaque[3:] == 255).all()
    assert len(first[:, 0, :6].unique(dim=1).T) == (2 if alpha == "checker" else 1)
    tensor = torch.from_numpy(np.array(disc(16, 0.2))).permute(2, 0, 1)[None]
    assert (s2id.pictures(tensor, alpha=alpha).groups[0].images[0].int() - first.int()).abs().max() <= 1


def test_transparency_is_kept_where_more_than_one_in_a_hundred_has_any(tmp_path):
    disc(4).save(tmp_path / "a.png")
    for i in range(98):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(tmp_path / f"{i}.png")
    assert s2id.pictures(tmp_path).channels == 4
    Image.new("RGBA", (4, 4), (99, 0, 0, 255)).save(tmp_path / "opaque.png")
    pictures = s2id.pictures(tmp_path)
    assert pictures.channels == 3 and pictures.alpha == "white"


def test_grey_with_transparency_is_grey_and_alpha(tmp_path):
    pixels = np.array(disc(8, colour=(40, 40, 40)))
    Image.fromarray(pixels).convert("LA").save(tmp_path / "la.png")
    Image.fromarray(pixels).save(tmp_path / "rgba.png")  # its hidden colour is green
    Image.new("L", (8, 8), 9).save(tmp_path / "opaque.png")
    (group,) = s2id.pictures(tmp_path).groups
    assert group.images.shape == (3, 2, 8, 8) and torch.equal(group.images[0], group.images[2])
    assert (group.images[1, 0] == 9).all() and (group.images[1, 1] == 255).all()
    assert s2id.pictures(tmp_path, alpha="white").channels == 1
    assert s2id.pictures(tmp_path, alpha="#ff8000").channels == 3, "orange shows through a grey picture"


def test_the_cache_holds_what_was_asked_for(folder, monkeypatch):
    chosen = s2id.pictures(folder)
    files = {choice: s2id.pictures(folder, alpha=choice).groups[0].images.float().mean().item() for choice in ALL}
    assert len(set(files.values())) == len(ALL)
    assert torch.equal(s2id.pictures(folder).groups[0].images, chosen.groups[0].images)
    monkeypatch.setattr(cache, "_build", None)  # nothing is read again for who asks by name for what the data chose
    again = load_pictures("folder", folder, alpha="keep")
    assert torch.equal(again.groups[0].images, chosen.groups[0].images)


def test_tensors_are_straight_bytes_or_premultiplied_floats():
    bytes_ = torch.from_numpy(np.array(disc(16))).permute(2, 0, 1)[None]
    values = premultiply(to_float(bytes_))
    one, other = s2id.pictures(bytes_), s2id.pictures(values)
    assert one.channels == 4 and torch.equal(one.groups[0].images, other.groups[0].images)
    assert s2id.pictures(with_alpha(over(values, "white"))).channels == 3, "nothing of it is transparent"
    with pytest.raises(s2id.InputError, match="colours above its alpha.*give s2id.media.alpha.premultiply"):
        s2id.pictures(to_float(bytes_))
    with pytest.raises(s2id.InputError, match="alpha 'grey' is unknown; choose keep, white, black, checker"):
        s2id.pictures(bytes_, alpha="grey")


@pytest.mark.parametrize("choice", ["grey", "#ff80", "ff8000", ""])
def test_a_choice_that_is_none_is_a_sentence(choice, folder, capsys):
    assert main(["train", "folder", "--data", str(folder), "--alpha", choice]) == 2
    assert "is unknown; choose keep, white, black, checker, or a colour as in #ff8800." in capsys.readouterr().err
    with pytest.raises(s2id.InputError, match="is unknown"):
        TrainConfig(alpha=choice)


def png(path, kind, depth, row, transparent, palette=b""):
    """A PNG of one row, as the specification says: colour type, bits, and what is transparent."""

    def chunk(name, payload):
        return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))

    width = len(row) * 8 // (depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind])
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, kind, 0, 0, 0))
    extra = (chunk(b"PLTE", palette) if palette else b"") + (chunk(b"tRNS", transparent) if transparent else b"")
    body = chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + extra + body)


@pytest.mark.parametrize(
    ("kind", "depth", "row", "transparent", "palette", "seen"),
    [
        (0, 8, bytes([7, 128]), struct.pack(">H", 7), b"", [[0, 0], [128, 255]]),
        (0, 16, struct.pack(">2H", 1000, 32896), struct.pack(">H", 1000), b"", [[0, 0], [128, 255]]),
        (2, 8, bytes([1, 2, 3, 4, 5, 6]), struct.pack(">3H", 1, 2, 3), b"", [[0] * 4, [4, 5, 6, 255]]),
        (2, 16, struct.pack(">6H", 1000, 2000, 3000, 257, 514, 771), struct.pack(">3H", 1000, 2000, 3000), b"",
         [[0] * 4, [1, 2, 3, 255]]),
        (3, 8, bytes([0, 1]), bytes([0, 128]), bytes([0, 255, 0, 255, 0, 0]), [[0] * 4, [128, 0, 0, 128]]),
        (4, 8, bytes([7, 0, 128, 255]), b"", b"", [[0, 0], [128, 255]]),
        (4, 16, struct.pack(">4H", 1000, 0, 32896, 65535), b"", b"", [[0, 0], [128, 255]]),
        (6, 16, struct.pack(">8H", 9, 999, 9, 0, 65535, 0, 0, 32896), b"", b"", [[0] * 4, [128, 0, 0, 128]]),
    ],
    ids=["grey", "grey16", "rgb", "rgb16", "palette", "la", "la16", "rgba16"],
)  # fmt: skip
def test_all_ways_in_which_a_png_is_transparent_are_read(tmp_path, kind, depth, row, transparent, palette, seen):
    png(tmp_path / "a.png", kind, depth, row, transparent, palette)
    assert read(tmp_path / "a.png")[:, 0].T.tolist() == seen


@pytest.mark.parametrize("ending", ["tif", "webp", "gif", "tga"])
def test_other_formats_keep_their_transparency(tmp_path, ending):
    disc(8).save(tmp_path / f"a.{ending}", **({"lossless": True} if ending == "webp" else {}))
    pixels = read(tmp_path / f"a.{ending}")
    assert pixels.shape == (4, 8, 8) and not pixels[1:3].any() and pixels[:, 0, 0].tolist() == [0, 0, 0, 0]
    assert pixels[:, 4, 4].tolist() == [255, 0, 0, 255]


def test_a_model_of_transparent_pictures_draws_and_enlarges_them(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    few = replace(PRESETS["tiny"], train=replace(PRESETS["tiny"].train, images=120, batch=4, device="cpu"))
    run = s2id.train(s2id.pictures(folder), "run", few)
    losses = [progress.loss for progress in run]
    assert len(losses) == 30 and sum(losses[-5:]) < sum(losses[:5])
    assert run.model.card.alpha == "keep" and run.model.config.channels == 4
    low = run.trainer.pictures.groups[0].images
    Image.fromarray(np.array(disc(8))).save("low.png")
    asked = "--label none --seed 0-1 --size 24x24 --steps 2 --out drawn"
    assert main(["sample", "run/model", *asked.split()]) == 0
    assert main(["sample", "run/model", *asked.split(), "--grid"]) == 0
    assert main("upscale low.png --size 16x16 --weights run/model --out drawn".split()) == 0
    assert main("restore low.png --size 16x16 --weights run/model --seed 0 --steps 2 --out drawn".split()) == 0
    names = ("seed0-24x24.png", "grid-24x24.png", "upscaled-low-16x16.png", "restored-low-seed0-16x16.png")
    for name in names:
        with Image.open(tmp_path / "drawn" / name) as image:
            assert image.mode == "RGBA", name
    with Image.open("drawn/restored-low-std-16x16.png") as image:
        assert image.mode == "L"
    enlarged, truth = (
        to_float(read(tmp_path / "drawn" / "upscaled-low-16x16.png", 4)),
        to_float(read(tmp_path / "low.png")),
    )
    assert (resize(enlarged, (8, 8)) - truth).abs().mean() < 0.05, "its means are the picture's, its alpha's too"
    assert "laid over" not in capsys.readouterr().out and has_alpha(low.shape[1])


@pytest.mark.slow
def test_a_picture_is_given_the_alpha_that_a_model_wants(tmp_path, capsys):
    clear, solid = made(4), made(3, "black")
    red = premultiply(to_float(torch.from_numpy(np.array(disc(8))).permute(2, 0, 1)))
    plain = over(red, "white")
    for picture in (red, plain):
        assert torch.equal(s2id.upscale(clear, with_alpha(picture), (16, 16)), s2id.upscale(clear, picture, (16, 16)))
    assert torch.equal(s2id.upscale(solid, red, (16, 16)), s2id.upscale(solid, over(red, "black"), (16, 16)))
    with pytest.raises(s2id.InputError, match="colours above its alpha"):
        s2id.upscale(clear, straight(red) + torch.tensor([0.0, 2, 0, 0])[:, None, None], (16, 16))
    solid.save(tmp_path / "solid.safetensors")
    disc(8).save(tmp_path / "disc.png")
    words = f"upscale {tmp_path}/disc.png --size 16x16 --weights {tmp_path}/solid.safetensors --out {tmp_path}"
    assert main(words.split()) == 0
    assert "note: disc.png is laid over black, because this model draws no transparency." in capsys.readouterr().out
    assert read(tmp_path / "upscaled-disc-16x16.png").shape[0] == 3


def test_grey_with_alpha_is_coloured_and_agrees_in_both():
    grey = premultiply(torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    found = s2id.restore(made(4), grey, (16, 16), seeds=[0], sampling=Sampling(2, 1.0))
    assert found.pictures.shape == (1, 4, 16, 16) and found.residual.max() < 0.01
    check_premultiplied(found.pictures)


def test_frames_without_alpha_are_opaque_to_a_model_of_alpha():
    frames = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)) - 0.5
    motion = torch.tensor([[0.0, 0.0], [0.5, 0.5]])
    found = s2id.depixelate(frames, (8, 8), model=made(4), motion=motion, seeds=[0], sampling=Sampling(2, 1.0))
    assert found.picture.shape == (4, 8, 8)
    check_premultiplied(found.picture)


def test_sets_with_alpha_are_judged_over_the_ground_that_shows_them():
    def of(colour):
        tensor = torch.stack([torch.from_numpy(np.array(disc(16, 0.1 + 0.003 * i, colour))) for i in range(100)])
        return s2id.pictures(tensor.permute(0, 3, 1, 2), ["disc"] * 100)

    dark, bright = of((9, 9, 9)), of((250, 250, 250))
    assert ground_of(dark) == "white" and ground_of(bright) == "black"
    flat = laid_over(bright, "black")
    assert flat.channels == 3 and flat.groups[0].images[0, :, 0, 0].tolist() == [0, 0, 0]
    torch.manual_seed(0)
    judge = Judge("discs", (16, 16), 3, 1, (4, 4, 8, 8, 16)).eval().requires_grad_(False)
    config = EvaluateConfig(sizes=((16, 16),), count=32, detail=1, sampling=Sampling(2, 1.0))
    rows = list(evaluate(made(4, classes=1), judge, bright, bright, config))
    assert [row.size for row in rows] == ["training set", "16x16", "samples", "reconstructions"]


def test_what_covers_and_what_does_not():
    values = torch.tensor([0.5, 0.1, -1.0, 0.2])[:, None, None]
    assert covered(values).flatten().tolist() == pytest.approx([0.2, 0.1, -1.0, 0.2])
    assert torch.equal(covered(values[:3]), values[:3]) and torch.equal(over(values[:3], "white"), values[:3])
    assert straight(torch.full((4, 1, 1), -1.0)).flatten().tolist() == [-1, -1, -1, -1]
