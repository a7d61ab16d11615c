"""Measure how well frames of a moving camera are fused: digits and drawings with a known truth, and real sequences.

Half the frames of a real sequence are fused, and the result predicts the other half.

python runs/depixelate.py digits [--count 500] [--set mnist] [--weights mnist --seeds 4]   # or --set glyphs
python runs/depixelate.py drawings DATA [--count 12] [--weights graphics]   # DATA of runs/graphics_data.py
python runs/depixelate.py real FOLDER [--out out/depixelate]      # FOLDER of .npz files with an array "frames"
"""

import argparse
import json
import resource
import time
from pathlib import Path

import torch
from torch.nn import functional as F

import s2id
from s2id.data.registry import load_pictures
from s2id.errors import InputError
from s2id.evaluation import image_metrics
from s2id.inverse.alignment import agreeing, refine
from s2id.inverse.frames import read_frames
from s2id.inverse.fusion import FramesOperator, fuse
from s2id.inverse.motion import register
from s2id.media.images import resize, to_float, write

FACTOR, NOISE = 4, 0.02  # noise: std of a frame's pixel in [-1, 1]
SEQUENCES = ("text", "eia_lr", "disk", "alpaca")


def shift_and_add(frames, shifts, size):
    """The picture in which every sample is the mean of the pixels that cover it, weighted by the area they cover."""
    operator, y = FramesOperator(tuple(frames.shape[2:]), shifts, size), frames.movedim(1, 0)[None]
    seen = operator.transpose(torch.ones_like(y[:, :1]))
    canvas = torch.where(seen > 1e-6, operator.transpose(y) / seen.clamp(min=1e-6), y.mean())
    return operator.crop(canvas)[0]


def bicubic(frame, size):
    return F.interpolate(frame[None], size, mode="bicubic").clamp(-1, 1)[0]


def psnr(found, truth):
    return image_metrics.psnr(found.clamp(-1, 1)[None], truth[None]).item()


def look(picture, count, generator, around=-1.0):
    """Frames of a picture on a ground, and their shifts in pixels: uniform in [-1, 1], 0 for the first frame."""
    shifts = 2 * torch.rand(count, 2, generator=generator) - 1
    shifts[0] = 0
    size = tuple(picture.shape[1:])
    operator = FramesOperator((size[0] // FACTOR, size[1] // FACTOR), shifts, size)
    canvas = F.pad(picture, (operator.margin[1],) * 2 + (operator.margin[0],) * 2, value=around)
    frames = operator(canvas[None])[0].movedim(0, 1)
    return frames + NOISE * torch.randn(frames.shape, generator=generator), shifts


def digits(args):
    pictures, size = load_pictures(args.set, args.data, "test"), (28, 28)
    model = s2id.load(args.weights, args.device) if args.weights else None
    every = to_float(pictures.groups[0].images)
    chosen = torch.linspace(0, len(every) - 1, args.count).round().long().tolist()
    table = {}
    for count in (1, 4, 16):
        sums: dict[str, list[float]] = {}
        for index in chosen:
            truth = every[index]
            frames, shifts = look(truth, count, torch.Generator().manual_seed(index))
            row = {
                "bicubic": psnr(bicubic(frames[0], size), truth),
                "shift_and_add": psnr(shift_and_add(frames, shifts, size), truth),
                "fused": psnr(fuse(frames, shifts, size, draws=1).picture, truth),
            }
            if count > 1:
                try:
                    estimated = refine(frames, register(frames)[0])
                except InputError:  # a frame was refused, so only the first frame counts
                    row["refused"] = 1.0
                    row["fused_estimated"] = psnr(fuse(frames[:1], shifts[:1], size, draws=1).picture, truth)
                else:
                    row["refused"] = 0.0
                    row["fused_estimated"] = psnr(fuse(frames, estimated, size, draws=1).picture, truth)
                    row["motion_error"] = float((estimated - shifts).norm(dim=1)[1:].mean())
                if model:
                    found = s2id.depixelate(frames, size, model=model, motion=shifts, seeds=range(args.seeds))
                    row["prior"] = psnr(found.picture, truth)
            for name, value in row.items():
                sums.setdefault(name, []).append(value)
        table[count] = {name: sum(values) / len(values) for name, values in sums.items()}
        print(f"{count:2d} frames  " + "  ".join(f"{k} {v:.2f}" for k, v in table[count].items()), flush=True)
    last = table[16]
    bars = {
        "fused >= shift_and_add + 5 dB": last["fused"] - last["shift_and_add"] >= 5,
        "fused >= bicubic + 6 dB": last["fused"] - last["bicubic"] >= 6,
        "estimated within 1.5 dB of known": last["fused"] - last["fused_estimated"] <= 1.5,
    }
    print(json.dumps({"set": args.set, "count": args.count, "noise": NOISE, "psnr": table, "bars": bars}))


def drawings(args):
    """Held-out drawings in colour, over white, from frames of 32x32 pixels to 128x128: PSNR."""
    from upscalers import held_out_pictures

    size, model = (128, 128), s2id.load(args.weights)
    truths = [resize(one, size) for one in held_out_pictures(args.data, args.count)]
    for count in (4, 9, 16):
        rows = []
        for index, truth in enumerate(truths):
            frames, shifts = look(truth, count, torch.Generator().manual_seed(index), around=1.0)
            row = {"bicubic": bicubic(frames[0], size), "shift_and_add": shift_and_add(frames, shifts, size)}
            row["one frame, model"] = s2id.upscale(model, frames[0].clamp(-1, 1), size)
            for name, motion in {"": shifts, ", motion estimated": None}.items():
                found = s2id.depixelate(frames, size, motion=motion, model=model)
                row |= {f"fused{name}": found.fused.picture, f"with the model{name}": found.picture}
            rows.append({name: psnr(found, truth) for name, found in row.items()})
            if args.out and count == 9:
                args.out.mkdir(parents=True, exist_ok=True)
                nearest = F.interpolate(frames[:1], size)[0]
                order = [nearest, row["fused, motion estimated"], row["with the model, motion estimated"], truth]
                write(args.out / f"drawing-{index}.png", side_by_side(order))
        means = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
        print(f"{count:2d} frames  " + "  ".join(f"{k} {v:.2f}" for k, v in means.items()), flush=True)


def side_by_side(parts):
    height = max(part.shape[1] for part in parts)
    gap = torch.ones(parts[0].shape[0], height, 4)
    return torch.cat([x for part in parts for x in (part, gap)][:-1], dim=2)


def real(args):
    print(f"{'sequence':10s} {'frames':>9s} {'fused':>7s} {'shift+add':>9s} {'bicubic':>7s} {'seconds':>7s} {'MB':>5s}")
    for name in args.sequences:
        frames = read_frames(args.folder / f"{name}.npz", args.most)
        h, w = frames.shape[2:]
        size = FACTOR * h, FACTOR * w
        start = time.perf_counter()
        s2id.depixelate(frames[:16], size)
        seconds = time.perf_counter() - start
        # motion, and which frames fit it, is found from all frames together and is the same for every method
        motion, used = agreeing(frames, *register(frames))
        frames, motion = frames[used], motion[used] - motion[used][0]
        even, odd = slice(0, None, 2), slice(1, None, 2)
        fused = fuse(frames[even], motion[even], size)
        found = {
            "fused": fused.picture,
            "shift_and_add": shift_and_add(frames[even], motion[even], size),
            "bicubic": bicubic(frames[0], size),
        }
        if args.weights:
            model = s2id.load(args.weights)
            found["model"] = s2id.depixelate(frames[even], size, motion=motion[even], model=model).picture
        operator = FramesOperator((h, w), motion[odd], size)
        pad = (operator.margin[1],) * 2 + (operator.margin[0],) * 2
        # pixels that look beyond the first frame's view are left out: not every method has anything there
        inside = operator(F.pad(torch.ones(1, 1, *size), pad))[0, 0] > 1 - 1e-5
        truth = frames[odd].movedim(1, 0)
        rms = {
            k: float((operator(F.pad(x[None], pad, mode="replicate"))[0] - truth)[:, inside].square().mean().sqrt())
            for k, x in found.items()
        }
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(
            f"{name:10s} {f'{len(frames)} {h}x{w}':>9s} {rms['fused']:7.4f} {rms['shift_and_add']:9.4f} "
            f"{rms['bicubic']:7.4f} {seconds:7.1f} {most:5d}" + (f" {rms['model']:7.4f}" if args.weights else ""),
            flush=True,
        )
        nearest = F.interpolate(frames[:1], size)[0]
        std = (2 * fused.uncertainty / fused.uncertainty.max() - 1).expand(len(nearest), -1, -1)
        order = [nearest, found["bicubic"], found["shift_and_add"], found["fused"], std]
        args.out.mkdir(parents=True, exist_ok=True)
        write(args.out / f"depixelate-{name}.png", side_by_side(order))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    one = kinds.add_parser("digits")
    one.add_argument("--count", type=int, default=500)
    one.add_argument("--data", type=Path)
    one.add_argument("--set", choices=("mnist", "glyphs"), default="mnist")
    one.add_argument("--weights", help="also with this model's prior")
    one.add_argument("--seeds", type=int, default=4)
    one.add_argument("--device", default="cpu")
    one.set_defaults(run=digits)
    two = kinds.add_parser("real")
    two.add_argument("folder", type=Path)
    two.add_argument("--sequences", nargs="+", default=SEQUENCES)
    two.add_argument("--most", type=int, default=32, help="frames of a sequence")
    two.add_argument("--out", type=Path, default=Path("out/depixelate"))
    two.add_argument("--weights", help="also with this model as prior; its errors come last")
    two.set_defaults(run=real)
    three = kinds.add_parser("drawings")
    three.add_argument("data", type=Path)
    three.add_argument("--count", type=int, default=12)
    three.add_argument("--weights", default="graphics")
    three.add_argument("--out", type=Path, help="folder for pictures of nine frames")
    three.set_defaults(run=drawings)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
