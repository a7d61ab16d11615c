"""Training from Python: progress, a model at the end, and a folder that one run uses at a time."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

import s2id
from s2id.data.registry import load_pictures
from s2id.errors import InputError
from s2id.training.optimisers import learning_rate
from s2id.training.presets import PRESETS
from s2id.training.progress import Rate, duration
from s2id.training.run import checkpoints, locked, write_checkpoint
from s2id.training.settings import TrainConfig
from s2id.training.watch import drive


def digits(out, **changes):
    return s2id.train(load_pictures("digits"), out, "tiny", **{"images": 96, "device": "cpu", **changes})


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 1200 + "b", "a\0b"])
@pytest.mark.parametrize("resume", [None, "latest"])
def test_a_folder_that_cannot_be_is_refused_in_a_sentence(name, resume, tmp_path):
    with pytest.raises(InputError, match="cannot be written .*choose another with --out"):
        digits(tmp_path / name, resume=resume)
    assert not list(tmp_path.iterdir())


def test_names_are_shown_in_one_line(tmp_path, capsys):
    pictures = s2id.pictures(torch.zeros(16, 1, 8, 8), labels=["a\tb", "c\nd"] * 8)
    assert drive(s2id.train(pictures, tmp_path, "tiny", images=16, device="cpu")) == 0
    said = capsys.readouterr().out
    assert "a\\tb (8), c\\nd (8)" in said and "\t" not in said


def test_iterating_yields_progress_and_ends_with_a_model(tmp_path):
    run = digits(tmp_path)
    progress = list(run)
    assert [p.images_seen for p in progress] == list(range(16, 97, 16)) and progress[-1].done == 1
    saved = s2id.load(tmp_path / "model")
    assert saved.card == run.model.card and saved.card.images_seen == 96
    for name, tensor in run.model.network.state_dict().items():
        assert torch.equal(saved.network.state_dict()[name], tensor)
    assert "images/s" in str(progress[-1])


def test_a_run_that_was_stopped_is_resumed_to_the_bit(tmp_path):
    straight, first = digits(tmp_path / "a"), digits(tmp_path / "b")
    losses, resumed = [p.loss for p in straight], []
    for progress in first:
        resumed.append(progress.loss)
        if progress.step == 2:
            first.stop()
    with pytest.raises(InputError, match="already holds a run"):
        digits(tmp_path / "b")
    second = digits(tmp_path / "b", resume="latest")
    assert str(second) == "64 of 96 images"
    assert resumed + [p.loss for p in second] == losses
    assert all(torch.equal(a, b) for a, b in zip(
        second.model.state_dict().values(), straight.model.state_dict().values(), strict=True
    ))  # fmt: skip


def test_a_loop_that_is_left_goes_on_where_it_was(tmp_path):
    run = digits(tmp_path)
    for progress in run:
        if progress.step == 2:
            break
    assert [p.step for p in run] == [3, 4, 5, 6]


def test_a_folder_has_one_run(tmp_path):
    run = digits(tmp_path)
    with locked(tmp_path):
        with pytest.raises(InputError, match="in use by another run"):
            digits(tmp_path)
        with pytest.raises(InputError, match="in use by another run"):
            next(iter(run))
    other = digits(tmp_path)
    list(other)
    with pytest.raises(InputError, match="was used by another run"):
        next(iter(run))
    assert len(checkpoints(tmp_path)) == 1


def test_a_run_says_how_long_it_takes(tmp_path):
    run = digits(tmp_path)
    assert str(run) == "96 images"
    walk = iter(run)
    for _ in range(3):
        next(walk)
    assert str(run).startswith("96 images, about ") and str(run).endswith(" images/s")
    walk.close()
    assert str(digits(tmp_path / "b", minutes=20)) == "20 minutes"


def test_a_preset_may_be_changed_and_a_model_continued(tmp_path):
    preset = PRESETS["tiny"]
    first = s2id.train(
        load_pictures("digits"), tmp_path / "a", replace(preset, train=replace(preset.train, lr=1e-2)), images=32
    )
    assert first.trainer.config.lr == 1e-2
    list(first)
    second = digits(tmp_path / "b", start=first.model)
    assert torch.equal(second.model.network.stem.weight, first.model.network.stem.weight)
    with pytest.raises(InputError, match="no preset 'tinny'; did you mean tiny?"):
        s2id.train(load_pictures("digits"), tmp_path / "c", "tinny")


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        ("mps", "device mps has no float64, which coordinates need; use cpu."),
        ("cuda", "there is no CUDA GPU on this machine; train with device cpu."),
    ],
)
def test_a_device_that_cannot_train_is_refused(tmp_path, device, sentence):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(InputError) as refused:
        digits(tmp_path, device=device)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-1, "0 seconds"), (1.2, "1 second"), (89, "89 seconds"), (100, "1.7 minutes"), (3600, "60 minutes"),
     (7200, "2 hours"), (86400 * 30, "30 days")],
)  # fmt: skip
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words


def test_the_first_step_does_not_count_in_the_rate():
    rate = Rate()
    assert rate(8, 100.0) == pytest.approx(0.08)
    assert [rate(8, 1.0) for _ in range(3)] == pytest.approx([8.0] * 3)


def test_a_checkpoint_of_another_run_does_not_delete_this_runs(tmp_path):
    pictures = load_pictures("digits")
    for name, images in (("long", 48), ("short", 16)):
        for _ in s2id.train(pictures, tmp_path / name, "tiny", images=images, device="cpu"):
            pass
    foreign = next((tmp_path / "short" / "checkpoints").glob("[0-9]*"))
    before = sorted((tmp_path / "long" / "checkpoints").iterdir())
    with pytest.raises(InputError, match="is no checkpoint of"):
        s2id.train(pictures, tmp_path / "long", "tiny", images=16, device="cpu", resume=foreign)
    assert sorted((tmp_path / "long" / "checkpoints").iterdir()) == before


@pytest.mark.parametrize("wrong", [{"lr": float("nan")}, {"seed": -1}, {"ema": 2.0}, {"minutes": float("inf")}])
def test_settings_that_nobody_can_train_with_are_refused(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(InputError, match=f"^{name} is {value:g}; it must be "):
        TrainConfig(**wrong)


def test_a_folder_with_a_model_alone_is_not_overwritten(tmp_path):
    run = digits(tmp_path, images=16)
    list(run)
    shutil.rmtree(tmp_path / "checkpoints")
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="already holds a trained model"):
        digits(tmp_path)
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before


def test_a_run_that_goes_on_keeps_its_length(tmp_path):
    first = digits(tmp_path, images=96)
    for progress in first:
        if progress.step == 2:
            first.stop()
    for wrong in ({"images": 64}, {"minutes": 5}):
        with pytest.raises(InputError, match="holds a run of 96 images.*train it longer with --extra-minutes"):
            digits(tmp_path, resume="latest", **wrong)
    again = s2id.train(load_pictures("digits"), tmp_path, "tiny", device="cpu", resume="latest")
    assert str(again) == "64 of 96 images" and [p.step for p in again] == [3, 4, 5, 6]


def test_a_finished_run_goes_on_for_a_time(tmp_path):
    run = digits(tmp_path, images=64)
    list(run)
    assert list(digits(tmp_path, images=64, resume="latest")) == []
    again = digits(tmp_path, images=64, resume="latest")
    with pytest.raises(InputError, match="minutes is -1; it must be a number, above 0"):
        again.extend(-1)
    again.extend(2 * run.trainer.seconds / 60)
    rates, done = [], []
    for progress in again:
        rates.append(progress.lr)
        done.append(progress.done)
        if progress.step == 6:
            again.stop()
    assert done[0] > 1 / 3 and rates[0] < 1e-6
    # interrupted, it goes on in the same stretch, as the run of 64 images that it began as
    rest = digits(tmp_path, images=64, resume="latest")
    assert rest.trainer.begun == pytest.approx(1 / 3) and rest.trainer.config.minutes == again.trainer.config.minutes
    more = [(p.step, p.lr) for p in rest]
    assert more[0][0] == 7 and more[-1][1] < more[0][1] and rest.trainer.done == 1
    assert max(lr for _, lr in more) <= learning_rate(rest.trainer.config, 1 / 3)
    assert s2id.load(tmp_path).card.images_seen == 16 * more[-1][0]


def test_a_run_that_was_stopped_goes_on_when_it_is_iterated_over_again(tmp_path):
    run = digits(tmp_path, images=64)
    for progress in run:
        if progress.step == 2:
            run.stop()
    assert [progress.step for progress in run] == [3, 4]


def test_a_checkpoint_is_written_beside_what_a_killed_process_left(tmp_path):
    facts, tensors = {"step": 1}, {"network/a": torch.zeros(2)}
    write_checkpoint(tmp_path, 64, tensors, facts, 2)
    (final,) = (tmp_path / "checkpoints").iterdir()
    shutil.copytree(final, final.with_name(f"{final.name}-before"))
    write_checkpoint(tmp_path, 64, tensors, {"step": 2}, 2)
    assert json.loads((final / "run.json").read_text())["step"] == 2


def test_a_warm_up_of_the_whole_run_has_a_learning_rate_at_its_end():
    assert learning_rate(TrainConfig(warmup=1.0), 1.0) == pytest.approx(TrainConfig().lr)
