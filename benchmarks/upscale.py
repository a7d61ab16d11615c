"""Whole processes of `s2id upscale` with `graphics`, by `python benchmarks/upscale.py DRAWINGS`.

DRAWINGS is a folder of SVG files or packages of icons. Sixty-four of them, evenly spread, make a sheet of 512x512
pixels, which is enlarged to 2048x2048; its quarters, of 256x256, are then enlarged as a folder, four times and twice.
Seconds by the clock and peak memory of each process, and seconds for each further quarter.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from s2id.data.registry import load_pictures
from s2id.media.images import tile, to_float, write

SHOWN, SIDE = 64, 64


def sheet(drawings: Path) -> torch.Tensor:
    """Drawings over white, eight by eight."""
    pictures = load_pictures("folder", drawings, long_side=SIDE, alpha="white")
    group = max(
        (one for one in pictures.groups if one.images.shape[2:] == (SIDE, SIDE)), key=lambda one: len(one.labels)
    )
    return tile(to_float(group.images[torch.arange(SHOWN) * len(group.labels) // SHOWN]), columns=8, gap=0)


def timed(picture: Path, scale: int, out: Path) -> tuple[float, float]:
    """Seconds and gigabytes of a process that enlarges a picture or a folder of them."""
    start = time.perf_counter()
    words = [sys.executable, "-m", "s2id", "upscale", str(picture), "--scale", str(scale), "--out", str(out)]
    _, status, usage = os.wait4(subprocess.Popen(words, stdout=subprocess.DEVNULL).pid, 0)
    assert status == 0, f"{' '.join(words)} failed"
    return time.perf_counter() - start, usage.ru_maxrss / 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("drawings", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = sheet(args.drawings)
        write(folder / "sheet.png", whole)
        for count in (1, 4):
            (folder / str(count)).mkdir()
            for i in range(count):
                top, left = 256 * (i // 2), 256 * (i % 2)
                write(folder / str(count) / f"{i}.png", whole[:, top : top + 256, left : left + 256])
        print("512x512 to 2048x2048: {:.1f} s, peak {:.2f} GB".format(*timed(folder / "sheet.png", 4, folder / "out")))
        for scale in (4, 2):
            one, four = (timed(folder / str(count), scale, folder / "out")[0] for count in (1, 4))
            each = (four - one) / 3
            print(
                f"256x256, {scale} times: {one:.1f} s, a folder of four {four:.1f} s, {each:.2f} s for each further one"
            )


if __name__ == "__main__":
    main()
