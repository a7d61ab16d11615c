"""Judge drawings of words that were never seen together: asked for at once, and composed.

    python runs/composed_words.py MODEL --data FOLDER --judge out/icons-judge.safetensors

MODEL was trained with `s2id train vectors`, which holds out one concept in twenty; FOLDER and the judge are those of
runs/emoji.py. Of the held-out concepts, those are drawn whose words no training drawing has together: apart those of
which `s2id.words.parted` says that they go together all the same, because another word stands in for one of them. Each
is drawn twice, with all words in one condition and composed of a condition for every word or words seen together.
"""

import argparse
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from emoji import drawings_of

import s2id
import s2id.words as rule
from s2id.data.captions import with_words
from s2id.data.registry import load_pictures
from s2id.evaluation.held_out import Nearness, of_samples
from s2id.evaluation.judge import load as load_judge
from s2id.evaluation.report import markdown
from s2id.evaluation.samples import as_saved
from s2id.media.alpha import over
from s2id.memory import keep_memory
from s2id.sampling.settings import Sampling
from s2id.shapes import NULL

SIDE, BATCH = 64, 16
SHOWN = ("style right", "concept right", "among the ten nearest", "nearer to the truth")

Together = tuple[tuple[int, ...], ...]


def seen(words: Iterable[int], together: Together) -> bool:
    """Whether training drawings had every two of the words together."""
    rising = sorted(words)
    return all(other in together[one] for i, one in enumerate(rising) for other in rising[i + 1 :])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--guidance", type=float, default=1.5)
    args = parser.parse_args()
    keep_memory()
    model, judge = s2id.load(args.model), load_judge(args.judge)
    drawings, ground = drawings_of(model.card, judge, args.data)
    trained = load_pictures("vectors", args.data, "train", SIDE, alpha=model.card.alpha)
    trained = with_words(trained, model.card.words)
    together, counts = trained.words_together, trained.word_counts
    near, rows = Nearness.of(drawings), []
    assert drawings.asked.words is not None
    kinds: dict[str, list[int]] = {"a word stands in": [], "none does": []}
    for i in drawings.of_part("concept").tolist():
        words = [word for word in drawings.asked.words[i].tolist() if word != NULL]
        if not seen(words, together):
            kinds[
                "none does" if len(rule.parted(words, trained.words, counts, together)) > 1 else "a word stands in"
            ].append(i)
    rule.COMMON = len(together) + 1  # from here on no word stands in for another
    for kind, some in kinds.items():
        chosen = torch.tensor(some)
        for way, known in (("at once", ()), ("composed", together)):
            model.card = replace(model.card, words_together=known, word_counts=counts)
            drawn = []
            for k, asked in enumerate(drawings.asked[chosen].split(BATCH)):
                seeds = range(k * BATCH, k * BATCH + len(asked))
                field = s2id.sample(model, asked, seeds, Sampling(guidance=args.guidance))
                drawn.append(over(field.render((SIDE, SIDE)), ground))
            found: dict[str, Any] = of_samples(as_saved(torch.cat(drawn)), chosen, drawings, judge, near)
            rows.append([kind, len(chosen), way, *(f"{found[name]:.3f}" for name in SHOWN)])
    print(markdown(["unseen words", "n", "asked for", *SHOWN], rows))


if __name__ == "__main__":
    main()
