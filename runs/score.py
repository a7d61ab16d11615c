"""Score an MNIST model: right class, diversity, Frechet distance, and one seed's agreement over sizes.

    python runs/score.py WEIGHTS --classifier out/classifier.safetensors --count 1000 --guidance 1 --guidance 1.5

Prints one JSON line per guidance. Everything is judged at 28x28 by `runs/classifier.py`'s network; the Frechet distance
is that of its 128 features against the test set, and `floor` is the training set's own at the same number of images.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from classifier import Classifier
from safetensors.torch import load_file
from torch import Tensor

import s2id
from s2id.cli import keep_memory
from s2id.data import load
from s2id.field import Field
from s2id.images import resize, to_bytes, to_float

SIZES = ((14, 14), (37, 61), (56, 56), (113, 113), (256, 256), (1024, 1024))


def frechet(a: Tensor, b: Tensor) -> float:
    """Distance of two sets' Gaussians; trace of the root by eigenvalues (no matrix root needed)."""
    a, b = a.double(), b.double()
    cov_a, cov_b = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0).sqrt().sum()
    return ((a.mean(0) - b.mean(0)).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross).item()


def variance_ratio(images: Tensor, labels: Tensor, truth: Tensor, truth_labels: Tensor) -> float:
    """Mean over the classes of the pixels' variance within the class, against the data's."""
    ratio = [images[labels == k].var(0).mean() / truth[truth_labels == k].var(0).mean() for k in labels.unique()]
    return torch.stack(ratio).mean().item()


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Of each image, for values in [-1, 1], in dB."""
    return 10 * torch.log10(4 / (a - b).square().flatten(1).mean(1))


def consistency(fields: Field, sizes: tuple = SIZES) -> dict[str, list[float]]:
    """PSNR of each size against 28x28, both clipped to [-1, 1]; the coarser of the two is the yardstick.

    A size of another aspect is compared in the square that shows the frame, area-averaged like the others.
    """
    base = fields.render((28, 28)).clamp(-1, 1)
    out = {}
    for size in sizes:
        values = []
        for i in range(len(fields)):
            picture = fields[i].render(size).clamp(-1, 1)
            side = min(size)
            top, left = (size[0] - side) // 2, (size[1] - side) // 2
            frame = picture[..., top : top + side, left : left + side]
            common = min(28, side)
            values.append(psnr(resize(frame, (common, common)), resize(base[i : i + 1], (common, common))).item())
        out[f"{size[0]}x{size[1]}"] = [round(float(np.median(values)), 2), round(min(values), 2)]
    return out


def sample(model: s2id.S2ID, count: int, guidance: float, steps: int, batch: int = 250) -> tuple[Tensor, Tensor]:
    """`count` pictures of 28x28, as bytes would show them, and their labels: seeds 0.., labels in turn."""
    images = []
    for first in range(0, count, batch):
        seeds = range(first, min(first + batch, count))
        field = s2id.sample(model, [s % 10 for s in seeds], seeds, steps=steps, guidance=guidance)
        images.append(to_float(to_bytes(field.render((28, 28)))))
    return torch.cat(images), torch.arange(count) % 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--classifier", type=Path, default=Path("out/classifier.safetensors"))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, action="append")
    parser.add_argument("--consistency", type=int, default=0, help="seeds to compare over sizes")
    args = parser.parse_args()
    keep_memory()
    judge = Classifier()
    judge.load_state_dict(load_file(args.classifier))
    judge.eval().requires_grad_(False)
    model = s2id.load(args.weights)
    test, train = (load("mnist", args.data, split).groups[0] for split in ("test", "train"))
    truth = to_float(test.images)

    def features(images: Tensor) -> Tensor:
        return torch.cat([judge.features(x) for x in images.split(500)])

    truth_features = features(truth)
    floor = frechet(features(to_float(train.images[: args.count])), truth_features)
    for guidance in args.guidance or [1.0, 1.5]:
        start = time.perf_counter()
        images, labels = sample(model, args.count, guidance, args.steps)
        seconds = time.perf_counter() - start
        found = features(images)
        row = {
            "weights": str(args.weights), "images_seen": model.card.images_seen, "n": args.count,
            "guidance": guidance, "steps": args.steps,
            "right_class": round((judge.out(found).argmax(1) == labels).float().mean().item(), 4),
            "variance": round(variance_ratio(images, labels, truth, test.labels), 4),
            "frechet": round(frechet(found, truth_features), 3), "floor": round(floor, 3),
            "seconds": round(seconds, 1),
        }  # fmt: skip
        if args.consistency:
            seeds = range(args.consistency)
            fields = s2id.sample(model, [s % 10 for s in seeds], seeds, steps=args.steps, guidance=guidance)
            row["psnr_median_worst"] = consistency(fields)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
