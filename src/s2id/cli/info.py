"""The command that describes a model file."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from s2id.cli.options import Weights
from s2id.names import needing_quotes

_SHOWN = 50  # words


def _frequent(words: Sequence[str], counts: Sequence[int]) -> dict[str, int | None]:
    """The most frequent words with their number of pictures, `None` where it is unknown."""
    return {word: counts[i] if counts else None for i, word in enumerate(words[:_SHOWN])}


@dataclass(frozen=True)
class Info:
    """Describe a model as JSON: its data, labels, settings, number of parameters and checksum; a bundled one's licence.

    Of words, their number and the most frequent ones are shown; config.json in a model's folder has all. Names that
    other commands take only in quotes are said beside it, on the error stream.
    """

    weights: tyro.conf.Positional[Weights]

    def run(self) -> int:
        """Print what the model file holds."""
        from s2id.files import checksum
        from s2id.sampling.model import load
        from s2id.sampling.model_file import licence

        model = load(self.weights)
        networks = {"guide": model.guide, "renderer": model.renderer}
        more = {f"parameters of the {a}": sum(p.numel() for p in b.parameters()) for a, b in networks.items() if b}
        facts = {
            "weights": self.weights,
            **({"licence": said} if (said := licence(str(self.weights))) else {}),
            "parameters": sum(p.numel() for p in model.network.parameters()),
            **more,
            "sha256": checksum(model.tensors()),
            **model.facts(),
        }
        words, counts, _ = (facts["card"].pop(name) for name in ("words", "word_counts", "words_together"))
        if words:
            facts["card"] |= {"number of words": len(words), "most frequent words": _frequent(words, counts)}
        print(json.dumps(facts, indent=2))
        if sentence := needing_quotes([*model.card.labels, *model.card.attributes, *model.card.numbers]):
            print(f"note: {sentence}", file=sys.stderr)
        return 0
