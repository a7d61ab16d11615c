"""Images per second in training and sampling: pixels as states against an autoencoder's latents, in turn.

    python benchmarks/latents.py [--sides 64 128] [--factor 4] [--patch 2] [--rounds 3] [--batch 4] [--out FILE]

Noise of the pictures' shape, an autoencoder of random weights (its encoder runs before training, timed beside), and one
network budget: the same width and blocks. Pixel states are as dense as the pictures, and, for the other row, as coarse
as the celeba preset composes (40 samples for 64 pixels). A training step is timed whole; a sample is composed with 20
guided steps and rendered at the pictures' size. Variants take turns, round after round, so that other work on the
machine meets all of them alike; medians. `--clock processor` counts the process's own seconds instead, for a machine
that is very busy; bind OMP_NUM_THREADS to 1 with it, for it adds the threads up.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path

import torch
from common import CLOCKS, seconds_of
from diffusers import AutoencoderTiny

from s2id.data.pictures import Group, Pictures
from s2id.evaluation.report import markdown
from s2id.memory import keep_memory
from s2id.network.settings import ModelConfig
from s2id.sampling.model import S2ID
from s2id.sampling.sample import sample
from s2id.training.latents import load_autoencoder, with_latents
from s2id.training.presets import PRESETS
from s2id.training.trainer import Trainer


def autoencoder(folder: Path, factor: int) -> Path:
    """A small one of random weights."""
    levels = factor.bit_length()
    widths = {f"{half}_block_out_channels": (16,) * levels for half in ("encoder", "decoder")}
    blocks = {f"num_{half}_blocks": (1,) * levels for half in ("encoder", "decoder")}
    AutoencoderTiny(**widths, **blocks).save_pretrained(folder, safe_serialization=True)
    return folder


def variants(side: int, args: argparse.Namespace, folder: Path) -> tuple[dict[str, Trainer], float]:
    """A run per kind of state, and the seconds that encoding a picture takes."""
    images = torch.randint(0, 256, (64, 3, side, side), dtype=torch.uint8)
    pictures = Pictures("noise", (Group(images, torch.arange(64) % 10),), tuple("0123456789"))
    made = load_autoencoder(autoencoder(folder / "vae", args.factor))
    with_latents(pictures, made, args.patch)  # once for warming up
    clock = CLOCKS[args.clock]
    start = clock()
    latent = with_latents(pictures, made, args.patch)
    seconds = (clock() - start) / 64
    model = ModelConfig(
        channels=3,
        width=args.width,
        heads=args.width // 32,
        encoder_blocks=args.blocks,
        decoder_blocks=args.blocks,
        attention=args.attention,
    )
    base = replace(PRESETS["celeba"].train, images=10**9, batch=args.batch, precision=args.precision)

    def run(name: str, data: Pictures, density: int, patch: int) -> Trainer:
        train = replace(base, densities=(density,), density_weights=(1.0,))
        own = replace(model, patch=patch)
        return Trainer(replace(PRESETS["celeba"], model=own, train=train), data, folder / name)

    coarse = side * 40 // 64 // 2 * 2
    return {
        f"pixels, states of {side}": run("dense", pictures, side, 2),
        f"pixels, states of {coarse}": run("coarse", pictures, coarse, 2),
        f"latents x{args.factor}": run("latents", latent, side // args.factor, args.patch),
    }, seconds


def drawing(model: S2ID, side: int, count: int, steps: int) -> Callable[[], object]:
    return lambda: sample(model, [0] * count, range(count), steps=steps, guidance=1.5).render((side, side))


def measured(side: int, args: argparse.Namespace) -> list[dict[str, object]]:
    """A row per kind of state."""
    with tempfile.TemporaryDirectory() as folder:
        runs, encoding = variants(side, args, Path(folder))
        draws = {name: drawing(run.result(), side, args.count, args.steps) for name, run in runs.items()}
        seconds: dict[tuple[str, str], list[float]] = {}
        for turn in range(args.rounds + 1):
            for name, run in runs.items():
                for what, action in (("train", run._step), ("sample", draws[name])):
                    spent = seconds_of(action, CLOCKS[args.clock])
                    if turn:  # the first is not counted
                        seconds.setdefault((name, what), []).append(spent)
        rows = []
        for name, run in runs.items():
            train, drawn = (statistics.median(seconds[name, what]) for what in ("train", "sample"))
            tokens = (run.config.densities[0] // run.model.patch) ** 2
            rows.append(
                {
                    "side": side,
                    "states": name,
                    "tokens": tokens,
                    "parameters": sum(p.numel() for p in run.average.module.parameters()),
                    "train": args.batch / train,
                    "sample": args.count / drawn,
                    "encode": 1 / encoding if run.pictures.latents else None,
                }
            )
        return rows


def table(rows: list[dict]) -> str:
    """Markdown; ratios are latents' against that row's, within one side."""
    names = (
        "pictures",
        "states",
        "tokens",
        "parameters",
        "training, images/s",
        "latents' gain",
        "sampling, images/s",
        "gain",
    )
    lines = []
    for row in rows:
        own = next(r for r in rows if r["side"] == row["side"] and r["encode"])
        ratios = ((f"{row[what]:.2f}", f"{own[what] / row[what]:.1f}") for what in ("train", "sample"))
        shown = (f"{row['side']}x{row['side']}", row["states"], row["tokens"], f"{row['parameters']:,}")
        lines.append([*shown, *chain.from_iterable(ratios)])
    encoding = ", ".join(f"{r['side']}x{r['side']} {r['encode']:.0f}" for r in rows if r["encode"])
    return f"{markdown(names, lines)}\n\nPictures encoded per second, once before training: {encoding}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="*", default=[64, 128])
    parser.add_argument("--factor", type=int, default=4, choices=(2, 4, 8, 16))
    parser.add_argument("--patch", type=int, default=2, help="latent samples per token side; pixels have 2")
    parser.add_argument("--width", type=int, default=96, help="a multiple of 32")
    parser.add_argument("--blocks", type=int, default=3, help="in the encoder, and in the decoder")
    parser.add_argument("--attention", default="full", choices=("full", "axial", "window", "linear"))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--count", type=int, default=2, help="pictures sampled at once")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="auto", choices=("auto", "no", "bf16"))
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--out", type=Path, help="write the table there")
    args = parser.parse_args()
    keep_memory()
    torch.manual_seed(0)
    rows = []
    for side in args.sides:
        rows += measured(side, args)
        print(json.dumps(rows[-3:]), flush=True)
    print(table(rows))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(table(rows) + "\n")


if __name__ == "__main__":
    main()
