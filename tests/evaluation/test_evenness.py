"""Ripple and beading of pictures whose ripple and beads are known, and of none where there are none."""

import math
from dataclasses import replace

import pytest
import torch
from conftest import TINY, enliven
from torch.nn import functional as F

from s2id.data.pictures import Group, Pictures
from s2id.errors import InputError
from s2id.evaluation.beading import FINE, bars, beading, colours, found_beading
from s2id.evaluation.evenness import evenness_rows
from s2id.evaluation.ripple import GREY, Grids, ripple
from s2id.evaluation.samples import Samples
from s2id.evaluation.settings import EvaluateConfig
from s2id.media.images import resize, to_bytes
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Card, Sampling

SIZE = (16, 16)
GRIDS = Grids((8, 8), (24, 24))


def places(side=128):
    """Rows and columns of a render in units of the frame."""
    place = (torch.arange(side) + 0.5) / side
    return place[:, None], place


def waved(grid, grey=2.0):
    """A render with a wave of `grey` levels root mean square on each axis, as often as the grid repeats."""
    y, x = ((2 * torch.pi * grid * place).cos() for place in places())
    return (2**0.5 * grey / GREY * (y + x))[None, None]


@pytest.mark.parametrize(("grid", "name"), [(8, "token"), (24, "lattice")])
def test_a_lattice_is_told_by_its_period(grid, name):
    found = ripple(waved(grid), torch.zeros(1, 1, *SIZE), GRIDS)
    other = {"token": found.lattice, "lattice": found.token}[name]
    assert found.rms.item() == pytest.approx(8**0.5, rel=0.05)
    assert getattr(found, name).item() == pytest.approx(8**0.5, rel=0.05) and other.item() < 0.1


def test_noise_is_ripple_but_no_lattice():
    noise = 2 / GREY * torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    found = ripple(noise, torch.zeros(1, 3, *SIZE), GRIDS)
    assert found.rms.item() == pytest.approx(2, rel=0.05) and max(found.token, found.lattice) < 0.1
    assert found.flat.item() == pytest.approx((14 / 16) ** 2)


def test_a_slow_gradient_is_no_ripple_and_an_edge_is_not_flat():
    y, x = places()
    slope = ((16 * x + 8 * y) / GREY).expand(1, 1, 128, 128)  # a grey level per data pixel
    assert ripple(slope, torch.zeros(1, 1, *SIZE)).rms.item() < 1e-3
    edge = torch.where(x < 0.5, -1.0, 1.0).expand(1, 1, 128, 128)
    found = ripple(edge, resize(edge, SIZE))
    assert found.rms.item() == 0 and found.flat.item() == pytest.approx(14 * 12 / 256)
    assert ripple(waved(40), resize(waved(40, 60), (32, 32))).flat.item() < 0.1  # ripple that the base shows


def test_white_that_is_not_white_is_measured_where_it_should_be_white():
    white = torch.ones(2, 1, *SIZE)
    render = torch.ones(2, 1, 128, 128) - 3 / GREY
    render[:, :, 64, 64] = 1 - 10 / GREY
    found = ripple(render, torch.cat([white[:1], 0.5 * white[1:]]))
    assert found.off_white[0].item() == pytest.approx(3, rel=0.01)
    assert found.off_white_worst[0].item() == pytest.approx(10, rel=1e-3)
    assert found.off_white[1].isnan() and found.off_white_worst[1].isnan()  # grey has nothing to be white
    unflat = ripple(torch.rand(1, 1, 128, 128), torch.rand(1, 1, *SIZE))
    assert unflat.rms.isnan() and unflat.off_white_worst.isnan()


def test_a_render_of_another_size_is_refused():
    with pytest.raises(InputError, match="whole multiple"):
        ripple(torch.zeros(1, 1, 100, 100), torch.zeros(1, 1, *SIZE))


def beaded(width=2.0):
    """Bars that lose a tenth of their ink in places, every three data pixels."""
    y, _ = places(32 * FINE)
    return bars((32, 32), width) * (0.95 + 0.05 * torch.sin(2 * torch.pi * 32 / 3 * y))


def test_true_bars_have_no_beads_and_beads_are_seen():
    ink, size = bars((32, 32), 2.0), (32, 32)
    assert ink.sum((1, 2, 3)).div(FINE**2).sub(2 * 0.7 * 32).abs().max() < 0.3
    plain, lumps = (found_beading(2 * drawn[::4] - 1, size) for drawn in (ink, beaded()))
    assert plain.tone < 0.01 and plain.width < 0.01
    assert 2 < lumps.tone < 5 and 0.03 < lumps.width < 0.1
    soft = F.interpolate(resize(ink[1:3], size), scale_factor=FINE, mode="bicubic")
    assert found_beading(2 * soft - 1, size).tone > 2  # bicubic enlargement of a slanted stroke is beaded
    assert math.isnan(found_beading(torch.zeros(1, 1, 256, 256), size).tone)


def test_bars_are_drawn_in_the_datas_colours():
    images = torch.full((4, 3, 16, 16), 250, dtype=torch.uint8)
    images[:, :, 5:9, 5:9] = torch.tensor([10, 20, 120], dtype=torch.uint8)[:, None, None]
    images[0, :, 12, 12] = 0
    ground, ink = colours(Pictures("x", (Group(images, torch.zeros(4, dtype=torch.long)),), ("a",)))
    assert to_bytes(ground).tolist() == [250] * 3 and to_bytes(ink).tolist() == [10, 20, 120]


@pytest.fixture(scope="module")
def model():
    made = S2ID(TINY, Card(data="x", density=8, labels=("a",), size=SIZE)).eval().requires_grad_(False)
    enliven(made)
    return made


def test_truth_is_even_and_a_model_without_training_is_not(model):
    render = 2 * bars(SIZE, 2.0) - 1
    images = to_bytes(resize(render, SIZE))
    group = Group(images, torch.zeros(16, dtype=torch.long), truth=lambda i, size: resize(render[i], size))
    test = Pictures("x", (group,), ("a",))
    samples = Samples(model, EvaluateConfig(count=2, detail=2, sampling=Sampling(2, 1.0)), group.condition()[:2])
    rows = {row.size: row.evenness for row in evenness_rows(samples, test)}
    assert list(rows) == ["samples", "reconstructions", "truth"]
    assert rows["truth"].ripple < 0.05 and rows["truth"].off_white_worst < 0.01
    assert rows["reconstructions"].off_white > 10 and rows["reconstructions"].width_error > 0.1
    assert beading(model, test).tone_error == pytest.approx(rows["reconstructions"].tone_error)
    distilled = S2ID(TINY, replace(model.card, times=(1.0, 0.5))).eval()
    samples.model = distilled
    assert [row.size for row in evenness_rows(samples, test)] == ["samples", "truth"]
