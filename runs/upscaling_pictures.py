"""The pictures of docs/upscale.md: held-out drawings beside what peers make of them, and pictures that people meet.

    python runs/upscaling_pictures.py DATA FONTS [--model graphics] [--keep FOLDER]

DATA, FONTS and FOLDER are as for runs/upscalers.py. Nothing is picked by hand: every sixth of 24 held-out drawings is
shown, and of each the part that varies most.
"""

import argparse
import io
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F
from upscalers import enlarged, held_out_pictures, text_picture
from upscaling_ways import BICUBIC, Upscaler, interpolation, once, own, peers

import s2id
from s2id.data.fonts import font_files, held_out
from s2id.media.alpha import over, premultiply
from s2id.media.images import resize, to_bytes, to_float, to_pillow

IMAGES = Path(__file__).parent.parent / "docs" / "images"

SIDE, PART, TIMES, SHOWN = 64, 22, 4, 2
"""Pixels of a given drawing and of the part that is shown, how often it is enlarged, and pixels that show one."""

NAMES = {"bicubic": "bicubic", "waifu2x": "waifu2x", "realcugan": "Real-CUGAN"}

SPRITE = """
................ .....oooooo..... ...oo......oo... ..o..yyyyyy..o.. .o..yyyyyyyy..o. .o.yykyyyykyy.o.
o..yykyyyykyy..o o..yyyyyyyyyy..o o..yyyyyyyyyy..o o..yrryyyyrry..o .o.yyrrrrrryy.o. .o..yyrrrryy..o.
..o..yyyyyy..o.. ...oo......oo... .....oooooo..... ................
""".split()

COLOURS = {".": (90, 160, 250), "o": (40, 30, 60), "y": (250, 210, 60), "k": (20, 20, 20), "r": (200, 40, 60)}


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("fonts", type=Path)
    parser.add_argument("--model", default="graphics")
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    truths = held_out_pictures(args.data, 24)[3::6]
    way = own(args.model)
    keep("upscale.png", [*beside(truths, way, args.keep)], ["given", *NAMES.values(), "S2ID", "truth"])
    keep("upscale-met.png", [*met(truths[0], args.fonts, args.model)], ["given", "bicubic", "S2ID"])


def beside(truths: list[Float[Tensor, "3 h w"]], own_way: Upscaler, folder: Path | None) -> list[list[Image.Image]]:
    """A row for each drawing: the part that varies most, as given, by each way, and true."""
    ways, rows = {name: once(peers(Path())[name]) for name in NAMES}, []
    for truth in truths:
        given, fine = resize(truth, (SIDE, SIDE)), resize(truth, (SIDE * TIMES, SIDE * TIMES))
        small = to_pillow(to_bytes(given))
        made = [enlarged(way, small, TIMES, folder and folder / name)[0] for name, way in ways.items()]
        looks = [small.resize((SIDE * TIMES, SIDE * TIMES), 0), *made, own_way(small, TIMES), to_pillow(to_bytes(fine))]
        top, left = liveliest(given)
        box = (TIMES * left, TIMES * top, TIMES * (left + PART), TIMES * (top + PART))
        side = PART * TIMES * SHOWN
        rows.append([look.crop(box).resize((side, side), 0) for look in looks if look is not None])
    return rows


def liveliest(given: Float[Tensor, "3 h w"]) -> tuple[int, int]:
    """Top and left of the part that varies most."""
    mean, square = (F.avg_pool2d(values, PART, 1) for values in (given, given.square()))
    place = int((square - mean.square()).sum(0).argmax())
    return place // (SIDE - PART + 1), place % (SIDE - PART + 1)


def met(truth: Float[Tensor, "3 h w"], fonts: Path, model: str) -> list[list[Image.Image]]:
    """Rows of pictures that people meet: text, a JPEG, transparency over black, pixel art."""
    chosen = [file for file in font_files(fonts) if held_out(file)][7::20]
    text = Image.new("RGB", (112, 104), "white")
    for i, font in enumerate(chosen[:4]):
        text.paste(text_picture(font, "Judge vexes", 11 + i), (0, -6 + 26 * i))
    drawing = to_pillow(to_bytes(resize(truth, (80, 80))))
    file = io.BytesIO()
    drawing.save(file, "JPEG", quality=75)
    sprite = Image.fromarray(np.array([[COLOURS[one] for one in row] for row in SPRITE], np.uint8))
    upscaler = s2id.load(model)

    def row(given: Image.Image, times: int, exact: bool = True) -> list[Image.Image]:
        size = given.width * times, given.height * times
        picture = premultiply(to_float(torch.from_numpy(np.array(given)).movedim(-1, 0)))
        found = s2id.upscale(upscaler, picture, (size[1], size[0]), exact=exact)
        looks = [given.resize(size, 0), interpolation(BICUBIC)(given, times), to_pillow(to_bytes(over(found, "black")))]
        return [over_black(look) for look in looks]

    clear = disc()
    return [row(text, 4), row(Image.open(file).convert("RGB"), 4, exact=False), row(clear, 8), row(sprite, 16)]


def over_black(picture: Image.Image) -> Image.Image:
    """The picture over black, if it has alpha."""
    return (
        picture.convert("RGB")
        if picture.mode != "RGBA"
        else Image.alpha_composite(Image.new("RGBA", picture.size, "black"), picture).convert("RGB")
    )


def disc() -> Image.Image:
    """A ring and a bar of 40 x 40 pixels, transparent around."""
    large = Image.new("RGBA", (640, 640))
    draw = ImageDraw.Draw(large)
    draw.ellipse((60, 60, 580, 580), outline=(30, 160, 120, 255), width=70)
    draw.line((120, 560, 540, 90), fill=(240, 180, 40, 255), width=60)
    return large.convert("RGBa").reduce(16).convert("RGBA")


def keep(name: str, rows: list[list[Image.Image]], heads: list[str]) -> None:
    """Write rows of pictures with a line of heads above them."""
    gap, line, font = 6, 24, ImageFont.load_default(16)
    width = max(look.width for row in rows for look in row) + gap
    sheet = Image.new("RGB", (width * len(heads) - gap, line + sum(row[0].height + gap for row in rows) - gap), "white")
    draw, y = ImageDraw.Draw(sheet), line
    for i, head in enumerate(heads):
        draw.text((i * width + 2, 2), head, fill="black", font=font)
    for row in rows:
        for i, look in enumerate(row):
            sheet.paste(look, (i * width, y))
        y += row[0].height + gap
    sheet.quantize(200, dither=Image.Dither.NONE).save(IMAGES / name, optimize=True)
    print(IMAGES / name, (IMAGES / name).stat().st_size)


if __name__ == "__main__":
    main()
