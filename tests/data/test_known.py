"""Pictures under the names that a model knows: its labels first, in its ranges and colours."""

from dataclasses import replace

import pytest
import torch

from s2id.data.known import with_known
from s2id.data.pictures import Group, Pictures
from s2id.shapes import NULL

GREY = torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 1, 4, 4)


def pictures(labels=(0, 1, NULL), names=("b", "c"), **changes):
    return Pictures("mine", (Group(GREY, torch.tensor(labels)),), names, **changes)


def test_labels_of_the_same_names_stay_as_they_are():
    own = pictures()
    known = with_known(own, ("b", "c"))
    assert known.names == own.names and torch.equal(known.groups[0].labels, own.groups[0].labels)
    assert known.groups[0].images is own.groups[0].images and known.groups[0].attributes is None


def test_classes_that_a_model_knows_come_first_and_no_class_stays_none():
    known = with_known(pictures(), ("a", "b"))
    assert known.labels == ("a", "b", "c") and known.groups[0].labels.tolist() == [1, 2, NULL]
    assert known.label_counts == (0, 1, 1)


def test_pictures_without_classes_become_one_where_a_model_knows_classes():
    plain = pictures((NULL, NULL, NULL), ())
    assert with_known(plain, ()).labels == ()
    known = with_known(plain, ("a", "b"))
    assert known.labels == ("a", "b", "mine") and known.groups[0].labels.tolist() == [2, 2, 2]
    again = with_known(plain, known.labels)
    assert again.labels == known.labels and again.groups[0].labels.tolist() == [2, 2, 2]


def test_attributes_that_pictures_lack_are_unknown_of_them():
    own = pictures(attributes=("hat", "red"))
    traits = torch.tensor([[1, -1], [0, 1], [-1, 0]], dtype=torch.int8)
    own = replace(own, groups=(replace(own.groups[0], attributes=traits),))
    known = with_known(own, ("b", "c"), ("red", "old"))
    assert known.attributes == ("red", "old", "hat")
    assert known.groups[0].attributes.tolist() == [[-1, 0, 1], [1, 0, 0], [0, 0, -1]]
    assert known.groups[0].attributes.dtype == torch.int8
    without = with_known(pictures(), ("b", "c"), ("red",))
    assert without.groups[0].attributes.tolist() == [[0], [0], [0]]


def test_numbers_are_scaled_as_a_model_knows_them():
    own = pictures(numbers=("size", "age"), number_ranges=((0.0, 1.0), (20.0, 40.0)))
    values = torch.tensor([[-1.0, 1.0], [1.0, torch.nan], [0.0, -1.0]])
    own = replace(own, groups=(replace(own.groups[0], numbers=values),))
    known = with_known(own, ("b", "c"), (), ("age", "mass"), ((0.0, 80.0), (1.0, 2.0)))
    assert known.numbers == ("age", "mass", "size") and known.number_ranges == ((0.0, 80.0), (1.0, 2.0), (0.0, 1.0))
    found = known.groups[0].numbers
    assert found[:, 2].tolist() == [-1, 1, 0] and found[:, 1].isnan().all()
    assert found[0, 0].item() == pytest.approx(0.0) and found[2, 0].item() == pytest.approx(
        -0.5
    )  # 40 and 20 of 0 to 80
    assert found[1, 0].isnan()


@pytest.mark.parametrize("channels", [1, 2])
def test_grey_pictures_become_coloured_as_a_model_is(channels):
    images = torch.stack([torch.full((4, 4), 10 * (1 + i), dtype=torch.uint8) for i in range(channels)])[None]
    drawn = Group(images, torch.tensor([0]), truth=lambda index, size: images[index, :, : size[0], : size[1]] / 255)
    known = with_known(Pictures("mine", (drawn,), ("b",)), ("b",), channels=channels + 2)
    (group,) = known.groups
    assert known.channels == channels + 2
    assert torch.equal(group.images[:, :3], images[:, :1].expand(-1, 3, -1, -1))
    assert torch.equal(group.images[:, 3:], images[:, 1:])
    assert group.truth(0, (2, 2)).shape == (channels + 2, 2, 2)
    assert torch.equal(group.truth(0, (4, 4)), group.images[0] / 255)
