"""The published network: its numbers, its defects, and what becomes of them at other sizes."""

import math
from dataclasses import replace

import pytest
import torch
from conftest import SMALL_PUBLISHED as SMALL
from conftest import enliven
from PIL import Image
from torch.nn.functional import avg_pool2d

import s2id
from s2id.cli.main import main
from s2id.coords import box_coords, pixel_coords
from s2id.data.idx import DIGITS
from s2id.data.pictures import Group, Pictures
from s2id.data.registry import load_pictures
from s2id.diffusion.denoiser import TrainedDenoiser
from s2id.diffusion.exact import GaussianDenoiser
from s2id.diffusion.guidance import Guided
from s2id.diffusion.noise import white_noise
from s2id.diffusion.process import Schedule, alpha_sigma, times
from s2id.diffusion.samplers import ddim, last
from s2id.errors import InputError
from s2id.media.images import resize
from s2id.network.attention import CrossAttention
from s2id.network.published import (
    AlphaBarEmbedding,
    CornerPositionEmbedding,
    GroupNorm,
    PixelHead,
    PublishedNetwork,
    corner_coords,
    jitter,
)
from s2id.network.settings import PublishedConfig
from s2id.sampling.denoisers import trained_denoiser
from s2id.sampling.field import Field
from s2id.sampling.model import S2ID
from s2id.sampling.sample import compose
from s2id.sampling.settings import Card, Sampling
from s2id.shapes import NULL
from s2id.training.batches import draw
from s2id.training.presets import PRESETS
from s2id.training.run import checkpoints
from s2id.training.settings import Preset
from s2id.training.trainer import Trainer

PUBLISHED = PRESETS["reference"].model


def state(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def lively(**changes):
    made = PublishedNetwork(replace(SMALL, **changes)).eval().requires_grad_(False)
    enliven(made)
    return made


@pytest.fixture
def small():
    """A small published model, with every part alive."""
    made = S2ID(SMALL, Card(data="noise", density=8, labels=tuple("0123456789"))).eval().requires_grad_(False)
    enliven(made)
    return made


# What was published


def test_the_published_network_has_its_parameters():
    with torch.device("meta"):
        counts = {name: p.numel() for name, p in PublishedNetwork(PUBLISHED).named_parameters()}
    assert sum(count for name, count in counts.items() if not name.startswith("condition")) == 6_118_657


def test_the_published_network_has_its_channels():
    assert CornerPositionEmbedding(128, 0.5).out.in_features == 88
    made = PublishedNetwork(SMALL)
    assert made.position.out.in_features + made.stem.in_features == 89
    assert AlphaBarEmbedding(128).hidden.in_features == 20
    assert made.condition.embedding_dim == 2 * SMALL.width


def test_published_blocks_start_as_they_did():
    made = PublishedNetwork(SMALL)
    for block in (*made.encoder, *made.decoder):
        assert (block.scale == 0.1).all() and (block.film.gate == 1).all() and (block.film.out.bias == 0).all()
        assert 5e-4 < block.film.out.weight.std() < 2e-3
    assert not made(state(1, 1, 4, 4), torch.zeros(1)).any(), "the output starts at zero"


def test_the_schedule_is_the_published_alpha_bar():
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)

    def f(t):
        return torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    alpha, _ = Schedule(s=0.008, shift=PRESETS["reference"].train.schedule_shift)(t)
    assert torch.allclose(alpha**2, f(t) / f(torch.zeros((), dtype=torch.float64)), atol=1e-12)


@pytest.mark.parametrize("size", [(28, 28), (20, 40)])
def test_jitter_is_half_a_pixel_in_both_systems(size, monkeypatch):
    stds = []

    def spy(coords, std):
        stds.append(std)
        return jitter(coords, std, torch.Generator().manual_seed(0))

    monkeypatch.setattr("s2id.network.published.jitter", spy)
    made = PublishedNetwork(SMALL)
    made(state(1, 1, *size), torch.zeros(1))
    h, w = size
    half = 1 / (2 * max(size))
    assert stds == [pytest.approx((half, half)), pytest.approx((1 / (2 * h), 1 / (2 * w)))]
    moved = torch.stack([jitter(box_coords(size), stds[1]) - box_coords(size) for _ in range(40)])
    assert torch.allclose(moved.std((0, 1, 2)), torch.tensor(stds[1], dtype=torch.float64), rtol=0.05)
    stds.clear()
    made.eval()(state(1, 1, *size), torch.zeros(1))
    assert stds == []


def test_jitter_has_the_asked_deviation_on_each_axis():
    coords = pixel_coords((200, 300))
    moved = jitter(coords, (0.5 / 300, 2 / 300), torch.Generator().manual_seed(0)) - coords
    assert abs(moved.mean()) < 1e-4
    assert torch.allclose(moved.std((0, 1)), torch.tensor([0.5, 2.0]).double() / 300, rtol=0.02)


def test_jitter_depends_on_its_generator_alone():
    coords = pixel_coords((3, 4))
    first, again, other = (jitter(coords, (0.1, 0.1), torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(jitter(coords, (0.0, 0.0)), coords)


def test_corner_coordinates_run_end_to_end():
    for box in (False, True):
        y, x = corner_coords((5, 5), box).unbind(-1)
        assert torch.allclose(x[0], torch.linspace(-0.5, 0.5, 5, dtype=torch.float64)) and torch.equal(y, x.mT)
    wide = corner_coords((3, 5))
    assert wide[0, 0].tolist() == [-0.25, -0.5] and wide[2, 4].tolist() == [0.25, 0.5], "gaps are uniform"
    assert corner_coords((3, 5), box=True)[2, 4].tolist() == [0.5, 0.5]
    assert corner_coords((1, 1)).tolist() == [[[0.0, 0.0]]]


def test_corners_move_the_scene_with_the_size_and_centres_do_not():
    def drift(coords):
        return (avg_pool2d(coords((8, 8)).movedim(-1, 0), 2).movedim(0, -1) - coords((4, 4))).abs().max()

    assert drift(pixel_coords) < 1e-15 and drift(corner_coords) > 0.02


def test_a_ddim_step_with_eta_is_the_published_formula():
    torch.manual_seed(0)
    eps, x_t, z = torch.randn(3, 2, 1, 4, 4, dtype=torch.float64)

    class Says:
        def encode(self, x_t, logsnr):
            return None

        def decode(self, encoded, label=None):
            return None

        def predict(self, features, size):
            return eps

    t, s = 0.6, 0.5
    step = ddim(
        TrainedDenoiser(Says(), Schedule(), "eps"),
        x_t,
        torch.tensor([t, s], dtype=torch.float64),
        eta=1.0,
        noise=lambda i: z,
    )
    bar, bar_s = (Schedule()(torch.tensor(u, dtype=torch.float64))[0].item() ** 2 for u in (t, s))
    x = (x_t - math.sqrt(1 - bar) * eps) / math.sqrt(bar)
    std = math.sqrt((1 - bar_s) / (1 - bar)) * math.sqrt(1 - bar / bar_s)
    wanted = math.sqrt(bar_s) * x + math.sqrt(1 - bar_s - std**2) * eps + std * z
    assert torch.allclose(last(step), wanted, atol=1e-10)


def test_guidance_runs_the_encoder_once(small):
    calls = []
    small.network.encoder[0].register_forward_hook(lambda *_: calls.append("encoder"))
    small.network.decoder[0].register_forward_hook(lambda *_: calls.append("decoder"))
    denoiser = Guided(trained_denoiser(small, (8, 8)), 4.0)
    denoiser(state(2, 1, 8, 8), torch.full((2,), 0.5), torch.tensor([1, 2]))
    assert calls == ["encoder", "decoder", "decoder"]


def test_both_conditions_are_trained_in_one_pass():
    pictures = Pictures(
        "noise", (Group(torch.randint(0, 256, (60, 1, 28, 28), dtype=torch.uint8), torch.arange(60) % 10),), DIGITS
    )
    config = replace(PRESETS["reference"].train, batch=4)
    batch = draw(pictures, config, SMALL, Schedule(), 0)
    assert batch.condition.label[:4].min() >= 0 and not batch.condition[4:].known and batch.x_t.shape == (4, 1, 28, 28)
    noise = (batch.x_t - alpha_sigma(batch.logsnr)[0][:, None, None, None]).isfinite()
    assert noise.all() and batch.target.shape == batch.x_t.shape and abs(batch.target.std() - 1) < 0.05
    made, calls = lively(), []
    made.encoder[0].register_forward_hook(lambda *_: calls.append(1))
    with_label, without = made(batch.x_t, batch.logsnr, batch.condition, grid=batch.grid, frame=batch.frame).chunk(2)
    assert len(calls) == 1
    assert torch.allclose(with_label, made(batch.x_t, batch.logsnr, batch.condition[:4]), atol=1e-5)
    assert torch.allclose(without, made(batch.x_t, batch.logsnr), atol=1e-5)


def test_random_tokens_stay_as_they_were_drawn():
    made = PublishedNetwork(SMALL)
    enliven(made)
    made(state(1, 1, 4, 4), torch.zeros(1), torch.tensor([1])).square().mean().backward()
    assert made.condition.weight.grad is None


def test_the_published_network_trains_and_resumes_to_the_bit(tmp_path):
    train = replace(
        PRESETS["reference"].train,
        densities=(8,),
        images=24,
        batch=4,
        checkpoint_images=12,
        device="cpu",
        precision="no",
    )
    preset = Preset("digits", SMALL, train)
    straight, again = (Trainer(preset, load_pictures("digits"), tmp_path) for _ in range(2))
    assert all(math.isfinite(progress.loss) for progress in straight.run()) and straight.step == 6
    again.resume(checkpoints(tmp_path)[0])
    assert again.step == 3
    for _ in again.run():
        pass
    resumed, uninterrupted = again.tensors(), straight.tensors()
    assert resumed.keys() == uninterrupted.keys()
    assert [name for name in resumed if not torch.equal(resumed[name], uninterrupted[name])] == []
    result = again.result()
    assert torch.equal(
        result.network.condition.weight, Trainer(preset, load_pictures("digits"), tmp_path).network.condition.weight
    )
    assert s2id.sample(result, 3, 0, steps=2).image((8, 8)).size == (8, 8)


def test_the_command_line_composes_a_dense_model_at_each_size(small, tmp_path):
    small.save(tmp_path / "small.safetensors")
    words = ["--label", "7", "--steps", "2", "--guidance", "1", "--set", "noise=white", "--set", "shift=false"]
    words += ["--out", str(tmp_path)]
    sizes = ["--size", "8x8", "--size", "12x20"]
    assert main(["sample", str(tmp_path / "small.safetensors"), *sizes, *words]) == 0
    for h, w in ((8, 8), (12, 20)):
        wanted = s2id.sample(
            small, 7, 0, Sampling(2, 1.0, density=max(h, w), noise="white", shift=False), aspect=(h, w)
        )
        with Image.open(tmp_path / f"label7-seed0-{h}x{w}.png") as picture:
            assert picture.tobytes() == wanted.image((h, w)).tobytes()


# The parts


@pytest.mark.parametrize("size", [(4, 6), (9, 5), (12, 12)])
def test_the_same_weights_run_and_learn_at_every_size(size):
    made = lively().requires_grad_(True)
    made.condition.requires_grad_(False)
    out = made(state(2, 1, *size), torch.zeros(2), torch.tensor([3, NULL]))
    assert out.shape == (2, 1, *size)
    out.square().mean().backward()
    still = [k for k, p in made.named_parameters() if p.requires_grad and not p.grad.abs().max() > 0]

    assert not [k for k in still if not k.endswith("qkv.bias")], "keys' biases do nothing in softmax"


def test_a_part_of_a_state_enters_as_it_does_in_the_whole():
    made = lively(encoder_blocks=0)
    x_t, part = state(1, 1, 8, 8), (slice(2, 6), slice(0, 4))
    whole, some = made.encode(x_t, torch.zeros(1)), made.encode(x_t, torch.zeros(1), part=part)
    assert torch.allclose(some.tokens, whole.tokens[:, 2:6, :4], atol=1e-6)
    assert some.frame == (0.5, 0.5) and some.middle == (0.0, -0.25)


def test_data_that_the_published_network_has_no_place_for_are_refused():
    with pytest.raises(InputError, match="these data have attributes"):
        SMALL.for_data(channels=3, classes=0, latents=0, attributes=40, numbers=0, token_width=0)
    with pytest.raises(InputError, match="dropout holds 1; it must be a number, at least 0 and below 1"):
        PublishedConfig(dropout=(0.1, 1.0, 0.0))
    with pytest.raises(InputError, match="label 10 is none of this model's 10 classes"):
        lively()(state(1, 1, 4, 4), torch.zeros(1), torch.tensor([10]))
    with pytest.raises(InputError, match="3 channels and size 4x4; this network takes 1"):
        lively()(state(1, 3, 4, 4), torch.zeros(1))


def test_a_group_norm_sees_the_whole_picture():
    x, zero = state(1, 6, 6, 8), torch.zeros(1, 1, 1, 8)
    group = GroupNorm(8, 2)
    crop = x[:, 1:4, 2:5]
    assert (group(crop, zero, zero) - group(x, zero, zero)[:, 1:4, 2:5]).abs().max() > 0.05
    enliven(group)
    scale, shift = state(1, 1, 1, 8, seed=1), state(1, 1, 1, 8, seed=2)
    wanted = torch.nn.functional.group_norm(x.movedim(-1, 1), 2, group.weight, group.bias).movedim(1, -1)
    assert torch.allclose(group(x, scale, shift), wanted * (1 + scale) + shift, atol=1e-5)


@pytest.mark.parametrize("bias", [False, True])
def test_many_tokens_attend_to_few_as_few_do(bias):
    attention = CrossAttention(64, 4, bias).requires_grad_(False)
    enliven(attention)
    x, condition = state(2, 24, 24, 64), state(2, 2, 64, seed=1)
    few = torch.cat([attention(rows, condition) for rows in x.split(12, dim=1)], 1)
    assert torch.allclose(attention(x, condition), few, atol=1e-5)


def test_dropout_is_for_training_only():
    made = lively(jitter=0.0, dropout=(0.5, 0.5, 0.5))
    x_t = state(1, 1, 4, 4)
    assert torch.equal(made(x_t, torch.zeros(1)), made(x_t, torch.zeros(1)))
    made.train()
    assert not torch.equal(made(x_t, torch.zeros(1)), made(x_t, torch.zeros(1)))


@pytest.mark.parametrize("dropout", [(0.0, 0.0, 0.0), (0.1, 0.1, 0.2)])
def test_computing_anew_changes_no_gradient(dropout):
    gradients = []
    for recompute in ("no", "feed_forward", "blocks"):
        made = lively(dropout=dropout).requires_grad_(True).train()
        made.recompute(recompute)
        torch.manual_seed(0)
        made(state(2, 1, 4, 4), torch.zeros(2), torch.tensor([1, NULL])).square().mean().backward()
        gradients.append([p.grad for p in made.parameters() if p.grad is not None])
    for anew in gradients[1:]:
        assert all(torch.equal(a, b) for a, b in zip(anew, gradients[0], strict=True))


def test_computing_anew_keeps_less():
    kept = []
    for recompute in ("no", "feed_forward", "blocks"):
        made = lively().requires_grad_(True)
        made.recompute(recompute)
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, to=sizes: to.append(x.numel()) or x, lambda x: x):
            made(state(2, 1, 8, 8), torch.zeros(2))
        kept.append(sum(sizes))
    assert kept[0] > 1.2 * kept[1] > 2 * kept[2]


# Dense composition


def test_white_noise_is_white_and_unrelated_to_other_sizes():
    noise = white_noise((64, 48), 2, seed=3)
    assert torch.equal(noise, white_noise((64, 48), 2, seed=3))
    assert abs(noise.mean()) < 0.06 and abs(noise.std() - 1) < 0.03
    shifted = [
        (noise[:, 1:] * noise[:, :-1]).mean(),
        (noise[..., 1:] * noise[..., :-1]).mean(),
        (noise[0] * noise[1]).mean(),
    ]
    assert max(abs(c) for c in shifted) < 0.06
    for other in (white_noise((64, 48), 2, 4), white_noise((64, 48), 2, 3, stream=1)):
        assert abs((noise * other).mean()) < 0.06
    coarse = avg_pool2d(noise[None], 2)[0] * 2
    assert abs((coarse * white_noise((32, 24), 2, 3)).mean()) < 0.1


@pytest.mark.parametrize("noise", ["nested", "white"])
@pytest.mark.parametrize("size", [(8, 8), (12, 20)])
def test_a_dense_model_composes_any_size_and_its_state_is_the_picture(small, size, noise):
    settings = Sampling(3, 2.0, sampler="ddim", eta=1.0, density=max(size), noise=noise)
    field = s2id.sample(small, [7, None], [0, 1], settings, aspect=size)
    composed = last(compose(small, torch.tensor([7, NULL]), [0, 1], settings, aspect=size))
    assert composed.shape == (2, 1, *size) and torch.equal(field.render(size), composed.clamp(-1, 1))
    assert torch.allclose(
        s2id.sample(small, 7, 0, settings, aspect=size).render(size), composed[:1].clamp(-1, 1), atol=1e-5
    )


def test_a_composed_picture_is_seen_at_other_sizes_by_areas(small, tmp_path):
    field = s2id.sample(small, 7, 0, steps=2)
    picture = field.render((8, 8))
    assert torch.allclose(field.render((4, 4)), avg_pool2d(picture, 2), atol=1e-6)
    assert torch.allclose(field.render((5, 5)), resize(picture, (5, 5)), atol=1e-5)
    assert torch.equal(field.render((16, 16)), picture.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert torch.equal(field.render((4, 4), window=(0.5, 0.0, 1.0, 0.5)), picture[:, :, 4:, :4])
    field.save(tmp_path / "a.safetensors")
    again = Field.load(tmp_path / "a.safetensors")
    assert isinstance(again.head, PixelHead) and torch.equal(again.render((7, 9)), field.render((7, 9)))


def test_a_field_model_composes_at_other_densities_too(model):
    for density in (4, 16):
        field = s2id.sample(model, 7, 0, Sampling(2, density=density))
        assert field.features.values.shape[1] == density and field.render((8, 8)).isfinite().all()
    same = s2id.sample(model, 7, 0, Sampling(2, density=model.card.density))
    assert torch.equal(same.render((8, 8)), s2id.sample(model, 7, 0, steps=2).render((8, 8)))
    with pytest.raises(InputError, match="density is 0"):
        Sampling(density=0)


def test_the_shift_lowers_the_states_logsnr_and_not_the_input_of_a_dense_network(small, model):
    t = torch.tensor([0.5])
    for shift in (True, False):
        denoiser = trained_denoiser(small, (16, 16), shift)
        assert denoiser.schedule.logsnr(t) == pytest.approx(small.schedule.logsnr(t) - shift * 2 * math.log(2))
        assert denoiser.input_schedule == small.schedule
    assert trained_denoiser(model, (16, 16)).input_schedule == model.schedule.at_density(2.0)


class Calibrated:
    """An exact denoiser of states of one density, asked about denser ones: it averages them to its own size.

    It takes the noise level from `schedule`, whatever that of the denser states is.
    """

    def __init__(self, exact, side, schedule):
        self.exact, self.side, self.schedule = exact, side, schedule

    def __call__(self, x_t, t, label=None):
        factor = x_t.shape[2] // self.side
        scale = self.exact.schedule(t)[0] / self.schedule(t)[0]
        denoised = self.exact(resize(x_t * scale[:, None, None, None], (self.side, self.side)), t)
        return denoised.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_diversity_survives_density_with_the_shift_and_dies_without(k):
    frequency = torch.arange(-2, 3, dtype=torch.float64)
    exact = GaussianDenoiser(0.02 / (1 + frequency[:, None] ** 2 + frequency**2), Schedule())
    side, count = 8, 64
    truth = exact.covariance((side, side))[0, 0].item()
    noise = torch.randn(count, 1, k * side, k * side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def diversity(schedule):
        denoiser = Calibrated(exact, side, schedule)
        return resize(last(ddim(denoiser, noise, times(40))), (side, side)).var(0).mean().item() / truth

    assert 0.75 < diversity(exact.schedule.at_density(float(k))) < 1.15
    assert diversity(exact.schedule) < 1.15 / k**1.5
