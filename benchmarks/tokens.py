"""Time and memory of the trunk against its tokens, for each kind of attention: a table with fitted exponents.

    python benchmarks/tokens.py [--sides 14 20 28 40 56 80 128] [--device cpu] [--precision no] [--out FILE]

One picture through encoder and decoder, without and with the way back; random weights, gates open. Each kind and size
is a process of its own, so that its peak memory is its own: resident memory beyond what the process had before its
first call, or the device's own count. Medians; an exponent is the slope of log time (or memory) against log tokens,
over all sides and over those of 28 and more, where fixed costs no longer hide it. `--only` measures some kinds;
`--recompute blocks` shows what computing anew saves. `--clock processor` counts the process's own seconds, for a
machine that is shared; bind OMP_NUM_THREADS to 1 with it, for it adds the threads up.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import torch
from common import CLOCKS, median_seconds

from s2id.evaluation.report import markdown
from s2id.memory import keep_memory
from s2id.network.network import FieldNetwork
from s2id.network.settings import ModelConfig, Recompute

KINDS = get_args(get_type_hints(ModelConfig)["attention"])
SIDES = (14, 20, 28, 40, 56, 80, 128)
COLUMNS = ("forward_s", "step_s", "forward_mb", "step_mb")
ASYMPTOTIC = 28


def peak_mb(cuda: bool) -> float:
    return (
        torch.cuda.max_memory_allocated() / 2**20
        if cuda
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    )


def measured(kind: str, side: int, args: argparse.Namespace) -> dict[str, object]:
    """One row."""
    keep_memory()
    cuda = args.device.startswith("cuda")
    torch.manual_seed(0)
    config = ModelConfig(
        width=args.width,
        heads=args.heads,
        encoder_blocks=args.blocks,
        decoder_blocks=args.blocks,
        attention=kind,  # type: ignore[arg-type]
    )
    network = FieldNetwork(config).to(args.device)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    network.recompute(args.recompute)
    x_t = torch.randn(1, 1, side * config.patch, side * config.patch, device=args.device)
    logsnr = torch.zeros(1, device=args.device)

    def forward() -> torch.Tensor:
        with torch.autocast(x_t.device.type, torch.bfloat16, enabled=args.precision == "bf16"):
            return network.decode(network.encode(x_t, logsnr)).values

    def step() -> None:
        forward().float().square().mean().backward()
        network.zero_grad()

    clock = CLOCKS[args.clock]
    before = peak_mb(cuda)
    with torch.inference_mode():
        row = {"forward_s": median_seconds(forward, args.repeats, clock), "forward_mb": peak_mb(cuda) - before}
    row |= {"step_s": median_seconds(step, args.repeats, clock), "step_mb": peak_mb(cuda) - before}
    return {"kind": kind, "side": side, "tokens": side**2} | {key: row[key] for key in COLUMNS}


def exponent(rows: list[dict], column: str, least: int) -> float:
    """Slope of log column against log tokens, from a side on."""
    points = [(row["tokens"], row[column]) for row in rows if row["side"] >= least and row[column] > 0]
    tokens, values = np.log(np.array(points).reshape(-1, 2)).T
    return float(np.polyfit(tokens, values, 1)[0]) if len(points) > 1 else math.nan


def table(rows: list[dict]) -> str:
    """Markdown."""
    lines = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        own = [row for row in rows if row["kind"] == kind]
        for row in own:
            lines.append([kind, f"{row['side']}^2", *(f"{row[column]:.3g}" for column in COLUMNS)])
        for said, least in (("all", 0), (f"from {ASYMPTOTIC}^2", ASYMPTOTIC)):
            cells = (f"**{exponent(own, column, least):.2f}**" for column in COLUMNS)
            lines.append([kind, f"exponent, {said}", *cells])
    return markdown(["attention", "tokens", *COLUMNS], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="*", default=list(SIDES), help="tokens a side")
    parser.add_argument("--only", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--heads", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=1, help="in the encoder, and in the decoder")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("no", "bf16"), default="no")
    parser.add_argument("--recompute", choices=get_args(Recompute), default="no")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--out", type=Path, help="write the table there")
    parser.add_argument("--row", nargs=2, help="what a child process measures: kind and side")
    args = parser.parse_args()
    if args.row:
        print(json.dumps(measured(args.row[0], int(args.row[1]), args)))
        return
    rows = []
    for kind in args.only:
        for side in args.sides:
            words = [*sys.argv[1:], "--row", kind, str(side)]
            child = subprocess.run([sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True)
            rows.append(json.loads(child.stdout))
            print(child.stdout, end="", flush=True)
    print(table(rows))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(table(rows) + "\n")


if __name__ == "__main__":
    main()
