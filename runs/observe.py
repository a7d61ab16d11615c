"""Train on MNIST pixelated to cells of K pixels, beside three other trainings; one table at the end.

    python runs/observe.py --data data --images 300000 [--cells 2 4] [--only observe bicubic] [--out out/observe]

Four trainings per K, of the same network on as many images: `observe` pixelates from a new place each time, `still`
always from one place, `bicubic` enlarges one pixelated view, and `sharp` trains on the sharp pictures, which is the
best that can be reached. Each is a run of `s2id train mnist` and of `s2id evaluate`; finished runs are not run again,
and stopped runs go on. observe.png shows samples of each.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from common import evaluate_once, train_once

import s2id
from s2id.evaluation.report import markdown
from s2id.media.images import tile, write

COLUMNS = ("right_class", "frechet", "precision", "recall", "variance")
SEEDS, SHOWN, GAP = 4, (56, 56), 10
VARIANTS = ("observe", "still", "bicubic", "sharp")


def options(variant: str, cell: int) -> list[str]:
    """Flags of a variant; training on pixelated pictures chooses states and features, and `sharp` is given the same."""
    if variant == "sharp":
        patch = 1 if (28 // cell) % 2 else 2
        return ["--densities", str(28 // cell), "--set", "density-weights=1",
                "--set", f"patch={patch}", "--set", f"lattice={patch * cell}"]  # fmt: skip
    return [
        "--pixelate",
        {"observe": f"area:{cell}", "still": f"area:{cell}:still", "bicubic": f"bicubic:{cell}"}[variant],
    ]


@torch.inference_mode()
def sheet(weights: Path) -> torch.Tensor:
    """A row per digit, a column per seed, guidance 1."""
    labels, seeds = zip(*[(label, seed) for label in range(10) for seed in range(SEEDS)], strict=True)
    return tile(s2id.sample(s2id.load(weights), labels, seeds, steps=20, guidance=1.0).render(SHOWN), SEEDS)


def measured(variant: str, cell: int, args: argparse.Namespace) -> dict[str, object]:
    """The variant's numbers; it is trained and judged first, unless it has been."""
    folder, data = args.out / f"{variant}-{cell}", ["--data", str(args.data)]
    width = ["--set", f"width={args.width}", "--set", f"heads={args.width // 32}"]
    length = ["--images", str(args.images), "--set", "supersample=2,3"]
    train_once(folder, "mnist", *data, *length, *width, *options(variant, cell))
    words = ["--size", "28x28", "--count", str(args.count), "--detail", "50", "--steps", "20", "--guidance", "1"]
    said = evaluate_once(folder, *data, *words)
    row = next(row for row in said["rows"] if row["size"] == "28x28")
    return {"K": cell, "variant": variant, "images": said["facts"]["images seen"], **{k: row[k] for k in COLUMNS}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--images", type=int, default=300_000, help="images that each variant trains on")
    parser.add_argument("--width", type=int, default=128, help="channels of the network, a multiple of 32")
    parser.add_argument("--count", type=int, default=2000, help="pictures to judge")
    parser.add_argument("--cells", type=int, nargs="*", default=[2, 4])
    parser.add_argument("--only", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--out", type=Path, default=Path("out/observe"))
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for cell in args.cells:
        for variant in args.only:
            rows.append(measured(variant, cell, args))
            print(json.dumps(rows[-1]), flush=True)
    plain = {row["K"]: row["frechet"] for row in rows if row["variant"] == "bicubic"}
    shares = [row["frechet"] / plain[row["K"]] if row["K"] in plain else None for row in rows]
    text = markdown([*rows[0], "of bicubic"], [[*row.values(), share] for row, share in zip(rows, shares, strict=True)])
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "table.md").write_text(text + "\n")
    print(text)
    # no part of it is chosen: a column of sheets per K and variant, in the table's order
    sheets = [sheet(args.out / f"{row['variant']}-{row['K']}" / "model") for row in rows]
    gap = torch.zeros(1, sheets[0].shape[1], GAP)
    write(args.out / "observe.png", torch.cat([part for one in sheets for part in (one, gap)][:-1], 2))


if __name__ == "__main__":
    main()
