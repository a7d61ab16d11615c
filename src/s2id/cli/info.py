"""The command that describes a model file."""

import json
import sys
from dataclasses import dataclass

import tyro

from s2id.cli.options import Weights
from s2id.names import needing_quotes


@dataclass(frozen=True)
class Info:
    """Describe a model as JSON: its data, labels, settings, number of parameters and checksum.

    Names that other commands take only in quotes are said beside it, on the error stream.
    """

    weights: tyro.conf.Positional[Weights]

    def run(self) -> int:
        """Print what the model file holds."""
        from s2id.files import checksum
        from s2id.sampling.model import load

        model = load(self.weights)
        guide = {"parameters of the guide": sum(p.numel() for p in model.guide.parameters())} if model.guide else {}
        facts = {
            "weights": self.weights,
            "parameters": sum(p.numel() for p in model.network.parameters()),
            **guide,
            "sha256": checksum(model.tensors()),
            **model.facts(),
        }
        print(json.dumps(facts, indent=2))
        if sentence := needing_quotes([*model.card.labels, *model.card.attributes, *model.card.numbers]):
            print(f"note: {sentence}", file=sys.stderr)
        return 0
