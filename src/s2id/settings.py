"""Types, checks and the JSON form that the settings of all folders share. Nothing here imports torch."""

from dataclasses import asdict, field, fields
from typing import Any, Literal, TypeVar

from s2id.errors import InputError

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

Prediction = Literal["eps", "x", "v"]
"""What a network's output means: the noise, the clean image, or the velocity between them."""

MAX_PIXELS = 2**27
"""Largest number of pixels of a picture that is read or drawn, unless a caller allows more."""


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


def setting(default: Any, group: str) -> Any:  # noqa: ANN401  (a field of any type)
    """A dataclass field that plain `--help` does not show: `--help-all` lists it, `--set name=value` sets it.

    Args:
        default: Default value of the field.
        group: Heading that `--help-all` lists the field under.
    """
    return field(default=default, metadata={"group": group})


def at_least_1(config: object, *names: str) -> None:
    """Refuse a settings object in which one of the named fields, or an element of a tuple there, is below 1.

    Args:
        config: The settings.
        names: Fields that hold a number or a tuple of numbers.

    Raises:
        InputError: A number is below 1, or a tuple is empty.
    """
    for name in names:
        counts = value if isinstance(value := getattr(config, name), tuple) else (value,)
        if not counts or min(counts) < 1:
            raise InputError(f"{name} is {value}; it must be at least 1.")


_Config = TypeVar("_Config")


def to_dict(config: Any) -> dict[str, Any]:  # noqa: ANN401  (any dataclass)
    """The fields of a dataclass as plain values that JSON can write."""
    return asdict(config)


def from_dict(kind: type[_Config], values: dict[str, Any], source: str) -> _Config:
    """A dataclass from values that JSON has read; the inverse of `to_dict`.

    Args:
        kind: The dataclass to make.
        values: Value of each field. Lists become tuples, and a field without a value takes its default.
        source: Where the values come from, for the error message.

    Raises:
        InputError: A field is unknown.
    """
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - known):
        raise InputError(
            f"{source} has fields that this version of s2id does not know ({', '.join(unknown)}); "
            "it belongs to another config or a newer release."
        )
    return kind(**{k: _frozen(v) for k, v in values.items()})


def _frozen(value: Any) -> Any:  # noqa: ANN401  (any value of JSON)
    """The value with every list in it made a tuple."""
    return tuple(_frozen(one) for one in value) if isinstance(value, list) else value
