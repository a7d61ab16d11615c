"""Put a trained model into the package: half the bytes (float16), the same layout.

python runs/ship.py out/mnist/model src/s2id/sampling/weights/mnist
"""

import json
import sys
from pathlib import Path

import torch

from s2id.sampling.model import load
from s2id.sampling.model_file import MODEL_FILE


def main() -> None:
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    model = load(source)
    model.save(target / MODEL_FILE, torch.float16)  # its README.md is written by hand
    (target / "config.json").write_text(json.dumps(model.facts(), indent=2) + "\n")
    print(f"{target / MODEL_FILE}: {(target / MODEL_FILE).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
