"""Five kinds of pictures, fifteen minutes of one core each with the defaults: sheets, and a table of numbers.

    python runs/own.py --data out/own/data --out out/own [--minutes 15] [--kind KIND ...]

--data is the folder that runs/own_data.py made. Each kind is a run of `s2id train folder`, in OUT/KIND; one that is
finished is not run again, one that was stopped goes on. Then, per kind:

    samples.png   48 samples at the data's own size, each pixel 4 x 4
    large.png     the first 8 of them at 1024 x 1024
    held-out.png  8 held-out pictures, enlarged 16 times: the pixels, bicubic, the field, `s2id upscale`, the truth

and OUT/table.md, OUT/table.json and OUT/samples.png (a row per kind) are about all kinds done so far. Pictures with
transparency are compared over white.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from burn import beyond, burn, local_range
from common import train_once
from own_data import COUNT, INKS, TIMES
from torch import Tensor
from torch.nn import functional as F

import s2id
from s2id.evaluation.beading import beading
from s2id.evaluation.edges import edge_width
from s2id.evaluation.image_metrics import psnr
from s2id.evaluation.report import markdown
from s2id.evaluation.ripple import Grids, ripple
from s2id.inverse.restore import reconstructed
from s2id.media.alpha import covered, over
from s2id.media.images import read, resize, tile, to_bytes, to_float, write
from s2id.sampling.states import state_sizes

KINDS = ("pixel24", "lines32", "glyphs28", "icons32", "icons64")
SEEDS, LARGE, SHOWN = 48, 8, 192


def attributes_seen(x: Tensor) -> dict[str, bool]:
    """The attributes of pixel art as runs/own_data.py defines them, read from a picture (3, 24, 24) by rule."""
    border = torch.cat([x[:, 0], x[:, -1], x[:, :, 0], x[:, :, -1]], dim=1)
    paper = border.median(dim=1).values[:, None, None]
    other = (x - paper).square().sum(0).sqrt() > 0.4
    values = {name: torch.tensor([int(code[i : i + 2], 16) for i in (1, 3, 5)]) for name, code in INKS.items()}
    inks = {name: value / 127.5 - 1 for name, value in values.items()}
    colour = x[:, other].median(dim=1).values if other.any() else paper.flatten()
    nearest = min(inks, key=lambda name: (inks[name] - colour).square().sum().item())
    found = {name: name == nearest for name in inks}
    return {**found, "white": bool((paper > 0.9).all()), "bold": other.float().mean().item() > 0.35}


@torch.inference_mode()
def attributes_right(model: s2id.S2ID, seeds: int = 16) -> float:
    """Share of attributes that samples have when asked for, mean over attributes that 100 pictures or more have."""
    right = []
    size = model.card.size or (24, 24)
    for name in model.card.attributes:
        asked = s2id.ask(model, attributes={name: True})
        drawn = s2id.sample(model, [asked] * seeds, list(range(seeds))).render(size)
        right.append(sum(attributes_seen(x)[name] for x in drawn) / seeds)
    return sum(right) / len(right)


@torch.inference_mode()
def out_of_range(model: s2id.S2ID, data: Path, guidance: float, count: int = 32) -> int:
    """Samples of a brightness that no training picture has, asked for all attributes of a training picture each."""
    group = s2id.pictures(data).groups[0]
    bright = to_float(group.images).mean((1, 2, 3))
    chosen = torch.randperm(len(bright), generator=torch.Generator().manual_seed(0))[:count]
    asked = group.condition(chosen)
    drawn = s2id.sample(model, [asked[i : i + 1] for i in range(count)], list(range(count)), guidance=guidance)
    size = model.card.size
    assert size is not None
    found = drawn.render(size).mean((1, 2, 3))
    return int(((found < bright.min()) | (found > bright.max())).sum())


@torch.inference_mode()
def reconstructions(model: s2id.S2ID, folder: Path, out: Path, count: int) -> dict[str, float]:
    """Numbers of held-out pictures enlarged 16 times, and the sheet of eight of them."""
    names = sorted(path.name.removesuffix(".truth.png") for path in folder.glob("*.truth.png"))[:count]
    found: dict[str, list[float]] = {}
    shown: list[Tensor] = []
    for name in names:
        files = (folder / f"{name}{end}" for end in (".png", ".truth.png"))
        small, truth = (to_float(read(file, model.config.channels))[None] for file in files)
        size, (h, w) = (truth.shape[2], truth.shape[3]), small.shape[2:]
        bicubic = covered(F.interpolate(small, size, mode="bicubic").clamp(-1, 1))
        field = reconstructed(model, small).render(size, fit="stretch")
        enlarged = to_float(to_bytes(s2id.upscale(model, small[0], size)))[None]
        small, truth, bicubic, field, enlarged = (over(x, "white") for x in (small, truth, bicubic, field, enlarged))
        edges = [edge_width(x, TIMES).item() for x in (bicubic, enlarged, truth)]
        row = {
            "bicubic": psnr(bicubic, truth).item(),
            "field": psnr(field, truth).item(),
            "upscale": psnr(enlarged, truth).item(),
            "agreement": psnr(resize(enlarged, (h, w)), small).item(),
            "burn": burn(enlarged, small),
            "beyond truth": beyond(enlarged, *local_range(truth, TIMES))[-1].item(),
            "edge / bicubic": edges[1] / edges[0],
            "true edge / bicubic": edges[2] / edges[0],
            "ripple, held out": ripple(enlarged, small).rms.item(),
        }
        for column, value in row.items():
            found.setdefault(column, []).append(value)
        if len(shown) < 5 * LARGE:
            shown += [F.interpolate(small, size, mode="nearest"), bicubic, field, enlarged, truth]
    write(out / "held-out.png", tile(torch.cat(shown), 5, gap=4))
    table = torch.tensor(list(found.values())).nanmean(1).tolist()
    numbers = dict(zip(found, table, strict=True))
    worst = {"worst burn": max(found["burn"]), "worst agreement": min(found["agreement"])}
    return {**numbers, "gain": numbers["upscale"] - numbers["bicubic"], **worst}


@torch.inference_mode()
def samples(model: s2id.S2ID, out: Path) -> dict[str, float]:
    """Numbers of samples, and their two sheets."""
    size = model.card.size
    assert size is not None
    fields = s2id.sample(model, [None] * SEEDS, list(range(SEEDS)))
    native = over(fields.render(size), "white")
    write(out / "samples.png", tile(F.interpolate(native, scale_factor=4.0, mode="nearest"), 8, gap=4))
    large = (1024 // max(size) * size[0], 1024 // max(size) * size[1])
    coarse, fine = state_sizes(model, size)
    renders = [over(field.render(large), "white") for field in fields[:LARGE]]
    write(out / "large.png", tile(torch.cat(renders), 4, gap=8))
    write(out / "row.png", tile(resize(torch.cat(renders), (SHOWN, SHOWN)), LARGE, gap=4))
    found = [ripple(x, native[i : i + 1], Grids.of(model, fine or coarse)) for i, x in enumerate(renders)]
    return {
        "ripple": torch.cat([one.rms for one in found]).nanmean().item(),
        "ripple, tokens": torch.cat([one.token for one in found]).nanmean().item(),
        "off white": torch.cat([one.off_white for one in found]).nanmean().item(),
        "off white, worst": max(one.off_white_worst.nan_to_num(0).item() for one in found),
    }


def measured(kind: str, args: argparse.Namespace) -> dict[str, Any]:
    """The numbers of a kind; its model is trained first, unless it has been."""
    out, data = args.out / kind, args.data / kind
    train_once(out, "folder", "--data", str(data), "--minutes", str(args.minutes))
    model = s2id.load(out / "model")
    card = model.card
    row: dict[str, Any] = {"kind": kind, "images seen": card.images_seen, "density": card.density,
                           "ends on": card.detail_density, "lattice": model.config.lattice}  # fmt: skip
    row |= samples(model, out) | reconstructions(model, args.data / "test" / kind, out, args.count)
    for name, upscaled in (("field", False), ("upscale", True)):
        bars = beading(model, s2id.pictures(data), upscaled=upscaled)
        row |= {f"bars, {name}: tone off %": bars.tone_error, f"bars, {name}: width off": bars.width_error}
    if card.attributes:
        row["attributes right"] = attributes_right(model)
        row |= {f"out of range at guidance {g:g}": out_of_range(model, data, g) for g in (1.0, 1.5, 3.0, 5.0)}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("out/own/data"))
    parser.add_argument("--out", type=Path, default=Path("out/own"))
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--count", type=int, default=COUNT, help="held-out pictures of each kind")
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=KINDS)
    args = parser.parse_args()
    for kind in args.kind:
        row = measured(kind, args)
        (args.out / kind / "table.json").write_text(json.dumps(row, indent=1) + "\n")
    done = [kind for kind in KINDS if (args.out / kind / "table.json").is_file()]
    rows = [json.loads((args.out / kind / "table.json").read_text()) for kind in done]
    strips = [to_float(read(args.out / kind / "row.png", 3)) for kind in done]
    write(args.out / "samples.png", torch.cat(strips, dim=1))
    (args.out / "table.json").write_text(json.dumps(rows, indent=1) + "\n")
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = ["", *(row["kind"] for row in rows)]
    text = markdown(columns, [[name, *(row.get(name) for row in rows)] for name in names[1:]])
    (args.out / "table.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
