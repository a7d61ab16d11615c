"""Files of labels: metadata.csv and metadata.jsonl beside pictures, CelebA's own list, and other lists of columns.

The column `file_name` names the picture, as a path from the folder of the file; `table` says what other columns mean.
"""

import codecs
import csv
import json
import posixpath
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch

from s2id.condition import Condition
from s2id.data.table import TEXTS, Column, Table, as_text, table
from s2id.errors import InputError
from s2id.names import composed
from s2id.shapes import NULL

_HEADER = "needs a header with a column file_name; write that name in line 1."

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
"""First bytes of a text -> its encoding; the mark of UTF-16 begins as that of UTF-32, and so comes after it."""


def read_metadata(*paths: Path, root: Path | None = None, pictures: Collection[str] = ()) -> Table:
    """Labels from files metadata.csv and metadata.jsonl, each of which names pictures from its own folder.

    Args:
        paths: The files.
        root: Folder that the table's file names begin from; `None` is the first file's.
        pictures: File names of the pictures, from `root`. They decide what a backslash means.

    Raises:
        InputError: A row cannot be understood, or names a picture that another row names.
    """
    top = root or paths[0].parent
    rows: list[dict[str, str]] = []
    places: list[tuple[int, Path]] = []
    seen: dict[str, int] = {}
    for path in paths:
        for line, row in (
            _json_lines(path) if path.suffix.lower() == ".jsonl" else csv_rows(path, ("file_name",), _HEADER)
        ):
            name = row.pop("file_name", "")
            if not name:
                raise InputError(f"line {line} of {path} has no file_name; name the picture that it describes.")
            file = _from_root(name, path.parent, top, pictures)
            if file in seen:
                before, first = places[seen[file]]
                elsewhere = "" if first == path else f" of {first}"
                raise InputError(
                    f"line {line} of {path} names {name} again, after line {before}{elsewhere}; keep one of them."
                )
            seen[file] = len(rows)
            rows.append(row)
            places.append((line, path))

    def where(row: int) -> str:
        return "line {} of {}".format(*places[row])

    names = dict.fromkeys(name for row in rows for name in row)
    columns = [Column(name, [row.get(name, "") for row in rows], where) for name in names]
    columns = [column for column in columns if any(column.values)]
    unnamed = tuple(f"a column of {where(0)} has no name and is left out." for column in columns if not column.name)
    empty = tuple(
        f"column {name!r} of {paths[0].name} is empty and is left out."
        for name in names
        if name and name not in {column.name for column in columns}
    )
    without = tuple(f"{path} describes no picture." for path in paths if path not in {place for _, place in places})
    made = table(tuple(seen), [column for column in columns if column.name])
    return replace(made, places=tuple(map(where, range(len(rows)))), skipped=(*unnamed, *empty, *without))


def _from_root(name: str, folder: Path, root: Path, pictures: Collection[str]) -> str:
    """File name of a picture from the root, as the row of a file of labels in a folder gives it.

    It may be absolute, or hold dots. A backslash stands between folders, unless it is part of a picture's name.
    """
    base = folder.relative_to(root).as_posix()
    found = ""
    for form in (composed(name), composed(name).replace("\\", "/")):
        for top in (root.absolute(), root.resolve()):
            if PurePath(form).is_absolute() and PurePath(form).is_relative_to(top):
                form = posixpath.relpath(PurePath(form).relative_to(top).as_posix(), base)
        found = posixpath.normpath(posixpath.join(composed(base), form))
        if found in pictures:
            break
    return found


def read_celeba(path: Path) -> Table:
    """Labels from CelebA's list_attr_celeba.txt.

    Its first line is a count and its second the attributes' names; each further line is a file name and a -1 or 1 for
    each attribute.

    Raises:
        InputError: A line has another form.
    """
    lines = read_text(path).rstrip().splitlines()
    names = lines[1].split() if len(lines) > 1 else []
    count = lines[0].strip() if lines else ""
    if not names or not count.isdecimal():
        raise InputError(f"{path} does not begin with a count and a line of names; fetch CelebA's own list.")
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise InputError(f"{path} names the attribute {twice[0]} twice; fetch CelebA's own list.")
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
    if len(files) != int(count[:9]):
        raise InputError(f"{path} promises {count[:20]} lines and has {len(files)}; fetch CelebA's own list.")
    known = Condition(torch.full((len(files),), NULL), torch.from_numpy(has))
    return Table(tuple(files), known, attributes=tuple(names))


def read_text(path: Path) -> str:
    """The text of a file, in UTF-8, or in what the mark at its beginning says.

    Raises:
        InputError: The file cannot be read, or is no text.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); let it be read, or remove it.") from error
    encoding = next((name for mark, name in _MARKS.items() if raw.startswith(mark)), "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path} cannot be read (line {line} is no {encoding}); save it as UTF-8 text.") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(f"{path} cannot be read (line {line} holds a zero byte); save it as UTF-8 text.")
    return text


def csv_rows(path: Path, needed: tuple[str, ...], refusal: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and fields of each row of a CSV file, whose columns commas, semicolons or tabs separate.

    Args:
        path: The file.
        needed: Columns that it must have.
        refusal: What is said of a file that lacks one of them, after its name.

    Raises:
        InputError: The file is no text, lacks a column, has two of one name, or a row has more or fewer fields.
    """
    text = read_text(path)
    between = next((one for one in ",;\t" if {*needed} <= {*_header(text, one)}), ",")
    header, reader = _header(text, between), csv.reader(StringIO(text, newline=""), strict=True, delimiter=between)
    named = [name for name in header if name]
    if not {*needed} <= {*named}:
        raise InputError(f"{path} {refusal}")
    if twice := sorted(name for name, count in Counter(named).items() if count > 1):
        raise InputError(f"{path} has the column {twice[0]} twice; give its columns different names.")
    try:
        next(reader)
        for fields in reader:
            if not any(map(str.strip, fields)):
                continue
            if len(fields) != len(header):
                raise InputError(
                    f"line {reader.line_num} of {path} has {len(fields)} fields and the header {len(header)}; "
                    "correct it, with quotes around text that has commas."
                )
            yield reader.line_num, dict(zip(header, (field.strip() for field in fields), strict=True))
    except csv.Error as error:
        raise InputError(f"line {reader.line_num} of {path} cannot be read ({error}); correct it.") from error


def _header(text: str, between: str) -> list[str]:
    """The fields of the first line, in Unicode's composed form."""
    try:
        return [composed(name.strip()) for name in next(csv.reader(StringIO(text, newline=""), delimiter=between), [])]
    except csv.Error:
        return []


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and fields of each line of a file of JSON objects."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_different, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise InputError(f"line {number} of {path} is no JSON ({error}); correct it.") from error
        for name in TEXTS if isinstance(row, dict) else ():
            if isinstance(several := row.get(name), list) and all(isinstance(one, str) for one in several):
                row[name] = ", ".join(several)
        if not isinstance(row, dict) or any(isinstance(value, dict | list) for value in row.values()):
            raise InputError(f"line {number} of {path} is no flat JSON object; give one value to each name.")
        yield number, {composed(name): as_text(value) for name, value in row.items()}


def _no_number(text: str) -> float:
    """Refuse NaN and infinity, which JSON has no words for.

    Raises:
        ValueError: Always.
    """
    raise ValueError(f"{text} is no number; leave the value out where it is unknown")


def _different(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, whose names differ.

    Raises:
        ValueError: Two are the same.
    """
    named = dict(pairs)
    if len(named) < len(pairs):
        raise ValueError("a name occurs twice")
    return named
