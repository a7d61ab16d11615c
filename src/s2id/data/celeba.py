"""CelebA, read from the files that its publishers distribute."""

from dataclasses import replace
from pathlib import Path

from s2id.data.assembly import assemble, stored
from s2id.data.metadata import read_celeba, read_text
from s2id.data.pictures import Pictures
from s2id.data.request import Request
from s2id.data.search import search
from s2id.errors import InputError


def read(request: Request) -> Pictures:
    """The faces of img_align_celeba/ with the attributes of list_attr_celeba.txt.

    Raises:
        InputError: The folder lacks one of the two, or holds no picture of the split.
    """
    folder = request.place
    roots = (folder, folder / "celeba", folder / "CelebA")
    root = next(
        (r for r in roots if (r / "list_attr_celeba.txt").is_file() and (r / "img_align_celeba").is_dir()), None
    )
    if root is None:
        raise InputError(
            f"{folder} holds no CelebA; put its img_align_celeba/ and list_attr_celeba.txt there "
            "(from mmlab.ie.cuhk.edu.hk/projects/CelebA.html) and name the folder with --data."
        )
    table = read_celeba(root / "list_attr_celeba.txt")
    rows = {name: i for i, name in enumerate(table.files)}
    found = search(root / "img_align_celeba")
    named = [file for file in found.pictures if file.name in rows]
    skipped = [*found.skipped]
    if unnamed := len(found.pictures) - len(named):
        skipped.append(f"{unnamed:,} pictures of img_align_celeba/ are not in list_attr_celeba.txt.")
    if absent := len(rows.keys() - {file.name for file in named}):
        skipped.append(f"{absent:,} pictures of list_attr_celeba.txt are not in img_align_celeba/.")
    files = _of_split(named, root / "list_eval_partition.txt", request.split == "test")
    if not files:
        raise InputError(f"{root} holds no picture of CelebA's {request.split} split; bring more of img_align_celeba/.")
    known = table.rows([rows[file.name] for file in files])
    kept = stored(root, files, request, request.split, skipped)
    pictures = assemble("celeba", kept, known, request.min_side)
    return replace(pictures, skipped=(*skipped, *pictures.skipped))


def _of_split(files: list[Path], partition: Path, test: bool) -> list[Path]:
    """Files that the publishers' partition assigns to the split; without that file every tenth one is for tests."""
    if not partition.is_file():
        return [file for i, file in enumerate(files) if (i % 10 == 9) == test]
    number: dict[str, str] = {}
    for line, text in enumerate(read_text(partition).splitlines(), 1):
        pair = text.split()
        if len(pair) != 2 or pair[1] not in ("0", "1", "2"):
            raise InputError(f"line {line} of {partition} is no file and 0, 1 or 2; fetch it again.")
        number[pair[0]] = pair[1]
    return [file for file in files if number.get(file.name) == ("2" if test else "0")]
