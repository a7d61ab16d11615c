"""Make the drawings that the upscaler is trained on: icons of open sets, words in open fonts, and random shapes.

    npm pack @iconify-json/noto@1.2.9 ...        (PACKAGES below; each makes a .tgz)
    python runs/graphics_data.py SETS FONTS OUT
    s2id train graphics --data OUT

SETS holds the .tgz files, FONTS the .ttf files. OUT gets a package of icons in Iconify's form for each set, with
`--each` icons chosen by a hash of their names, two more of words and shapes, and licences.md. Fonts that are held out
(`s2id.data.fonts.held_out`) are left out. Everything follows from the names.
"""

import argparse
import hashlib
import json
import math
import random
import tarfile
from pathlib import Path
from typing import Any

from s2id.data.fonts import font_files, held_out

PACKAGES = (
    "noto@1.2.9", "noto-v1@1.2.5", "twemoji@1.2.5", "fluent-emoji-flat@1.2.6", "fluent-emoji@1.2.7", "emojione@1.2.3",
    "flag@1.2.12", "circle-flags@1.2.11", "flat-color-icons@1.2.3", "vscode-icons@1.2.97", "icon-park@1.2.4",
    "meteocons@1.2.4",
)  # fmt: skip

SIDE = 512  # of the view box of words and shapes

LONGEST = 60_000  # characters of a drawing; longer ones take seconds to draw


def main() -> None:
    """Write the packages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sets", type=Path)
    parser.add_argument("fonts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--each", type=int, default=350, help="icons of each set")
    parser.add_argument("--words", type=int, default=800)
    parser.add_argument("--shapes", type=int, default=400)
    args = parser.parse_args()
    licences, names = [], list[str]()
    for file in sorted(args.sets.glob("*.tgz")):
        content, about = package(file, args.each)
        names += content["icons"]
        write(args.out / content["prefix"], content, about)
        licence = about["license"]["title"]
        licences.append(f"| {about['name']} | {about['author']['name']} | {licence} | {len(content['icons'])} |")
    vocabulary = sorted({word for name in names for word in name.split("-") if word.isalpha()})
    fonts = [file for file in font_files(args.fonts) if not held_out(file)]
    own = {"author": {"name": "s2id"}, "license": {"title": "as s2id"}}
    for name, count, make in (("words", args.words, words(vocabulary, fonts)), ("shapes", args.shapes, shapes)):
        drawn = {f"{name}-{i:04d}": {"body": make(random.Random(f"{name} {i}"))} for i in range(count)}
        write(args.out / name, {"prefix": name, "icons": drawn, "width": SIDE, "height": SIDE}, {**own, "name": name})
    table = ["| set | author | licence | icons |", "|---|---|---|---|", *licences]
    (args.out / "licences.md").write_text("\n".join(table) + "\n")


def write(folder: Path, content: dict[str, Any], about: dict[str, Any]) -> None:
    """Write a package of icons."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "icons.json").write_text(json.dumps(content))
    (folder / "info.json").write_text(json.dumps(about))


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    """The content of a file in an archive."""
    file = archive.extractfile(name)
    assert file is not None, f"{name} is a folder"
    return file.read()


def package(file: Path, count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of a package with only some of its coloured icons, and what it says of itself."""
    with tarfile.open(file) as archive:
        content, about = (json.loads(_member(archive, f"package/{name}.json")) for name in ("icons", "info"))

    def usable(name: str, icon: dict[str, Any]) -> bool:
        toned = "skin-tone" in name or name.endswith(("-light", "-medium", "-dark"))
        return not (toned or icon.get("hidden") or "currentColor" in icon["body"] or len(icon["body"]) > LONGEST)

    names = [name for name, icon in content["icons"].items() if usable(name, icon)]
    chosen = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())[:count]
    some = {name: content["icons"][name] for name in sorted(chosen)}
    box = {key: content[key] for key in ("left", "top", "width", "height") if key in content}
    return {"prefix": content["prefix"], "icons": some, **box}, about


def words(vocabulary: list[str], fonts: list[Path]) -> Any:  # noqa: ANN401
    """Function that draws lines of words of a vocabulary, in one of the fonts."""

    def draw(chance: random.Random) -> str:
        glyphs = Outlines(chance.choice(fonts))
        top, lines = 0.0, []
        ink, ground = two_colours(chance)
        while top < SIDE:
            high = min(SIDE * 0.6, math.exp(chance.uniform(math.log(28), math.log(200))))
            text = " ".join(cased(chance.choice(vocabulary), chance) for _ in range(1 + int(SIDE / high / 2)))
            if chance.random() < 0.2:
                text += f" {chance.randrange(10**4)}"
            path = glyphs.line(text, high)
            turn = f" rotate({chance.uniform(-30, 30):.1f})" if chance.random() < 0.15 else ""
            place = f"translate({chance.uniform(-20, 40):.2f} {top + high:.2f}){turn}"
            lines.append(f'<path transform="{place}" fill="{ink}" d="{path}"/>')
            top += high * chance.uniform(1.0, 1.6)
            ink = ink if chance.random() < 0.7 else two_colours(chance)[0]
        back = f'<path fill="{ground}" d="M0 0h{SIDE}v{SIDE}h-{SIDE}z"/>' if chance.random() < 0.6 else ""
        return back + "".join(lines)

    return draw


class Outlines:
    """A font, whose lines of text are paths of SVG."""

    def __init__(self, file: Path) -> None:
        import freetype

        self.face, self.flags = freetype.Face(str(file)), freetype.FT_LOAD_NO_SCALE | freetype.FT_LOAD_NO_HINTING

    def line(self, text: str, high: float) -> str:
        """The path of a line of text whose letters are `high` units high, from the origin to the right."""
        scale, x, parts = high / self.face.units_per_EM, 0.0, list[str]()

        def point(p: Any) -> str:  # noqa: ANN401
            return f"{(x + p.x) * scale:.2f} {-p.y * scale:.2f}"

        steps = {
            "move_to": lambda a, _: parts.append(f"M{point(a)}"),
            "line_to": lambda a, _: parts.append(f"L{point(a)}"),
            "conic_to": lambda a, b, _: parts.append(f"Q{point(a)} {point(b)}"),
            "cubic_to": lambda a, b, c, _: parts.append(f"C{point(a)} {point(b)} {point(c)}"),
        }
        for character in text:
            advance = self.advance(character)
            if self.known(character):
                self.face.glyph.outline.decompose(None, **steps)
            x += advance
        return "".join(parts)

    def wide(self, text: str, high: float) -> float:
        """Width of a line of text, in the units of `high`."""
        return sum(map(self.advance, text)) * high / self.face.units_per_EM

    def known(self, character: str) -> bool:
        """Whether the font draws a character; its space may be missing."""
        return self.face.get_char_index(character) > 0

    def advance(self, character: str) -> float:
        """How far the next character lies to the right, in units of the font; this one is loaded."""
        self.face.load_char(character, self.flags)
        return self.face.glyph.advance.x if self.known(character) else self.face.units_per_EM / 4


def cased(word: str, chance: random.Random) -> str:
    """A word in small letters, in capitals, or with a capital first."""
    return chance.choice((word, word.capitalize(), word.upper()))


def two_colours(chance: random.Random) -> tuple[str, str]:
    """Two colours that differ by a fifth of the range or more in one channel; black and white often."""
    if chance.random() < 0.35:
        return ("#000", "#fff") if chance.random() < 0.5 else ("#fff", "#000")
    while True:
        one, two = ([chance.randrange(256) for _ in range(3)] for _ in range(2))
        if max(abs(a - b) for a, b in zip(one, two, strict=True)) > 50:
            return f"rgb{tuple(one)}", f"rgb{tuple(two)}"


def shapes(chance: random.Random) -> str:
    """Discs, bars, polygons, curves and lines, flat or in gradients, one over another."""
    parts, paints = [], list[str]()
    for i in range(chance.randrange(3, 14)):
        one, two = two_colours(chance)
        paint = one
        if chance.random() < 0.35:
            kind = chance.choice(("linear", "radial"))
            ends = f'<stop offset="0" stop-color="{one}"/><stop offset="1" stop-color="{two}"/>'
            paints.append(f'<{kind}Gradient id="g{i}">{ends}</{kind}Gradient>')
            paint = f"url(#g{i})"
        opacity = f' opacity="{chance.uniform(0.3, 0.9):.2f}"' if chance.random() < 0.15 else ""
        line = f'fill="none" stroke="{paint}" stroke-width="{math.exp(chance.uniform(1, 3.6)):.1f}"'
        style = line if chance.random() < 0.4 else f'fill="{paint}"'
        parts.append(f"<{shape(chance)} {style}{opacity}/>")
    return f"<defs>{''.join(paints)}</defs>{''.join(parts)}"


def shape(chance: random.Random) -> str:
    """The name and the place of a shape."""
    x, y = chance.uniform(0, SIDE), chance.uniform(0, SIDE)
    size = math.exp(chance.uniform(math.log(10), math.log(300)))
    kind = chance.randrange(4)
    turn = f'transform="rotate({chance.choice((0, 0, 45, chance.uniform(0, 360))):.1f} {x:.1f} {y:.1f})"'
    if kind == 0:
        return (
            f'ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{size / 2:.1f}" ry="{size * chance.uniform(0.2, 1) / 2:.1f}" {turn}'
        )
    if kind == 1:
        high, corner = size * chance.uniform(0.1, 1), chance.choice((0, 0, size * chance.uniform(0, 0.3)))
        return f'rect x="{x:.1f}" y="{y:.1f}" width="{size:.1f}" height="{high:.1f}" rx="{corner:.1f}" {turn}'
    points = [(x + chance.gauss(0, size / 2), y + chance.gauss(0, size / 2)) for _ in range(chance.randrange(3, 8))]
    written = " ".join(f"{a:.1f} {b:.1f}" for a, b in points)
    return f'path d="M{written}{"z" if chance.random() < 0.7 else ""}"' if kind == 2 else f'path d="M{curved(points)}"'


def curved(points: list[tuple[float, float]]) -> str:
    """A path of quadratic curves through the middles between points."""
    middles = [((a + c) / 2, (b + d) / 2) for (a, b), (c, d) in zip(points, points[1:], strict=False)]
    whole = f"{middles[0][0]:.1f} {middles[0][1]:.1f}"
    for (a, b), (c, d) in zip(points[1:-1], middles[1:], strict=True):
        whole += f"Q{a:.1f} {b:.1f} {c:.1f} {d:.1f}"
    return whole


if __name__ == "__main__":
    main()
