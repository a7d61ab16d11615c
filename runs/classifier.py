"""Train the MNIST classifier that judges samples: a small CNN, independent of everything in the package.

    python runs/classifier.py --data data --out out/classifier.safetensors

Takes about ten minutes on two cores. Shifts, rotations and scalings as augmentation, moving average of the weights.
"""

import argparse
import math
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from s2id.data import load
from s2id.images import to_float


class Classifier(nn.Module):
    """28x28 digits in [-1, 1] to 10 logits; `features` is the 128-channel layer before them."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 32, 32, 64, 64, 128)
        strides = (1, 2, 1, 2, 1)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=s, padding=1, bias=False)
            for a, b, s in zip(widths[:-1], widths[1:], strides, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for b in widths[1:])
        self.out = nn.Linear(128, 10)

    def features(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.silu(norm(conv(x)))
        return x.mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.features(x))


def augment(x: Tensor) -> Tensor:
    """Random rotation (15 degrees), scale (12 %), shear and shift (2.5 px) of each image."""
    b = len(x)
    angle = (torch.rand(b) * 2 - 1) * math.radians(15)
    scale = 1 + (torch.rand(b, 2) * 2 - 1) * 0.12
    shear = (torch.rand(b) * 2 - 1) * 0.15
    shift = (torch.rand(b, 2) * 2 - 1) * 2.5 / 14
    theta = torch.stack(
        [
            torch.stack([angle.cos() * scale[:, 0], -angle.sin() + shear, shift[:, 0]], 1),
            torch.stack([angle.sin(), angle.cos() * scale[:, 1], shift[:, 1]], 1),
        ],
        1,
    )
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x + 1, grid, align_corners=False) - 1


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    model.eval()
    with torch.inference_mode():
        hits = [model(x).argmax(1) == y for x, y in zip(images.split(500), labels.split(500), strict=True)]
    return torch.cat(hits).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("out/classifier.safetensors"))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=128)
    args = parser.parse_args()
    torch.manual_seed(0)
    train, test = (load("mnist", args.data, split).groups[0] for split in ("train", "test"))
    model = Classifier().to(memory_format=torch.channels_last)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999), use_buffers=True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    steps = args.epochs * (len(train.labels) // args.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.15)
    start = time.time()
    for epoch in range(args.epochs):
        model.train()
        for chosen in torch.randperm(len(train.labels)).split(args.batch):
            if len(chosen) < args.batch:
                continue
            x = augment(to_float(train.images[chosen])).to(memory_format=torch.channels_last)
            loss = F.cross_entropy(model(x), train.labels[chosen], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            average.update_parameters(model)
        score = accuracy(average.module, to_float(test.images), test.labels)
        print(
            f"epoch {epoch + 1} loss {loss.item():.4f} test {score:.4%} {time.time() - start:.0f} s",
            flush=True,
        )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    state = {k: v.contiguous() for k, v in average.module.state_dict().items()}
    save_file(state, args.out, {"test_accuracy": f"{score:.4f}"})
    print(f"{args.out}: test accuracy {score:.4%}")


if __name__ == "__main__":
    main()
