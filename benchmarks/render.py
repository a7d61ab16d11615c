"""Time of composing and of rendering against the output's size, their fitted exponents, and of many small pictures.

    python benchmarks/render.py [WEIGHTS] [--repeats 5] [--device cpu]

One model, one seed. Composing does not know the output's size, so its exponent says how noisy the machine is; it is
timed anew before every size. Rendering ends with bytes in memory. Medians; the exponent is the slope of log time
against log pixels.
"""

import argparse
import json

import numpy as np
from common import median_seconds

import s2id
from s2id.media.images import to_bytes
from s2id.memory import keep_memory

SIDES = (256, 512, 1024, 2048, 4096)
BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", nargs="?", default="mnist")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    keep_memory()
    model = s2id.load(args.weights, args.device)
    rows = []
    for side in SIDES:
        compose = median_seconds(lambda: s2id.sample(model, 7, seed=0), args.repeats)
        field = s2id.sample(model, 7, seed=0)

        def render(side: int = side, field: s2id.Field = field) -> None:
            for strip in field.strips(field._view((side, side), None, "fit", 2**30)):
                to_bytes(strip)

        rows.append({"side": side, "compose_s": compose, "render_s": median_seconds(render, args.repeats)})
        print(json.dumps({k: round(v, 4) for k, v in rows[-1].items()}), flush=True)
    pixels = np.log([row["side"] ** 2 for row in rows])
    for kind in ("compose_s", "render_s"):
        slope = np.polyfit(pixels, np.log([row[kind] for row in rows]), 1)[0]
        print(json.dumps({f"exponent_{kind}": round(float(slope), 3)}))
    labels = [i % 10 for i in range(BATCH)]
    many = median_seconds(lambda: s2id.sample(model, labels, range(BATCH)).render((28, 28)), 1)
    print(json.dumps({f"batch of {BATCH} at 28x28, s": round(many, 3)}))


if __name__ == "__main__":
    main()
