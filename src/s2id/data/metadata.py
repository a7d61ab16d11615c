"""Labels of pictures from a file beside them: metadata.csv, metadata.jsonl, or CelebA's own list.

The column `file_name` names the picture, `label` is its class and `text` its caption. Any other column is an attribute
if it holds true / false, 0 / 1 or -1 / 1, and a number if it holds other numbers. In a column with -1 / 1, a 0 means
unknown; an empty field always means unknown.
"""

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from s2id.condition import Condition, scaled
from s2id.errors import InputError
from s2id.shapes import NULL

METADATA = ("metadata.csv", "metadata.jsonl")


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
    place: str
    """Name of the file, for error messages."""
    values: list[str]
    """Field of each row; "" is unknown."""
    lines: list[int]
    """Line of the file that each field stands in, for error messages."""


def read_metadata(path: Path) -> Table:
    """Labels from a metadata.csv or metadata.jsonl.

    Raises:
        InputError: A row cannot be understood.
    """
    try:
        rows = list(_json_lines(path) if path.suffix == ".jsonl" else _csv_rows(path))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read ({error}); save it as UTF-8 text.") from error
    seen: dict[str, int] = {}
    for line, row in rows:
        if not row.get("file_name"):
            raise InputError(f"line {line} of {path} has no file_name; name the picture that it describes.")
        if row["file_name"] in seen:
            raise InputError(
                f"line {line} of {path} names {row['file_name']} again, after line {seen[row['file_name']]}; "
                "keep one of them."
            )
        seen[row["file_name"]] = line
    names = dict.fromkeys(name for _, row in rows for name in row)
    lines = [line for line, _ in rows]
    columns = [
        Column(name, str(path), [row.get(name, "") for _, row in rows], lines)
        for name in names
        if name != "file_name" and any(row.get(name) for _, row in rows)
    ]
    return table(tuple(seen), columns)


def read_celeba(path: Path) -> Table:
    """Labels from CelebA's list_attr_celeba.txt.

    Its first line is a count and its second the attributes' names; each further line is a file name and a -1 or 1 for
    each attribute.

    Raises:
        InputError: A line has another form.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); fetch it again.") from error
    names = lines[1].split() if len(lines) > 1 else []
    if not names or not lines[0].strip().isdecimal():
        raise InputError(f"{path} does not begin with a count and a line of names; fetch CelebA's own list.")
    files: dict[str, int] = {}
    has = np.zeros((len(lines) - 2, len(names)), np.int8)
    for i, line in enumerate(lines[2:]):
        file, *values = line.split() or [""]
        if len(values) != len(names) or not set(values) <= {"1", "-1"}:
            raise InputError(f"line {i + 3} of {path} is no file and {len(names)} times -1 or 1; fetch it again.")
        if file in files:
            raise InputError(f"line {i + 3} of {path} names {file} again, after line {files[file]}; keep one of them.")
        files[file] = i + 3
        has[i] = values
    known = Condition(torch.full((len(files),), NULL), torch.from_numpy(has))
    return Table(tuple(files), known, attributes=tuple(names))


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and fields of each row of a CSV file."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        header = [name.strip() for name in next(reader, [])]
        if "file_name" not in header or len(set(header)) < len(header):
            raise InputError(f"{path} needs a header with different names, file_name among them; add it as line 1.")
        for fields in reader:
            if fields and len(fields) != len(header):
                raise InputError(
                    f"line {reader.line_num} of {path} has {len(fields)} fields and the header {len(header)}; "
                    "correct it, with quotes around text that has commas."
                )
            if fields:
                yield reader.line_num, dict(zip(header, (field.strip() for field in fields), strict=True))


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and fields of each line of a file of JSON objects."""
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"line {number} of {path} is no JSON ({error}); correct it.") from error
        if not isinstance(row, dict) or any(isinstance(value, dict | list) for value in row.values()):
            raise InputError(f"line {number} of {path} is no flat JSON object; give one value to each name.")
        yield number, {name: as_text(value) for name, value in row.items()}


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
            classes = classes or tuple(sorted({value for value in column.values if value}, key=in_order))
            label = torch.tensor([classes.index(value) if value else NULL for value in column.values])
        elif column.name == "text":
            texts = tuple(column.values)
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
    return value if math.isfinite(value) else None


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
        InputError: A field is no number.
    """
    values = [_number(value) for value in column.values]
    wrong = [i for i, value in enumerate(values) if value is None and column.values[i]]
    if len(wrong) == sum(map(bool, column.values)):
        raise InputError(
            f"column {column.name!r} of {column.place} holds neither true and false nor numbers; rename it label "
            "(a class) or text (a caption), or remove it."
        )
    if wrong:
        raise InputError(
            f"line {column.lines[wrong[0]]} of {column.place} has {column.name} {column.values[wrong[0]]!r}, which is "
            "no number as in other lines; correct or empty it."
        )
    return [math.nan if value is None else value for value in values]
