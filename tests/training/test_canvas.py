"""The picture that a condition alone lets expect: taught first, then fixed, and seen by every token."""

from dataclasses import replace
from itertools import count

import pytest
import torch
from conftest import TINY
from toys import KINDS, toys

import s2id
from s2id.condition import Condition
from s2id.errors import InputError
from s2id.media.images import to_float
from s2id.network.canvas import Canvas, stretched
from s2id.network.network import FieldNetwork
from s2id.training.canvas import teach_canvas
from s2id.training.presets import PRESETS
from s2id.training.settings import Preset

PART = (slice(4, 12), slice(0, 8))


def preset(steps=150, **changes):
    tiny, model = PRESETS["tiny"], {"canvas": 4, "canvas_width": 64}
    given = {"images": 64, "batch": 16, "device": "cpu", "canvas_steps": steps, "drop_each": 0.1, **changes}
    return Preset("folder", replace(tiny.model, **model), replace(tiny.train, **given))


def canvases(model, **asked):
    network = model.network
    return network.canvas(network.canvas_code(s2id.ask(model, **asked))).detach()


@pytest.mark.parametrize("blocks", [0, 1])
def test_a_canvas_is_the_mean_picture_of_a_condition(tmp_path, blocks):
    pictures = toys(KINDS)
    given = preset(800)
    run = s2id.train(pictures, tmp_path, replace(given, model=replace(given.model, canvas_blocks=blocks)))
    list(run)
    truth = torch.nn.functional.avg_pool2d(to_float(pictures.groups[0].images), 2)
    drawn = torch.cat([canvases(run.model, words=text) for text in pictures.groups[0].texts])
    assert (drawn - truth).square().mean() < 0.02
    spread = (truth - truth.mean(0)).square().mean()
    assert (canvases(run.model) - truth.mean(0)).square().mean() < 0.1 * spread
    assert (canvases(run.model, words="red") - truth[:4].mean(0)).square().mean() < 0.1 * spread


@pytest.mark.parametrize(("pictures", "steps"), [(16, 100), (64, 225)])
def test_a_canvas_sees_each_picture_as_often_however_many_there_are(tmp_path, pictures, steps):
    run = s2id.train(toys(KINDS * (pictures // len(KINDS))), tmp_path, preset(None))
    asked = []
    teach_canvas(run.trainer.network, run.trainer.pictures, run.trainer.config, lambda: bool(asked.append(1)))
    assert len(asked) == steps


def test_a_canvas_takes_a_fifth_of_a_runs_minutes_at_most(tmp_path):
    run = s2id.train(toys(KINDS), tmp_path, preset(100_000), minutes=0.01)
    asked = []
    teach_canvas(run.trainer.network, run.trainer.pictures, run.trainer.config, lambda: bool(asked.append(1)))
    assert len(asked) < 10_000  # 100,000 steps take minutes


def test_the_time_that_a_canvas_takes_is_part_of_a_runs_minutes(tmp_path, monkeypatch):
    run = s2id.train(toys(KINDS), tmp_path, preset(1), minutes=1)
    taught, ticks = [], count(0.0, 1e-6)
    monkeypatch.setattr("s2id.training.trainer.teach_canvas", lambda *_: taught.append(12.0))
    monkeypatch.setattr("s2id.training.trainer.time.perf_counter", lambda: sum(taught) + next(ticks))
    next(iter(run))
    assert run.trainer.begun == pytest.approx(12 / 60, abs=1e-4)
    assert run.trainer.done > run.trainer.begun


def test_a_runs_own_steps_leave_the_canvas_as_it_was_taught(tmp_path):
    run = s2id.train(toys(KINDS), tmp_path, preset(20))
    after = []
    for progress in run:
        if progress.step in (1, 4):
            after.append([p.clone() for p in run.trainer.network.canvas.parameters()])
    assert all(map(torch.equal, *after))
    assert all(map(torch.equal, after[0], run.model.network.canvas.parameters()))
    assert not any(p.requires_grad for p in run.trainer.network.canvas.parameters())


def test_a_run_with_a_canvas_resumes_to_the_bit(tmp_path):
    straight, broken = (s2id.train(toys(KINDS), tmp_path / name, preset(20)) for name in "ab")
    losses = [progress.loss for progress in straight]
    for progress in broken:
        if progress.step == 2:
            broken.stop()
    assert [
        progress.loss for progress in s2id.train(toys(KINDS), tmp_path / "b", preset(20), resume="latest")
    ] == losses[2:]


@pytest.mark.parametrize("after", [0, 7, 20])
def test_a_run_that_is_stopped_while_the_canvas_is_taught_teaches_it_anew(tmp_path, monkeypatch, after):
    stopped, straight = (s2id.train(toys(KINDS), tmp_path / name, preset(20)) for name in "ab")
    asked = iter([False] * after)
    monkeypatch.setattr(stopped.trainer, "_agree_to_stop", lambda: next(asked, True))
    assert not list(stopped)
    monkeypatch.undo()
    losses = [progress.loss for progress in straight]
    again = s2id.train(toys(KINDS), tmp_path / "a", preset(20), resume="latest")
    assert [progress.loss for progress in again] == losses


def test_a_canvas_that_was_taught_is_not_lost_when_the_run_breaks(tmp_path, monkeypatch):
    broken, straight = (s2id.train(toys(KINDS), tmp_path / name, preset(20)) for name in "ab")
    monkeypatch.setattr(broken.trainer, "_step", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(broken)
    losses = [progress.loss for progress in straight]
    again = s2id.train(toys(KINDS), tmp_path / "a", preset(20), resume="latest")
    monkeypatch.setattr("s2id.training.trainer.teach_canvas", lambda *_: pytest.fail("it is taught anew"))
    assert [progress.loss for progress in again] == losses


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_canvas_of_more_samples_than_the_state_trains_in_every_precision(tmp_path, precision):
    """Shrinking it is an interpolation that a CPU does not have in bfloat16."""
    finer = preset(20, precision=precision)
    run = s2id.train(toys(KINDS), tmp_path, replace(finer, model=replace(finer.model, canvas=16)))
    assert len([progress.loss for progress in run]) == 4
    truth = toys(KINDS).groups[0].images.float().mean(0) / 127.5 - 1
    drawn = torch.nn.functional.avg_pool2d(canvases(run.model), 2)
    assert (drawn - truth).square().mean() < truth.square().mean()


def test_a_model_to_begin_with_keeps_its_canvas_unless_there_are_new_words(tmp_path):
    first = s2id.train(toys(KINDS), tmp_path / "a", preset(20))
    list(first)
    known = first.model.network.canvas.state_dict()
    same = s2id.train(toys(KINDS), tmp_path / "b", preset(20), start=first.model)
    list(same)
    assert all(torch.equal(known[name], value) for name, value in same.model.network.canvas.state_dict().items())
    texts = tuple(text.replace("red", "ruby") for text in toys(KINDS).groups[0].texts)
    other = replace(toys(KINDS), groups=(replace(toys(KINDS).groups[0], texts=texts),))
    later = s2id.train(other, tmp_path / "c", preset(400), start=first.model)
    grown = later.model.network.canvas.asked.words.weight
    assert torch.equal(grown[:8], known["asked.words.weight"]) and torch.allclose(grown[8], grown[:8].mean(0))
    list(later)
    red = torch.nn.functional.avg_pool2d(to_float(toys(KINDS).groups[0].images[0]), 2)
    assert (canvases(later.model, words="ruby above") - red).square().mean() < 0.05


def test_a_run_with_another_canvas_teaches_it_and_keeps_all_other_weights(tmp_path):
    first = s2id.train(toys(KINDS), tmp_path / "a", preset(20))
    list(first)
    known = first.model.network.state_dict()
    other = preset(400)
    other = replace(other, model=replace(other.model, canvas=8, canvas_width=48))
    later = s2id.train(toys(KINDS), tmp_path / "b", other, start=first.model)
    begun = later.trainer.network.state_dict()
    rest = [name for name in known if not name.startswith("canvas.")]
    assert len(rest) > 40 and all(torch.equal(begun[name], known[name]) for name in rest)
    list(later)
    truth = to_float(toys(KINDS).groups[0].images[:1])
    assert (canvases(later.model, words=toys(KINDS).groups[0].texts[0]) - truth).square().mean() < 0.05
    without = replace(other, model=replace(other.model, canvas=0))
    with pytest.raises(InputError, match="another network"):
        s2id.train(toys(KINDS), tmp_path / "c", without, start=first.model)


def test_tokens_of_a_part_see_the_canvas_as_within_the_whole(network):
    for overlap in (False, True):
        made = network(canvas=4, canvas_width=8, overlap=overlap, channels=3, words=5)
        torch.nn.init.normal_(made.canvas.out.weight)
        asked = Condition(torch.tensor([2]), words=torch.tensor([[1, 4]]))
        x_t = torch.randn(1, 3, 16, 12)
        canvas = stretched(made.canvas(made.canvas_code(asked)), (16, 12))
        whole, part = (made._canvas_tokens(canvas, made.encode(x_t, torch.zeros(1), part=p)) for p in (None, PART))
        assert whole.shape == (1, 8, 6, 16) and torch.equal(whole[:, 2:6, 0:4], part)


def test_blocks_change_nothing_at_first_and_then_each_square_by_all_others():
    canvas, code = Canvas(replace(TINY, canvas=8, canvas_width=8, canvas_blocks=2, channels=3)), torch.randn(2, 8)
    torch.nn.init.normal_(canvas.out.weight)
    corrected, correction = canvas(code), canvas.correction
    canvas.correction = None
    plain = canvas(code)
    assert torch.equal(corrected, plain)
    canvas.correction = correction
    torch.nn.init.normal_(correction.fall.weight)
    assert not torch.allclose(canvas(code), plain, atol=0.1)
    other = plain.clone()
    other[..., :4, :4] += 1
    changed = (correction(other) - correction(plain)).abs().amax((0, 1))
    assert changed.shape == (8, 8) and (changed > 1e-4).all()


@pytest.mark.parametrize(("steps", "corrected"), [(12, False), (14, True)])
def test_the_last_steps_alone_teach_the_correction_unless_it_was_taught(tmp_path, steps, corrected):
    given = preset(20)
    run = s2id.train(toys(KINDS), tmp_path, replace(given, model=replace(given.model, canvas_blocks=1)))
    canvas = run.trainer.network.canvas

    def teach(steps):
        asked = iter([False] * steps)
        teach_canvas(run.trainer.network, run.trainer.pictures, run.trainer.config, lambda: next(asked, True))
        return canvas.correction.fall.weight.clone()

    taught = teach(steps)
    assert bool(taught.any()) == corrected
    assert torch.equal(teach(2), taught) != corrected


def test_a_short_run_leaves_the_correction_out(tmp_path):
    given = preset(20)
    given = replace(given, model=replace(given.model, canvas_blocks=1))
    for minutes, corrected in ((29, False), (30, True)):
        run = s2id.train(toys(KINDS), tmp_path / str(minutes), given, minutes=minutes)
        teach_canvas(run.trainer.network, run.trainer.pictures, run.trainer.config)
        assert bool(run.trainer.network.canvas.correction.fall.weight.any()) == corrected


def test_blocks_are_added_to_a_canvas_that_was_taught_which_is_then_taught_again(tmp_path):
    first = s2id.train(toys(KINDS), tmp_path / "a", preset(20))
    list(first)
    given = preset(20)
    given = replace(given, model=replace(given.model, canvas_blocks=2))
    later = s2id.train(toys(KINDS), tmp_path / "b", given, start=first.model)
    known, begun = (one.network.state_dict() for one in (first.model, later.model))
    assert all(torch.equal(begun[name], known[name]) for name in known)
    list(later)
    taught = later.model.network.canvas.state_dict()
    assert not torch.equal(taught["out.weight"], known["canvas.out.weight"])
    assert taught["correction.fall.weight"].abs().max() > 0


def test_a_canvas_changes_what_is_drawn_and_goes_the_way_between_two_conditions(network):
    made = network(canvas=4, canvas_width=8, words=5)
    torch.nn.init.normal_(made.canvas.out.weight)
    asked, toward = (Condition(torch.tensor([2]), words=torch.tensor([[word]])) for word in (1, 4))
    ends = [made.canvas_code(one) for one in (asked, toward)]
    halfway = replace(asked, toward=toward, share=torch.tensor([0.5]))
    assert torch.allclose(made.canvas_code(halfway), sum(ends) / 2)
    x_t = torch.randn(1, 1, 8, 8)
    drawn = made(x_t, torch.zeros(1), asked)
    made.canvas.out.weight.zero_()
    assert not torch.allclose(drawn, made(x_t, torch.zeros(1), asked), atol=1e-3)


def test_a_canvas_is_refused_where_no_whole_picture_is_seen(tmp_path):
    with pytest.raises(InputError, match="leave out canvas or pixelate"):
        s2id.train(toys(KINDS), tmp_path, preset(pixelate="area:2"))
    with pytest.raises(InputError, match="leave out canvas or the autoencoder"):
        FieldNetwork(replace(TINY, canvas=4, latents=4))


@pytest.mark.parametrize("canvas", [0, 6])
def test_blocks_are_refused_where_the_canvas_has_no_whole_squares(canvas):
    with pytest.raises(InputError, match=f"canvas_blocks is 1 and canvas is {canvas}; make canvas a multiple of 4"):
        replace(TINY, canvas=canvas, canvas_blocks=1)
