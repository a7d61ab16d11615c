"""One change of the design at a time, each trained from scratch for the same few minutes and judged alike: one table.

    python runs/ablate.py --data data --minutes 4 [--only shift-0 attention-axial ...] [--out out/ablate]

Each variant is a run of `s2id train mnist` (with BASE) and of `s2id evaluate`. Finished variants are not run again, so
the program may be stopped and started. If the budget is time, run it on quiet cores. Verdicts belong in runs/LOG.md.
"""

import argparse
import math
from pathlib import Path

from common import evaluate_once, train_once

from s2id.evaluation.report import markdown

SMALL_TOKENS = ["--densities", "20", "--set", "density-weights=1", "--set", "patch=1", "--set", "lattice=2"]
VARIANTS: dict[str, list[str]] = {
    "default": [],
    "detail-28": ["--set", "detail-density=28"],
    "no-density-16-24": ["--densities", "20", "--set", "density-weights=1"],
    "shift-0": ["--set", "schedule-shift=0"],
    "shift--2": ["--set", "schedule-shift=-2"],
    "attention-axial": ["--set", "attention=axial"],
    "attention-linear": ["--set", "attention=linear"],
    # on the 100 tokens of the others "window" is "full": here are 400
    **{f"400-{kind}": ["--set", f"attention={kind}", *SMALL_TOKENS] for kind in ("full", "window", "axial", "linear")},
    "400-tokens-quarter": ["--set", "token-share=0.25", *SMALL_TOKENS],
    "tokens-half": ["--set", "token-share=0.5"],
    "tokens-quarter": ["--set", "token-share=0.25"],
    "x-lattice-2": ["--set", "lattice=2"],
    "density-10": ["--densities", "10", "--set", "density-weights=1"],
    "density-14": ["--densities", "14", "--set", "density-weights=1"],
    "density-16": ["--densities", "16", "--set", "density-weights=1"],
    "density-28": ["--densities", "28", "--set", "density-weights=1"],
    # other reading heads, of runs/heads.py
    "head-nearest": [],
    "head-linear": [],
    "head-point": [],
    "head-told": [],
    "head-ensemble": [],
    "lattice-4": ["--set", "lattice=4"],
    "lattice-1": ["--set", "lattice=1"],
    "supersample-1": ["--set", "supersample=1"],
    "weight-2": ["--set", "max-weight=2"],
    "weight-3": ["--set", "max-weight=3"],
    "weight-5": ["--set", "max-weight=5"],
    "weight-100": ["--set", "max-weight=100"],
    "film-off": ["--set", "condition-film=false"],
    # at the learning rate that was AdamW's
    "adamw": ["--set", "optimiser=adamw", "--lr", "1.2e-3"],
    "adamw-film-off": ["--set", "optimiser=adamw", "--lr", "1.2e-3", "--set", "condition-film=false"],
    "lr-1.2e-3": ["--lr", "1.2e-3"],
    "lr-2.4e-3": ["--lr", "2.4e-3"],
    "width-128": ["--set", "width=128"],
    "decoder-more": ["--set", "encoder-blocks=2", "--set", "decoder-blocks=4"],
    "batch-64": ["--batch", "64"],
    "deep": ["--set", "encoder-blocks=4", "--set", "decoder-blocks=4"],
}
# a smaller network and batch than the preset's: more steps in the same minutes
BASE = ["--set", "width=96", "--set", "heads=4", "--set", "encoder-blocks=3", "--set", "decoder-blocks=3",
        "--batch", "32", "--lr", "5e-3", "--set", "max-weight=10"]  # fmt: skip
COLUMNS = ("right_class", "frechet", "recall", "variance", "psnr", "edge")


def measured(name: str, options: list[str], args: argparse.Namespace) -> dict[str, object]:
    """The variant's numbers; it is trained and judged first, unless it has been."""
    folder, data = args.out / name, ["--data", str(args.data)]
    other = (str(Path(__file__).with_name("heads.py")), name.removeprefix("head-"))
    program = other if name.startswith("head-") else ("-m", "s2id")
    budget = ["--images", str(args.images)] if args.images else ["--minutes", str(args.minutes)]
    train_once(folder, "mnist", *data, *budget, *BASE, *options, program=program)
    sizes = ["--size", "28x28", "--size", "112x112", "--size", "224x224"]
    words = [*data, *sizes, "--count", str(args.count), "--detail", "50", "--steps", "20"]
    said = evaluate_once(folder, *words, program=program)
    rows = {row["size"]: row for row in said["rows"]}
    base, large = rows["28x28"], rows.get("224x224", {})
    numbers = {k: base[k] for k in COLUMNS[:4]} | {k: large.get(k, math.nan) for k in COLUMNS[4:]}
    return {"variant": name, "images": said["facts"]["images seen"], **numbers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--images", type=int, help="length of each run in images instead, for cores that are not quiet")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--out", type=Path, default=Path("out/ablate"))
    args = parser.parse_args()
    rows = []
    for name in args.only:
        rows.append(measured(name, VARIANTS[name], args).values())
        text = markdown(["variant", "images", *COLUMNS], rows)
        (args.out / "table.md").write_text(text + "\n")
        print(text.splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
