"""The commands that draw pictures: from a model, and from a field file."""

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from s2id.cli.flags import part
from s2id.cli.options import (
    Device,
    Fitting,
    MaxPixels,
    Region,
    Seeds,
    Sizes,
    Traits,
    Weights,
    name_files,
    parse_names,
    parse_seeds,
    parse_size,
    parse_window,
    suffix,
    writable,
)
from s2id.errors import InputError
from s2id.sampling.settings import Sampling
from s2id.settings import MAX_PIXELS, Size, Window

if TYPE_CHECKING:
    from torch import Tensor

    from s2id.sampling.field import Field


@dataclass(frozen=True)
class Sample:
    """Draw pictures from a model.

    Files are named by label, seed and size, e.g. label7-seed0-1024x576.png.
    """

    weights: tyro.conf.Positional[Weights] = "mnist"
    label: str = "all"
    """Class index or name, several separated by commas, "all" for every class, or "none" for no class."""
    traits: Traits = Traits()
    avoid: str | None = None
    """Attributes to move away from, separated by commas, with the weight of --guidance. None: nothing is avoided."""
    seed: Seeds = "0"
    size: Sizes = ()
    """Height x width of the pictures in pixels, e.g. 1024x576. Repeat for several sizes. Not given: the size of the
    training pictures."""
    window: Region = None
    fit: Fitting = "fit"
    sampling: Sampling = part(Sampling(), omit=("restarts",))
    out: Path = Path("out")
    """Folder for the pictures."""
    grid: bool = False
    """Write one sheet per size, a row per label and a column per seed, instead of a file per picture."""
    fields: bool = False
    """Also write each picture as a field file, which `s2id render` draws at any size without the model."""
    max_pixels: MaxPixels = MAX_PIXELS
    device: Device = "auto"

    def run(self) -> int:
        """Compose a field per label and seed, then draw it at every size."""
        sizes, seeds, window = (
            [parse_size(size) for size in self.size],
            parse_seeds(self.seed),
            parse_window(self.window),
        )
        from tqdm import tqdm

        from s2id.condition import cat
        from s2id.coords import view
        from s2id.sampling.field import check_pixels
        from s2id.sampling.model import load
        from s2id.sampling.rare import rare_asked
        from s2id.sampling.sample import plans, sample

        model = load(self.weights, self.device)
        for size in sizes:
            view(size, window=window, fit=self.fit)
            check_pixels(size, self.max_pixels)
        sizes = sizes or [model.card.size or (model.card.density, model.card.density)]
        labels = _labels(self.label, model.card.labels, model.config.classes)
        asked = {label: self.traits.ask(model, label) for label in labels}
        for sentence in rare_asked(model.card, cat(list(asked.values()))):
            print(sentence)
        avoid = Traits(self.avoid).ask(model) if self.avoid else None
        jobs = [(label, seed) for label in labels for seed in seeds]
        writable(self.out)
        files = _Files(self, window)
        composing = rendering = 0.0
        needed = plans(model, sizes, self.sampling)
        with tqdm(total=len(needed) * len(jobs), unit="field", disable=len(jobs) < 2, leave=False) as bar:
            for plan in needed:
                for few in (jobs[first : first + plan.batch] for first in range(0, len(jobs), plan.batch)):
                    start = time.perf_counter()
                    conditions, few_seeds = [asked[label] for label, _ in few], [seed for _, seed in few]
                    drawn = sample(model, conditions, few_seeds, plan.sampling, avoid=avoid, aspect=plan.aspect)
                    composing += time.perf_counter() - start
                    start = time.perf_counter()
                    for (label, seed), field in zip(few, drawn, strict=True):
                        files.add(field, label, seed, plan.aspect, plan.sizes)
                        bar.update()
                    rendering += time.perf_counter() - start
        files.add_sheets(columns=len(seeds))
        print(f"composed {len(jobs)} in {composing:.2f} s, rendered and wrote in {rendering:.2f} s")
        name_files(files.written)
        return 0


class _Files:
    """Files that `s2id sample` writes: a picture per field and size, or a sheet per size, and the fields."""

    def __init__(self, command: Sample, window: Window | None) -> None:
        self.command, self.window = command, window
        avoid = [f"avoid-{name}" for name in parse_names(command.avoid)]
        stronger = [f"stronger-{name}={weight:g}" for name, weight in command.sampling.stronger]
        self.asked = [_in_a_name(word) for word in (*command.traits.words, *avoid, *stronger)]
        self.sheets: dict[Size, list[Tensor]] = {}
        self.written: list[Path] = []

    def add(self, field: "Field", label: str | None, seed: int, aspect: Size | None, sizes: Sequence[Size]) -> None:
        """Draw a field at every size; `aspect` is the size it was composed for, if it was for one alone."""
        command = self.command
        stem = "-".join([*([] if label is None else [f"label{_in_a_name(label)}"]), *self.asked, f"seed{seed}"])
        if command.fields:
            composed = f"-{suffix(aspect)}" if aspect else ""
            field.save(self._named(f"{stem}{composed}.safetensors"))
        for size in sizes:
            how = (size, self.window, command.fit, command.max_pixels)
            if command.grid:
                self.sheets.setdefault(size, []).append(field.render(*how)[0].cpu())
            else:
                field.write(self._named(f"{stem}-{suffix(size, self.window)}.png"), *how)

    def add_sheets(self, columns: int) -> None:
        """Write the sheets."""
        from torch import stack

        from s2id.images import tile, write

        for size, pictures in self.sheets.items():
            name = f"{'-'.join(['grid', *self.asked])}-{suffix(size, self.window)}.png"
            write(self._named(name), tile(stack(pictures), columns))

    def _named(self, name: str) -> Path:
        self.written.append(self.command.out / name)
        return self.written[-1]


@dataclass(frozen=True)
class Render:
    """Draw a field file at any size, without the model."""

    field: tyro.conf.Positional[Path]
    """The file, as `s2id sample --fields` wrote it."""
    size: Sizes
    window: Region = None
    fit: Fitting = "fit"
    out: Path | None = None
    """Folder for the pictures. None: the folder of the field file."""
    max_pixels: MaxPixels = MAX_PIXELS

    def run(self) -> int:
        """Draw a picture per size."""
        sizes, window = [parse_size(size) for size in self.size], parse_window(self.window)
        if not sizes:
            raise InputError("render needs a size; give --size HEIGHTxWIDTH.")
        from s2id.sampling.field import Field

        field = Field.load(self.field)
        folder = self.out or self.field.parent
        writable(folder)
        written = []
        for size in sizes:
            written.append(folder / f"{self.field.stem}-{suffix(size, window)}.png")
            field.write(written[-1], size, window, self.fit, self.max_pixels)
        name_files(written)
        return 0


def _labels(text: str, names: Sequence[str], classes: int) -> list[str | None]:
    """Labels that `--label` names; `None` asks for no class."""
    if text == "none" or (text == "all" and not classes):
        return [None]
    if text == "all":
        return list(names) if names else [str(i) for i in range(classes)]
    return [part.strip() for part in text.split(",")]


def _in_a_name(text: str) -> str:
    """A label as part of a file's name: what no file system minds; a long one cut, with a checksum of the whole."""
    plain = "".join(c if c.isalnum() or c in "-_=." else "_" for c in text)
    return plain if len(plain) <= 40 else f"{plain[:32]}-{zlib.crc32(text.encode()):08x}"
