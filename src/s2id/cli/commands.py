"""The commands of `s2id`. torch is imported inside them, so that help is there at once."""

import inspect
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Protocol, runtime_checkable

from s2id.cli.distil import Distill, Guide
from s2id.cli.evaluate import Evaluate, TScrape
from s2id.cli.export import Export
from s2id.cli.films import Film, Morph
from s2id.cli.flags import read
from s2id.cli.info import Info
from s2id.cli.restore import Depixelate, Restore
from s2id.cli.sample import Render, Sample
from s2id.cli.studio import Studio
from s2id.cli.train import Train
from s2id.cli.upscale import Upscale
from s2id.errors import InputError


@runtime_checkable
class Command(Protocol):
    """A frozen dataclass: its fields are the command's flags, its docstring is the help."""

    def run(self) -> int:
        """Do it; the exit code."""


COMMANDS: tuple[type[Any], ...] = (
    Sample,
    Render,
    Morph,
    Film,
    Export,
    Upscale,
    Restore,
    Depixelate,
    Evaluate,
    TScrape,
    Info,
    Train,
    Distill,
    Guide,
    Studio,
)


def parse(words: Sequence[str]) -> Command:
    """The command that words describe, the command's name first.

    Raises:
        InputError: There is no such command, or a value is out of range.
        SystemExit: Help was asked for, or a flag is unknown.
    """
    by_name = {name_of(kind): kind for kind in COMMANDS}
    name, *rest = words
    if name not in by_name:
        near = get_close_matches(name, by_name, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose {', '.join(by_name)}."
        raise InputError(f"there is no command {name!r}; {hint}")
    kind = by_name[name]
    default = kind.default(rest) if hasattr(kind, "default") else None
    return read(kind, rest, default, f"s2id {name}")


def name_of(kind: type[Any]) -> str:
    """Name of a command: `t-scrape` for the class `TScrape`."""
    return re.sub(r"(?<=.)([A-Z])", r"-\1", kind.__name__).lower()


def overview() -> str:
    """Help of the program: a line per command."""
    rows = [f"  {name_of(kind):11} {(inspect.getdoc(kind) or '').splitlines()[0]}" for kind in COMMANDS]
    return "\n".join(
        [
            "usage: s2id COMMAND ...",
            "",
            "Trains a diffusion model on small pictures, and draws pictures of any size.",
            "",
            *rows,
            "",
            "`s2id COMMAND --help` explains a command's flags, `s2id --version` prints the version.",
        ]
    )
