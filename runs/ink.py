"""Sharpness of a model of MNIST: edges and waviness of its digits, and glyphs of held-out fonts against their truth.

    s2id train mnist --init MODEL --data DATA --set finer=ink:FONTS --set detail-density=28 --out out/ink
    python runs/ink.py out/ink --data DATA --fonts FONTS

Digits are composed at guidance 1, classes in turn. The glyphs are the digits of fonts that the data set `ink` holds
out, framed as MNIST's: their 28x28 rasters go in, and what one call reads, and what `s2id upscale` makes of it, is held
against the true raster at 8 times the density. MNIST's own test digits are read as well; they have no truth but their
pixels, whose means the function must have. All values are medians, but PSNR is a mean; widths and waves are in pixels
of 28x28.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

import s2id
from s2id.data.registry import load_pictures
from s2id.evaluation.edges import edge_width, waviness
from s2id.evaluation.image_metrics import psnr
from s2id.evaluation.report import markdown
from s2id.inverse.consistent import consistent
from s2id.inverse.restore import reconstructed
from s2id.media.images import resize, tile, to_bytes, to_float, to_pillow
from s2id.memory import keep_memory

SEEN, TIMES, LARGE = 28, 8, 1024


def row(name: str, pictures: Tensor, true: Tensor | None = None, seen: Tensor | None = None) -> list[object]:
    """What is measured of some pictures, beside their truth and the pixels that they were read from."""
    pixel = pictures.shape[-1] / SEEN
    small = resize(pictures, (SEEN, SEEN))
    return [
        name,
        edge_width(pictures, pixel).nanmedian().item(),
        waviness(pictures, pixel).nanmedian().item(),
        None if true is None else round(psnr(pictures, true).mean().item(), 2),
        None if seen is None else round(psnr(small, seen).mean().item(), 1),
    ]


def bicubic(small: Tensor) -> Tensor:
    return F.interpolate(small, scale_factor=TIMES, mode="bicubic").clamp(-1, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--fonts", type=Path, default=Path("data"))
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument(
        "--out", type=Path, default=Path("out/ink.png"), help="picture of the digits, and parts of them"
    )
    args = parser.parse_args()
    keep_memory()
    model, side = s2id.load(args.weights), (SEEN * TIMES, SEEN * TIMES)
    glyphs, digits = (
        load_pictures(name, folder, "test").groups[0] for name, folder in (("ink", args.fonts), ("mnist", args.data))
    )
    chosen = torch.randperm(len(glyphs.labels), generator=torch.Generator().manual_seed(0))[: args.count]
    assert glyphs.truth is not None  # fonts have one
    true = torch.stack([glyphs.truth(int(index), side) for index in chosen])
    seen, hand = to_float(glyphs.images[chosen]), to_float(digits.images[: args.count])
    drawn = s2id.sample(model, [i % 10 for i in range(args.count)], range(args.count), guidance=1.0)
    large = torch.cat([one.render((LARGE, LARGE)) for one in drawn])
    read, read_hand = (reconstructed(model, small).render(side).clamp(-1, 1) for small in (seen, hand))
    rows = [
        row(f"{args.weights}: digits at {LARGE}", large),
        row("MNIST read", read_hand, seen=hand),
        row("MNIST, bicubic", bicubic(hand)),
        row("glyphs read", read, true, seen),
        row("glyphs, upscale", consistent(read, seen), true, seen),
        row("glyphs, bicubic", bicubic(seen), true),
        row("glyphs, truth", true),
    ]
    print(markdown(["pictures", "edge width", "waviness", "PSNR to truth", "PSNR at 28"], rows))
    part = slice(LARGE * 3 // 8, LARGE * 5 // 8)
    looks = [resize(large[:12], (256, 256)), large[:12, :, part, part]]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    to_pillow(to_bytes(tile(torch.cat(looks), 6))).save(args.out)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
