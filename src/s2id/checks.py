"""What settings, arguments and headers of files may hold: type hints say it, and everything else is refused by name.

A hint is a type of Python, as `int | None`, `tuple[float, float]` or `Literal["a", "b"]`, a class, or an array's type
of jaxtyping. An annotation gives the range of a number: `Annotated[int, Within(1, 64)]`. A float is finite. Nothing
here imports torch.
"""

import inspect
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cache, wraps
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    ParamSpec,
    SupportsIndex,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from s2id.errors import InputError

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_SHOWN = 60
"""Characters of a refused value that a message shows."""


@dataclass(frozen=True)
class Within:
    """Range of a number, as an annotation of its type.

    >>> 3 in Within(1, 4), 4 in Within(1, 4), 4 in Within(1, 4, open_high=True)
    (True, True, False)
    """

    low: float | int = -math.inf
    """Least number."""
    high: float | int = math.inf
    """Greatest number."""
    open_low: bool = False
    """Whether `low` itself is excluded."""
    open_high: bool = False
    """Whether `high` itself is excluded."""

    def __contains__(self, number: float | int) -> bool:
        """Whether a number lies in the range."""
        above = self.low < number if self.open_low else self.low <= number
        return above and (number < self.high if self.open_high else number <= self.high)

    def __str__(self) -> str:
        """The range in words: `at least 1 and at most 64`."""
        low = [] if math.isinf(self.low) else [f"{'above' if self.open_low else 'at least'} {_number(self.low)}"]
        high = [] if math.isinf(self.high) else [f"{'below' if self.open_high else 'at most'} {_number(self.high)}"]
        return " and ".join(low + high)


Share = Annotated[float, Within(0, 1)]
"""A part of a whole, from none of it to all."""

Positive = Annotated[float, Within(0, open_low=True)]
"""A number above 0."""


class MisfitError(ValueError):
    """A value that is not as a type hint says."""

    def __init__(self, value: object, kind: object) -> None:
        """Which part of a value is wrong, and what it must be.

        Args:
            value: The value, or the element of it that is wrong.
            kind: The type hint of that value or element.
        """
        super().__init__(value, kind)
        self.value, self.kind = value, kind


def check(settings: Any) -> None:  # noqa: ANN401  (any dataclass)
    """Refuse a dataclass in which a field is not as its type hint says; `__post_init__` calls this first.

    Fields of another but fitting type are converted: whole numbers to floats where these are meant, lists to tuples.

    Raises:
        InputError: A field has another type, is out of range or is not finite.
    """
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    for name, value in converted(type(settings), values).items():
        if value is not values[name]:
            object.__setattr__(settings, name, value)  # the dataclass is frozen


def converted(holder: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name, each as the type hint of that name means it.

    Args:
        holder: A dataclass or a function; values of names without a hint stay as they are.
        values: Values of fields or arguments.

    Raises:
        InputError: A value has another type, is out of range or is not finite.
    """
    hints, fit = _hints(holder), {}
    for name, value in values.items():
        try:
            fit[name] = meant(value, hints.get(name, Any))
        except MisfitError as error:
            said = shown(error.value)
            if isinstance(error.value, float) and "whole" in wanted(error.kind):  # 2.0 is refused where 2 is wanted
                said = repr(error.value)
            has = "holds" if isinstance(value, tuple | list) and error.value is not value else "is"
            raise InputError(f"{name} {has} {said}; it must be {wanted(error.kind)}.") from None
    return fit


def checked(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """The function, which refuses arguments that are not as its type hints say, with an `InputError` that names them.

    >>> @checked
    ... def area(side: Annotated[int, Within(1, 9)]) -> int:
    ...     return side**2
    >>> area(side=12)
    Traceback (most recent call last):
    s2id.errors.InputError: side is 12; it must be a whole number, at least 1 and at most 9.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def call(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        bound = signature.bind(*args, **kwargs)
        bound.arguments.update(converted(function, bound.arguments))
        return function(*bound.args, **bound.kwargs)

    return call


def meant(value: Any, kind: Any) -> Any:  # noqa: ANN401  (of any type)
    """A value as a type hint means it: a whole number as a float where that is meant, a list as a tuple.

    Args:
        value: Any value.
        kind: The type hint. Of a generic type that is not a tuple, the elements are not looked at.

    Raises:
        MisfitError: The value is of another type, out of range or not finite.

    >>> meant([1, 2], tuple[float, ...])
    (1.0, 2.0)
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        try:
            value = meant(value, inner[0])
        except MisfitError as error:
            raise MisfitError(error.value, kind) if error.value is value else error from None
        if any(value not in limit for limit in inner[1:] if isinstance(limit, Within)):
            raise MisfitError(value, kind)
        return value
    if origin in (Union, UnionType):
        for one in inner:
            with suppress(MisfitError):
                return meant(value, one)
        raise MisfitError(value, kind)
    if origin is tuple:
        return _meant_tuple(value, kind)
    if origin is Literal:
        fits = any(type(one) is type(value) and one == value for one in inner)
    elif kind in _PLAIN:
        return _PLAIN[kind](value)
    elif kind is Path and isinstance(value, str):
        return Path(value)
    else:
        known = origin or kind
        fits = known is Any or not isinstance(known, type) or isinstance(value, known)
    if not fits:
        raise MisfitError(value, kind)
    return value


def fits(value: object, kind: object) -> bool:
    """Whether a value is as a type hint says.

    >>> fits(3, Annotated[int, Within(1, 4)]), fits("3", int)
    (True, False)
    """
    try:
        meant(value, kind)
    except MisfitError:
        return False
    return True


def wanted(kind: Any) -> str:  # noqa: ANN401  (a type hint)
    """What a type hint asks for, in words.

    >>> wanted(Annotated[int, Within(1)] | None)
    'a whole number, at least 1 or none'
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        limits = [str(limit) for limit in inner[1:] if isinstance(limit, Within)]
        return ", ".join([wanted(inner[0]), *limits])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(wanted(one) for one in inner))
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin is tuple and inner[-1] is Ellipsis:
        return f"a list, each {wanted(inner[0])}"
    if origin is tuple:
        return f"{len(inner)} values ({'; '.join(wanted(one) for one in inner)})"
    if axes := getattr(kind, "dim_str", None):
        values = _ARRAYS.get(kind.__name__.partition("[")[0], "values")
        return f"a tensor of {values} with axes ({', '.join(axes.split())})"
    known = origin or kind
    name, maker = getattr(known, "__name__", str(known)), getattr(known, "made_by", "")
    return _WORDS.get(known) or f"of type {name}{f', which {maker} gives' if maker else ''}"


def shown(value: Any) -> str:  # noqa: ANN401  (of any type)
    """A value as messages show it, in a bounded number of characters."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of {value.dtype} of shape {tuple(value.shape)}"
    if isinstance(value, float):
        return f"{value:g}"
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  (whatever an object of the caller's raises, or a number of too many digits)
        text = f"of type {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _meant_tuple(value: Any, kind: Any) -> tuple[Any, ...]:  # noqa: ANN401  (of any type)
    inner = get_args(kind)
    if not isinstance(value, tuple | list) or (inner[-1] is not Ellipsis and len(inner) != len(value)):
        raise MisfitError(value, kind)
    kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
    whole = tuple(meant(one, kind) for one, kind in zip(value, kinds, strict=True))
    if isinstance(value, tuple) and all(new is old for new, old in zip(whole, value, strict=True)):
        return value
    return whole


def _whole(value: Any) -> int:  # noqa: ANN401  (of any type)
    """An integer, of Python or of numpy; `True` is none."""
    if isinstance(value, bool):
        raise MisfitError(value, int)
    try:
        return operator.index(value)
    except (TypeError, RuntimeError) as error:  # RuntimeError: a tensor of floats
        raise MisfitError(value, int) from error


def _finite(value: Any) -> float:  # noqa: ANN401  (of any type)
    """A finite float, from a number of any type."""
    if isinstance(value, bool | str | bytes) or not hasattr(value, "__float__"):  # numpy's texts have it
        raise MisfitError(value, float)
    try:
        number = value if isinstance(value, float) else float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:  # an array of several has no one value
        raise MisfitError(value, float) from error
    if not math.isfinite(number):
        raise MisfitError(value, float)
    return number


def _text(value: Any) -> str:  # noqa: ANN401  (of any type)
    """A text that can be written in any file: bytes of file names that are no text become characters of no encoding."""
    try:
        value.encode()
    except (AttributeError, UnicodeEncodeError) as error:
        raise MisfitError(value, str) from error
    if not isinstance(value, str):
        raise MisfitError(value, str)
    return value


_PLAIN: dict[Any, Callable[[Any], Any]] = {int: _whole, float: _finite, str: _text}

_ARRAYS = {"Float": "floats", "Int": "whole numbers", "UInt8": "bytes", "Bool": "true and false"}

_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    NoneType: "none",
    Path: "a path",
    SupportsIndex: "a whole number",
    Iterable: "several",
    Sequence: "several",
}


@cache
def _hints(holder: Any) -> dict[str, Any]:  # noqa: ANN401  (a class or a function)
    return get_type_hints(holder, include_extras=True)


def _number(value: float | int) -> str:
    return f"{value:,}" if float(value).is_integer() else f"{value:g}"
