"""A table of sets of icons: licence, what is drawn and left out, colours, and the time that drawing takes.

    python runs/icon_sets.py PACKAGE.tgz ... --side 96 [--sheet SHEET.png]

PACKAGE is what `npm pack @iconify-json/NAME` writes. Every set is drawn into an empty cache; times are of the
processor, of this process and of the one that draws. `coloured` is the share of pictures that are not grey. --count
draws some icons of each set only; --sheet shows the first pictures of every set; --joined counts concepts, pairs and
what is held out of all sets together, and draws nothing.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from s2id.data import cache, iconify, svg
from s2id.data.concepts import concepts, words
from s2id.data.icon_sets import read_sets
from s2id.data.request import Request
from s2id.data.split import parts
from s2id.media.alpha import over
from s2id.media.images import resize, tile, to_bytes, to_float, to_pillow

SHOWN = 16


def spent() -> float:
    """Seconds of the processor that this process and those it started have taken."""
    svg._DRAWER.close()  # a child's time counts once it has ended
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def fewer(package: iconify.Package, count: int, folder: Path) -> Path:
    """A package of some of the icons, spread over the alphabet."""
    names = sorted(package.icons)[:: max(1, len(package.icons) // count)][:count]
    svgs = {name: package.icons[name] for name in names}
    box = ("left", "top", "width", "height")
    icons = {n: {"body": icon.body, **dict(zip(box, icon.box, strict=True))} for n, icon in svgs.items()}
    (folder / iconify.ICONS).write_text(json.dumps({"prefix": package.prefix, "icons": icons}))
    return folder / iconify.ICONS


def drawn(path: Path, side: int, count: int | None, folder: Path) -> tuple[str, Tensor]:
    """A row of the table about one set, and some of its pictures on white."""
    package = iconify.read(path)
    whole = len(package.icons)
    path = fewer(package, count, folder) if count else path
    before, start = spent(), time.perf_counter()
    pictures = read_sets(path, [path], Request("folder", path, long_side=side, alpha="keep"))
    seconds, wall = spent() - before, time.perf_counter() - start
    coloured, some = 0, []
    for group in pictures.groups:
        for image in group.images:
            coloured += len(image) == 4 and bool((image[0] != image[1]).any() or (image[1] != image[2]).any())
        step = max(1, len(group.images) // SHOWN)
        some += [over(to_float(one), "white") for one in group.images[::step][:SHOWN]]
    count, left = len(pictures), ", ".join(f"{n:,} {why}" for why, n in package.left.items())
    blank = len([said for said in pictures.skipped if "draws nothing" in said])
    refused = len([said for said in pictures.skipped if "cannot be drawn" in said])
    cells = (
        package.prefix, package.about, f"{whole:,}", count, left or "-", refused, blank, f"{coloured / count:.0%}",
        f"{1000 * seconds / count:.0f}", f"{seconds:.0f}", f"{wall:.0f}",
    )  # fmt: skip
    row = f"| {' | '.join(map(str, cells))} |"
    return row, torch.stack([resize(one, (side, side)) for one in some[:SHOWN]])


def joined(paths: list[Path]) -> str:
    """What all sets have together."""
    packages = [iconify.read(path) for path in paths]
    found = concepts(packages)
    names, styles = [words(name) for name in found.values()], [prefix for prefix, _ in found]  # as captions have them
    part = parts(names, styles)
    of = {name: {s for n, s in zip(names, styles, strict=True) if n == name} for name in {*names}}
    often = [name for name, known in of.items() if len(known) >= 3]
    held = {kind: part.count(kind) for kind in ("train", "pair", "concept")}
    spoken = {word for name in names for word in name.split()}
    return (
        f"{len(found):,} pictures of {len(of):,} concepts, {len(often):,} of them in three sets or more "
        f"({sum(len(of[name]) for name in often):,} pairs); {len(spoken):,} words; {held}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path, nargs="+")
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--count", type=int, help="icons of each set that are drawn; all if not given")
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--joined", action="store_true")
    args = parser.parse_args()
    if args.joined:
        print(joined(args.packages))
        return
    print("| set | by, licence | icons | drawn | left out | refused | blank | coloured | ms each | s | wall |")
    print("|" + "---|" * 11, flush=True)
    sheet = []
    for path in args.packages:
        with tempfile.TemporaryDirectory() as folder:
            cache.CACHE = Path(folder)
            row, some = drawn(path, args.side, args.count, Path(folder))
        print(row, flush=True)
        sheet.append(some)
    if args.sheet:
        to_pillow(to_bytes(tile(torch.cat(sheet), SHOWN, gap=2))).save(args.sheet)


if __name__ == "__main__":
    main()
