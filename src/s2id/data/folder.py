"""A folder of pictures and drawings, labelled by files of metadata or by one subfolder per class."""

from dataclasses import replace
from pathlib import Path

import torch

from s2id.condition import Condition
from s2id.data.assembly import assemble, stored
from s2id.data.cache import printable
from s2id.data.concepts import words
from s2id.data.drawings import content_of
from s2id.data.icon_sets import read_sets
from s2id.data.iconify import is_package, name_of
from s2id.data.metadata import read_metadata
from s2id.data.pictures import Pictures
from s2id.data.request import Request
from s2id.data.search import Found, search
from s2id.data.svg import installed
from s2id.data.table import Table
from s2id.errors import InputError
from s2id.names import composed
from s2id.shapes import NULL


def read(request: Request) -> Pictures:
    """All pictures and drawings below a folder, with the labels of every metadata.csv and metadata.jsonl in it.

    Without such a file, the first level of subfolders, if any, gives the classes. What is not read is named in
    `Pictures.skipped`. A picture without a row in a file of metadata is kept, and all its labels are unknown. If all
    are drawings, their captions are the words of their names, unless metadata has others, and their true pictures are
    known at every size. A folder with packages of icons gives the icons (`data.icon_sets`), and so does a package.

    Raises:
        InputError: No folder is given, it holds no readable picture, or its metadata cannot be understood.
    """
    folder = request.folder
    if folder is None:
        raise InputError("a folder of images needs --data FOLDER.")
    if folder.is_file() and is_package(folder):
        return replace(read_sets(folder, [folder], request), reader="folder")
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give one that holds images.")
    found = search(folder)
    told = list(found.skipped)
    loose = [*found.pictures, *found.drawings]
    if found.packages:
        try:
            pictures = read_sets(folder, found.packages, request)
        except InputError as error:  # an icons.json of another program may lie beside pictures
            if not loose:
                raise
            told.append(str(error))
        else:
            if loose:
                told.append(f"{len(loose):,} pictures beside packages of icons, the first: {loose[0]}; move them away.")
            return replace(pictures, skipped=(*map(printable, told), *pictures.skipped), reader="folder")
    files = _files(found, told)
    vectors = not found.pictures
    kept = stored(folder, files, request, skipped=told, pad=vectors)
    names = [composed(file.relative_to(folder).as_posix()) for file in files]
    table, lost = _described(found.metadata, folder, names) if found.metadata else (_subfolders(names), ())
    if vectors and not table.texts:
        table = replace(table, texts=tuple(words(file.stem) for file in files))
    drawing = (lambda row: (content_of(files[row]), str(files[row]))) if vectors else None
    pictures = assemble(name_of(folder), kept, table, request.min_side, drawing)
    skipped = tuple(map(printable, (*told, *pictures.skipped, *lost)))
    return replace(pictures, skipped=skipped, reader="folder")


def _files(found: Found, told: list[str]) -> list[Path]:
    """The files to read, in the order of their names; a sentence is added for drawings that nothing here can draw."""
    if not found.drawings or installed():
        return sorted([*found.pictures, *found.drawings])
    told.append(
        f"{len(found.drawings):,} .svg files are not read, the first: {found.drawings[0]}; "
        "pip install 's2id[vectors]' brings what draws them."
    )
    return found.pictures


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
