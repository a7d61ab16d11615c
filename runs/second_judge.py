"""Train a second classifier of MNIST, by which no setting was ever chosen, and ask whether it agrees with the judge.

    python runs/second_judge.py --data data mnist mnist-fast [--count 2000] [--judge out/second-judge.safetensors]

It shares neither architecture nor seed with the package's judge: 5x5 convolutions without normalisation, maximum
pooling, two dense layers with dropout, ReLU. Its weights are kept in a file, and trained again where that is missing.
The table gives, for real pictures and for each model's samples (guidance 1, classes in turn), the share that either
classifier names as asked, and the share of which both say the same.
"""

import argparse
import time
from pathlib import Path

import torch
from common import augment
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from s2id.data.registry import load_pictures
from s2id.evaluation.judge import load as load_judge
from s2id.evaluation.report import markdown
from s2id.evaluation.samples import Samples, conditions
from s2id.evaluation.settings import EvaluateConfig
from s2id.media.images import to_float
from s2id.memory import keep_memory
from s2id.sampling.model import load
from s2id.sampling.settings import Sampling

_SIZE = (28, 28)


def second_judge() -> nn.Sequential:
    """The untrained classifier, from pictures (b, 1, 28, 28) in [-1, 1] to logits (b, 10)."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.4), nn.Linear(64 * 49, 256), nn.ReLU(), nn.Dropout(0.4), nn.Linear(256, 10),
    )  # fmt: skip


@torch.inference_mode()
def named(classifier: nn.Module, images: Tensor) -> Tensor:
    """Most likely class of each picture."""
    return torch.cat([classifier(part).argmax(1) for part in images.split(500)])


def trained(images: Tensor, labels: Tensor, epochs: int, seed: int) -> nn.Module:
    """The classifier with the moving average of its weights, trained on bytes (n, 1, 28, 28) and their classes."""
    torch.manual_seed(seed)
    classifier, batch = second_judge(), 100
    steps = epochs * (len(images) // batch)
    optimiser = torch.optim.Adam(classifier.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=steps)
    average = AveragedModel(classifier, multi_avg_fn=get_ema_multi_avg_fn(1 - max(0.002, 5 / steps)))
    start = time.time()
    for epoch in range(epochs):
        for chosen in torch.randperm(len(images))[: steps // epochs * batch].split(batch):
            loss = F.cross_entropy(classifier(augment(to_float(images[chosen]), 0.7)), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            average.update_parameters(classifier)
        print(f"epoch {epoch + 1} loss {loss.item():.4f} {time.time() - start:.0f} s", flush=True)
    return average.module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", nargs="*", default=["mnist", "mnist-fast"])
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--judge", type=Path, default=Path("out/second-judge.safetensors"))
    args = parser.parse_args()
    keep_memory()
    (group,), (held_out,) = (load_pictures("mnist", args.data, split).groups for split in ("train", "test"))
    if args.judge.is_file():
        second: nn.Module = second_judge()
        second.load_state_dict(load_file(args.judge))
    else:
        second = trained(group.images, group.labels.long(), args.epochs, args.seed)
        args.judge.parent.mkdir(parents=True, exist_ok=True)
        save_file(second.state_dict(), args.judge)
    second.eval().requires_grad_(False)
    first = load_judge("mnist")

    def row(name: str, images: Tensor, asked: Tensor) -> list[object]:
        ours, theirs = named(first, images), named(second, images)
        pairs = (ours, asked), (theirs, asked), (ours, theirs)
        return [name, len(images), *(f"{(a == b).float().mean().item():.2%}" for a, b in pairs)]

    rows = [row("test pictures", to_float(held_out.images), held_out.labels.long())]
    for weights in args.weights:
        config = EvaluateConfig(sizes=(_SIZE,), count=args.count, detail=1, sampling=Sampling(guidance=1.0))
        model = load(weights)
        samples = Samples(model, config, conditions(model, held_out.condition(), args.count))
        rows.append(row(weights, torch.cat(list(samples.at(_SIZE))), samples.asked.label))
    print(markdown(("pictures", "n", "right, judge", "right, second judge", "both say the same"), rows))


if __name__ == "__main__":
    main()
