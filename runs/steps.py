"""How few network calls suffice: Frechet distance, right class and recall of a model against calls, per solver.

    python runs/steps.py mnist --data data --count 2000 --out docs/results/steps

The last call, which reads the field out at t = 0, counts: n steps of ddim or dpmpp cost n + 1 calls, of heun 2 n + 1.
Not counted are the call at which a finer state begins, and the calls of a guide.
Writes table.md, table.json and curve.png.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from common import Likeness28, write_tables

from s2id.files import checksum
from s2id.memory import keep_memory
from s2id.sampling.model import load
from s2id.sampling.resolving import autoguidance_of
from s2id.sampling.settings import Sampling

CALLS = (2, 3, 4, 6, 8, 12, 21, 51)
SOLVERS: dict[str, dict[str, Any]] = {
    "dpmpp": {"sampler": "dpmpp"},
    "dpmpp eta 1": {"sampler": "dpmpp", "eta": 1.0},
    "ddim": {"sampler": "ddim"},
    "ddim eta 1": {"sampler": "ddim", "eta": 1.0},
    "heun": {"sampler": "heun"},
}
COLUMNS = ("frechet", "right_class", "precision", "recall", "variance")


def steps_for(solver: str, calls: int) -> int:
    """Number of solver steps that make so many network calls; 0 where no number does."""
    per_step = 2 if solver == "heun" else 1
    return (calls - 1) // per_step if (calls - 1) % per_step == 0 else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", nargs="?", default="mnist")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--autoguidance", type=float, help="weight of the guide; the card's if not given")
    parser.add_argument("--density", type=int, help="of the one state, in samples; as trained if not given")
    parser.add_argument("--calls", type=int, nargs="*", default=list(CALLS))
    parser.add_argument("--solvers", nargs="*", choices=list(SOLVERS), default=["dpmpp", "ddim", "ddim eta 1", "heun"])
    parser.add_argument("--out", type=Path, default=Path("out/steps"))
    args = parser.parse_args()
    keep_memory()
    model = load(args.weights)
    likeness = Likeness28(model, args.data, args.count, COLUMNS)
    sampling = Sampling(guidance=args.guidance, autoguidance=args.autoguidance, density=args.density)
    strength = autoguidance_of(model, args.autoguidance)
    facts = {"weights sha256": checksum(model.tensors()), "n": args.count, "guidance": args.guidance}
    facts |= {"autoguidance": strength, "density": args.density or "as trained"}
    rows = []
    for solver in args.solvers:
        for calls in args.calls:
            steps = steps_for(solver, calls)
            if not steps:
                continue
            found = likeness(replace(sampling, steps=steps, **SOLVERS[solver]))
            rows.append({"solver": solver, "calls": calls, "steps": steps, **found})
            print(json.dumps(rows[-1]), flush=True)
    write_tables(args.out, facts, ("solver", "calls", *COLUMNS), likeness.floor, rows)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for axis, column, name in zip(axes, ("frechet", "right_class"), ("Frechet distance", "right class"), strict=True):
        for solver in args.solvers:
            points = [(row["calls"], row[column]) for row in rows if row["solver"] == solver]
            axis.plot(*zip(*points, strict=True), marker="o", label=solver)
        axis.axhline(likeness.floor[column], color="grey", linestyle=":", label="training set")
        axis.set(xlabel="network calls", ylabel=name, xscale="log")
        axis.set_xticks(args.calls, labels=[str(c) for c in args.calls])
        axis.minorticks_off()
    axes[0].set_yscale("log")
    axes[0].legend()
    figure.savefig(args.out / "curve.png", dpi=110)


if __name__ == "__main__":
    main()
