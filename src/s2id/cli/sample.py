"""The commands that draw pictures: from a model, and from a field file."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from s2id.checks import Within
from s2id.cli.flags import Help, part
from s2id.cli.options import (
    Device,
    Fitting,
    Looks,
    MaxPixels,
    Region,
    Seeds,
    Sizes,
    Traits,
    Weights,
    in_file_names,
    name_files,
    parse_seeds,
    parse_sizes,
    parse_window,
    suffix,
    writable,
)
from s2id.errors import InputError
from s2id.names import ALL, NONE, WHOLE, in_a_file, in_files, is_number, plain, position, quoted, split, unquoted
from s2id.sampling.settings import Sampling
from s2id.settings import MAX_ALLOWED, MAX_PIXELS, MOST_SEEDS, Size, Window, setting
from s2id.words import words_of

if TYPE_CHECKING:
    from torch import Tensor

    from s2id.condition import Condition
    from s2id.sampling.field import Field
    from s2id.sampling.model import S2ID
    from s2id.sampling.sample import Plan
    from s2id.sampling.settings import Card

_LABEL = (
    "Name or index of a class, such as a style, several separated by commas, all for every class, or none for no "
    'class. A name in double quotes may be anything: \'"all","a,b"\'. None: each seed has a class of its own, drawn '
    "by chance; or no class if --words, --with or --without asks for something."
)

Job = tuple[int | None, int]
"""Index of a class, or `None` for no class, and a seed: one picture."""


@dataclass(frozen=True)
class Sample:
    """Draw pictures from a model.

    Files are named by class, seed and size, e.g. label7-seed0-1024x576.png or label2-cat-seed0-1024x576.png.
    """

    weights: tyro.conf.Positional[Weights] = "mnist"
    label: Annotated[str | None, Help(_LABEL, aliases=("--style",))] = None
    words: str | None = None
    """What the picture shows: "red fox", in words that the model learned from captions, in any order, of which `s2id
    info` lists the most frequent; any text, if the model has a text encoder. None: anything."""
    traits: Traits = Traits()
    avoid: str | None = None
    """Attributes to move away from, separated by commas, with the weight of --guidance. None: nothing is avoided."""
    seed: Seeds = "0"
    size: Sizes = ()
    """Height x width of the pictures in pixels, e.g. 1024x576, or their long side, e.g. 1024. Repeat for several sizes.
    Not given: the size of the training pictures."""
    window: Region = None
    fit: Fitting = "fit"
    look: Looks = "smooth"
    sampling: Sampling = part(Sampling(), omit=("restarts",))
    out: Path = Path("out")
    """Folder for the pictures."""
    grid: bool = False
    """Write one sheet per size, with a caption below each picture, instead of a file per picture."""
    fields: bool = False
    """Also write each picture as a field file, which `s2id render` draws at any size without the model."""
    max_pixels: Annotated[int, Within(1, MAX_ALLOWED)] = setting(MAX_PIXELS, "files")
    """Largest picture, in pixels; larger ones are refused."""
    batch: Annotated[int, Within(1, MOST_SEEDS)] | None = setting(None, "files")
    """Number of pictures that are composed at once, which changes values by rounding. None: as many as are fast."""
    only: tuple[Annotated[int, Within(0)], ...] = setting((), "files")
    """Numbers of the only pictures to write, from 0, in the order of classes and then of seeds. Their values are those
    that they have among all pictures, to the last bit. Empty: all."""
    device: Device = "auto"

    def _jobs(self, model: "S2ID", seeds: Sequence[int]) -> Iterator[Job]:
        """The pictures that `--label` and `--seed` ask for, the seeds of a class together."""
        from s2id.sampling.conditions import label_index
        from s2id.seeds import seed_of

        classes = model.config.classes
        if self.label is None and self.words is None and classes and self.traits == Traits():
            # of a model that went on with pictures of few classes, one of these
            taught = [i for i, count in enumerate(model.card.label_counts) if count] or range(classes)
            yield from ((taught[seed_of(seed) % len(taught)], seed) for seed in seeds)
            return
        labels: list[int | None] = []
        for word in split(NONE if self.label is None else self.label):
            if word.strip() == ALL and classes:
                labels += range(classes)
            else:
                labels.append(None if word.strip() in (ALL, NONE) else label_index(model, unquoted(word)))
        yield from ((label, seed) for label in dict.fromkeys(labels) for seed in seeds)

    def _batches(self, count: int, at_once: int) -> Iterator[range]:
        """Numbers of the pictures to compose at once, of all batches of which anything is written."""
        size = self.batch or at_once
        for first in range(0, count, size):
            few = range(first, min(first + size, count))
            if not self.only or any(number in few for number in self.only):
                yield few

    def _notes(self, card: "Card") -> Iterator[str]:
        """Sentences about words for which the model has a class too."""
        words = [] if self.label is None else [word.strip() for word in split(self.label)]
        for name in card.labels:
            if plain(name) in (ALL, NONE) and plain(name) in words:
                what = "every class" if plain(name) == ALL else "no class"
                yield f"{plain(name)} means {what}; the class of this name is --label '{quoted(name)}'"

    def run(self) -> int:
        """Compose a field per class and seed, then draw it at every size."""
        asked_sizes, seeds, window = parse_sizes(self.size), parse_seeds(self.seed), parse_window(self.window)
        import torch

        from s2id.condition import cat
        from s2id.coords import check_pixels, extent, view, whole_size
        from s2id.sampling.model import load
        from s2id.sampling.rare import rare_asked
        from s2id.sampling.sample import plans
        from s2id.shapes import NULL

        model = load(self.weights, self.device)
        own = model.card.size or (model.card.density, model.card.density)
        sizes = [whole_size(size, extent(own), window) for size in asked_sizes or [max(own) if window else own]]
        for size in sizes:
            check_pixels(size, self.max_pixels)  # before coordinates take memory
            view(size, window=window, fit=self.fit)
        jobs, beside = list(self._jobs(model, seeds)), self.traits.ask(model, words=self.words)
        asked = {i: replace(beside, label=torch.tensor([NULL if i is None else i])) for i, _ in jobs}
        for sentence in (*self._notes(model.card), *rare_asked(model.card, cat(list(asked.values())))):
            print(sentence)
        if self.only and max(self.only) >= len(jobs):
            raise InputError(f"only names picture {max(self.only)} and there are {len(jobs)}, numbered from 0.")
        writable(self.out)
        files = _Files(self, window, model.card)
        drawn = self._draw(model, jobs, asked, plans(model, sizes, self.sampling), files)
        files.add_sheets([jobs[i] for i in sorted({*self.only})] or jobs, per_row=len(seeds))
        print(drawn)
        name_files(files.written)
        return 0

    def _draw(
        self,
        model: "S2ID",
        jobs: Sequence[Job],
        asked: Mapping[int | None, "Condition"],
        needed: Sequence["Plan"],
        files: "_Files",
    ) -> str:
        """Compose and draw, and say how long it took."""
        from tqdm import tqdm

        from s2id.sampling.sample import sample

        avoid = Traits(self.avoid).ask(model) if self.avoid else None
        composing = rendering = 0.0
        count = 0
        with tqdm(total=len(needed) * len(jobs), unit="field", disable=len(jobs) < 2, leave=False) as bar:
            for plan, numbers in ((one, few) for one in needed for few in self._batches(len(jobs), one.batch)):
                start = time.perf_counter()
                conditions, seeds = [asked[jobs[i][0]] for i in numbers], [jobs[i][1] for i in numbers]
                drawn = sample(model, conditions, seeds, plan.sampling, avoid=avoid, aspect=plan.aspect)
                composing += time.perf_counter() - start
                start = time.perf_counter()
                for number, field in zip(numbers, drawn, strict=True):
                    if not self.only or number in self.only:
                        files.add(field, *jobs[number], plan.aspect, plan.sizes)
                    bar.update()
                rendering += time.perf_counter() - start
                count += len(numbers)
        return f"composed {count} in {composing:.2f} s, rendered and wrote in {rendering:.2f} s"


class _Files:
    """Files that `s2id sample` writes: a picture per field and size, or a sheet per size, and the fields."""

    def __init__(self, command: Sample, window: Window | None, card: "Card") -> None:
        self.command, self.window, self.names = command, window, card.labels
        words = [*command.traits.words(card), *in_file_names(command.avoid, card, "avoid-", "avoid-")]
        if command.words is not None:
            words.insert(0, "words-" + "_".join(words_of(command.words)))
        names = (*card.attributes, *card.numbers, *WHOLE, *card.words)
        for name, weight in command.sampling.stronger:
            words.append(f"stronger-{in_files(names)[position(name, names, 'label')]}={weight:g}")
        self.asked = [in_a_file("-".join(words), 72)] if words else []
        self.sheets: dict[Size, list[Tensor]] = {}
        self.written: list[Path] = []

    def add(self, field: "Field", label: int | None, seed: int, aspect: Size | None, sizes: Sequence[Size]) -> None:
        """Draw a field at every size; `aspect` is the size it was composed for, if it was for one alone."""
        command = self.command
        stem = "-".join([*([] if label is None else [class_in_a_name(label, self.names)]), *self.asked, f"seed{seed}"])
        if command.fields:
            composed = f"-{suffix(aspect)}" if aspect else ""
            field.save(self._named(f"{stem}{composed}.safetensors"))
        for size in sizes:
            how = (size, self.window, command.fit, command.max_pixels, command.look)
            if command.grid:
                self.sheets.setdefault(size, []).append(field.render(*how)[0].cpu())
            else:
                field.write(self._named(f"{stem}-{suffix(size, self.window, command.look)}.png"), *how)

    def add_sheets(self, jobs: Sequence[Job], per_row: int) -> None:
        """Write the sheets, on which each picture's caption is its class and its seed."""
        from torch import stack

        from s2id.media.images import write
        from s2id.media.sheets import sheet

        names = ["" if label is None else self.names[label] if self.names else str(label) for label, _ in jobs]
        captions = [", ".join(filter(None, (name, f"seed {job[1]}"))) for name, job in zip(names, jobs, strict=True)]
        for size, pictures in self.sheets.items():
            name = f"{'-'.join(['grid', *self.asked])}-{suffix(size, self.window, self.command.look)}.png"
            write(self._named(name), sheet(stack(pictures), captions, per_row))

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
    look: Looks = "smooth"
    out: Path | None = None
    """Folder for the pictures. None: the folder of the field file."""
    max_pixels: MaxPixels = MAX_PIXELS

    def run(self) -> int:
        """Draw a picture per size."""
        asked, window = parse_sizes(self.size), parse_window(self.window)
        if not asked:
            raise InputError("render needs a size; give --size HEIGHTxWIDTH, or the long side alone.")
        from s2id.coords import whole_size
        from s2id.sampling.field import Field

        field = Field.load(self.field)
        folder = self.out or self.field.parent
        writable(folder)
        written = []
        for size in (whole_size(one, field.features.frame, window) for one in asked):
            written.append(folder / f"{self.field.stem}-{suffix(size, window, self.look)}.png")
            field.write(written[-1], size, window, self.fit, self.max_pixels, self.look)
        name_files(written)
        return 0


def class_in_a_name(label: int, names: Sequence[str]) -> str:
    """A class as part of a file's name, which no other class of the model has, even where case does not count.

    The index keeps names apart; where a name is itself a number, it stands alone.

    >>> class_in_a_name(0, ["Cat", "cat"]), class_in_a_name(1, ["Cat", "cat"]), class_in_a_name(7, [])
    ('label0-Cat', 'label1-cat', 'label7')
    >>> class_in_a_name(1, ["3", "5"])
    'label5'
    """
    name = in_a_file(names[label]) if names else str(label)
    alone = not names or (is_number(name) and name == names[label])
    return f"label{name}" if alone else f"label{label}-{name}"
