"""Data sets as groups of pictures of one size, with what is known of them; every batch is drawn from one group.

MNIST and Fashion-MNIST come from their published idx files, CelebA from its own, other pictures from a folder with a
metadata file or a subfolder per class or from the Hugging Face Hub, glyphs from a folder of fonts, emoji from a folder
of SVGs, and the 8x8 digits of scikit-learn need no file.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from s2id.data import fonts as glyphs
from s2id.data import vectors as emoji
from s2id.data.cache import CACHE, store
from s2id.data.celeba import _celeba
from s2id.data.folder import _gathered, _unread, image_folder
from s2id.data.hub import pictures_of
from s2id.data.idx import _PUBLISHED, DIGITS, _idx_set
from s2id.data.pictures import Group, Pictures, Split
from s2id.errors import InputError
from s2id.settings import Size

NAMES = (*_PUBLISHED, "digits", "glyphs", "emoji", "celeba", "folder", "hub")
"""The data sets that `load` knows."""


def load(
    name: str,
    folder: Path | None = None,
    split: Split = "train",
    long_side: int | None = None,
    *,
    least: int = 1,
    workers: int = 0,
) -> Pictures:
    """A data set by name.

    Args:
        name: "mnist", "fashion-mnist", "digits" (scikit-learn's, 8x8), "glyphs", "emoji", "celeba", "folder" or "hub".
        folder: Where the files are; `None` looks in ./data and, for idx files, the cache and then downloads. Of "hub"
            the name of the data set there, as in ylecun/mnist or NAME:SUBSET, or a folder of one.
        split: "digits" keeps every fifth picture for its test split, "glyphs" and "emoji" about every tenth font or
            base, "celeba" what its list_eval_partition.txt says or else every tenth picture; a folder has one
            split only.
        long_side: Of "celeba", "folder" and "hub", shrink larger pictures to this; `None` leaves them as they are. Of
            "emoji", draw them at this; `None` is 32.
        least: Of these, leave out pictures with fewer pixels than this on a side.
        workers: Of these, processes that read pictures for the first time; 0 reads in this one.

    Raises:
        InputError: The files are missing, unreadable or not what they should be.
    """
    if name in _PUBLISHED:
        return _idx_set(name, folder, split)
    if name == "digits":
        return _digits(split)
    if name == "glyphs":
        return _glyphs(folder or Path("data"), split)
    if name not in NAMES:
        raise InputError(f"data set {name!r} is unknown; choose {', '.join(NAMES)}.")
    if long_side is not None and long_side < 1:
        raise InputError(f"long_side is {long_side}; it must be at least 1.")
    if name == "emoji":
        return _emoji(folder or Path("data"), split, long_side or emoji.SIDE, workers)
    if name == "celeba":
        return _celeba(folder or Path("data"), split, long_side, least, workers)
    if folder is None:
        wanted = "a folder of images needs --data FOLDER." if name == "folder" else "the Hub needs --data NAME."
        raise InputError(wanted)
    if name == "hub":
        kept, table = pictures_of(folder.as_posix(), split, long_side, CACHE / "pictures", workers)
        pictures = _gathered(folder.as_posix(), kept, table, least)
        unused = ", ".join(kept.facts["left"])
        said = (f"columns {unused} of {folder.as_posix()}, which are nothing that is learned.",) if unused else ()
        return replace(pictures, skipped=(*pictures.skipped, *said), kind="hub")
    return image_folder(folder, long_side, least=least, workers=workers)


def _digits(split: Split) -> Pictures:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError("the 8x8 digits ship inside scikit-learn; pip install 's2id[data]' brings it.") from error
    digits = load_digits()
    images = torch.from_numpy((digits.images * (255 / 16)).round().astype(np.uint8))[:, None]
    held_out = torch.arange(len(images)) % 5 == 0
    keep = held_out if split == "test" else ~held_out
    return Pictures("digits", (Group(images[keep], torch.from_numpy(digits.target)[keep]),), DIGITS)


def _glyphs(folder: Path, split: Split) -> Pictures:
    files = [file for file in glyphs.font_files(folder) if glyphs.held_out(file) == (split == "test")]
    images, labels, fonts, skipped = glyphs.pictures(files)
    if not len(images):
        lost = f"; {len(skipped)} cannot be used, the first: {skipped[0]}" if skipped else ""
        raise InputError(f"{folder} holds no usable font for the {split} split{lost}; put more .ttf files there.")

    def truth(index: int, size: Size) -> Float[Tensor, "1 h w"]:
        font, character = divmod(index, len(glyphs.CHARACTERS))
        return glyphs.raster(fonts[font], glyphs.CHARACTERS[character], size)[None] * 2 - 1

    return Pictures("glyphs", (Group(images, labels, truth=truth),), glyphs.CHARACTERS, skipped=skipped)


def _emoji(folder: Path, split: Split, side: int, workers: int) -> Pictures:
    files, table = emoji.find(folder)
    # all at once, for both splits: a folder has one store
    kept = store(files[0].parent, files, side, CACHE / "pictures", workers, emoji.read)
    rows = [row for group in kept.groups for row in group.index.tolist()]
    chosen = [i for i, row in enumerate(rows) if emoji.held_out(files[row]) == (split == "test")]
    if not chosen:
        raise InputError(
            f"{folder} holds no usable emoji for the {split} split{_unread(kept)}; put more of Noto's svg/ there."
        )
    paths = [files[rows[i]] for i in chosen]
    known = table.known[torch.tensor([rows[i] for i in chosen])]
    group = Group(
        kept.groups[0].images[torch.tensor(chosen)],
        known.label,
        known.attributes,
        truth=lambda index, size: emoji.raster(paths[index], size),
    )
    return Pictures("emoji", (group,), table.classes, table.attributes, skipped=kept.skipped)
