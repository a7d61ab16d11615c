"""Labels of pictures as tensors, from columns of text.

The column `label` is a picture's class; `text`, `caption` and `tags` are its caption. Any other column is an attribute
if it holds true / false, 0 / 1 or -1 / 1, and a number if it holds other numbers. In a column with -1 / 1, a 0 means
unknown; an empty field always means unknown.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from s2id.condition import Condition, scaled
from s2id.errors import InputError
from s2id.names import composed
from s2id.shapes import NULL

TEXTS = ("text", "caption", "tags")
"""Columns that make up a picture's caption."""

_LARGEST = float(np.finfo(np.float32).max) / 8
"""Largest magnitude of a number, so that the range of a column is a number of 32 bits too."""

_CLOSEST = float(np.finfo(np.float32).tiny)
"""Smallest range of a column whose numbers differ."""


@dataclass(frozen=True)
class Table:
    """Labels of pictures, one row per picture."""

    files: tuple[str, ...]
    """File name of each picture, as the file of labels gives it."""
    known: Condition
    """Labels of each picture, in the order of `files`."""
    classes: tuple[str, ...] = ()
    """Name of each class; `known.label` counts from 0 in this order."""
    attributes: tuple[str, ...] = ()
    """Name of each attribute."""
    numbers: tuple[str, ...] = ()
    """Name of each number."""
    number_ranges: tuple[tuple[float, float], ...] = ()
    """Smallest and largest value of each number, which `known.numbers` holds as -1 and 1."""
    texts: tuple[str, ...] = ()
    """Caption of each picture, "" for a picture without one. Empty if no picture has a caption."""

    places: tuple[str, ...] = ()
    """Place of each row in its file, for messages. Empty if the rows come from no file."""
    skipped: tuple[str, ...] = ()
    """A sentence for each column that was left out."""

    def rows(self, order: list[int]) -> "Table":
        """The table's rows at the given places; -1 makes a row in which everything is unknown."""
        chosen = torch.tensor(order, dtype=torch.long)
        known = self.known[chosen].where(chosen >= 0) if self.files else Condition(torch.full_like(chosen, NULL))
        texts = tuple(self.texts[i] if i >= 0 else "" for i in order) if self.texts else ()
        files = tuple(self.files[i] if i >= 0 else "" for i in order)
        return replace(self, files=files, known=known, texts=texts)


@dataclass(frozen=True)
class Column:
    """One column of a file of labels, as text."""

    name: str
    """Heading of the column."""
    values: list[str]
    """Field of each row; "" is unknown."""
    where: Callable[[int], str]
    """Function from the number of a row to the place that it stands in, for error messages."""


def as_text(value: str | int | float | bool | None) -> str:
    """A value as a field of a CSV file; `None` and NaN become the empty field.

    >>> as_text(True), as_text(2.5), as_text(None)
    ('true', '2.5', '')
    """
    if value is None or value != value:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def table(files: tuple[str, ...], columns: list[Column], classes: tuple[str, ...] = ()) -> Table:
    """Labels of pictures from columns of text.

    Args:
        files: File name of each picture, one per row.
        columns: The columns; each has at least one field that is not empty.
        classes: Names of the classes in order. Empty takes the names that occur in the column `label`.

    Raises:
        InputError: A column cannot be understood.
    """
    label = torch.full((len(files),), NULL)
    texts: tuple[str, ...] = ()
    attributes: dict[str, list[int]] = {}
    numbers: dict[str, list[float]] = {}
    for column in columns:
        if column.name == "label":
            names = [composed(value) for value in column.values]
            classes = tuple(map(composed, classes)) or tuple(sorted({*names} - {""}, key=in_order))
            place = {name: i for i, name in enumerate(classes)} | {"": NULL}
            label = torch.tensor([place[name] for name in names])
        elif column.name in TEXTS:
            pairs = zip(texts or ("",) * len(files), column.values, strict=True)
            texts = tuple(", ".join(filter(None, pair)) for pair in pairs)
        elif (has := _attribute(column)) is not None:
            attributes[column.name] = has
        else:
            numbers[column.name] = _numbers(column)
    ranges = {name: (min(v for v in vs if v == v), max(v for v in vs if v == v)) for name, vs in numbers.items()}
    spread = [[scaled(value, *ranges[name]) for value in values] for name, values in numbers.items()]
    known = Condition(
        label,
        torch.tensor(list(attributes.values()), dtype=torch.int8).T.contiguous() if attributes else None,
        torch.tensor(spread).T.contiguous() if spread else None,
    )
    return Table(files, known, classes, tuple(attributes), tuple(numbers), tuple(ranges.values()), texts)


def in_order(name: str) -> tuple[float, str]:
    """Sort key of class names: numbers by value, then all other names alphabetically.

    >>> sorted(["b", "10", "a", "9"], key=in_order)
    ['9', '10', 'a', 'b']
    """
    return (float(name) if name.isdecimal() else math.inf), name


def _number(text: str) -> float | None:
    """The finite number that a text spells, or `None`."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None


def _attribute(column: Column) -> list[int] | None:
    """1 (present), -1 (absent) or 0 (unknown) for each field, or `None` if the column is no attribute."""
    words = {value.lower() for value in column.values if value}
    if words <= {"true", "false"}:
        meaning = {"true": 1, "false": -1, "": 0}
        return [meaning[value.lower()] for value in column.values]
    values = [_number(value) for value in column.values]
    found = {value for value, text in zip(values, column.values, strict=True) if text}
    if not found <= {-1.0, 0.0, 1.0}:
        return None
    zero = 0 if -1.0 in found else -1
    return [0 if value is None else zero if value == 0 else int(value) for value in values]


def _numbers(column: Column) -> list[float]:
    """The numbers of a column; an empty field becomes NaN.

    Raises:
        InputError: A field is no number, or is too large.
    """
    values = [_number(text) for text in column.values]
    given = [i for i, text in enumerate(column.values) if text]
    wrong = [i for i in given if values[i] is None]
    if len(wrong) == len(given):
        raise InputError(
            f"column {column.name!r} of {column.where(wrong[0])} holds neither true and false nor numbers, but "
            f"{column.values[wrong[0]]!r}; rename it label (a class) or text (a caption), or remove it."
        )
    if wrong:
        raise InputError(
            f"{column.where(wrong[0])} has {column.name} {column.values[wrong[0]]!r}, which is no number as in other "
            "lines; correct or empty it."
        )
    numbers = [math.nan if value is None else value for value in values]
    large = max(given, key=lambda i: abs(numbers[i]))
    if abs(numbers[large]) > _LARGEST:
        raise InputError(
            f"{column.where(large)} has {column.name} {column.values[large]!r}; numbers go to {_LARGEST:.1g}, so "
            "correct it, or give the column another unit."
        )
    low, high = min(numbers[i] for i in given), max(numbers[i] for i in given)
    if 0 < high - low < _CLOSEST:
        raise InputError(
            f"column {column.name!r} of {column.where(given[0])} holds numbers from {low!r} to {high!r}, which are too "
            "close to tell apart; give it another unit."
        )
    return numbers
