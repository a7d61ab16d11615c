"""The commands that start from pictures: upscale, restore and depixelate.

torch is imported inside them, so that help is there at once.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from s2id.cli.options import device, name_files, parse_seeds, parse_size, suffix, writable
from s2id.errors import InputError
from s2id.sampling.settings import Sampling


@dataclass(frozen=True)
class Upscale:
    """Enlarge a picture with one call of the network; its means over the old pixels are the old picture."""

    picture: tyro.conf.Positional[Path]
    """The picture."""
    size: str
    """Height x width wanted, as in 112x112."""
    weights: str = "mnist"
    """A bundled model's name, a .safetensors file, a folder that holds one, or a Hub repository."""
    label: str | None = None
    """Class index or name; no condition if not given."""
    out: Path = Path("out")
    """Folder for the picture."""
    device: str = "cpu"
    """Where to compute: cpu, cuda."""

    def run(self) -> int:
        """Enlarge and write."""
        size = parse_size(self.size)
        from s2id.images import read, to_float, write
        from s2id.inverse.restore import upscale
        from s2id.sampling.model import load

        model = load(self.weights, device(self.device))
        picture = to_float(read(self.picture))
        enlarged = upscale(model, picture, size, self.label)
        writable(self.out)
        path = self.out / f"{self.picture.stem}-{suffix(size, None)}.png"
        write(path, enlarged)
        name_files([path])
        return 0


@dataclass(frozen=True)
class Restore:
    """Draw what a picture may have been: larger, whole, in colour or without its noise, an answer per seed."""

    picture: tyro.conf.Positional[Path]
    """The picture."""
    size: str | None = None
    """Height x width of the answers, as in 28x28; the picture's if not given."""
    mask: Path | None = None
    """Picture of the same size: white where the picture is seen, black where it is to be filled in."""
    noise: float = 0.0
    """Standard deviation of the picture's noise, on a scale of -1 to 1."""
    weights: str = "mnist"
    """A bundled model's name, a .safetensors file, a folder that holds one, or a Hub repository."""
    label: str | None = None
    """Class index or name; no condition if not given."""
    seeds: str = "0-7"
    """An answer each, as in 0-7 or 1,5,9."""
    guidance: float = 1.0
    """1 is off; more exaggerates the label."""
    steps: int = 20
    """Solver steps."""
    sampler: str = "dpmpp"
    """The solver."""
    eta: float = 0.0
    """Fresh noise per step with ddim and dpmpp, 0 to 1; 1 and 40 steps of ddim serve holes better."""
    restarts: int = 0
    """How often an answer is made noisy again and solved anew."""
    out: Path = Path("out")
    """Folder for the answers, their mean and their standard deviation."""
    device: str = "cpu"
    """Where to compute: cpu, cuda."""

    def run(self) -> int:
        """Draw and write."""
        size, seeds = self.size and parse_size(self.size), parse_seeds(None, self.seeds)
        sampling = Sampling(self.steps, self.guidance, sampler=self.sampler, eta=self.eta, restarts=self.restarts)
        from s2id.images import read, to_float, write
        from s2id.inverse.restore import restore
        from s2id.sampling.model import load

        model = load(self.weights, device(self.device))
        picture = to_float(read(self.picture))
        mask = None if self.mask is None else read(self.mask, 1)[0] >= 128
        writable(self.out)
        start = time.perf_counter()
        found = restore(
            model,
            picture,
            size or None,
            mask=mask,
            noise=self.noise,
            label=self.label,
            seeds=seeds,
            sampling=sampling,
        )
        seconds = time.perf_counter() - start
        written = [self.out / f"seed{seed}.png" for seed in seeds]
        for path, one in zip(written, found.pictures, strict=True):
            write(path, one)
        write(self.out / "mean.png", found.mean)
        write(self.out / "std.png", 2 * found.std - 1)  # 0 is black, 1 (half the range) is white
        print(f"{len(seeds)} answers in {seconds:.2f} s; residual rms {found.residual.square().mean().sqrt():.5f}")
        name_files([*written, self.out / "mean.png", self.out / "std.png"])
        return 0


@dataclass(frozen=True)
class Depixelate:
    """Make one sharp picture of the pixelated frames of a camera that moved."""

    frames: tyro.conf.Positional[Path]
    """A folder of pictures, a .gif, a .npz with one array of frames, or a video."""
    size: str
    """Height x width of the picture, in the frames' aspect, as in 228x196."""
    weights: str | None = None
    """The prior, as for sample; without one, frames are fused without a prior."""
    noise: float | None = None
    """Std of a frame's pixel in a range of -1 to 1; estimated if not given."""
    label: str | None = None
    """Class index or name for the model; no condition if not given."""
    seeds: str = "0-7"
    """The model's answers, whose mean is the picture."""
    video: bool = False
    """Also write video.gif: each frame redrawn sharply, where it was taken."""
    out: Path = Path("out/depixelate")
    """Folder for picture.png, uncertainty.png and motion.json."""
    device: str = "cpu"
    """Where the model computes: cpu, cuda."""

    def run(self) -> int:
        """Fuse, say what was found, and write."""
        size, seeds = parse_size(self.size), parse_seeds(None, self.seeds)
        if self.label is not None and self.weights is None:
            raise InputError(f"label {self.label!r} says something to a model only; name one with --weights.")
        from s2id.images import write
        from s2id.inverse.depixelate import depixelate
        from s2id.inverse.frames import read_frames, write_gif
        from s2id.sampling.model import load

        writable(self.out)
        where = device(self.device)
        start = time.perf_counter()
        frames = read_frames(self.frames)
        model = None if self.weights is None else load(self.weights, where)
        done = depixelate(frames, size, model=model, noise=self.noise, label=self.label, seeds=seeds)
        print(f"{len(frames)} frames of {frames.shape[2]}x{frames.shape[3]}; motion in their pixels (down, right):")
        for i, (y, x) in enumerate(done.motion.tolist()):
            print(f"  {i:3d} {y:+8.3f} {x:+8.3f}   likeness {done.likeness[i]:.3f}")
        print(f"noise {done.fused.noise:.3f} of [-1, 1], done in {time.perf_counter() - start:.1f} s")
        print(*(f"note: {note}" for note in done.notes), sep="\n")
        white = done.uncertainty.max().clamp(min=1e-6)
        written = [self.out / name for name in ("picture.png", "uncertainty.png", "motion.json")]
        write(written[0], done.picture)
        write(written[1], (2 * done.uncertainty / white - 1)[None])
        written[2].write_text(json.dumps(done.facts(), indent=1) + "\n", encoding="utf-8")
        if self.video:
            written.append(self.out / "video.gif")
            write_gif(written[-1], list(done.redrawn()))
        name_files(written)
        return 0
