"""The linear estimate that a prediction begins at, what convolutions add to it, and how the head hands it on."""

from dataclasses import replace

import pytest
import torch
from conftest import TINY
from toys import KINDS, toys

import s2id
from s2id.condition import Condition
from s2id.diffusion.process import alpha_sigma
from s2id.errors import InputError
from s2id.network.base import state_grid, step_values
from s2id.network.canvas import stretched
from s2id.network.heads import FieldHead, spline_of, spline_weights
from s2id.network.local import SPREAD
from s2id.network.network import FieldNetwork
from s2id.network.settings import EnlargerConfig
from s2id.sampling.model import S2ID
from s2id.shapes import NULL
from s2id.training.distil import draw_trajectories, load_trajectories, student_batches, student_trainer
from s2id.training.guided import guided_student
from s2id.training.presets import PRESETS
from s2id.training.settings import DistillConfig, Preset, StudentConfig
from s2id.training.tasks import task_of

LOCAL = {"canvas": 4, "canvas_width": 8, "local_blocks": 2, "local_width": 8, "channels": 3}


def made(**changes):
    torch.manual_seed(0)
    network = FieldNetwork(replace(TINY, **LOCAL | changes)).eval()
    torch.nn.init.normal_(network.canvas.out.weight, std=0.02)
    return network


def canvas_of(network, size):
    return stretched(network.canvas(network.canvas_code(Condition(torch.tensor([NULL])))), size)


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("logsnr", [-3.0, 2.0])
@torch.no_grad()
def test_an_untrained_network_predicts_the_best_linear_estimate(overlap, logsnr):
    network = made(overlap=overlap, patch=2, lattice=3)
    canvas = canvas_of(network, (12, 8))
    alpha, sigma = alpha_sigma(torch.tensor(logsnr))
    x = canvas + SPREAD * torch.randn(64, 3, 12, 8)
    x_t = alpha * x + sigma * torch.randn_like(x)
    found, clean = network(x_t, torch.full((64,), logsnr))
    assert torch.allclose(found, clean, atol=1e-5)
    noise = (sigma / alpha) ** 2
    assert torch.allclose(found, canvas + (x_t / alpha - canvas) * SPREAD**2 / (SPREAD**2 + noise), atol=1e-5)
    error, least = (found - x).square().mean(), SPREAD**2 * noise / (SPREAD**2 + noise)
    assert error == pytest.approx(least.item(), rel=0.05)
    for other in (0.7 * found + 0.3 * canvas, 0.7 * found + 0.3 * x_t / alpha):
        assert error < (other - x).square().mean()


@torch.no_grad()
def test_the_state_where_there_is_no_noise_and_the_canvas_where_there_is_nothing_else():
    network, x_t = made(), torch.randn(1, 3, 8, 8)
    assert torch.allclose(network(x_t, torch.tensor([20.0]))[0], x_t, atol=1e-3)
    assert torch.allclose(network(x_t, torch.tensor([-20.0]))[0], canvas_of(network, (8, 8)), atol=1e-3)


@torch.no_grad()
def test_convolutions_see_each_samples_neighbours_and_the_noise_level():
    network = made()
    for parameter in network.local.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x_t = torch.zeros(1, 3, 24, 24)
    spot = x_t.clone()
    spot[..., 12, 12] = 1.0
    asked = network.encode(x_t, torch.zeros(1))
    features = torch.zeros(1, 36, 36, TINY.head_width)
    canvas = torch.zeros(1, 3, 24, 24)
    for level in (0.0, 3.0):
        plain, other = (
            network.local(features, state, canvas, torch.tensor([level]), asked.film)[1] for state in (x_t, spot)
        )
        moved = (plain - other).abs().amax((0, 1)) > 0
        assert moved[12, 4] and moved[20, 20]
        assert not moved[12, 3] and not moved[21, 21], "the convolutions reach 1 + 2 + 4 + 1 samples"
    films = [network.encode(x_t, torch.tensor([level])).film for level in (0.0, 3.0)]
    one, two = (network.local(features, spot, canvas, torch.zeros(1), film)[1] for film in films)
    assert not torch.allclose(one, two)


@torch.no_grad()
def test_a_part_of_a_state_gets_its_own_part_of_the_canvas():
    network, x_t = made(patch=2, lattice=3), torch.randn(1, 3, 16, 12)
    whole, part = (network(x_t, torch.zeros(1), part=p)[0] for p in (None, (slice(4, 12), slice(0, 8))))
    assert torch.allclose(whole[:, :, 4:12, 0:8], part, atol=1e-5)


def test_splines_have_the_means_that_are_asked_for():
    means = torch.randn(2, 3, 6, 4)
    samples = spline_of(means, (9, 6))
    rows, columns = (
        spline_weights((torch.arange(n, dtype=torch.float64) + 0.5) * 1.5 - 0.5, 1.5, count).float()
        for n, count in ((6, 9), (4, 6))
    )
    assert torch.allclose(torch.einsum("yh,bhwc,xw->bcyx", rows, samples, columns), means, atol=1e-5)
    assert torch.allclose(spline_of(torch.ones(1, 1, 6, 4), (9, 7)), torch.ones(1, 9, 7, 1), atol=1e-5)
    with torch.inference_mode():
        spline_of(means, (7, 5))
    means.requires_grad_(True)
    spline_of(means, (7, 5)).sum().backward()  # what was kept above is no tensor of inference
    assert means.grad.isfinite().all()


@torch.no_grad()
def test_a_head_hands_differences_on_exactly():
    head = FieldHead(9, 2)
    head.begin_with_differences()
    read, pair = torch.randn(50, 5), torch.randn(50, 2)
    assert torch.allclose(head.values(torch.cat([read, pair, -pair], -1)), pair, atol=1e-6)


def test_a_model_without_it_is_begun_from_and_the_run_resumes(tmp_path):
    tiny = PRESETS["tiny"]
    train = replace(tiny.train, images=64, batch=16, device="cpu", canvas_steps=20, drop_each=0.1)
    plain = Preset("folder", replace(tiny.model, canvas=4, canvas_width=64), train)
    first = s2id.train(toys(KINDS), tmp_path / "first", plain)
    list(first)
    local = replace(plain, model=replace(plain.model, local_blocks=1, local_width=8))
    straight, broken = (s2id.train(toys(KINDS), tmp_path / n, local, start=first.model) for n in "ab")
    begun, known = straight.model.network, first.model.network
    for name in ("stem.weight", "canvas.out.weight", "decoder.0.feed_forward.rise.weight"):
        assert torch.equal(begun.state_dict()[name], known.state_dict()[name])
    assert begun.head.out.in_features == known.head.out.in_features + 6
    losses = [progress.loss for progress in straight]
    for progress in broken:
        if progress.step == 2:
            broken.stop()
    again = s2id.train(toys(KINDS), tmp_path / "b", local, start=first.model, resume="latest")
    assert [progress.loss for progress in again] == losses[2:]
    drawn = s2id.sample(straight.model, s2id.ask(straight.model, words="red"), 0, steps=2)
    drawn.save(tmp_path / "drawn.safetensors")
    assert torch.equal(s2id.Field.load(tmp_path / "drawn.safetensors").render((40, 30)), drawn.render((40, 30)))


def test_training_compares_all_samples_of_the_clean_state(tmp_path):
    tiny = PRESETS["tiny"]
    model = replace(tiny.model, canvas=4, local_blocks=1, local_width=8)
    task = task_of(Preset("folder", model, replace(tiny.train, device="cpu")), toys(KINDS), None)
    batch = task.batch(0, 1.0)
    assert batch.state is not None and batch.state.shape == batch.x_t.shape
    right = task.loss(batch, batch.target, batch.state)
    wrong = batch.state.clone()
    wrong[0, 0, 0, 0] += 1
    assert right == 0 and task.loss(batch, batch.target, wrong) > 0


@torch.no_grad()
def test_solvers_get_the_clean_state_at_its_own_samples_and_the_function_elsewhere():
    network, x_t = made(), 2 * torch.randn(2, 3, 12, 8)
    torch.nn.init.normal_(network.head.out.weight, std=0.3)
    features = network.decode(network.encode(x_t, torch.full((2,), 6.0)))
    assert torch.equal(network.predict(features, (12, 8)), features.state.clamp(-1, 1))
    assert features.state.abs().max() > 1
    finer = network.predict(features, (24, 16))
    values = step_values(network.config)
    assert torch.equal(finer, network.head(features, state_grid((24, 16), features.frame), values, 1.0))
    guided = made(most_guidance=2.0)  # taught its function alone
    features = guided.decode(guided.encode(x_t, torch.zeros(2)), Condition(torch.tensor([NULL] * 2)).weighted(1.0))
    assert not torch.equal(guided.predict(features, (12, 8)), features.state.clamp(-1, 1))


def test_a_clean_state_may_go_beyond_white_where_the_picture_is_white(tmp_path):
    tiny = PRESETS["tiny"]
    model = replace(tiny.model, canvas=4, local_blocks=1, local_width=8)
    task = task_of(Preset("folder", model, replace(tiny.train, device="cpu")), toys(KINDS), None)
    batch = task.batch(0, 1.0)
    white = batch.state >= 1 - 1e-5
    assert white.any()
    assert task.loss(batch, batch.target, torch.where(white, 1.5, batch.state)) < 1e-9
    assert task.loss(batch, batch.target, torch.where(white, 0.5, batch.state)) > 0.01


def test_a_student_is_taught_the_clean_state_that_solvers_get(tmp_path):
    tiny = PRESETS["tiny"]
    train = replace(tiny.train, images=32, batch=16, device="cpu", canvas_steps=5, drop_each=0.1)
    run = s2id.train(toys(KINDS), tmp_path, Preset("folder", replace(tiny.model, canvas=4, local_blocks=1), train))
    list(run)
    sampling = s2id.Sampling(steps=4, guidance=1.0, temperature=0.5)
    config = DistillConfig(pairs=4, times=(1.0, 0.5), sampling=sampling)
    student = StudentConfig(images=16, batch=4)
    list(draw_trajectories(run.model, toys(KINDS), config, student, tmp_path / "drawn"))
    drawn = load_trajectories(tmp_path / "drawn", 4)
    noise = drawn.states[:, 0]
    assert 0.3 < noise.std() < 0.7, "trajectories begin with noise of the asked temperature"
    batches = student_batches(run.model, drawn, config, student)
    first, last = batches(0), batches(1)
    assert torch.equal(first.state, first.target)
    assert last.state.shape == last.x_t.shape
    trainer = student_trainer(run.model, toys(KINDS), drawn, config, student, tmp_path / "student")
    assert trainer.card().temperature == 0.5 and trainer.result().renderer is None
    enlarger = S2ID(EnlargerConfig(width=8, blocks=1), run.model.card)
    teacher = run.model.drawn_by(enlarger)
    trainer = student_trainer(teacher, toys(KINDS), drawn, config, student, tmp_path / "other")
    for made in (trainer.result(), guided_student(teacher, 1.0, 0)):
        assert torch.equal(made.renderer.stem.weight, enlarger.network.stem.weight)


def test_a_correction_needs_a_canvas():
    with pytest.raises(InputError, match="local_blocks is 2 and there is no canvas"):
        FieldNetwork(replace(TINY, local_blocks=2))
