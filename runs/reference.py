"""Train the published system, small or whole, and judge it beside ours at 1, 2 and 4 times its training density.

    python runs/reference.py --data data [--minutes 27] [--count 100] [--out out/reference]
    python runs/reference.py --data data --full --count 1000 --steps 100 --sampler ddim      # a GPU's work

Without --full, the published network is made smaller by `SMALL` alone, for two CPU cores. All pictures, the data's too,
are judged as their area means at the training density, enlarged again to the judge's size where it is larger. Trained
weights, drawn pictures and rows are kept in --out: what is there is not made again. --gallery shows the same few seeds
of both at sizes up to 1024x1024 and 9:16; a dense state's steps take minutes each there, so --most bounds its sides.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from common import train_once
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import interpolate

import s2id
from s2id.data.registry import load_pictures
from s2id.diffusion.settings import NoiseKind
from s2id.evaluation import image_metrics, judge, set_metrics
from s2id.evaluation.report import markdown
from s2id.media.images import resize, tile, to_bytes, to_float, to_pillow
from s2id.memory import keep_memory
from s2id.sampling.model import S2ID, load
from s2id.sampling.states import affordable
from s2id.settings import Size

SMALL = (
    "--densities 14 --set width=64 --set heads=4 --set encoder-blocks=2 --set decoder-blocks=2 "
    "--set dropout=0,0,0 --batch 16 --set optimiser=muon --lr 3e-3 "
    "--set both-conditions=false --set drop-label=0.1 --set recompute=no"
).split()
"""What differs from the preset `reference`: state, size, dropout, optimiser, and how the label is dropped."""

HALF = (
    "--batch 16 --lr 3e-3 --set warmup=0.05 --densities 14 --set density-weights=1 --set width=64 --set heads=4 "
    "--set encoder-blocks=2 --set decoder-blocks=2"
).split()
"""Ours on the same state, with as many and as wide blocks; it is given half as many pictures."""

TIMES = (1, 2, 4)
GALLERY = ((28, 28), (56, 56), (112, 112), (448, 252), (448, 448), (1024, 1024))
EVERY = 5  # of the test pictures, one is looked at
AGREEMENT = "PSNR with 1x"
SHOWN, SHOWN_SIDE, GALLERY_SIDE, MARGIN = 8, 96, 192, 150


class Setting(NamedTuple):
    """Name and model of a row of the table, and how it is sampled."""

    name: str
    title: str
    noise: NoiseKind
    shift: bool
    model: Literal["reference", "bundled", "half"] = "reference"


SETTINGS = (
    Setting("ours", "ours, bundled", "nested", True, "bundled"),
    Setting("half", "ours, small", "nested", True, "half"),
    Setting("published", "published", "white", False),
    Setting("shift", "published, shifted", "nested", True),
    # at each size by itself nested noise is white: these two differ from the two above in agreement alone
    Setting("nested", "published, nested noise", "nested", False),
    Setting("white-shift", "published, shifted, white noise", "white", True),
)


def trained(args: argparse.Namespace, preset: str, folder: Path, words: list[str]) -> S2ID:
    """The model of a run, which is trained first, unless it has been."""
    train_once(folder, preset, "--data", str(args.data), *words)
    return load(folder / "model", torch.device(args.device))


def drawn(model: S2ID, setting: Setting, size: Size, count: int, args: argparse.Namespace) -> Tensor:
    """Pictures of seeds 0, 1, 2, ..., labels in turn, as they are kept in a file."""
    how = f"{args.sampler}-{args.steps}-{args.guidance:g}"
    file = args.out / f"{setting.name}-{size[0]}x{size[1]}-{how}.safetensors"
    have = load_file(file)["pictures"] if file.is_file() else torch.empty(0, 1, *size)
    batch = affordable(max(size))
    while len(have) < count:
        seeds = range(len(have), min(len(have) + batch, count))
        field = s2id.sample(
            model,
            [seed % 10 for seed in seeds],
            seeds,
            s2id.Sampling(
                args.steps,
                args.guidance,
                sampler=args.sampler,
                density=max(size) if model.config.dense else None,
                noise=setting.noise,
                shift=setting.shift,
            ),
            aspect=size if model.config.dense else None,
        )
        have = torch.cat([have, field.render(size).cpu()])
        save_file({"pictures": have}, file)
        print(f"{setting.name} at {size[0]}x{size[1]}: {len(have)} pictures", flush=True)
    return have[:count]


class Bench:
    """The judge, and a fifth of the test set, averaged to the training density."""

    def __init__(self, args: argparse.Namespace, density: int) -> None:
        self.judge, self.density = judge.load("mnist"), density
        test = load_pictures("mnist", args.data, "test").groups[0]
        images, self.labels = test.images[::EVERY], test.labels[::EVERY].long()
        self.truth = self.coarse(to_float(images))
        self.features = self.seen(self.truth)
        train = load_pictures("mnist", args.data, "train").groups[0]
        order = torch.cat([(train.labels == label).nonzero()[: args.count // 10, 0] for label in range(10)])
        self.floor = self.row(to_float(train.images[order]), train.labels[order].long())

    def coarse(self, pictures: Tensor) -> Tensor:
        """Area means at the training density."""
        return resize(pictures, (self.density, self.density))

    def seen(self, coarse: Tensor) -> Tensor:
        """Features of area means, enlarged to the judge's size."""
        if coarse.shape[-2:] != self.judge.size:
            coarse = interpolate(coarse, self.judge.size, mode="bicubic").clamp(-1, 1)
        return self.judge.features(coarse)

    def row(self, pictures: Tensor, labels: Tensor) -> dict[str, float]:
        """Measures of a set of pictures of any size."""
        coarse = self.coarse(pictures)
        features = self.seen(coarse)
        enough = len(features) >= 2 * features.shape[1]
        subset = min(1000, len(features))
        return {
            "n": len(pictures),
            "right class": (self.judge.classify(features) == labels).float().mean().item(),
            "variance": set_metrics.variance_ratio(coarse, labels, self.truth, self.labels),
            "spread": set_metrics.feature_spread(features, labels, self.features, self.labels),
            "kernel": set_metrics.kernel_distance(features, self.features, subset_size=subset),
            "frechet": set_metrics.frechet_distance(features, self.features) if enough else math.nan,
        }


def written(rows: list[dict[str, object]], folder: Path) -> str:
    """The table as Markdown, beside its JSON."""
    text = markdown(list(rows[0]), [row.values() for row in rows])
    clean = [{k: None if v != v else v for k, v in row.items()} for row in rows]
    (folder / "table.json").write_text(json.dumps(clean, indent=2) + "\n")
    (folder / "table.md").write_text(text + "\n")
    return text


def sheet(rows: dict[str, Tensor]) -> Image.Image:
    """A row per set, with its name: its first pictures, all as large, their pixels as they are."""
    high = SHOWN_SIDE + 4
    page = Image.new("L", (MARGIN + SHOWN * high, len(rows) * high), 255)
    draw = ImageDraw.Draw(page)
    for i, (name, pictures) in enumerate(rows.items()):
        line = tile(resize(pictures[:SHOWN], (SHOWN_SIDE, SHOWN_SIDE)), SHOWN, gap=4)
        page.paste(to_pillow(to_bytes(line)), (MARGIN, i * high))
        draw.text((6, i * high + SHOWN_SIDE // 2 - 16), name, fill=60, font_size=14)
    return page


def gallery(models: dict[str, S2ID], density: int, args: argparse.Namespace) -> Image.Image:
    """A row per seed and system, a column per size, all as high; pixels as they are where they are large."""
    sizes = [(density, density), *(size for size in GALLERY if max(size) > density)]
    settings = [setting for setting in SETTINGS if setting.name in ("ours", "published")]
    step, rows = GALLERY_SIDE + 4, len(settings) * args.gallery
    page = Image.new("L", (MARGIN + len(sizes) * step, rows * step + 24), 255)
    draw = ImageDraw.Draw(page)
    for column, size in enumerate(sizes):
        draw.text((MARGIN + column * step + 4, rows * step + 4), f"{size[0]} x {size[1]}", fill=60, font_size=14)
        for i, setting in enumerate(settings):
            if models[setting.model].config.dense and max(size) > args.most:
                continue
            pictures = drawn(models[setting.model], setting, size, args.gallery, args)
            for seed, picture in enumerate(pictures):
                look = to_pillow(to_bytes(picture))
                how = Image.Resampling.NEAREST if size[0] < GALLERY_SIDE else Image.Resampling.LANCZOS
                look = look.resize((round(GALLERY_SIDE * size[1] / size[0]), GALLERY_SIDE), how)
                row = seed * len(settings) + i
                page.paste(look, (MARGIN + column * step, row * step))
                if not column:
                    draw.text((6, row * step + GALLERY_SIDE // 2 - 8), setting.title, fill=60, font_size=14)
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("out/reference"))
    parser.add_argument("--full", action="store_true", help="the preset as it is")
    parser.add_argument("--minutes", type=float, help="of training; without, the preset's number of pictures")
    parser.add_argument("--count", type=int, default=100, help="pictures per row; from 256 on with a Frechet distance")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--sampler", default="dpmpp")
    parser.add_argument("--guidance", type=float, default=1.0)
    names = [setting.name for setting in SETTINGS]
    parser.add_argument("--settings", nargs="*", choices=names, default=names[:4])
    parser.add_argument("--gallery", type=int, default=0, help="seeds to show at large sizes and 9:16")
    parser.add_argument("--most", type=int, default=1024, help="longest side that a dense model is shown at")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    keep_memory()
    args.out = args.out / ("full" if args.full else "small")
    args.out.mkdir(parents=True, exist_ok=True)
    length = ["--minutes", str(args.minutes)] if args.minutes else []
    reference = trained(args, "reference", args.out, [*length, *([] if args.full else SMALL)])
    density, seen = reference.card.density, ["--images", str(reference.card.images_seen // 2)]
    models = {"reference": reference, "bundled": load("mnist", torch.device(args.device))}
    if any(setting.model == "half" for setting in SETTINGS if setting.name in args.settings):
        models["half"] = trained(args, "mnist", args.out / "half", [*seen, *([] if args.full else HALF)])
    bench = Bench(args, density)
    rows: list[dict[str, object]] = [{"pictures": "training set", "size": "-", **bench.floor, AGREEMENT: math.nan}]
    shown: dict[str, Tensor] = {}
    for setting in (s for s in SETTINGS if s.name in args.settings):
        base = None
        for k in TIMES:
            pictures = drawn(models[setting.model], setting, (k * density, k * density), args.count, args)
            labels = torch.arange(len(pictures)) % 10
            agreement = math.nan if base is None else image_metrics.psnr(bench.coarse(pictures), base).median().item()
            base = pictures if base is None else base
            size = f"{k * density}x{k * density}"
            rows.append({"pictures": setting.title, "size": size, **bench.row(pictures, labels), AGREEMENT: agreement})
            print(json.dumps(rows[-1]), flush=True)
            shown[f"{setting.title}\n{size}"] = pictures
            sheet(shown).save(args.out / "sheet.png", optimize=True)
            written(rows, args.out)
    print(written(rows, args.out))
    if args.gallery:
        gallery(models, density, args).save(args.out / "gallery.png", optimize=True)


if __name__ == "__main__":
    main()
