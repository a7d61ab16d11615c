"""The table says of known pictures what is known of them, and refuses what cannot be judged."""

import json
import math
from dataclasses import replace

import pytest
import torch
from conftest import SMALL_PUBLISHED, TINY, enliven
from torch.nn import functional as F

from s2id.condition import Condition
from s2id.coords import extent
from s2id.data.pictures import Group, Pictures, rescaled
from s2id.errors import InputError
from s2id.evaluation import set_metrics
from s2id.evaluation.evaluate import evaluate
from s2id.evaluation.examiner import Examiner, Findings, RealPictures
from s2id.evaluation.judge import Judge
from s2id.evaluation.likeness import likeness
from s2id.evaluation.report import Likeness, Report, Row, markdown
from s2id.evaluation.samples import frame_part, in_turn
from s2id.evaluation.settings import EvaluateConfig
from s2id.media.images import to_float
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Card, Sampling
from s2id.shapes import NULL

COUNT = 40
QUICK = EvaluateConfig(sizes=((16, 16), (8, 8), (12, 20)), count=COUNT, detail=4, sampling=Sampling(2, 1.0))


@pytest.fixture(scope="module")
def judge():
    torch.manual_seed(0)
    return Judge("noise", (16, 16), 1, 10, (4, 4, 8, 8, 16)).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def model():
    card = Card(data="noise", density=8, labels=tuple("0123456789"), size=(16, 16))
    made = S2ID(TINY, card).eval().requires_grad_(False)
    enliven(made)
    return made


def noise(count, seed, size=16, classes=10):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 1, size, size), dtype=torch.uint8, generator=generator)
    group = Group(images, torch.arange(count) % classes)
    return Pictures("noise", (group,), tuple(str(i) for i in range(classes)))


@pytest.fixture(scope="module")
def rows(model, judge):
    return list(evaluate(model, judge, noise(100, 1), noise(100, 2), QUICK))


def test_there_is_a_row_for_the_data_and_one_per_size(rows):
    assert [row.size for row in rows] == ["training set", "16x16", "8x8", "12x20", "samples", "reconstructions"]


def test_the_data_is_like_itself(rows):
    """Both halves are the same noise: every measure of likeness knows its answer."""
    floor = rows[0].likeness
    assert floor.variance == pytest.approx(1, abs=0.1) and floor.spread == pytest.approx(1, abs=0.2)
    assert floor.precision > 0.8 and floor.recall > 0.8 and floor.coverage > 0.8
    assert floor.frechet < 0.2 * rows[1].likeness.frechet


def faces(count, seed):
    """Pictures whose left half is bright where the first of two attributes is there; the second shows nowhere."""
    there = torch.randint(0, 2, (count, 2), generator=torch.Generator().manual_seed(seed)) * 2 - 1
    images = noise(count, seed).groups[0].images // 4
    images[:, :, :, :8] += (96 * (there[:, 0] + 1)).to(torch.uint8)[:, None, None, None] // 2
    there[::4, 1] = 0  # unknown
    return Pictures("noise", (Group(images, torch.full((count,), NULL), there),), (), ("bright", "hidden"))


class Bright(Judge):
    """Sees the first attribute in the pictures' mean, and has no eye for the second."""

    def __init__(self):
        super().__init__("noise", (16, 16), 1, 0, (4, 4, 8, 8, 16), attributes=("bright", "hidden"))

    def attributes_of(self, features):
        return torch.stack([torch.where(self.means > -0.7, 1, -1), torch.ones(len(self.means), dtype=torch.long)], 1)

    def features(self, images):
        self.means = images.flatten(1).mean(1)
        return super().features(images)


def test_a_model_of_attributes_is_asked_what_the_test_pictures_are(model):
    card = Card(data="noise", density=8, size=(16, 16), attributes=("bright", "hidden"))
    made = S2ID(replace(TINY, classes=0, attributes=2), card).eval().requires_grad_(False)
    enliven(made)
    torch.manual_seed(0)
    train, test = faces(100, 1), faces(100, 2)
    config = replace(QUICK, sizes=((16, 16),))
    rows = list(evaluate(made, Bright().eval().requires_grad_(False), train, test, config))
    assert [row.size for row in rows][:3] == ["training set", "test set", "16x16"]
    hidden = (test.groups[0].attributes[:, 1] == 1).sum() / 75
    assert rows[1].attributes == pytest.approx({"bright": 1.0, "hidden": hidden.item()})
    assert rows[1].likeness.right_attributes == pytest.approx((1 + hidden.item()) / 2)
    assert math.isnan(rows[1].likeness.right_class) and math.isfinite(rows[0].likeness.variance)
    # an untrained model does not hear: the same test pictures' wishes, by chance as often met as not
    assert 0.2 < rows[2].attributes["bright"] < 0.8
    text = Report({}, tuple(rows)).markdown()
    assert "| right | training set | test set | 16x16 |" in text and "| bright | 1.000 | 1.000 |" in text
    assert json.loads(Report({}, tuple(rows)).json())["rows"][1]["attributes"]["bright"] == 1.0
    others = replace(test, attributes=("bright", "other"))
    with pytest.raises(InputError, match="knows 2 attributes and noise has 2, or has others"):
        next(evaluate(made, Bright().eval(), train, others, config))
    made.card = replace(card, attributes=("bright", "other"))
    with pytest.raises(InputError, match="noise knows other things than the model"):
        next(evaluate(made, Bright().eval(), train, test, config))


def test_unknown_classes_are_neither_right_nor_wrong(model, judge):
    """As for the half of a set that has some."""
    full = noise(100, 2)
    labels = full.groups[0].labels.clone()
    labels[:50] = NULL
    half = Pictures("noise", (replace(full.groups[0], labels=labels),), full.labels)
    examiner = Examiner(judge, None, judge.size)
    whole, some = RealPictures.of(full, examiner), RealPictures.of(half, examiner)
    named = likeness(whole.images[50:], examiner(whole.images[50:]), whole.known[50:], whole)
    assert likeness(some.images, some.findings, some.known, some).right_class == pytest.approx(named.right_class)


def test_numbers_are_heard_in_the_models_own_scale():
    heard = torch.tensor([[-1.0], [0.0], [1.0], [torch.nan]])
    group = replace(noise(4, 0).groups[0], numbers=heard)
    ages = Pictures("noise", (group,), (), numbers=("age",), number_ranges=((10.0, 30.0),))
    again = rescaled(ages, ((10.0, 50.0),))
    assert again.number_ranges == ((10.0, 50.0),)
    assert torch.equal(again.groups[0].numbers.nan_to_num(9), torch.tensor([[-1.0], [-0.5], [0.0], [9.0]]))


def test_one_number_is_of_the_most_balanced_attributes():
    there = torch.ones(8, 12, dtype=torch.long)
    there[:4] = -1
    there[:, 3] = 1  # always there
    there[:, 4] = 0  # never known
    there[1:, 5] = 0  # known of one picture
    real = RealPictures(torch.zeros(8, 1, 2, 2), Condition(torch.full((8,), NULL), there), Findings(torch.zeros(8, 1)))
    assert real.balanced[:9] == [0, 1, 2, *range(6, 12)] and len(real.balanced) == 10


def test_a_size_agrees_with_itself_perfectly(rows):
    same = rows[1].agreement
    assert same.psnr == math.inf and same.psnr_worst == math.inf and same.same_class == 1 and same.same_topology == 1
    assert same.aspect == 1 and same.border == 0 and same.ssim == pytest.approx(1)


def test_other_sizes_of_a_field_agree(rows):
    assert rows[2].agreement.psnr > 50
    assert rows[3].agreement.psnr > 40  # 12 pixels do not divide into 16
    assert rows[2].detail.render_seconds > 0 and rows[2].detail.peak_megabytes > 50
    assert math.isnan(rows[2].detail.power)  # no pixel of 8x8 is finer than the training's


def test_pictures_drawn_twice_are_the_same(model, judge, rows):
    again = list(evaluate(model, judge, noise(100, 1), noise(100, 2), replace(QUICK, sizes=((16, 16),))))
    assert again[1].likeness == rows[1].likeness


@pytest.mark.parametrize("size", [(28, 28), (1024, 576), (37, 61), (61, 37)])
def test_the_frames_part_of_a_picture_is_as_square_as_the_frame(size):
    rows, columns = frame_part(size, (1.0, 1.0), "fit")
    side = min(size)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (side, side)
    assert abs((rows.start + rows.stop) / 2 - size[0] / 2) <= 0.5
    assert frame_part(size, extent(size), "fit") == (slice(0, size[0]), slice(0, size[1]))
    assert frame_part(size, (1.0, 1.0), "stretch") == (slice(None), slice(None))


def test_the_report_says_every_fact_and_every_size(rows, tmp_path):
    report = Report({"n": COUNT, "guidance": 1.0}, tuple(rows))
    said = json.loads(report.json(), parse_constant=pytest.fail)
    assert said["facts"]["n"] == COUNT and len(said["rows"]) == len(rows)
    assert said["rows"][1]["psnr"] == "inf"
    assert said["rows"][2]["power"] is None and said["rows"][1]["variance"] == rows[1].likeness.variance
    text = report.markdown()
    assert all(row.size in text for row in rows) and "n 40" in text and "Frechet" in text
    report.plot(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_a_table_has_three_digits_and_dashes_for_what_is_missing():
    lines = markdown(["name", "value"], [["a", 0.12345], ["b", None], ["c", float("nan")], ["d", 7]]).splitlines()
    assert lines == ["| name | value |", "|---|---|", "| a | 0.123 |", "| b | - |", "| c | - |", "| d | 7 |"]


def test_what_was_not_measured_is_a_dash_and_a_column_without_numbers_is_left_out():
    rows = (Row("training set", Likeness(right_class=0.5)), Row("8x8", Likeness(right_class=0.25, frechet=1.0)))
    lines = Report({}, rows).markdown().splitlines()
    assert lines[2:6] == ["| size | right class | Frechet |", "|---|---|---|", "| training set | 0.500 | - |",
                          "| 8x8 | 0.250 | 1.000 |"]  # fmt: skip


def refused(model, judge, config=QUICK, test=None):
    with pytest.raises(InputError) as caught:
        next(evaluate(model, judge, noise(100, 1), test or noise(100, 2), config))
    return str(caught.value)


def test_too_few_pictures_are_refused_with_the_number_needed(model, judge):
    assert "count is 31; a Frechet distance in 16 features needs at least 32" in refused(
        model, judge, replace(QUICK, count=31)
    )


def test_every_class_needs_pictures(model):
    many = Judge("noise", (16, 16), 1, 30, (4, 4, 8, 8, 16)).eval()
    assert "count is 40; 30 classes need at least 60" in refused(model, many, test=noise(100, 2, classes=30))


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"detail": 0}, "detail is 0"),
        ({"sizes": ()}, "no size"),
        ({"sizes": ((2, 28),)}, "size 2x28 is too small"),
    ],
)
def test_what_cannot_be_judged_is_refused_before_anything_is_drawn(changes, said):
    with pytest.raises(InputError, match=said):
        replace(QUICK, **changes)
    with pytest.raises(InputError, match="no size"):
        replace(QUICK, sizes=((512, 512),)).quick()


def test_a_dense_model_is_composed_anew_at_every_size(judge):
    card = Card(data="noise", density=16, size=(16, 16))
    dense = S2ID(SMALL_PUBLISHED, card).eval().requires_grad_(False)
    enliven(dense)
    config = replace(QUICK, sizes=((16, 16), (16, 32), (32, 32)), sampling=Sampling(1, 1.0))
    rows = list(evaluate(dense, judge, noise(100, 1), noise(100, 2), config))
    assert rows[1].agreement.psnr == math.inf and math.isnan(rows[1].agreement.zoom_psnr)
    assert all(row.detail.compose_seconds > 0 and math.isfinite(row.likeness.frechet) for row in rows[1:])
    assert rows[3].agreement.psnr < math.inf
    assert "density is 8 and this model composes each size" in refused(
        dense, judge, replace(config, sampling=Sampling(density=8))
    )


def test_states_may_be_of_one_density_only(model, judge):
    """Finer states at the end are then left out too."""
    finer = S2ID(model.config, replace(model.card, detail_density=12, detail_time=0.5))
    finer.load_state_dict(model.state_dict())
    config = replace(QUICK, sizes=((16, 16),))

    def frechet(one: S2ID, density: int | None = None) -> float:
        rows = evaluate(
            one.eval(), judge, noise(100, 1), noise(100, 2), replace(config, sampling=Sampling(2, 1.0, density=density))
        )
        return list(rows)[1].likeness.frechet

    assert frechet(finer, 8) == frechet(model) != frechet(finer) != frechet(finer, 12)


def test_the_floors_pictures_are_of_all_classes_in_turn():
    labels = torch.randint(0, 5, (200,), generator=torch.Generator().manual_seed(0))
    chosen = in_turn(labels, 40)
    assert len(chosen.unique()) == 40 and torch.bincount(labels[chosen]).tolist() == [8] * 5


def test_judge_model_and_data_must_belong_together(model, judge):
    assert "knows 10 classes" in refused(model, judge, test=noise(100, 2, classes=5))
    other = S2ID(replace(TINY, classes=7), model.card).eval()
    assert "the model draws 7 classes" in refused(other, judge)


def test_a_class_without_test_pictures_is_refused(model, judge):
    images = noise(100, 2).groups[0].images
    lopsided = Pictures("noise", (Group(images, torch.zeros(100, dtype=torch.long)),), tuple("0123456789"))
    assert "class 1 has" in refused(model, judge, test=lopsided)


def test_pictures_that_are_no_numbers_are_refused(model, judge):
    broken = S2ID(TINY, model.card).eval().requires_grad_(False)
    broken.network.head.out.bias.fill_(math.nan)
    rows = evaluate(broken, judge, noise(100, 1), noise(100, 2), QUICK)
    next(rows)
    with pytest.raises(InputError, match="(?i)nan|finite"):
        next(rows)


def test_quick_draws_less():
    quick = EvaluateConfig().quick()
    assert quick.count == 300 and quick.detail == 30 and max(max(size) for size in quick.sizes) <= 256


def mean_of_blocks(images):
    """Features that anyone can check: the means of a picture's 4x4 blocks, of its first channel."""
    return F.avg_pool2d(images[:, :1], images.shape[-1] // 4).flatten(1)


def test_sets_are_compared_in_features_that_the_caller_brings(model, judge, rows):
    config = replace(QUICK, sizes=((8, 8),))
    brought = list(evaluate(model, judge, noise(100, 1), noise(100, 2), config, mean_of_blocks))
    chosen = noise(100, 1).groups[0].images[in_turn(noise(100, 1).groups[0].labels, COUNT)]
    ours, theirs = (mean_of_blocks(to_float(images)) for images in (chosen, noise(100, 2).groups[0].images))
    assert brought[0].likeness.frechet == pytest.approx(set_metrics.frechet_distance(ours, theirs), rel=1e-6)
    plain = next(row for row in rows if row.size == "8x8").likeness
    assert brought[1].likeness.right_class == plain.right_class and brought[1].likeness.variance == plain.variance
    assert brought[1].likeness.frechet != plain.frechet


def test_colour_without_classes_is_judged_without_a_judge(model):
    def colours(seed):
        images = torch.randint(
            0, 256, (60, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
        )
        return Pictures("colour", (Group(images, torch.full((60,), NULL)),), ())

    made = S2ID(replace(TINY, channels=3, classes=0), Card(data="colour", density=8, size=(16, 16))).eval()
    config = replace(QUICK, sizes=((16, 16),))
    floor, row, *_ = evaluate(made.requires_grad_(False), None, colours(1), colours(2), config, mean_of_blocks)
    for one in (floor.likeness, row.likeness):
        assert math.isnan(one.right_class) and math.isfinite(one.frechet) and math.isfinite(one.variance)
    assert math.isnan(row.agreement.same_class) and math.isfinite(row.detail.overshoot)
    assert floor.likeness.frechet < row.likeness.frechet
    bare, *_ = evaluate(made, None, colours(1), colours(2), config)
    assert bare.size == "16x16" and math.isnan(bare.likeness.frechet) and bare.agreement.psnr == row.agreement.psnr


@pytest.mark.parametrize("size", [(16, 16), (13, 15), (10, 14)])
def test_a_zoom_is_compared_with_the_same_part_of_the_picture(size):
    card = Card(data="noise", density=8, size=size)
    made = S2ID(replace(TINY, classes=0), card).eval().requires_grad_(False)
    enliven(made)
    larger = (2 * size[0], 2 * size[1])
    config = replace(QUICK, sizes=(size, larger))
    images = torch.randint(0, 256, (40, 1, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = [Pictures("noise", (Group(images, torch.full((40,), NULL)),), ())] * 2
    rows = [row for row in evaluate(made, None, *data, config) if row.size == f"{larger[0]}x{larger[1]}"]
    assert rows[0].agreement.zoom_psnr > 38
