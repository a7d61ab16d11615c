"""What the commands share: texts to values, and where they compute and write. No torch until it is needed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from s2id.errors import InputError
from s2id.sampling.settings import Card
from s2id.settings import Size, Window

if TYPE_CHECKING:
    pass


def parse_size(text: str) -> Size:
    """Height and width from "HxW".

    Raises:
        InputError: It is nothing of the kind.
    """
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise InputError(f"size {text!r} is not HEIGHTxWIDTH in pixels; write it as in 1024x576.")
    return int(height), int(width)


def parse_window(text: str | None) -> Window | None:
    """Top, left, bottom, right from four numbers with commas.

    Raises:
        InputError: It is nothing of the kind.
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


def parse_seeds(seed: int | None, seeds: str | None) -> list[int]:
    """The seeds of --seed or --seeds.

    Raises:
        InputError: Both are given, or the text is no list or range.
    """
    if seeds is None:
        return [seed or 0]
    if seed is not None:
        raise InputError("both --seed and --seeds are given; use one of them.")
    chosen: list[int] = []
    for part in seeds.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not (last.isdecimal() and int(first) <= int(last))):
            raise InputError(f"seeds {seeds!r} is no list or range; write it as in 0-63 or 1,5,9.")
        chosen += range(int(first), int(last or first) + 1)
    return chosen


def device(name: str) -> str:
    """The name of a device that is there.

    Raises:
        InputError: It is not.
    """
    import torch

    try:
        torch.empty(0, device=name, dtype=torch.float64)  # coordinates need the digits
    except (RuntimeError, AssertionError, TypeError) as error:
        raise InputError(f"device {name!r} is not to be had on this machine; use --device cpu.") from error
    return name


def suffix(size: Size, window: Window | None) -> str:
    """A picture's size and window, for its file's name."""
    region = "" if window is None else "-window" + "_".join(f"{edge:g}" for edge in window)
    return f"{size[0]}x{size[1]}{region}"


def writable(folder: Path) -> None:
    """Make a folder and try it, before anything is computed.

    Raises:
        InputError: It cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".s2id-probe"
        probe.touch()
        probe.unlink(missing_ok=True)  # another process may try the same folder
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); choose another folder with --out.") from error


def name_files(written: Sequence[Path]) -> None:
    """Print what was written."""
    shown = written if len(written) <= 20 else [*written[:20], f"... and {len(written) - 20} more"]
    print("wrote", *shown, sep="\n  ")


def data_set(card: Card, weights: str, folder: Path | None) -> tuple[str, Path | None]:
    """What reads the data that a model was trained on, and where they are: what `data.load` takes.

    Args:
        card: The model's.
        weights: What the user called it, for the message.
        folder: Where the user says they are; `None` is wherever they are looked for.

    Raises:
        InputError: The card names none.
    """
    from s2id.data.registry import READERS

    if not card.data:
        raise InputError(f"{weights} does not say what data it was trained on; its card needs the name of a data set.")
    if card.kind == "hub":
        return card.kind, folder or Path(card.data)
    return card.kind or (card.data if card.data in READERS else "folder"), folder


def long_side(card: Card) -> int | None:
    """What the data's pictures were shrunk to, if they were."""
    return max(card.size) if card.size else None
