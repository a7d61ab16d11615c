"""A model that another network draws for: its function, its file, and what is refused."""

import json
from dataclasses import replace

import pytest
import torch
from conftest import SMALL_PUBLISHED
from toys import KINDS, toys

import s2id
from s2id.errors import InputError
from s2id.files import write_tensors
from s2id.media.alpha import covered
from s2id.media.images import resize
from s2id.network.enlarger import Enlarger
from s2id.sampling.denoisers import read_out, trained_denoiser
from s2id.sampling.model import S2ID
from s2id.sampling.model_file import MODEL_FORMAT
from s2id.sampling.settings import Card
from s2id.training.presets import PRESETS
from s2id.training.settings import Preset


def heart(side=32):
    """A small colour picture: two halves and a spot."""
    picture = torch.full((1, 3, side, side), -0.8)
    picture[:, 1, :, side // 2 :] = 0.6
    picture[:, :, side // 4 : side // 3, side // 4 : side // 3] = 1.0
    return picture


@torch.inference_mode()
def test_a_composed_state_is_drawn_by_the_renderer_at_every_size_and_nothing_else_changes(model, enlarger):
    drawn = model.drawn_by(enlarger)
    assert model.renderer is None
    own, other = (s2id.sample(one, 3, 5, steps=3) for one in (model, drawn))
    assert own.facts == other.facts and other.channels == own.channels
    (*_, step) = s2id.sampling.sample.compose(drawn, s2id.ask(drawn, label=3), [5], s2id.Sampling(steps=3))
    wanted, head = enlarger.network.function_of(step.x_t.clamp(-1, 1))
    assert torch.equal(other.features.values, wanted.values)
    assert torch.equal(other.render((40, 40)), s2id.Field(wanted, head).render((40, 40)))
    assert not torch.allclose(other.render((40, 40)), own.render((40, 40)), atol=1e-2)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@torch.inference_mode()
def test_a_function_has_the_channels_of_its_picture_and_grey_is_the_mean_of_the_colours(enlarger, channels):
    torch.manual_seed(channels)
    picture = torch.rand(2, channels, 8, 6) * 2 - 1
    if channels in (2, 4):
        picture[:, -1] = 1.0
    features, head = enlarger.network.function_of(picture)
    found = s2id.Field(features, head).render((24, 18))
    colours = picture[:, :1].expand(-1, 3, -1, -1) if channels < 3 else picture[:, :3]
    whole = torch.cat([colours, torch.ones(2, 1, 8, 6)], 1)
    plain = enlarger.network.decode(enlarger.network.encode(whole, torch.zeros(2)))
    full = enlarger.network.head(plain.on_canvas(), s2id.coords.view((24, 18), plain.frame), bound=None)
    wanted = full[:, :3] if channels > 2 else full[:, :3].mean(1, keepdim=True)
    if channels in (2, 4):
        wanted = torch.cat([wanted, full[:, 3:]], 1)
    assert torch.allclose(found, covered(wanted.clamp(-1, 1)), atol=1e-5)


@torch.inference_mode()
def test_the_bundled_renderer_draws_one_picture_at_all_sizes_and_flat_colour_flat():
    network = s2id.load("graphics").network
    field = s2id.Field(*network.function_of(heart()))
    small = field.render((64, 64))
    for side in (128, 256, 512):
        error = (resize(field.render((side, side)), (64, 64)) - small).square().mean()
        assert 10 * torch.log10(4 / error) > 38, side
    flat = field.render((256, 256))[0, :, 140:, 20:100]
    assert torch.allclose(flat, torch.tensor([-0.8, -0.8, -0.8])[:, None, None], atol=1 / 255)


def test_a_file_holds_the_renderer_and_a_field_needs_no_model(model, enlarger, tmp_path):
    drawn = model.drawn_by(enlarger)
    drawn.save_pretrained(tmp_path / "model")
    again = s2id.load(tmp_path / "model")
    one, two = (s2id.sample(m, 3, 5, steps=2) for m in (drawn, again))
    assert torch.equal(one.render((30, 30)), two.render((30, 30)))
    assert json.loads((tmp_path / "model" / "config.json").read_text())["renderer"]["network"] == "enlarger"
    assert "and a network that draws the composed states" in (tmp_path / "model" / "README.md").read_text()
    one.save(tmp_path / "field.safetensors")
    assert torch.equal(s2id.Field.load(tmp_path / "field.safetensors").render((30, 30)), one.render((30, 30)))
    third = model.drawn_by(again)  # a model that is drawn by a network hands it on
    assert torch.equal(s2id.sample(third, 3, 5, steps=2).render((30, 30)), one.render((30, 30)))


def test_what_enlarges_nothing_and_what_draws_no_small_pictures_is_refused(model, enlarger, tmp_path):
    with pytest.raises(InputError, match="the model to draw with does not enlarge pictures"):
        model.drawn_by(model)
    with pytest.raises(InputError, match="this model enlarges given pictures"):
        enlarger.drawn_by(enlarger)
    dense = S2ID(SMALL_PUBLISHED, Card())
    with pytest.raises(InputError, match="draws no functions"):
        dense.drawn_by(enlarger)
    drawn = model.drawn_by(enlarger)
    facts = {name: json.dumps(value) for name, value in drawn.facts().items()}
    facts["renderer"] = facts["config"]
    write_tensors(tmp_path / "odd.safetensors", drawn.tensors(), {"format": MODEL_FORMAT, **facts})
    with pytest.raises(InputError, match="the renderer in .* is no network that enlarges"):
        s2id.load(tmp_path / "odd.safetensors")


@torch.inference_mode()
def test_states_that_have_noise_left_are_denoised_before_they_are_drawn(model, enlarger):
    drawn, x_t = model.drawn_by(enlarger), torch.randn(1, 1, 8, 8)
    asked = s2id.ask(drawn, label=3)
    field = read_out(drawn, x_t, asked, t=0.25)
    clean = trained_denoiser(drawn, (8, 8))(x_t, torch.tensor([0.25], dtype=torch.float64), asked)
    wanted, _ = enlarger.network.function_of(clean.clamp(-1, 1))
    assert torch.allclose(field.features.values, wanted.values, atol=1e-4)


def test_a_run_gives_its_model_the_renderer_and_the_temperature_that_its_settings_name(enlarger, tmp_path):
    enlarger.save_pretrained(tmp_path / "enlarger")
    tiny = PRESETS["tiny"]
    own = {"renderer": str(tmp_path / "enlarger"), "temperature": 0.5}
    train = replace(tiny.train, images=16, batch=16, device="cpu", **own)
    run = s2id.train(toys(KINDS), tmp_path / "run", Preset("folder", tiny.model, train))
    list(run)
    model = s2id.load(tmp_path / "run")
    assert isinstance(model.renderer, Enlarger) and model.card.temperature == 0.5
    assert torch.equal(model.renderer.stem.weight, enlarger.network.stem.weight)
    wrong = replace(train, renderer="no such model")
    with pytest.raises(InputError, match="there is no model 'no such model'"):
        s2id.train(toys(KINDS), tmp_path / "other", Preset("folder", tiny.model, wrong))
