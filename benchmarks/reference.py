"""Cost of the published network from our parts: a guided call by size, and a training step at batch 8.

    python benchmarks/reference.py [--repeats 3] [--precision no|bf16] [--sides 28 56 112 224]

One JSON line per row, each row in a process of its own, so that its peak memory is its own. A guided call is one
encoder and two decoder passes on one state. A training step is the Trainer's: both conditions, clipping and all.
`published_s` and `published_gb` are what the published code took on two CPU cores (seconds of a call; of a step of
batch 8, from its images per second). Random weights, with the output layer alive. `cpu_s` is processor time over all
threads, which other processes disturb less; `gflop` counts a call's products, and `limit_s` is what they alone would
take, on as many threads, at the speed of products of 1024 x 1024 (`peak_gflops`) measured in the same process.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from s2id.data.idx import DIGITS
from s2id.data.pictures import Group, Pictures
from s2id.diffusion.guidance import Guided
from s2id.memory import keep_memory
from s2id.network.published import PublishedNetwork
from s2id.network.settings import PublishedConfig
from s2id.sampling.denoisers import trained_denoiser
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Card
from s2id.training.presets import PRESETS
from s2id.training.trainer import Trainer

PUBLISHED_S = {28: 0.14, 56: 0.60, 112: 3.7, 224: 19.0}
PUBLISHED_STEP = {"published_s": round(8 / 2.1, 2), "published_gb": 7.7}


def timed(action: Callable[[], object], repeats: int, name: str) -> dict[str, float]:
    """Median seconds of an action, by the clock and of the processor, after one that is not counted."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter(), time.process_time()
        action()
        seconds.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    clock, processor = (statistics.median(column) for column in zip(*seconds[1:], strict=True))
    return {f"{name}_s": clock, "cpu_s": processor}


def gflop(side: int, denoise: Callable[[], object]) -> float:
    """Operations of a guided call's products, those of attention by their formula: the fused kernel is not counted."""
    with FlopCounterMode(display=False) as counted:
        denoise()
    config = PRESETS["reference"].model
    assert isinstance(config, PublishedConfig)
    passes = config.encoder_blocks + 2 * config.decoder_blocks
    # along rows and along columns, queries by keys and weights by values, a product and a sum each
    attention = passes * 2 * 2 * 2 * side**3 * config.width
    return (counted.get_total_flops() + attention) / 1e9


def peak_gflops(precision: str) -> float:
    """Best speed of a product of 1024 x 1024, per thread."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    a = torch.randn(1024, 1024).to(kind)
    best = min(timed(lambda: a @ a, 1, "product")["cpu_s"] for _ in range(20))
    return 2 * 1024**3 / best / 1e9


def guided_call(side: int, repeats: int, precision: str) -> dict[str, float]:
    """One row: a guided call on a square state."""
    model = S2ID(PRESETS["reference"].model, Card(density=28)).eval().requires_grad_(False)
    assert isinstance(model.network, PublishedNetwork)
    torch.nn.init.normal_(model.network.out.weight, std=0.1)
    denoiser = Guided(trained_denoiser(model, (side, side)), 4.0)
    x_t, t, label = torch.randn(1, 1, side, side), torch.full((1,), 0.5), torch.tensor([7])
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        facts = {"side": side, **timed(lambda: denoiser(x_t, t, label), repeats, "call")}
        work, peak = gflop(side, lambda: denoiser(x_t, t, label)), peak_gflops(precision)
    limit = work / peak / torch.get_num_threads()
    return {**facts, "gflop": work, "peak_gflops": peak, "limit_s": limit, "published_s": PUBLISHED_S.get(side, 0.0)}


def training_step(batch: int, repeats: int, precision: str) -> dict[str, float]:
    """One row: a step of the preset on noise of MNIST's shape."""
    preset = PRESETS["reference"]
    config = replace(preset.train, batch=batch, precision=precision, device="cpu")  # type: ignore[arg-type]
    noise = Group(torch.randint(0, 256, (1000, 1, 28, 28), dtype=torch.uint8), torch.randint(0, 10, (1000,)))
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(replace(preset, train=config), Pictures("noise", (noise,), DIGITS), Path(folder))
        return {"batch": batch, **timed(trainer._step, repeats, "step"), **PUBLISHED_STEP}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", choices=("no", "bf16"), default="no")
    parser.add_argument("--sides", type=int, nargs="*", default=list(PUBLISHED_S))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--row", help="what a child process measures: a side, or `step`")
    args = parser.parse_args()
    if args.row is None:
        for row in (*map(str, args.sides), "step"):
            words = ["--repeats", args.repeats, "--precision", args.precision, "--batch", args.batch, "--row", row]
            subprocess.run([sys.executable, __file__, *map(str, words)], check=True)
        return
    keep_memory()
    if args.row == "step":
        facts = training_step(args.batch, args.repeats, args.precision)
    else:
        facts = guided_call(int(args.row), args.repeats, args.precision)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    facts |= {"threads": torch.get_num_threads(), "peak_gb": peak}
    rounded = {key: round(value, 3) for key, value in facts.items()}
    print(json.dumps({**rounded, "precision": args.precision}), flush=True)


if __name__ == "__main__":
    main()
