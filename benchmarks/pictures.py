"""Does reading a folder of JPEGs of mixed sizes hold training up, and does memory stay flat?

The pictures are made here, smooth noise of common and uncommon aspects. Timed: the first pass into the memory-mapped
file, by several numbers of processes; opening it again; whole training steps of a preset on the file against the same
pictures as tensors in memory, each step done with both in turn, so that what else the machine does falls on both.
Memory is this process's own (RssAnon) and mapped from files (RssFile) while the batches of many steps are drawn, which
is all of a step that touches the pictures.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

import s2id
from s2id.data import cache
from s2id.data.pictures import Pictures
from s2id.diffusion.process import Schedule
from s2id.memory import keep_memory
from s2id.training.batches import draw
from s2id.training.presets import PRESETS
from s2id.training.trainer import Trainer

ASPECTS = (1.0, 4 / 3, 3 / 2, 16 / 9)


def make(folder: Path, count: int) -> float:
    """Write the JPEGs; their mean size in kB."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for i in range(count):
        aspect = random.choice(ASPECTS) if i % 5 else random.uniform(1, 2.5)  # every fifth was cropped by hand
        long = int(random.integers(200, 1000))
        size = (long, round(long / aspect))
        coarse = Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        picture = coarse.resize(size if random.random() < 0.5 else size[::-1], Image.Resampling.BICUBIC)
        picture.save(folder / f"{i:06}.jpg", quality=90)
    return sum(file.stat().st_size for file in folder.iterdir()) / count / 1000


def seconds(work):
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def memory() -> dict[str, float]:
    """Resident MB of this process: its own, and mapped from files."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: round(int(lines[name].split()[0]) / 1024, 1) for name in ("RssAnon", "RssFile")}


def pairs(trainer: Trainer, sets: dict[str, Pictures], steps: int) -> dict[str, list[float]]:
    """Seconds of the same steps on each of the sets, which go first in turn."""
    spent: dict[str, list[float]] = {name: [] for name in sets}
    for step in range(steps + 2):
        for name in list(sets)[:: 1 if step % 2 else -1]:
            trainer.step, trainer.pictures = step, sets[name]
            took, _ = seconds(trainer._step)
            if step >= 2:  # the first ones allocate
                spent[name].append(took)
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--preset", default="celeba")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--memory-steps", type=int, default=1000)
    args = parser.parse_args()
    keep_memory()
    preset = PRESETS[args.preset]
    train = replace(preset.train, batch=args.batch or preset.train.batch, images=10**9, device="cpu")
    preset = replace(preset, train=train)
    with tempfile.TemporaryDirectory() as place:
        root, cache.CACHE = Path(place), Path(place) / "cache"
        print(json.dumps({"pictures": args.count, "mean_kB": round(make(root / "photos", args.count))}), flush=True)
        for workers in args.workers:
            shutil.rmtree(cache.CACHE, ignore_errors=True)
            took, mapped = seconds(
                lambda n=workers: s2id.pictures(root / "photos", long_side=train.long_side, workers=n)
            )
            print(json.dumps({"workers": workers, "read_per_second": round(args.count / took, 1)}), flush=True)
        took, mapped = seconds(lambda: s2id.pictures(root / "photos", long_side=train.long_side))
        counts = [len(group.labels) for group in mapped.groups]
        full = sum(count for count in counts if count >= train.batch) / args.count
        sizes = {"sizes": len(counts), "of_sizes_that_fill_a_batch": round(full, 3)}
        print(json.dumps({"open_again_seconds": round(took, 2), **sizes}), flush=True)
        for step in range(1, args.memory_steps + 1):
            draw(mapped, train, preset.model, Schedule(), step)
            if step in (100, args.memory_steps // 2, args.memory_steps):
                print(json.dumps({"step": step, **memory()}), flush=True)
        held = tuple(replace(group, images=group.images.clone()) for group in mapped.groups)
        sets = {"file": mapped, "memory": replace(mapped, groups=held)}
        spent = pairs(Trainer(preset, mapped, root / "run"), sets, args.steps)
        rates = {name: round(train.batch / statistics.median(times), 2) for name, times in spent.items()}
        share = sum(spent["memory"]) / sum(spent["file"])
        print(
            json.dumps(
                {"images_per_second": rates, "steps": args.steps, "batch": train.batch, "share": round(share, 3)}
            )
        )


if __name__ == "__main__":
    main()
