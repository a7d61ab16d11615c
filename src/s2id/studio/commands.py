"""What was done in the studio as a command and as Python, which give the same bytes on the same machine.

Of an uploaded picture with 16 bits per channel the studio reads 8, where the command reads all.

Rounding depends on how many pictures are composed at once, so both name the whole batch that a picture came from.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from s2id.names import quoted
from s2id.sampling.settings import Sampling
from s2id.seeds import seeds_of
from s2id.settings import Size, Window, as_text

_FOLDER = "pictures"

_FLAGS = ("steps", "guidance", "autoguidance", "sampler")
"""Settings of sampling that are flags; `--set` takes the others."""


@dataclass(frozen=True)
class Recipe:
    """Something that was done."""

    command: str
    """A line for a shell."""
    python: str
    """A program."""


@dataclass(frozen=True)
class View:
    """A picture that was taken of a field."""

    size: Size
    window: Window | None = None
    fit: str = "fit"
    look: str = "smooth"


@dataclass(frozen=True)
class Sheet:
    """What a sheet of pictures was composed from."""

    source: str
    """What `s2id.load` takes."""
    labels: str | None
    """Classes as the command line takes them."""
    seeds: str
    pictures: tuple[tuple[str | int | None, int], ...]
    """Class and seed of each picture."""
    batch: int
    beside: Mapping[str, Any]
    """Arguments of `s2id.ask` beside the class."""
    sampling: Sampling
    usual: Sampling = Sampling()

    def command(self, *more: str, only: int | None = None) -> str:
        """The line that draws all pictures, or one of them."""
        words = ["s2id", "sample", self.source]
        words += [] if self.labels is None else ["--label", self.labels]
        words += ["--seed", self.seeds, *asked_words(self.beside), *sampling_words(self.sampling, self.usual)]
        words += ["--set", f"batch={self.batch}"] if len(self.pictures) > 1 else []
        words += ["--set", f"only={only}"] if only is not None and len(self.pictures) > 1 else []
        return shlex.join([*words, *more])

    def whole(self, size: Size) -> Recipe:
        """All pictures at a size, as PNG files and as field files."""
        batches = range(0, len(self.pictures), self.batch)
        rows = [f"    {self._call(few)}," for few in (self.pictures[i : i + self.batch] for i in batches)]
        python = [
            *self._begin(),
            "fields = [",
            *rows,
            "]",
            "for number, field in enumerate(one for batch in fields for one in batch):",
            f"    field.write(f'picture{{number}}.png', size={size})",
            "    field.save(f'picture{number}.safetensors')",
        ]
        return Recipe(self.command("--fields", "--out", _FOLDER), "\n".join(python) + "\n")

    def one(self, index: int, form: str, view: View) -> Recipe:
        """One of the pictures as a file: `png` of a view, `safetensors`, or `html`."""
        first = index - index % self.batch
        folder = f"{_FOLDER}/{index}"
        python = [*self._begin(), f"fields = {self._call(self.pictures[first : first + self.batch])}"]
        if form == "png":
            more = [f"--size={view.size[0]}x{view.size[1]}"]
            more += [] if view.window is None else [f"--window={','.join(map(as_text, view.window))}"]
            more += [f"--{name}={getattr(view, name)}" for name in ("fit", "look") if _chosen(view, name)]
            python.append(f'fields[{index - first}].write("picture.png", {_arguments(view)})')
        else:
            more = ["--fields"]
            python.append(f'fields[{index - first}].save("picture.{form}")')
        command = self.command(*more, "--out", folder, only=index)
        if form == "html":
            command += f" && s2id export {folder}/*.safetensors --out {folder}/picture.html"
        return Recipe(command, "\n".join(python) + "\n")

    def asked(self, label: str | int | None) -> str:
        """What is asked for with a class, as an argument of `s2id.sample`."""
        beside = _given(self.beside)
        return f"s2id.ask(model, {label!r}{beside})" if beside else repr(label)

    def _begin(self) -> list[str]:
        return ["import s2id", "", f"model = s2id.load({self.source!r})"]

    def _call(self, few: Sequence[tuple[str | int | None, int]]) -> str:
        """The call of `s2id.sample` that composes some pictures."""
        asked = [self.asked(label) for label, _ in few]
        label = asked[0] if len({*asked}) == 1 else f"[{', '.join(asked)}]"
        settings = sampling_python(self.sampling, self.usual)
        return f"s2id.sample(model, label={label}, seed={[seed for _, seed in few]}{settings})"


@dataclass(frozen=True)
class Files:
    """Names of the files that something was made from."""

    picture: str
    mask: str | None = None


def measured_words(source: str | None, label: str | None, beside: Mapping[str, Any]) -> list[str]:
    """Flags for the model and the condition of a command that starts from pictures."""
    words = [] if source is None else ["--weights", source]
    words += [] if label is None else [f"--label={quoted(label)}"]
    return words + asked_words(beside, settings=True)


def measured_python(label: str | None, beside: Mapping[str, Any]) -> str:
    """The argument for the condition of a call that starts from pictures."""
    if given := _given(beside):
        return f", label=s2id.ask(model, {label!r}{given})"
    return "" if label is None else f", label={label!r}"


def upscaling_recipe(
    source: str, file: str, size: Size, exact: bool, label: str | None, beside: Mapping[str, Any], seeds: str | None
) -> Recipe:
    """What enlarges a picture, once for each seed where there are any."""
    words = ["s2id", "upscale", _path(file), f"--size={size[0]}x{size[1]}"]
    words += measured_words(source, label, beside)
    words += [] if seeds is None else ["--seed", seeds]
    more = f"{size}{measured_python(label, beside)}{'' if exact else ', exact=False'}"
    each = [
        f"for seed in {seeds and seeds_of(seeds)}:",
        f"    found = s2id.upscale(model, picture, {more}, seed=seed)",
        '    write(Path(f"result-seed{seed}.png"), found)',
    ]
    one = [f"found = s2id.upscale(model, picture, {more})", 'write(Path("result.png"), found)']
    python = [*_begin_with_picture(source, file), *(one if seeds is None else each)]
    words += ["--out", _FOLDER]
    return Recipe(shlex.join(words), "\n".join(python) + "\n")


@dataclass(frozen=True)
class Restoration:
    """How a picture was restored."""

    size: Size
    noise: float
    seeds: str
    sampling: Sampling
    usual: Sampling


def restoring_recipe(
    source: str, files: Files, how: Restoration, label: str | None, beside: Mapping[str, Any]
) -> Recipe:
    """What restores a picture."""
    words = ["s2id", "restore", _path(files.picture), f"--size={how.size[0]}x{how.size[1]}"]
    words += [] if files.mask is None else [f"--mask={_path(files.mask)}"]
    words += [f"--noise={as_text(how.noise)}"] if how.noise else []
    words += [*measured_words(source, label, beside), "--seed", how.seeds]
    words += [*sampling_words(how.sampling, how.usual), "--out", _FOLDER]
    seeds = seeds_of(how.seeds)
    more = "" if files.mask is None else f", mask=read(Path({files.mask!r}), 1)[0] >= 128"
    more += f", noise={how.noise!r}" if how.noise else ""
    more += f"{measured_python(label, beside)}, seeds={seeds}{sampling_python(how.sampling, how.usual)}"
    python = [
        *_begin_with_picture(source, files.picture),
        f"found = s2id.restore(model, picture, {how.size}{more})",
        "for number, answer in enumerate(found.pictures):",
        '    write(Path(f"answer{number}.png"), answer)',
        'write(Path("mean.png"), found.mean)',
        'write(Path("spread.png"), found.spread)',
    ]
    return Recipe(shlex.join(words), "\n".join(python) + "\n")


def depixelating_recipe(
    source: str | None, file: str, how: Restoration, label: str | None, beside: Mapping[str, Any]
) -> Recipe:
    """What makes one picture of frames."""
    words = ["s2id", "depixelate", _path(file), f"--size={how.size[0]}x{how.size[1]}"]
    words += measured_words(source, label, beside)
    words += [] if source is None else ["--seed", how.seeds]
    more = "" if source is None else f", model=s2id.load({source!r}), seeds={seeds_of(how.seeds)}"
    if source is not None:
        more += measured_python(label, beside).replace("ask(model,", f"ask(s2id.load({source!r}),")
    python = [
        "from pathlib import Path",
        "",
        "import s2id",
        "from s2id.media.images import write",
        "",
        f"done = s2id.depixelate({file!r}, {how.size}{more})",
        'write(Path("result.png"), done.picture)',
        'write(Path("spread.png"), done.spread)',
    ]
    return Recipe(shlex.join([*words, "--out", _FOLDER]), "\n".join(python) + "\n")


def _begin_with_picture(source: str, file: str) -> list[str]:
    return [
        "from pathlib import Path",
        "",
        "import s2id",
        "from s2id.media.images import read, to_float, write",
        "",
        f"model = s2id.load({source!r})",
        f"picture = to_float(read(Path({file!r})))",
    ]


def _path(name: str) -> str:
    """The name of a file that no command takes for a flag."""
    return f"./{name}" if name.startswith("-") else name


def _given(beside: Mapping[str, Any]) -> str:
    """Arguments of `s2id.ask` for what is asked for beside the class."""
    return "".join(f", {name}={value!r}" for name, value in beside.items() if value)


def asked_words(beside: Mapping[str, Any], settings: bool = False) -> list[str]:
    """Flags for what is asked for beside the class, or settings of commands that have no flags for it."""
    has = [quoted(name) for name, value in (beside.get("attributes") or {}).items() if value]
    has += [f"{quoted(name)}={as_text(float(value))}" for name, value in (beside.get("numbers") or {}).items()]
    lacks = [quoted(name) for name, value in (beside.get("attributes") or {}).items() if not value]
    asked = [f"{name}={','.join(names)}" for name, names in (("with", has), ("without", lacks)) if names]
    if words := beside.get("words"):
        asked.append(f"words={quoted(words) if settings else words}")
    return [part for one in asked for part in (("--set", one) if settings else (f"--{one}",))]


def sampling_words(sampling: Sampling, usual: Sampling = Sampling()) -> list[str]:
    """Flags and settings for what differs from the usual settings of sampling."""
    words = []
    for name, value in _changed(sampling, usual).items():
        own = name.replace("_", "-")
        flag = f"--{own}={value if value is None else as_text(value)}"
        words += [flag] if name in _FLAGS else ["--set", f"{own}={as_text(value)}"]
    return words


def sampling_python(sampling: Sampling, usual: Sampling = Sampling()) -> str:
    """The argument for settings of sampling that differ from the usual ones."""
    if sampling == usual:
        return ""
    values = _changed(usual, Sampling()) | _changed(sampling, usual)
    return f", sampling=s2id.Sampling({', '.join(f'{name}={value!r}' for name, value in values.items())})"


def _changed(sampling: Sampling, usual: Sampling) -> dict[str, Any]:
    every = {one.name: getattr(sampling, one.name) for one in fields(Sampling)}
    return {name: value for name, value in every.items() if value != getattr(usual, name)}


def _chosen(view: View, name: str) -> bool:
    return bool(getattr(view, name) != getattr(View, name))


def _arguments(view: View) -> str:
    """Arguments of `Field.write` for a view."""
    chosen = [name for name in ("window", "fit", "look") if _chosen(view, name)]
    return ", ".join(f"{name}={getattr(view, name)!r}" for name in ("size", *chosen))
