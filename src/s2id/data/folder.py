"""A folder of pictures, labelled by a metadata file or by one subfolder per class."""

import unicodedata
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from s2id.condition import Condition
from s2id.data.assembly import assemble, stored
from s2id.data.metadata import METADATA, Table, read_metadata
from s2id.data.pictures import Pictures
from s2id.data.request import Request
from s2id.errors import InputError
from s2id.shapes import NULL


def read(request: Request) -> Pictures:
    """All pictures below a folder, with the labels of its metadata.csv or metadata.jsonl.

    Without a metadata file, the first level of subfolders, if any, gives the classes. Unreadable files are named in
    `Pictures.skipped`. A picture without a row in the metadata file is kept, and all its labels are unknown.

    Raises:
        InputError: No folder is given, it holds no readable picture, or its metadata file cannot be understood.
    """
    folder = request.folder
    if folder is None:
        raise InputError("a folder of images needs --data FOLDER.")
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give one that holds images.")
    files = picture_files(folder)
    described = [folder / name for name in METADATA if (folder / name).is_file()]
    if len(described) > 1:
        raise InputError(f"{folder} has {' and '.join(METADATA)}, which may contradict each other; keep one of them.")
    table, missing = _described(described[0], folder, files) if described else (_subfolders(folder, files), ())
    pictures = assemble(folder.name, stored(folder, files, request), table, request.min_side)
    return replace(pictures, skipped=(*pictures.skipped, *missing), reader="folder")


def picture_files(folder: Path) -> list[Path]:
    """Every file below a folder whose ending is a picture's, sorted; hidden files and folders are left out."""
    Image.init()
    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in endings
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)  # thumbnails and the like
        and path.is_file()
    ]


def _described(path: Path, folder: Path, files: list[Path]) -> tuple[Table, tuple[str, ...]]:
    """Labels of each file from a metadata file, and a sentence for each of its rows whose picture is missing."""
    table = read_metadata(path)
    rows = {_composed(Path(name).as_posix()): i for i, name in enumerate(table.files)}
    names = [_composed(file.relative_to(folder).as_posix()) for file in files]
    lost = sorted(rows.keys() - {*names})
    if files and rows and len(lost) == len(rows):
        raise InputError(
            f"{path} names none of the folder's pictures: it has {lost[0]} and the folder {names[0]}; give file_name "
            "as the path from the folder, with the ending."
        )
    missing = tuple(f"{path} names {name}, which is no picture of the folder." for name in lost)
    return table.rows([rows.get(name, -1) for name in names]), missing


def _composed(name: str) -> str:
    """A file name in Unicode's composed form: some systems write an accented letter as two characters."""
    return unicodedata.normalize("NFC", name)


def _subfolders(folder: Path, files: list[Path]) -> Table:
    """Labels of each file from its first folder below `folder`; a file outside any subfolder has no class."""
    paths = [file.relative_to(folder) for file in files]
    names = ["" if len(path.parts) == 1 else path.parts[0] for path in paths]
    classes = sorted({*names} - {""})
    index = {name: i for i, name in enumerate(classes)}
    label = torch.tensor([index.get(name, NULL) for name in names], dtype=torch.long)
    return Table(tuple(path.as_posix() for path in paths), Condition(label), tuple(classes))
