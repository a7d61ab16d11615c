"""A network that sees noise beside a picture draws what may have been: one for each seed, the same at every size."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

import s2id
from s2id.cli.main import main
from s2id.errors import InputError
from s2id.files import write_tensors
from s2id.inverse.enlarge import drawn
from s2id.inverse.restore import upscale
from s2id.media.images import resize
from s2id.network.settings import EnlargerConfig
from s2id.sampling.model import S2ID
from s2id.sampling.model_file import MODEL_FORMAT
from s2id.sampling.settings import Card


@pytest.fixture(scope="module")
def inventor():
    torch.manual_seed(0)
    config = EnlargerConfig(width=8, blocks=1, head_width=8, noise_channels=2)
    made = S2ID(config, Card(alpha="keep")).eval().requires_grad_(False)
    torch.nn.init.normal_(made.network.head.added.weight, std=0.3)
    torch.nn.init.zeros_(made.network.head.cell.weight)  # one function for cells of all widths, as after training
    return made


@pytest.fixture
def picture():
    """A disc with a soft border, and a flat ground."""
    y, x = torch.meshgrid(*[torch.arange(20) - 9.5] * 2, indexing="ij")
    inside = (6 - (y**2 + x**2).sqrt()).clamp(0, 1)
    return torch.stack([1.6 * inside - 0.8, 0.5 - inside, inside - 0.3])


def test_each_seed_is_another_picture_that_agrees_with_the_given_one(inventor, picture):
    one, again, other = (upscale(inventor, picture, 80, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one, again) and (one - other).abs().max() > 0.02
    for found in (one, other):
        assert (resize(found, (20, 20)) - picture).abs().max() < 1 / 255
        assert (found[:, :8, :8] - picture[:, :1, :1]).abs().max() < 1e-6, "flat stays flat"


def test_a_seed_is_the_same_picture_at_every_size(inventor, picture):
    small, large = (upscale(inventor, picture, side, seed=5, exact=False) for side in (40, 160))
    other = upscale(inventor, picture, 160, seed=6, exact=False)
    near, far = ((resize(one, (40, 40)) - small).square().mean().sqrt() for one in (large, other))
    assert near < 0.3 * far


def test_tiles_have_no_seams(inventor):
    seen = torch.cat([2 * torch.rand(1, 4, 20, 20) - 1, torch.randn(1, 2, 20, 20)], dim=1)
    seen[:, 3] = 1
    whole, tiled = (drawn(inventor.network, seen, 3, 3, tile) for tile in (64, 7))
    assert (whole - tiled).abs().max() < 1e-5


def test_a_function_needs_one_answer(inventor, model, tmp_path):
    with pytest.raises(InputError, match="the model to draw with invents"):
        model.drawn_by(inventor)
    with pytest.raises(InputError, match="the model invents, and frames are to be explained"):
        s2id.depixelate(torch.zeros(2, 3, 8, 8), 16, model=inventor)
    facts = {name: json.dumps(value) for name, value in model.drawn_by(plain()).facts().items()}
    facts["renderer"] = json.dumps({**json.loads(facts["renderer"]), "noise_channels": 2})
    write_tensors(tmp_path / "odd.safetensors", model.tensors(), {"format": MODEL_FORMAT, **facts})
    with pytest.raises(InputError, match="the renderer in .* is no network that enlarges"):
        s2id.load(tmp_path / "odd.safetensors")


def plain():
    return S2ID(EnlargerConfig(width=8, blocks=1), Card()).eval().requires_grad_(False)


def test_the_command_writes_a_result_for_each_seed(inventor, tmp_path, capsys):
    inventor.save(tmp_path / "inventor.safetensors")
    image = Image.new("RGB", (8, 6), "white")
    image.paste((200, 30, 90), (2, 2, 5, 5))
    image.save(tmp_path / "logo.png")
    words = ["upscale", str(tmp_path / "logo.png"), "--scale", "2", "--out", str(tmp_path / "out"), "--weights"]
    assert main([*words, str(tmp_path / "inventor.safetensors"), "--invent", "--seed", "0-2"]) == 0
    written = [tmp_path / "out" / f"upscaled-logo-seed{seed}-12x16.png" for seed in range(3)]
    assert len({path.read_bytes() for path in written}) == 3
    assert capsys.readouterr().out.count("logo.png: means over the given pixels") == 1
    assert main([*words, str(tmp_path / "inventor.safetensors"), "--invent", "--seed", "5,5"]) == 0
    assert capsys.readouterr().out.count("seed5-12x16.png") == 1, "a seed that is named twice is drawn once"
    plain().save(tmp_path / "plain.safetensors")
    assert main([*words, str(tmp_path / "plain.safetensors"), "--invent"]) == 2
    assert "--invent needs a model that invents" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "plain.safetensors"), "--seed", "3"]) == 2
    assert "--seed needs a model that invents" in capsys.readouterr().err


def test_a_seed_is_a_whole_number(inventor, picture):
    for seed in (-1, 2**64):
        with pytest.raises(InputError, match="seed is .*; it must be a whole number from 0"):
            upscale(inventor, picture, 80, seed=seed)


def test_settings_say_how_many_channels_a_state_has():
    config = EnlargerConfig(noise_channels=3)
    assert (config.state_channels, config.invents) == (7, True)
    assert (replace(config, noise_channels=0).state_channels, EnlargerConfig().invents) == (4, False)
