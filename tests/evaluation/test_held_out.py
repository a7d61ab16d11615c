"""What is said of pairs that were held out: who is nearest, who is copied, and of which drawings."""

from dataclasses import replace

import pytest
import torch

from s2id.condition import Condition
from s2id.data.pictures import Group, Pictures
from s2id.data.split import parts_of
from s2id.errors import InputError
from s2id.evaluation.held_out import Drawings, Nearness, named, nearer_to_truth, of_samples
from s2id.evaluation.judge import Judge
from s2id.media.images import to_float

CAPTIONS = tuple(f"thing {i}" for i in range(40))
STYLES = ("flat", "round", "thin")
WIDTHS, STRIDES = (4, 8), (2, 1)


@pytest.fixture
def judge():
    torch.manual_seed(0)
    judge = Judge("toys", (8, 8), 3, 3, WIDTHS, strides=STRIDES, concepts=CAPTIONS)
    return judge.eval().requires_grad_(False)


@pytest.fixture
def pictures():
    """Forty concepts in three styles, all different."""
    images = torch.randint(0, 256, (120, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    texts = tuple(caption for caption in CAPTIONS for _ in STYLES)
    return Pictures("toys", (Group(images, torch.arange(3).repeat(40), texts=texts),), STYLES)


def laid_out(features, concepts, styles, parts):
    """Drawings of which only features, concepts, styles and parts are known."""
    count = len(parts)
    blank = torch.zeros(count, 3, 8, 8, dtype=torch.uint8)
    return Drawings(blank, Condition(torch.tensor(styles)), ("",) * count, torch.tensor(concepts), parts, features)


def test_nearer_to_the_truth_is_nearer_than_the_nearest_other_style():
    # truth at 0; other styles at 3 and 5; another concept nearer than both does not count
    places = torch.tensor([[0.0, 0], [3, 0], [5, 0], [1, 0]])
    drawings = laid_out(places, [0, 0, 0, 1], [0, 1, 2, 0], ("pair", "train", "train", "train"))
    samples = torch.tensor([[0.0, 2.9], [0, 3.1], [-2, 0], [4, 0]])
    assert nearer_to_truth(samples, torch.zeros(4, dtype=torch.long), drawings) == 0.5
    alone = torch.tensor([3])  # a concept of one style has no other to be nearer than
    assert nearer_to_truth(samples[:1], alone, drawings) is None


def test_distances_are_to_training_drawings_only_and_in_grey_levels():
    drawings = laid_out(torch.tensor([[0.0], [4], [7]]), [0, 0, 1], [0, 1, 0], ("train", "pair", "train"))
    images = torch.stack([torch.zeros(3, 8, 8), torch.full((3, 8, 8), 100), torch.full((3, 8, 8), 255)])
    drawings = replace(drawings, images=images.to(torch.uint8))
    near = Nearness.of(drawings)
    assert [bar.tolist() for bar in near.bars] == [[3.0], pytest.approx([100.0], abs=0.01)]
    features, pixels = near.distances(to_float(images.to(torch.uint8)), torch.tensor([[1.0], [4], [9]]))
    assert features.tolist() == [1, 3, 2] and pixels.tolist() == pytest.approx([0, 100, 0], abs=0.01)


def test_drawings_know_their_parts_in_an_order_that_no_order_of_files_changes(judge, pictures):
    drawings = Drawings.of(pictures, judge)
    assert [*drawings.parts] == parts_of(pictures)[0] and {*drawings.parts} == {"train", "pair", "concept"}
    turned = torch.arange(120).flip(0)
    group = pictures.groups[0]
    other = Group(group.images[turned], group.labels[turned], texts=group.texts[::-1])
    again = Drawings.of(replace(pictures, groups=(other,)), judge)
    for part in ("train", "pair", "concept"):
        assert again.of_part(part).tolist() == turned[drawings.of_part(part)].tolist()
    for some in drawings.concepts_in_all(5):
        assert drawings.asked.label[some].tolist() == [0, 1, 2] and len({drawings.captions[i] for i in some}) == 1
        assert all(drawings.parts[i] != "concept" for i in some)
    with pytest.raises(InputError, match="concepts are drawn in all 3 styles and the sheet needs 99"):
        drawings.concepts_in_all(99)


def test_samples_that_are_the_drawings_are_as_right_and_nearest_and_copies(judge, pictures):
    drawings = Drawings.of(pictures, judge)
    near = Nearness.of(drawings)
    for part in ("train", "pair"):
        rows = drawings.of_part(part)[:4]
        large = to_float(drawings.images[rows]).repeat_interleave(3, 2).repeat_interleave(3, 3)
        found, own = (
            of_samples(large, rows, drawings, judge, near),
            named(drawings.features[rows], rows, drawings, judge),
        )
        assert {name: found[name] for name in own} == own
        assert found["nearer to the truth"] == 1 and "Frechet / training's" not in found, "four are too few"
        copied = 1.0 if part == "train" else 0.0
        assert found["copies, features"] == found["copies, pixels"] == copied
    rows = drawings.of_part("train")[:32]
    seen = of_samples(to_float(drawings.images[rows]), rows, drawings, judge, near)
    assert seen["Frechet / training's"] == pytest.approx(1), "they are the very drawings that it is divided by"


def test_right_is_what_the_judge_names_and_a_caption_it_does_not_know_is_wrong(judge, pictures):
    drawings = Drawings.of(pictures, judge)
    # an embedding that points where the first style's drawing does
    judge.meant.data = judge.shown(drawings.features[::3])
    first = torch.arange(0, 120, 3)
    assert named(drawings.features[first], first, drawings, judge)["concept right"] == 1
    flat = judge.classify(drawings.features[first]) == 0
    assert named(drawings.features[first], first, drawings, judge)["style right"] == pytest.approx(
        flat.float().mean().item()
    )
    fewer = Judge("toys", (8, 8), 3, 3, WIDTHS, strides=STRIDES, concepts=CAPTIONS[1:]).eval().requires_grad_(False)
    drawings = Drawings.of(pictures, fewer)
    assert named(drawings.features[:1], first[:1], drawings, fewer)["among the ten nearest"] == 0


def test_a_judge_without_concepts_or_pictures_without_captions_are_refused(judge, pictures):
    with pytest.raises(InputError, match="knows 0 concepts in 3 classes.*runs/classifier.py --captions"):
        Drawings.of(pictures, Judge("toys", (8, 8), 3, 3, WIDTHS, strides=STRIDES))
    with pytest.raises(InputError, match="needs drawings of one size with captions"):
        Drawings.of(replace(pictures, groups=(replace(pictures.groups[0], texts=()),)), judge)
    with pytest.raises(InputError, match="0 of 3 drawings are held out, so nothing can be compared"):
        Nearness.of(laid_out(torch.zeros(3, 2), [0, 1, 2], [0, 0, 0], ("train",) * 3))
