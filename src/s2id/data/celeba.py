"""CelebA, from the publishers' own files."""

from pathlib import Path

from s2id.data.folder import _gathered, _pictures_below, _rows, _stored
from s2id.data.metadata import read_celeba
from s2id.data.pictures import Pictures, Split
from s2id.errors import InputError


def _celeba(folder: Path, split: Split, long_side: int | None, least: int, workers: int) -> Pictures:
    """CelebA as it is published: img_align_celeba/ and list_attr_celeba.txt."""
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
    named = [file for file in _pictures_below(root / "img_align_celeba") if file.name in rows]
    partition = root / "list_eval_partition.txt"
    if partition.is_file():
        words = (line.split() for line in partition.read_text().splitlines())
        number = {pair[0]: pair[1] for pair in words if len(pair) == 2}
        wanted = {"train": "0", "test": "2"}[split]
        files = [file for file in named if number.get(file.name) == wanted]
    else:
        files = [file for i, file in enumerate(named) if (i % 10 == 9) == (split == "test")]
    if not files:
        raise InputError(f"{root} holds no picture of CelebA's {split} split; bring more of img_align_celeba/.")
    known = _rows(table, [rows[file.name] for file in files])
    return _gathered("celeba", _stored(root, files, long_side, workers, split), known, least)
