"""Files that are written whole or not at all, and .safetensors files with a checksum. No pickle is ever read."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from s2id.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which replaces `path` when the `with` block ends; if the block fails, the old file stays.

    Raises:
        InputError: The folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}); choose another place.") from error
    finally:
        with suppress(OSError):  # the folder may not exist
            partial.unlink()


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Write tensors to a .safetensors file, whole or not at all.

    Args:
        path: The file.
        tensors: Tensors by name.
        facts: Texts by name, which become the file's metadata; `format` names the kind of file for `read_tensors`.

    Raises:
        InputError: The file cannot be written.
    """
    ready = {k: v.cpu().contiguous() for k, v in tensors.items()}
    payload = save(ready, {**facts, "sha256": checksum(ready, facts)})
    with replacing(path) as file:
        file.write(payload)


def read_tensors(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and facts of a .safetensors file that `write_tensors` wrote.

    Args:
        path: The file.
        kind: Value that the fact `format` must have.

    Raises:
        InputError: The file is missing, damaged, of another format, or no .safetensors file.
    """
    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata() or {}
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118  (no mapping)
    except (SafetensorError, OSError) as error:
        if _is_pickle(path):
            raise InputError(f"{path} is a pickle, which runs code when read; give a .safetensors file.") from error
        raise InputError(f"{path} is no complete .safetensors file ({error}); fetch it again.") from error
    if facts.get("format") != kind:
        raise InputError(
            f"{path} has format {facts.get('format')!r}, not {kind!r}; it was not written by s2id for this."
        )
    others = {k: v for k, v in facts.items() if k != "sha256"}
    if facts.get("sha256") != checksum(tensors, others):
        raise InputError(f"{path} was altered: it does not match its checksum; fetch it again.")
    return tensors, facts


def fill(module: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Copy tensors into a module whose parameters must have exactly the same names and shapes.

    Args:
        module: The module.
        tensors: Tensors by parameter name.
        source: File of the tensors, for the error message.

    Raises:
        InputError: A name or shape differs.
    """
    wanted = module.state_dict()
    wrong = [
        k
        for k in sorted(wanted.keys() | tensors.keys())
        if k not in wanted or k not in tensors or wanted[k].shape != tensors[k].shape
    ]
    if wrong:
        raise InputError(
            f"{source} does not fit its config: {wrong[0]} and {len(wrong) - 1} more differ; "
            "use the file as it was saved."
        )
    module.load_state_dict(dict(tensors))


def _is_pickle(path: Path) -> bool:
    """Whether a file was written by pickle or torch.save."""
    try:
        with open(path, "rb") as file:
            start = file.read(8)
    except OSError:
        return False
    # a .safetensors file begins with the length of its header in eight bytes, of which the last are zero
    protocol = len(start) > 2 and start[0] == 0x80 and 2 <= start[1] <= 5 and not start.endswith(b"\0\0")
    return start[:2] == b"PK" or protocol


def checksum(tensors: Mapping[str, Tensor], facts: Mapping[str, str] | None = None) -> str:
    """SHA-256 of facts and of the names, types, shapes and bytes of tensors, both sorted by name."""
    digest = hashlib.sha256()
    for item in sorted((facts or {}).items()):
        digest.update(json.dumps(item).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
