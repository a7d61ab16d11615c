"""Judge a model against the truth, at sizes it never saw; of data that are known at any size.

    s2id train glyphs --data data --out out/glyphs
    python runs/classifier.py --name glyphs --data data --out out/glyphs-judge.safetensors
    python runs/truth.py reconstruct out/glyphs/model --data data
    python runs/truth.py judge out/glyphs/model --data data --judge out/glyphs-judge.safetensors
    python runs/truth.py pictures out/glyphs/model --data data

and the same with a model of drawings (`s2id train vectors`).

`reconstruct`: a true picture at the training size (`--seen`: another) goes in, one call of
the trunk, a field comes out; its renders are held against the truth at each size, as they are and made consistent with
what went in, as `s2id upscale` does, beside enlargements by Pillow. `judge`: Frechet distance of samples to test
pictures in a classifier's features, after area-averaging each render to that size; agreement of the sizes with one
another; how near samples come to training pictures; and of 64x64 patches at the last size's own density, in first- and
second-order scattering coefficients with Haar wavelets (`scattering`) of the channels' mean. Those are fixed, need no
training at a density no classifier knows, and see what enlargement gets wrong: width, straightness and texture of
edges. All pictures are of the test split, classes in turn, where no row says training.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

import s2id
from s2id.coords import state_size
from s2id.data.pictures import Group, Split
from s2id.data.registry import load_pictures
from s2id.evaluation.judge import load as load_judge
from s2id.inverse.consistent import consistent
from s2id.media.images import resize, tile, to_bytes, to_float, to_pillow
from s2id.memory import keep_memory
from s2id.sampling.denoisers import read_out
from s2id.sampling.field import Field
from s2id.sampling.training_data import reader_of
from s2id.shapes import NULL

TIMES = (2, 4, 8, 16)
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
PATCH, PATCHES = 64, 4
LOOKS, HEAD = ("seen", "bicubic", "upscale", "truth"), 22


def split(model: s2id.S2ID, args: argparse.Namespace, name: Split) -> Group:
    """The test or training pictures of the data that a model was trained on, at the size that is seen of them."""
    size = model.card.size
    if size is None:
        raise SystemExit(f"{model.card.data} has pictures of many sizes, so none whose truth would be at others")
    side = args.seen or max(size)
    (group,) = load_pictures(reader_of(model.card), args.data, name, side, alpha=model.card.alpha).groups
    if group.truth is None:
        raise SystemExit(f"{model.card.data} has no truth beyond its pixels")
    return group


def classes(*groups: Group) -> list[int]:
    """The classes that all groups have pictures of."""
    return sorted(set.intersection(*({*group.labels.tolist()} for group in groups)))


def draw(group: Group, labels: list[int], count: int, seed: int) -> list[int]:
    """Classes in turn, they and the pictures of each in a random order that starts again when all were drawn."""
    random = np.random.default_rng(seed)
    order = random.permutation(labels)
    of_class = [random.permutation((group.labels == int(label)).nonzero()[:, 0].numpy()) for label in order]
    return [int((found := of_class[i % len(of_class)])[i // len(of_class) % len(found)]) for i in range(count)]


def looks(group: Group, indices: list[int]) -> Tensor:
    """Pictures as the data has them, in [-1, 1]."""
    return to_float(group.images[torch.tensor(indices)])


def truth(group: Group, index: int, side: int) -> Tensor:
    """What the picture shows, (1, c, side, side) in [-1, 1]."""
    assert group.truth is not None  # `split` saw to it
    return group.truth(index, (side, side))[None]


def enlarge(picture: Tensor, side: int, how: Image.Resampling) -> Tensor:
    """One picture enlarged by Pillow, in floats: nothing is rounded."""
    planes = [Image.fromarray(plane.numpy()).resize((side, side), how) for plane in picture[0]]
    return torch.from_numpy(np.stack([np.asarray(plane) for plane in planes]))[None]


def reconstructed(model: s2id.S2ID, group: Group, index: int, args: argparse.Namespace) -> Field:
    """The field of a picture: one call of the network, told that nothing is noise."""
    picture, asked = looks(group, [index]), group.condition(torch.tensor([index]))
    height, width = picture.shape[2:]
    state = resize(picture, state_size(args.density or max(height, width), (height, width), model.config.patch))
    return read_out(model, state, asked.unknown() if args.unlabelled else asked)


def methods(picture: Tensor, field: Field, side: int) -> Iterator[tuple[str, Tensor]]:
    """Enlargements of one picture, by name, clipped to the range."""
    for name, how in FILTERS.items():
        yield name, enlarge(picture, side, how).clamp(-1, 1)
    ours = field.render((side, side)).clamp(-1, 1)
    yield "field", ours
    yield "upscale", consistent(ours, picture)


def reconstruct(args: argparse.Namespace) -> None:
    from s2id.evaluation import image_metrics
    from s2id.evaluation.edges import edge_width

    model = s2id.load(args.weights)
    test = split(model, args, "test")
    size = max(test.images.shape[2:])
    sides = args.sides or [times * size for times in TIMES]
    values: dict[int, dict[str, list[list[float]]]] = {side: {} for side in sides}
    chosen = draw(test, classes(test), args.count, args.seed)
    for index in chosen:
        picture, field = looks(test, [index]), reconstructed(model, test, index, args)
        for side in sides:
            true = truth(test, index, side)
            for name, ours in [*methods(picture, field, side), ("truth", true)]:
                found = (
                    image_metrics.psnr(ours, true),
                    image_metrics.ssim(ours, true),
                    edge_width(ours, side / size),
                )
                values[side].setdefault(name, []).append([one.item() for one in found])
    print(f"{len(chosen)} pictures, {len({*chosen})} different; means, edges in pixels of what was seen")
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
        "weights": str(args.weights), "images_seen": model.card.images_seen, "seed": args.seed, "count": len(chosen),
        "different": len({*chosen}), "labelled": not args.unlabelled, "density": args.density or size, "seen": size,
        "rows": table,
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
    """Up to PATCHES random patches with an edge of at least a fiftieth of ink: flat ones say nothing of detail."""
    side, kept = picture.shape[-1], []
    for _ in range(64):
        y, x = random.integers(0, side - PATCH + 1, 2)
        patch = picture[0, :, y : y + PATCH, x : x + PATCH].mean(0)
        if patch.std() > 0.28:  # of ink at 1 and ground at -1, shares p and 1 - p: 2 sqrt(p (1 - p))
            kept.append(patch)
        if len(kept) == PATCHES:
            break
    return torch.stack(kept) if kept else picture.new_zeros(0, PATCH, PATCH)


def patch_features(pictures: Iterable[Tensor], seed: int) -> Tensor:
    random = np.random.default_rng(seed)
    return torch.cat([scattering(edge_patches(picture.clamp(-1, 1), random)) for picture in pictures])


def nearest(pictures: Tensor, others: Tensor) -> Tensor:
    """PSNR in dB of each picture and the nearest of the others."""
    apart = torch.cdist(pictures.flatten(1), others.flatten(1)) / pictures[0].numel() ** 0.5
    return 20 * torch.log10(2 / apart.amin(1).clamp(min=1e-3))


def judge(args: argparse.Namespace) -> None:
    from s2id.evaluation.image_metrics import psnr
    from s2id.evaluation.set_metrics import frechet_distance

    judged = load_judge(args.judge)
    model = s2id.load(args.weights)
    test, train = split(model, args, "test"), split(model, args, "train")
    size = (test.images.shape[2], test.images.shape[3])
    sides = args.sides or [times * max(size) for times in TIMES]
    shared = classes(test, train)
    chosen = draw(test, shared, args.count, args.seed)
    asked = test.condition(torch.tensor(chosen))
    steps = args.steps or (None if model.card.times else 20)
    fields = [
        field
        for part, seeds in zip(asked.split(50), torch.arange(args.count).split(50), strict=True)
        for field in s2id.sample(model, list(part.split(1)), seeds.tolist(), guidance=args.guidance, steps=steps)
    ]
    of_training = draw(train, shared, args.count, args.seed)
    # as many of every class, as of the samples
    true = judged.features(looks(test, draw(test, shared, 4 * len(test.labels), args.seed + 1)))
    seen = to_float(train.images)
    rows: list[dict[str, object]] = []

    def say(**row: object) -> None:
        rows.append(row)
        print(json.dumps(row), flush=True)

    def likeness(pictures: Tensor, frechet: bool = True, near: bool = True) -> dict[str, float]:
        features, known = judged.features(pictures), asked.label != NULL
        found = {"right_class": (judged.classify(features) == asked.label)[known].float().mean().item()}
        if frechet:
            found["frechet"] = frechet_distance(features, true)
        if near:
            closest = nearest(pictures, seen)
            found |= {"nearest_median": closest.median().item(), "nearest_most": closest.max().item(),
                      "copies": (closest > args.copy).float().mean().item()}  # fmt: skip
        return {name: round(value, 4) for name, value in found.items()}

    say(of="training pictures", side=max(size), **likeness(looks(train, of_training), near=False))
    say(of="test pictures", side=max(size), **likeness(looks(test, chosen), frechet=False))
    first = None
    for side in (max(size), *sides):
        # averaged one by one, so one large picture is in memory; byte-rounded, as the data is
        small = torch.cat([resize(field.render((side, side)).clamp(-1, 1), size) for field in fields])
        found = likeness(to_float(to_bytes(small)))
        if first is None:
            first = small
        else:
            apart = psnr(small, first)
            found |= {
                "agreement_median": round(apart.median().item(), 2),
                "agreement_worst": round(apart.min().item(), 2),
            }
        say(of="samples", side=side, **found)

    side = sides[-1]
    known = patch_features((truth(test, i, side) for i in chosen[: args.detail]), args.seed)
    spread = known.std(0).clamp(min=1e-6)  # every coefficient counts in units of its own spread in the truth
    others = draw(test, shared, args.count, args.seed + 1)[: args.detail]
    enlarged = (enlarge(looks(test, [i]), side, Image.Resampling.BICUBIC) for i in others)
    for name, pictures in (
        ("test pictures again", (truth(test, i, side) for i in others)),
        ("training pictures", (truth(train, i, side) for i in of_training[: args.detail])),
        ("bicubic of test pictures", enlarged),
        ("samples", (field.render((side, side)) for field in fields[: args.detail])),
    ):
        features = patch_features(pictures, args.seed + 1)
        enough = len(features) >= 2 * features.shape[1]  # samples without edges have no patches
        distance = round(frechet_distance(features / spread, known / spread), 4) if enough else None
        say(of=name, side=side, patches=len(features), patch_frechet=distance)
    facts = {
        "weights": str(args.weights), "images_seen": model.card.images_seen, "judge": judged.sha256,
        "judge_accuracy": judged.accuracy, "count": args.count, "detail": args.detail, "guidance": args.guidance,
        "copy_db": args.copy, "seen": max(size),
        "rows": rows,
    }  # fmt: skip
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "judge.json").write_text(json.dumps(facts, indent=2) + "\n")


def pictures(args: argparse.Namespace) -> None:
    """Rows of pictures: what went in, bicubic, upscale, truth; then a quarter of each side at full density."""
    model = s2id.load(args.weights)
    test = split(model, args, "test")
    side, rows = (args.sides or [TIMES[-1] * max(test.images.shape[2:])])[-1], []
    for index in draw(test, classes(test), args.count, args.seed):
        picture, field = looks(test, [index]), reconstructed(model, test, index, args)
        row = [
            enlarge(picture, side, FILTERS["nearest"]),
            enlarge(picture, side, FILTERS["bicubic"]),
            consistent(field.render((side, side)), picture),
            truth(test, index, side),
        ]
        # the part nearest to half ink
        y, x = divmod(int(resize(row[-1].mean(1), (4, 4)).abs().argmin()), 4)
        part = side // 4
        rows += [resize(look, (part, part)) for look in row]
        rows += [look[..., y * part : (y + 1) * part, x * part : (x + 1) * part] for look in row]
    args.out.mkdir(parents=True, exist_ok=True)
    sheet = to_pillow(to_bytes(tile(torch.cat(rows), 2 * len(LOOKS), gap=4)))
    page = Image.new(sheet.mode, (sheet.width, sheet.height + HEAD), "white")
    page.paste(sheet, (0, HEAD))
    for i, name in enumerate((*LOOKS, *(f"{name}, a part" for name in LOOKS))):
        place = (i * (sheet.width + 4) // (2 * len(LOOKS)) + 2, 4)
        ImageDraw.Draw(page).text(place, name, fill="black", font_size=HEAD * 5 // 8)
    page.save(args.out / "reconstruct.png", optimize=True)
    print(args.out / "reconstruct.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for run, count in ((reconstruct, 200), (judge, 1000), (pictures, 8)):
        command = commands.add_parser(run.__name__)
        command.set_defaults(run=run)
        command.add_argument("weights")
        command.add_argument("--data", type=Path, default=Path("data"))
        command.add_argument("--out", type=Path, default=Path("out/truth"))
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--count", type=int, default=count, help="pictures; of samples 256 at least")
        command.add_argument("--sides", type=int, nargs="+", help="2, 4, 8, 16 times the size seen if not given")
        command.add_argument("--seen", type=int, help="size of the pictures given and judged; of training if not given")
        if run is judge:
            command.add_argument("--judge", type=Path, default=Path("out/judge.safetensors"))
            command.add_argument("--guidance", type=float, default=1.0)
            command.add_argument("--steps", type=int, help="solver steps; 20 if not given, or a distilled model's own")
            command.add_argument(
                "--detail", type=int, default=1000, help="pictures whose patches are compared, at most"
            )
            command.add_argument("--copy", type=float, default=34.0, help="dB from which a sample is a copy")
            continue
        command.add_argument("--density", type=int, help="of the state; the pictures' own if not given")
        command.add_argument("--unlabelled", action="store_true", help="decode without the condition")
    args = parser.parse_args()
    keep_memory()
    args.run(args)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
