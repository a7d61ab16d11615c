"""Data sets of the Hugging Face Hub, streamed once through the library `datasets` into the cache of pictures.

The name and type of a column decide what it is used for: picture, class, attribute, number or caption.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from s2id.data.assembly import assemble
from s2id.data.cache import Kept, keep
from s2id.data.decoding import Entry
from s2id.data.pictures import Pictures
from s2id.data.request import Request
from s2id.data.table import Column, Table, as_text, table
from s2id.errors import InputError

_PICTURES = ("image", "img", "picture", "photo")

_LABELS = ("label", "labels", "class", "fine_label")

_TEXTS = ("text", "caption", "prompt", "description")

_IDENTITY = ("id", "idx", "index", "image_id")


@dataclass(frozen=True)
class _Roles:
    """Use of each column."""

    image: str
    """Column of the pictures."""
    label: str | None
    """Column of the classes, if there is one."""
    text: str | None
    """Column of the captions, if there is one."""
    values: tuple[str, ...]
    """Columns of attributes and numbers."""
    classes: tuple[str, ...]
    """Name of each class in order. Empty if the column of classes is not of type ClassLabel."""

    @property
    def used(self) -> dict[str, str]:
        """Each column of labels -> its name in a `Table`."""
        return {
            **{name: name for name in self.values},
            **({self.label: "label"} if self.label else {}),
            **({self.text: "text"} if self.text else {}),
        }


def read(request: Request) -> Pictures:
    """The pictures of a data set on the Hub, whose name stands in place of the folder.

    Raises:
        InputError: No name is given, no such data set can be reached, or it has no column of pictures.
    """
    if request.folder is None:
        raise InputError("the Hub needs --data NAME.")
    name = request.folder.as_posix()
    kept, known = _streamed_once(name, request)
    pictures = assemble(name, kept, known, request.min_side)
    unused = ", ".join(kept.facts["left"])
    told = (f"columns {unused} of {name}, which hold nothing that a model can learn from.",) if unused else ()
    return replace(pictures, skipped=(*pictures.skipped, *told), reader="hub")


def _streamed_once(name: str, request: Request) -> tuple[Kept, Table]:
    """Cached pictures and labels of a data set.

    Args:
        name: Name on the Hub, such as "ylecun/mnist" or "NAME:SUBSET"; or a folder that `Dataset.save_to_disk` wrote or
            that `load_dataset` reads.
        request: Gives the split, the long side, what becomes of transparency, and the number of processes.
    """
    files = sorted(file for file in Path(name).rglob("*") if file.is_file()) if Path(name).is_dir() else []
    listing = [(str(file), (s := file.stat()).st_size, s.st_mtime_ns) for file in files]
    split, long_side = request.split, request.long_side
    key = ["hub", name, split, long_side, listing]
    kept = keep(f"{name}-{split}", key, lambda: _streamed(name, split), long_side, request.workers, alpha=request.alpha)
    columns = [
        Column(what, values, lambda row: f"row {row} of {name}") for what, values in kept.columns.items() if any(values)
    ]
    known = table(("",) * kept.count, columns, tuple(kept.facts["classes"]))
    return kept, known


def _streamed(name: str, split: str) -> tuple[Iterable[Entry], dict[str, Any]]:
    """The rows as entries, and the names of the classes and of unused columns."""
    rows, features = _open(name, split)
    roles = _roles(name, features)
    left = sorted(set(features) - {roles.image, *roles.used})
    return _entries(name, rows, roles), {"classes": roles.classes, "left": left}


def _open(name: str, split: str) -> tuple[Any, dict[str, Any]]:
    """An iterable of rows, which are fetched while it runs, and the type of each column."""
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
            if isinstance(kind, datasets.Image):  # decoded here, so that a damaged picture does not end the stream
                rows = rows.cast_column(column, datasets.Image(decode=False))
    except Exception as error:  # the network, the Hub and the data set's code raise errors of many types
        reason = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        raise InputError(
            f"{name} cannot be loaded from the Hugging Face Hub ({reason}); check its name and the network, or bring "
            "a folder that Dataset.save_to_disk wrote and give that."
        ) from error
    return rows, features


def _roles(name: str, features: dict[str, Any]) -> _Roles:
    """Use of each column, by its type and, among several columns of one type, by its name.

    Raises:
        InputError: No column holds pictures.
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
    """The column with the earliest of the names; the first column if none has any of the names."""
    return next((name for name in names if name in columns), columns[0] if columns else None)


def _entries(name: str, rows: Any, roles: _Roles) -> Iterator[Entry]:  # noqa: ANN401  (an optional package's class)
    """One entry for each row.

    Raises:
        InputError: The stream ends early.
    """
    number = -1
    try:
        for number, row in enumerate(rows):
            fields = {known: as_text(row[column]) for column, known in roles.used.items()}
            if roles.classes and (index := row[roles.label]) is not None:
                fields["label"] = roles.classes[index] if index >= 0 else ""  # test splits without labels have -1
            yield Entry(f"row {number} of {name}", _content(row[roles.image]), fields)
    except Exception as error:  # the network and file formats raise errors of many types
        raise InputError(
            f"the stream of {name} ended after row {number} ({error}); check the network and start again."
        ) from error


def _content(image: dict[str, Any] | None) -> Path | bytes:
    """File of a picture, or the file's content, which is empty where a row has no picture."""
    if image is None:
        return b""
    if image["bytes"] is not None:
        return bytes(image["bytes"])
    if Path(image["path"]).is_file():
        return Path(image["path"])
    import fsspec

    with fsspec.open(image["path"], "rb") as file:
        return bytes(file.read())
