"""Training throughput of a preset on noise of the data's shape, with the operations counted beside it.

    python benchmarks/train.py [--preset mnist] [--steps 60] [--batch 64] [--precision auto]

The whole step is timed: drawing the batch, forward, backward, clipping, AdamW, moving average. `gemm` is the rate of
one matrix product of the trunk's shape in the run's precision, measured in the same run; `share` is how much of it the
step's counted products reach.
"""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from s2id.data.idx import DIGITS
from s2id.data.pictures import Group, Pictures
from s2id.memory import keep_memory
from s2id.training.presets import PRESETS
from s2id.training.trainer import Trainer


def gemm_rate(tokens: int, width: int, dtype: torch.dtype) -> float:
    """GFLOP/s of the feed-forward's first product."""
    x, w = torch.randn(tokens, width, dtype=dtype), torch.randn(3 * width, width, dtype=dtype)
    seconds = []
    for _ in range(30):
        start = time.perf_counter()
        torch.nn.functional.linear(x, w)
        seconds.append(time.perf_counter() - start)
    return 2 * x.numel() * 3 * width / statistics.median(seconds) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="mnist")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--precision", default="auto")
    args = parser.parse_args()
    keep_memory()
    preset = PRESETS[args.preset]
    config = replace(preset.train, images=10**9, batch=args.batch or preset.train.batch, precision=args.precision)
    noise = Group(torch.randint(0, 256, (60_000, 1, 28, 28), dtype=torch.uint8), torch.randint(0, 10, (60_000,)))
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(replace(preset, train=config), Pictures("noise", (noise,), DIGITS), Path(folder))
        with FlopCounterMode(display=False) as counter:
            trainer._step()
        seconds = []
        for _ in range(args.steps):
            start = time.perf_counter()
            trainer._step()
            seconds.append(time.perf_counter() - start)
    step = statistics.median(seconds[5:])
    flop = counter.get_total_flops()
    tokens = config.batch * (config.densities[0] // preset.model.patch) ** 2
    dtype = torch.bfloat16 if trainer.accelerator.mixed_precision == "bf16" else torch.float32
    peak = gemm_rate(tokens, preset.model.width, dtype)
    facts = {
        "images_per_second": round(config.batch / step, 1),
        "batch": config.batch,
        "precision": trainer.accelerator.mixed_precision,
        "step_ms": round(1000 * step, 1),
        "gflop_per_image": round(flop / config.batch / 1e9, 3),
        "gflop_per_second": round(flop / step / 1e9, 1),
        "gemm": round(peak, 1),
        "share": round(flop / step / 1e9 / peak, 2),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
