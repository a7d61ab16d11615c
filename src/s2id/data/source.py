"""Pictures from Python: a data set by name, a folder, or a tensor."""

import os
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, Shaped, UInt8
from torch import Tensor

from s2id.checks import checked
from s2id.data.iconify import is_package
from s2id.data.pictures import Group, Pictures, Split
from s2id.data.registry import READERS, load_pictures
from s2id.data.request import Request
from s2id.data.table import in_order
from s2id.errors import InputError
from s2id.media.alpha import check_premultiplied, fitting, has_alpha, over, premultiply, with_alpha
from s2id.media.images import capped, resize, to_bytes, to_float
from s2id.names import composed
from s2id.settings import MOST_NAMES, Alpha, Size
from s2id.shapes import NULL


@checked
def pictures(
    source: str | Path | Shaped[Tensor, "n c h w"] | Shaped[np.ndarray, "n c h w"],
    labels: Iterable[Any] | Shaped[Tensor, " m"] | None = None,
    *,
    folder: str | Path | None = None,
    split: Split = "train",
    long_side: int | None = None,
    min_side: int = 1,
    alpha: Alpha | None = None,
    workers: int = 0,
) -> Pictures:
    """Pictures to train on, from a data set's name, a folder or a tensor.

    Args:
        source: Name of a data set, such as "mnist" (`s2id.data.registry.READERS` lists them); or a folder of pictures
            or SVG files, with a metadata file or one subfolder per class; or a package of icons, or a folder of them;
            or a tensor or array of pictures. Of 2 or 4 channels the last is alpha: bytes are as in files, with straight
            alpha; floats in [-1, 1] are premultiplied, as fields render.
        labels: Class of each picture of a tensor, as numbers from 0 or as names, in a list, an array or a tensor; -1 or
            "" is an unknown class. `None` means that the pictures have no classes. A folder or a named data set brings
            its own.
        folder: Where the files of a named data set are; `None` looks in ./data. For "hub" the data set's name there.
        split: "train" or "test", for data sets that have two splits.
        long_side: Pictures with more pixels along the longer side are shrunk to this; `None` shrinks none.
        min_side: Pictures with fewer pixels along the shorter side are left out.
        alpha: What becomes of transparency: "keep" makes all pictures RGBA, or grey + alpha; "white", "black",
            "checker" or "#rrggbb" is the ground that they are laid over. `None` keeps it if more than one picture in a
            hundred has any, and else lays it over white. Of named data sets "hub", "folder" and "vectors" have any.
        workers: Number of other processes that decode files the first time they are read; 0 decodes in this process.

    Raises:
        InputError: The source or its labels cannot be used.

    >>> import torch, s2id
    >>> print(s2id.pictures(torch.zeros(4, 1, 8, 8), labels=["cat", "dog", "cat", ""]))
    tensor: 4 grey images (4 of 8x8), 2 classes
    """
    if isinstance(source, np.ndarray):
        if source.dtype.kind not in "uif":
            raise InputError(f"pictures of type {source.dtype} cannot be used; give uint8, or floats in [-1, 1].")
        source = torch.from_numpy(np.ascontiguousarray(source, source.dtype.newbyteorder("=")))
    if isinstance(source, Tensor):
        request = Request("tensor", split=split, long_side=long_side, min_side=min_side, alpha=alpha)
        return _of_tensor(source, labels, request)
    if labels is not None:
        raise InputError("labels belong to a tensor of pictures; a folder's labels are in its metadata file.")
    where = None if folder is None else Path(folder)
    name = str(source)
    if isinstance(source, Path) or name not in READERS:
        if where is not None:
            raise InputError(f"{name!r} is not the name of a data set, so folder={folder} means nothing; remove it.")
        # neither test minds a name, however long
        if not os.path.isdir(source) and not (os.path.isfile(source) and is_package(Path(source))):
            raise InputError(f"{name!r} is not a folder, nor the name of a data set; those are {', '.join(READERS)}.")
        name, where = "folder", Path(source)
    return load_pictures(name, where, split, long_side, min_side=min_side, alpha=alpha, workers=workers)


def _of_tensor(
    images: Shaped[Tensor, "n c h w"],
    labels: Iterable[Any] | Shaped[Tensor, " m"] | None,
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
    _check_values(images)
    alpha = request.alpha or fitting(_seen_through(images), count)
    size = capped((height, width), request.long_side)
    if images.dtype == torch.uint8 and size == (height, width) and not has_alpha(channels) and alpha != "keep":
        pixels = images.cpu()  # as they are, for a copy of many would fill the memory
    else:
        pixels = torch.cat([_prepared(some.detach().cpu(), size, alpha) for some in images.split(256)])
    index, names = _classes(labels, count)
    return Pictures("tensor", (Group(pixels, index),), names, alpha=alpha)


def _check_values(images: Shaped[Tensor, "n c h w"]) -> None:
    """Refuse pictures that are neither bytes nor floats in [-1, 1], or whose colours exceed their alpha.

    Raises:
        InputError: They are not.
    """
    if images.dtype == torch.uint8:
        return
    if not images.is_floating_point():
        raise InputError(f"pictures of type {images.dtype} cannot be used; give uint8, or floats in [-1, 1].")
    low, high = images.min().item(), images.max().item()
    if not (-1.001 <= low <= high <= 1.001):  # false for NaN as well
        raise InputError(f"the pictures' values run from {low:g} to {high:g}; floats must lie in [-1, 1].")
    check_premultiplied(images)


def _seen_through(images: Shaped[Tensor, "n c h w"]) -> int:
    """Number of pictures of which a pixel is not opaque."""
    opaque = 255 if images.dtype == torch.uint8 else 1
    return int((images[:, -1] < opaque).flatten(1).any(1).sum()) if has_alpha(images.shape[1]) else 0


def _prepared(images: Shaped[Tensor, "n c h w"], size: Size, alpha: Alpha) -> UInt8[Tensor, "n k h2 w2"]:
    """Pictures in bytes: premultiplied, shrunk, and with alpha or laid over a ground."""
    values = premultiply(to_float(images)) if images.dtype == torch.uint8 else images.float()
    values = resize(values, size)
    return to_bytes(with_alpha(values) if alpha == "keep" else over(values, alpha))


def _classes(
    labels: Iterable[Any] | Shaped[Tensor, " m"] | None, count: int
) -> tuple[Int[Tensor, " n"], tuple[str, ...]]:
    """Index of each picture's class, and the name of each class.

    Raises:
        InputError: They have no order, there are more or fewer than pictures, or one is neither a name nor a number
            from -1.
    """
    if labels is None:
        return torch.full((count,), NULL), ()
    if isinstance(labels, str | bytes | Mapping | AbstractSet) or getattr(labels, "ndim", 1) == 0:
        raise InputError(f"labels is a {type(labels).__name__}; give a list with one label for each picture, in order.")
    given: list[Any] = [one.tolist() if isinstance(one, np.generic | Tensor) else one for one in labels]
    if len(given) != count:
        raise InputError(f"there are {count} pictures and {len(given)} labels; give one label for each picture.")
    if all(isinstance(label, str) for label in given):
        given = [composed(label) for label in given]
        names = tuple(sorted({*given} - {""}, key=in_order))
        place = {name: i for i, name in enumerate(names)} | {"": NULL}
        return torch.tensor([place[label] for label in given]), names
    wrong = [one for one in given if isinstance(one, bool) or not isinstance(one, int) or not NULL <= one < MOST_NAMES]
    if wrong:
        raise InputError(
            f"label {wrong[0]!r} cannot be used; give names, or numbers from 0 to {MOST_NAMES - 1}, and -1 for an "
            "unknown class."
        )
    return torch.tensor(given), tuple(str(i) for i in range(max(given) + 1))
