"""Train the classifier that judges samples of a data set and put it into the package.

    python runs/classifier.py --data data --out src/s2id/evaluation/judges/mnist.safetensors
    python runs/classifier.py --name celeba --long-side 32 --mirror --strength 0.4 --data data --out judge.safetensors

Training shifts, rotates, scales and shears the pictures, and keeps a moving average of the weights.
It is trained without any generator. It names the class of a picture or, for data without classes, every attribute
that is present.
"""

import argparse
import time
from pathlib import Path

import torch
from common import augment
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from s2id.condition import Condition
from s2id.data.pictures import Pictures
from s2id.data.registry import load_pictures
from s2id.evaluation.judge import Judge
from s2id.images import to_float
from s2id.memory import keep_memory
from s2id.shapes import NULL
from s2id.training.device import multiplies_bf16


def loss_of(logits: Tensor, truth: Condition) -> Tensor:
    """Cross entropy of the classes, or of every known attribute where there are no classes."""
    if truth.attributes is None:
        return F.cross_entropy(logits, truth.label, ignore_index=NULL, label_smoothing=0.05)
    return F.soft_margin_loss(logits, truth.attributes.float(), reduction="none")[truth.attributes != 0].mean()


def accuracy(model: nn.Module, images: Tensor, truth: Condition) -> float:
    """Share of the known classes, or of the known attributes, that the judge names right."""
    model.eval()
    with torch.inference_mode():
        logits = torch.cat([model(x) for x in images.split(500)])
    if truth.attributes is None:
        return (logits.argmax(1) == truth.label)[truth.label != NULL].float().mean().item()
    return ((logits > 0) == (truth.attributes > 0))[truth.attributes != 0].float().mean().item()


def everything(data: Pictures) -> tuple[Tensor, Condition]:
    """All pictures of a data set of one size, as bytes, and their classes, or else their attributes."""
    (group,) = data.groups
    known = group.condition()
    return group.images, Condition(known.label) if data.labels else known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="mnist")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("src/s2id/evaluation/judges/mnist.safetensors"))
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--alpha", help="what becomes of transparency, as for s2id train")
    parser.add_argument("--long-side", type=int, help="shrink pictures to this long side in pixels")
    parser.add_argument("--strength", type=float, default=1.0, help="factor of all augmentation but mirroring")
    parser.add_argument("--mirror", action="store_true", help="mirror half of the pictures left to right")
    args = parser.parse_args()
    keep_memory()
    torch.manual_seed(0)
    train, test = (
        load_pictures(args.name, args.data, split, args.long_side, alpha=args.alpha) for split in ("train", "test")
    )
    (pictures, known), (others, truth) = everything(train), everything(test)
    attributes = () if train.labels else train.attributes
    if not train.labels and not attributes:
        parser.error(f"the pictures of {train.name} have neither classes nor attributes; there is nothing to tell.")
    model = Judge(train.name, train.size, train.channels, len(train.labels), attributes=attributes)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    steps = args.epochs * (len(pictures) // args.batch)
    # over 500 steps, or the last fifth of a short run
    decay = 1 - max(0.002, 5 / steps)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.15)
    start = time.time()
    for epoch in range(args.epochs):
        model.train()
        for chosen in torch.randperm(len(pictures)).split(args.batch):
            if len(chosen) < args.batch:
                continue
            x = to_float(pictures[chosen])
            if args.mirror:
                x = torch.where((torch.rand(len(x)) < 0.5)[:, None, None, None], x.flip(3), x)
            x = augment(x, args.strength).to(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bf16(torch.device("cpu"))):
                logits = model(x)
            loss = loss_of(logits.float(), known[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            average.update_parameters(model)
        score = accuracy(average.module, to_float(others), truth)
        print(f"epoch {epoch + 1} loss {loss.item():.4f} test {score:.4%} {time.time() - start:.0f} s", flush=True)
    judge = average.module
    assert isinstance(judge, Judge)
    judge.accuracy = round(score, 4)
    judge.to(memory_format=torch.contiguous_format).save(args.out)  # type: ignore[call-overload]
    print(f"{args.out}: test accuracy {score:.4%}, {args.out.stat().st_size / 1e6:.2f} MB, sha256 {judge.sha256}")


if __name__ == "__main__":
    main()
