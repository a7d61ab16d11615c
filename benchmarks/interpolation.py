"""Largest error of interpolated pictures over all their pixels, and processor time of both ways to compute them.

    python benchmarks/interpolation.py [WEIGHTS] [--digits 20] [--side 1024]

A digit of every class in turn, seeds from 0. Errors are in grey levels, of which there are 255 steps.
"""

import argparse
import json
import time

import torch

import s2id
from s2id.memory import keep_memory
from s2id.sampling.interpolate import draw

_STRIP = 256  # rows that are compared at once


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", nargs="?", default="mnist")
    parser.add_argument("--digits", type=int, default=20)
    parser.add_argument("--side", type=int, default=1024)
    args = parser.parse_args()
    keep_memory()
    digits = s2id.sample(s2id.load(args.weights), [i % 10 for i in range(args.digits)], range(args.digits))
    seconds, worst = [0.0, 0.0], 0.0
    for digit in digits:
        features, grid = digit.features.on_canvas(), digit._view(args.side, None, "fit", 2**30)
        for top in range(0, args.side, _STRIP):
            part = grid.part(slice(top, top + _STRIP), slice(None))
            times = [time.process_time()]
            exact = digit.head(features, part, bound=1.0)
            times.append(time.process_time())
            drawn = draw(digit.head, features, part, 1.0)
            times.append(time.process_time())
            seconds = [s + end - start for s, start, end in zip(seconds, times, times[1:], strict=False)]
            worst = max(worst, (drawn - exact).abs().max().item() * 127.5)
    names = ("exact_s", "interpolated_s")
    per_digit = {name: round(s / args.digits, 3) for name, s in zip(names, seconds, strict=True)}
    print(json.dumps({"weights": args.weights, "side": args.side, **per_digit, "worst_levels": round(worst, 4)}))


if __name__ == "__main__":
    main()
