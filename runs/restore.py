"""Restore MNIST test pictures, which the model never saw, and compare the answers with the truth.

    python runs/restore.py super --data data/mnist
    python runs/restore.py inpaint --data data/mnist --labelled
    python runs/restore.py pictures --data data/mnist
    python runs/restore.py figure --data data/mnist --out docs/images

`super`: pictures of 7x7 area means are enlarged to 28x28. `inpaint`: the 14x14 pixels in the centre are filled in. The
class is given only with --labelled. The judge is the package's own classifier, trained apart from the model. PSNR is
computed on values in [-1, 1]. `figure` writes restore.png, which shows two digits of each task.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from common import LOW, SIZE, hole
from PIL import Image, ImageDraw
from torch import Tensor

import s2id
from s2id.cli.options import writable
from s2id.data.registry import load_pictures
from s2id.evaluation.image_metrics import psnr
from s2id.evaluation.judge import load as load_judge
from s2id.inverse.restore import restore_each
from s2id.media.images import resize, tile, to_bytes, to_float, to_pillow, write
from s2id.memory import keep_memory

TASKS = ("super", "inpaint")


def bicubic(picture: Tensor) -> Tensor:
    """A picture (1, h, w) enlarged to 28x28 by Pillow, in floats."""
    source = Image.fromarray(picture[0].numpy())
    return torch.from_numpy(np.array(source.resize(SIZE, Image.Resampling.BICUBIC)))[None].clamp(-1, 1)


def restored(
    args: argparse.Namespace, model: s2id.S2ID, task: str, truth: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Restored pictures, (pictures, seeds, c, h, w), and the rms of their residuals, (pictures, seeds)."""
    seen, mask = (resize(truth, LOW), None) if task == "super" else (truth, hole())
    generator = torch.Generator().manual_seed(args.seed)
    seen = seen + args.noise * torch.randn(seen.shape, generator=generator)
    found = restore_each(
        model,
        seen.repeat_interleave(args.seeds, 0),
        [label if args.labelled else None for label in labels.tolist() for _ in range(args.seeds)],
        list(range(args.seeds)) * len(truth),
        SIZE,
        mask,
        args.noise,
        s2id.Sampling(args.steps, args.guidance, sampler=args.sampler, eta=args.eta, restarts=args.restarts),
    )
    shape = (len(truth), args.seeds)
    return found.pictures.unflatten(0, shape), found.residual.unflatten(0, shape)


def test_pictures(args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    group = load_pictures("mnist", args.data, "test").groups[0]
    return to_float(group.images[: args.count]), group.labels[: args.count]


def judge(args: argparse.Namespace) -> None:
    task, model, judged = args.task, s2id.load(args.weights), load_judge("mnist")
    truth, labels = test_pictures(args)
    mask = hole()

    def right(pictures: Tensor, of: Tensor) -> Tensor:
        return (judged.classify(judged.features(pictures.clamp(-1, 1))) == of).float()

    rows: dict[str, list[Tensor]] = {}
    start = time.perf_counter()
    for first in range(0, len(truth), args.batch):
        x, of = truth[first : first + args.batch], labels[first : first + args.batch]
        found, residual = restored(args, model, task, x, of)
        mean = found.mean(1)
        plain = torch.stack([bicubic(one) for one in resize(x, LOW)]) if task == "super" else torch.where(mask, x, -1.0)
        spread = found.std(1, correction=int(args.seeds > 1))
        values = {
            "psnr of the mean": psnr(mean, x),
            "psnr of answers": psnr(found.flatten(0, 1), x.repeat_interleave(args.seeds, 0)),
            "psnr of plain": psnr(plain, x),
            "right answers": right(found.flatten(0, 1), of.repeat_interleave(args.seeds)),
            "right mean": right(mean, of),
            "right plain": right(plain, of),
            "right truth": right(x, of),
            "residual": residual.flatten(),
            "std": (spread[:, :, ~mask] if task == "inpaint" else spread).flatten(1).mean(1),
        }
        for name, value in values.items():
            rows.setdefault(name, []).append(value)
        done = first + len(x)
        shares = {k: round(torch.cat(v).mean().item(), 3) for k, v in rows.items() if k.startswith(("right", "psnr"))}
        print(f"{done}/{len(truth)} {time.perf_counter() - start:.0f} s {shares}", flush=True)
    table = {name: torch.cat(parts) for name, parts in rows.items()}
    means = {name: round(values.mean().item(), 5) for name, values in table.items() if name != "residual"}
    facts = {
        "task": task, "weights": args.weights, "images_seen": model.card.images_seen, "judge": judged.sha256,
        "count": len(truth), "seeds": args.seeds, "guidance": args.guidance, "steps": args.steps,
        "sampler": args.sampler, "eta": args.eta, "restarts": args.restarts, "noise": args.noise,
        "labelled": args.labelled, **means,
        "residual rms": table["residual"].square().mean().sqrt().item(),
        "residual most": table["residual"].max().item(),
        "gain over plain, dB": round(means["psnr of the mean"] - means["psnr of plain"], 3),
        "seconds per answer": round((time.perf_counter() - start) / len(truth) / args.seeds, 4),
    }  # fmt: skip
    print(json.dumps(facts, indent=2))
    (args.out / f"{task}.json").write_text(json.dumps(facts, indent=2) + "\n")


def pictures(args: argparse.Namespace) -> None:
    """Write a row per digit and task: measured, bicubic, the answers, their mean and std, the truth."""
    model = s2id.load(args.weights)
    truth, labels = test_pictures(args)
    for task in TASKS:
        found, _ = restored(args, model, task, truth, labels)
        rows = []
        for x, some in zip(truth, found, strict=True):
            if task == "super":
                low = resize(x[None], LOW)
                shown = [low.repeat_interleave(4, 2).repeat_interleave(4, 3)[0], bicubic(low[0])]
            else:
                shown = [torch.where(hole(), x, 0.0)]
            rows += [*shown, *some, some.mean(0), 2 * some.std(0, correction=1) - 1, x]
        path = args.out / f"{task}.png"
        sheet = torch.stack(rows).repeat_interleave(args.zoom, 2).repeat_interleave(args.zoom, 3)
        write(path, tile(sheet.clamp(-1, 1), len(rows) // len(truth), gap=2))
        print(path)


def figure(args: argparse.Namespace) -> None:
    """Write a figure of two digits that no setting was chosen on: measured, answers and truth for each task."""
    model, (truth, labels) = s2id.load(args.weights), test_pictures(argparse.Namespace(data=args.data, count=1002))
    truth, labels = truth[1000:], labels[1000:]
    sheets = []
    for task in TASKS:
        seeds = 4 if task == "super" else 6
        found, _ = restored(argparse.Namespace(**{**vars(args), "seeds": seeds}), model, task, truth, labels)
        rows, names = [], ["seen", "bicubic", "upscale"] if task == "super" else ["seen"]
        for x, some in zip(truth, found, strict=True):
            if task == "super":
                low = resize(x[None], LOW)[0]
                large = low.repeat_interleave(4, 1).repeat_interleave(4, 2)
                shown = [large, bicubic(low), s2id.upscale(model, low, SIZE)]
            else:
                shown = [torch.where(hole(), x, 0.0)]
            rows += [*shown, *some, some.mean(0), 2 * some.std(0, correction=1) - 1, x]
        names += [*(f"answer {i}" for i in range(seeds)), "mean", "std", "truth"]
        sheets.append((names, torch.stack(rows)))
    zoom, gap, head = 3, 4, 22
    pitch = zoom * SIZE[1] + gap
    columns = len(sheets[0][0])
    picture = Image.new("L", (columns * pitch - gap, len(sheets) * (len(truth) * pitch + head)), 255)
    draw, top = ImageDraw.Draw(picture), 0
    for names, looks in sheets:
        for i, name in enumerate(names):
            draw.text((i * pitch + 2, top + 5), name, fill=80, font_size=13)
        for i, one in enumerate(looks):
            part = to_pillow(to_bytes(one)).resize((zoom * SIZE[1], zoom * SIZE[0]), Image.Resampling.NEAREST)
            picture.paste(part, (i % columns * pitch, top + head + i // columns * pitch))
        top += head + len(truth) * pitch
    picture.save(args.out / "restore.png", optimize=True)
    print(args.out / "restore.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=(*TASKS, "pictures", "figure"))
    parser.add_argument("--weights", default="mnist")
    parser.add_argument("--data", type=Path, default=Path("data/mnist"))
    parser.add_argument("--out", type=Path, default=Path("out/restore"))
    parser.add_argument("--count", type=int, help="test pictures; 1000, or 8 to show")
    parser.add_argument("--seeds", type=int, default=8, help="answers to each")
    parser.add_argument("--batch", type=int, default=4, help="pictures at once")
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--sampler", default="dpmpp")
    parser.add_argument("--eta", type=float, default=0.0, help="fresh noise, with ddim")
    parser.add_argument("--restarts", type=int, default=0, help="how often an answer is solved anew")
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--labelled", action="store_true", help="tell the model the true class")
    parser.add_argument("--seed", type=int, default=0, help="of the noise that is added")
    parser.add_argument("--zoom", type=int, default=2)
    args = parser.parse_args()
    args.count = args.count or (8 if args.task == "pictures" else 1000)
    keep_memory()
    writable(args.out)
    if args.task == "pictures":
        pictures(args)
    elif args.task == "figure":
        figure(args)
    else:
        judge(args)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
