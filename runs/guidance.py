"""Likeness to the data under guidance at all times or in an interval of times, with the model's guide and without.

    python runs/guidance.py mnist --autoguidance 1 --density 20 --steps 20 --data data --out docs/results/guidance
    python runs/guidance.py mnist --data data --count 2000 --guidance 1 --autoguidance 1 1.5 2 3 --out out/autoguidance

Writes table.md and table.json; a row names autoguidance, guidance and the first and last time of guidance.
"""

import argparse
import json
from dataclasses import replace
from itertools import product
from pathlib import Path

from common import Likeness28, write_tables

from s2id.diffusion.settings import ALWAYS
from s2id.files import checksum
from s2id.memory import keep_memory
from s2id.sampling.model import load
from s2id.sampling.resolving import autoguidance_of
from s2id.sampling.settings import DEFAULT_STEPS, Sampling

GUIDANCE = (1.0, 1.25, 1.5, 2.0)
INTERVALS = (ALWAYS, (0.1, 0.6), (0.3, 0.8))
COLUMNS = ("right_class", "frechet", "precision", "recall", "coverage", "variance")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="?", default="mnist")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--guidance", type=float, nargs="*", default=list(GUIDANCE))
    parser.add_argument(
        "--autoguidance", type=float, nargs="*", default=[None], help="weights of the guide; the card's if not given"
    )
    parser.add_argument("--density", type=int, help="of the one state, in samples; as trained if not given")
    parser.add_argument("--steps", type=int, help="solver steps; the default of `s2id sample` if not given")
    parser.add_argument("--interval", type=float, nargs=2, action="append", help="first and last time; repeat")
    parser.add_argument("--out", type=Path, default=Path("out/guidance"))
    args = parser.parse_args()
    keep_memory()
    model = load(args.weights)
    likeness = Likeness28(model, args.data, args.count, COLUMNS)
    sampling = Sampling(density=args.density, steps=args.steps)
    intervals = [tuple(pair) for pair in args.interval or INTERVALS]
    rows = []
    every = product(args.autoguidance, args.guidance, intervals)
    # without guidance there is no interval of it
    wanted = dict.fromkeys((own, guidance, ALWAYS if guidance == 1 else times) for own, guidance, times in every)
    for own, guidance, interval in wanted:
        values = likeness(replace(sampling, guidance=guidance, guidance_interval=interval, autoguidance=own))
        strength = autoguidance_of(model, own)
        rows.append({"auto": strength, "guidance": guidance, "first": interval[0], "last": interval[1], **values})
        print(json.dumps(rows[-1]), flush=True)
    facts = {
        "weights sha256": checksum(model.tensors()),
        "n": args.count,
        "density": args.density or "as trained",
        "steps": args.steps or DEFAULT_STEPS,
    }
    write_tables(args.out, facts, ("auto", "guidance", "first", "last", *COLUMNS), likeness.floor, rows)


if __name__ == "__main__":
    main()
