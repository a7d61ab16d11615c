"""Files of fields: a .safetensors file with the features, the head, and a header of facts about the pictures."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import nn

from s2id.checks import Within, fits, shown
from s2id.errors import InputError
from s2id.files import TensorFile, check_finite, filled, opened, packed
from s2id.headers import no_file
from s2id.network.enlarger import RelativeHead
from s2id.network.heads import Features, FieldHead
from s2id.network.published import PixelHead
from s2id.settings import MAX_PIXELS, check_palette

Head = FieldHead | PixelHead | RelativeHead
"""Layers that turn features into values of the function."""

_FORMAT = "s2id-field-1"

_Part = Annotated[float, Within(0, 1, open_low=True)]

_MOST_CHANNELS = 2**13
"""Largest number of channels of a feature sample, for which the head has weights."""

_MOST_SIDE = math.isqrt(MAX_PIXELS)
"""Largest number of pixels along a side of the data's pictures."""

_NUMBERED = ("seeds", "labels")
"""Facts that have a number for each picture, with blanks between them; "asked" has a text for each."""


def of_each(texts: Sequence[str]) -> str:
    """A fact with a text for each picture: of one picture the text, of several a JSON list.

    >>> of_each(["a dog"]), of_each(["a dog; wet", "a cat"])
    ('a dog', '["a dog; wet", "a cat"]')
    """
    return texts[0] if len(texts) == 1 else json.dumps(list(texts), ensure_ascii=False)


def of_some(facts: Mapping[str, str], count: int, which: Sequence[int]) -> dict[str, str]:
    """The facts about some of a field's pictures, of which there are `count`.

    >>> of_some({"seeds": "3 4 5", "asked": of_each(["a dog; wet", "a cat", ""])}, count=3, which=[2, 0])
    {'seeds': '5 3', 'asked': '["", "a dog; wet"]'}
    """
    some = dict(facts)
    for name in facts.keys() & {*_NUMBERED, "asked"}:
        parts = facts[name].split(" ") if name in _NUMBERED else _texts(facts[name], count)
        if len(parts) == count:
            chosen = [parts[i] for i in which]
            some[name] = " ".join(chosen) if name in _NUMBERED else of_each(chosen)
    return some


def _texts(text: str, count: int) -> list[str]:
    """The text for each of so many pictures, from what `of_each` gives; older files have "; " between them."""
    if count == 1:
        return [text]
    try:
        listed: Any = json.loads(text)
    except (ValueError, RecursionError):
        listed = None
    return listed if fits(listed, tuple[str, ...]) else text.split("; ")


def field_bytes(features: Features, head: Head, facts: dict[str, str], half: bool = False) -> bytes:
    """The content of a field's file; arguments as for `Field`.

    Args:
        features: Samples of the features.
        head: The layers.
        facts: Texts by name.
        half: Whether the features are written in half precision.

    Raises:
        InputError: A value is no number.
    """
    values = features.values.half() if half else features.values
    tensors = {"features": values, **{f"head.{name}": weight for name, weight in head.state_dict().items()}}
    check_finite(tensors, "the field")
    return packed(tensors, {"format": _FORMAT, "frame": json.dumps(features.frame), **facts})


def read_field(path: Path) -> tuple[Features, Head, dict[str, str]]:
    """The features, the head and the facts in a field's file.

    Raises:
        InputError: The file is missing, is damaged, or holds no field.
    """
    if reason := no_file(path):
        raise InputError(f"{path} {reason}; give a field file, as `s2id sample --fields` writes.")
    with opened(path, _FORMAT) as file:
        frame = _frame(file)
        _check_facts(file)
        stored = filled(file, lambda: _Stored(file))
    facts = {name: text for name, text in file.facts.items() if name not in ("format", "frame")}
    return Features(stored.features, frame), stored.head, facts


class _Stored(nn.Module):
    """The tensors of a field's file, under the names that they have there."""

    def __init__(self, file: TensorFile) -> None:
        super().__init__()
        self.head = _head_of(file)
        self.features = nn.Buffer(torch.empty(file.shapes["features"]))


def _frame(file: TensorFile) -> tuple[float, float]:
    """Height and width of the frame, of which the longer is 1.

    Raises:
        InputError: The file gives none, or other numbers.
    """
    value = file.fact("frame")
    if not fits(value, tuple[_Part, _Part]) or abs(max(value) - 1) > 1e-6:
        raise InputError(
            f"{file.path} has a frame of {shown(value)}; its height and width are parts of 1, and one of them is 1."
        )
    return float(value[0]), float(value[1])


def _check_facts(file: TensorFile) -> None:
    """Refuse facts about the data that no field has.

    Raises:
        InputError: The size or the palette of the data's pictures is none.
    """
    side = file.facts.get("long_side", "1")
    if not (side.isascii() and side.isdecimal() and 0 < int(side[:9]) <= _MOST_SIDE and len(side) < 9):
        raise InputError(f"{file.path} says long_side {shown(side)}, which is no size of a picture; save it anew.")
    try:
        check_palette(tuple(file.facts.get("palette", "").split()))
    except InputError as error:
        raise InputError(f"{file.path} cannot be used: {error}") from error


def _head_of(file: TensorFile) -> Head:
    """A head with random weights, of the shape that the file's tensors ask for.

    Raises:
        InputError: They are no field's.
    """
    shapes = file.shapes
    features, out = shapes.get("features", ()), shapes.get("head.out.weight", ())
    if len(features) != 4 or not all(features) or features[3] > _MOST_CHANNELS:
        raise InputError(f"{file.path} has features of shape {features}, which are no field's; use it as it was saved.")
    if len(added := shapes.get("head.added.weight", ())) == 2:
        channels = _channels(file, added[0])
        if added[1] < 1 or features[3] != added[1] + 2 * channels:
            raise InputError(f"{file.path} has a head that does not fit its features; use it as it was saved.")
        return RelativeHead(added[1], channels)
    if "head.out.weight" in shapes and len(out) != 2:
        raise InputError(f"{file.path} has a head of shape {out}, which is no field's; use it as it was saved.")
    channels = _channels(file, out[0] if out else features[3])
    return FieldHead(features[3], channels) if out else PixelHead(channels)


def _channels(file: TensorFile, channels: int) -> int:
    """The number of channels that a file draws.

    Raises:
        InputError: No picture has so many.
    """
    if not 1 <= channels <= 4:
        raise InputError(f"{file.path} draws {channels} channels; pictures have 1 to 4.")
    return channels
