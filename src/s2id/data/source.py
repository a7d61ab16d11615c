"""Pictures from Python: a data set by name, a folder, or a tensor."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int, Shaped, UInt8
from torch import Tensor

from s2id.data.metadata import in_order
from s2id.data.pictures import Group, Pictures, Split
from s2id.data.registry import READERS, load_pictures
from s2id.data.request import Request
from s2id.errors import InputError
from s2id.images import capped, resize, to_bytes, to_float
from s2id.shapes import NULL


def pictures(
    source: str | Path | Shaped[Tensor, "n c h w"],
    labels: Sequence[int] | Sequence[str] | Shaped[Tensor, " m"] | None = None,
    *,
    folder: str | Path | None = None,
    split: Split = "train",
    long_side: int | None = None,
    min_side: int = 1,
    workers: int = 0,
) -> Pictures:
    """Pictures to train on, from a data set's name, a folder or a tensor.

    Args:
        source: Name of a data set, such as "mnist" (`s2id.data.registry.READERS` lists them); or a folder of pictures,
            with a metadata file or one subfolder per class; or a tensor of pictures, in bytes or as floats in [-1, 1].
        labels: Class of each picture of a tensor, as numbers from 0 or as names; -1 or "" is an unknown class. `None`
            means that the pictures have no classes. A folder or a named data set brings its own.
        folder: Where the files of a named data set are; `None` looks in ./data. For "hub" the data set's name there.
        split: "train" or "test", for data sets that have two splits.
        long_side: Pictures with more pixels along the longer side are shrunk to this; `None` shrinks none.
        min_side: Pictures with fewer pixels along the shorter side are left out.
        workers: Number of other processes that decode files the first time they are read; 0 decodes in this process.

    Raises:
        InputError: The source or its labels cannot be used.

    >>> import torch, s2id
    >>> print(s2id.pictures(torch.zeros(4, 1, 8, 8), labels=["cat", "dog", "cat", ""]))
    tensor: 4 grey images (4 of 8x8), 2 classes
    """
    if isinstance(source, Tensor):
        request = Request("tensor", split=split, long_side=long_side, min_side=min_side, workers=workers)
        return _of_tensor(source, labels, request)
    if labels is not None:
        raise InputError("labels belong to a tensor of pictures; a folder's labels are in its metadata file.")
    where = None if folder is None else Path(folder)
    name = str(source)
    if isinstance(source, Path) or name not in READERS:
        if where is not None:
            raise InputError(f"{name!r} is not the name of a data set, so folder={folder} means nothing; remove it.")
        if not Path(source).is_dir():
            raise InputError(f"{name} is not a folder, nor the name of a data set; those are {', '.join(READERS)}.")
        name, where = "folder", Path(source)
    return load_pictures(name, where, split, long_side, min_side=min_side, workers=workers)


def _of_tensor(
    images: Shaped[Tensor, "n c h w"],
    labels: Sequence[Any] | Shaped[Tensor, " m"] | None,
    request: Request,
) -> Pictures:
    """Data set of a tensor."""
    count, channels, height, width = images.shape
    if not images.numel() or channels > 4:
        raise InputError(
            f"pictures of shape {tuple(images.shape)} cannot be used; give (n, c, h, w) with 1 to 4 channels."
        )
    if min(height, width) < request.min_side:
        raise InputError(f"the pictures have {height}x{width} pixels, and both sides need {request.min_side}.")
    pixels = _bytes(images)
    if (size := capped((height, width), request.long_side)) != (height, width):
        pixels = torch.cat([to_bytes(resize(to_float(some), size)) for some in pixels.split(256)])
    index, names = _classes(labels, count)
    return Pictures("tensor", (Group(pixels, index),), names)


def _bytes(images: Shaped[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h w"]:
    """Pictures in bytes.

    Raises:
        InputError: They are neither bytes nor floats in [-1, 1].
    """
    if images.dtype == torch.uint8:
        return images.cpu()
    if not images.is_floating_point():
        raise InputError(f"pictures of type {images.dtype} cannot be used; give uint8, or floats in [-1, 1].")
    low, high = images.min().item(), images.max().item()
    if not (-1.001 <= low <= high <= 1.001):  # false for NaN as well
        raise InputError(f"the pictures' values run from {low:g} to {high:g}; floats must lie in [-1, 1].")
    return torch.cat([to_bytes(some.detach().cpu().float()) for some in images.split(256)])


def _classes(
    labels: Sequence[Any] | Shaped[Tensor, " m"] | None, count: int
) -> tuple[Int[Tensor, " n"], tuple[str, ...]]:
    """Index of each picture's class, and the name of each class.

    Raises:
        InputError: There are more or fewer labels than pictures, or a label is neither a name nor a number from -1.
    """
    if labels is None:
        return torch.full((count,), NULL), ()
    given: list[Any] = labels.tolist() if isinstance(labels, Tensor) else list(labels)
    if len(given) != count:
        raise InputError(f"there are {count} pictures and {len(given)} labels; give one label for each picture.")
    if all(isinstance(label, str) for label in given):
        names = tuple(sorted({label for label in given if label}, key=in_order))
        place = {name: i for i, name in enumerate(names)} | {"": NULL}
        return torch.tensor([place[label] for label in given]), names
    wrong = [label for label in given if isinstance(label, bool) or not isinstance(label, int) or label < NULL]
    if wrong:
        raise InputError(f"label {wrong[0]!r} cannot be used; give names, or numbers from 0 (-1 for an unknown class).")
    return torch.tensor(given), tuple(str(i) for i in range(max(given) + 1))
