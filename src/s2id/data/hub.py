"""Data sets of the Hugging Face Hub, streamed once through `datasets` into a file of pictures.

The names and kinds of the columns say what they are: the picture, its class, attributes, numbers and a text.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2id.data.cache import Entry, Kept, keep
from s2id.data.metadata import Column, Table, as_text, table
from s2id.errors import InputError

_PICTURES = ("image", "img", "picture", "photo")

_LABELS = ("label", "labels", "class", "fine_label")

_TEXTS = ("text", "caption", "prompt", "description")

_IDENTITY = ("id", "idx", "index", "image_id")


@dataclass(frozen=True)
class _Roles:
    """Which column is what."""

    image: str
    label: str | None
    text: str | None
    values: tuple[str, ...]
    """Attributes and numbers."""
    classes: tuple[str, ...]
    """In their order; none where the label is no ClassLabel."""

    @property
    def used(self) -> dict[str, str]:
        """Column -> its name in a table, but for the picture."""
        return {
            **{name: name for name in self.values},
            **({self.label: "label"} if self.label else {}),
            **({self.text: "text"} if self.text else {}),
        }


def pictures_of(name: str, split: str, long_side: int | None, cache: Path, workers: int = 0) -> tuple[Kept, Table]:
    """The pictures of a data set by size, and what is known of each.

    Args:
        name: On the Hub, as in "ylecun/mnist" or "NAME:SUBSET"; or a folder that `Dataset.save_to_disk` wrote or that
            `load_dataset` reads.
        split: "train" or "test".
        long_side: Shrink larger pictures to this; `None` leaves them as they are.
        cache: Folder of what is kept; a name is streamed once.
        workers: Processes that read; 0 reads in this one.

    Raises:
        InputError: There is no such data set, no network, no `datasets`, or no column of pictures.
    """
    files = sorted(file for file in Path(name).rglob("*") if file.is_file()) if Path(name).is_dir() else []
    listing = [(str(file), (s := file.stat()).st_size, s.st_mtime_ns) for file in files]
    key = ["hub", name, split, long_side, listing]
    kept = keep(f"{name}-{split}", key, lambda: _streamed(name, split), long_side, cache, workers)
    lines = list(range(kept.count))
    columns = [Column(what, name, values, lines) for what, values in kept.columns.items() if any(values)]
    known = table(("",) * kept.count, columns, tuple(kept.facts["classes"]))
    return kept, known


def _streamed(name: str, split: str) -> tuple[Iterable[Entry], dict[str, Any]]:
    """The rows as entries, and the classes' names."""
    rows, features = _open(name, split)
    roles = _roles(name, features)
    left = sorted(set(features) - {roles.image, *roles.used})
    return _entries(name, rows, roles), {"classes": roles.classes, "left": left}


def _open(name: str, split: str) -> tuple[Any, dict[str, Any]]:
    """The rows, which are read as one goes through them, and the kind of each column."""
    try:
        import datasets
    except ImportError as error:
        raise InputError("data sets of the Hub need `datasets`; pip install 's2id[data]' brings it.") from error
    path, _, subset = name.partition(":")
    try:
        if any((Path(path) / file).is_file() for file in ("dataset_info.json", "dataset_dict.json")):
            saved = datasets.load_from_disk(path)
            rows = (saved[split] if isinstance(saved, datasets.DatasetDict) else saved).to_iterable_dataset()
        else:
            rows = datasets.load_dataset(path, subset or None, split=split, streaming=True)
        features = dict(rows.features or rows.take(1)._resolve_features().features)
        for column, kind in features.items():
            if isinstance(kind, datasets.Image):  # read by us: a damaged picture is left out, not the end of the stream
                rows = rows.cast_column(column, datasets.Image(decode=False))
    except Exception as error:  # the network's, the Hub's and the data set's own
        said = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        raise InputError(
            f"{name} cannot be loaded from the Hugging Face Hub ({said}); check its name and the network, or bring "
            "a folder that Dataset.save_to_disk wrote and give that."
        ) from error
    return rows, features


def _roles(name: str, features: dict[str, Any]) -> _Roles:
    """What each column is, from its kind and, among several of one kind, its name.

    Raises:
        InputError: None holds pictures.
    """
    kinds = {column: type(kind).__name__ for column, kind in features.items()}
    images = [column for column, kind in kinds.items() if kind == "Image"]
    if not images:
        raise InputError(f"{name} has no column of pictures, but {', '.join(features)}; choose another data set.")
    plain = {column: str(getattr(kind, "dtype", "")) for column, kind in features.items() if kinds[column] == "Value"}
    texts = [column for column, dtype in plain.items() if "string" in dtype]
    classes = [column for column, kind in kinds.items() if kind == "ClassLabel"]
    named = [column for column in plain if column in _LABELS]
    label = _preferred(classes, _LABELS) or _preferred(named, _LABELS)
    values = tuple(
        column
        for column, dtype in plain.items()
        if dtype.startswith(("bool", "int", "uint", "float")) and column != label and column not in _IDENTITY
    )
    text = next((column for column in _TEXTS if column in texts and column != label), None)
    image = _preferred(images, _PICTURES)
    assert image is not None
    return _Roles(image, label, text, values, tuple(features[label].names) if label in classes else ())


def _preferred(columns: list[str], names: tuple[str, ...]) -> str | None:
    """The column with the first of the names that one has, or else the first column."""
    return next((name for name in names if name in columns), columns[0] if columns else None)


def _entries(name: str, rows: Any, roles: _Roles) -> Iterator[Entry]:  # noqa: ANN401  (an optional package's class)
    """One entry per row.

    Raises:
        InputError: The stream ends early.
    """
    number = -1
    try:
        for number, row in enumerate(rows):
            fields = {known: as_text(row[column]) for column, known in roles.used.items()}
            if roles.classes and (index := row[roles.label]) is not None:
                fields["label"] = roles.classes[index] if index >= 0 else ""  # -1: the Hub's test splits without labels
            yield Entry(f"row {number} of {name}", _content(row[roles.image]), fields)
    except Exception as error:  # the network's and the files' own
        raise InputError(
            f"the stream of {name} ended after row {number} ({error}); check the network and start again."
        ) from error


def _content(image: dict[str, Any] | None) -> Path | bytes:
    """A picture's file, or its bytes; empty where there is none."""
    if image is None:
        return b""
    if image["bytes"] is not None:
        return bytes(image["bytes"])
    if Path(image["path"]).is_file():
        return Path(image["path"])
    import fsspec

    with fsspec.open(image["path"], "rb") as file:
        return bytes(file.read())
