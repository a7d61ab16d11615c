"""Types, checks and the JSON form that the settings of all folders share. Nothing here imports torch."""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Callable
from dataclasses import asdict, field
from functools import cache
from inspect import Parameter, signature
from itertools import pairwise
from typing import Any, Literal, TypeVar

from s2id.checks import converted, shown
from s2id.errors import InputError
from s2id.names import quoted

Size = tuple[int, int]
"""Height and width, in pixels."""

AnySize = Size | int
"""Height and width, in pixels; or the long side alone, which keeps the aspect of what is drawn."""

Window = tuple[float, float, float, float]
"""Top, left, bottom and right of a region, as fractions of the frame: (0, 0, 1, 1) is the whole frame."""

Fit = Literal["fit", "fill", "stretch"]
"""What to do if a frame and a picture differ in aspect: show canvas beyond the frame, show less, or stretch pixels."""

Look = Literal["smooth", "squares", "palette"]
"""What a field's pictures show: the function; or the pixels of the data's own size as crisp squares, for pixel art; or
these squares in the nearest colours of the data's palette."""


def parse_size(text: str) -> Size:
    """Height and width from "HxW".

    >>> parse_size("1024x576")
    (1024, 576)

    Raises:
        InputError: The text is not of that form, or a side has more than nine digits.
    """
    height, _, width = text.lower().partition("x")
    if any(side.isascii() and side.isdecimal() and len(side) > _DIGITS for side in (height, width)):
        raise InputError(f"size {shown(text)} has a side of more than {_DIGITS} digits; give fewer pixels.")
    if not (_is_count(height) and _is_count(width)):
        raise InputError(f"size {shown(text)} is not HEIGHTxWIDTH in pixels; write it as in 1024x576.")
    return int(height), int(width)


def parse_any_size(text: str) -> AnySize:
    """Height and width from "HxW", or the long side from a single number.

    >>> parse_any_size("1024x576"), parse_any_size("1024")
    ((1024, 576), 1024)

    Raises:
        InputError: The text is of neither form.
    """
    return int(text) if _is_count(text) else parse_size(text)


_DIGITS = 9  # of a side's number of pixels


def _is_count(text: str) -> bool:
    """Whether a text is a whole number of few enough digits."""
    return text.isascii() and text.isdecimal() and len(text) <= _DIGITS


Prediction = Literal["eps", "x", "v"]
"""What a network's output means: the noise, the clean image, or the velocity between them."""

MAX_PIXELS = 2**27
"""Largest number of pixels of a picture that is read or drawn, unless a caller allows more."""

MOST_SEEDS = 1_000_000
"""Most seeds that are taken at once."""

MOST_NAMES = 2**20
"""Largest number of classes, of attributes and of numbers."""

MAX_ALLOWED = 2**40
"""Largest number of pixels that a caller may allow."""


Alpha = str
"""What becomes of transparency: "keep", or the ground it is laid over: "white", "black", "checker" or "#rrggbb"."""


def check_alpha(choice: Alpha | None) -> None:
    """Refuse a choice that is none; `None`, which leaves the choice to the data, is one.

    Raises:
        InputError: It is neither a name nor a colour.
    """
    if choice is None or choice in ("keep", "white", "black", "checker"):
        return
    if not (len(choice) == 7 and choice[0] == "#" and {*choice[1:]} <= {*"0123456789abcdefABCDEF"}):
        raise InputError(f"alpha {choice!r} is unknown; choose keep, white, black, checker, or a colour as in #ff8800.")


_COLOUR = re.compile("#([0-9a-f]{2}){1,4}")


def check_palette(palette: tuple[str, ...]) -> None:
    """Refuse colours that are no palette's.

    Raises:
        InputError: A text is no colour as in #ff8000, or the colours differ in their number of channels.
    """
    if len({*map(len, palette)}) > 1 or not all(map(_COLOUR.fullmatch, palette)):
        raise InputError("palette holds a text that is no colour as in #ff8000, or colours of unequal channels.")


def setting(default: Any, group: str) -> Any:  # noqa: ANN401  (a field of any type)
    """A dataclass field that plain `--help` does not show: `--help-all` lists it, `--set name=value` sets it.

    Args:
        default: Default value of the field.
        group: Heading that `--help-all` lists the field under.
    """
    return field(default=default, metadata={"group": group})


@cache
def docstrings(kind: type) -> dict[str, str]:
    """Text below each field of a class, by the field's name; nothing if the class has no source file."""
    try:
        source = inspect.getsource(kind)
    except (OSError, TypeError):  # defined in a prompt
        return {}
    (tree,) = ast.parse(textwrap.dedent(source)).body
    assert isinstance(tree, ast.ClassDef)
    return {
        first.target.id: " ".join(then.value.value.split())
        for first, then in pairwise(tree.body)
        if isinstance(first, ast.AnnAssign) and isinstance(first.target, ast.Name)
        if isinstance(then, ast.Expr) and isinstance(then.value, ast.Constant) and isinstance(then.value.value, str)
    }


def as_text(value: Any) -> str:  # noqa: ANN401  (of any type)
    """A value as `--set` takes it.

    >>> as_text((("red, wet", 2.0), ("label", 0.1))), as_text(None)
    ('"red, wet"=2,label=0.1', 'none')
    """
    if isinstance(value, tuple):
        return ",".join("=".join(map(as_text, one)) if isinstance(one, tuple) else as_text(one) for one in value)
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return quoted(value) if isinstance(value, str) else str(value)


_Config = TypeVar("_Config")


def to_dict(config: Any) -> dict[str, Any]:  # noqa: ANN401  (any dataclass)
    """The fields of a dataclass as plain values that JSON can write."""
    return asdict(config)


def from_dict(kind: Callable[..., _Config], values: object, source: str) -> _Config:
    """An object from values that JSON has read; for dataclasses the inverse of `to_dict`.

    Args:
        kind: The class to make an instance of. The type hints of its arguments are checked.
        values: Value of each argument by its name. An argument without a value takes its default.
        source: Where the values come from, for the error message.

    Raises:
        InputError: The values are no dictionary, a name is unknown or missing, or a value is not what it must be.
    """
    if not isinstance(values, dict):
        raise InputError(f"{source} is no set of names and values; use the file as it was saved.")
    known = signature(kind).parameters
    if unknown := sorted(str(name) for name in values if name not in known):
        raise InputError(
            f"{source} has fields that this version of s2id does not know ({', '.join(unknown)[:200]}); "
            "it belongs to another config or a newer release."
        )
    if missing := [name for name, one in known.items() if one.default is Parameter.empty and name not in values]:
        raise InputError(f"{source} has no {missing[0]}; use the file as it was saved.")
    try:
        return kind(**converted(kind.__init__, values))
    except InputError as error:
        raise InputError(f"{source} cannot be used: {error}") from error


def read_json(text: str | bytes, source: str) -> Any:  # noqa: ANN401  (any value of JSON)
    """The value of a text in JSON.

    Args:
        text: The text.
        source: Where it comes from, for the error message.

    Raises:
        InputError: The text is no JSON, or too deeply nested to be read.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} is no JSON ({error}); use the file as it was saved.") from error
