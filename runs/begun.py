"""Drawings of one's own: a run that begins with the bundled emoji, and the same from random weights.

    python runs/begun.py --data iconify-json-openmoji-1.2.29.tgz --out out/begun [--images 12000]

--data is a package of icons or a folder of SVG files that no bundled model has seen. A hash of their captions chooses
300 to train on and 60 others whose words emoji knows. Three runs of `s2id train folder`, with its defaults:

    begun    with --init emoji
    network  from random weights, with emoji's network, states and renderer
    plain    from random weights

table.md and table.json say how far samples lie from the drawings that they were asked for (the root mean square of the
difference, of values in [-1, 1]), and how often that drawing is the nearest of its 60, for drawings that were trained
on and others. sheet.png shows eight of each: the runs in this order, then the drawings.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import s2id
from s2id.cli.options import writable
from s2id.data.pictures import Group, Pictures
from s2id.data.registry import load_pictures
from s2id.data.split import number
from s2id.evaluation.report import markdown
from s2id.files import write_text
from s2id.media.images import resize, to_float, write
from s2id.media.sheets import sheet
from s2id.memory import keep_memory
from s2id.training.card import like_model
from s2id.training.presets import PRESETS
from s2id.training.settings import Preset
from s2id.training.watch import drive
from s2id.words import words_of

TAUGHT, ASKED, SHOWN = 300, 60, 8


def chosen(pictures: Pictures, known: set[str]) -> tuple[Pictures, dict[str, Group]]:
    """The pictures to train on, and those to ask for: some of these, and others whose words are all known."""
    (group,) = pictures.groups
    order = sorted(range(len(group.texts)), key=lambda i: number(group.texts[i]))

    def some(rows: list[int]) -> Group:
        texts = tuple(group.texts[i] for i in rows)
        return Group(group.images[torch.tensor(rows)], group.labels[torch.tensor(rows)], texts=texts)

    others = [i for i in order[TAUGHT:] if {*words_of(group.texts[i])} <= known]
    parts = {"trained on": some(order[:ASKED]), "others": some(others[:ASKED])}
    return replace(pictures, groups=(some(order[:TAUGHT]),), attributes=()), parts


def presets(emoji: s2id.S2ID, images: int) -> dict[str, tuple[Preset, s2id.S2ID | None]]:
    """Settings of each run, and the model that it begins with."""
    plain = PRESETS["folder"]
    plain = replace(plain, train=replace(plain.train, images=images, long_side=64, alpha="white"))
    network = like_model(emoji, plain, plain)
    network = replace(network, train=replace(network.train, renderer="graphics"))
    return {"begun": (network, emoji), "network": (network, None), "plain": (plain, None)}


def drawn(model: s2id.S2ID, group: Group, guidance: float, side: int) -> Tensor:
    """What a model draws when asked for the words that it knows of each caption, seeds 0, 1, 2, ..."""
    known, style = {*model.card.words}, model.card.labels[-1] if model.card.labels else None
    words = [" ".join(word for word in words_of(text) if word in known) or None for text in group.texts]
    asked = [s2id.ask(model, style=style, words=text) for text in words]
    fields = s2id.sample(model, asked, range(len(asked)), s2id.Sampling(guidance=guidance))
    return torch.cat([field.render((side, side)) for field in fields])


def row(samples: Tensor, truth: Tensor) -> dict[str, float]:
    """How far samples lie from the drawings asked for, and the share for which that drawing is the nearest."""
    apart = torch.cdist(samples.flatten(1), truth.flatten(1)) / truth[0].numel() ** 0.5
    nearest = apart.argmin(1) == torch.arange(len(apart))
    return {"rms": apart.diagonal().square().mean().sqrt().item(), "nearest": nearest.float().mean().item()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=12_000)
    parser.add_argument("--guidance", type=float, default=1.5)
    parser.add_argument("--runs", nargs="+", default=["begun", "network", "plain"])
    parser.add_argument("--out", type=Path, default=Path("out/begun"))
    args = parser.parse_args()
    keep_memory()
    emoji = s2id.load("emoji")
    whole = load_pictures("folder", args.data, long_side=64, alpha="white")
    pictures, parts = chosen(whole, {*emoji.card.words})
    rows: list[dict[str, Any]] = []
    shown: dict[str, list[Tensor]] = {name: [] for name in parts}
    for name, (preset, start) in presets(emoji, args.images).items():
        if name not in args.runs:
            continue
        if not (args.out / name / "model").exists():
            writable(args.out / name)
            drive(s2id.train(pictures, args.out / name, preset, start=start))
        model = s2id.load(args.out / name)
        for part, group in parts.items():
            samples = drawn(model, group, args.guidance, 192)
            shown[part].append(samples[:SHOWN])
            rows.append({"run": name, "drawings": part, **row(resize(samples, (64, 64)), to_float(group.images))})
            print(rows[-1], flush=True)
    (all_drawings,) = whole.groups
    assert all_drawings.truth is not None
    for part, group in parts.items():
        rows_of = [all_drawings.texts.index(text) for text in group.texts[:SHOWN]]
        shown[part].append(torch.stack([all_drawings.truth(i, (192, 192)) for i in rows_of]))
    captions = [
        text if not i else "" for part in parts for i in range(len(args.runs) + 1) for text in parts[part].texts[:SHOWN]
    ]
    write(args.out / "sheet.png", sheet(torch.cat([one for some in shown.values() for one in some]), captions, SHOWN))
    facts = {"data": whole.name, "images": args.images, "guidance": args.guidance, "trained on": len(pictures)}
    write_text(args.out / "table.json", json.dumps({"facts": facts, "rows": rows}, indent=1) + "\n")
    table = markdown(list(rows[0]), (one.values() for one in rows))
    write_text(args.out / "table.md", ", ".join(f"{k} {v}" for k, v in facts.items()) + f"\n\n{table}\n")
    print(table)


if __name__ == "__main__":
    main()
