"""How few network calls do: Frechet distance, right class and recall of a model against calls, per sampler.

    python runs/steps.py mnist --data data --count 2000 --out docs/results/steps

The last call, which reads the field out at t = 0, counts: n steps of ddim or dpmpp cost n + 1 calls, of heun 2 n + 1.
Where a finer state begins there is one more, which is not counted, nor are the calls of a guide.
Writes table.md, table.json and curve.png.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from s2id.data.registry import load_pictures
from s2id.evaluation.evaluate import evaluate
from s2id.evaluation.judge import load as load_judge
from s2id.evaluation.report import markdown
from s2id.evaluation.settings import EvaluateConfig
from s2id.files import checksum
from s2id.memory import keep_memory
from s2id.sampling.model import load
from s2id.sampling.sample import autoguidance_of
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
    """Solver steps that cost so many calls; 0 where none do."""
    per_step = 2 if solver == "heun" else 1
    return (calls - 1) // per_step if (calls - 1) % per_step == 0 else 0


def write_tables(folder: Path, facts: dict, names: Sequence[str], floor: dict, rows: list[dict]) -> None:
    """Write and print the columns named, the training set's row first; JSON has all there is."""
    folder.mkdir(parents=True, exist_ok=True)
    report = {"facts": facts, "training set": floor, "rows": rows}
    (folder / "table.json").write_text(json.dumps(report, indent=1) + "\n")
    cells = [[row.get(name) for name in names] for row in [{names[0]: "training set", **floor}, *rows]]
    text = ", ".join(f"{name} {value}" for name, value in facts.items()) + "\n\n" + markdown(names, cells)
    (folder / "table.md").write_text(text + "\n")
    print(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", nargs="?", default="mnist")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--autoguidance", type=float, help="the model's own if not given; its calls are not counted")
    parser.add_argument("--density", type=int, help="of the only state; the model's own if not given")
    parser.add_argument("--calls", type=int, nargs="*", default=list(CALLS))
    parser.add_argument("--solvers", nargs="*", choices=list(SOLVERS), default=["dpmpp", "ddim", "ddim eta 1", "heun"])
    parser.add_argument("--out", type=Path, default=Path("out/steps"))
    args = parser.parse_args()
    keep_memory()
    model, judge = load(args.weights), load_judge("mnist")
    train, test = (load_pictures("mnist", args.data, split) for split in ("train", "test"))
    base = EvaluateConfig(
        sizes=((28, 28),),
        count=args.count,
        detail=1,
    )
    sampling = Sampling(guidance=args.guidance, autoguidance=args.autoguidance, density=args.density)
    strength = autoguidance_of(model, args.autoguidance)
    facts = {"weights sha256": checksum(model.tensors()), "n": args.count, "guidance": args.guidance}
    facts |= {"autoguidance": strength, "density": args.density or "as trained"}
    rows = []
    floor: dict[str, float] = {}
    for solver in args.solvers:
        for calls in args.calls:
            steps = steps_for(solver, calls)
            if not steps:
                continue
            config = replace(base, sampling=replace(sampling, steps=steps, **SOLVERS[solver]))
            training, drawn = evaluate(model, judge, train, test, config)
            floor = {name: getattr(training.likeness, name) for name in COLUMNS}
            found = {name: getattr(drawn.likeness, name) for name in COLUMNS}
            rows.append({"solver": solver, "calls": calls, "steps": steps, **found})
            print(json.dumps(rows[-1]), flush=True)
    write_tables(args.out, facts, ("solver", "calls", *COLUMNS), floor, rows)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for axis, column, name in zip(axes, ("frechet", "right_class"), ("Frechet distance", "right class"), strict=True):
        for solver in args.solvers:
            points = [(row["calls"], row[column]) for row in rows if row["solver"] == solver]
            axis.plot(*zip(*points, strict=True), marker="o", label=solver)
        axis.axhline(floor[column], color="grey", linestyle=":", label="training set")
        axis.set(xlabel="network calls", ylabel=name, xscale="log")
        axis.set_xticks(args.calls, labels=[str(c) for c in args.calls])
        axis.minorticks_off()
    axes[0].set_yscale("log")
    axes[0].legend()
    figure.savefig(args.out / "curve.png", dpi=110)


if __name__ == "__main__":
    main()
