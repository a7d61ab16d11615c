"""What a reader of a data set is asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from s2id.checks import Within, check
from s2id.data.pictures import Pictures, Split
from s2id.settings import Alpha, check_alpha

Side = Annotated[int, Within(1, 2**16)]
"""Pixels along a side of a picture."""


@dataclass(frozen=True)
class Request:
    """Arguments of a reader; each reader uses those that apply to its data set."""

    name: str
    """Name of the data set in the registry."""
    folder: Path | None = None
    """Folder of the data set's files. `None` means the reader's usual places."""
    split: Split = "train"
    """Part of the data set to read."""
    long_side: Side | None = None
    """Pictures whose longer side has more pixels are shrunk to this. `None` leaves every picture as it is."""
    min_side: Side = 1
    """Pictures whose shorter side has fewer pixels are left out."""
    alpha: Alpha | None = None
    """What becomes of transparency. `None` keeps it if more than one picture in a hundred has any, and else lays it
    over white."""
    workers: Annotated[int, Within(0, 256)] = 0
    """Processes that decode pictures the first time they are read. 0 decodes in this process."""

    def __post_init__(self) -> None:
        """Refuse what is no size, or no choice about transparency.

        Raises:
            InputError: A number is out of range, or the choice is unknown.
        """
        check(self)
        check_alpha(self.alpha)

    @property
    def place(self) -> Path:
        """The folder, by default `data` in the working directory."""
        return self.folder or Path("data")


Reader = Callable[[Request], Pictures]
"""Function that reads a data set."""
