"""What guidance gains and costs, at all times and in intervals of them, with a guide and without: class, likeness.

    python runs/guidance.py mnist --autoguidance 1 --density 20 --steps 20 --data data --out docs/results/guidance
    python runs/guidance.py mnist --data data --count 2000 --guidance 1 --autoguidance 1 1.5 2 3 --out out/autoguidance

Writes table.md and table.json; a row says autoguidance, guidance and its first and last time.
"""

import argparse
import json
from dataclasses import replace
from itertools import product
from pathlib import Path

from steps import write_tables

from s2id.data.registry import load_pictures
from s2id.diffusion.settings import ALWAYS
from s2id.evaluation.evaluate import evaluate
from s2id.evaluation.judge import load as load_judge
from s2id.evaluation.settings import EvaluateConfig
from s2id.files import checksum
from s2id.memory import keep_memory
from s2id.sampling.model import load
from s2id.sampling.sample import autoguidance_of
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
    parser.add_argument("--autoguidance", type=float, nargs="*", default=[None], help="the model's own if not given")
    parser.add_argument("--density", type=int, help="of the only state; the model's own if not given")
    parser.add_argument("--steps", type=int, help="of the solver; the default of `s2id sample` if not given")
    parser.add_argument("--interval", type=float, nargs=2, action="append", help="first and last time; repeat")
    parser.add_argument("--out", type=Path, default=Path("out/guidance"))
    args = parser.parse_args()
    keep_memory()
    model, judge = load(args.weights), load_judge("mnist")
    train, test = (load_pictures("mnist", args.data, split) for split in ("train", "test"))
    base = EvaluateConfig(sizes=((28, 28),), count=args.count, detail=1)
    sampling = Sampling(density=args.density, steps=args.steps)
    intervals = [tuple(pair) for pair in args.interval or INTERVALS]
    rows = []
    every = product(args.autoguidance, args.guidance, intervals)
    # without guidance there is no interval of it
    wanted = dict.fromkeys((own, guidance, ALWAYS if guidance == 1 else times) for own, guidance, times in every)
    for own, guidance, interval in wanted:
        config = replace(
            base, sampling=replace(sampling, guidance=guidance, guidance_interval=interval, autoguidance=own)
        )
        training, drawn = evaluate(model, judge, train, test, config)
        values = {name: getattr(drawn.likeness, name) for name in COLUMNS}
        strength = autoguidance_of(model, own)
        rows.append({"auto": strength, "guidance": guidance, "first": interval[0], "last": interval[1], **values})
        print(json.dumps(rows[-1]), flush=True)
    floor = {name: getattr(training.likeness, name) for name in COLUMNS}
    facts = {
        "weights sha256": checksum(model.tensors()),
        "n": args.count,
        "density": args.density or "as trained",
        "steps": args.steps or DEFAULT_STEPS,
    }
    write_tables(args.out, facts, ("auto", "guidance", "first", "last", *COLUMNS), floor, rows)


if __name__ == "__main__":
    main()
