"""The commands that start from pictures: upscale, restore and depixelate."""

import json
import math
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from s2id.checks import Within
from s2id.cli.flags import Help, part
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
from s2id.inverse.settings import RESTORING
from s2id.sampling.settings import Sampling
from s2id.settings import parse_any_size, setting

if TYPE_CHECKING:
    from torch import Tensor

    from s2id.condition import Condition
    from s2id.sampling.model import S2ID
    from s2id.settings import AnySize

UPSCALER, INVENTOR = "graphics", "graphics-invent"
"""Weights that `upscale` uses if none are named, without --invent and with it."""

_Picture = Annotated[Path, Help("The picture: a PNG, JPEG or other image file.")]

_Size = Annotated[
    str, Help("Height x width of the result in pixels, e.g. 112x112, or its long side, e.g. 112.", metavar="HxW|N")
]


def _given(path: Path, model: "S2ID") -> "tuple[Tensor, int]":
    """The picture of a file in [-1, 1], and how many bits of each channel were read.

    The user is told what is lost: transparency where a model has no alpha, and all but an animation's first picture.
    """
    from s2id.media.alpha import has_alpha
    from s2id.media.raster import count_pages
    from s2id.media.sixteen_bits import read_exactly

    picture, depth = read_exactly(path)
    if (count := count_pages(path)) > 1:
        print(f"note: {path.name} is an animation of {count} pictures, of which the first is read.")
    if has_alpha(len(picture)) and not has_alpha(model.config.channels):
        print(f"note: {path.name} is laid over {model.card.alpha}, because this model draws no transparency.")
    return picture, depth


def _agreement(rms: float) -> str:
    """A clause on how near pictures come to the given one, from the root mean square of their residual."""
    decibels = 20 * math.log10(2 / max(rms, 1e-9))
    return f"means over the given pixels differ from them by {127.5 * rms:.2f} grey levels rms ({decibels:.1f} dB)"


def _why(rms: float, lossy: bool, exact: bool, fits: bool) -> str:
    """A clause on why pictures do not come nearer, where they do not."""
    if not exact:
        return "; a JPEG, whose blocks are not drawn" if lossy else "; means are not set right (exact=false)"
    if 127.5 * rms <= 1:
        return ""
    return "; hard edges are drawn smooth, which costs agreement" if fits else "; the size is no whole multiple"


@dataclass(frozen=True)
class Upscale:
    """Enlarge a picture, or every picture of a folder, with one call of the network for each result.

    The result is the one in the middle of what the picture may have been, where details blur that it does not show.
    With --invent it is one of those that may have been, another for each seed. Its means over the pixels of the given
    picture are as near to that picture as the colours around allow; the command says how near. A JPEG's pixels are not
    met: they hold the noise of its blocks. The ICC profile, pixels per inch and EXIF entries are taken over.
    """

    picture: tyro.conf.Positional[Annotated[Path, Help("The picture: a PNG, JPEG or other image file; or a folder.")]]
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
        writable(self.out)
        if not self.picture.is_dir():
            name_files(self._enlarge(model, condition, seeds, self.picture, size, self.out, self.picture.stem))
            return 0
        return self._folder(model, condition, seeds, size)

    def _folder(self, model: "S2ID", condition: "Condition", seeds: list[int], size: "AnySize | None") -> int:
        """Enlarge the pictures of a folder, and name those that cannot be; the code says whether there were any.

        Results of earlier runs, in a folder of the pictures', are no pictures to enlarge.
        """
        from s2id.data.search import search

        found, written, left = search(self.picture), list[Path](), 0
        inside = self.out.resolve() != self.picture.resolve()
        given = [path for path in found.pictures if not (inside and path.resolve().is_relative_to(self.out.resolve()))]
        if not given:
            raise InputError(f"{self.picture} holds no picture; give a folder that does, or a picture.")
        stems = Counter(path.with_suffix("") for path in given)
        print(*(f"note: {note}" for note in found.skipped), sep="\n", end="\n" if found.skipped else "")
        for path in given:
            name = path.stem if stems[path.with_suffix("")] == 1 else path.name
            try:
                place = self.out / path.parent.relative_to(self.picture)
                written += self._enlarge(model, condition, seeds, path, size, place, name)
            except InputError as error:
                told = str(error)
                print(f"s2id: {told if told.startswith(str(path)) else f'{path}: {told}'}", file=sys.stderr)
                left += 1
        name_files(written)
        if left:
            print(f"s2id: {left} of {len(given)} pictures were not enlarged", file=sys.stderr)
        return 2 if left else 0

    def _enlarge(
        self,
        model: "S2ID",
        condition: "Condition",
        seeds: list[int],
        path: Path,
        size: "AnySize | None",
        place: Path,
        name: str,
    ) -> list[Path]:
        """Enlarge one picture, once for each seed, say how near the results are, and write them; their files."""
        from s2id.inverse.restore import disagreement, fitted, upscale
        from s2id.media.images import write
        from s2id.media.metadata import facts_of, is_lossy
        from s2id.media.sixteen_bits import is_deep

        picture, depth = _given(path, model)
        picture = fitted(model, picture) if model.config.composes else picture
        times = self.scale or 1
        to = (round(picture.shape[1] * times), round(picture.shape[2] * times)) if size is None else size
        lossy = is_lossy(path)
        exact = not lossy if self.exact is None else self.exact
        written, squares = list[Path](), list[float]()
        for seed in seeds:
            enlarged = upscale(model, picture, to, condition, exact=exact, seed=seed).cpu()
            writable(place)
            told = f"{name}-seed{seed}" if model.config.invents else name
            written.append(place / f"upscaled-{told}-{suffix((enlarged.shape[1], enlarged.shape[2]))}.png")
            write(written[-1], enlarged, facts_of(path, len(enlarged)), depth)
            squares.append(disagreement(enlarged[None], picture, depth=depth) ** 2)
        rms = math.sqrt(sum(squares) / len(squares))
        shown = path.relative_to(self.picture) if self.picture.is_dir() else path.name
        fits = not any(n % side for n, side in zip(enlarged.shape[1:], picture.shape[1:], strict=True))
        print(f"{shown}: {_agreement(rms)}{_why(rms, lossy, exact, fits)}")
        if depth == 8 and is_deep(path):
            print(
                f"note: {path.name} has 16 bits per channel, of which 8 are read; all are of PNG and TIFF files with "
                "the extra frames (pip install 's2id[frames]')."
            )
        return written


@dataclass(frozen=True)
class Restore:
    """Draw what a poor picture may have been: larger, with holes filled, in colour, or without its noise.

    Each seed gives one answer that agrees with the picture; two more pictures show what the answers share (mean) and
    where they differ (std).
    """

    picture: tyro.conf.Positional[_Picture]
    size: str | None = None
    """Height x width of the answers in pixels, e.g. 28x28, or their long side, e.g. 28. None: the size of the
    picture."""
    mask: Path | None = None
    """Picture of the same size, white where the given picture is known and black where it is to be filled in. None: all
    of it is known."""
    noise: Annotated[float, Within(0, 100)] = 0.0
    """Standard deviation of the noise in the given picture, where black is -1 and white is 1."""
    weights: Weights = "mnist"
    label: Label = None
    traits: Traits = part(Traits(), group="condition")
    words: str | None = setting(None, "condition")
    """What the picture shows, in words that the model learned from captions, in any order. None: anything."""
    seed: Seeds = "0-7"
    sampling: Sampling = part(RESTORING, omit=("autoguidance",))
    out: Path = Path("out")
    """Folder for the answers, their mean and their standard deviation."""
    device: Device = "auto"

    def run(self) -> int:
        """Draw the answers and write them."""
        size = None if self.size is None else parse_any_size(self.size)
        seeds = parse_seeds(self.seed)
        from s2id.inverse.restore import disagreement, fitted, restore
        from s2id.media.images import read, write
        from s2id.sampling.model import load

        model = load(self.weights, self.device)
        picture, _ = _given(self.picture, model)
        mask = None if self.mask is None else read(self.mask, 1)[0] >= 128
        label = self.traits.ask(model, self.label, self.words)
        writable(self.out)
        start = time.perf_counter()
        found = restore(
            model,
            picture,
            size,
            mask=mask,
            noise=self.noise,
            label=label,
            seeds=seeds,
            sampling=self.sampling,
        )
        seconds = time.perf_counter() - start
        pictures = {f"seed{seed}": one for seed, one in zip(seeds, found.pictures, strict=True)}
        pictures |= {"mean": found.mean, "std": found.spread}
        end = suffix((found.pictures.shape[2], found.pictures.shape[3]))
        written = [self.out / f"restored-{self.picture.stem}-{name}-{end}.png" for name in pictures]
        for path, one in zip(written, pictures.values(), strict=True):
            write(path, one)
        rms = disagreement(found.pictures.cpu(), fitted(model, picture, mask), mask)
        print(f"{len(seeds)} answers in {seconds:.2f} s; {_agreement(rms)}")
        name_files(written)
        return 0


@dataclass(frozen=True)
class Depixelate:
    """Make one sharp picture from the pixelated frames of a moving camera."""

    frames: tyro.conf.Positional[Path]
    """A folder of pictures, a .gif, a .npz file with one array of frames, or a video."""
    size: _Size
    weights: str | None = None
    """Model whose pictures are like a whole frame: a bundled name, a file, a folder or a Hub repository. None: frames
    are fused without a model."""
    noise: Annotated[float, Within(0, 100)] | None = None
    """Standard deviation of the noise in a frame's pixel, where black is -1 and white is 1. None: estimated."""
    label: Label = None
    traits: Traits = part(Traits(), group="condition")
    words: str | None = setting(None, "condition")
    """What the picture shows, in words that the model learned from captions, in any order. None: anything."""
    seed: Seeds = "0-7"
    """Random seeds of the model's answers, whose mean is the picture: 7, a range 0-63 or a list 1,5,9."""
    video: bool = False
    """Also write video.gif: every frame drawn sharply from where it was taken."""
    out: Path = Path("out/depixelate")
    """Folder for picture.png, uncertainty.png and motion.json."""
    device: Device = "auto"

    def run(self) -> int:
        """Fuse the frames, print what was found, and write it."""
        size, seeds = parse_any_size(self.size), parse_seeds(self.seed)
        if self.weights is None and not (self.label is self.words is None and self.traits == Traits()):
            raise InputError("a label, attributes, numbers and words need a model; name one with --weights.")
        from s2id.files import write_text
        from s2id.inverse.depixelate import depixelate
        from s2id.inverse.frames import read_frames
        from s2id.media.films import write_film
        from s2id.media.images import to_bytes, to_pillow, write
        from s2id.sampling.model import load

        writable(self.out)
        start = time.perf_counter()
        frames = read_frames(self.frames)
        model = None if self.weights is None else load(self.weights, self.device)
        label = None if model is None else self.traits.ask(model, self.label, self.words)
        done = depixelate(frames, size, model=model, noise=self.noise, label=label, seeds=seeds)
        print(f"{len(frames)} frames of {frames.shape[2]}x{frames.shape[3]}; motion in their pixels (down, right):")
        for i, (y, x) in enumerate(done.motion.tolist()):
            print(f"  {i:3d} {y:+8.3f} {x:+8.3f}   likeness {done.likeness[i]:.3f}")
        print(f"noise {done.fused.noise:.3f} of [-1, 1], done in {time.perf_counter() - start:.1f} s")
        print(*(f"note: {note}" for note in done.notes), sep="\n")
        written = [self.out / name for name in ("picture.png", "uncertainty.png", "motion.json")]
        write(written[0], done.picture)
        write(written[1], done.spread)
        write_text(written[2], json.dumps(done.facts(), indent=1) + "\n")
        if self.video:
            written.append(self.out / "video.gif")
            write_film(written[-1], (to_pillow(to_bytes(frame)) for frame in done.redrawn()), rate=8.0)
        name_files(written)
        return 0
