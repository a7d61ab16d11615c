"""Judge a glyphs model against the true outlines, at sizes it never saw.

    python runs/classifier.py --name glyphs --data data/fonts --out out/glyphs-judge.safetensors
    python runs/glyphs.py reconstruct out/glyphs/model --data data/fonts
    python runs/glyphs.py judge out/glyphs/model --data data/fonts --judge out/glyphs-judge.safetensors
    python runs/glyphs.py pictures out/glyphs/model --data data/fonts

`reconstruct`: a true picture of 28x28 goes in, one call of the trunk, a field comes out; its renders are held against
the outline's at each size, beside enlargements by Pillow. `judge`: Frechet distance of samples to the test fonts in a
classifier's features, after area-averaging each render to 28x28; and of 64x64 patches at the last size's own density,
in first- and second-order scattering coefficients with Haar wavelets (`scattering`). Those are fixed, need no training
at a density no classifier knows, and see what enlargement gets wrong: width, straightness and texture of edges.
All glyphs are of fonts held out of training, except where a row is named after the training fonts.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import s2id
from s2id.cli import keep_memory
from s2id.compose import read_out
from s2id.coords import state_size
from s2id.field import Field
from s2id.glyphs import CHARACTERS, SIZE, Font, font_files, held_out, open_font, raster
from s2id.images import resize, tile, to_bytes, to_float, write
from s2id.judge import load as load_judge
from s2id.shapes import NULL

SIDES = (56, 112, 224, 448, 1024)
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
PATCH, PATCHES = 64, 4


def fonts(folder: Path, test: bool = True) -> list[Font]:
    return [open_font(file) for file in font_files(folder) if held_out(file) == test]


def some(known: Sequence[Font], count: int, seed: int) -> list[Font]:
    return [known[i] for i in np.random.default_rng(seed).permutation(len(known))[:count]]


def draw(chosen: Sequence[Font], count: int, seed: int, alike: bool = False) -> list[tuple[Font, str]]:
    """`count` glyphs: characters in turn, fonts at random; or, `alike`, random characters, as many of each font."""
    random = np.random.default_rng(seed)
    if alike:
        return [(font, CHARACTERS[c]) for font in chosen for c in random.permutation(len(CHARACTERS))[:count]]
    return [(chosen[random.integers(len(chosen))], CHARACTERS[i % len(CHARACTERS)]) for i in range(count)]


def truth(glyph: tuple[Font, str], side: int) -> Tensor:
    """The true picture, (1, 1, side, side) in [-1, 1]; at the training size in bytes, like the data."""
    picture = raster(*glyph, (side, side))[None, None] * 2 - 1
    return to_float(to_bytes(picture)) if side == SIZE[0] else picture


def enlarge(picture: Tensor, side: int, how: Image.Resampling) -> Tensor:
    """One picture enlarged by Pillow, in floats: nothing is rounded."""
    source = Image.fromarray(picture[0, 0].numpy())
    return torch.from_numpy(np.array(source.resize((side, side), how)))[None, None]


def reconstructed(model: s2id.S2ID, pictures: Tensor, labels: Tensor, density: int) -> Field:
    """The fields of pictures: one call of the network, told that nothing is noise."""
    return read_out(model, resize(pictures, state_size(density, SIZE, model.config.patch)), labels)


def methods(picture: Tensor, field: Field, side: int) -> Iterator[tuple[str, Tensor]]:
    """Enlargements of one picture, by name, clipped to the range."""
    for name, how in FILTERS.items():
        yield name, enlarge(picture, side, how).clamp(-1, 1)
    ours = field.render((side, side))
    yield "field", ours.clamp(-1, 1)
    # what the field leaves of the 28x28 picture unexplained, given back by the best of the enlargements
    left = enlarge(picture - field.render(SIZE), side, Image.Resampling.BICUBIC)
    yield "field + residual", (ours + left).clamp(-1, 1)


def reconstruct(args: argparse.Namespace) -> None:
    from s2id import metrics

    model = s2id.load(args.weights)
    chosen = some(fonts(args.data), args.fonts, args.seed)
    glyphs = draw(chosen, args.characters, args.seed, alike=True)
    values: dict[int, dict[str, list[list[float]]]] = {side: {} for side in args.sides}
    for glyph in glyphs:
        picture = truth(glyph, SIZE[0])
        label = NULL if args.unlabelled else CHARACTERS.index(glyph[1])
        field = reconstructed(model, picture, torch.tensor([label]), args.density)
        for side in args.sides:
            true, pixel = truth(glyph, side), side / SIZE[0]
            rows = [*methods(picture, field, side), ("truth", true)]
            for name, ours in rows:
                found = metrics.psnr(ours, true), metrics.ssim(ours, true), metrics.edge_width(ours, pixel)
                values[side].setdefault(name, []).append([one.item() for one in found])
    print(f"{len(glyphs)} glyphs of {len(chosen)} test fonts; means, edges in training pixels")
    print(f"{'side':>5} {'method':<17} {'PSNR':>6} {'SSIM':>6} {'edge':>6}")
    table = []
    for side, by_name in values.items():
        for name, rows in by_name.items():
            mean = [float(np.nanmean(column)) for column in zip(*rows, strict=True)]
            print(f"{side:>5} {name:<17} {mean[0]:>6.2f} {mean[1]:>6.4f} {mean[2]:>6.3f}")
            # JSON knows no infinity, and truth is no distance from itself
            table.append({"side": side, "method": name, "psnr": None if name == "truth" else round(mean[0], 3),
                          "ssim": round(mean[1], 5), "edge": round(mean[2], 4)})  # fmt: skip
    facts = {
        "weights": str(args.weights), "images_seen": model.card.images_seen, "seed": args.seed,
        "fonts": [font.name for font in chosen], "characters": args.characters, "labelled": not args.unlabelled,
        "density": args.density, "rows": table,
    }  # fmt: skip
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "reconstruct.json").write_text(json.dumps(facts, indent=2) + "\n")


def scattering(patches: Tensor) -> Tensor:
    """Mean, and mean moduli of Haar wavelets and of wavelets of those moduli: (n, 64, 64) to (n, 106).

    Bruna & Mallat 2013 (arXiv 1203.1513), with five octaves and three orientations.
    """

    def octaves(x: Tensor) -> Iterator[Tensor]:
        while x.shape[-1] > 2:
            a, b, c, d = x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]
            yield torch.stack([a + b - c - d, a - b + c - d, a - b - c + d], dim=1).abs() / 4
            x = (a + b + c + d) / 4

    found = [patches.mean((1, 2))[:, None]]
    for first in octaves(patches):
        found.append(first.mean((2, 3)))
        for second in octaves(first.flatten(0, 1)):
            found.append(second.mean((2, 3)).unflatten(0, (len(patches), 3)).flatten(1))
    return torch.cat(found, dim=1)


def edge_patches(picture: Tensor, random: np.random.Generator) -> Tensor:
    """Up to PATCHES random patches that hold both ink and ground: flat ones say nothing of detail."""
    side, kept = picture.shape[-1], []
    for _ in range(64):
        y, x = random.integers(0, side - PATCH + 1, 2)
        patch = picture[0, 0, y : y + PATCH, x : x + PATCH]
        if 0.02 < (patch > 0).float().mean() < 0.98:
            kept.append(patch)
        if len(kept) == PATCHES:
            break
    return torch.stack(kept) if kept else picture.new_zeros(0, PATCH, PATCH)


def patch_features(pictures: Iterator[Tensor], seed: int) -> Tensor:
    random = np.random.default_rng(seed)
    return torch.cat([scattering(edge_patches(picture.clamp(-1, 1), random)) for picture in pictures])


def judge(args: argparse.Namespace) -> None:
    from s2id.metrics import frechet_distance

    judged = load_judge(args.judge)
    model = s2id.load(args.weights)
    test, train = fonts(args.data), fonts(args.data, test=False)
    every = [(font, character) for font in test for character in CHARACTERS]
    true = judged.features(torch.cat([truth(glyph, SIZE[0]) for glyph in every]))
    of_training = draw(train, args.count, args.seed)
    labels = [i % len(CHARACTERS) for i in range(args.count)]
    composed = [
        s2id.sample(model, labels[i : i + 50], range(i, min(i + 50, args.count)), guidance=args.guidance)
        for i in range(0, args.count, 50)
    ]
    fields = [field for several in composed for field in several]
    rows: list[dict[str, object]] = []

    def say(**row: object) -> None:
        rows.append(row)
        print(json.dumps(row), flush=True)

    def likeness(name: str, side: int, features: Tensor) -> None:
        right = (judged.classify(features) == torch.tensor(labels)).float().mean().item()
        frechet = frechet_distance(features, true)
        say(of=name, side=side, right_class=round(right, 4), frechet=round(frechet, 4))

    pictures = [truth(glyph, SIZE[0]) for glyph in of_training]
    likeness("training fonts", SIZE[0], judged.features(torch.cat(pictures)))
    for side in (SIZE[0], *args.sides):
        # byte-rounded at 28x28, as the data is; averaged one by one, so one large picture is in memory at a time
        small = [resize(field.render((side, side)).clamp(-1, 1), SIZE) for field in fields]
        likeness("samples", side, judged.features(to_float(to_bytes(torch.cat(small)))))

    side = args.sides[-1]
    of_test = draw(test, args.count, args.seed)
    known = patch_features((truth(glyph, side) for glyph in of_test), args.seed)
    spread = known.std(0).clamp(min=1e-6)  # every coefficient counts in units of its own spread in the truth
    others = draw(test, args.count, args.seed + 1)
    enlarged = (enlarge(truth(g, SIZE[0]), side, Image.Resampling.BICUBIC) for g in others)
    for name, shown in (
        ("test fonts again", (truth(glyph, side) for glyph in others)),
        ("training fonts", (truth(glyph, side) for glyph in of_training)),
        ("bicubic of test fonts", enlarged),
        ("samples", (field.render((side, side)) for field in fields)),
    ):
        features = patch_features(shown, args.seed + 1)
        distance = frechet_distance(features / spread, known / spread)
        say(of=name, side=side, patches=len(features), patch_frechet=round(distance, 4))
    facts = {
        "weights": str(args.weights), "images_seen": model.card.images_seen, "judge": judged.sha256,
        "judge_accuracy": judged.accuracy, "count": args.count, "guidance": args.guidance, "rows": rows,
    }  # fmt: skip
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "judge.json").write_text(json.dumps(facts, indent=2) + "\n")


def pictures(args: argparse.Namespace) -> None:
    """Rows of glyphs: what went in, bicubic, ours, truth; then a quarter of each side at full density."""
    model = s2id.load(args.weights)
    side, rows = args.sides[-1], []
    for glyph in draw(some(fonts(args.data), args.count, args.seed), 1, args.seed, alike=True):
        picture = truth(glyph, SIZE[0])
        label = torch.tensor([NULL if args.unlabelled else CHARACTERS.index(glyph[1])])
        field = reconstructed(model, picture, label, args.density)
        looks = [
            enlarge(picture, side, FILTERS["nearest"]),
            enlarge(picture, side, FILTERS["bicubic"]),
            field.render((side, side)),
            truth(glyph, side),
        ]
        y, x = divmod(int(resize(looks[-1], (4, 4)).abs().argmin()), 4)  # the part nearest to half ink
        part = side // 4
        rows += [resize(look, (part, part)) for look in looks]
        rows += [look[..., y * part : (y + 1) * part, x * part : (x + 1) * part] for look in looks]
    args.out.mkdir(parents=True, exist_ok=True)
    write(args.out / "reconstruct.png", tile(torch.cat(rows), 8, gap=4))
    print(args.out / "reconstruct.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for run in (reconstruct, judge, pictures):
        command = commands.add_parser(run.__name__)
        command.set_defaults(run=run)
        command.add_argument("weights")
        command.add_argument("--data", type=Path, default=Path("data/fonts"))
        command.add_argument("--out", type=Path, default=Path("out/glyphs-judged"))
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--sides", type=int, nargs="+", default=SIDES)
        if run is judge:
            command.add_argument("--judge", type=Path, default=Path("out/glyphs-judge.safetensors"))
            command.add_argument("--count", type=int, default=1000)
            command.add_argument("--guidance", type=float, default=1.0)
            continue
        command.add_argument(
            "--density", type=int, default=SIZE[0], help="of the state; the pictures' own if not given"
        )
        command.add_argument("--unlabelled", action="store_true", help="decode without the class")
        if run is reconstruct:
            command.add_argument("--fonts", type=int, default=20)
            command.add_argument("--characters", type=int, default=10, help="of each font")
        else:
            command.add_argument("--count", type=int, default=8)
    args = parser.parse_args()
    keep_memory()
    args.run(args)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
