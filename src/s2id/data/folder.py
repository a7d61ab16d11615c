"""A folder of pictures, labelled by files of metadata or by one subfolder per class."""

from dataclasses import replace
from pathlib import Path

import torch

from s2id.condition import Condition
from s2id.data.assembly import assemble, stored
from s2id.data.cache import printable
from s2id.data.metadata import read_metadata
from s2id.data.pictures import Pictures
from s2id.data.request import Request
from s2id.data.search import search
from s2id.data.table import Table
from s2id.errors import InputError
from s2id.names import composed
from s2id.shapes import NULL


def read(request: Request) -> Pictures:
    """All pictures below a folder, with the labels of every metadata.csv and metadata.jsonl in it.

    Without such a file, the first level of subfolders, if any, gives the classes. What is not read is named in
    `Pictures.skipped`. A picture without a row in a file of metadata is kept, and all its labels are unknown.

    Raises:
        InputError: No folder is given, it holds no readable picture, or its metadata cannot be understood.
    """
    folder = request.folder
    if folder is None:
        raise InputError("a folder of images needs --data FOLDER.")
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give one that holds images.")
    found = search(folder)
    kept = stored(folder, found.pictures, request, skipped=found.skipped)
    names = [composed(file.relative_to(folder).as_posix()) for file in found.pictures]
    table, lost = _described(found.metadata, folder, names) if found.metadata else (_subfolders(names), ())
    pictures = assemble(composed(folder.name), kept, table, request.min_side)
    skipped = tuple(map(printable, (*found.skipped, *pictures.skipped, *lost)))
    return replace(pictures, skipped=skipped, reader="folder")


def _described(metadata: list[Path], folder: Path, names: list[str]) -> tuple[Table, tuple[str, ...]]:
    """Labels of each picture from files of metadata, and a sentence for all in them that is left out.

    Raises:
        InputError: A folder has two such files, or none of their rows names a picture.
    """
    for before, path in zip(metadata, metadata[1:], strict=False):
        if before.parent == path.parent:
            raise InputError(
                f"{path.parent} has {before.name} and {path.name}, which may contradict each other; keep one of them."
            )
    table = read_metadata(*metadata, root=folder, pictures={*names})
    rows = {name: i for i, name in enumerate(table.files)}
    lost = [rows[name] for name in sorted(rows.keys() - {*names})]
    if names and rows and len(lost) == len(rows):
        raise InputError(
            f"{metadata[0]} names none of the folder's pictures: it has {table.files[lost[0]]} and the folder "
            f"{names[0]}; give file_name as the path from the folder, with the ending."
        )
    missing = [f"{table.places[i]} names {table.files[i]}, which is no picture of the folder." for i in lost]
    folders = {name.partition("/")[0] for name in names if "/" in name}
    if not table.classes and len(folders) > 1:
        missing.append(f"subfolders are no classes beside {metadata[0].name}; give it a column label to have classes.")
    return table.rows([rows.get(name, -1) for name in names]), (*table.skipped, *missing)


def _subfolders(names: list[str]) -> Table:
    """Labels of each picture from the first folder in its name; a picture outside any subfolder has no class."""
    folders = [name.rpartition("/")[0].partition("/")[0] for name in names]
    classes = sorted({*folders} - {""})
    index = {name: i for i, name in enumerate(classes)}
    label = torch.tensor([index.get(name, NULL) for name in folders], dtype=torch.long)
    return Table(tuple(names), Condition(label), tuple(classes))
