"""How pixel art is told from other pictures: soft edges and colours of several kinds of pictures.

    python runs/pixel_art.py SOURCE [SOURCE ...] [--reduced FOLDER ...]

Each source is a folder of pictures or the name of a data set. Folders after --reduced hold large renderings, which are
measured as nearest-neighbour reductions to 16 to 64 pixels: hard edges in many colours. `s2id.data.pixel_art` has the
thresholds.
"""

import argparse
from pathlib import Path

import torch
from torch.nn.functional import interpolate

import s2id
from s2id.data.pictures import Pictures
from s2id.data.pixel_art import _codes, _some, palette_of, soft_edges

SIDES = 16, 24, 32, 64


def line(name: str, pictures: Pictures) -> str:
    """A row of the table."""
    soft, counts = [0, 0], []
    for images in _some(pictures):
        soft = [a + b for a, b in zip(soft, soft_edges(images), strict=True)]
        counts += [len(codes.unique()) for codes in _codes(images)]
    few, palette = torch.tensor(counts).float(), palette_of(pictures)
    found = "no" if palette is None else f"yes, {len(palette) or 'over 256'} colours"
    return f"| {name} | {soft[0] / max(1, soft[1]):.3f} | {few.median():.0f} | {few.quantile(0.9):.0f} | {found} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sources", nargs="*", default=[])
    parser.add_argument("--reduced", type=Path, nargs="*", default=[])
    args = parser.parse_args()
    print("| pictures | soft edges | colours of a picture | of one in ten, at least | found |\n|---|---|---|---|---|")
    print(line("digits (scikit-learn)", s2id.pictures("digits")))
    for source in args.sources:
        print(line(Path(source).name, s2id.pictures(source)), flush=True)
    for folder in args.reduced:
        whole = s2id.pictures(folder)
        images = max(whole.groups, key=lambda group: group.images.shape[2]).images
        for side in SIDES:
            small = s2id.pictures(interpolate(torch.as_tensor(images), (side, side)))
            print(line(f"{folder.name}, every n-th pixel, {side}", small), flush=True)


if __name__ == "__main__":
    main()
