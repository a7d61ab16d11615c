"""Pictures labelled by the names that a model knows, so that it can go on learning with them."""

from dataclasses import replace

import torch
from torch import Tensor

from s2id.data.pictures import Group, Pictures, rescaled
from s2id.shapes import NULL

Names = tuple[str, ...]
Ranges = tuple[tuple[float, float], ...]


def with_known(
    pictures: Pictures,
    labels: Names,
    attributes: Names = (),
    numbers: Names = (),
    ranges: Ranges = (),
    channels: int = 1,
) -> Pictures:
    """The same pictures with the classes, attributes and numbers of a model first, then those that it does not know.

    Where a model knows classes and the pictures have none, they become a class of their own, named after the data set,
    so that it can be asked for pictures like them. Grey pictures become coloured ones where the model's are.

    Args:
        pictures: A data set.
        labels: Names of the model's classes.
        attributes: Names of its attributes. Those that the pictures lack are unknown of them.
        numbers: Names of its numbers, likewise.
        ranges: Smallest and largest value of each of its numbers, as which the pictures' are scaled too.
        channels: Channels of its pictures.

    Example:
        >>> grey = Group(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]))
        >>> found = with_known(Pictures("mine", (grey,), ("b", "c")), ("a", "b"), channels=3)
        >>> found.labels, found.groups[0].labels.tolist(), found.channels
        (('a', 'b', 'c'), [1, 2], 3)
    """
    if labels and not pictures.labels:
        groups = tuple(replace(one, labels=torch.zeros_like(one.labels)) for one in pictures.groups)
        pictures = replace(pictures, groups=groups, labels=(pictures.name,))
    kept = dict(zip(numbers, ranges, strict=True))
    own = dict(zip(pictures.numbers, pictures.number_ranges, strict=True))
    pictures = rescaled(pictures, [kept.get(name, span) for name, span in own.items()])
    classes, traits, measures = (
        _joined(*pair) for pair in zip((labels, attributes, numbers), pictures.names, strict=True)
    )
    place = torch.tensor([*(classes.index(name) for name in pictures.labels), NULL])  # the last is that of no class

    def known(group: Group) -> Group:
        group, count = (_coloured(group) if channels - group.images.shape[1] == 2 else group), len(group.labels)
        return replace(
            group,
            labels=place[group.labels.long()],
            attributes=_columns(group.attributes, pictures.attributes, traits, 0, count),
            numbers=_columns(group.numbers, pictures.numbers, measures, torch.nan, count),
        )

    groups = tuple(known(group) for group in pictures.groups)
    spans = tuple((own | kept)[name] for name in measures)
    return replace(pictures, groups=groups, labels=classes, attributes=traits, numbers=measures, number_ranges=spans)


def _coloured(group: Group) -> Group:
    """Grey pictures, with or without alpha, as coloured ones."""
    index, drawn = [0, 0, 0, 1][: group.images.shape[1] + 2], group.truth
    return replace(group, images=group.images[:, index], truth=drawn and (lambda i, size: drawn(i, size)[index]))


def _joined(first: Names, second: Names) -> Names:
    return tuple(dict.fromkeys((*first, *second)))


def _columns(values: Tensor | None, names: Names, wanted: Names, unknown: float | int, count: int) -> Tensor | None:
    """A column of labels for each of the wanted names, of which some have none among the values."""
    if values is None and names == wanted:
        return None
    if values is None:
        values = torch.full((count, len(names)), unknown, dtype=torch.int8 if unknown == 0 else torch.float32)
    whole = values.new_full((count, len(wanted)), unknown)
    whole[:, [wanted.index(name) for name in names]] = values
    return whole
