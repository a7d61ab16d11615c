"""Estimate the bound of every restoration: how likely the measured pixels of `runs/restore.py` make the true class.

    python runs/bounds.py super --data data
    python runs/bounds.py inpaint --data data

A small classifier is trained on the measured pictures: 7x7 area means, or pictures without their centre. It is then
calibrated with one temperature, fitted on training pictures held back. Its accuracy estimates that of the best guess.
The mean probability of the true class estimates how often exact samples of the posterior show the true class: where
the pixels leave several classes open, samples show each as often as it is likely.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from common import LOW, SIZE, augment, hole
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from s2id.cli.options import writable
from s2id.data.registry import load_pictures
from s2id.media.images import resize, to_float
from s2id.memory import keep_memory

HELD_BACK = 5000


def seen(x: Tensor, task: str) -> Tensor:
    """The measured pictures of a task; a hole is grey."""
    return resize(x, LOW) if task == "super" else torch.where(hole(), x, 0.0)


def network(task: str) -> nn.Sequential:
    """A small classifier of measured pictures."""
    widths = (LOW[0] * LOW[1], 256, 256) if task == "super" else (SIZE[0] * SIZE[1], 512, 256)
    layers: list[nn.Module] = [nn.Flatten()]
    for a, b in zip(widths[:-1], widths[1:], strict=True):
        layers += [nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.SiLU(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 10))


def trained(args: argparse.Namespace, images: Tensor, labels: Tensor) -> nn.Module:
    """The moving average of a trained classifier of measured pictures."""
    model = network(args.task)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.998), use_buffers=True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    steps = args.epochs * (len(labels) // args.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.15)
    start = time.time()
    for epoch in range(args.epochs):
        model.train()
        for chosen in torch.randperm(len(labels)).split(args.batch)[: steps // args.epochs]:
            x = seen(augment(to_float(images[chosen]), args.strength), args.task)
            loss = F.cross_entropy(model(x), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            average.update_parameters(model)
        print(f"epoch {epoch + 1} loss {loss.item():.4f} {time.time() - start:.0f} s", flush=True)
    return average.module.eval()


def temperature(logits: Tensor, labels: Tensor) -> float:
    """The divisor of the logits that makes the labels most likely."""
    choices = torch.logspace(-0.5, 0.7, 121)
    losses = torch.stack([F.cross_entropy(logits / one, labels) for one in choices])
    return float(choices[losses.argmin()])


def calibration_error(p: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Mean distance between confidence and accuracy, over bins of confidence."""
    confidence, guess = p.max(1)
    right, place = (guess == labels).float(), (confidence * bins).long().clamp(max=bins - 1)
    gaps = [(confidence[place == i] - right[place == i]).sum().abs() for i in range(bins)]
    return float(torch.stack(gaps).sum() / len(labels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("super", "inpaint"))
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("out/bounds"))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--strength", type=float, default=0.5, help="of the augmentation, in that of classifier.py")
    args = parser.parse_args()
    keep_memory()
    writable(args.out)
    torch.manual_seed(0)
    train, test = (load_pictures("mnist", args.data, split).groups[0] for split in ("train", "test"))
    model = trained(args, train.images[:-HELD_BACK], train.labels[:-HELD_BACK])

    @torch.inference_mode()
    def logits(images: Tensor) -> Tensor:
        return torch.cat([model(seen(to_float(part), args.task)) for part in images.split(500)])

    scale = temperature(logits(train.images[-HELD_BACK:]), train.labels[-HELD_BACK:])
    rows = {}
    for count in (1000, len(test.labels)):  # restore.py judges the first thousand
        labels = test.labels[:count]
        p = (logits(test.images[:count]) / scale).softmax(1)
        rows[count] = {
            "best guess right": round((p.argmax(1) == labels).float().mean().item(), 4),
            "exact sample right": round(p.gather(1, labels[:, None]).mean().item(), 4),
            "calibration error": round(calibration_error(p, labels), 4),
        }
    facts = {"task": args.task, "epochs": args.epochs, "temperature": round(scale, 3), "test pictures": rows}
    print(json.dumps(facts, indent=2))
    (args.out / f"{args.task}.json").write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
