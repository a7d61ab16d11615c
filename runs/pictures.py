"""The pictures of README and docs: one function at several sizes above ten digits, and two sheets of digits.

    python runs/pictures.py [--weights mnist] [--out docs/images]

The first picture shows, of each class, the first seed whose digit is whole: none of its ink reaches the frame's border.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch.nn import functional as F

import s2id
from s2id.media.images import tile, to_bytes, to_pillow
from s2id.settings import Window

INK, GAP, CAPTION, HEIGHT = 40, 12, 40, 448  # a page shows the picture at about a third of its width
SHOWN = 3  # the class whose function is shown at several sizes


def whole_digit(model: s2id.S2ID, label: int, border: int = 2) -> s2id.Field:
    """The field of the first seed whose digit keeps clear of the border, in training pixels."""
    for first in range(0, 40, 8):
        fields = s2id.sample(model, label, range(first, first + 8), guidance=1.0)
        ink = (fields.render((28, 28)) + 1) / 2
        inside = ink[..., border:-border, border:-border].sum((1, 2, 3))
        whole = ink.sum((1, 2, 3)) - inside < 0.5
        if whole.any():
            return fields[int(whole.nonzero()[0])]
    raise SystemExit(f"no whole {label} among forty seeds.")


def busiest_window(field: s2id.Field, parts: int = 8) -> Window:
    """The window of a quarter of the frame's side, on a grid of eighths, with the most edge in it."""
    picture = field.render((256, 256))
    edge = picture.diff(dim=2)[..., :-1].abs() + picture.diff(dim=3)[:, :, :-1].abs()
    step = 256 // parts
    sums = F.avg_pool2d(F.pad(edge, (0, 1, 0, 1)), 2 * step, step)[0, 0]
    top, left = divmod(int(sums.argmax()), sums.shape[1])
    return top / parts, left / parts, (top + 2) / parts, (left + 2) / parts


def row(tiles: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Pictures of one height side by side, with captions below those that have one."""
    height = max(picture.height for _, picture in tiles)
    caption = CAPTION + 20 if any(text for text, _ in tiles) else 0
    sheet = Image.new("L", (sum(t.width + GAP for _, t in tiles) - GAP, height + caption), 255)
    draw, left = ImageDraw.Draw(sheet), 0
    for text, picture in tiles:
        sheet.paste(picture, (left, 0))
        draw.text((left + 4, height + 6), text, fill=INK, font_size=CAPTION)
        left += picture.width + GAP
    return sheet


def first_picture(model: s2id.S2ID) -> Image.Image:
    """One function at several sizes beside its bicubic enlargement, and a whole digit of every class below."""
    digits = [whole_digit(model, label) for label in range(10)]
    field = digits[SHOWN]
    small = field.image((28, 28))
    tall = field.image((1024, 576)).resize((round(HEIGHT * 576 / 1024), HEIGHT), Image.Resampling.LANCZOS)
    top = row(
        [
            ("28x28 pixels", small.resize((HEIGHT, HEIGHT), Image.Resampling.NEAREST)),
            ("28x28, bicubic", small.resize((HEIGHT, HEIGHT), Image.Resampling.BICUBIC)),
            ("1024x1024", field.image((1024, 1024)).resize((HEIGHT, HEIGHT), Image.Resampling.LANCZOS)),
            ("1024x576", tall),
            ("4x zoom", field.image((HEIGHT, HEIGHT), busiest_window(field))),
        ]
    )
    side = (top.width - 9 * GAP) // 10
    below = row(
        [("", one.image((4 * side, 4 * side)).resize((side, side), Image.Resampling.LANCZOS)) for one in digits]
    )
    sheet = Image.new("L", (top.width, top.height + below.height), 255)
    sheet.paste(top, (0, 0))
    sheet.paste(below, (0, top.height))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="mnist")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    model = s2id.load(args.weights)
    first_picture(model).save(args.out / "one-seed.png", optimize=True)
    for guidance in (1.0, 1.5):
        labels = [label for label in range(10) for _ in range(16)]
        fields = s2id.sample(model, labels, list(range(16)) * 10, guidance=guidance)
        sheet = tile(fields.render((56, 56)), 16, gap=2)
        to_pillow(to_bytes(sheet)).save(args.out / f"digits-guidance{guidance:g}.png", optimize=True)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
