"""A model of coarse pictures borrows from finer ones of another source what lies between the pixels."""

from dataclasses import replace

import pytest
import torch
from conftest import trained

from s2id.data.pictures import Group, Pictures, with_finer
from s2id.diffusion.process import Schedule
from s2id.errors import InputError
from s2id.evaluation.edges import edge_width
from s2id.inverse.restore import reconstructed
from s2id.media.images import resize, to_bytes, to_float
from s2id.training.batches import draw
from s2id.training.presets import PRESETS
from s2id.training.trainer import Trainer

TINY = PRESETS["tiny"]


def halves(count, side, seed):
    """Pictures of half-planes, white beside black: means of one function at every side."""
    generator = torch.Generator().manual_seed(seed)
    angle = 2 * torch.pi * torch.rand(count, 1, 1, generator=generator)
    shift = 0.3 * (torch.rand(count, 1, 1, generator=generator) - 0.5)
    place = (torch.arange(64) + 0.5) / 64 - 0.5
    inside = angle.cos() * place[:, None] + angle.sin() * place - shift
    return to_bytes(resize((64 * inside).clamp(-1, 1)[:, None], (side, side)))


def data(side, count=64, seed=0, labels=("half",), **more):
    label = torch.zeros(count, dtype=torch.long)
    return Pictures(f"halves {side}", (Group(halves(count, side, seed), label),), labels, **more)


def test_classes_meet_by_name_and_other_labels_are_unknown():
    coarse, finer = data(8, labels=("other", "half")), data(32)
    assert with_finer(coarse, finer).finer.groups[0].labels.unique().tolist() == [1]
    assert with_finer(data(8, labels=("other",)), finer).finer.groups[0].labels.unique().tolist() == [-1]
    whole = replace(finer, groups=(replace(finer.groups[0], attributes=torch.ones(64, 1, dtype=torch.long)),))
    assert with_finer(coarse, replace(whole, attributes=("left",))).finer.groups[0].attributes is None
    assert with_finer(coarse, finer).names == coarse.names and len(with_finer(coarse, finer)) == len(coarse)


def test_a_batch_of_finer_pictures_has_finer_targets_and_little_noise():
    pictures, schedule = with_finer(data(8), data(64)), Schedule()
    config = replace(TINY.train, finer_share=0.5, finer_time=0.1, detail_density=8, supersample=(2,), queries=16.0)
    model = TINY.model.for_data(channels=1, classes=1)
    batches = [draw(pictures, config, model, schedule, number) for number in range(40)]
    assert {batch.grid.cell for batch in batches} == {(1 / 8, 1 / 8), (1 / 64, 1 / 64)}
    fine, coarse = ([batch for batch in batches if batch.grid.cell[0] == 1 / side] for side in (64, 8))
    assert 10 < len(fine) < 30
    least = schedule.logsnr(torch.tensor([0.1], dtype=torch.float64)).item()
    for batch in fine:
        assert batch.x_t.shape == (16, 1, 8, 8) and batch.logsnr.min() >= least
        assert batch.supersample == 1 and batch.target.shape == (16, 1, 32, 32)  # 1024 values, of 64 samples each 16
    assert min(batch.logsnr.min() for batch in coarse) < least


def test_without_finer_pictures_nothing_changes():
    config, model = TINY.train, TINY.model.for_data(channels=1, classes=1)
    one, other = (
        draw(pictures, replace(config, finer_share=share), model, Schedule(), number=3)
        for pictures, share in ((data(8), 0.25), (data(8), 1.0))
    )
    assert one.x_t.equal(other.x_t) and one.target.equal(other.target)


def test_a_function_of_coarse_pictures_borrows_sharp_edges(tmp_path):
    """The coarse pictures are the same in both runs; the means over their pixels stay as good."""
    coarse, held_out = data(8, 256), to_float(halves(16, 8, seed=1))
    widths, errors = [], []
    for name, pictures in (("alone", coarse), ("beside", with_finer(coarse, data(64, 256, seed=2)))):
        train = replace(TINY.train, images=1600, device="cpu", finer_share=0.7, batch=32, lr=2e-2, ema=0.9)
        train = replace(train, supersample=(2,))
        trainer = Trainer(replace(TINY, train=train), pictures, tmp_path / name)
        trained(trainer)
        field = reconstructed(trainer.result(), held_out)
        widths.append(edge_width(field.render((64, 64)), 8.0).nanmedian().item())
        errors.append((field.render((8, 8)) - held_out).square().mean().sqrt().item())
    assert widths[1] < 0.75 * widths[0], (widths, errors)
    assert errors[1] < 1.25 * errors[0], (widths, errors)


@pytest.mark.parametrize(
    ("finer", "message"),
    [
        (data(8), "have 8 pixels along their long side and those of halves 8 have 8; give pictures with more"),
        (data(64, alpha="keep"), "has 1 channels over keep and halves 8 has 1 over white"),
    ],
    ids=["no finer", "transparent"],
)
def test_what_is_not_finer_or_of_another_kind_is_refused(finer, message):
    with pytest.raises(InputError, match=message):
        with_finer(data(8), finer)


def test_what_has_no_function_cannot_borrow(tmp_path):
    preset = replace(TINY, model=PRESETS["reference"].model)
    with pytest.raises(InputError, match="finer pictures are for functions"):
        Trainer(preset, with_finer(data(8), data(16)), tmp_path)
