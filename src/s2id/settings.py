"""What the settings of every folder share: sizes, checks, and their form as JSON. Nothing here imports torch."""

from dataclasses import asdict, field, fields
from typing import Any, Literal, TypeVar

from s2id.errors import InputError

Size = tuple[int, int]
"""Height and width, in pixels."""

Window = tuple[float, float, float, float]
"""Top, left, bottom, right of a region, as fractions of the frame: (0, 0, 1, 1) is all of it."""

Fit = Literal["fit", "fill", "stretch"]
"""How a frame meets a picture of another aspect: more canvas, less frame, or unequal axes."""

Prediction = Literal["eps", "x", "v"]
"""What a network's output means: the noise, the clean image, or the velocity between them."""

MAX_PIXELS = 2**27
"""Pictures of more are refused unless told otherwise."""


def setting(default: Any, group: str) -> Any:  # noqa: ANN401  (a field of any type)
    """A dataclass field that plain `--help` does not show: `--help-all` lists it, `--set name=value` sets it.

    Args:
        default: Default value of the field.
        group: Heading that `--help-all` lists the field under.
    """
    return field(default=default, metadata={"group": group})


def at_least_1(config: object, *names: str) -> None:
    """Refuse counts, or any of several, that are below 1."""
    for name in names:
        counts = value if isinstance(value := getattr(config, name), tuple) else (value,)
        if not counts or min(counts) < 1:
            raise InputError(f"{name} is {value}; it must be at least 1.")


_Config = TypeVar("_Config")


def to_dict(config: Any) -> dict[str, Any]:  # noqa: ANN401  (any dataclass)
    """Plain values of a dataclass, for JSON."""
    return asdict(config)


def from_dict(kind: type[_Config], values: dict[str, Any], source: str) -> _Config:
    """A dataclass from JSON's values.

    Args:
        kind: The dataclass.
        values: Its fields; lists become tuples.
        source: Where the values come from, for the message.

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


def _frozen(value: Any) -> Any:  # noqa: ANN401  (any of JSON's)
    return tuple(_frozen(one) for one in value) if isinstance(value, list) else value
