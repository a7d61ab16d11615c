"""Headers of .safetensors files: the facts that are written before the tensors. Nothing here imports torch."""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from s2id.checks import shown
from s2id.errors import InputError
from s2id.settings import read_json


@contextmanager
def headed(path: Path, kind: str, framework: str) -> Iterator[tuple[Any, dict[str, str]]]:
    """A .safetensors file, as the package safetensors opens it, and the facts in its header.

    Args:
        path: The file.
        kind: Value that the fact `format` must have.
        framework: What tensors are read as, "pt" or "np".

    Raises:
        InputError: The file is missing, damaged, of another format, or no .safetensors file.
    """
    try:
        with safe_open(path, framework) as file:
            facts = file.metadata() or {}
            if facts.get("format") != kind:
                raise InputError(
                    f"{path} has format {shown(facts.get('format'))}, not {kind!r}; it was not written by s2id for "
                    "this."
                )
            yield file, facts
    except (SafetensorError, OSError) as error:
        if _is_pickle(path):
            raise InputError(f"{path} is a pickle, which runs code when read; give a .safetensors file.") from error
        raise InputError(f"{path} is no complete .safetensors file ({error}); fetch it again.") from error


def fact(path: Path, facts: Mapping[str, str], name: str) -> Any:  # noqa: ANN401  (any value of JSON)
    """The value of a fact in JSON.

    Args:
        path: The file, for messages.
        facts: Its facts.
        name: Name of the fact.

    Raises:
        InputError: The file has no such fact, or it is no JSON.
    """
    if name not in facts:
        raise InputError(f"{path} lacks its {name}; use the file as it was saved.")
    return read_json(facts[name], f"the {name} in {path}")


def no_file(path: Path) -> str:
    """Why a path is no file that can be read, as the rest of a sentence; empty if it is one.

    >>> no_file(Path("/"))
    'is a folder'
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    except (OSError, ValueError) as error:  # ValueError: a NUL
        return f"cannot be read ({getattr(error, 'strerror', None) or error})"
    if stat.S_ISDIR(mode):
        return "is a folder" if path.parts else "is the present folder, which an empty name means too"
    return "" if stat.S_ISREG(mode) else "is no ordinary file"


def _is_pickle(path: Path) -> bool:
    """Whether a file was written by pickle or torch.save."""
    try:
        with open(path, "rb") as file:
            start = file.read(9)
    except OSError:
        return False
    # a .safetensors file begins with the length of its header in eight bytes, of which the last are zero, and with its
    # {; a pickle has the length of its first frame from the fourth byte on, which ends in zeros too, but later
    header = start[:8].endswith(b"\0\0") and start[8:] in (b"", b"{")
    protocol = len(start) > 2 and start[0] == 0x80 and 2 <= start[1] <= 5 and not header
    return start[:2] == b"PK" or protocol
