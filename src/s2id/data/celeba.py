"""CelebA, read from the files that its publishers distribute."""

from pathlib import Path

from s2id.data.assembly import assemble, stored
from s2id.data.folder import picture_files
from s2id.data.metadata import read_celeba
from s2id.data.pictures import Pictures
from s2id.data.request import Request
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
    named = [file for file in picture_files(root / "img_align_celeba") if file.name in rows]
    files = _of_split(named, root / "list_eval_partition.txt", request.split == "test")
    if not files:
        raise InputError(f"{root} holds no picture of CelebA's {request.split} split; bring more of img_align_celeba/.")
    known = table.rows([rows[file.name] for file in files])
    return assemble("celeba", stored(root, files, request, part=request.split), known, request.min_side)


def _of_split(files: list[Path], partition: Path, test: bool) -> list[Path]:
    """Files that the publishers' partition assigns to the split; without that file every tenth one is for tests."""
    if not partition.is_file():
        return [file for i, file in enumerate(files) if (i % 10 == 9) == test]
    words = (line.split() for line in partition.read_text().splitlines())
    number = {pair[0]: pair[1] for pair in words if len(pair) == 2}
    return [file for file in files if number.get(file.name) == ("2" if test else "0")]
