"""A folder of pictures with a metadata file or a subfolder per class."""

import unicodedata
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from s2id.condition import Condition
from s2id.data.cache import CACHE, Kept, store
from s2id.data.metadata import METADATA, Table, read_metadata
from s2id.data.pictures import Group, Pictures
from s2id.errors import InputError
from s2id.shapes import NULL


def image_folder(folder: Path, long_side: int | None = None, *, least: int = 1, workers: int = 0) -> Pictures:
    """All pictures of a folder, with what its metadata.csv or metadata.jsonl says of them.

    Without such a file its subfolders, if any, are the classes. Unreadable files are named and skipped; a picture
    without a row is one of which nothing is known.

    Args:
        folder: The folder.
        long_side: Shrink larger pictures to this; `None` leaves them as they are.
        least: Leave out pictures with fewer pixels than this on a side.
        workers: Processes that read pictures for the first time; 0 reads in this one.

    Raises:
        InputError: There is no folder, no readable picture in it, or metadata that cannot be understood.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give one that holds images.")
    if long_side is not None and long_side < 1:
        raise InputError(f"long_side is {long_side}; it must be at least 1.")
    files = _pictures_below(folder)
    described = [folder / name for name in METADATA if (folder / name).is_file()]
    if len(described) > 1:
        raise InputError(f"{folder} has {' and '.join(METADATA)}, which may contradict each other; keep one of them.")
    table, missing = _described(described[0], folder, files) if described else (_subfolders(folder, files), ())
    pictures = _gathered(folder.name, _stored(folder, files, long_side, workers), table, least)
    return replace(pictures, skipped=(*pictures.skipped, *missing), kind="folder")


def _described(path: Path, folder: Path, files: list[Path]) -> tuple[Table, tuple[str, ...]]:
    """What a metadata file says of each of the files, and which of its rows are of none of them."""
    table = read_metadata(path)
    rows = {_same(Path(name).as_posix()): i for i, name in enumerate(table.files)}
    names = [_same(file.relative_to(folder).as_posix()) for file in files]
    lost = sorted(rows.keys() - {*names})
    if files and rows and len(lost) == len(rows):
        raise InputError(
            f"{path} names none of the folder's pictures: it has {lost[0]} and the folder {names[0]}; give file_name "
            "as the path from the folder, with the ending."
        )
    missing = tuple(f"{path} names {name}, which is no picture of the folder." for name in lost)
    return _rows(table, [rows.get(name, -1) for name in names]), missing


def _same(name: str) -> str:
    """A name as it compares: an accented letter may be one character or two, by the system that wrote it."""
    return unicodedata.normalize("NFC", name)


def _pictures_below(folder: Path) -> list[Path]:
    """Files with a picture's ending; hidden ones are thumbnails and the like."""
    Image.init()
    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in endings
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]


def _subfolders(folder: Path, files: list[Path]) -> Table:
    """What the subfolders' names say."""
    paths = [file.relative_to(folder) for file in files]
    names = ["" if len(path.parts) == 1 else path.parts[0] for path in paths]
    classes = sorted({*names} - {""})
    index = {name: i for i, name in enumerate(classes)}
    label = torch.tensor([index.get(name, NULL) for name in names], dtype=torch.long)
    return Table(tuple(path.as_posix() for path in paths), Condition(label), tuple(classes))


def _rows(table: Table, order: list[int]) -> Table:
    """Some rows of a table; -1 is a row of which nothing is known."""
    chosen = torch.tensor(order, dtype=torch.long)
    known = table.known[chosen].where(chosen >= 0) if table.files else Condition(torch.full_like(chosen, NULL))
    texts = tuple(table.texts[i] if i >= 0 else "" for i in order) if table.texts else ()
    files = tuple(table.files[i] if i >= 0 else "" for i in order)
    return replace(table, files=files, known=known, texts=texts)


def _stored(root: Path, files: list[Path], long_side: int | None, workers: int, part: str = "") -> Kept:
    """The files' pictures by size; `part` names them where a folder is read in several.

    Raises:
        InputError: None is readable.
    """
    kept = store(root, files, long_side, CACHE / "pictures", workers, part=part)
    if not kept.groups:
        raise InputError(f"{root} holds no readable images{_unread(kept)}; put .png, .jpg or .webp files there.")
    return kept


def _unread(kept: Kept) -> str:
    """How many files could not be read, for a message that nothing is left; empty if all could."""
    return f"; {len(kept.skipped)} files could not be read, the first: {kept.skipped[0]}" if kept.skipped else ""


def _gathered(name: str, kept: Kept, table: Table, least: int) -> Pictures:
    """The pictures of both sides at least so long, and what the table says of each entry."""
    groups, small = [], []
    for group in kept.groups:
        height, width = group.images.shape[2:]
        if min(height, width) < least:
            small += [
                f"{table.files[i] or f'row {i}'} has {height}x{width} pixels, and both sides need {least}; none is "
                "enlarged."
                for i in group.index.tolist()
            ]
            continue
        known = table.known[group.index]
        texts = tuple(table.texts[i] for i in group.index.tolist()) if table.texts else ()
        groups.append(Group(group.images, known.label, known.attributes, known.numbers, None, texts))
    skipped = (*kept.skipped, *small)
    if not groups:
        lost = f"; the first: {skipped[0]}" if skipped else ""
        raise InputError(f"{name} holds no picture that can be used{lost}")
    return Pictures(name, tuple(groups), table.classes, table.attributes, table.numbers, table.number_ranges, skipped)
