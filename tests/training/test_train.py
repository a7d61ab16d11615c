"""Training resumes to the bit, stops without loss, and says what went wrong."""

import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from accelerate.state import AcceleratorState
from conftest import SMALL_PUBLISHED, trained
from safetensors.torch import load_file

from s2id.cli.main import main
from s2id.coords import frame_grid
from s2id.data.pictures import Group, Pictures, batch_at
from s2id.data.registry import load_pictures
from s2id.diffusion.process import Schedule
from s2id.errors import InputError
from s2id.media.images import resize, to_float
from s2id.sampling.model import load as load_model
from s2id.seeds import seed_of
from s2id.training import batches, device, tasks
from s2id.training.batches import DrawAhead, draw, stratified, target_pixels, token_window
from s2id.training.optimisers import learning_rate
from s2id.training.presets import PRESETS
from s2id.training.run import checkpoints, locked
from s2id.training.trainer import DivergedError, Trainer


def tiny(folder, **changes):
    preset = PRESETS["tiny"]
    settings = {"images": 160, "device": "cpu", **changes}
    return Trainer(replace(preset, train=replace(preset.train, **settings)), load_pictures("digits"), folder)


def weights(trainer):
    return {k: v.clone() for k, v in trainer.tensors().items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a), [k for k in a if not torch.equal(a[k], b[k])]


@pytest.mark.parametrize("changes", [{}, {"optimiser": "adamw"}, {"token_share": 0.25, "dense_finish": 0.4}])
def test_resuming_equals_not_stopping_to_the_bit(tmp_path, changes):
    straight = tiny(tmp_path / "a", **changes)
    losses = [p.loss for p in straight.run()]
    first = tiny(tmp_path / "b", **changes)
    resumed_losses = []
    for progress in first.run():
        resumed_losses.append(progress.loss)
        if progress.step == 4:
            first.stop()
    second = tiny(tmp_path / "b", **changes)
    second.resume(checkpoints(tmp_path / "b")[-1])
    assert second.images_seen == 64
    resumed_losses += [p.loss for p in second.run()]
    assert resumed_losses == losses
    assert_same(weights(second), weights(straight))
    assert int(second.average.n_averaged) == int(straight.average.n_averaged)


def s2id(*words, processes=1, **options):
    command = [sys.executable, "-m", "s2id", *words]
    if processes > 1:
        command[1:1] = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=300, **options)


@pytest.mark.slow
def test_two_processes_resume_to_the_bit(tmp_path):
    words = (
        "train",
        "tiny",
        "--device",
        "cpu",
        "--images",
        "256",
        "--batch",
        "8",
        "--set",
        "checkpoint-images=128",
        "--set",
        "keep=9",
    )
    whole = s2id(*words, "--out", str(tmp_path / "a"), processes=2)
    assert whole.returncode == 0, whole.stderr
    half = tmp_path / "b" / "checkpoints" / "000000000128"
    shutil.copytree(tmp_path / "a" / "checkpoints" / half.name, half)
    rest = s2id(*words, "--out", str(tmp_path / "b"), "--resume", "latest", processes=2)
    assert rest.returncode == 0, rest.stderr
    assert "resumed after 128 images" in rest.stdout
    final = "checkpoints/000000000256/training.safetensors"
    assert_same(*(load_file(tmp_path / run / final) for run in ("a", "b")))


def test_an_interrupt_leaves_a_checkpoint_to_go_on_from(tmp_path, request, capsys):
    out = tmp_path / "run"
    words = [sys.executable, "-m", "s2id", "train", "tiny", "--device", "cpu", "--images", "1000000", "--out", str(out)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    request.addfinalizer(process.kill)
    deadline = time.monotonic() + 120
    while not ((out / "metrics.jsonl").is_file() and (out / "metrics.jsonl").read_text().count("\n") > 2):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    said, asked = process.communicate(timeout=120)
    assert process.returncode == 143
    assert "stops with a checkpoint" in asked and "Ctrl-C" not in asked
    assert "length of this run: 1,000,000 images, about" in said
    assert "--resume latest to go on" in said
    seen = json.loads((checkpoints(out)[-1] / "run.json").read_text())["step"] * 16
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["images_seen"] == seen
    assert main(words[3:]) == 2, "overwrote a run"
    again = ["train", "tiny", "--device", "cpu", "--out", str(out), "--resume", "latest"]
    assert main([*again, "--minutes", "5"]) == 2
    assert "holds a run of 1,000,000 images" in capsys.readouterr().err
    assert main([*again, "--extra-minutes", "0.001"]) == 0
    assert f"goes on after {seen:,} images: the learning rate rises to" in capsys.readouterr().out
    assert load_model(out).card.images_seen > seen


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    trainer = tiny(tmp_path, checkpoint_images=32)
    run = trainer.run()
    for _ in range(5):
        next(run)
    good = weights(trainer)
    monkeypatch.setattr(tasks, "loss", lambda *_: torch.tensor(math.nan, requires_grad=True))
    with pytest.raises(DivergedError, match="the loss is nan and .* after 80 images; the last good checkpoint is kept"):
        next(run)
    assert_same(weights(trainer), good)
    fresh = tiny(tmp_path)
    fresh.resume(checkpoints(tmp_path)[-1])
    assert fresh.images_seen == 64


def test_a_gradient_that_is_no_number_is_no_step(tmp_path, monkeypatch):
    trainer = tiny(tmp_path, checkpoint_images=16)
    run = trainer.run()
    next(run)
    good = weights(trainer)
    monkeypatch.setattr(tasks, "loss", lambda _, prediction, *rest: (0 * prediction.sum()).sqrt())
    with pytest.raises(DivergedError, match="the loss is 0 and its gradient's norm nan after 16 images"):
        next(run)
    assert_same(weights(trainer), good)
    assert [p.name for p in checkpoints(tmp_path)] == ["000000000016"]


def test_going_on_from_an_older_checkpoint_gives_up_what_came_after_it(tmp_path):
    first = tiny(tmp_path, checkpoint_images=32, keep=3)
    for _ in first.run():
        pass
    assert [int(p.name) for p in checkpoints(tmp_path)] == [96, 128, 160]
    again = tiny(tmp_path, keep=3)
    again.resume(checkpoints(tmp_path)[0])
    assert len(checkpoints(tmp_path)) == 3, "nothing is lost before there is something new"
    next(again.run())
    again.save()
    assert [int(p.name) for p in checkpoints(tmp_path)] == [96, 112]


def test_a_checkpoint_of_another_optimiser_is_refused(tmp_path):
    tiny(tmp_path, optimiser="adamw").save()
    with pytest.raises(InputError, match="trained with the optimiser adamw; resume it as it was"):
        tiny(tmp_path).resume(checkpoints(tmp_path)[-1])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"minutes": 0.0}, "minutes is 0"),
        ({"queries": 0.0}, "queries is 0"),
        ({"clip": 0.0}, "clip is 0"),
        ({"supersample": (2, 0)}, "supersample holds 0"),
        ({"densities": (0,)}, "densities holds 0"),
        ({"density_weights": (0.0,)}, "density_weights is"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, said):
    with pytest.raises(InputError, match=said):
        replace(PRESETS["tiny"].train, **changes)


@pytest.mark.parametrize("changes", [{"heads": 0}, {"patch": -1}, {"condition_tokens": 0}])
def test_networks_that_cannot_be_are_refused(changes):
    with pytest.raises(InputError, match=f"{next(iter(changes))} is"):
        replace(PRESETS["tiny"].model, **changes)


def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path, monkeypatch):
    trainer = tiny(tmp_path)
    run = trainer.run()
    next(run)
    trainer.save()
    next(run)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="cannot be written .No space left on device."):
            trainer.save()
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["000000000016"]
    fresh = tiny(tmp_path)
    fresh.resume(checkpoints(tmp_path)[-1])
    assert fresh.step == 1


def test_a_run_folder_has_one_run(tmp_path):
    with locked(tmp_path), pytest.raises(InputError, match="in use by another run"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    for _ in tiny(tmp_path, checkpoint_images=16, keep=3).run():
        pass
    assert [p.name for p in checkpoints(tmp_path)] == ["000000000128", "000000000144", "000000000160"]


def test_a_checkpoint_of_another_network_or_batch_is_refused(tmp_path):
    trainer = tiny(tmp_path)
    trainer.save()
    preset = replace(PRESETS["tiny"], model=replace(PRESETS["tiny"].model, width=32))
    with pytest.raises(InputError, match="another network"):
        Trainer(preset, load_pictures("digits"), tmp_path).resume(checkpoints(tmp_path)[-1])
    with pytest.raises(InputError, match="same batch"):
        tiny(tmp_path, batch=8).resume(checkpoints(tmp_path)[-1])
    with pytest.raises(InputError, match="is no checkpoint"):
        tiny(tmp_path).resume(tmp_path / "nowhere")


def test_training_learns_and_its_average_samples(tmp_path):
    trainer = tiny(tmp_path, images=1600, lr=6e-3)
    losses = trained(trainer)
    assert sum(losses[-20:]) < 0.7 * sum(losses[:20])
    model = trainer.result()
    assert model.card.images_seen == 1600 and model.card.density == 8 and model.card.data == "digits"


def test_a_run_of_minutes_ends_with_its_schedule_done(tmp_path):
    progress = list(tiny(tmp_path, minutes=0.02).run())
    assert progress[-1].done == 1
    assert progress[-1].lr < 0.5 * max(p.lr for p in progress)
    assert all(a.done < b.done for a, b in zip(progress[:-1], progress[1:], strict=True))


def test_accumulated_batches_count_as_one_step(tmp_path):
    progress = list(tiny(tmp_path, accumulate=2).run())
    assert len(progress) == 5 and progress[-1].images_seen == 160


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("attention", ["full", "axial", "window", "linear"])
def test_every_precision_and_attention_trains(tmp_path, precision, attention):
    preset = PRESETS["tiny"]
    settings = replace(preset.train, images=48, precision=precision, device="cpu")
    trainer = Trainer(
        replace(preset, model=replace(preset.model, attention=attention), train=settings),
        load_pictures("digits"),
        tmp_path,
    )
    attended = [weight for name, weight in trainer.network.named_parameters() if name.endswith("qkv.weight")]
    before = [weight.detach().clone() for weight in attended]
    losses = [progress.loss for progress in trainer.run()]
    assert len(losses) == 3 and all(map(math.isfinite, losses))
    assert trainer.accelerator.mixed_precision == precision
    assert before and not any(torch.equal(*pair) for pair in zip(attended, before, strict=True))


def test_the_target_of_the_published_network_is_the_noise():
    preset = replace(PRESETS["tiny"], model=replace(PRESETS["tiny"].model, patch=1, lattice=1))
    pictures, schedule = load_pictures("digits"), Schedule()
    batch = draw(pictures, preset.train, SMALL_PUBLISHED, schedule, 5)
    clean = draw(pictures, replace(preset.train, supersample=(1,), queries=100.0), preset.model, schedule, 5)
    assert torch.equal(batch.x_t, clean.x_t)
    alpha, sigma = (
        batch.logsnr.sigmoid().sqrt()[:, None, None, None],
        (-batch.logsnr).sigmoid().sqrt()[:, None, None, None],
    )
    assert torch.allclose(batch.target, (batch.x_t - alpha * clean.target) / sigma, atol=2e-3)


def test_targets_are_the_pictures_own_pixels_and_states_their_means():
    pictures = load_pictures("digits")
    config = replace(PRESETS["tiny"].train, densities=(4,), queries=1.0, supersample=(1,), drop_label=1.0)
    model = replace(PRESETS["tiny"].model)
    batch = draw(pictures, config, model, Schedule(bound=60.0), 0)
    assert batch.x_t.shape[2:] == (4, 4) and (batch.condition.label == -1).all()
    assert batch.target.shape[2:] == (4, 4), "one query per state sample"
    pitch = 1 / 8
    rows = ((batch.grid.y + 0.5) / pitch - 0.5).round().long()
    pixels, _ = batch_at(pictures, 0, config.batch, config.seed)
    x = to_float(pixels)
    columns = ((batch.grid.x + 0.5) / pitch - 0.5).round().long()
    assert torch.equal(batch.target, x[:, :, rows][:, :, :, columns])
    almost_clean = batch.logsnr > 8
    assert torch.allclose(batch.x_t[almost_clean], resize(x, (4, 4))[almost_clean], atol=0.1)


def test_target_pixels_cover_the_picture_evenly():
    generator = torch.Generator().manual_seed(0)
    hits = torch.zeros(28, 28)
    for _ in range(400):
        rows, columns = target_pixels((slice(0, 28), slice(0, 28)), 196.0, generator)
        hits[rows, columns] += 1
    assert hits.sum() == 400 * 196
    assert hits.min() > 60 and hits.max() < 140
    assert frame_grid((28, 28)).part(rows, columns).size == (14, 14)


PHOTOS = Pictures(
    "noise",
    (Group(torch.randint(0, 256, (9, 1, 37, 61), dtype=torch.uint8), torch.randint(0, 10, (9,))),),
    load_pictures("digits").labels,
)


@pytest.mark.parametrize("share", [0.5, 0.25, 0.05])
@pytest.mark.parametrize("density", [8, 20, 60])
def test_targets_of_a_window_are_the_pictures_own_pixels_inside(share, density):
    config = replace(PRESETS["tiny"].train, densities=(density,), supersample=(1, 2))
    pixels = 0
    for number in range(30):
        batch = draw(PHOTOS, config, PRESETS["tiny"].model, Schedule(), number, share)
        x = to_float(batch_at(PHOTOS, number, config.batch, config.seed)[0])
        indices = []
        for points, side, part, samples in zip(
            (batch.grid.y, batch.grid.x), x.shape[2:], batch.part, batch.x_t.shape[2:], strict=True
        ):
            index = (points * 61 + (side - 1) / 2).round().long()
            assert (index / side >= part.start / samples - 1e-9).all()
            assert ((index + 1) / side <= part.stop / samples + 1e-9).all()
            assert part.start % 2 == part.stop % 2 == 0 and 0 <= part.start < part.stop <= samples
            indices.append(index)
        assert torch.equal(batch.target, x[:, :, indices[0]][:, :, :, indices[1]])
        tokens = [(part.stop - part.start) // 2 for part in batch.part]
        pixels += batch.target[0].numel() * batch.supersample**2 / (4 * math.prod(tokens) * config.queries)
    assert 0.4 < pixels / 30 < 2, "as many targets per token as of a whole"


@pytest.mark.parametrize("model", [PRESETS["tiny"].model, SMALL_PUBLISHED])
def test_a_window_is_of_the_state_that_the_whole_would_be(model):
    whole, part = (
        draw(load_pictures("digits"), PRESETS["tiny"].train, model, Schedule(), 3, share) for share in (1.0, 0.25)
    )
    assert whole.part is None and part.part is not None
    assert torch.equal(whole.x_t, part.x_t) and torch.equal(whole.logsnr, part.logsnr)
    assert torch.equal(whole.condition.label, part.condition.label)
    if model.dense:
        assert torch.equal(part.target, whole.target[:, :, part.part[0], part.part[1]])


def test_every_token_is_often_in_a_window():
    generator = torch.Generator().manual_seed(0)
    hits = torch.zeros(10, 10, dtype=torch.float64)
    for _ in range(1000):
        rows, columns = token_window((20, 20), 2, 0.25, generator)
        hits[rows.start // 2 : rows.stop // 2, columns.start // 2 : columns.stop // 2] += 1 / 1000
    assert hits.mean() == pytest.approx(0.25) and hits.min() > 0.1 and hits.max() < 0.45


def test_a_run_on_windows_ends_on_whole_states(tmp_path, monkeypatch):
    shares = []

    def spy(*words):
        shares.append(words[-1])
        return draw(*words)

    monkeypatch.setattr(tasks, "draw", spy)
    assert all(math.isfinite(p.loss) for p in tiny(tmp_path, token_share=0.25, dense_finish=0.4).run())
    assert shares == [0.25] * 6 + [1.0] * 4


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_shares_of_tokens_that_are_none_are_refused(share):
    with pytest.raises(InputError, match="token_share is .*; it must be a number, above 0 and at most 1"):
        replace(PRESETS["tiny"].train, token_share=share)


@pytest.mark.parametrize("count", [1, 7, 64])
def test_times_are_uniform_and_evenly_spread(count):
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([stratified(count, generator) for _ in range(2000)])
    assert drawn.min() >= 0 and drawn.max() < 1
    ordered = drawn.sort(dim=1).values
    gaps = torch.cat([ordered.diff(dim=1), ordered[:, :1] + 1 - ordered[:, -1:]], dim=1)
    assert torch.allclose(gaps, torch.full_like(gaps, 1 / count), atol=1e-5)
    share = torch.histc(drawn[:, 0], bins=10, min=0, max=1) / len(drawn)
    assert torch.allclose(share, torch.full_like(share, 0.1), atol=0.03)


def test_precision_follows_the_processor(tmp_path, monkeypatch):
    for fast, precision in ((True, "bf16"), (False, "no")):
        monkeypatch.setattr(device, "multiplies_bf16", lambda _, fast=fast: fast)
        assert tiny(tmp_path, precision="auto").accelerator.mixed_precision == precision
        AcceleratorState._reset_state(reset_partial_state=True)


def test_a_checkpoint_from_before_a_field_existed_goes_on(tmp_path):
    first = tiny(tmp_path)
    first.save()
    path = checkpoints(tmp_path)[-1] / "run.json"
    facts = json.loads(path.read_text())
    del facts["model"]["condition_film"]
    path.write_text(json.dumps(facts))
    again = tiny(tmp_path, seed=1)
    again.resume(checkpoints(tmp_path)[-1])
    assert_same(weights(again), weights(first))


def test_detail_is_trained_at_late_times_on_denser_states(tmp_path):
    trainer = tiny(tmp_path, detail_density=6, densities=(4,), detail_time=0.25, detail_share=0.5)
    batches = [draw(trainer.pictures, trainer.config, trainer.model, trainer.schedule, number) for number in range(24)]
    latest = {side: trainer.schedule.at_density(side / 4).logsnr(torch.tensor(0.25)) for side in (4, 6)}
    sides = [batch.x_t.shape[2] for batch in batches]
    assert set(sides) == {4, 6}
    for side, batch in zip(sides, batches, strict=True):
        early = (batch.logsnr < latest[side]).sum()
        assert early == 0 if side == 6 else early > len(batch.x_t) // 2
    card = trainer.result().card
    assert (card.density, card.detail_density, card.detail_time) == (4, 6, 0.25)


def test_a_run_starts_from_weights_of_its_own_kind_alone(tmp_path):
    first = tiny(tmp_path / "a", images=32)
    for _ in first.run():
        pass
    start = first.result()

    def begun(model, **changes):
        preset = PRESETS["tiny"]
        changed = replace(
            preset, train=replace(preset.train, seed=1, device="cpu"), model=replace(preset.model, **changes)
        )
        return Trainer(changed, load_pictures("digits"), tmp_path / "b", model)

    second = begun(start)
    torch.testing.assert_close(second.result().network.state_dict(), start.network.state_dict())
    assert second.images_seen == 0 and second.result().card.images_seen == 32
    with pytest.raises(InputError, match="another network"):
        begun(start, width=32)
    start.card = replace(start.card, labels=start.card.labels[::-1])
    assert begun(start).result().card.labels == start.card.labels  # in the model's order


def test_muon_moves_the_blocks_matrices_and_adamw_all_else(tmp_path):
    trainer = tiny(tmp_path, optimiser="muon")
    adamw, muon = ([p for group in o.param_groups for p in group["params"]] for o in trainer.optimisers)
    network = trainer.network
    blocks = [p for block in (*network.encoder, *network.decoder) for p in block.parameters() if p.ndim == 2]
    assert {id(p) for p in muon} == {id(p) for p in blocks} and len(muon) == len(blocks)
    assert len(adamw) + len(muon) == len(list(network.parameters()))


def test_streams_do_not_repeat():
    keys = {seed_of(seed, number) for seed in range(20) for number in range(200)}
    assert len(keys) == 4000 and min(keys) >= 0 and max(keys) < 2**63


def test_the_learning_rate_warms_up_then_falls_to_its_end():
    config = PRESETS["mnist"].train
    assert learning_rate(config, 0.0) == 0
    assert learning_rate(config, config.warmup) == pytest.approx(config.lr)
    assert learning_rate(config, 1.0) == pytest.approx(config.final_lr)


def test_densities_that_the_patch_does_not_divide_are_refused(tmp_path):
    with pytest.raises(InputError, match="density 7 is no multiple of the patch 2"):
        tiny(tmp_path, densities=(7,))


def test_large_pictures_are_floats_a_few_at_a_time(monkeypatch):
    pixels, _ = batch_at(PHOTOS, 0, 6, 0)
    whole = batches.means(pixels, (8, 14))
    assert torch.equal(whole, resize(to_float(pixels), (8, 14)))
    made = []
    monkeypatch.setattr(batches, "to_float", lambda some: made.append(some.numel()) or to_float(some))
    monkeypatch.setattr(batches, "_FLOATS", 2 * pixels[0].numel())
    assert torch.allclose(batches.means(pixels, (8, 14)), whole, atol=1e-6)
    assert made == [2 * pixels[0].numel()] * 3
    made.clear()
    config = replace(PRESETS["tiny"].train, densities=(20,), batch=6)
    window = draw(PHOTOS, config, PRESETS["tiny"].model, Schedule(), 0, 0.25)
    assert max(made) == 2 * pixels[0].numel() and made[-1] == window.target.numel() < pixels.numel() / 4


@pytest.mark.parametrize(("numbers", "stride"), [(range(12), 1), (range(1, 20, 2), 2), ([0, 1, 7, 8, 9, 0, 1], 1)])
def test_batches_drawn_ahead_are_those_drawn_one_by_one(numbers, stride):
    preset, pictures = PRESETS["tiny"], load_pictures("digits")
    drawn = []

    def batch(number):
        drawn.append(number)
        return draw(pictures, preset.train, preset.model, Schedule(), number)

    ahead = DrawAhead(batch, depth=3)
    for number in numbers:
        found, wanted = ahead(number, stride), draw(pictures, preset.train, preset.model, Schedule(), number)
        assert torch.equal(found.x_t, wanted.x_t) and torch.equal(found.target, wanted.target)
        assert torch.equal(found.condition.label, wanted.condition.label) and found.supersample == wanted.supersample
    if list(numbers) == list(range(numbers[0], numbers[-1] + 1, stride)):
        assert len(drawn) == len(set(drawn)), "no batch is drawn twice"
