"""A sheet of concepts that one style lacks: what models draw there, and another style's drawing.

    python runs/lacking.py MODEL [MODEL ...] --data icons --out lacking.png

Shown are the pairs of concept and style that a hash of their names puts first, of concepts that at least four styles
draw. Before the samples by seed 0, one of each model, stands the drawing that the last style has of the concept.
"""

import argparse
from pathlib import Path

import torch

import s2id
from s2id.data.split import number
from s2id.media.images import resize, to_float, write
from s2id.media.sheets import sheet
from s2id.sampling.settings import Sampling
from s2id.sampling.training_data import load_data_of
from s2id.training.redraw import Concepts

FOUR = 4
"""Styles that draw the concepts of the sheet, at least."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", type=Path, required=True, help="folder that the models were trained on")
    parser.add_argument("--count", type=int, default=18)
    parser.add_argument("--guidance", type=float, default=1.5)
    parser.add_argument("--shown", type=int, default=96, help="pixels along a side of each picture")
    parser.add_argument("--out", type=Path, default=Path("lacking.png"))
    args = parser.parse_args()
    models = [s2id.load(path) for path in args.models]
    pictures = load_data_of(models[0], args.data, split="train")
    (group,), labels = pictures.groups, pictures.labels
    concepts = Concepts.of(group, len(labels))
    rows = concepts.rows[(concepts.rows >= 0).sum(1) >= FOUR]
    missing = [(int(row.max()), style) for row in rows for style in (row < 0).nonzero()[:, 0].tolist()]
    lacking = sorted(missing, key=lambda pair: number(group.texts[pair[0]], labels[pair[1]]))[: args.count]
    shown = [to_float(group.images[[row]]) for row, _ in lacking]
    captions = [f"{group.texts[row]}: {labels[group.labels[row]]}" for row, _ in lacking]
    columns = [torch.cat([resize(picture, (args.shown, args.shown)) for picture in shown])]
    for model in models:
        asked = [s2id.ask(model, words=group.texts[row], style=labels[style]) for row, style in lacking]
        fields = s2id.sample(model, asked, 0, Sampling(guidance=args.guidance))
        columns.append(torch.cat([field.render((args.shown, args.shown)) for field in fields]))
    whole = torch.stack(columns, 1).flatten(0, 1)
    names = [
        name
        for caption, (_, style) in zip(captions, lacking, strict=True)
        for name in (caption, *[labels[style]] * len(models))
    ]
    write(args.out, sheet(whole, names, 3 * len(columns)))


if __name__ == "__main__":
    main()
