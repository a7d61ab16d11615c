"""States, tokens and features from the data: no function that training does not see."""

from dataclasses import replace

import pytest
import torch
from conftest import trained

import s2id
from s2id.data.pictures import Group, Pictures
from s2id.network.heads import spline_weights
from s2id.training.batches import draw, flat_areas
from s2id.training.presets import PRESETS
from s2id.training.resolution import density_of, for_resolution, visibility, warning
from s2id.training.tasks import clipped_where_right, in_flat_areas
from s2id.training.trainer import Trainer


def pictures(*sizes: tuple[int, int], counts: tuple[int, ...] = (), channels: int = 1) -> Pictures:
    """Random pictures of some sizes."""
    generator = torch.Generator().manual_seed(0)
    groups = tuple(
        Group(torch.randint(256, (n, channels, *size), generator=generator, dtype=torch.uint8), torch.full((n,), -1))
        for size, n in zip(sizes, counts or (16,) * len(sizes), strict=True)
    )
    return Pictures("random", groups, ())


@pytest.mark.parametrize("side", [2, 3, 5, 8, 16, 24, 25, 28, 31, 32, 40, 47, 48, 63, 64, 100, 128, 500])
def test_no_state_and_no_feature_is_denser_than_the_pixels(side):
    found = for_resolution(PRESETS["folder"], pictures((side, side), counts=(2,)))
    model, train = found.model, found.train
    finest = max(*train.densities, train.detail_density)
    assert finest <= max(side, model.patch) and all(n % model.patch == 0 for n in (*train.densities, finest))
    assert finest * model.lattice / model.patch <= max(side, model.patch)
    assert warning(model, train, pictures((side, side), counts=(2,))) == ""
    assert finest // model.patch <= 8  # tokens: the cost of a step does not grow with the pictures


def test_a_wide_picture_counts_by_its_long_side_and_a_few_small_ones_do_not_count():
    assert density_of(pictures((20, 64))) == 64
    assert density_of(pictures((24, 24), (96, 96), counts=(5, 95))) == 96
    assert density_of(pictures((24, 24), (96, 96), counts=(15, 85))) == 24


def test_what_is_given_stays_as_given():
    given = replace(PRESETS["folder"], train=replace(PRESETS["folder"].train, densities=(12, 16)))
    found = for_resolution(given, pictures((24, 24)))
    assert found.train.densities == (12, 16) and found.train.detail_density == 0
    assert for_resolution(PRESETS["mnist"], pictures((28, 28))) == PRESETS["mnist"]


def test_features_that_pixels_hardly_see_are_answered_with_a_warning():
    preset = PRESETS["folder"]
    dense = replace(
        preset, model=replace(preset.model, patch=2, lattice=4), train=replace(preset.train, densities=(24,))
    )
    said = warning(dense.model, dense.train, pictures((24, 24)))
    assert "48 features stand on 24 pixels" in said and "lattice=2" in said


def test_visibility_is_what_means_over_pixels_show_of_the_finest_wave_of_features():
    for pixels, features in ((24, 24), (28, 30), (24, 36)):
        fine = 64 * pixels
        place = (torch.arange(fine, dtype=torch.float64) + 0.5) / fine
        wave = (torch.pi * features * place + 0.7).cos()  # features / 2 periods
        means = wave.reshape(pixels, -1).mean(1)
        centre = (torch.pi * features * (torch.arange(pixels, dtype=torch.float64) + 0.5) / pixels + 0.7).cos()
        seen = (means * centre).sum() / centre.square().sum()
        assert seen.item() == pytest.approx(visibility(features, pixels), abs=1e-3)


def test_a_lattice_of_two_features_per_pixel_cannot_be_seen_and_one_of_one_feature_can():
    """Control samples +1, -1, +1, ... of the spline, averaged over pixels."""

    def largest(features: int, pixels: int) -> float:
        position = (torch.arange(pixels, dtype=torch.float64) + 0.5) * features / pixels - 0.5
        weights = spline_weights(position, features / pixels, features)
        return (weights @ (-1.0) ** torch.arange(features, dtype=torch.float64))[3:-3].abs().max().item()

    assert largest(48, 24) < 1e-9
    assert largest(24, 24) > 0.1


def test_flat_areas_are_where_all_neighbours_have_one_colour():
    images = torch.full((1, 3, 7, 7), 200, dtype=torch.uint8)
    images[0, 1, 3, 3] = 190
    expected = torch.ones(7, 7, dtype=torch.bool)
    expected[2:5, 2:5] = False
    assert torch.equal(flat_areas(images)[0, 0], expected)
    images[0, 1, 3, 3] = 201  # within the tolerance
    assert flat_areas(images).all()


def test_the_loss_within_flat_areas_is_that_of_the_means_plus_the_variance():
    generator = torch.Generator().manual_seed(0)
    values, target = torch.randn(2, 3, 12, 12, generator=generator), torch.randn(2, 3, 4, 4, generator=generator)
    flat = torch.rand(2, 1, 4, 4, generator=generator) > 0.5
    prediction, each = in_flat_areas(values, target, flat)
    cells = values.unflatten(2, (4, 3)).unflatten(4, (4, 3))
    expected = (cells.mean((3, 5)) - target).square() + flat * cells.var((3, 5), correction=0)
    assert (prediction - each).square().mean().item() == pytest.approx(expected.mean().item(), rel=1e-5)


def test_beyond_white_is_white_and_what_is_wrong_keeps_its_gradient():
    prediction = torch.tensor([[[[1.5, -1.5, 1.5, -1.5, 0.5]]]], requires_grad=True)
    target = torch.tensor([[[[1.0, -1.0, -1.0, 0.2, 1.0]]]])
    (clipped_where_right(prediction, target) - target).square().sum().backward()
    assert prediction.grad is not None
    assert prediction.grad.flatten().tolist() == pytest.approx([0.0, 0.0, 5.0, -3.4, -1.0])


def test_a_batch_names_the_flat_targets_and_training_on_them_flattens_the_function(tmp_path):
    """Pictures of one grey: after a few steps the function varies less within the pixels than it did."""
    grey = Pictures("grey", (Group(torch.full((8, 1, 8, 8), 150, dtype=torch.uint8), torch.full((8,), -1)),), ())
    tiny = PRESETS["tiny"]
    preset = replace(tiny, train=replace(tiny.train, images=16 * 40, batch=16, device="cpu", precision="no", lr=1e-2))
    trainer = Trainer(preset, grey, tmp_path)
    batch = draw(grey, trainer.config, trainer.model, trainer.schedule, 0)
    assert batch.flat is not None and batch.flat.all() and batch.values[1] == 1
    trained(trainer)
    render = s2id.sample(trainer.result(), seed=[0, 1], steps=3).render((256, 256))
    assert render.std((1, 2, 3)).max().item() * 127.5 < 6
