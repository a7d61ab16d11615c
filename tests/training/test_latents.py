"""Composing in an autoencoder's latents: the states are its, the pictures are the field head's."""

import json
import math
from dataclasses import replace

import pytest
import torch
from conftest import SMALL_PUBLISHED, trained
from PIL import Image

import s2id
from s2id.cli.main import main
from s2id.coords import trained_size
from s2id.data.pictures import Group, Pictures, chosen_at
from s2id.diffusion.denoiser import loss
from s2id.diffusion.process import Schedule, alpha_sigma
from s2id.errors import InputError
from s2id.evaluation.t_scrape import t_scrape
from s2id.inverse.depixelate import depixelate
from s2id.media.images import to_float
from s2id.sampling.denoisers import trained_denoiser
from s2id.training.batches import draw
from s2id.training.latents import for_latents, load_autoencoder, with_latents
from s2id.training.presets import PRESETS
from s2id.training.run import checkpoints
from s2id.training.trainer import Trainer

diffusers = pytest.importorskip("diffusers")

TINY = {
    "encoder_block_out_channels": (8,) * 3,
    "decoder_block_out_channels": (8,) * 3,
    "num_encoder_blocks": (1,) * 3,
    "num_decoder_blocks": (1,) * 3,
    "latent_channels": 3,
}
KL = {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "block_out_channels": (8, 8),
    "norm_num_groups": 4,
    "latent_channels": 2,
}


@pytest.fixture
def vae(tmp_path):
    """Maker of folders with an autoencoder of random weights."""

    def make(kind="AutoencoderTiny", channels=1, seed=0, **changes):
        torch.manual_seed(seed)
        settings = {**(TINY if kind == "AutoencoderTiny" else KL), **changes}
        made = getattr(diffusers, kind)(in_channels=channels, out_channels=channels, **settings)
        folder = tmp_path / f"{kind}-{channels}-{seed}"
        made.save_pretrained(folder, safe_serialization=True)
        return folder

    return make


def noise(*shape, labels=2, seed=0):
    images = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return Group(images, torch.arange(len(images)) % labels)


PICTURES = Pictures("noise", (noise(12, 1, 16, 16), noise(6, 1, 16, 9, seed=1)), ("even", "odd"))


def trainer(folder, pictures, **changes):
    preset = PRESETS["tiny"]
    model = replace(preset.model, patch=1, lattice=1)
    settings = {"images": 96, "batch": 8, "device": "cpu", "precision": "no", **changes}
    return Trainer(replace(preset, model=model, train=replace(preset.train, **settings)), pictures, folder)


@pytest.mark.parametrize(
    ("kind", "channels", "factor", "latents"), [("AutoencoderTiny", 1, 4, 3), ("AutoencoderKL", 3, 2, 2)]
)
def test_an_autoencoder_says_its_channels_and_how_much_it_shrinks(vae, kind, channels, factor, latents):
    made = load_autoencoder(vae(kind, channels))
    assert (made.channels, made.factor) == (channels, factor)
    assert made.encode(torch.zeros(2, channels, 16, 24)).shape == (2, latents, 16 // factor, 24 // factor)


def test_latents_of_a_distribution_are_its_mode(vae):
    folder = vae("AutoencoderKL", 1)
    x = torch.rand(2, 1, 8, 8) * 2 - 1
    with torch.inference_mode():
        mode = diffusers.AutoencoderKL.from_pretrained(folder).eval().encode(x).latent_dist.mode()
    assert torch.equal(load_autoencoder(folder).encode(x), mode)


def test_states_have_mean_0_and_std_1_per_channel_and_the_card_undoes_it(vae):
    made = load_autoencoder(vae())
    pictures = with_latents(PICTURES, made, patch=1)
    values = torch.cat([g.latents.float().movedim(1, 0).flatten(1) for g in pictures.groups], 1)
    assert values.mean(1).abs().max() < 1e-2 and (values.std(1) - 1).abs().max() < 1e-2
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (pictures.latents.mean, pictures.latents.std))
    said = made.encode(to_float(PICTURES.groups[0].images))
    assert torch.allclose(pictures.groups[0].latents.float() * std + mean, said, atol=1e-2 * std.max())


def test_latents_are_whole_patches_and_no_picture_is_enlarged():
    assert trained_size((64, 52), 16, 1, 4) == (16, 13) and trained_size((64, 52), 16, 2, 4) == (16, 12)
    assert trained_size((128, 128), 16, 1, 8) == (16, 16) and trained_size((16, 9), 4, 1, 4) == (4, 2)
    for size in ((64, 53), (31, 90), (17, 16)):
        found = trained_size(size, max(size) // 4, 2, 4)
        assert all(4 * side <= pixels for side, pixels in zip(found, size, strict=True))


def test_a_batch_has_latents_as_states_and_pixels_as_targets(vae, tmp_path):
    pictures = with_latents(PICTURES, load_autoencoder(vae()), patch=1)
    made = trainer(tmp_path, pictures, supersample=(1,), queries=16.0)
    for number in range(3):
        group, chosen = chosen_at(pictures, number, 8, made.config.seed)
        batch = draw(pictures, made.config, made.model, made.schedule, number)
        clean = group.latents[chosen].float()
        alpha, sigma = (a.view(-1, 1, 1, 1) for a in alpha_sigma(batch.logsnr))
        eps = (batch.x_t - alpha * clean) / sigma
        assert torch.equal(batch.state, clean) and abs(eps.std() - 1) < 0.3
        assert torch.equal(batch.target, to_float(group.images[chosen]))


def test_a_window_of_tokens_has_the_latents_of_that_window(vae, tmp_path):
    pictures = with_latents(replace(PICTURES, groups=PICTURES.groups[:1]), load_autoencoder(vae()), patch=1)
    made = trainer(tmp_path, pictures, token_share=0.25)
    batch = draw(pictures, made.config, made.model, made.schedule, 0, share=0.25)
    _, chosen = chosen_at(pictures, 0, 8, made.config.seed)
    assert torch.equal(batch.state, pictures.groups[0].latents[chosen].float()[:, :, batch.part[0], batch.part[1]])
    assert batch.state.shape[2:] == (2, 2)
    _, state = made.network(batch.x_t, batch.logsnr, batch.condition, grid=batch.grid, part=batch.part)
    assert state.shape == batch.state.shape


def test_the_loss_is_the_pixels_and_the_latents(vae, tmp_path):
    pictures = with_latents(PICTURES, load_autoencoder(vae()), patch=1)
    made = trainer(tmp_path, pictures)
    batch = draw(pictures, made.config, made.model, made.schedule, 0)
    field, state = made.network(
        batch.x_t, batch.logsnr, batch.condition, grid=batch.grid, frame=batch.frame, supersample=batch.supersample
    )
    parts = [
        loss("x", *pair, batch.logsnr, made.config.max_weight) for pair in ((field, batch.target), (state, batch.state))
    ]
    assert math.isclose(next(made.run()).loss, sum(parts).item(), rel_tol=1e-5)


def test_a_denoiser_of_latents_says_latents_and_encodes_once_for_all_conditions(vae, tmp_path):
    model = trainer(tmp_path, with_latents(PICTURES, load_autoencoder(vae()), patch=1)).result()
    x_t, t = torch.randn(2, 3, 4, 4), torch.full((2,), 0.5)
    calls = []
    model.network.stem.register_forward_hook(lambda *_: calls.append(1))
    answers = trained_denoiser(model, (4, 4)).under_each(x_t, t, [torch.tensor([0, 1]), None])
    assert [a.shape for a in answers] == [x_t.shape] * 2 and len(calls) == 1
    features = model.network.decode(model.network.encode(x_t, Schedule().logsnr(t)))
    assert torch.equal(model.network.predict(features, (4, 4)), features.state)


@pytest.fixture
def flat(vae):
    """Dark pictures of one class and bright ones of the other, with latents."""
    images = torch.cat([torch.full((8, 1, 16, 16), value, dtype=torch.uint8) for value in (30, 225)])
    return with_latents(
        Pictures("flat", (Group(images, torch.arange(16) // 8),), ("dark", "bright")), load_autoencoder(vae()), patch=1
    )


def test_what_is_composed_in_latents_is_drawn_in_pixels_at_any_size(flat, tmp_path):
    made = trainer(tmp_path, flat, images=1600, batch=16)
    trained(made)
    made.result().save_pretrained(tmp_path / "model")
    model = s2id.load(tmp_path / "model")
    assert (model.config.latents, model.card.density, model.card.latent_factor) == (3, 4, 4)
    field = s2id.sample(model, label=["dark", "bright"], seed=[0, 0], steps=5, guidance=1.0)
    for size in ((16, 16), (40, 64)):
        dark, bright = field.render(size=size).flatten(1).mean(1)
        assert dark < -0.3 and bright > 0.3
    field[0].save(tmp_path / "field.safetensors")
    assert torch.equal(s2id.Field.load(tmp_path / "field.safetensors").render((8, 8)), field[0].render((8, 8)))


def test_resuming_in_latents_equals_not_stopping(vae, tmp_path):
    pictures = with_latents(PICTURES, load_autoencoder(vae()), patch=1)
    straight = trainer(tmp_path / "a", pictures)
    losses = [progress.loss for progress in straight.run()]
    first = trainer(tmp_path / "b", pictures)
    for progress in first.run():
        if progress.step == 5:
            first.stop()
    second = trainer(tmp_path / "b", pictures)
    second.resume(checkpoints(tmp_path / "b")[-1])
    assert [progress.loss for progress in second.run()] == losses[5:]
    for others in (PICTURES, with_latents(PICTURES, load_autoencoder(vae(seed=1)), patch=1)):
        with pytest.raises(InputError, match="resume it as it was|another network"):
            trainer(tmp_path / "b", others).resume(checkpoints(tmp_path / "b")[-1])


def test_the_command_line_trains_in_latents_and_draws_without_the_autoencoder(vae, tmp_path, capsys):
    data, folder, out = tmp_path / "pictures", vae(channels=3), tmp_path / "run"
    for i in range(8):
        (data / str(i % 2)).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 16), (30 * i, 100, 200)).save(data / str(i % 2) / f"{i}.png")
    words = ["train", "folder", "--data", str(data), "--vae", str(folder), "--out", str(out), "--images", "16"]
    words += ["--batch", "8", "--device", "cpu", "--set", "sample-minutes=0", "--set", "patch=1", "--set", "width=24"]
    assert main(words) == 0
    for file in folder.iterdir():
        file.unlink()
    capsys.readouterr()
    assert main(["info", str(out / "model")]) == 0
    card = json.loads(capsys.readouterr().out)["card"]
    assert card["autoencoder"].startswith("AutoencoderTiny ") and len(card["latent_mean"]) == 3
    assert (
        main(["sample", str(out / "model"), "--label", "all", "--size", "32x40", "--steps", "2", "--out", str(out)])
        == 0
    )
    with Image.open(out / "label0-seed0-32x40.png") as drawn:
        assert drawn.size == (40, 32)


def test_what_is_no_autoencoder_is_refused(vae, tmp_path):
    good = vae()
    with pytest.raises(InputError, match="config.json is missing"):
        load_autoencoder(tmp_path / "nowhere")
    weights = good / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read as AutoencoderTiny"):
        load_autoencoder(good)
    weights.unlink()
    with pytest.raises(InputError, match="and it is missing"):
        load_autoencoder(good)
    (good / "diffusion_pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(InputError, match="diffusion_pytorch_model.bin may be a pickle"):
        load_autoencoder(good)
    (good / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    with pytest.raises(InputError, match="holds a UNet2DModel"):
        load_autoencoder(good)


def test_data_and_presets_that_latents_cannot_be_of_are_refused(vae):
    grey, colour = load_autoencoder(vae()), load_autoencoder(vae(channels=3))
    with pytest.raises(InputError, match="has 1 channels and the autoencoder takes 3"):
        with_latents(PICTURES, colour, patch=1)
    with pytest.raises(InputError, match="16x9 pixels, a patch of latents covers 16x16"):
        with_latents(PICTURES, grey, patch=4)
    pictures, preset = with_latents(PICTURES, grey, patch=1), PRESETS["tiny"]
    with pytest.raises(InputError, match="pixelate hides"):
        for_latents(replace(preset, train=replace(preset.train, pixelate="area:2")), pictures)
    with pytest.raises(InputError, match="need a network that predicts"):
        for_latents(replace(preset, model=SMALL_PUBLISHED), pictures)
    assert for_latents(preset, PICTURES) == preset


def test_what_reads_states_as_pictures_is_refused(vae, tmp_path):
    pictures = with_latents(PICTURES, load_autoencoder(vae()), patch=1)
    model = trainer(tmp_path, pictures).result()
    picture = torch.zeros(1, 8, 8)
    for task in (
        lambda: s2id.upscale(model, picture, (16, 16)),
        lambda: s2id.restore(model, picture, (16, 16)),
        lambda: depixelate(torch.zeros(4, 1, 8, 8), (16, 16), model=model),
        lambda: next(t_scrape(model, pictures)),
    ):
        with pytest.raises(InputError, match="needs one that composes pixels"):
            task()
