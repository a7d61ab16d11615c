"""Windows that the enlarger learns from: truth that agrees with what is given, and runs that resume to the bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from s2id.data.pictures import Group, Pictures
from s2id.errors import InputError
from s2id.media.images import to_float
from s2id.network.settings import EnlargerConfig
from s2id.sampling.sample import sample
from s2id.training import windows
from s2id.training.presets import PRESETS
from s2id.training.tasks import Enlarging, energy_score
from s2id.training.trainer import Trainer
from s2id.training.windows import draw_windows, enlarged_windows, seen

SMALL = replace(PRESETS["graphics"].train, batch=3, densities=(6,), images=12, device="cpu", warmup=0.1)


def drawings(side=64, channels=4):
    """Discs of several colours, transparent around."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    inside = [((y - cy) ** 2 + (x - 30) ** 2 < 400)[None].expand(channels, -1, -1) for cy in (20, 30, 40, 50)]
    colour = torch.tensor([200, 60, 120, 255][-channels:])[:, None, None]
    images = torch.stack([disc * colour for disc in inside]).to(torch.uint8)
    return Pictures("discs", (Group(images, torch.zeros(4, dtype=torch.long)),), ("disc",))


def test_a_batch_is_a_function_of_its_number():
    one, two, other = (draw_windows(drawings(), SMALL, number) for number in (5, 5, 6))
    assert torch.equal(one.x_t, two.x_t) and torch.equal(one.target, two.target)
    assert not torch.equal(one.x_t, other.x_t)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_means_of_the_truth_are_what_is_given(channels, monkeypatch):
    monkeypatch.setattr(windows, "LIKE", {"means": 1.0})
    config = replace(SMALL, queries=1000.0)  # the truth of every given pixel
    for number in range(12):
        batch = draw_windows(drawings(channels=channels), config, number)
        times = batch.target.shape[2] // 6
        assert batch.grid.size == (6 * times, 6 * times)
        assert (F.avg_pool2d(batch.target, times) - batch.x_t).abs().max() <= 1.001 / 127.5 / 2  # rounded to bytes


def test_truth_of_a_part_lies_where_the_grid_says(monkeypatch):
    monkeypatch.setattr(windows, "LIKE", {"means": 1.0})
    monkeypatch.setattr(windows, "_OPAQUE", 1.0)
    for number in range(8):
        batch = draw_windows(drawings(), replace(SMALL, queries=9.0), number)
        pitch = 1 / 6
        for axis in (batch.grid.y, batch.grid.x):
            start = (axis[0].item() - batch.grid.cell[0] / 2 + 0.5) / pitch
            assert abs(start - round(start)) < 1e-9  # whole given pixels
        first = [round((a[0].item() - batch.grid.cell[0] / 2 + 0.5) / pitch) for a in (batch.grid.y, batch.grid.x)]
        times = round(pitch / batch.grid.cell[0])
        found = F.avg_pool2d(batch.target, times)
        part = batch.x_t[:, :, first[0] :, first[1] :][:, :, : found.shape[2], : found.shape[3]]
        assert (found - part).abs().max() < 0.005
        assert torch.equal(batch.near[0], part) and (batch.near[1] >= part).all() and (batch.near[2] <= part).all()


def test_the_loss_forgives_what_setting_means_right_mends(monkeypatch):
    monkeypatch.setattr(windows, "LIKE", {"means": 1.0})
    task = Enlarging(replace(PRESETS["graphics"], train=SMALL), drawings())
    batch = draw_windows(task.pictures, task.config, 0)
    darker = batch.target + 0.2 * (batch.near[2] - batch.near[0]).amin()  # its means are wrong
    assert task.loss(batch, batch.target, None) < 0.002

    def rms(found, target):
        return ((found - target).square().mean((1, 2, 3)) + 1e-6).sqrt().mean()

    assert task.loss(batch, darker, None) < 0.6 * rms(darker, batch.target)
    other = replace(batch, near=batch.near + 0.1)  # a given picture that is no mean of the target, like a JPEG
    assert torch.allclose(task.loss(other, darker, None), rms(darker, batch.target))
    worst = torch.cat([batch.target[:1] + 0.4, batch.target[1:]])
    share = task.loss(other, worst, None) * len(worst)
    assert 0.39 < share < 0.42, "a window counts by its root mean square, not by its square"


@pytest.mark.parametrize("kind", ["means", "points", "jpeg", "palette"])
def test_each_kind_of_picture_shows_the_window(kind, monkeypatch):
    monkeypatch.setattr(windows, "LIKE", {kind: 1.0})
    window = torch.full((4, 48, 48), 255, dtype=torch.uint8)
    window[:3, 16:, 20:] = torch.tensor([180, 40, 90], dtype=torch.uint8)[:, None, None]
    coarse = seen(window, 4, np.random.default_rng(0))
    assert coarse.shape == (4, 12, 12) and coarse.dtype == torch.uint8 and bool((coarse[3] == 255).all())
    exact = F.avg_pool2d(to_float(window), 4)
    assert (to_float(coarse) - exact).abs().mean() < (0.15 if kind == "jpeg" else 0.02)
    assert (kind == "jpeg") == bool((coarse[:3, :, 11] != torch.tensor([180, 40, 90])[:, None]).any(0)[5:].any())


def test_colours_stay_below_their_alpha():
    for number in range(10):
        given = draw_windows(drawings(), SMALL, number).x_t
        assert (given[:, :3] <= given[:, 3:] + 2 / 255).all()


def test_some_borders_rise_in_one_channel_and_fall_in_another(monkeypatch):
    monkeypatch.setattr(windows, "_OPAQUE", 0.0)
    monkeypatch.setattr(windows, "LIKE", {"means": 1.0})
    given = torch.cat([draw_windows(drawings(channels=1), SMALL, number).x_t for number in range(20)])
    away = given[:, :3] - given[:, :3].mean((2, 3), keepdim=True)
    together = (away[:, 0] * away[:, 1]).mean((1, 2))
    assert 0.05 < (together < -1e-3).float().mean() < 0.4 and (together > 1e-3).float().mean() > 0.4


def test_small_pictures_are_refused(tmp_path):
    with pytest.raises(InputError, match="windows of 12x12"):
        Trainer(replace(PRESETS["graphics"], train=SMALL), drawings(side=11), tmp_path)


def small(folder):
    model = EnlargerConfig(width=8, blocks=1, head_width=8)
    return Trainer(replace(PRESETS["graphics"], model=model, train=SMALL), drawings(), folder)


def test_a_run_resumes_to_the_bit_and_learns_no_labels(tmp_path):
    straight = small(tmp_path / "a")
    losses = [progress.loss for progress in straight.run()]
    first = small(tmp_path / "b")
    for progress in first.run():
        if progress.step == 2:
            first.stop()
    again = small(tmp_path / "b")
    again.resume(max((tmp_path / "b" / "checkpoints").iterdir()))
    assert [progress.loss for progress in again.run()] == losses[2:]
    assert all(torch.equal(a, again.tensors()[name]) for name, a in straight.tensors().items())
    model = again.result()
    assert model.card.labels == () and model.config.channels == 4
    assert enlarged_windows(model, drawings(), SMALL).shape == (3, 4 * 48, 2 * 3 * 48)
    model.save_pretrained(tmp_path / "model")
    assert "s2id upscale" in (tmp_path / "model" / "README.md").read_text()
    with pytest.raises(InputError, match="enlarges given pictures"):
        sample(model)


def test_two_draws_are_scored_by_how_likely_the_truth_is_among_them():
    """Where the truth is light or dark by chance, draws that are so too have a better score than the grey between."""
    coin = torch.randint(0, 2, (3, 4000, 1, 1, 1), generator=torch.Generator().manual_seed(0)) * 2.0 - 1
    truth, one, other = coin.expand(-1, -1, 1, 4, 4)
    fair = energy_score([one, other], truth, (2, 2))
    for wrong in ([0 * one, 0 * other], [one, one], [0.5 * one, 0.5 * other], [1.5 * one, 1.5 * other]):
        assert fair < energy_score(wrong, truth, (2, 2)) - 0.02
    alone, alike = energy_score([one], truth, (2, 2)), energy_score([one, one], truth, (2, 2))
    assert abs(alone - alike) < 0.001, "two draws that do not differ are one"


def test_a_run_that_invents_begins_with_one_that_does_not(tmp_path):
    start = small(tmp_path / "a")
    assert len(list(start.run())) == 4
    preset = replace(PRESETS["graphics"], model=EnlargerConfig(width=8, blocks=1, head_width=8, noise_channels=2))
    run = Trainer(replace(preset, train=SMALL), drawings(), tmp_path / "b", start=start.result())
    stem = run.network.stem.weight
    assert torch.equal(stem[:, :12], start.result().network.stem.weight) and stem[:, 12:].abs().min() > 0
    batch = run.task.batch(0, 1.0)
    assert batch.x_t.shape == (6, 6, 6, 6) and torch.equal(batch.x_t[:3, :4], batch.x_t[3:, :4])
    assert not torch.equal(batch.x_t[:3, 4:], batch.x_t[3:, 4:]) and len(batch.target) == 3
    assert len(list(run.run())) == 4 and run.result().config.invents
    assert enlarged_windows(run.result(), drawings(), SMALL).shape == (3, 4 * 48, 2 * 3 * 48)
    with pytest.raises(InputError, match="another network"):
        Trainer(replace(preset, train=SMALL, model=start.model), drawings(), tmp_path / "c", start=run.result())
