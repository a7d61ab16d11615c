"""The samples that an evaluation measures: what the model is asked for, and its pictures at any size.

A model of classes is asked for each class in turn. A model of attributes, numbers or text is asked for the whole
conditions of test pictures: a set drawn under any other mixture of conditions cannot resemble the test set.
"""

import time
from collections.abc import Iterator

import torch
from jaxtyping import Int

from s2id.condition import Condition
from s2id.coords import extent, whole_size
from s2id.evaluation.image_metrics import check_images
from s2id.evaluation.settings import EvaluateConfig, check_judged
from s2id.media.alpha import over
from s2id.media.images import to_bytes, to_float
from s2id.network.settings import BESIDE_CLASSES, NetworkConfig
from s2id.sampling.field import Field
from s2id.sampling.model import S2ID
from s2id.sampling.sample import Plan, plans, sample
from s2id.settings import Alpha, Size, Window
from s2id.shapes import NULL, Images, Labels

_BATCH_PIXELS = 2**22  # pixels rendered at once


class Samples:
    """The same seeds' pictures at any size: composed once, or anew for every size where the model is dense."""

    def __init__(self, model: S2ID, config: EvaluateConfig, asked: Condition, ground: Alpha = "white") -> None:
        """Compose the samples, unless the model composes every size anew.

        Args:
            model: Model to sample from.
            config: How to sample. As many pictures are drawn as are asked for, whatever its `count`.
            asked: Conditions of samples 0, 1, 2, ..., for example those of `conditions`.
            ground: What pictures with alpha are laid over.

        Raises:
            InputError: A size, of which the long side alone was given, is too small to judge.
        """
        self.model, self.config, self.asked, self.ground = model, config, asked, ground
        self.compose_seconds = self.render_seconds = 0.0
        self.sizes = [whole_size(size, self.frame) for size in config.sizes]
        for size in self.sizes:
            check_judged(size)
        plan = self._plan(self.sizes[0])
        self.fields = [] if plan.aspect else list(self._compose(plan))

    @property
    def frame(self) -> tuple[float, float]:
        """Height and width of the judged part in the middle of every picture: the data's own aspect."""
        return extent(self.model.card.size or (1, 1))

    def at(self, size: Size, window: Window | None = None) -> Iterator[Images]:
        """The pictures of one size, on the CPU, in batches of bounded memory."""
        self.render_seconds = 0.0
        most = max(1, _BATCH_PIXELS // (size[0] * size[1]))
        plan = self._plan(size)
        for composed in self._compose(plan) if plan.aspect else self.fields:
            for i in range(0, len(composed), most):
                start = time.perf_counter()
                limit = most * size[0] * size[1]
                part = composed[i : i + most].render(size, window, self.config.fit, max_pixels=limit).cpu()
                self.render_seconds += (time.perf_counter() - start) / len(self.asked)
                yield over(part, self.ground)

    def _plan(self, size: Size) -> Plan:
        """The composition that pictures of a size need; its `aspect` is `None` if it serves every size."""
        (plan,) = plans(self.model, [size], self.config.sampling)
        return plan

    def _compose(self, plan: Plan) -> Iterator[Field]:
        """Fields of all seeds, in batches."""
        count = len(self.asked)
        self.compose_seconds = 0.0
        for first in range(0, count, plan.batch):
            seeds = range(first, min(first + plan.batch, count))
            asked = [one if one.known else None for one in self.asked[first : seeds.stop].split(1)]
            start = time.perf_counter()
            composed = sample(self.model, asked, seeds, plan.sampling, aspect=plan.aspect)
            if self.model.device.type == "cuda":
                torch.cuda.synchronize()
            self.compose_seconds += (time.perf_counter() - start) / count
            yield composed


def conditions(model: S2ID, test: Condition, count: int) -> Condition:
    """Conditions of samples 0, 1, 2, ...: classes in turn, or those of test pictures in a fixed random order."""
    if not classes_only(model.config):
        order = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))
        return test[order.repeat(-(-count // len(test)))[:count]]
    numbers, classes = torch.arange(count), model.config.classes
    return Condition(numbers % classes if classes else numbers.fill_(NULL))


def classes_only(config: NetworkConfig) -> bool:
    """Whether a model takes no condition other than a class."""
    return not any(getattr(config, name) for name in BESIDE_CLASSES)


def in_turn(labels: Labels, count: int) -> Int[torch.Tensor, " n"]:
    """Indices of `count` random pictures whose classes come in turn, as those of the samples do.

    Args:
        labels: Class of each picture of a data set.
        count: Number of pictures to choose.

    Example:
        >>> labels = torch.tensor([0, 0, 0, 0, 1, 1])
        >>> labels[in_turn(labels, 4)].tolist() in ([0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1])
        True
    """
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    turn = torch.empty_like(labels)
    for label in labels.unique():
        own = labels[shuffled] == label
        turn[own] = torch.arange(int(own.sum()))
    return shuffled[turn.argsort(stable=True)][:count]


def as_saved(pictures: Images) -> Images:
    """The pictures with their values rounded to 8 bits, as an image file holds them.

    Raises:
        InputError: A picture holds values that are not finite.
    """
    check_images(pictures)
    return to_float(to_bytes(pictures))


def frame_part(size: Size, frame: tuple[float, float], fit: str) -> tuple[slice, slice]:
    """Rows and columns of a picture that show the frame.

    Args:
        size: Height and width of the picture, in pixels.
        frame: Height and width of the frame, in any unit.
        fit: How the frame meets the picture. With "fit" the frame lies in the middle of more canvas; otherwise the
            whole picture shows the frame.

    Example:
        >>> frame_part((20, 30), (1.0, 1.0), "fit")
        (slice(0, 20, None), slice(5, 25, None))
    """
    if fit != "fit":
        return slice(None), slice(None)
    scale = min(size[0] / frame[0], size[1] / frame[1])
    height, width = (max(1, round(side * scale)) for side in frame)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return slice(top, top + height), slice(left, left + width)
