"""What a file beside the pictures says of them: metadata.csv, metadata.jsonl and CelebA's own list.

The column `file_name` names the picture, `label` is its class and `text` its caption. Any other column is an attribute
where it holds true / false, 0 / 1 or -1 / 1 (with -1 a 0 is unknown), and a number where it holds numbers. An empty
field is unknown.
"""

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from s2id.condition import Condition, scaled
from s2id.errors import InputError
from s2id.shapes import NULL

METADATA = ("metadata.csv", "metadata.jsonl")


@dataclass(frozen=True)
class Table:
    """What is known of pictures."""

    files: tuple[str, ...]
    """Names of the pictures' files, as the table gives them."""
    known: Condition
    """Of each file, in their order."""
    classes: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    number_ranges: tuple[tuple[float, float], ...] = ()
    """Least and most of each number, which the condition has as -1 and 1."""
    texts: tuple[str, ...] = ()
    """Caption of each file, empty where there is none; none at all where no file has one."""


@dataclass(frozen=True)
class Column:
    """A column's fields, as text, and where they stand."""

    name: str
    place: str
    values: list[str]
    lines: list[int]


def read_metadata(path: Path) -> Table:
    """The table in a metadata.csv or metadata.jsonl.

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
    """The table in CelebA's list_attr_celeba.txt: a count, the names, then a file and -1 or 1 for each name per line.

    Raises:
        InputError: A line is nothing of the kind.
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
    """A value as a field of a CSV; `None` and NaN are empty."""
    if value is None or value != value:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def table(files: tuple[str, ...], columns: list[Column], classes: tuple[str, ...] = ()) -> Table:
    """The table of columns of text.

    Args:
        files: What each field of a column is of.
        columns: With at least one field each that is not empty.
        classes: In their order; found in the column `label` if none are given.

    Raises:
        InputError: A column cannot be understood.
    """
    label = torch.full((len(files),), NULL)
    texts: tuple[str, ...] = ()
    attributes: dict[str, list[int]] = {}
    numbers: dict[str, list[float]] = {}
    for column in columns:
        if column.name == "label":
            classes = classes or tuple(sorted({value for value in column.values if value}, key=_in_order))
            label = torch.tensor([classes.index(value) if value else NULL for value in column.values])
        elif column.name == "text":
            texts = tuple(column.values)
        elif (has := _attribute(column)) is not None:
            attributes[column.name] = has
        else:
            numbers[column.name] = _numbers(column)
    ranges = {name: (min(v for v in vs if v == v), max(v for v in vs if v == v)) for name, vs in numbers.items()}
    heard = [[scaled(value, *ranges[name]) for value in values] for name, values in numbers.items()]
    known = Condition(
        label,
        torch.tensor(list(attributes.values()), dtype=torch.int8).T.contiguous() if attributes else None,
        torch.tensor(heard).T.contiguous() if heard else None,
    )
    return Table(files, known, classes, tuple(attributes), tuple(numbers), tuple(ranges.values()), texts)


def _in_order(name: str) -> tuple[float, str]:
    """Classes that are numbers in their order, then the others in the alphabet's."""
    return (float(name) if name.isdecimal() else math.inf), name


def _number(text: str) -> float | None:
    """The finite number that a text says, if any."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _attribute(column: Column) -> list[int] | None:
    """1, -1 or 0 (unknown) for each field; `None` where the column is no attribute."""
    said = {value.lower() for value in column.values if value}
    if said <= {"true", "false"}:
        meaning = {"true": 1, "false": -1, "": 0}
        return [meaning[value.lower()] for value in column.values]
    values = [_number(value) for value in column.values]
    found = {value for value, text in zip(values, column.values, strict=True) if text}
    if not found <= {-1.0, 0.0, 1.0}:
        return None
    zero = 0 if -1.0 in found else -1
    return [0 if value is None else zero if value == 0 else int(value) for value in values]


def _numbers(column: Column) -> list[float]:
    """The numbers, NaN where a field is empty.

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
