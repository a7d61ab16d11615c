"""Compare ways to enlarge drawings: interpolation, tools that people use, a plain network of one scale, and a model.

    python runs/upscalers.py DATA [--count 48] [--model MODEL] [--yardstick FILE] [--peers bicubic hqx ...]
    python runs/upscalers.py DATA --text FONTS [--model MODEL]
    python runs/upscalers.py DATA --photographs FOLDER [--model MODEL]

DATA holds drawings as runs/graphics_data.py makes them; those that training held out are shown over white at `--side`
pixels and enlarged. Peers are Python packages (the extra `peers`; those with ncnn need Debian's libomp5 and
libvulkan1, Real-ESRGAN also mesa-vulkan-drivers) and two models of UpscalerJS (`--upscalerjs`, the folder that
runs/upscalerjs.cjs says how to make). FILE is written by runs/yardstick.py. What they draw is kept in the
folder `--keep`, with its time, so a later run adds a way without running the others again. With --text, lines in fonts
that training held out are enlarged four times and read by tesseract (Debian).
"""

import argparse
import difflib
import hashlib
import math
import random
import subprocess
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from graphics_data import Outlines
from jaxtyping import Float
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor
from upscaling_ways import BICUBIC, Upscaler, interpolation, once, own, peers
from yardstick import yardstick

from s2id.data.drawings import raster
from s2id.data.fonts import font_files, held_out
from s2id.data.registry import load_pictures
from s2id.evaluation.edges import edge_width
from s2id.evaluation.image_metrics import psnr, ssim
from s2id.evaluation.report import markdown
from s2id.media.alpha import over
from s2id.media.images import read, resize, to_bytes, to_float, to_pillow

TIMES = (2, 3, 4, 8)

FINE = 512
"""Pixels along a side of the drawings as training has them; a given picture covers this many by whole pixels."""

SLOW = ("realesrgan-video", "realesrgan-anime", "esrgan-thick")
"""Ways that take many seconds for a picture and get only some of them."""

_EXACT = 60.0
"""PSNR in dB of what cannot be told from the truth, at most."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--few", type=int, default=4, help="pictures for slow ways")
    parser.add_argument("--side", type=int, default=64, help="pixels along a side of the given pictures")
    parser.add_argument("--times", type=int, nargs="+", default=TIMES)
    parser.add_argument("--peers", nargs="*", default=["bicubic", "lanczos", "hqx", "waifu2x", "realcugan", "vtracer"])
    parser.add_argument("--upscalerjs", type=Path, help="folder of the packages of UpscalerJS")
    parser.add_argument("--keep", type=Path, help="folder for what is drawn")
    parser.add_argument("--model")
    parser.add_argument("--yardstick", type=Path)
    parser.add_argument("--text", type=Path, help="folder of fonts")
    parser.add_argument("--photographs", type=Path, help="folder of photographs, enlarged in place of drawings")
    args = parser.parse_args()
    ways = {name: once(peers(args.upscalerjs)[name]) for name in args.peers}
    ways |= {"yardstick": yardstick(args.yardstick)} if args.yardstick else {}
    ways |= {"s2id": own(args.model)} if args.model else {}
    if args.text:
        found = [text_row(name, way, args.text, args.few if name in SLOW else args.count) for name, way in ways.items()]
        show([text_row("truth", None, args.text, args.count), *found])
        return
    truths = photographs(args.photographs) if args.photographs else held_out_pictures(args.data, args.count)
    for times in args.times:
        print(f"\n{times} times\n")
        show(rows(ways, truths, times, args))


def show(table: list[dict[str, Any]]) -> None:
    """Print a table."""
    print(markdown([*table[0]], [[str(value) for value in row.values()] for row in table]), flush=True)


def held_out_pictures(data: Path, count: int) -> list[Float[Tensor, "3 h w"]]:
    """Pictures over white, evenly spread over those that training held out, on a square of `FINE` pixels a side."""
    # small: only those that are shown are drawn finely
    pictures = load_pictures("vectors", data, "test", FINE // 8, alpha="keep")
    places = [(group, i) for group in pictures.groups for i in range(len(group.labels))]
    chosen = [places[k * len(places) // count] for k in range(min(count, len(places)))]
    found = []
    for group, i in chosen:
        height, width = (8 * side for side in group.images.shape[2:])
        assert group.truth is not None, "a drawing is known at every size"
        shown = over(group.truth(i, (height, width)), "white")
        canvas = torch.ones(3, FINE, FINE)
        top, left = ((FINE - side) // 2 for side in shown.shape[1:])
        canvas[:, top : top + shown.shape[1], left : left + shown.shape[2]] = shown
        found.append(canvas)
    return found


def photographs(folder: Path) -> list[Float[Tensor, "3 h w"]]:
    """The photographs of a folder, whose sides are cut to multiples of all numbers of times."""
    whole = [to_float(read(file, 3)) for file in sorted(folder.rglob("*.png"))]
    least = math.lcm(*TIMES)
    return [one[:, : one.shape[1] // least * least, : one.shape[2] // least * least] for one in whole]


def rows(
    ways: dict[str, Upscaler], truths: list[Float[Tensor, "3 h w"]], times: int, args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Means over pictures: PSNR and its gain over bicubic, SSIM, width of edges over the truth's, processor seconds."""
    table = []
    fine, given = zip(*(seen(truth, times, args) for truth in truths), strict=True)
    bicubic = interpolation(BICUBIC)
    reference = [likeness(bicubic(one, times), truth) for one, truth in zip(given, fine, strict=True)]
    for name, way in ways.items():
        few = range(0, len(fine), max(1, len(fine) // args.few) if name in SLOW else 1)
        scores = []
        for i in few:
            keep = args.keep / name if args.keep and name in args.peers else None  # networks change, tools do not
            found, seconds = enlarged(way, given[i], times, keep)
            if found is None:
                break
            scores.append([*score(found, fine[i], times), seconds])
        if not scores:
            continue
        all_ = torch.tensor(scores)
        gain = all_[:, 0] - torch.tensor([reference[i] for i in few])
        mean = all_.nanmean(0)
        table.append(
            {
                "way": name,
                "n": len(scores),
                "PSNR, dB": f"{mean[0]:.2f}",
                "over bicubic": f"{gain.mean():+.2f}",
                "worst": f"{gain.min():+.2f}",
                "SSIM": f"{mean[1]:.4f}",
                "edge width over truth's": f"{mean[2]:.2f}",
                "seconds": f"{mean[3]:.2f}",
            }
        )
    return table


def seen(
    truth: Float[Tensor, "3 h w"], times: int, args: argparse.Namespace
) -> tuple[Float[Tensor, "1 3 h2 w2"], Image.Image]:
    """The truth at so many times the size of the given picture, and the given picture: a photograph's is that small."""
    size = (truth.shape[1] // times, truth.shape[2] // times) if args.photographs else (args.side, args.side)
    return resize(truth, (size[0] * times, size[1] * times))[None], to_pillow(to_bytes(resize(truth, size)))


def score(found: Image.Image, truth: Float[Tensor, "1 3 h w"], times: int) -> list[float]:
    """PSNR, SSIM and the width of edges over the truth's."""
    drawn = pixels(found)
    width = edge_width(drawn, times) / edge_width(truth, times)
    return [likeness(found, truth), float(ssim(drawn, truth)), float(width)]


def likeness(found: Image.Image, truth: Float[Tensor, "1 3 h w"]) -> float:
    """PSNR in dB."""
    return float(psnr(pixels(found), truth).clamp(max=_EXACT))


def pixels(picture: Image.Image) -> Float[Tensor, "1 3 h w"]:
    """A picture's values in [-1, 1]."""
    return to_float(torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1))[None]


def enlarged(way: Upscaler, given: Image.Image, times: int, keep: Path | None) -> tuple[Image.Image | None, float]:
    """What a way draws, and how many processor seconds it took; what was kept is not drawn again."""
    name = hashlib.sha256(given.tobytes()).hexdigest()[:16]
    file = keep and keep / f"{times}-{name}.png"
    if file and file.exists():
        with Image.open(file) as image:
            return image.convert("RGB"), float(image.info["seconds"])
    before = spent()
    found = way(given, times)
    seconds = spent() - before
    if file and found is not None:
        beside = PngInfo()
        beside.add_text("seconds", f"{seconds:.3f}")
        file.parent.mkdir(parents=True, exist_ok=True)
        found.save(file, pnginfo=beside)
    return found, seconds


def spent() -> float:
    """Seconds of the processor that this process and those that it started have used."""
    others = (child.cpu_times() for child in psutil.Process().children(recursive=True))
    return time.process_time() + sum(child.user + child.system for child in others)


def text_row(name: str, way: Upscaler | None, fonts: Path, count: int) -> dict[str, Any]:
    """Share of the characters that tesseract reads right in enlarged lines of text of 10 to 16 pixels.

    Without a way, the lines are drawn four times as large, which is the truth.
    """
    chance = random.Random("text")
    files = [file for file in font_files(fonts) if held_out(file)]
    right = total = 0
    while total < 20 * count:
        line = " ".join(chance.choice(WORDS) for _ in range(4))
        high = chance.randrange(10, 17)
        font = chance.choice(files)
        large = way(text_picture(font, line, high), 4) if way else text_picture(font, line, 4 * high)
        assert large is not None, f"{name} does not enlarge four times"
        read = tesseract(large)
        match = difflib.SequenceMatcher(None, line, read, autojunk=False)
        right, total = right + sum(block.size for block in match.get_matching_blocks()), total + len(line)
    return {"way": name, "characters": total, "read right": f"{100 * right / total:.1f} %"}


WORDS = (
    "quick brown foxes jump over lazy dogs while five boxing wizards pack my box with dozen liquor jugs How vexingly "
    "daft zebras Sphinx of black quartz judge Bright vixens Waltz nymph for Jackdaws love big"
).split()
"""Words with every letter of the alphabet."""


def text_picture(font: Path, line: str, high: int) -> Image.Image:
    """A line of black text on white, whose font is so many pixels high."""
    glyphs = Outlines(font)
    wide = glyphs.wide(line, high) + 2 * high
    body = f'<path transform="translate({high} {1.5 * high})" d="{glyphs.line(line, high)}"/>'
    size = 2 * high + high // 2, int(wide)
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[1]} {size[0]}">{body}</svg>'
    return to_pillow(to_bytes(over(raster(svg.encode(), font.name, size, size), "white").expand(3, -1, -1)))


def tesseract(picture: Image.Image) -> str:
    """The line of text that tesseract reads."""
    file = BytesIO()
    picture.save(file, "PNG")
    words = ["tesseract", "stdin", "stdout", "--psm", "7", "-l", "eng"]
    return subprocess.run(words, input=file.getvalue(), capture_output=True, check=True).stdout.decode().strip()


if __name__ == "__main__":
    main()
