"""What the words of captions do in a model: a sheet of words and styles, and the error on held-out pictures.

    python runs/words.py MODEL --data FOLDER --words "red heart" "cat face" --out out/words

The sheet has a row for each request and a column for each class (style) of the model, all of one seed. The table gives
the mean squared error of the denoised state of held-out pictures (the test split of `vectors`), per time, under their
own class and words, under one of the two, under their class and the words of another picture, and under nothing. Noise
is the same in all of them.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

import s2id
from s2id.condition import Condition
from s2id.data.pictures import Pictures
from s2id.evaluation.report import markdown
from s2id.media.images import resize, to_float, write
from s2id.media.sheets import sheet
from s2id.sampling.conditions import forget
from s2id.sampling.denoisers import trained_denoiser
from s2id.sampling.states import state_sizes
from s2id.sampling.training_data import load_data_of
from s2id.shapes import per_sample

BATCH = 64


def conditions(model: s2id.S2ID, known: Condition) -> dict[str, Condition]:
    """What the held-out pictures are asked for, by the heading of a row."""
    assert known.words is not None
    return {
        "class and words": known,
        "words": forget(model, known, "label"),
        "class": forget(model, known, "words"),
        "class, words of another picture": replace(known, words=known.words.roll(len(known) // 2, 0)),
        "nothing": known.unknown(),
    }


@torch.inference_mode()
def errors(model: s2id.S2ID, pictures: Pictures, times: list[float]) -> Iterator[list[object]]:
    """A row of the table for each of the conditions."""
    group = max(pictures.groups, key=lambda group: len(group.labels))
    known = group.condition()
    whole = Condition(known.label, words=known.words)
    size, fine = state_sizes(model, pictures.size)
    x = resize(to_float(group.images), fine or size)
    denoiser = trained_denoiser(model, (x.shape[2], x.shape[3]))
    for name, asked in conditions(model, whole).items():
        found: list[object] = [name]
        for time in times:
            t = torch.full((len(x),), time, dtype=torch.float64)
            alpha, sigma = (per_sample(a.to(x), x) for a in denoiser.schedule(t))
            x_t = alpha * x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
            parts = zip(x_t.split(BATCH), t.split(BATCH), asked.split(BATCH), strict=True)
            error = (torch.cat([denoiser(*part) for part in parts]) - x).square().mean().item()
            found.append(f"{error:.4f}")
        yield found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, help="folder that the model was trained on; without it there is no table")
    parser.add_argument("--words", nargs="+", default=["red heart", "cat face", "soccer ball", "sun"])
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", type=int, default=160, help="pixels along a side of each picture of the sheet")
    parser.add_argument("--times", type=float, nargs="+", default=[0.1, 0.3, 0.5, 0.7, 0.9])
    parser.add_argument("--out", type=Path, default=Path("out/words"))
    args = parser.parse_args()
    model = s2id.load(args.model)
    pairs = [(words, style) for words in args.words for style in model.card.labels]
    asked = [s2id.ask(model, style=style, words=words) for words, style in pairs]
    drawn = s2id.sample(model, asked, seed=args.seed, guidance=args.guidance).render((args.side, args.side))
    write(args.out / "sheet.png", sheet(drawn, [f"{words}, {style}" for words, style in pairs], len(model.card.labels)))
    if args.data is not None:
        pictures = load_data_of(model, args.data, split="test")
        print(f"{pictures}; {model.card.images_seen:,} images seen")
        print(
            markdown(
                ["asked for", *(f"t = {time:g}" for time in args.times)], list(errors(model, pictures, args.times))
            )
        )


if __name__ == "__main__":
    main()
