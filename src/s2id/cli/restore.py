"""The commands that draw what poor pictures show: restore and depixelate."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

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
from s2id.inverse.settings import RESTORING
from s2id.sampling.settings import Sampling
from s2id.settings import parse_any_size, setting

_Picture = Annotated[Path, Help("The picture: a PNG, JPEG or other image file.")]

_Size = Annotated[
    str, Help("Height x width of the result in pixels, e.g. 112x112, or its long side, e.g. 112.", metavar="HxW|N")
]


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
        picture, _ = given(self.picture, model)
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
        print(f"{len(seeds)} answers in {seconds:.2f} s; {agreement(rms)}")
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
