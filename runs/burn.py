"""Held-out pictures enlarged 16 times, against truth: bicubic, the field, and the field moved towards the picture.

    python runs/burn.py out/own/data/test out/own/models

The first folder has a folder for each kind of pictures with pairs NAME.png and NAME.truth.png (runs/own_data.py), the
second one KIND/model for each of these kinds. A table of means over the pictures of each kind is printed, and a sheet
of the first ones is written to OUT/KIND.png: nearest, bicubic, field, result, truth.

gain: PSNR over bicubic's. worst: the least of PSNR over the field's. agreement: PSNR of the means over the given
pixels, after rounding to bytes; its mean and its least. burn: 99.9 % quantile of the grey levels by which samples leave
the range of the 3 x 3 given pixels around; truth has some where shapes are thinner than a pixel. astray: most grey
levels by which a sample leaves the range of the truth within a given pixel's side, the mean and the most.
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

import s2id
from s2id.evaluation.image_metrics import psnr
from s2id.inverse.consistent import consistent
from s2id.inverse.restore import disagreement, reconstructed
from s2id.media.images import read, resize, tile, to_bytes, to_float, write


def pairs(folder: Path, channels: int, skip: int, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Pictures, (1, c, h, w) in [-1, 1], and their truth."""
    for path in sorted(folder.glob("*.truth.png"))[skip : skip + count]:
        given = path.with_name(path.name.replace(".truth.png", ".png"))
        yield to_float(read(given, channels))[None], to_float(read(path, channels))[None]


def beyond(x: Tensor, least: Tensor, most: Tensor) -> Tensor:
    """Grey levels by which values leave a range, sorted."""
    return (torch.maximum(x - most, least - x).clamp(min=0) * 127.5).flatten().sort().values


def burn(x: Tensor, picture: Tensor) -> float:
    """99.9 % quantile of what leaves the range of the 3 x 3 pixels around."""
    most, least = F.max_pool2d(picture, 3, 1, 1), -F.max_pool2d(-picture, 3, 1, 1)
    past = beyond(x, *(F.interpolate(edge, x.shape[2:], mode="nearest") for edge in (least, most)))
    return past[int(0.999 * (len(past) - 1))].item()


def local_range(x: Tensor, pixel: int) -> tuple[Tensor, Tensor]:
    """Least and most of a picture within a given pixel's side of each sample."""

    def most(values: Tensor) -> Tensor:
        rows = F.max_pool2d(values, (2 * pixel + 1, 1), 1, (pixel, 0))
        return F.max_pool2d(rows, (1, 2 * pixel + 1), 1, (0, pixel))

    return -most(-x), most(x)


def figures(x: Tensor, picture: Tensor, truth: Tensor, near: tuple[Tensor, Tensor]) -> list[float]:
    """PSNR, agreement in dB, burn, and the most that leaves the truth's range nearby, of an enlargement."""
    agreement = 20 * math.log10(2 / disagreement(x, picture[0]))
    return [psnr(x, truth).item(), agreement, burn(x, picture), beyond(x, *near)[-1].item()]


def measure(kind: Path, weights: Path, skip: int, count: int, out: Path) -> None:
    """Print the rows of one kind's table and write its sheet."""
    model = s2id.load(weights)
    rows: dict[str, list[list[float]]] = {}
    sheet: list[Tensor] = []
    for picture, truth in pairs(kind, model.config.channels, skip, count):
        size = truth.shape[2], truth.shape[3]
        field = reconstructed(model, picture).render(size, fit="stretch")
        looks = {
            "bicubic": F.interpolate(picture, size, mode="bicubic").clamp(-1, 1),
            "field": field,
            "result": consistent(field, picture),
            "truth": truth,
        }
        near = local_range(truth, size[0] // picture.shape[2])
        for name, x in looks.items():
            rows.setdefault(name, []).append(figures(x, picture, truth, near))
        if len(sheet) < 30:
            sheet += [F.interpolate(picture, size), *looks.values()]
    values = {name: torch.tensor(found) for name, found in rows.items()}
    for name, found in values.items():
        decibels, agreement, burnt, stray = found.T
        gain, worst = (decibels - values[of][:, 0] for of in ("bicubic", "field"))
        shown = (
            ["-"] * 3 if name == "truth" else [f"{decibels.mean():.2f}", f"{gain.mean():+.2f}", f"{worst.min():+.2f}"]
        )
        shown += [f"{agreement.mean():.1f}", f"{agreement.min():.1f}", f"{burnt.mean():.1f}"]
        print("|", " | ".join([kind.name, name, *shown, f"{stray.mean():.1f}", f"{stray.max():.1f}"]), "|", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    write(out / f"{kind.name}.png", tile(to_float(to_bytes(torch.cat([resize(x, (384, 384)) for x in sheet]))), 5, 4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path)
    parser.add_argument("--skip", type=int, default=6, help="pictures of each kind that settings were chosen on")
    parser.add_argument("--kind", nargs="+", help="kinds to measure; all unless given")
    parser.add_argument("--count", type=int, default=24, help="pictures of each kind, at most")
    parser.add_argument("--out", type=Path, default=Path("out/burn"))
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    columns = ("kind", "method", "PSNR", "gain", "worst", "agreement", "least", "burn", "astray", "most")
    print("|", " | ".join(columns), "|")
    print("|" + "---|" * len(columns))
    for kind in sorted(args.data.iterdir()):
        if args.kind and kind.name not in args.kind:
            continue
        if (weights := args.models / kind.name / "model").is_dir():
            measure(kind, weights, args.skip, args.count, args.out)


if __name__ == "__main__":
    main()
