"""The command that enlarges pictures."""

import math
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import tyro

from s2id.checks import Within
from s2id.cli.flags import Help, part
from s2id.cli.given import agreement, given
from s2id.cli.options import (
    Device,
    Label,
    Seeds,
    Traits,
    Weights,
    name_files,
    parse_seeds,
    suffix,
    writable,
)
from s2id.errors import InputError
from s2id.settings import parse_any_size, setting

if TYPE_CHECKING:
    from s2id.condition import Condition
    from s2id.sampling.model import S2ID
    from s2id.settings import AnySize

UPSCALER, INVENTOR = "graphics", "graphics-invent"
"""Weights that `upscale` uses if none are named, without --invent and with it."""


def _why(rms: float, lossy: bool, exact: bool, fits: bool) -> str:
    """A clause on why pictures do not come nearer, where they do not."""
    if not exact:
        return "; a JPEG, whose blocks are not drawn" if lossy else "; means are not set right (exact=false)"
    if 127.5 * rms <= 1:
        return ""
    return "; hard edges are drawn smooth, which costs agreement" if fits else "; the size is no whole multiple"


class _Given(NamedTuple):
    """A picture to enlarge."""

    path: Path
    below: Path
    """Its path below the folder that was named, or its name; the results lie at such a place below --out."""
    name: str
    """What the results are called."""


@dataclass(frozen=True)
class Upscale:
    """Enlarge pictures, or all pictures of a folder, with one call of the network for each result.

    The result is the one in the middle of what the picture may have been, where details blur that it does not show.
    With --invent it is one of those that may have been, another for each seed. Its means over the pixels of the given
    picture are as near to that picture as the colours around allow; the command says how near. A JPEG's pixels are not
    met: they hold the noise of its blocks. The ICC profile, pixels per inch and EXIF entries are taken over.
    """

    pictures: tyro.conf.Positional[
        Annotated[tuple[Path, ...], Help("Pictures: PNG, JPEG or other image files, or folders of them.")]
    ]
    size: Annotated[
        str | None, Help("Height x width of the result in pixels, e.g. 112x112, or its long side.", metavar="HxW|N")
    ] = None
    scale: Annotated[float, Within(1, 256, open_low=True)] | None = None
    """Number of times as large, above 1, instead of a size; 2.5 is one as well."""
    invent: bool = False
    """Invent what the picture does not show, in place of the one result in the middle."""
    seed: Seeds = "0"
    weights: Weights = UPSCALER
    label: Label = None
    traits: Traits = part(Traits(), group="condition")
    words: str | None = setting(None, "condition")
    """What the picture shows, in words that the model learned from captions, in any order. None: anything."""
    exact: bool | None = setting(None, "picture")
    """Whether means over the given pixels are set right. False draws the steps of pixel art as smooth outlines. None:
    unless the picture is a JPEG."""
    out: Path = Path("out")
    """Folder for the result."""
    device: Device = setting("auto", "computing")

    def run(self) -> int:
        """Enlarge the pictures and write them."""
        if self.size is None and self.scale is None:
            raise InputError("upscale needs the size of the result; give one of --scale 4 and --size 1024.")
        if self.size is not None and self.scale is not None:
            raise InputError("--size and --scale both say how large; keep one of --scale 4 and --size 1024.")
        seeds = [*dict.fromkeys(parse_seeds(self.seed))]
        size = None if self.size is None else parse_any_size(self.size)
        from s2id.sampling.model import load

        model = load(INVENTOR if self.invent and self.weights == UPSCALER else self.weights, self.device)
        if not model.config.invents and (self.invent or self.seed != "0"):
            raise InputError(
                f"{'--invent' if self.invent else '--seed'} needs a model that invents, and this one gives one result; "
                f"use {INVENTOR}{'' if self.invent else ' (--invent)'}, or leave it out."
            )
        condition = self.traits.ask(model, self.label, self.words)
        pictures, written, left = self._given(), list[Path](), 0
        writable(self.out)
        for one in pictures:
            try:
                written += self._enlarge(model, condition, seeds, one, size)
            except InputError as error:
                if [one.path] == [*self.pictures]:
                    raise
                told = str(error)
                print(f"s2id: {told if told.startswith(str(one.path)) else f'{one.path}: {told}'}", file=sys.stderr)
                left += 1
        if written:
            name_files(written)
        if left:
            were = "was" if left == 1 else "were"
            print(f"s2id: {left} of {len(pictures)} pictures {were} not enlarged", file=sys.stderr)
        return 2 if left else 0

    def _given(self) -> list[_Given]:
        """The pictures to enlarge, each once, those of folders included.

        Raises:
            InputError: None is named, or results of two of them would be the same files.
        """
        if not self.pictures:
            raise InputError("upscale needs a picture, several pictures or a folder of them.")
        places: dict[str, tuple[Path, Path]] = {}  # of each file, the path that is told, and that of its results
        for named in self.pictures:
            for path, below in self._in(named):
                places.setdefault(os.path.realpath(path), (path, below))
        first: dict[Path, Path] = {}
        for path, below in places.values():
            if (other := first.setdefault(below, path)) is not path:
                raise InputError(
                    f"{other} and {path} would have results of the same name; name the folder that both are in, or "
                    "enlarge one at a time, each with an --out of its own."
                )
        stems = Counter(below.with_suffix("") for below in first)
        return [
            _Given(path, below, below.stem if stems[below.with_suffix("")] == 1 else below.name)
            for path, below in places.values()
        ]

    def _in(self, named: Path) -> "Iterator[tuple[Path, Path]]":
        """A picture and its name, or the pictures of a folder and their paths below it; a folder without any is itself.

        Results of earlier runs are no pictures to enlarge.
        """
        if not named.is_dir():
            yield named, Path(named.name)
            return
        from s2id.data.search import search

        found = search(named)
        own = self.out.resolve()
        inside = own != named.resolve()
        fresh = [path for path in found.pictures if not (inside and path.resolve().is_relative_to(own))]
        print(*(f"note: {note}" for note in found.skipped), sep="\n", end="\n" if found.skipped else "")
        yield from ((path, path.relative_to(named)) for path in fresh)
        if not fresh:
            yield named, Path(named.name)

    def _enlarge(
        self,
        model: "S2ID",
        condition: "Condition",
        seeds: list[int],
        one: _Given,
        size: "AnySize | None",
    ) -> list[Path]:
        """Enlarge one picture, once for each seed, say how near the results are, and write them; their files."""
        from s2id.inverse.restore import disagreement, fitted, upscale
        from s2id.media.images import write
        from s2id.media.metadata import facts_of, is_lossy
        from s2id.media.sixteen_bits import is_deep

        path, place = one.path, self.out / one.below.parent
        if path.is_dir():
            raise InputError(f"{path} holds no picture; give a folder that does, or a picture.")
        picture, depth = given(path, model)
        picture = fitted(model, picture) if model.config.composes else picture
        times = self.scale or 1
        to = (round(picture.shape[1] * times), round(picture.shape[2] * times)) if size is None else size
        lossy = is_lossy(path)
        exact = not lossy if self.exact is None else self.exact
        written, squares = list[Path](), list[float]()
        for seed in seeds:
            enlarged = upscale(model, picture, to, condition, exact=exact, seed=seed).cpu()
            writable(place)
            told = f"{one.name}-seed{seed}" if model.config.invents else one.name
            written.append(place / f"upscaled-{told}-{suffix((enlarged.shape[1], enlarged.shape[2]))}.png")
            write(written[-1], enlarged, facts_of(path, len(enlarged)), depth)
            squares.append(disagreement(enlarged[None], picture, depth=depth) ** 2)
        rms = math.sqrt(sum(squares) / len(squares))
        fits = not any(n % side for n, side in zip(enlarged.shape[1:], picture.shape[1:], strict=True))
        print(f"{one.below}: {agreement(rms)}{_why(rms, lossy, exact, fits)}")
        if depth == 8 and is_deep(path):
            print(
                f"note: {path.name} has 16 bits per channel, of which 8 are read; all are of PNG and TIFF files with "
                "the extra frames (pip install 's2id[frames]')."
            )
        return written
