"""A student that guides itself is asked for its teacher's guided predictions; it needs one call under one condition."""

from dataclasses import replace

import pytest
import torch
from conftest import enliven

import s2id
from s2id.cli.main import main
from s2id.condition import Condition
from s2id.coords import extent, view
from s2id.data.registry import load_pictures
from s2id.diffusion.guidance import Guided, Push, clipped
from s2id.diffusion.process import Schedule
from s2id.errors import InputError
from s2id.evaluation.t_scrape import t_scrape
from s2id.network.base import step_values
from s2id.sampling.denoisers import guided_denoiser, read_out, trained_denoiser
from s2id.sampling.model import S2ID
from s2id.sampling.sample import compose
from s2id.sampling.settings import Card, Sampling
from s2id.sampling.states import unit_noise
from s2id.training.batches import Batch
from s2id.training.distil import draw_trajectories, load_trajectories, student_batches, student_trainer
from s2id.training.guided import MOST_GUIDANCE, answers, check_guided_teacher, guided_student, guided_trainer
from s2id.training.run import checkpoints
from s2id.training.settings import DistillConfig, StudentConfig

TRAIN = StudentConfig(images=480, batch=16, lr=3e-3, warmup=0.1, ema=0.9, device="cpu", precision="no")
AUTO = 1.5


@pytest.fixture
def teacher(model):
    """A small model with a guide."""
    card = Card(data="digits", density=8, size=(8, 8), labels=tuple("0123456789"), schedule_shift=-1.0)
    model.card, weaker = card, S2ID(replace(model.config, width=8, heads=1), card)
    enliven(weaker, seed=3)
    for one in (model, weaker):
        for parameter in one.network.head.out.parameters():  # within the range of pictures
            parameter.data.mul_(0.25)
    return model.guided_by(weaker, AUTO)


@pytest.fixture
def pictures():
    return load_pictures("digits")


def batch_of(weights, x_t, logsnr, size, values=None, labels=(3, 5, -1)):
    asked = Condition(torch.tensor(labels)).weighted(torch.tensor(weights))
    grid = view(size, extent(size), fit="stretch")
    return Batch(x_t, logsnr, asked, extent(size), grid, values, torch.zeros(len(x_t), 1, *size), None, None)


def test_the_target_is_what_guidance_and_guide_give_together(teacher):
    denoiser = guided_denoiser(teacher, (8, 8), autoguidance=AUTO)
    x_t, t = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0.9, 0.5, 0.2])
    values = step_values(teacher.config)
    given = batch_of([1.0, 3.0, 2.0], x_t, denoiser.schedule.logsnr(t), (8, 8), values)
    found = answers(teacher, given, AUTO)
    for i, weight in enumerate([1.0, 3.0, 2.0]):
        one = slice(i, i + 1)
        wanted = Guided(denoiser, weight)(x_t[one], t[one], given.condition.label[one])
        assert torch.allclose(found[one], wanted.clamp(-1, 1), atol=1e-5)
    plain = answers(teacher, batch_of([torch.nan] * 3, x_t, given.logsnr, (8, 8), values), AUTO)
    wanted = trained_denoiser(teacher, (8, 8))(x_t, t, given.condition.label)
    assert torch.allclose(plain, wanted, atol=1e-5) and (plain - found).abs().max() > 1e-2


def test_the_target_of_a_state_without_noise_is_the_function_that_the_teacher_reads_out(teacher):
    state = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    given = batch_of([1.0, 1.0, 1.0], state, teacher.schedule.logsnr(torch.zeros(3)), (32, 32))
    wanted = read_out(teacher, state, given.condition.label, autoguidance=AUTO)
    found = answers(teacher, given, AUTO, reading=True)
    assert torch.allclose(found[..., 8:-8, 8:-8], wanted.render((32, 32))[..., 8:-8, 8:-8], atol=1e-4)


def test_batches_hold_every_kind_of_question(teacher, pictures, tmp_path):
    teacher.card = replace(teacher.card, density=4, detail_density=8, detail_time=0.4)
    run = guided_trainer(teacher, pictures, AUTO, TRAIN, tmp_path)
    batches = [run._batch(number) for number in range(8)]
    weights = torch.cat([one.condition.guidance for one in batches])
    told = weights[~weights.isnan()]
    assert told.min() >= 1 and told.max() <= MOST_GUIDANCE and (told > 1.2).any()
    assert 0.1 < weights.isnan().float().mean() < 0.3
    read = batches[0]  # the finest states, without noise, as pixels finer than the data's
    assert read.x_t.shape[2:] == (8, 8) and read.grid.cell[0] == pytest.approx(1 / 32)
    assert torch.equal(read.logsnr, teacher.schedule.at_density(2.0).logsnr(torch.zeros(16)))
    assert {one.x_t.shape[2:] for one in batches} == {(4, 4), (8, 8)}
    assert all(one.target.shape[2:] == (one.x_t.shape[2:] if i % 2 else one.grid.size) for i, one in enumerate(batches))
    assert all(torch.equal(one.target, run._batch(i).target) for i, one in enumerate(batches[:2]))


def test_a_student_begins_as_its_teacher_without_guidance(teacher):
    student = guided_student(teacher, AUTO, seed=0)
    x_t, logsnr = torch.randn(2, 1, 8, 8), torch.tensor([0.0, 2.0])
    asked = s2id.ask(teacher, 3)[torch.zeros(2, dtype=torch.long)]
    for condition in (asked, asked.weighted(4.0)):
        assert torch.equal(student.network(x_t, logsnr, condition), teacher.network(x_t, logsnr, asked))
    assert student.guide is None and student.card == replace(teacher.card, autoguidance=AUTO)
    again = guided_student(teacher, AUTO, seed=0).tensors()
    assert all(torch.equal(again[name], tensor) for name, tensor in student.tensors().items())


@pytest.mark.slow
def test_a_student_comes_nearer_to_its_teachers_guided_pictures(teacher, pictures, tmp_path):
    run = guided_trainer(teacher, pictures, AUTO, TRAIN, tmp_path)
    labels, seeds = list(range(10)), range(10)

    def error(guidance):
        drawn = (s2id.sample(one, labels, seeds, steps=4, guidance=guidance) for one in (run.result(), teacher))
        return torch.sub(*(one.render((16, 16)) for one in drawn)).square().mean().item()

    before = [error(guidance) for guidance in (1.0, 3.0)]
    assert list(run.run())[-1].images_seen == TRAIN.images
    assert all(error(guidance) < 0.3 * old for guidance, old in zip((1.0, 3.0), before, strict=True))
    run.result().save_pretrained(tmp_path / "model")
    made = s2id.load(tmp_path / "model")
    assert made.config.most_guidance == MOST_GUIDANCE and made.card.images_seen == TRAIN.images
    assert (made.network.guidance_film.out.weight != 0).all()


def test_training_resumes_to_the_bit_and_with_its_own_teacher_only(teacher, pictures, tmp_path):
    def run(name, teacher=teacher, autoguidance=AUTO):
        return guided_trainer(teacher, pictures, autoguidance, replace(TRAIN, images=64), tmp_path / name)

    straight, first = run("a"), run("b")
    list(straight.run())
    for progress in first.run():
        if progress.step == 2:
            first.stop()
    second = run("b")
    second.resume(checkpoints(tmp_path / "b")[-1])
    list(second.run())
    ours, theirs = second.tensors(), straight.tensors()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    with pytest.raises(InputError, match="begun with another autoguidance"):
        run("b", autoguidance=2.0)
    teacher.guide.stem.weight.data.mul_(2)
    with pytest.raises(InputError, match="begun with another teacher"):
        run("b")
    (tmp_path / "b" / "teacher.json").write_text("[1")
    with pytest.raises(InputError, match="cannot be read"):
        run("b")


@pytest.fixture
def student(teacher):
    """A model that guides itself, with weights that no training made."""
    made = guided_student(teacher, AUTO, seed=0).eval().requires_grad_(False)
    enliven(made.network.guidance_film, seed=1)
    return made


def test_a_student_needs_one_call_under_one_condition(student, monkeypatch):
    calls = []
    decode = type(student.network).decode
    monkeypatch.setattr(type(student.network), "decode", lambda *a: calls.append(a[2].guidance) or decode(*a))
    sampling = Sampling(steps=4, guidance=3.0, sampler="ddim", guidance_interval=(0.4, 0.8))
    s2id.sample(student, [3, 5], [0, 1], sampling)
    # t = 1, 0.75, 0.5 and 0.25 with guidance at the two in the middle; the function is read out without
    assert [call.tolist() for call in calls] == [[weight] * 2 for weight in (1.0, 3.0, 3.0, 1.0, 1.0)]


def test_without_autoguidance_a_student_is_guided_as_its_teacher_was(student, teacher):
    plain = Sampling(steps=3, guidance=2.0, autoguidance=1.0)
    drawn = [s2id.sample(one, 3, 0, plain).render((8, 8)) for one in (student, teacher)]
    assert torch.equal(*drawn)
    assert not torch.equal(drawn[0], s2id.sample(student, 3, 0, steps=3, guidance=2.0).render((8, 8)))


def test_a_student_restores_as_its_teacher_does(student, teacher):
    low = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(*(s2id.upscale(one, low, (16, 16), 3) for one in (student, teacher)))
    two = Sampling(steps=2, guidance=1.5)
    restored = (s2id.restore(one, low, (8, 8), label=3, seeds=[0, 1], sampling=two) for one in (student, teacher))
    assert torch.equal(*(one.fields.render((8, 8)) for one in restored))
    points = (next(t_scrape(one, load_pictures("digits"), points=1, batch=4)) for one in (student, teacher))
    assert next(points) == next(points)


@pytest.mark.parametrize(
    "words, said",
    [
        ({"guidance": 6.0}, "learned weights from 1 to 5"),
        ({"guidance": 0.5}, "learned weights from 1 to 5"),
        ({"sampling": Sampling(autoguidance=3.0)}, "learned it with the weight 1.5"),
    ],
)
def test_what_a_student_did_not_learn_is_refused(student, words, said):
    with pytest.raises(InputError, match=said):
        s2id.sample(student, 3, 0, **words)


def test_who_cannot_teach_or_guide_is_refused(student, teacher, pictures):
    check_guided_teacher(teacher, pictures)
    with pytest.raises(InputError, match="guides itself already"):
        check_guided_teacher(student, pictures)
    with pytest.raises(InputError, match="takes no guide and is none"):
        teacher.guided_by(student, 2.0)
    for changed, said in (
        ({"times": (1.0, 0.5)}, "distilled"),
        ({"labels": tuple("abcdefghij")}, "other labels"),
        ({"observe": "area:4"}, "pixelated pictures only"),
    ):
        with pytest.raises(InputError, match=said):
            check_guided_teacher(S2ID(teacher.config, replace(teacher.card, **changed)), pictures)


def test_the_command_distils_guidance_and_what_it_writes_draws(teacher, tmp_path, capsys):
    teacher.save_pretrained(tmp_path / "teacher")
    words = ["distill", str(tmp_path / "teacher"), "--guidance-only", "--out", str(tmp_path / "run")]
    words += "--images 32 --batch 8 --device cpu --set precision=no".split()
    assert main([*words, "--steps", "20"]) == 2
    assert "give --autoguidance alone" in capsys.readouterr().err
    assert main([*words, "--autoguidance", "2"]) == 0
    made = s2id.load(tmp_path / "run" / "model")
    assert made.config.guided and made.card.autoguidance == 2 and not made.card.times
    draw = ["sample", str(tmp_path / "run" / "model"), "--label", "3", "--size", "16x16", "--steps", "2"]
    assert main([*draw, "--guidance", "2", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "label3-seed0-16x16.png").is_file()
    assert main([*words, "--resume", "latest", "--autoguidance", "1.5"]) == 2
    assert "another autoguidance" in capsys.readouterr().err


def test_a_student_that_guides_itself_teaches_a_student_of_few_calls(student, pictures, tmp_path):
    config = DistillConfig(times=(1.0, 0.5), pairs=8, sampling=Sampling(4, 2.0, sampler="ddim"))
    list(draw_trajectories(student, pictures, config, TRAIN, tmp_path))
    drawn = load_trajectories(tmp_path, config.pairs)
    made = student_trainer(student, pictures, drawn, config, TRAIN, tmp_path).result()
    assert made.card.times == (1.0, 0.5)
    # in its first call, the student asks its teacher's question at its teacher's weight of guidance
    x_t, logsnr, asked = drawn.states[:, 0], student.schedule.logsnr(torch.ones(8)), drawn.asked
    assert torch.allclose(
        made.network(x_t, logsnr, asked.weighted(1.0)), student.network(x_t, logsnr, asked.weighted(2.0)), atol=1e-5
    )
    batch = student_batches(student, drawn, config, TRAIN)(0)
    assert torch.equal(batch.condition.guidance, torch.ones(TRAIN.batch))
    assert s2id.sample(made, 3, 0).render((8, 8)).isfinite().all()


def test_sums_of_conditions_are_extrapolated_from_answers_at_weight_one():
    class Known:
        """Answers with the class plus ten times the weight of guidance."""

        schedule = Schedule()

        def __call__(self, x_t, t, label=None):
            return self.under_each(x_t, t, [label])[0]

        def under_each(self, x_t, t, labels, size=None):
            return [(one.label + 10 * one.guidance).reshape(-1, 1, 1, 1) for one in labels]

    toward, away = (Condition(torch.tensor([n, n])).weighted(1.0) for n in (7, 4))
    guided = Guided(Known(), 3.0, [Push(2.0, toward, away)], interval=(0.4, 0.8), learned=True)
    found = guided(torch.zeros(2, 1, 1, 1), torch.tensor([0.5, 0.9]), torch.tensor([5, 6]))
    assert found.flatten().tolist() == [5 + 30 + 2 * (7 - 4), 6 + 10]  # at 0.9, the condition does not guide


def test_a_student_avoids_and_weighs_single_labels_as_its_answers_say(student):
    stronger = Sampling(steps=1, guidance=2.0, sampler="ddim", stronger=(("label", 3.0),))
    (step,) = compose(student, torch.tensor([3]), [0], stronger)
    noise = unit_noise(student, (8, 8), [0])
    asked, nothing = (Condition(torch.tensor([label])) for label in (3, -1))
    each = [asked.weighted(2.0), asked.weighted(1.0), nothing.weighted(1.0)]
    own, plain, empty = trained_denoiser(student, (8, 8)).under_each(noise, torch.ones(1), each)
    assert torch.allclose(step.denoised, clipped(own + plain - empty, own), atol=1e-5)
    avoiding = Sampling(steps=1, guidance=2.0, sampler="ddim")
    (step,) = compose(student, torch.tensor([3]), [0], avoiding, avoid=asked)
    assert torch.allclose(step.denoised, clipped(own - 2 * (plain - empty), own), atol=1e-5)


def test_a_network_without_weights_of_guidance_refuses_one(network):
    asked = Condition(torch.tensor([3])).weighted(2.0)
    with pytest.raises(InputError, match="this network takes none"):
        network()(torch.zeros(1, 1, 8, 8), torch.zeros(1), asked)
