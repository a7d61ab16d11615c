"""Training throughput of the preset `folder` by the size of the pictures, from which states and features follow.

python benchmarks/sizes.py [--steps 20] [--sides 24 32 64 128]

Colour noise stands for the pictures: throughput does not depend on what they show. The median step is timed, after
two that warm up.
"""

import argparse
import json
import statistics
import tempfile
import time

import torch

import s2id
from s2id.training.presets import PRESETS


def images_per_second(side: int, steps: int) -> float:
    """Training images per second, drawn from pictures of a side in pixels."""
    preset = PRESETS["folder"]
    pictures = s2id.pictures(torch.randint(0, 256, (256, 3, side, side), dtype=torch.uint8))
    batch, seconds = preset.train.batch, []
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        for _ in s2id.train(pictures, folder, preset, images=batch * (steps + 2)):
            seconds.append(time.perf_counter() - start)
            start = time.perf_counter()
    return batch / statistics.median(seconds[2:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--sides", type=int, nargs="+", default=[24, 32, 64, 128])
    args = parser.parse_args()
    for side in args.sides:
        rate = images_per_second(side, args.steps)
        facts = {
            "side": side,
            "images_per_second": round(rate, 1),
            "hours_for_100_000_images": round(1e5 / rate / 3600, 1),
        }
        print(json.dumps(facts))


if __name__ == "__main__":
    main()
