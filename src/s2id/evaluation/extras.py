"""Optional packages of the evaluation: one sentence says what to install where one is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from s2id.errors import InputError


@contextmanager
def needs_eval() -> Iterator[None]:
    """Context whose import errors become an `InputError` that names the extra `eval`.

    Raises:
        InputError: An import in the block failed.
    """
    try:
        yield
    except ImportError as error:
        raise InputError(f"this measure needs pip install 's2id[eval]' ({error}).") from error


def blank_figure(width: float, height: float) -> Any:  # noqa: ANN401  (an optional package's class)
    """Empty matplotlib figure of a width and height in inches.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("the picture of curves needs matplotlib; pip install 's2id[plot]' brings it.") from error
    return Figure(figsize=(width, height), layout="constrained")
