"""Frames of a known function: their motion, their fusion, and one sentence for what cannot be fused."""

import json
import math
import struct

import numpy as np
import pytest
import torch
from conftest import unchecked
from PIL import Image
from torch.nn import functional as F

import s2id
from s2id.cli.main import main
from s2id.coords import extent
from s2id.errors import InputError
from s2id.inverse.alignment import refine
from s2id.inverse.depixelate import Depixelated
from s2id.inverse.frames import read_frames
from s2id.inverse.fusion import FramesOperator, Fused, differences, differences_transpose, fuse
from s2id.inverse.motion import register
from s2id.inverse.observation import Area, Observation
from s2id.media.films import write_film
from s2id.media.images import resize, to_bytes, to_pillow
from s2id.sampling.settings import Sampling

LOW, HIGH, FINE = (16, 20), (64, 80), 8


def scene(margin=4):
    """Discs, bars and a slope with sharp edges, `FINE` samples per sample of the picture, `margin` pixels around."""
    height, width = ((side + 2 * margin) * 4 * FINE // 2 for side in LOW)
    y, x = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    picture = 0.4 * x - 0.6 + 0.2 * torch.sin(9 * y)
    picture = torch.where((y - 0.45).square() + (x - 0.4).square() < 0.03, 0.8, picture)
    picture = torch.where((y - 0.6).square() + (x - 0.65).square() < 0.01, -0.9, picture)
    bars = ((x * 32).floor() % 2 == 0) & (y > 0.2) & (y < 0.32) & (x > 0.25) & (x < 0.75)
    return torch.where(bars, 0.9, picture)[None, None]


def shots(count, seed=0, noise=0.01, picture=None):
    """Frames by exact area means of a scene, their shifts in pixels, and the picture in the first's place."""
    generator = torch.Generator().manual_seed(seed)
    shifts = 2 * torch.rand(count, 2, generator=generator) - 1
    shifts[0] = 0
    fine, unit = scene() if picture is None else picture, 1 / max(LOW)
    frame = tuple((side + 8) * unit for side in LOW)

    def seen(size, shift):
        looked = Observation.of_picture(torch.zeros(1, *size), extent(LOW), shift)
        return Area(looked, tuple(fine.shape[2:]), frame)(fine)[0].mT.unflatten(1, size).float()

    frames = torch.stack([seen(LOW, (y * unit, x * unit)) for y, x in shifts.tolist()])
    return frames + noise * torch.randn(frames.shape, generator=generator), shifts, seen(HIGH, (0.0, 0.0))


def psnr(found, truth):
    return float(-10 * torch.log10(((found - truth) / 2).square().mean()))


@pytest.fixture(scope="module")
def sixteen():
    return shots(16)


def test_frames_are_area_means_and_their_transpose_is_one():
    generator = torch.Generator().manual_seed(0)
    operator = FramesOperator((6, 8), torch.tensor([[0.0, 0.0], [0.3, -1.2]]), (24, 32))
    x = torch.randn(2, 3, *operator.canvas, generator=generator)
    assert torch.allclose(operator(x)[:, :, 0], resize(operator.crop(x), (6, 8)), atol=1e-5)
    y = torch.randn(operator(x).shape, generator=generator)
    assert torch.allclose((operator(x) * y).sum(), (x * operator.transpose(y)).sum(), rtol=1e-4)
    d = torch.randn(4, *x.shape, generator=generator)
    assert torch.allclose((differences(x) * d).sum(), (x * differences_transpose(d)).sum(), rtol=1e-3)


def test_motion_is_found_to_a_twentieth_of_a_pixel(sixteen):
    frames, shifts, _ = sixteen
    first, likeness = register(frames)
    assert (first - shifts).abs().max() < 0.4 and likeness.min() > 0.8
    assert (refine(frames, first) - shifts).norm(dim=1).max() < 0.05


def test_larger_motion_is_found():
    canvas = torch.randn(1, 1, 15, 15, generator=torch.Generator().manual_seed(1))
    scene = F.interpolate(canvas, (60, 60), mode="bicubic")[0]
    frames = torch.stack([scene[:, 10:50, 10:50], scene[:, 5:45, 18:58]])
    assert torch.allclose(register(frames)[0][1], torch.tensor([-5.0, 8.0]), atol=0.05)


@pytest.mark.parametrize("shift", [(-1.0, 1.0), (0.9, -0.9)])
def test_motion_of_a_thin_stroke_in_tiny_frames_is_found(shift):
    y, x = torch.meshgrid(torch.arange(28.0) - 14, torch.arange(28.0) - 14, indexing="ij")
    along, across = 0.8 * y + 0.6 * x, 0.6 * y - 0.8 * x
    stroke = torch.where((along.abs() < 8) & (across.abs() < 1), 1.0, -1.0)[None, None]
    shifts = torch.tensor([(0.0, 0.0), shift])  # across the stroke, so that the two share little where they stand
    operator = FramesOperator((7, 7), shifts, (28, 28))
    frames = operator(F.pad(stroke, (operator.margin[1],) * 2 + (operator.margin[0],) * 2, value=-1.0))[0].movedim(0, 1)
    assert (register(frames)[0] - shifts).abs().max() < 0.1


def test_fusion_beats_one_frame_and_shift_and_add(sixteen):
    frames, shifts, truth = sixteen
    fused = fuse(frames, shifts, HIGH)
    operator, y = FramesOperator(LOW, shifts, HIGH), frames.movedim(1, 0)[None]
    added = operator.crop(operator.transpose(y) / operator.transpose(torch.ones_like(y)).clamp(min=1e-6))[0]
    bicubic = F.interpolate(frames[:1], HIGH, mode="bicubic")[0]
    assert psnr(fused.picture, truth) > max(psnr(added, truth), psnr(bicubic, truth)) + 10
    assert fused.noise == pytest.approx(0.01, rel=0.4)
    assert 0.3 < float(((fused.picture - truth)[0] / fused.uncertainty).square().mean().sqrt()) < 1.5


def test_more_frames_show_more():
    found = []
    for count in (1, 4, 16):
        frames, shifts, truth = shots(count)
        found.append(psnr(fuse(frames, shifts, HIGH, draws=1).picture, truth))
    assert found[0] + 1 < found[1] < found[2] - 1


def test_outliers_lose_their_weight(sixteen):
    frames, shifts, truth = sixteen
    spoiled = frames.clone()
    spoiled[3, :, 4:8, 4:8] = 1.0
    fused = fuse(spoiled, shifts, HIGH, draws=1)
    assert psnr(fused.picture, truth) > psnr(fuse(frames, shifts, HIGH, draws=1).picture, truth) - 1
    assert fused.outliers > 0


def test_colours_are_fused_together():
    frames, shifts, truth = shots(4)
    colour = torch.cat([frames, -frames, 0.5 * frames], dim=1)
    fused = fuse(colour, shifts, HIGH, draws=1)
    grey = psnr(fuse(frames, shifts, HIGH, draws=1).picture, truth)
    each = [psnr(one, share * truth[0]) for one, share in zip(fused.picture, (1, -1, 0.5), strict=True)]
    assert each == pytest.approx([grey, grey, grey + 6], abs=1)  # half the error is 6 dB


def test_motion_found_is_nearly_as_good_as_known(sixteen):
    frames, shifts, truth = sixteen
    found = s2id.depixelate(frames, HIGH)
    assert psnr(found.picture, truth) > psnr(fuse(frames, shifts, HIGH, draws=1).picture, truth) - 1.5
    assert found.notes == ("no model was given: the picture is fused without a prior.",)
    again = list(found.redrawn())
    assert len(again) == 16 and again[0].shape == (1, *HIGH)
    assert torch.allclose(again[0], found.picture, atol=1e-4)
    assert (resize(again[5], LOW) - frames[5]).square().mean().sqrt() < 0.05


def test_a_frame_of_something_else_is_left_out(sixteen):
    frames, shifts, truth = sixteen
    spoiled = frames[:9].clone()
    spoiled[4] = frames[4] * torch.linspace(0, 1.5, LOW[1]) - 0.3  # alike enough to be aligned
    found = s2id.depixelate(spoiled, HIGH)
    assert found.used.tolist() == [i != 4 for i in range(9)]
    assert "left out: 4." in found.notes[0]
    assert len(list(found.redrawn())) == 8


def test_a_model_draws_under_the_frames(model):
    frames, shifts, _ = shots(3)
    how = {"model": model, "motion": shifts, "seeds": [0, 1], "sampling": Sampling(2, 1.0)}
    found = s2id.depixelate(frames, (32, 40), **how)
    three, asked = (s2id.depixelate(frames, (32, 40), **how, label=one) for one in (3, s2id.ask(model, 3)))
    assert torch.equal(three.picture, asked.picture) and not torch.equal(three.picture, found.picture)
    assert found.picture.shape == (1, 32, 40) and bool(found.picture.isfinite().all())
    assert found.notes == () and float(found.uncertainty.max()) > 0
    # the answers' mean explains the frames, though this model knows nothing of such pictures
    operator = FramesOperator((16, 20), shifts, (32, 40))
    canvas = found.fused.canvas.clone()
    top, left = found.fused.margin
    canvas[:, top : top + 32, left : left + 40] = found.picture
    inside = (slice(2, -2), slice(2, -2))  # what the first frame shows, whichever way the camera moved
    left_over = (operator(canvas[None])[0].movedim(0, 1) - frames)[(..., *inside)]
    assert left_over.square().mean().sqrt() < 0.5 * (frames - frames.mean())[(..., *inside)].square().mean().sqrt()


def test_the_command_writes_its_files(tmp_path, capsys):
    frames, *_ = shots(3)
    np.savez(tmp_path / "frames.npz", frames=((frames[:, 0] + 1) * 127.5).round().clamp(0, 255).byte().numpy())
    out = tmp_path / "out"
    words = ["depixelate", str(tmp_path / "frames.npz"), "--size", "32x40", "--video", "--out", str(out)]
    assert main(words) == 0
    assert "no model was given" in capsys.readouterr().out
    assert {p.name for p in out.iterdir()} == {"picture.png", "uncertainty.png", "motion.json", "video.gif"}
    facts = json.loads((out / "motion.json").read_text())
    assert facts["size"] == [32, 40] and len(facts["motion"]) == 3
    assert len(read_frames(out / "video.gif")) == 3


@pytest.mark.parametrize(
    ("name", "frames", "words", "said"),
    [
        ("one.npy", (1, 8, 8), [], "at least 2"),
        ("small.npy", (3, 8, 8), ["--size", "4x4"], "smaller than the frames"),
        ("grey.npy", (3, 8, 8, 3), ["--weights", "mnist"], "channels"),
        ("flat.npy", None, [], "one brightness"),
        ("none.npy", (0,), [], "does not exist"),
    ],
)
def test_bad_frames_are_one_sentence_of_the_command(tmp_path, capsys, name, frames, words, said):
    made = np.zeros((3, 8, 8)) if frames is None else np.random.default_rng(0).uniform(-1, 1, frames)
    if said != "does not exist":
        np.save(tmp_path / name, made.astype(np.float32))
    assert main(["depixelate", str(tmp_path / name), "--size", "16x16", "--out", str(tmp_path / "out"), *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith("s2id: ") and err.count("\n") == 1 and said in err


def textured(count=3, size=(12, 12)):
    return torch.rand(count, 1, *size, generator=torch.Generator().manual_seed(0)) - 0.5


def test_frames_are_read_from_folders_arrays_and_gifs(tmp_path):
    frames = textured()
    bytes_ = ((frames + 1) * 127.5).round().byte()
    (tmp_path / "pictures").mkdir()
    for i, one in enumerate(bytes_[:, 0].numpy()):
        Image.fromarray(one).save(tmp_path / "pictures" / f"{i}.png")
    (tmp_path / "pictures" / "notes.txt").write_text("not a frame")
    np.savez(tmp_path / "a.npz", bytes_[:, 0].numpy())
    np.save(tmp_path / "b.npy", frames[:, 0].numpy())
    np.save(tmp_path / "d.npy", frames[:, 0].numpy().astype(">f4"))
    write_film(tmp_path / "c.gif", (to_pillow(to_bytes(frame)) for frame in frames))
    for name in ("pictures", "a.npz", "b.npy", "c.gif", "d.npy"):
        assert torch.allclose(read_frames(tmp_path / name), frames, atol=0.006), name
    assert len(read_frames(tmp_path / "pictures", 2)) == 2


def test_arrays_with_other_bytes_in_them_are_told(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", textured().numpy())
    raw = bytearray((tmp_path / "a.npz").read_bytes())
    for place in range(60, len(raw) - 120, 40):
        damaged = bytearray(raw)
        damaged[place] ^= 255
        (tmp_path / "b.npz").write_bytes(damaged)
        with pytest.raises(InputError):
            read_frames(tmp_path / "b.npz")


def test_a_video_is_read(tmp_path):
    cv2 = pytest.importorskip("cv2")
    film = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 8, (64, 48))
    for i in range(5):
        film.write(np.full((48, 64, 3), 40 * i, np.uint8))
    film.release()
    frames = read_frames(tmp_path / "a.avi")
    assert frames.shape == (5, 1, 48, 64)
    assert frames.mean((1, 2, 3)).tolist() == pytest.approx([40 * i / 127.5 - 1 for i in range(5)], abs=0.03)
    whole = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 2])
    refused("cut short|no video", lambda: read_frames(tmp_path / "cut.avi"))


def refused(words, call):
    """One sentence that says so."""
    with pytest.raises(InputError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


@pytest.mark.parametrize(
    "words, frames, size",
    [
        ("smaller than the frames", textured(), (8, 8)),
        ("aspect", textured(), (24, 48)),
        ("there is 1 frame", textured(1), (24, 24)),
        ("there are no frames", textured(0), (24, 24)),
        ("NaN", textured() * math.nan, (24, 24)),
        ("one brightness", torch.full((3, 1, 12, 12), -1.0), (24, 24)),
        ("does not show half", torch.stack([textured(1, (40, 40))[0], textured(2, (40, 40))[1]]), (80, 80)),
        ("pixels and the limit", textured(), (2**15, 2**15)),
    ],
)
def test_frames_that_cannot_be_fused_are_refused(words, frames, size):
    refused(words, lambda: s2id.depixelate(frames, size))


def test_a_model_of_other_channels_is_refused(model):
    refused("channels", lambda: s2id.depixelate(textured().expand(-1, 3, -1, -1), (24, 24), model=model))


def test_noise_motion_and_seeds_are_checked(model):
    refused("noise", lambda: s2id.depixelate(textured(), (24, 24), noise=-1.0))
    refused("motions", lambda: s2id.depixelate(textured(), (24, 24), motion=torch.zeros(2, 2)))
    refused("no seed", lambda: s2id.depixelate(textured(), (24, 24), model=model, seeds=[]))


def test_a_label_without_a_model_and_motion_that_is_none_are_refused(tmp_path, capsys):
    refused("label asks a model, and there is none", lambda: s2id.depixelate(textured(), (24, 24), label=7))
    for motion in (torch.full((3, 2), math.nan), torch.full((3, 2), 12.0 * 16)):
        refused(
            "no number, or farther than 16 frames", lambda m=motion: s2id.depixelate(textured(), (24, 24), motion=m)
        )
    np.save(tmp_path / "a.npy", textured()[:, 0].numpy())
    assert main(["depixelate", str(tmp_path / "a.npy"), "--size", "24", "--label", "7", "--out", str(tmp_path)]) == 2
    assert "a label, attributes, numbers and words need a model; name one with --weights" in capsys.readouterr().err


def test_the_file_of_facts_says_what_white_is_in_the_picture_of_the_uncertainty():
    shifts = torch.tensor([[0.0, 0.0], [0.5, -0.25], [-0.125, 0.5]])
    picture = torch.rand(1, 24, 24, generator=torch.Generator().manual_seed(0)) - 0.5
    fused = Fused(picture, 0.3 * picture[0].abs(), picture, (0, 0), noise=0.01, strength=0.5, outliers=0.0)
    used = torch.tensor([True, True, False])
    found = Depixelated(fused.picture, fused.uncertainty, shifts, torch.ones(3), used, fused, (12, 12), ("a note.",))
    facts = json.loads(json.dumps(found.facts()))
    assert torch.allclose((found.spread[0] + 1) / 2 * facts["uncertainty_white"], found.uncertainty, atol=1e-6)
    assert facts["motion"] == shifts.tolist() and facts["used"] == [True, True, False] and facts["notes"] == ["a note."]
    assert (facts["frame_size"], facts["size"], facts["noise"]) == ([12, 12], [24, 24], 0.01)


def test_what_moves_by_itself_is_said(sixteen):
    frames, shifts = (one[:8].clone() for one in sixteen[:2])
    for i in range(1, 8, 2):
        frames[i, :, 4:8, 2 * i : 2 * i + 4] = 1.0
    with unchecked():
        (moved, _) = s2id.depixelate(frames, (32, 40), motion=shifts, noise=0.01).notes
    assert moved.endswith("of the pixels do not fit the others; something moved besides the camera.")


def test_a_camera_that_stood_still_gains_nothing():
    frames = textured(1).expand(3, -1, -1, -1)
    assert "nothing to be gained" in s2id.depixelate(frames, (24, 24)).notes[0]


def test_files_that_hold_no_frames_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "two").mkdir()
    for i in (8, 9):
        Image.new("L", (i, 8)).save(tmp_path / "two" / f"{i}.png")
    (tmp_path / "film.mp4").write_bytes(struct.pack(">I", 32) + b"ftypisom" + bytes(200))
    write_film(tmp_path / "whole.gif", (to_pillow(to_bytes(frame)) for frame in textured(4)))
    whole = (tmp_path / "whole.gif").read_bytes()
    (tmp_path / "cut.gif").write_bytes(whole[: len(whole) * 2 // 3])
    (tmp_path / "bad.npz").write_bytes(b"PK nothing")
    np.savez(tmp_path / "two.npz", a=np.zeros((2, 4, 4), np.uint8), b=np.zeros((2, 4, 4), np.uint8))
    np.save(tmp_path / "nan.npy", np.full((2, 4, 4), np.nan, np.float32))
    np.save(tmp_path / "wide.npy", np.full((2, 4, 4), 200.0, np.float32))
    for name, words in {
        "missing": "does not exist",
        "empty": "holds no frame",
        "two": "frames of one size",
        "film.mp4": "no video",
        "cut.gif": "cannot be read",
        "bad.npz": "cannot be read",
        "two.npz": "2 arrays",
        "nan.npy": "NaN",
        "wide.npy": "neither bytes nor floats",
    }.items():
        refused(words, lambda name=name: read_frames(tmp_path / name))


def test_a_model_that_enlarges_is_a_prior_for_frames_of_any_size():
    fine = scene().sign()  # two colours, as in a drawing
    frames, shifts, truth = shots(4, picture=fine)
    model = s2id.load("graphics")
    found = s2id.depixelate(frames, HIGH, model=model, motion=shifts)
    assert psnr(found.picture, truth) > psnr(found.fused.picture, truth) + 0.5
    assert found.picture.abs().max() <= 1 and torch.equal(found.uncertainty, found.fused.uncertainty)
    operator = FramesOperator(LOW, shifts, HIGH)
    canvas = found.fused.canvas.clone()
    canvas[:, operator.margin[0] :, operator.margin[1] :][:, : HIGH[0], : HIGH[1]] = found.picture
    assert (operator(canvas[None])[0].movedim(0, 1) - frames).std() < 0.03, "the frames are explained"
    coloured = s2id.depixelate(frames.expand(-1, 3, -1, -1), HIGH, model=model, motion=shifts).picture
    assert coloured.shape == (3, *HIGH) and psnr(coloured, truth) > psnr(found.fused.picture, truth)
    with pytest.raises(InputError, match="label"):
        s2id.depixelate(frames, HIGH, model=model, motion=shifts, label="7")


def test_a_folder_of_too_many_pixels_is_refused(tmp_path, monkeypatch):
    for number in range(3):
        Image.new("L", (8, 8), 40 * number).save(tmp_path / f"{number}.png")
    assert len(read_frames(tmp_path)) == 3
    monkeypatch.setattr("s2id.inverse.frames.MAX_PIXELS", 150)
    with pytest.raises(InputError, match="holds 3 frames of 8x8"):
        read_frames(tmp_path)


def test_frames_of_one_pixel_are_fused_smoothly():
    found = fuse(torch.tensor([0.0, 0.5]).reshape(2, 1, 1, 1), torch.tensor([[0.0, 0.0], [0.5, 0.0]]), (4, 4))
    assert found.strength > 0 and found.picture.isfinite().all()
