"""A student is asked for what its teacher's trajectories do, and draws in its own few calls."""

from dataclasses import replace

import pytest
import torch
from conftest import enliven

import s2id
from s2id.cli.main import main
from s2id.data.registry import load_pictures
from s2id.diffusion.samplers import ddim
from s2id.errors import InputError
from s2id.evaluation.t_scrape import t_scrape
from s2id.sampling.denoisers import read_out, trained_denoiser
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Card, Sampling
from s2id.sampling.states import unit_noise
from s2id.training.distil import (
    check_teacher,
    draw_trajectories,
    load_trajectories,
    picture_size,
    student_batches,
    student_trainer,
)
from s2id.training.run import checkpoints
from s2id.training.settings import DistillConfig, StudentConfig

CONFIG = DistillConfig(times=(1.0, 0.75, 0.5), pairs=24, sampling=Sampling(4, 1.0))
TRAIN = StudentConfig(images=320, batch=8, lr=1e-2, warmup=0.1, ema=0.9, device="cpu", precision="no")


@pytest.fixture
def teacher(model):
    for parameter in model.network.head.out.parameters():  # within the range of pictures
        parameter.mul_(0.25)
    model.card = Card(data="digits", density=8, size=(8, 8), labels=tuple("0123456789"), schedule_shift=-1.0)
    return model


@pytest.fixture
def pictures():
    return load_pictures("digits")


def trajectories(teacher, pictures, folder, config=CONFIG, train=TRAIN):
    assert list(draw_trajectories(teacher, pictures, config, train, folder))[-1] == config.pairs
    return load_trajectories(folder, config.pairs)


def asked(drawn, batch, call):
    """Which trajectories a batch shows, by its states."""
    place = round((1 - CONFIG.times[call]) * CONFIG.steps)
    return [int((drawn.states[:, place] - one).abs().flatten(1).sum(1).argmin()) for one in batch.x_t]


def test_a_call_that_says_what_is_wanted_steps_onto_the_teachers_next_state(teacher, pictures, tmp_path):
    drawn = trajectories(teacher, pictures, tmp_path)
    give = student_batches(teacher, drawn, CONFIG, TRAIN)
    for call in (0, 1):
        batch = give(call)
        known = trained_denoiser(teacher, (8, 8))

        class Right:
            schedule = known.schedule

            def __call__(self, x_t, t, label=None, target=batch.target):
                return target

        times = torch.tensor(CONFIG.times[call : call + 2], dtype=torch.float64)
        (step,) = ddim(Right(), batch.x_t, times)
        place = round((1 - CONFIG.times[call + 1]) * CONFIG.steps)
        assert torch.allclose(step.x_t, drawn.states[asked(drawn, batch, call), place], atol=1e-4)
        assert torch.allclose(batch.logsnr, known.schedule.logsnr(times[:1].float()).expand(8), atol=1e-4)


def test_the_last_call_is_asked_for_the_function_that_the_teacher_reads_out(teacher, pictures, tmp_path):
    drawn = trajectories(teacher, pictures, tmp_path)
    batch = student_batches(teacher, drawn, CONFIG, TRAIN)(2)
    chosen = asked(drawn, batch, 2)
    field = read_out(teacher, drawn.states[chosen, -1], drawn.asked[torch.tensor(chosen)])
    wanted = torch.cat(list(field.strips(batch.grid)), dim=2)
    assert batch.grid.cell == pytest.approx((1 / 32, 1 / 32))  # four times as dense as the data
    assert torch.allclose(batch.target, wanted, atol=5e-3)
    assert torch.equal(batch.condition.label, drawn.asked.label[chosen])


def test_trajectories_are_drawn_once_and_by_themselves(teacher, pictures, tmp_path):
    config = replace(CONFIG, pairs=60)  # more than are drawn at once
    before = trajectories(teacher, pictures, tmp_path, config)
    (tmp_path / "000001.safetensors").unlink()
    after = trajectories(teacher, pictures, tmp_path, config)
    assert torch.equal(before.states, after.states) and torch.equal(before.pictures, after.pictures)
    assert torch.equal(before.asked.label, after.asked.label)
    assert before.states.shape == (60, 5, 1, 8, 8) and before.pictures.shape[2:] == picture_size(teacher) == (32, 32)


def test_more_trajectories_fill_the_last_file(teacher, pictures, tmp_path):
    few = trajectories(teacher, pictures, tmp_path, replace(CONFIG, pairs=60))
    more = trajectories(teacher, pictures, tmp_path, replace(CONFIG, pairs=70))
    assert len(more) == 70 and torch.equal(more.states[:50], few.states[:50])


def test_a_call_where_the_teachers_states_are_finer_is_refused_at_first(teacher, pictures):
    teacher.card = replace(teacher.card, detail_density=12, detail_time=0.75)
    with pytest.raises(InputError, match="finer states from t = 0.75 on; give no time below"):
        check_teacher(teacher, pictures, CONFIG)
    check_teacher(teacher, pictures, replace(CONFIG, times=(1.0, 0.75)))


def test_trajectories_of_another_teacher_are_refused(teacher, pictures, tmp_path):
    trajectories(teacher, pictures, tmp_path)
    with pytest.raises(InputError, match="another guidance"):
        trajectories(teacher, pictures, tmp_path, replace(CONFIG, sampling=Sampling(4, 2.0)))
    with pytest.raises(InputError, match="another guidance_interval"):
        trajectories(
            teacher, pictures, tmp_path, replace(CONFIG, sampling=Sampling(4, 1.0, guidance_interval=(0.1, 0.6)))
        )
    guided = teacher.guided_by(teacher, 2.0)
    with pytest.raises(InputError, match="another (teacher|autoguidance)"):
        trajectories(guided, pictures, tmp_path)
    finer = S2ID(teacher.config, replace(teacher.card, detail_density=12, detail_time=0.25))
    finer.load_state_dict(teacher.state_dict())
    with pytest.raises(InputError, match="another detail_density"):
        trajectories(finer, pictures, tmp_path)
    teacher.network.stem.weight.mul_(2)
    with pytest.raises(InputError, match="another teacher"):
        trajectories(teacher, pictures, tmp_path)


def test_a_student_learns_what_its_teacher_does_with_a_guide_and_needs_none(teacher, pictures, tmp_path):
    weaker = S2ID(replace(teacher.config, width=8, heads=1), teacher.card)
    enliven(weaker, seed=3)
    guided = teacher.guided_by(weaker, 2.0)
    plain = trajectories(guided, pictures, tmp_path / "plain", replace(CONFIG, sampling=Sampling(4, 1.0, 1.0)))
    moved = trajectories(guided, pictures, tmp_path / "moved")
    assert torch.equal(plain.states, trajectories(teacher, pictures, tmp_path / "teacher").states)
    assert (moved.states[:, -1] - plain.states[:, -1]).abs().max() > 1e-3
    read, alone = (read_out(guided, moved.states[:, -1], moved.asked, autoguidance=w) for w in (2.0, 1.0))
    assert torch.allclose(moved.pictures, read.render((32, 32)), atol=5e-3)
    assert (moved.pictures - alone.render((32, 32))).abs().max() > 2e-2
    made = student_trainer(guided, pictures, moved, CONFIG, TRAIN, tmp_path).result()
    assert made.guide is None and made.card == replace(teacher.card, times=CONFIG.times)


def test_a_student_begins_as_its_teacher_in_few_calls(teacher, pictures, tmp_path):
    drawn = trajectories(teacher, pictures, tmp_path / "trajectories")
    model = student_trainer(teacher, pictures, drawn, CONFIG, TRAIN, tmp_path).result()
    assert model.card == replace(teacher.card, times=CONFIG.times)
    label, times = torch.tensor([3, 5]), torch.tensor(CONFIG.times, dtype=torch.float64)
    denoiser, noise = trained_denoiser(teacher, (8, 8)), unit_noise(teacher, (8, 8), [0, 1])
    with torch.inference_mode():
        *_, last = ddim(denoiser, noise, times, label)
    wanted = read_out(teacher, last.x_t, label, t=0.5).render((16, 16))
    assert torch.allclose(s2id.sample(model, [3, 5], [0, 1]).render((16, 16)), wanted, atol=1e-5)
    assert torch.equal(
        s2id.sample(model, 3, 0, steps=3, guidance=1.0).render((9, 9)), s2id.sample(model, 3, 0).render((9, 9))
    )


def test_a_student_comes_nearer_to_its_teacher(teacher, pictures, tmp_path):
    drawn = trajectories(teacher, pictures, tmp_path / "trajectories")
    run = student_trainer(teacher, pictures, drawn, CONFIG, TRAIN, tmp_path)
    labels, seeds = list(range(10)) * 2, range(20)
    wanted = s2id.sample(teacher, labels, seeds, steps=CONFIG.steps, guidance=1.0).render((16, 16))

    def error():
        return (s2id.sample(run.result(), labels, seeds).render((16, 16)) - wanted).square().mean().item()

    before = error()
    assert list(run.run())[-1].images_seen == TRAIN.images
    assert error() < 0.7 * before
    assert s2id.load(save(run, tmp_path / "model")).card.images_seen == TRAIN.images


def save(run, folder):
    run.result().save_pretrained(folder)
    return folder


def test_distilling_resumes_to_the_bit(teacher, pictures, tmp_path):
    drawn = trajectories(teacher, pictures, tmp_path / "trajectories")

    def run(name):
        return student_trainer(teacher, pictures, drawn, CONFIG, replace(TRAIN, images=80), tmp_path / name)

    straight, first = run("a"), run("b")
    list(straight.run())
    for progress in first.run():
        if progress.step == 4:
            first.stop()
    second = run("b")
    second.resume(checkpoints(tmp_path / "b")[-1])
    list(second.run())
    ours, theirs = second.tensors(), straight.tensors()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    "words, said",
    [
        ({"steps": 7}, "distilled for 3 calls"),
        ({"guidance": 1.5}, "whose guidance is built in"),
        ({"sampling": Sampling(sampler="ddim", eta=1.0)}, "eta cannot be chosen"),
    ],
)
def test_a_student_draws_in_no_other_way(teacher, words, said):
    teacher.card = replace(teacher.card, times=CONFIG.times)
    with pytest.raises(InputError, match=said):
        s2id.sample(teacher, 3, 0, **words)


def test_a_student_neither_restores_nor_teaches(teacher):
    teacher.card = replace(teacher.card, times=CONFIG.times)
    with pytest.raises(InputError, match="draws and does nothing else"):
        s2id.upscale(teacher, torch.zeros(1, 4, 4), (8, 8))
    with pytest.raises(InputError, match="draws and does nothing else"):
        s2id.restore(teacher, torch.zeros(1, 4, 4), (8, 8))
    with pytest.raises(InputError, match="draws and does nothing else"):
        next(t_scrape(teacher, load_pictures("digits")))
    with pytest.raises(InputError, match="distilling needs more; use the model that it was distilled from"):
        check_teacher(teacher, load_pictures("digits"), CONFIG)


def test_a_students_settings_are_those_that_its_training_uses():
    """Settings of a student are settings of training, and those of pictures and densities are not among them."""
    train = StudentConfig(minutes=3.0, seed=5, queries=4.0).training(20)
    assert (train.minutes, train.seed, train.queries, train.densities) == (3.0, 5, 4.0, (20,))
    ignored = {"densities", "detail_density", "schedule_shift", "token_share", "pixelate", "views", "both_conditions"}
    assert not ignored & StudentConfig.__dataclass_fields__.keys()
    assert StudentConfig(images=64).training(20).minutes is None
    with pytest.raises(InputError, match="batch is 0"):
        StudentConfig(batch=0)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        *((times, "give two or more, from 1 down") for times in ((1.0,), (0.9, 0.5), (1.0, 0.0), (1.0, 0.5, 0.5))),
        ((1.0, 0.3), "time 0.3 is between the teacher's steps; choose multiples of 1 / 4"),
    ],
)
def test_times_that_cannot_be_are_refused(times, said):
    with pytest.raises(InputError, match=said):
        DistillConfig(times=times, sampling=Sampling(4))


def test_the_command_distils_and_what_it_writes_draws(teacher, tmp_path, capsys):
    teacher.save_pretrained(tmp_path / "teacher")
    words = "--steps 4 --times 1 0.5 --pairs 16 --images 32 --batch 8 --device cpu --set precision=no".split()
    out = tmp_path / "run"
    assert main(["distill", str(tmp_path / "teacher"), "--out", str(out), *words]) == 0
    assert s2id.load(out / "model").card.times == (1.0, 0.5)
    assert main(["sample", str(out / "model"), "--label", "3", "--size", "16x16", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "label3-seed0-16x16.png").is_file()
    assert main(["sample", str(out / "model"), "--label", "3", "--steps", "20", "--out", str(tmp_path)]) == 2
    assert "distilled for 2 calls" in capsys.readouterr().err
    assert main(["distill", str(out / "model"), "--out", str(tmp_path / "again")]) == 2
    assert "the model that it was distilled from" in capsys.readouterr().err
