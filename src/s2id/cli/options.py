"""Flags that commands share, and how their texts become values. torch is imported inside the functions that need it."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from s2id.checks import Within
from s2id.cli.flags import Help
from s2id.errors import InputError
from s2id.names import in_files, listed, position, quoted, split, unquoted
from s2id.settings import MAX_ALLOWED, AnySize, Fit, Look, Size, Window, parse_any_size

if TYPE_CHECKING:
    from s2id.condition import Condition
    from s2id.sampling.model import S2ID
    from s2id.sampling.settings import Card

_ELSEWHERE = "choose another folder with --out"

Weights = Annotated[
    str,
    Help(
        "The model: a bundled model's name (mnist, mnist-fast, emoji, graphics, graphics-invent), a .safetensors "
        "file, the folder of a model or of a training run, or a repository of the Hugging Face Hub."
    ),
]

Label = Annotated[
    str | None,
    Help(
        "Name or index of a class, such as a style; in double quotes a name may be anything. None: no class is asked "
        "for.",
        aliases=("--style",),
    ),
]

Data = Annotated[
    Path | None,
    Help(
        "Folder of the data set that the model was trained on. None: looked for in ./data, else downloaded.",
        metavar="PATH",
    ),
]

Sizes = Annotated[
    tyro.conf.UseAppendAction[tuple[str, ...]],
    Help(
        "Height x width of the pictures in pixels, e.g. 1024x576, or their long side, e.g. 1024. Repeat for several "
        "sizes.",
        metavar="HxW|N",
    ),
]

Region = Annotated[
    str | None,
    Help(
        "Zoom into a region: top,left,bottom,right as fractions of the frame from 0 to 1, e.g. 0.25,0.25,0.5,0.5. "
        "None: the whole frame.",
        metavar="T,L,B,R",
    ),
]

Fitting = Annotated[
    Fit,
    Help(
        'What to do where a picture\'s aspect ratio is not the model\'s: "fit" shows more canvas, "fill" cuts the '
        'frame, "stretch" squeezes it.'
    ),
]

Looks = Annotated[
    Look,
    Help(
        'What a picture shows: "smooth" the function; "squares" pixel art, with a crisp square for each pixel of the '
        'training pictures\' size; "palette" such squares in the nearest colours of the training pictures.'
    ),
]

Seeds = Annotated[str, Help("Random seeds, one picture each: 7, a range 0-63 or a list 1,5,9.", metavar="N,N-N")]

MaxPixels = Annotated[int, Within(1, MAX_ALLOWED), Help("Largest picture, in pixels; larger ones are refused.")]

Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    Help("Where to compute. auto: the fastest device of this machine."),
]


@dataclass(frozen=True)
class Traits:
    """What is asked of a picture beside its class."""

    with_: str | None = None
    """Attributes that the picture has, and numbers, separated by commas: smiling,age=30. A name in double quotes may
    hold anything. `s2id info` lists the names that a model knows. None: nothing is asked."""
    without: str | None = None
    """Attributes that the picture does not have, separated by commas. None: nothing is asked."""

    def ask(self, model: "S2ID", label: str | None = None, words: str | None = None) -> "Condition":
        """The condition of one picture.

        Args:
            model: The model.
            label: A class as on the command line, perhaps in quotes.
            words: What the picture shows.

        Raises:
            InputError: The model does not know a name, or an attribute is both asked for and not.
        """
        from s2id.sampling.conditions import ask

        (has, numbers), lacks = parse_traits(self.with_), parse_names(self.without)
        if both := {*has} & {*lacks}:
            raise InputError(f"--with and --without both name {listed(sorted(both))}; keep one of them.")
        attributes = {**dict.fromkeys(has, True), **dict.fromkeys(lacks, False)}
        return ask(model, label and unquoted(label), words=words, attributes=attributes, numbers=numbers)

    def words(self, card: "Card") -> list[str]:
        """What is asked, as parts of a file's name."""
        lacks = ",".join(map(quoted, parse_names(self.without)))
        return in_file_names(self.with_, card, "with-") + in_file_names(lacks, card, "without-")


def in_file_names(text: str | None, card: "Card", before: str, number: str = "") -> list[str]:
    """Attributes and numbers of a list as parts of a file's name.

    Args:
        text: The list, as for `parse_traits`.
        card: Card of the model, which knows the names.
        before: What stands before the name of an attribute.
        number: What stands before the name of a number.
    """
    names, numbers = parse_traits(text)
    attributes, measured = in_files(card.attributes), in_files(card.numbers)
    return [before + attributes[position(name, card.attributes, "attribute")] for name in names] + [
        f"{number}{measured[position(name, card.numbers, 'number')]}={str(value).removesuffix('.0')}"
        for name, value in numbers.items()
    ]


def parse_sizes(texts: Sequence[str]) -> list[AnySize]:
    """The sizes that several texts name, each as for `parse_any_size`."""
    return [parse_any_size(text) for text in texts]


def parse_window(text: str | None) -> Window | None:
    """Top, left, bottom and right from four numbers with commas; `None` stays `None`.

    Raises:
        InputError: The text is not of that form.
    """
    if text is None:
        return None
    try:
        top, left, bottom, right = (float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(
            f"window {text!r} is not top,left,bottom,right; write it as in 0.25,0.25,0.75,0.75."
        ) from error
    return top, left, bottom, right


def parse_seeds(text: str) -> list[int]:
    """Seeds from a number, a range or a list, as for `s2id.seeds.seeds_of`."""
    from s2id.seeds import seeds_of

    return seeds_of(text)


def parse_names(text: str | None) -> list[str]:
    """Names from a list with commas; `None` is none.

    >>> parse_names('smiling, "big, red"')
    ['smiling', 'big, red']

    Raises:
        InputError: A quote is not closed.
    """
    return [unquoted(part) for part in split(text or "") if part.strip()]


def parse_traits(text: str | None) -> tuple[list[str], dict[str, float]]:
    """Names of attributes, and numbers by name.

    >>> parse_traits('"big, red",age=30')
    (['big, red'], {'age': 30.0})

    Raises:
        InputError: What stands behind an `=` is no finite number, a number is given twice, or a quote is not closed.
    """
    names: list[str] = []
    numbers: dict[str, float] = {}
    for part in split(text or ""):
        name, *values = split(part, "=")
        if not values:
            names += [unquoted(name)] if part.strip() else []
            continue
        value = _number("=".join(values))
        if value is None or unquoted(name) in numbers:
            raise InputError(
                f"{part.strip()!r} is not understood: what stands behind = is no number, or {unquoted(name)} has two; "
                "write names, and numbers as in age=30, each once. A name with an equals sign needs double quotes, "
                "inside those of the shell: '\"a=b\"'."
            )
        numbers[unquoted(name)] = value
    return names, numbers


def _number(text: str) -> float | None:
    """The finite number that a text spells, or `None`."""
    try:
        return value if math.isfinite(value := float(text)) else None
    except ValueError:
        return None


def suffix(size: Size, window: Window | None = None, look: Look = "smooth") -> str:
    """Size, window and look of a picture, as the end of its file's name."""
    region = "" if window is None else "-window" + "_".join(repr(float(edge)).removesuffix(".0") for edge in window)
    return f"{size[0]}x{size[1]}{region}{'' if look == 'smooth' else f'-{look}'}"


def writable(folder: Path) -> None:
    """Make a folder and try to write in it, before anything is computed.

    Raises:
        InputError: The folder cannot be written.
    """
    from s2id.files import writing

    with writing(folder, _ELSEWHERE):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".s2id-probe"
        probe.touch()
        probe.unlink(missing_ok=True)  # another process may try the same folder


def could_write(folder: Path) -> None:
    """Refuse a folder that could not be made or written, without making it.

    Raises:
        InputError: The folder, or the nearest one above it that exists, cannot be written.
    """
    from s2id.files import writing

    with writing(folder, _ELSEWHERE):
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise InputError(f"{folder} cannot be written ({there} forbids it); {_ELSEWHERE}.")


def name_files(written: Sequence[Path]) -> None:
    """Print the paths of the files that were written, at most twenty."""
    shown = written if len(written) <= 20 else [*written[:20], f"... and {len(written) - 20} more"]
    print("wrote", *shown, sep="\n  ")
