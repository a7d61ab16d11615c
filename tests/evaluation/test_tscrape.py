"""The curve of the loss against t is the published protocol's, for both networks."""

from dataclasses import replace

import pytest
import torch
from conftest import SMALL_PUBLISHED, TINY, enliven

from s2id.data.pictures import Group, Pictures
from s2id.diffusion.process import Schedule
from s2id.errors import InputError
from s2id.evaluation.t_scrape import Curve, Point, t_scrape
from s2id.media.images import resize, to_float
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Card


def pictures(channels=1, size=16):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (30, channels, size, size), dtype=torch.uint8, generator=generator)
    return Pictures("noise", (Group(images, torch.arange(30) % 10),), tuple("0123456789"))


def silent(config=TINY):
    """A network that predicts 0 for every input."""
    model = S2ID(config, Card(density=8, schedule_shift=-1.0)).eval()
    last = model.network.out if config is SMALL_PUBLISHED else model.network.head.out
    last.weight.data.zero_()
    last.bias.data.zero_()
    return model.requires_grad_(False)


def test_predicting_no_eps_costs_its_variance():
    points = list(t_scrape(silent(SMALL_PUBLISHED), pictures(), points=8, batch=30))
    assert [p.t for p in points] == [(i + 0.5) / 8 for i in range(8)]
    assert all(p.with_label == pytest.approx(1, abs=0.05) == p.without for p in points)


def test_predicting_no_x_costs_the_signal_over_the_noise():
    """eps is then said to be x_t / sigma: the error is (alpha / sigma)^2 x^2."""
    data = pictures()
    power = (data.groups[0].images.float() / 127.5 - 1).square().mean().item()
    for point in t_scrape(silent(), data, points=4, batch=30):
        angle = torch.tensor((point.t + 0.008) / 1.008 * torch.pi / 2)
        ratio = angle.cos() ** 2 / torch.tensor(0.008 / 1.008 * torch.pi / 2).cos() ** 2
        assert point.without == pytest.approx(power * (ratio / (1 - ratio)).item(), rel=0.01)


def test_the_loss_is_the_mean_over_times_and_conditions():
    assert Curve((Point(0.25, 1.0, 2.0), Point(0.75, 3.0, 6.0))).loss == 3


def test_a_curve_is_the_same_twice_and_its_picture_is_written(tmp_path):
    model = S2ID(TINY, Card(density=8)).eval().requires_grad_(False)
    enliven(model)
    curves = [Curve(tuple(t_scrape(model, pictures(), points=3, batch=4, density=8))) for _ in range(2)]
    assert curves[0] == curves[1]
    assert curves[0].points[1].with_label != curves[0].points[1].without
    curves[0].plot(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 5_000


def test_no_points_are_refused():
    with pytest.raises(InputError, match="points is 0"):
        next(t_scrape(silent(), pictures(), points=0))


def test_other_channels_and_densities_are_refused():
    with pytest.raises(InputError, match="has 3 channels and the model draws 1"):
        next(t_scrape(silent(), pictures(channels=3)))
    with pytest.raises(InputError, match="density 9 is no multiple of the patch 2"):
        next(t_scrape(silent(), pictures(), density=9))


def test_sides_that_are_no_multiples_of_the_patch_become_states_as_in_training():
    data = pictures(size=9)
    (point,) = t_scrape(silent(replace(TINY, patch=2)), data, points=1, batch=30)
    # as of a network that predicts 0 for states of 8x8 samples, which are means of the pictures
    power = resize(to_float(data.groups[0].images), (8, 8)).square().mean().item()
    alpha, sigma = (a.item() for a in Schedule()(torch.tensor(0.5, dtype=torch.float64)))
    assert point.without == pytest.approx(power * (alpha / sigma) ** 2, rel=0.01)
