"""Optional packages of the evaluation: one sentence says what to install where one is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from s2id.errors import InputError
from s2id.files import replacing


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


def save_figure(figure: Any, path: Path) -> None:  # noqa: ANN401  (an optional package's class)
    """Write a figure as a picture, whole or not at all.

    Raises:
        InputError: The file cannot be written.
    """
    with replacing(path) as file:
        figure.savefig(file, dpi=110, format=path.suffix.removeprefix("."))
