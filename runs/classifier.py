"""Train the classifier that judges samples of a data set and put it into the package.

    python runs/classifier.py --data data --out src/s2id/evaluation/judges/mnist.safetensors
    python runs/classifier.py --name celeba --long-side 32 --mirror --strength 0.4 --data data --out judge.safetensors
    python runs/classifier.py --name folder --long-side 64 --alpha white --captions --mirror --strength 0.5 \
        --widths 32 48 64 128 128 128 --strides 2 2 1 2 1 1 --batch 64 --coarse --epochs 16 --data icons --out coarse
    (and once more without --coarse, with --init coarse --epochs 8 --lr 2e-3 --out out/icons-judge.safetensors)

Training shifts, rotates, scales and shears the pictures, and keeps a moving average of the weights.
It is trained without any generator. It names the class of a picture or, for data without classes, every attribute
that is present; with --captions also what is shown, one concept per caption. A folder has one split, so a judge of a
folder is trained on all of it; of the data set `vectors` it learns the training split, and is asked for the rest.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from common import augment
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from s2id.condition import Condition
from s2id.data.pictures import Pictures
from s2id.data.registry import load_pictures
from s2id.evaluation.judge import Judge
from s2id.evaluation.judge import load as load_judge
from s2id.media.images import to_float
from s2id.memory import keep_memory
from s2id.shapes import NULL
from s2id.training.device import multiplies_bf16
from s2id.words import words_of

SIDED = {*"left right leftwards rightwards clockwise counterclockwise oclock thirty flag flags symbols".split()}
"""Words of captions and of attributes of pictures that another one may be the mirror image of."""


@dataclass(frozen=True)
class Truth:
    """What a judge should say of some pictures."""

    known: Condition
    """Classes, or attributes where there are no classes."""
    concepts: Tensor
    """Index of what each picture shows, (n,); NULL where no concept of the judge is its caption."""

    def __getitem__(self, chosen: Tensor) -> "Truth":
        return Truth(self.known[chosen], self.concepts[chosen])


def loss_of(logits: Tensor, truth: Truth, concepts: int) -> Tensor:
    """Cross entropy of the classes and of the concepts; of every known attribute where there are no classes."""
    split = logits.shape[1] - concepts
    if truth.known.attributes is None:
        loss = F.cross_entropy(logits[:, :split], truth.known.label, ignore_index=NULL, label_smoothing=0.05)
    else:
        signed = truth.known.attributes.float()
        loss = F.soft_margin_loss(logits[:, :split], signed, reduction="none")[signed != 0].mean()
    if not concepts:
        return loss
    return loss + F.cross_entropy(logits[:, split:], truth.concepts, ignore_index=NULL, label_smoothing=0.05)


@torch.inference_mode()
def accuracy(judge: Judge, images: Tensor, truth: Truth) -> tuple[float, float]:
    """Share of the known classes, or of the known attributes, that the judge names right; and that of the concepts."""
    judge.eval()
    features = torch.cat([judge.encode(to_float(x)) for x in images.split(500)])
    if truth.known.attributes is None:
        right = (judge.classify(features) == truth.known.label)[truth.known.label != NULL]
    else:
        right = (judge.attributes_of(features) == truth.known.attributes.sign())[truth.known.attributes != 0]
    if not judge.concepts:
        return right.float().mean().item(), float("nan")
    shown = (judge.concepts_of(features) == truth.concepts)[truth.concepts != NULL]
    return right.float().mean().item(), shown.float().mean().item()


def everything(data: Pictures, concepts: Sequence[str]) -> tuple[Tensor, Truth]:
    """All pictures of a data set of one size, as bytes, their classes, or else their attributes, and their concepts."""
    (group,) = data.groups
    known, place = group.condition(), {caption: i for i, caption in enumerate(concepts)}
    shown = torch.tensor([place.get(text, NULL) for text in group.texts or [""] * len(group.labels)])
    return group.images, Truth(Condition(known.label) if data.labels else known, shown)


def may_mirror(data: Pictures) -> Tensor:
    """Whether each picture may be mirrored and still be what its class and caption say."""
    (group,) = data.groups
    said = [{*words_of(text)} for text in group.texts or [""] * len(group.labels)]
    for i, name in enumerate(data.attributes):
        if group.attributes is not None and not SIDED.isdisjoint(words_of(name)):
            for row in (group.attributes[:, i] > 0).nonzero()[:, 0].tolist():
                said[row] |= {*words_of(name)}
    return torch.tensor([SIDED.isdisjoint(words) for words in said])


def trained(model: Judge, data: Pictures, test: Pictures, args: argparse.Namespace) -> Judge:
    """The judge with the moving average of its weights, and its accuracy on the test set."""
    (pictures, truth), (others, others_truth) = (everything(some, model.concepts) for some in (data, test))
    mirrored = may_mirror(data) if args.mirror else torch.zeros(len(pictures), dtype=torch.bool)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.05)
    steps = args.epochs * (len(pictures) // args.batch)
    # over 500 steps, or the last fifth of a short run
    decay = 1 - max(0.002, 5 / steps)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, args.lr, total_steps=steps, pct_start=0.15)
    start = time.process_time()
    for epoch in range(args.epochs):
        model.train()
        for chosen in torch.randperm(len(pictures)).split(args.batch):
            if len(chosen) < args.batch:
                continue
            x = to_float(pictures[chosen])
            flip = (torch.rand(len(x)) < 0.5) & mirrored[chosen]
            x = torch.where(flip[:, None, None, None], x.flip(3), x)
            x = augment(x, args.strength)
            x = F.avg_pool2d(x, 2) if args.coarse else x
            x = x.to(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bf16(torch.device("cpu"))):
                logits = model(x)
            loss = loss_of(logits.float(), truth[chosen], len(model.concepts))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            average.update_parameters(model)
        print(
            f"epoch {epoch + 1} loss {loss.item():.4f} {time.process_time() - start:.0f} s of the processor", flush=True
        )
        if (epoch + 1) % 4 and epoch + 1 < args.epochs:
            continue
        right, shown = accuracy(average.module, others, others_truth)  # type: ignore[arg-type]
        print(f"test {right:.4%}" + (f", shown {shown:.4%}" if model.concepts else ""), flush=True)
    judge = average.module
    assert isinstance(judge, Judge)
    judge.accuracy = round(right, 4)
    return judge.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="mnist")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("src/s2id/evaluation/judges/mnist.safetensors"))
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--coarse", action="store_true", help="train at half the size, for a quarter of the work")
    parser.add_argument("--init", type=Path, help="judge of the same captions to go on from, as one that is coarse")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--alpha", help="what becomes of transparency, as for s2id train")
    parser.add_argument("--long-side", type=int, help="shrink pictures to this long side in pixels")
    parser.add_argument("--strength", type=float, default=1.0, help="factor of all augmentation but mirroring")
    parser.add_argument("--mirror", action="store_true", help="mirror half of the pictures that have no side")
    parser.add_argument("--captions", action="store_true", help="name what is shown, too: one concept per caption")
    parser.add_argument("--widths", type=int, nargs="+", default=[48, 48, 96, 96, 128], help="channels by convolution")
    parser.add_argument("--strides", type=int, nargs="+", default=[1, 2, 1, 2, 1], help="stride of each convolution")
    args = parser.parse_args()
    keep_memory()
    torch.manual_seed(0)
    train, test = (
        load_pictures(args.name, args.data, split, args.long_side, alpha=args.alpha) for split in ("train", "test")
    )
    attributes = () if train.labels else train.attributes
    if not train.labels and not attributes:
        parser.error(f"the pictures of {train.name} have neither classes nor attributes; there is nothing to tell.")
    captions = {text for group in train.groups for text in group.texts if text} if args.captions else set()
    model = Judge(
        train.name, train.size, train.channels, len(train.labels), tuple(args.widths), attributes=attributes,
        strides=tuple(args.strides), concepts=tuple(sorted(captions)),
    )  # fmt: skip
    if args.init:
        model.load_state_dict(load_judge(args.init).state_dict())
    judge = trained(model, train, test, args)
    judge.save(args.out)
    facts = f"test accuracy {judge.accuracy:.2%}, {args.out.stat().st_size / 1e6:.2f} MB, sha256 {judge.sha256}"
    print(f"{args.out}: {facts}")


if __name__ == "__main__":
    main()
