"""The pictures of README and docs: one seed at many sizes, a sheet of digits, a zoom.

python runs/pictures.py [WEIGHTS] [--out docs/images]
"""

import argparse
from pathlib import Path

import torch
from PIL import Image, ImageDraw

import s2id
from s2id.images import tile, to_bytes, to_pillow
from s2id.settings import Size, Window

INK, GAP, CAPTION = 40, 12, 48  # a page shows the strip at a third of its width


def strip(field: s2id.Field, looks: list[tuple[str, Size, Window | None]]) -> Image.Image:
    """Pictures of one field side by side, each rendered at its own size and shown 448 pixels high, with a caption."""
    height = 448
    tiles = []
    for caption, size, window in looks:
        picture = field.image(size, window)
        width = round(height * size[1] / size[0])
        tiles.append(
            (
                caption,
                picture.resize(
                    (width, height), Image.Resampling.NEAREST if size[0] < height else Image.Resampling.LANCZOS
                ),
            )
        )
    sheet = Image.new("L", (sum(t.width + GAP for _, t in tiles) - GAP, height + CAPTION + 20), 255)
    draw, left = ImageDraw.Draw(sheet), 0
    for caption, picture in tiles:
        sheet.paste(picture, (left, 0))
        draw.text((left + 4, height + 6), caption, fill=INK, font_size=CAPTION)
        left += picture.width + GAP
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", nargs="?", default="mnist")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    model = s2id.load(args.weights)
    field = s2id.sample(model, 7, seed=0)
    zoom = (532 / 1024, 647 / 1024, 548 / 1024, 663 / 1024)  # at the edge of a stroke
    strip(
        field,
        [
            ("14 x 14", (14, 14), None),
            ("28 x 28", (28, 28), None),
            ("61 x 37", (61, 37), None),
            ("1024 x 1024", (1024, 1024), None),
            ("1024 x 576", (1024, 576), None),
            ("its top right", (512, 512), (0.25, 0.625, 0.5, 0.875)),
            ("zoom 64x, an edge", (512, 512), zoom),
        ],
    ).save(args.out / "one-seed.png", optimize=True)
    for guidance in (1.0, 1.5):
        labels = [label for label in range(10) for _ in range(16)]
        fields = s2id.sample(model, labels, list(range(16)) * 10, guidance=guidance)
        sheet = tile(fields.render((56, 56)), 16, gap=2)
        to_pillow(to_bytes(sheet)).save(args.out / f"digits-guidance{guidance:g}.png", optimize=True)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
