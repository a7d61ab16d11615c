"""Seconds of attention forward and backward on the CPU: torch's fused kernel against the products written out.

    python benchmarks/attention.py [--batch 64]

Explains the choice in `s2id.network.attention`: a row per number type and number of tokens (the trunk has 100).
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from s2id.memory import keep_memory


def written_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)).softmax(-1) @ v


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=20)
    args = parser.parse_args()
    keep_memory()
    kinds: dict[str, Callable[..., Tensor]] = {
        "fused_ms": F.scaled_dot_product_attention,
        "written_out_ms": written_out,
    }
    for dtype in (torch.float32, torch.bfloat16):
        for tokens in (49, 100, 196, 784):
            shape = (args.batch, args.heads, tokens, args.width)
            inputs = [torch.randn(shape, dtype=dtype, requires_grad=True) for _ in range(3)]
            row: dict[str, object] = {"dtype": str(dtype).removeprefix("torch."), "tokens": tokens}
            for name, attend in kinds.items():
                seconds = []
                for _ in range(args.repeats):
                    start = time.perf_counter()
                    attend(*inputs).sum().backward()
                    seconds.append(time.perf_counter() - start)
                row[name] = round(1000 * statistics.median(seconds[3:]), 2)
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
