"""Training from observations alone: the operator, what its loss learns, and a run from end to end."""

import json
from dataclasses import replace

import pytest
import torch
from conftest import SMALL_PUBLISHED

from s2id.cli.main import main
from s2id.coords import view
from s2id.data.pictures import Group, Pictures
from s2id.data.registry import load_pictures
from s2id.diffusion.denoiser import loss
from s2id.diffusion.process import Schedule
from s2id.errors import InputError
from s2id.inverse.observation import Area, Observation
from s2id.media.images import resize, to_float
from s2id.sampling.model import load as load_model
from s2id.training.batches import draw
from s2id.training.pixelated import (
    PixelatedViews,
    all_cell_weights,
    cell_weights,
    enlarged,
    for_views,
    gaussian,
    pixelated,
)
from s2id.training.presets import PRESETS
from s2id.training.run import checkpoints
from s2id.training.settings import Pixelation, TrainConfig
from s2id.training.trainer import Trainer


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def everywhere(x, seen):
    """The pictures from every place there is, through the only lens."""
    rows, columns = (cell_weights(side, *seen.lenses[0])[: 1 if seen.still else None] for side in x.shape[2:])
    places = torch.cartesian_prod(torch.arange(len(rows)), torch.arange(len(columns))).expand(-1, 2)
    down, across = rows[places[:, 0], None, None], columns[places[:, 1], None, None]
    shape = (-1, len(x), -1, -1, -1)
    weight = torch.full((len(down), len(x), 1, 1, 1), seen.cell**2, dtype=x.dtype)
    return PixelatedViews(down @ x @ across.mT, down.expand(shape), across.expand(shape), weight, seen)


def tiny(folder, pixelate="area:2", **changes):
    preset = PRESETS["tiny"]
    settings = {"images": 96, "device": "cpu", "pixelate": pixelate, **changes}
    return Trainer(replace(preset, train=replace(preset.train, **settings)), load_pictures("digits"), folder)


@pytest.mark.parametrize(("size", "cell"), [((8, 8), 2), ((12, 8), 4), ((9, 6), 3)])
def test_a_view_is_the_observation_of_area_means(size, cell):
    x = random(1, 2, *size)
    for number, views in enumerate(everywhere(x, Pixelation("area", cell)).rows):
        y, x_place = divmod(number, cell)
        rows, columns = cell_weights(size[0], cell)[y], cell_weights(size[1], cell)[x_place]
        seen = rows @ x @ columns.T
        assert torch.equal(views[0, 0], rows)
        pitch = 1 / max(size)
        grid = view((len(rows), len(columns)), (len(rows) * cell * pitch, len(columns) * cell * pitch), fit="stretch")
        # the first cell ends at the place, and the picture's middle is at 0
        shift = [(place - cell + len(r) * cell / 2 - side / 2) * pitch
                 for place, r, side in zip((y, x_place), (rows, columns), size, strict=True)]  # fmt: skip
        coords = grid.coords.reshape(-1, 2) + torch.tensor(shift, dtype=torch.float64)
        observation = Observation(torch.zeros(len(coords), 2), coords, torch.tensor(grid.cell, dtype=torch.float64))
        means = Area(observation, size)(x).mT.unflatten(2, (len(rows), len(columns)))
        whole = (rows.sum(1)[:, None] * columns.sum(1)).bool()
        assert torch.allclose(
            seen[..., whole], means[..., whole], atol=1e-5
        )  # a lattice is known to a millionth of a cell
        assert bool((seen[..., ~whole] == 0).all())


def test_a_lens_of_another_scale_has_other_cells_and_a_blurred_one_spreads_them():
    seen = Pixelation.read("area:4:scale=1:blur=1.5")
    assert seen.lenses == tuple((cell, blur) for cell in (3, 4, 5) for blur in (0.0, 0.75, 1.5))
    table = all_cell_weights(12, seen)
    assert table.shape[:2] == (9, 5)
    for (cell, blur), rows in zip(seen.lenses, table, strict=True):
        own = cell_weights(12, cell, blur)
        assert torch.equal(rows[:cell, : own.shape[1]], own)
        assert bool((rows[cell:] == 0).all()) and bool((rows[:, own.shape[1] :] == 0).all())
        total = own.sum(2)
        assert torch.allclose(total[total > 0], torch.ones_like(total[total > 0])), "a flat picture stays as it is"
    place = torch.arange(40.0, dtype=torch.float64)
    spread = gaussian(40, 1.5)[20]
    std = (spread * (place - 20).square()).sum().sqrt()
    assert (spread * place).sum() == pytest.approx(20) and std == pytest.approx(1.5, abs=0.01)


def test_views_of_all_lenses_are_drawn_and_each_is_what_its_rows_and_columns_say():
    x, seen = random(500, 1, 8, 12), Pixelation.read("area:4:scale=2:blur=1")
    views = pixelated(x, seen, 2, torch.Generator().manual_seed(0))
    assert torch.allclose(views.values, views.rows @ x @ views.columns.mT)
    assert set(views.weight.flatten().tolist()) == {4.0, 9.0, 16.0, 25.0, 36.0}
    narrow = views.weight.flatten(1) == 4
    # cells of two pixels, four along the picture and one more where the first one ends inside
    assert set((views.rows[narrow].sum(3) > 0).sum(2).flatten().tolist()) <= {4, 5}
    assert torch.allclose(views.correct(x), x, atol=1e-12)


def test_a_still_view_is_the_state():
    x = random(3, 1, 8, 12)
    views = pixelated(x, Pixelation("area", 4, still=True), 1, torch.Generator())
    assert torch.allclose(views.values[0, ..., 1:, 1:], resize(x, (2, 3)))


def test_the_transpose_is_the_adjoint_and_the_loss_has_its_gradient():
    x, f = random(3, 2, 8, 8), random(3, 2, 8, 8, seed=1)
    views = pixelated(x, Pixelation("area", 4), 2, torch.Generator().manual_seed(0))
    y = random(*views.values.shape, seed=2)
    assert torch.allclose((views(f) * y).sum(), (f * views.transpose(y)).sum())
    f.requires_grad_()
    (views(f) - views.values).square().sum().backward()
    assert torch.allclose(f.grad, 2 * views.transpose(views(f) - views.values))


@pytest.mark.parametrize("still", [False, True])
def test_nothing_is_asked_of_the_true_picture(still):
    x = random(2, 1, 8, 8)
    views = pixelated(x, Pixelation("area", 2, still), 3, torch.Generator().manual_seed(0))
    assert torch.allclose(views.correct(x), x, atol=1e-12)


def normal(size, seen):
    """`A^T A` over all places, as a matrix."""
    units = torch.eye(size[0] * size[1], dtype=torch.float64).reshape(-1, 1, *size)
    views = everywhere(units, seen)
    return views.transpose(views.values).flatten(1) / len(views.values)


@pytest.mark.parametrize("still", [False, True])
def test_a_correction_is_the_whole_error_where_views_show_it(still):
    x, f, seen = random(3, 1, 8, 6), random(3, 1, 8, 6, seed=1), Pixelation("area", 2, still)
    moved = everywhere(x, seen).correct(f) - f
    m = normal((8, 6), seen) * seen.cell**2
    wanted = torch.linalg.solve(m + 0.05 * torch.eye(48, dtype=torch.float64), m @ (x - f).flatten(1).T).T
    assert torch.allclose(moved.flatten(1), wanted, atol=1e-10)


@pytest.mark.parametrize("pixelate", ["area:4", "area:4:scale=1:blur=0.5"])
def test_corrections_lead_to_the_picture_whatever_the_lens(pixelate):
    x, seen, generator = random(1, 1, 8, 8), Pixelation.read(pixelate), torch.Generator().manual_seed(0)
    f = torch.zeros_like(x)
    left = []
    for _ in range(300):
        f = pixelated(x, seen, 64, generator).correct(f)
        left.append(float((f - x).norm() / x.norm()))
    assert left[0] > 0.5 and left[-1] < 0.1


def test_random_places_identify_the_posterior_mean_and_one_place_does_not():
    """A Gaussian of 8x8 pixels and its state, the 4x4 view: the mean of x given the state is W s, in closed form.

    From what was seen alone, the least squares of `A W s = values` are solved exactly. The columns of the covariance's
    root stand for pictures: their sums are the Gaussian's expectations.
    """
    place = torch.arange(8, dtype=torch.float64)
    axis = 0.7 ** (place[:, None] - place).abs()
    covariance = torch.kron(axis, axis)
    pictures = torch.linalg.cholesky(covariance).T.reshape(64, 1, 8, 8)
    a = torch.kron(cell_weights(8, 2)[0, 1:], cell_weights(8, 2)[0, 1:])
    mean = covariance @ a.T @ torch.linalg.inv(a @ covariance @ a.T)
    states = pictures.flatten(1) @ a.T
    for still in (False, True):
        seen = Pixelation("area", 2, still)
        views = everywhere(pictures, seen)
        f = (states @ mean.T).reshape(pictures.shape)
        gradient = (views.correct(f) - f).flatten(1).T @ states
        assert gradient.abs().max() < 1e-9, "the posterior mean is a minimum either way"
        m = normal((8, 8), seen)
        shown = views.transpose(views.values).flatten(1) / len(views.values)
        solved = torch.linalg.pinv(m, rtol=1e-10) @ shown.T @ states @ torch.linalg.inv(states.T @ states)
        assert int(torch.linalg.matrix_rank(m, rtol=1e-10)) == (16 if still else 64)
        assert torch.allclose(a @ solved, a @ mean, atol=1e-8), "what is seen is explained"
        assert torch.allclose(solved, mean, atol=1e-6) != still, "and only random places say what lies between"


@pytest.mark.parametrize("pixelate", ["area:2", "area:2:still", "area:2:blur=0.5", "bicubic:2"])
def test_resuming_equals_not_stopping_when_observing(tmp_path, pixelate):
    straight = tiny(tmp_path / "a", pixelate)
    losses = [p.loss for p in straight.run()]
    first = tiny(tmp_path / "b", pixelate)
    resumed = []
    for progress in first.run():
        resumed.append(progress.loss)
        if progress.step == 2:
            first.stop()
    second = tiny(tmp_path / "b", pixelate)
    second.resume(checkpoints(tmp_path / "b")[-1])
    resumed += [p.loss for p in second.run()]
    assert resumed == losses
    a, b = straight.tensors(), second.tensors()
    assert all(torch.equal(a[k], b[k]) for k in a)
    with pytest.raises(InputError, match=f"was trained with pixelate {pixelate} and not area:2"):
        other = "area:2" if pixelate != "area:2" else "area:2:still"
        tiny(tmp_path / "b", other).resume(checkpoints(tmp_path / "b")[-1])


def test_a_draw_says_nothing_of_the_picture_but_its_views():
    """Pictures that look alike from everywhere the draw looks give the same batch."""
    preset = for_views(
        replace(PRESETS["tiny"], train=replace(PRESETS["tiny"].train, pixelate="area:4:still")), load_pictures("digits")
    )
    digits = load_pictures("digits")
    group = digits.groups[0]
    means = resize(to_float(group.images), (2, 2)).repeat_interleave(4, 2).repeat_interleave(4, 3)
    flat = ((means + 1) * 127.5).round().to(torch.uint8)
    stripes = flat.clone()
    stripes[..., ::2] += 1
    stripes[..., 1::2] -= 1
    keep = (flat.amin((1, 2, 3)) > 0) & (flat.amax((1, 2, 3)) < 255)
    one, other = (
        draw(replace(digits, groups=(Group(p[keep], group.labels[keep]),)), preset.train, preset.model, Schedule(), 3)
        for p in (flat, stripes)
    )
    assert keep.sum() > 100 and torch.allclose(one.x_t, other.x_t, atol=1e-5)
    assert torch.allclose(one.target.values, other.target.values, atol=1e-5)


def test_every_picture_is_seen_from_places_of_its_own_anew_each_time():
    config = replace(PRESETS["tiny"].train, pixelate="area:4", views=2)
    preset = for_views(replace(PRESETS["tiny"], train=config), load_pictures("digits"))
    batches = [draw(load_pictures("digits"), preset.train, preset.model, Schedule(), number) for number in (0, 0, 1)]
    again, rows = batches[1].target, [batch.target.rows.flatten(1) for batch in batches]
    assert torch.equal(again.values, batches[0].target.values) and torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2]) and not torch.equal(rows[0][0], rows[0][1])


@pytest.mark.slow
def test_training_through_views_learns_the_pixels(tmp_path):
    trainer = tiny(tmp_path, images=6400, lr=3e-3)
    losses = [p.loss for p in trainer.run()]
    assert sum(losses[-20:]) < 0.8 * sum(losses[:20])
    model = trainer.result()
    assert model.card.density == 4 and model.card.size == (8, 8) and model.card.observe == "area:2"


def test_states_are_observations_and_features_as_dense_as_the_pictures():
    pictures = load_pictures("digits")
    for pixelate, density, patch, lattice in (("area:2", 4, 2, 4), ("area:4", 2, 2, 8), ("bicubic:4:", 0, 0, 0)):
        config = PRESETS["tiny"].train
        if not density:
            with pytest.raises(InputError, match="not understood"):
                replace(config, pixelate=pixelate)
            continue
        preset = for_views(replace(PRESETS["tiny"], train=replace(config, pixelate=pixelate)), pictures)
        assert preset.train.densities == (density,) and (preset.model.patch, preset.model.lattice) == (patch, lattice)
    assert for_views(PRESETS["tiny"], pictures) is PRESETS["tiny"]


def test_enlarging_keeps_a_flat_picture_and_loses_detail():
    flat = torch.full((1, 1, 8, 8), 0.3)
    assert torch.allclose(enlarged(flat, 4), flat)
    x = random(1, 1, 8, 8).float().clamp(-1, 1)
    assert enlarged(x, 2).var() < x.var()


def test_the_loss_of_a_correction_is_that_of_what_it_asks_for():
    x, f = random(2, 1, 8, 8), random(2, 1, 8, 8, seed=1)
    views = everywhere(x, Pixelation("area", 2))
    target = views.correct(f)
    assert loss("x", f, target, torch.zeros(2), 10.0) == pytest.approx(2 * (f - target).square().mean().item())


@pytest.mark.parametrize(
    ("pixelate", "says"),
    [
        ("area:1", "leaves pictures as they are; K must be at least 2"),
        ("area:x", "is not understood; write area:K"),
        ("area", "is not understood"),
        ("area:4:moving", "is not understood"),
        ("area:4:", "is not understood"),
        ("area:4:still:scale=1", "is not understood"),
        ("area:4:scale=x", "is not understood"),
        ("area:4:zoom=1", "is not understood"),
        ("bicubic:4:blur=1", "is not understood"),
        ("area:4:scale=3", "has cells of 1 pixels; S must be 0 to 2"),
        ("area:4:blur=nan", "has a blur of nan; B must lie between 0 and 4"),
        ("bicubic:4:still", "is not understood"),
        ("area:-2", "is not understood"),
        ("blur:2", "is not understood"),
    ],
)
def test_words_that_are_no_observation_are_refused(pixelate, says):
    with pytest.raises(InputError, match=says):
        TrainConfig(pixelate=pixelate)


@pytest.mark.parametrize("pixelate", ["area:3", "area:8", "area:40", "bicubic:3"])
def test_cells_that_do_not_divide_the_pictures_are_refused(tmp_path, pixelate):
    with pytest.raises(InputError, match="does not divide pictures of 8x8 into cells; choose K of 2, 4"):
        tiny(tmp_path, pixelate)


def test_pictures_of_several_sizes_and_networks_without_a_field_are_refused(tmp_path):
    groups = tuple(Group(torch.zeros(2, 1, n, n, dtype=torch.uint8), torch.zeros(2, dtype=torch.long)) for n in (8, 12))
    preset = replace(PRESETS["tiny"], train=replace(PRESETS["tiny"].train, pixelate="area:2"))
    with pytest.raises(InputError, match="needs pictures of one size and mixed has 2"):
        for_views(preset, Pictures("mixed", groups, ("a",)))
    dense = replace(preset, model=SMALL_PUBLISHED)
    with pytest.raises(InputError, match="needs a network that predicts functions"):
        for_views(dense, load_pictures("digits"))


def test_the_command_line_trains_and_info_says_what_was_seen(tmp_path, capsys):
    words = ["train", "tiny", "--device", "cpu", "--images", "32", "--set", "sample-minutes=0", "--pixelate", "area:4"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    assert load_model(tmp_path / "model").card.density == 2
    capsys.readouterr()
    assert main(["info", str(tmp_path / "model")]) == 0
    card = json.loads(capsys.readouterr().out)["card"]
    assert card["observe"] == "area:4" and card["size"] == [8, 8]
    assert main(["train", "tiny", "--pixelate", "area:1"]) == 2
    assert "leaves pictures as they are" in capsys.readouterr().err
    assert main(["train", "tiny", "--pixelate", "area:40", "--out", str(tmp_path / "b")]) == 2
    assert "does not divide" in capsys.readouterr().err
