"""Restoring: answers say what was seen, at any size, and bad input is refused in a sentence."""

import math
from dataclasses import replace

import pytest
import torch
from conftest import SMALL_PUBLISHED, TINY, enliven
from PIL import Image

import s2id
from s2id.cli.main import main
from s2id.errors import InputError
from s2id.inverse.restore import Restored, check, disagreement, observation_of_state, restore, upscale
from s2id.media.images import read, resize, to_float, write
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Card, Sampling

LEVEL = 1 / 127.5
"""A grey level. Noise is enlarged to no better: a local extreme is met only where all of its samples are extreme."""


def picture(*size, channels=1, seed=0):
    return torch.rand(channels, *size, generator=torch.Generator().manual_seed(seed)) * 1.2 - 0.6


def hole(*size):
    mask = torch.ones(size, dtype=torch.bool)
    mask[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = False
    return mask


def rms(x):
    return x.square().mean().sqrt().item()


def made(config=TINY, **changes):
    model = S2ID(replace(config, **changes), Card(data="noise", density=8)).eval().requires_grad_(False)
    enliven(model)
    return model


def test_a_state_sees_a_fine_picture_as_its_own_samples():
    x, mask = picture(12, 12)[None], torch.ones(12, 12, dtype=torch.bool)
    whole = observation_of_state(x, (8, 8))
    assert torch.allclose(whole.values, resize(x, (8, 8)).flatten(2).mT, atol=1e-6)
    mask[3:9, 3:9] = False
    observation = observation_of_state(x, (8, 8), mask)
    assert torch.allclose(observation.values[0, 0], resize(x, (8, 8))[0, :, 0, 0], atol=1e-6)
    assert len(observation) == 8 * 8 - 4 * 4
    # noise averages out over the pixels of a sample
    assert observation_of_state(x, (4, 4), noise=0.3).noise[0] == pytest.approx(math.hypot(0.1, 0.02), rel=1e-4)


@pytest.mark.parametrize(("low", "size"), [((4, 4), (16, 16)), ((16, 16), (16, 16)), ((8, 4), (24, 12))])
def test_answers_reproduce_what_was_seen_at_any_size(model, low, size):
    mask = hole(*low)
    found = restore(model, picture(*low), size, mask=mask, seeds=[0, 3], sampling=Sampling(2, 1.0))
    assert found.pictures.shape == (2, 1, *size)
    limit = 1e-6 if low == size else LEVEL
    assert (found.residual < limit).all()
    assert rms((resize(found.pictures, low) - picture(*low))[..., mask]) < limit
    assert torch.equal(found.mean, found.pictures.mean(0)) and found.std.shape == (1, *size)
    assert len(found.fields) == 2


def test_what_lies_around_a_picture_is_drawn(model):
    seen = torch.zeros(8, 8, dtype=torch.bool)
    seen[2:6, 2:6] = True
    around = torch.full((1, 8, 8), math.nan)
    around[:, 2:6, 2:6] = picture(4, 4)
    found = restore(model, around.nan_to_num(5.0), mask=seen, seeds=[0, 1, 2], sampling=Sampling(3, 1.0))
    assert rms((found.pictures - around)[..., seen]) < 1e-6
    assert found.std[:, seen].max() < 1e-6 < 1e-3 < found.std[:, ~seen].min()


def test_an_answer_depends_on_its_seed_alone(model):
    both = restore(model, picture(4, 4), (8, 8), seeds=[0, 3], sampling=Sampling(2, 1.0)).pictures
    alone = restore(model, picture(4, 4), (8, 8), seeds=[3], sampling=Sampling(2, 1.0))
    assert torch.allclose(both[1:], alone.pictures, atol=LEVEL / 10)
    assert (both[0] - both[1]).abs().max() > 1e-3
    assert not alone.std.any()


def test_a_guide_and_finer_states_are_left_out(model):
    weaker = S2ID(model.config, model.card)
    enliven(weaker, seed=3)
    how = {"size": (16, 16), "seeds": [4], "sampling": Sampling(2, 1.0)}
    more = model.guided_by(weaker, 2.0).ending_on(12, 0.75)
    by_itself, guided = (restore(one, picture(8, 8), **how) for one in (model, more))
    assert torch.equal(by_itself.pictures, guided.pictures)


def test_restarts_draw_another_answer_of_the_same_seed(model):
    once, again = (
        restore(model, picture(4, 4), (8, 8), seeds=[0, 3], sampling=Sampling(2, 1.0, restarts=n)) for n in (0, 1)
    )
    assert (again.residual < LEVEL).all() and (again.pictures - once.pictures).abs().max() > 1e-3
    alone = restore(model, picture(4, 4), (8, 8), seeds=[3], sampling=Sampling(2, 1.0, restarts=1))
    assert torch.allclose(again.pictures[1:], alone.pictures, atol=LEVEL / 10)


def test_any_condition_is_taken(model):
    low, how = picture(4, 4), {"seeds": [0, 1], "sampling": Sampling(2, 1.0)}
    by_index, by_name, asked = (restore(model, low, (8, 8), label=one, **how) for one in (3, "3", s2id.ask(model, 3)))
    assert torch.equal(by_index.pictures, by_name.pictures) and torch.equal(by_index.pictures, asked.pictures)
    assert not torch.equal(by_index.pictures, restore(model, low, (8, 8), **how).pictures)
    assert torch.equal(upscale(model, low, (8, 8), s2id.ask(model, 3)), upscale(model, low, (8, 8), 3))


def test_noisy_pictures_are_reproduced_to_their_noise(model):
    found = restore(model, picture(8, 8), noise=0.1, seeds=[0, 1], sampling=Sampling(2, 1.0))
    assert (found.residual < 1.05 * 0.1).all()


def test_a_grey_picture_is_coloured():
    found = restore(made(channels=3), picture(8, 8) / 2, seeds=[0], sampling=Sampling(2, 1.0))
    assert found.pictures.shape == (1, 3, 8, 8)
    assert found.residual < 1e-3


def test_a_dense_model_has_no_function_to_enlarge_by():
    dense = made(SMALL_PUBLISHED)
    with pytest.raises(InputError, match="composes each size anew, and upscaling needs functions"):
        upscale(dense, picture(4, 4), (8, 8))


def test_a_dense_model_restores_at_the_answers_size():
    dense = made(SMALL_PUBLISHED)
    found = restore(dense, picture(4, 4), (8, 8), seeds=[0], sampling=Sampling(2, 1.0))
    assert found.residual < LEVEL


@pytest.mark.parametrize("low", [(4, 4), (16, 16)])
def test_enlarging_keeps_the_old_pixels(model, low):
    large = upscale(model, picture(*low), (32, 32), label="3")
    assert large.shape == (1, 32, 32)
    assert rms(resize(large, low) - picture(*low)) < LEVEL


def test_one_number_is_the_long_side_of_the_answer(model):
    assert upscale(model, picture(2, 4), 8).shape == (1, 4, 8)
    assert restore(model, picture(4, 2), 8, seeds=[0], sampling=Sampling(1, 1.0)).pictures.shape == (1, 1, 8, 4)


def test_disagreement_is_of_what_a_file_will_hold_and_of_measured_pixels_alone():
    low = picture(4, 4, channels=3)
    large = low.repeat_interleave(2, 1).repeat_interleave(2, 2)[None]
    assert disagreement(large, low) == pytest.approx(LEVEL / 12**0.5, rel=0.2), "the rounding of bytes"
    assert disagreement(large, low, depth=16) < LEVEL / 200
    wrong, mask = large.clone(), torch.ones(4, 4, dtype=torch.bool)
    wrong[..., :2, :2] += 0.32  # the first of 16 measured pixels
    assert disagreement(wrong, low) == pytest.approx(0.32 / 4, abs=LEVEL / 2)
    mask[0, 0] = False
    assert disagreement(wrong, low, mask) < LEVEL / 2
    grey = (low * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0, keepdim=True)
    assert disagreement(large, grey) < LEVEL / 2 < 0.05 < disagreement(large.flip(1), grey)


def test_the_deviation_is_shown_from_black_to_white(field):
    pictures = torch.tensor([-1.0, 1.0])[:, None, None, None] * torch.tensor([0.0, 0.25, 0.5]).reshape(1, 1, 1, 3)
    found = Restored(pictures, field(2), torch.zeros(2))
    assert torch.allclose(found.std.flatten(), 2**0.5 * torch.tensor([0.0, 0.25, 0.5]))
    assert torch.allclose(found.spread, 2 * found.std - 1) and not found.mean.any()


def test_both_are_public():
    assert s2id.restore is restore and s2id.upscale is upscale


@pytest.mark.parametrize(
    ("size", "changes", "said"),
    [
        ((8, 8), {"mask": torch.ones(4, 8, dtype=torch.bool)}, "mask is 4x8"),
        ((8, 8), {"mask": torch.zeros(8, 8, dtype=torch.bool)}, "leaves nothing to see"),
        ((8, 8), {"mask": torch.ones(8, 8, dtype=torch.bool)}, "leaves nothing to fill in"),
        ((8, 7), {}, "smaller than the picture"),
        ((8, 8), {"noise": -1.0}, "noise is -1"),
        ((8, 8), {"noise": math.nan}, "noise is nan"),
    ],
)
def test_what_cannot_be_restored_is_refused(model, size, changes, said):
    with pytest.raises(InputError, match=said):
        check(model, picture(8, 8), size, **changes)


def test_pictures_of_other_channels_or_with_nan_are_refused(model):
    with pytest.raises(InputError, match="3 channels and this model draws 1"):
        restore(model, picture(8, 8, channels=3))
    with pytest.raises(InputError, match="NaN"):
        restore(model, picture(8, 8) * math.nan)
    with pytest.raises(InputError, match="no seed"):
        restore(model, picture(8, 8), seeds=[])
    with pytest.raises(InputError, match="use restore"):
        upscale(made(channels=3), picture(8, 8), (8, 8))


@pytest.fixture
def files(model, tmp_path):
    model.save(tmp_path / "model.safetensors")
    write(tmp_path / "low.png", picture(4, 4))
    write(tmp_path / "mask.png", hole(4, 4).float()[None] * 2 - 1)
    write(tmp_path / "full.png", torch.ones(1, 4, 4))
    write(tmp_path / "empty.png", -torch.ones(1, 4, 4))
    write(tmp_path / "wide.png", torch.ones(1, 4, 5))
    write(tmp_path / "colour.png", picture(4, 4, channels=3))
    return tmp_path


def test_restore_writes_answers_mean_and_std(files, capsys):
    out, weights = files / "out", str(files / "model.safetensors")
    words = ["restore", str(files / "low.png"), "--size", "8x8", "--mask", str(files / "mask.png"), "--seed", "0,5",
             "--steps", "2", "--weights", weights, "--label", "3", "--out", str(out)]  # fmt: skip
    assert main(words) == 0
    names = [f"restored-low-{name}-8x8.png" for name in ("mean", "seed0", "seed5", "std")]
    assert sorted(path.name for path in out.iterdir()) == names
    said = capsys.readouterr().out
    assert "2 answers" in said and "grey levels rms" in said
    answer, low = to_float(read(out / "restored-low-seed5-8x8.png")), to_float(read(files / "low.png"))
    assert rms((resize(answer, (4, 4)) - low)[:, hole(4, 4)]) < 5e-3  # bytes


def test_a_colour_picture_under_a_grey_model_names_the_flag(files, capsys):
    words = [str(files / "colour.png"), "--size", "8", "--weights", str(files / "model.safetensors")]
    for command in ("upscale", "restore"):
        assert main([command, *words, "--out", str(files / "out")]) == 2
        assert (
            "has 3 channels and this model draws 1; use a model of such pictures (--weights)" in capsys.readouterr().err
        )


def test_upscale_writes_a_picture_of_that_size(files):
    words = ["upscale", str(files / "low.png"), "--size", "16", "--weights", str(files / "model.safetensors")]
    assert main([*words, "--out", str(files / "out")]) == 0
    with Image.open(files / "out" / "upscaled-low-16x16.png") as image:
        assert image.size == (16, 16)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mask", "wide.png"], "the mask is 4x5 and the picture 4x4"),
        (["--mask", "empty.png"], "the mask leaves nothing to see"),
        (["--mask", "full.png"], "leaves nothing to fill in"),
        (["--size", "3x8"], "size 3x8 is smaller than the picture's 4x4"),
        (["--size", "big"], "size 'big' is not HEIGHTxWIDTH"),
        (["--noise", "-1"], "noise is -1; it must be a number, at least 0"),
        (["--label", "frog"], "label 'frog' is none of this model's"),
        (["--seed", "x"], "seed 'x' is no number, range or list"),
        (["--guidance", "nan"], "guidance is nan"),
        (["--steps", "0"], "steps is 0"),
        (["--set", "restarts=-1"], "restarts is -1"),
        (["--set", "restarts=1", "--sampler", "ddim", "--set", "eta=1"], "restarts bring fresh noise of their own"),
    ],
)
def test_bad_input_is_one_sentence(files, capsys, monkeypatch, words, said):
    monkeypatch.chdir(files)
    assert main(["restore", "low.png", "--weights", "model.safetensors", "--out", "out", *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith("s2id: ") and err.count("\n") == 1 and said in err
