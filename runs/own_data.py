"""Five kinds of pictures as people have them, with truth at 16 times their size for held-out ones, for runs/own.py.

    python runs/own_data.py --npm FOLDER --fonts FOLDER --out out/own/data

--npm holds unpacked packages of `npm pack @iconify-json/NAME` (PACKAGES lists names and versions), --fonts the fonts of
the data set "glyphs". Each kind becomes a folder of PNG files to train on, OUT/KIND, and OUT/test/KIND with COUNT pairs
NAME.png and NAME.truth.png of pictures that are not in it:

    glyphs28   letters and digits, grey, a subfolder per character
    icons32    flat icons and emoji in colour, transparent ground
    icons64    the same on white
    pixel24    pixel art: icons of one-pixel squares in one of six inks and five papers, with attributes
    lines32    line drawings of thin strokes, grey

A pixel is the mean of the drawing over its square; pixel art is drawn without any smoothing. A drawing belongs to the
held-out ones by a hash of its name, which variants of a drawing share.
"""

import argparse
import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from resvg_py import svg_to_bytes

from s2id.data.registry import load_pictures
from s2id.media.images import to_bytes, to_pillow

PACKAGES = {
    "icons": ("flat-color-icons@1.2.3", "twemoji@1.2.5", "fluent-emoji-flat@1.2.6"),
    "pixel": ("pixelarticons@1.2.9", "pixel@1.2.2"),
    "lines": ("lucide@1.2.137", "tabler@1.2.41"),
}
"""Packages of @iconify-json by kind. Licences: MIT (flat-color-icons, fluent-emoji-flat, pixelarticons, tabler),
CC BY 4.0 (twemoji, pixel), ISC (lucide)."""

COUNT = 48
"""Held-out pictures of each kind."""

TIMES = 16
"""Samples of the truth per side of a pixel."""

INKS = {"black": "#1b1b1f", "red": "#d62839", "blue": "#1d5fd1", "green": "#2b9348", "purple": "#7b2cbf",
        "brown": "#7f4f24"}  # fmt: skip
PAPERS = ("#ffffff", "#ffffff", "#ffe8a3", "#bde0fe", "#ffd6e0")
"""White twice: two pictures of five have it."""

STROKE = "1.25"
"""Width of the strokes of line drawings, of a frame of 24: 1.7 pixels of 32."""

_TONES = re.compile(r"(light|medium|dark)-skin-tone|medium-light|medium-dark")


def drawings(npm: Path, packages: tuple[str, ...]) -> Iterator[tuple[str, str, int]]:
    """Name, SVG body and side of the drawings of some packages, without skin tones and hidden ones."""
    for package in packages:
        name = package.partition("@")[0]
        found = json.loads(next(npm.glob(f"*{name}-[0-9]*/icons.json")).read_text())
        side = found.get("width", found.get("height", 16))
        for icon, facts in sorted(found["icons"].items()):
            square = facts.get("width", side) == facts.get("height", found.get("height", side))
            if square and not facts.get("hidden") and not _TONES.search(icon):
                yield f"{name}-{icon}", facts["body"], facts.get("width", side)


def held_out(name: str, share: int = 16) -> bool:
    """Whether a drawing is held out, by a hash of its name without words that mark a variant of a drawing."""
    stem = re.sub(r"-(solid|filled|sharp|off|glyph|dark|light|alt|[0-9]+)\b", "", name.partition("-")[2])
    return hashlib.sha256(stem.encode()).digest()[0] % share == 0


def drawn(body: str, side: int, pixels: int, colour: str = "#000", smooth: bool = True) -> Image.Image:
    """An RGBA picture of a drawing, of `pixels` a side."""
    body = body.replace("currentColor", colour)
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}">{body}</svg>'
    data = svg_to_bytes(
        svg_string=svg,
        width=pixels,
        height=pixels,
        skip_system_fonts=True,
        shape_rendering="geometric_precision" if smooth else "crisp_edges",
    )
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGBA")


def shrunk(image: Image.Image, side: int) -> Image.Image:
    """Means over squares of a picture whose side is a multiple; colours weigh as much as they are opaque."""
    values = np.asarray(image, dtype=np.float64) / 255
    if image.mode == "RGBA":
        values = np.concatenate([values[..., :3] * values[..., 3:], values[..., 3:]], axis=-1)
    step = image.width // side
    means = values.reshape(side, step, side, step, -1).mean((1, 3))
    if image.mode == "RGBA":
        means[..., :3] /= means[..., 3:].clip(1e-9)
    return Image.fromarray((means * 255).round().clip(0, 255).astype(np.uint8).squeeze())


def over(image: Image.Image, ground: str) -> Image.Image:
    """A transparent picture on a ground."""
    return Image.alpha_composite(Image.new("RGBA", image.size, ground), image).convert("RGB")


class Kind:
    """A folder of pictures to train on, and one of held-out pictures with their truth."""

    def __init__(self, out: Path, name: str) -> None:
        self.folder, self.test = out / name, out / "test" / name
        for folder in (self.folder, self.test):
            folder.mkdir(parents=True, exist_ok=True)
        self.rows: list[dict[str, object]] = []

    def add(self, name: str, native: Image.Image, below: str = "", facts: dict[str, int] | None = None) -> None:
        """A picture to train on, with the attributes that a metadata file gives it."""
        (self.folder / below).mkdir(exist_ok=True)
        native.save(self.folder / below / f"{name}.png")
        self.rows += [{"file_name": f"{name}.png", **facts}] if facts else []

    def hold_out(self, name: str, native: Image.Image, truth: Image.Image) -> None:
        """A held-out picture; the first COUNT by the hash of their name are kept."""
        native.save(self.test / f"{name}.png")
        truth.save(self.test / f"{name}.truth.png")

    def close(self) -> None:
        """Write the metadata file, and say how many pictures there are."""
        if self.rows:
            with open(self.folder / "metadata.csv", "w", newline="") as file:
                writer = csv.DictWriter(file, list(self.rows[0]))
                writer.writeheader()
                writer.writerows(self.rows)
        count = len([*self.folder.rglob("*.png")])
        print(f"{self.folder.name}: {count} pictures, {len([*self.test.glob('*.truth.png')])} held out", flush=True)


def by_hash(names: list[str]) -> list[str]:
    """The names in an order that does not follow the alphabet, the same on every machine."""
    return sorted(names, key=lambda name: hashlib.sha256(f"order {name}".encode()).digest())


def glyphs(fonts: Path, out: Path) -> None:
    """Letters and digits: 10,000 of the train split's fonts; held out are fonts of the test split."""
    kind = Kind(out, "glyphs28")
    chance = np.random.default_rng(0)
    group = load_pictures("glyphs", fonts, "train").groups[0]
    for i in map(int, chance.permutation(len(group.labels))[:10_000]):
        kind.add(f"{i:06}", to_pillow(group.images[i]), f"{int(group.labels[i]):02}")
    group = load_pictures("glyphs", fonts, "test").groups[0]
    assert group.truth is not None
    for i in map(int, chance.permutation(len(group.labels))[:COUNT]):
        truth = group.truth(i, (28 * TIMES, 28 * TIMES))
        kind.hold_out(f"{i:06}", to_pillow(group.images[i]), to_pillow(to_bytes(truth)))
    kind.close()


def icons(npm: Path, out: Path) -> None:
    """Flat icons and emoji in colour: at 32 with their transparent ground, at 64 on white."""
    found = {name: (body, side) for name, body, side in drawings(npm, PACKAGES["icons"])}
    small, large = Kind(out, "icons32"), Kind(out, "icons64")
    names = by_hash(list(found))
    tested = {name for name in names if held_out(name)}
    kept = [name for name in names if name in tested][:COUNT]
    for name in names:
        body, side = found[name]
        if name in kept:
            truth = drawn(body, side, 64 * TIMES)
            half = shrunk(truth, 32 * TIMES)
            small.hold_out(name, shrunk(half, 32), half)
            large.hold_out(name, shrunk(over(truth, "white"), 64), over(truth, "white"))
        elif name not in tested:
            fine = drawn(body, side, 64 * 8)
            small.add(name, shrunk(fine, 32))
            large.add(name, shrunk(over(fine, "white"), 64))
    small.close()
    large.close()


def pixel_art(npm: Path, out: Path) -> None:
    """Pixel art: every icon three times, each with an ink and a paper of its own, some of them mirrored."""
    kind = Kind(out, "pixel24")
    found = {name: (body, side) for name, body, side in drawings(npm, PACKAGES["pixel"])}
    tested = 0
    for name in by_hash(list(found)):
        body, side = found[name]
        chance = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
        for variant in range(3):
            ink, paper = chance.choice([*INKS]), str(chance.choice(PAPERS))
            art = over(drawn(body, side, 24, INKS[ink], smooth=False), paper)
            art = art.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if chance.random() < 0.5 else art
            covered = float((np.asarray(art) != np.asarray(over(Image.new("RGBA", (24, 24)), paper))).any(-1).mean())
            if held_out(name):
                if variant == 0 and tested < COUNT:
                    kind.hold_out(name, art, art.resize((24 * TIMES, 24 * TIMES), Image.Resampling.NEAREST))
                    tested += 1
                continue
            facts = {colour: int(colour == ink) for colour in INKS}
            facts |= {"white": int(paper == "#ffffff"), "bold": int(covered > 0.35)}
            kind.add(f"{name}-{variant}", art, facts=facts)
    kind.close()


def lines(npm: Path, out: Path) -> None:
    """Line drawings: outlined icons with thin strokes, black on white."""
    kind = Kind(out, "lines32")
    every = drawings(npm, PACKAGES["lines"])
    found = {name: (body, side) for name, body, side in every if 'stroke-width="2"' in body}
    tested = 0
    for name in by_hash(list(found)):
        body, side = found[name]
        body = body.replace('stroke-width="2"', f'stroke-width="{STROKE}"')
        if not held_out(name):
            kind.add(name, shrunk(over(drawn(body, side, 32 * 8), "white").convert("L"), 32))
        elif tested < COUNT:
            truth = over(drawn(body, side, 32 * TIMES), "white").convert("L")
            kind.hold_out(name, shrunk(truth, 32), truth)
            tested += 1
    kind.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--npm", type=Path, required=True)
    parser.add_argument("--fonts", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("out/own/data"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    pixel_art(args.npm, args.out)
    lines(args.npm, args.out)
    glyphs(args.fonts, args.out)
    icons(args.npm, args.out)


if __name__ == "__main__":
    main()
