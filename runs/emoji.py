"""Judge a model of words and styles: of pairs it was trained on, of held-out pairs and of held-out concepts.

    python runs/classifier.py --name folder --captions ...   # the judge, see there
    python runs/emoji.py MODEL --data FOLDER --judge out/icons-judge.safetensors --count 300 --out out/emoji

Asked for are the style and the words of `--count` drawings of each part, which a hash of their names puts first, with
seeds 0, 1, 2, ... The table, of renders at each size after area means to the judge's size, has rows of the drawings
themselves, too:

- the shares whose style and whose concept the judge names right, the concept among all that it knows, also as a share
  of the judge's own on the drawings, and the share whose concept is among the ten that the judge finds nearest;
- the share nearer to the true drawing, in the judge's features, than any other style's drawing of the concept is;
- the squared Frechet distance in these features to all held-out drawings, divided by that of as many training drawings
  (where there are two samples for each feature);
- copies: the share nearer to a training drawing than any held-out drawing is, in features and in pixels, and, because
  sets have equal drawings of several concepts, the share nearer than 99 % of the held-out drawings are.

sheet.png shows eight concepts, chosen by a hash of their names among those that every style draws, in all styles with
seed 0, and truth.png the drawings themselves. "new" stands before the words of pairs that were held out.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import s2id
from s2id.data.registry import load_pictures
from s2id.errors import InputError
from s2id.evaluation.examiner import ground_of, laid_over
from s2id.evaluation.held_out import PARTS, Drawings, Nearness, named, of_samples
from s2id.evaluation.judge import Judge
from s2id.evaluation.judge import load as load_judge
from s2id.evaluation.report import markdown
from s2id.evaluation.samples import Samples, as_saved
from s2id.evaluation.settings import EvaluateConfig
from s2id.files import checksum, write_text
from s2id.media.alpha import over
from s2id.media.images import resize, to_float, write
from s2id.media.sheets import sheet
from s2id.memory import keep_memory
from s2id.sampling.settings import DEFAULT_STEPS, Card, Sampling
from s2id.sampling.training_data import with_captions
from s2id.settings import Alpha, Size

SHOWN = 8
"""Concepts on the sheet."""


def drawings_of(card: Card, judge: Judge, folder: Path) -> tuple[Drawings, Alpha]:
    """All drawings of a model's data with the words it knows, and the ground that transparency is laid over."""
    whole = load_pictures("folder", folder, long_side=max(judge.size), alpha=card.alpha)
    if card.labels != whole.labels:
        raise InputError(f"{whole.name} has the styles {whole.labels} and the model {card.labels}; give its own.")
    ground = ground_of(whole)
    return Drawings.of(with_captions(laid_over(whole, ground), card), judge), ground


def small(samples: Samples, side: int, size: Size) -> Tensor:
    """Samples rendered at a side, as a file holds them, and averaged down."""
    return torch.cat([resize(as_saved(part), size) for part in samples.at((side, side))])


def rows_of(
    model: s2id.S2ID, judge: Judge, drawings: Drawings, config: EvaluateConfig, ground: Alpha
) -> Iterator[dict[str, Any]]:
    """The rows of the table: of each part the drawings themselves, then the samples at each size."""
    near = Nearness.of(drawings)
    for part, name in PARTS.items():
        rows = drawings.of_part(part)[: config.count]
        own = named(drawings.features[rows], rows, drawings, judge)
        yield {"asked for": name, "n": len(rows), "pictures": "drawings", **own}
        samples = Samples(model, config, drawings.asked[rows], ground)
        for side, _ in samples.sizes:
            found = of_samples(small(samples, side, judge.size), rows, drawings, judge, near)
            share = found["concept right"] / own["concept right"] if own["concept right"] else None
            yield {"asked for": name, "n": len(rows), "pictures": side, **found, "of the judge's own": share}


def write_sheets(
    model: s2id.S2ID, drawings: Drawings, config: EvaluateConfig, ground: Alpha, side: int, folder: Path
) -> None:
    """Write the sheet of concepts and styles, and that of the drawings themselves."""
    rows = [i for some in drawings.concepts_in_all(SHOWN) for i in some]
    fields = s2id.sample(model, list(drawings.asked[torch.tensor(rows)].split(1)), 0, config.sampling)
    notes = ["" if drawings.parts[i] == "train" else "new: " for i in rows]
    captions = [f"{note}{drawings.captions[i]}" for i, note in zip(rows, notes, strict=True)]
    captions[: len(model.card.labels)] = [f"{a}, {b}" for a, b in zip(captions, model.card.labels, strict=False)]
    styles = len(model.card.labels)
    whole = torch.cat([over(field.render((side, side)), ground) for field in fields])
    write(folder / "sheet.png", sheet(whole, captions, styles))
    write(folder / "truth.png", sheet(to_float(drawings.images[torch.tensor(rows)]), captions, styles))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True, help="folder that the model was trained on")
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--count", type=int, default=300, help="samples of each part, at most")
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--shown", type=int, default=192, help="pixels along a side of each picture of the sheet")
    parser.add_argument("--out", type=Path, default=Path("out/emoji"))
    args = parser.parse_args()
    keep_memory()
    model, judge = s2id.load(args.model), load_judge(args.judge)
    drawings, ground = drawings_of(model.card, judge, args.data)
    sizes = tuple((side, side) for side in args.sides)
    config = EvaluateConfig(sizes, args.count, sampling=Sampling(args.steps, args.guidance))
    write_sheets(model, drawings, config, ground, args.shown, args.out)
    facts = {
        "weights": args.model, "weights sha256": checksum(model.tensors()), "images seen": model.card.images_seen,
        "judge sha256": judge.sha256, "guidance": args.guidance, "steps": args.steps or DEFAULT_STEPS,
        "styles": ", ".join(model.card.labels),
    }  # fmt: skip
    rows = []
    for row in rows_of(model, judge, drawings, config, ground):
        rows.append(row)
        columns = list(dict.fromkeys(name for one in rows for name in one))
        table = markdown(columns, ([one.get(name) for name in columns] for one in rows))
        write_text(args.out / "table.json", json.dumps({"facts": facts, "rows": rows}, indent=1) + "\n")
        write_text(args.out / "table.md", ", ".join(f"{k} {v}" for k, v in facts.items()) + f"\n\n{table}\n")
        print(" ".join(f"{k}: {v:.3f}" if isinstance(v, float) else f"{k}: {v}" for k, v in row.items()), flush=True)
    print(table)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
