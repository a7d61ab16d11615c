"""Put a trained model into the package: half the bytes (float16), the same layout.

python runs/ship.py out/mnist/model src/s2id/weights/mnist
"""

import json
import sys
from pathlib import Path

import torch

from s2id.checkpoint import MODEL_FILE, load
from s2id.config import to_dict


def main() -> None:
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    model = load(source)
    target.mkdir(parents=True, exist_ok=True)
    model.save(target / MODEL_FILE, torch.float16)
    facts = {"config": to_dict(model.config), "card": to_dict(model.card)}
    (target / "config.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(f"{target / MODEL_FILE}: {(target / MODEL_FILE).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
