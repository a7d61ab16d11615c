"""Files that are written whole or not at all, and .safetensors files with a checksum. No pickle is ever read."""

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from s2id.checks import shown
from s2id.errors import InputError
from s2id.headers import fact, headed
from s2id.stopping import unfinished

_Module = TypeVar("_Module", bound=nn.Module)

_SCALE = ":scale"
"""What the name of a tensor's scales ends in."""

_DEEPEST = 256
"""Largest number of folders in one another that are made; Python makes them by recursion, which has a limit."""


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which replaces `path` when the `with` block ends; if the block fails, the old file stays.

    Of a symbolic link, the file that it leads to is replaced.

    Raises:
        InputError: The folder cannot be written, or the path is that of a device or a pipe.
    """
    with writing(path):
        target = Path(os.path.realpath(path))
        if target.exists() and not (target.is_file() or target.is_dir()):
            raise InputError(f"{path} cannot be written (it is no ordinary file); give the name of another.")
        # named by chance, because other processes may write the same file, from machines that share the folder too
        partial = target.with_name(f".s2id-{secrets.token_hex(8)}.partial")
        with unfinished(partial):
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(partial, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, target)


@contextmanager
def writing(path: Path, advice: str = "make room, or choose another place") -> Iterator[None]:
    """A block that writes to `path`, in which errors of the system are refusals.

    Args:
        path: The file or folder.
        advice: What to do where it cannot be written, for the message.

    Raises:
        InputError: The path cannot be written.
    """
    if "\0" in str(path):
        raise InputError(f"{shown(str(path))} cannot be written (no name holds the character NUL); {advice}.")
    if (deep := len(path.parts)) > _DEEPEST:
        raise InputError(f"{str(path)[:60]}... cannot be written ({deep} folders in one another); {advice}.")
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}); {advice}.") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all.

    Raises:
        InputError: The file cannot be written.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        InputError: The file cannot be written.
    """
    with replacing(path) as file:
        file.write(content)


def check_suffix(path: Path, *suffixes: str) -> None:
    """Refuse a file whose name says that it is of another format.

    Raises:
        InputError: The name ends in none of the given suffixes.
    """
    if path.suffix.lower() not in suffixes:
        only = "is the only format" if len(suffixes) == 1 else "are the only formats"
        raise InputError(f"{path} does not end in {' or '.join(suffixes)}, which {only} that it can have; rename it.")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Write tensors to a .safetensors file, whole or not at all.

    Args:
        path: The file.
        tensors: Tensors by name.
        facts: Texts by name, which become the file's metadata; `format` names the kind of file for `read_tensors`.

    Raises:
        InputError: The file cannot be written.
    """
    write_bytes(path, packed(tensors, facts))


def stored(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Tensors as a file has them.

    Args:
        tensors: Floats by name.
        dtype: Type of the numbers. `torch.int8` takes a byte for each: a matrix becomes whole numbers from -127 to 127
            and, under its name with `:scale`, the float32 of each row that they are multiplied by; what has one axis
            becomes float16. `TensorFile.tensors` multiplies.
    """
    if dtype != torch.int8:
        return {name: tensor.detach().to(dtype) for name, tensor in tensors.items()}
    found = {}
    for name, tensor in tensors.items():
        if tensor.ndim < 2:
            found[name] = tensor.detach().half()
            continue
        rows = tensor.detach().flatten(1)
        scale = rows.abs().amax(1).clamp(min=1e-30) / 127
        found[name] = (rows / scale[:, None]).round().to(torch.int8).view(tensor.shape)
        found[name + _SCALE] = scale
    return found


def packed(tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> bytes:
    """The content of the file that `write_tensors` writes, always the same bytes; arguments as there."""
    ready = {k: v.cpu().contiguous() for k, v in tensors.items()}
    content = save(ready, {**facts, "sha256": checksum(ready, facts)})
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))  # safetensors writes them in any order
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // 8) * 8)  # so that tensors are aligned
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


@dataclass(frozen=True)
class TensorFile:
    """A .safetensors file that `write_tensors` wrote, of which only the header has been read."""

    path: Path
    facts: dict[str, str]
    """Texts by name: what `write_tensors` was given, without the checksum."""
    shapes: dict[str, tuple[int, ...]]
    """Shape of each tensor by its name, without those of scales."""
    scales: dict[str, tuple[int, ...]]
    """Shape of each tensor's scales by the tensor's name, where it has any."""
    _checksum: str | None
    _read: Callable[[str], Tensor]

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of the file by name, with their rows multiplied by their scales.

        Raises:
            InputError: They do not match the file's checksum, hold NaN or infinity, or scales are not one per row.
        """
        names = [*self.shapes, *(name + _SCALE for name in self.scales)]
        tensors = {name: self._read(name) for name in names}
        if self._checksum != checksum(tensors, self.facts):
            raise InputError(f"{self.path} was altered: it does not match its checksum; fetch it again.")
        check_finite(tensors, str(self.path))
        for name, shape in self.scales.items():
            scale, rows = tensors.pop(name + _SCALE), self.shapes.get(name, ())
            if shape != rows[:1] or not rows or not scale.is_floating_point():
                raise InputError(f"{self.path} has not one scale for each row of {name}; use the file as it was saved.")
            tensors[name] = tensors[name] * scale.view(-1, *[1] * (len(rows) - 1))
        return tensors

    def fact(self, name: str) -> Any:  # noqa: ANN401  (any value of JSON)
        """The value of a fact in JSON; errors as for `headers.fact`."""
        return fact(self.path, self.facts, name)


@contextmanager
def opened(path: Path, kind: str) -> Iterator[TensorFile]:
    """A .safetensors file, so that its facts and shapes can be checked before its tensors are read.

    Args:
        path: The file.
        kind: Value that the fact `format` must have.

    Raises:
        InputError: The file is missing, damaged, of another format, or no .safetensors file.
    """
    with headed(path, kind, "pt") as (file, facts):
        digest = facts.pop("sha256", None)
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        scales = {name.removesuffix(_SCALE): shapes.pop(name) for name in [*shapes] if name.endswith(_SCALE)}
        yield TensorFile(path, facts, shapes, scales, digest, file.get_tensor)


def read_tensors(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and facts of a .safetensors file; arguments and errors as for `opened` and `TensorFile.tensors`."""
    with opened(path, kind) as file:
        return file.tensors(), file.facts


def check_finite(tensors: Mapping[str, Tensor], holder: str) -> None:
    """Refuse tensors with values that are no numbers.

    Args:
        tensors: Tensors by name.
        holder: What holds them, for the message.

    Raises:
        InputError: A value is NaN or infinite.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise InputError(f"{holder} holds NaN or infinity in {name}; train or fetch it again.")


class _Shapes(TorchFunctionMode):
    """While this is on, modules are made on the device "meta", without memory and without drawing weights."""

    def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204
        """Call a function of torch, unless it draws or fills weights."""
        kwargs = kwargs or {}
        if getattr(function, "__module__", "") == "torch.nn.init":  # on "meta" these would import torch's compiler
            return kwargs.get("tensor", args[0] if args else None)
        return function(*args, **kwargs)


def shapes_of(make: Callable[[], _Module]) -> _Module:
    """The module that a function makes, on the device "meta": its parameters have shapes and take no memory."""
    with torch.device("meta"), _Shapes():
        return make()


def check_shapes(module: nn.Module, shapes: Mapping[str, tuple[int, ...]], source: Path) -> None:
    """Refuse tensors that are not exactly a module's parameters.

    Args:
        module: The module, perhaps from `shapes_of`.
        shapes: Shapes by parameter name.
        source: File of the tensors, for the error message.

    Raises:
        InputError: A name or shape differs.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    wrong = [name for name in sorted(wanted.keys() | shapes.keys()) if wanted.get(name) != shapes.get(name)]
    if wrong:
        raise InputError(
            f"{source} does not fit its config: {wrong[0]} and {len(wrong) - 1} more differ; "
            "use the file as it was saved."
        )


def filled(file: TensorFile, make: Callable[[], _Module], own: Callable[[str], str] = str) -> _Module:
    """A module with a file's tensors, in evaluation mode and without gradients.

    Their shapes are compared before any memory is taken, whatever sizes a crafted header asks for.

    Args:
        file: The file, whose facts have been checked.
        make: What makes the module.
        own: Name in the module of a tensor that the file has under a name; by default the same.

    Raises:
        InputError: A name or shape differs, weights are whole numbers, or the tensors were altered.
    """
    empty = shapes_of(make)
    check_shapes(empty, {own(name): shape for name, shape in file.shapes.items()}, file.path)
    tensors, wanted = file.tensors(), empty.state_dict()
    for name, tensor in tensors.items():
        if wanted[own(name)].is_floating_point() and not tensor.is_floating_point():
            raise InputError(f"the values of {name} in {file.path} are no numbers with a point; use another file.")
    module = make()
    module.load_state_dict({own(name): tensor for name, tensor in tensors.items()})
    return module.eval().requires_grad_(False)


def fill(module: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Copy tensors into a module whose parameters must have exactly the same names and shapes.

    Args:
        module: The module.
        tensors: Tensors by parameter name.
        source: File of the tensors, for the error message.

    Raises:
        InputError: A name or shape differs.
    """
    check_shapes(module, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, source)
    module.load_state_dict(dict(tensors))


def checksum(tensors: Mapping[str, Tensor], facts: Mapping[str, str] | None = None) -> str:
    """SHA-256 of facts and of the names, types, shapes and bytes of tensors, both sorted by name."""
    digest = hashlib.sha256()
    for item in sorted((facts or {}).items()):
        digest.update(json.dumps(item).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
