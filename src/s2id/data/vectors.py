"""Drawings with a part held out: a folder of SVG files or of packages of icons, read as `data.folder` reads it."""

from dataclasses import replace

import torch

from s2id.data.folder import read as read_folder
from s2id.data.pictures import Group, Pictures
from s2id.data.request import Request
from s2id.data.split import parts_of
from s2id.errors import InputError


def read(request: Request) -> Pictures:
    """The drawings of a folder that belong to a split: what a drawing shows is its caption, its style is its class.

    Raises:
        InputError: The folder cannot be read, holds pictures that are no drawings, or nothing for the split.
    """
    whole = read_folder(request)
    if any(group.truth is None for group in whole.groups):
        raise InputError(
            f"{request.place} holds pictures of pixels, and vectors reads drawings only; remove them, or train folder."
        )
    held = [[part != "train" for part in some] for some in parts_of(whole)]
    test = request.split == "test"
    chosen = [[i for i, out in enumerate(some) if out == test] for some in held]
    groups = tuple(_some(group, rows) for group, rows in zip(whole.groups, chosen, strict=True) if rows)
    if not groups:
        raise InputError(
            f"{request.place} has no drawing for the {request.split} split, which a hash of names chooses; put more "
            "there, or train folder, which holds out none."
        )
    return replace(whole, groups=groups, reader="vectors")


def _some(group: Group, rows: list[int]) -> Group:
    """Some pictures of a group."""
    index = torch.tensor(rows)
    known, truth = group.condition(index), group.truth
    assert truth is not None  # `read` refused those without
    return replace(
        group,
        images=group.images[index],
        labels=known.label,
        attributes=known.attributes,
        numbers=known.numbers,
        texts=tuple(group.texts[i] for i in rows) if group.texts else (),
        truth=lambda picture, size: truth(rows[picture], size),
    )
