"""What a model invents, beside the one result of another: is it as crisp as the truth, and as unlike it as it says?

    python runs/invent.py DATA graphics-invent [--beside graphics] [--count 24] [--times 4 8] [--sheet FONTS]

DATA is that of runs/upscalers.py, and so are the drawings. Rows: the one result, a single draw, and the mean of
`--draws`. *error* is the root mean square difference from the truth, of [-1, 1]; *says* is what the draws say that it
is: their standard deviation, times the root of (1 + 1 / n) for the mean of n, and of 2 for a single one. *gradient* is
the root mean square difference of neighbouring pixels over the truth's. The sheet shows parts: given, the one result,
three draws, the mean of eight, the truth.
"""

import argparse
import math
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from upscalers import held_out_pictures, pixels, show, text_picture
from upscaling_pictures import PART, SHOWN, SIDE, TIMES, keep, liveliest

import s2id
from s2id.data.fonts import font_files, held_out
from s2id.evaluation.image_metrics import psnr
from s2id.media.images import resize, to_bytes, to_float, to_pillow
from s2id.memory import keep_memory


def gradient(picture: Tensor) -> float:
    """Root mean square difference of neighbours along y and along x."""
    return math.sqrt(sum(float(picture.diff(dim=axis).square().mean()) for axis in (1, 2)) / 2)


def rows(invents: s2id.S2ID, one: s2id.S2ID, truths: list[Tensor], times: int, draws: int) -> list[dict[str, object]]:
    """Means over drawings of each way's columns."""
    size = (SIDE * times, SIDE * times)
    columns: dict[str, list[list[float]]] = {"one result": [], "a draw": [], f"mean of {draws}": []}
    for truth in truths:
        fine, given = resize(truth, size), to_float(to_bytes(resize(truth, (SIDE, SIDE))))
        made = torch.stack([s2id.upscale(invents, given, size, seed=seed) for seed in range(draws)])
        spread = float(made.var(0).mean())
        bicubic = psnr(F.interpolate(given[None], size, mode="bicubic").clamp(-1, 1), fine[None])
        ways = {
            "one result": (s2id.upscale(one, given, size), math.nan),
            "a draw": (made[0], 2 * spread),
            f"mean of {draws}": (made.mean(0), (1 + 1 / draws) * spread),
        }
        for name, (found, said) in ways.items():
            error = float((found - fine).square().mean())
            gain = float(psnr(found[None], fine[None]).clamp(max=60) - bicubic)
            columns[name].append([gain, error, said, gradient(found) / gradient(fine)])
    table: list[dict[str, object]] = []
    for name, scores in columns.items():
        gain, error, said, steep = torch.tensor(scores, dtype=torch.float64).mean(0).tolist()
        table.append(
            {
                "way": name,
                "n": len(scores),
                "over bicubic, dB": f"{gain:+.2f}",
                "error": f"{error**0.5:.4f}",
                "says": "" if math.isnan(said) else f"{said**0.5:.4f}",
                "gradient": f"{steep:.3f}",
            }
        )
    return table


def parts(
    invents: s2id.S2ID, one: s2id.S2ID, small: Tensor, truth: Tensor, place: tuple[int, int]
) -> list[Image.Image]:
    """A row of the sheet: a part of a picture at `TIMES` times, with its top left corner."""
    size = small.shape[1] * TIMES, small.shape[2] * TIMES
    made = torch.stack([s2id.upscale(invents, small, size, seed=seed) for seed in range(8)])
    nearest = small.repeat_interleave(TIMES, 1).repeat_interleave(TIMES, 2)
    top, left, side = TIMES * place[0], TIMES * place[1], TIMES * PART
    looks = [nearest, s2id.upscale(one, small, size), *made[:3], made.mean(0), truth]
    cut = [to_pillow(to_bytes(look[:, top : top + side, left : left + side])) for look in looks]
    return [part.resize((side * SHOWN, side * SHOWN), Image.Resampling.NEAREST) for part in cut]


def drawing(truth: Tensor) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """A drawing as it is given, the truth, and where it varies most."""
    small = to_float(to_bytes(resize(truth, (SIDE, SIDE))))
    return small, resize(truth, (SIDE * TIMES, SIDE * TIMES)), liveliest(small)


def line(font: Path) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """A line of text as it is given, the truth, and the place of its beginning."""
    small, large = (pixels(text_picture(font, "Judge vexes", high))[0] for high in (12, 12 * TIMES))
    return small, large, (4, 12)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("model")
    parser.add_argument("--beside", default="graphics")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--times", type=int, nargs="+", default=(4, 8))
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--sheet", type=Path, help="fonts, of which held-out ones are shown in docs/images")
    args = parser.parse_args()
    keep_memory()
    invents, one = s2id.load(args.model), s2id.load(args.beside)
    truths = held_out_pictures(args.data, args.count)
    for times in args.times:
        print(f"\n{times} times\n")
        show(rows(invents, one, truths, times, args.draws))
    if args.sheet:
        fonts = [file for file in font_files(args.sheet) if held_out(file)][7::20]
        shown = [*map(drawing, truths[3::6]), *map(line, fonts[:2])]
        heads = ["given", "graphics", "seed 0", "seed 1", "seed 2", "mean of 8", "truth"]
        keep("upscale-invent.png", [parts(invents, one, *each) for each in shown], heads)


if __name__ == "__main__":
    main()
