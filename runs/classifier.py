"""Train the classifier that judges samples of a data set and put it into the package.

    python runs/classifier.py --data data --out src/s2id/judges/mnist.safetensors

Independent of every generator. Shifts, rotations, scalings and shears as augmentation, moving average of the weights.
"""

import argparse
import math
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from s2id.cli import keep_memory
from s2id.data import load
from s2id.images import to_float
from s2id.judge import Judge
from s2id.shapes import NULL
from s2id.train import multiplies_bf16


def augment(x: Tensor, strength: float = 1.0) -> Tensor:
    """Random rotation (15 degrees), scale (12 %), shear and shift (2.5 px) of each image, each times a strength."""
    b = len(x)
    angle = (torch.rand(b) * 2 - 1) * math.radians(15) * strength
    scale = 1 + (torch.rand(b, 2) * 2 - 1) * 0.12 * strength
    shear = (torch.rand(b) * 2 - 1) * 0.15 * strength
    shift = (torch.rand(b, 2) * 2 - 1) * 2.5 / 14 * strength
    theta = torch.stack(
        [
            torch.stack([angle.cos() * scale[:, 0], -angle.sin() + shear, shift[:, 0]], 1),
            torch.stack([angle.sin(), angle.cos() * scale[:, 1], shift[:, 1]], 1),
        ],
        1,
    )
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    model.eval()
    known = labels != NULL
    images, labels = images[known], labels[known]
    with torch.inference_mode():
        hits = [model(x).argmax(1) == y for x, y in zip(images.split(500), labels.split(500), strict=True)]
    return torch.cat(hits).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="mnist")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("src/s2id/judges/mnist.safetensors"))
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=128)
    args = parser.parse_args()
    keep_memory()
    torch.manual_seed(0)
    train, test = (load(args.name, args.data, split) for split in ("train", "test"))
    pictures, truth = train.groups[0], test.groups[0]
    model = Judge(train.name, train.size, train.channels, len(train.labels)).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    steps = args.epochs * (len(pictures.labels) // args.batch)
    # over 500 steps, or the last fifth of a short run
    decay = 1 - max(0.002, 5 / steps)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.15)
    start = time.time()
    for epoch in range(args.epochs):
        model.train()
        for chosen in torch.randperm(len(pictures.labels)).split(args.batch):
            if len(chosen) < args.batch:
                continue
            x = augment(to_float(pictures.images[chosen])).to(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bf16(cpu=True)):
                logits = model(x)
            loss = F.cross_entropy(logits.float(), pictures.labels[chosen], ignore_index=NULL, label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            average.update_parameters(model)
        score = accuracy(average.module, to_float(truth.images), truth.labels)
        print(f"epoch {epoch + 1} loss {loss.item():.4f} test {score:.4%} {time.time() - start:.0f} s", flush=True)
    judge = average.module
    judge.accuracy = round(score, 4)
    judge.to(memory_format=torch.contiguous_format).save(args.out)
    print(f"{args.out}: test accuracy {score:.4%}, {args.out.stat().st_size / 1e6:.2f} MB, sha256 {judge.sha256}")


if __name__ == "__main__":
    main()
