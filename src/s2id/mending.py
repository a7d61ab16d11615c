"""The commands that start from a picture: upscale and restore.

torch is imported inside them, so that help is there at once.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from s2id.arguments import device, name_files, parse_seeds, parse_size, suffix, writable


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
        from s2id.checkpoint import load
        from s2id.images import read, to_float, write
        from s2id.restoration import upscale

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
    sampler: Literal["ddim", "heun", "dpmpp"] = "dpmpp"
    """The solver."""
    eta: float = 0.0
    """Fresh noise per step with ddim, 0 to 1; 1 and 40 steps serve holes better."""
    out: Path = Path("out")
    """Folder for the answers, their mean and their standard deviation."""
    device: str = "cpu"
    """Where to compute: cpu, cuda."""

    def run(self) -> int:
        """Draw and write."""
        size, seeds = self.size and parse_size(self.size), parse_seeds(None, self.seeds)
        from s2id.checkpoint import load
        from s2id.images import read, to_float, write
        from s2id.restoration import restore

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
            guidance=self.guidance,
            steps=self.steps,
            sampler=self.sampler,
            eta=self.eta,
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
