"""Put a trained model into the package, with the same layout and in fewer bytes.

python runs/ship.py out/mnist/model src/s2id/sampling/weights/mnist           # float16
python runs/ship.py out/emoji/model src/s2id/sampling/weights/emoji --bytes   # one byte for each weight
"""

import argparse
import json
from pathlib import Path

import torch

from s2id.sampling.model import load
from s2id.sampling.model_file import MODEL_FILE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--bytes", action="store_true", help="one byte for each weight")
    args = parser.parse_args()
    model = load(args.source)
    # its README.md is written by hand
    model.save(args.target / MODEL_FILE, torch.int8 if args.bytes else torch.float16)
    (args.target / "config.json").write_text(json.dumps(model.facts(), indent=2) + "\n")
    print(f"{args.target / MODEL_FILE}: {(args.target / MODEL_FILE).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
