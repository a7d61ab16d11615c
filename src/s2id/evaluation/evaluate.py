"""How good a model is at every size: one row per size, the same seeds at each, beside the data's own row.

Likeness to the data is judged at the data's size, after area-averaging what was rendered; agreement compares each
size with the data's own; detail is measured on the rendered pixels themselves, in units of a training pixel.

A model of classes is asked for each in turn. One that hears attributes, numbers or text is asked for what pictures of
the test set are, each whole: no other mixture of conditions can be like that set.
"""

import ctypes
import math
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from s2id.condition import Condition, cat
from s2id.coords import extent
from s2id.data.pictures import Pictures, rescaled
from s2id.errors import InputError
from s2id.evaluation import image_metrics, set_metrics
from s2id.evaluation.judge import Extractor, Judge
from s2id.evaluation.report import Agreement, Detail, Likeness, Row
from s2id.evaluation.settings import EvaluateConfig
from s2id.images import resize, to_bytes, to_float
from s2id.network.settings import ModelConfig
from s2id.sampling.field import Field
from s2id.sampling.model import S2ID
from s2id.sampling.sample import affordable, sample
from s2id.settings import Size, Window
from s2id.shapes import NULL, Images, Labels

_ZOOM = (0.25, 0.25, 0.75, 0.75)

_BATCH_PIXELS = 2**22

_FEW = 100  # pictures that are given to an extractor at once

_BALANCED = 10  # attributes that are judged in one number


class _Drawn:
    """The same seeds' pictures at any size: composed once, or anew for every size where the model is dense."""

    def __init__(self, model: S2ID, config: EvaluateConfig, test: Condition) -> None:
        self.model, self.config = model, config
        self.asked = _asked(model, test, config.count)
        self.compose_seconds = self.render_seconds = 0.0
        self.fields = [] if model.config.dense else list(self._compose(None))

    def _compose(self, size: Size | None) -> Iterator[Field]:
        """All seeds' fields, in batches; `size` is the state's, or as configured."""
        config = self.config
        sampling = replace(config.sampling, density=max(size)) if size else config.sampling
        batch = affordable(sampling.density or self.model.card.density)
        self.compose_seconds = 0.0
        for first in range(0, config.count, batch):
            seeds = range(first, min(first + batch, config.count))
            asked = [one if one.known else None for one in self.asked[first : seeds.stop].split(1)]
            start = time.perf_counter()
            drawn = sample(self.model, asked, seeds, sampling, aspect=size)
            if self.model.device.type == "cuda":
                torch.cuda.synchronize()
            self.compose_seconds += (time.perf_counter() - start) / config.count
            yield drawn

    @property
    def frame(self) -> tuple[float, float]:
        """Height and width of what is judged, in the middle of every picture: the data's own aspect."""
        return extent(self.model.card.size or (1, 1))

    def at(self, size: Size, window: Window | None = None) -> Iterator[Images]:
        """The pictures, on the CPU, in batches of bounded memory."""
        self.render_seconds = 0.0
        most = max(1, _BATCH_PIXELS // (size[0] * size[1]))
        for drawn in self._compose(size) if self.model.config.dense else self.fields:
            for i in range(0, len(drawn), most):
                start = time.perf_counter()
                part = drawn[i : i + most].render(size, window, self.config.fit, max_pixels=size[0] * size[1]).cpu()
                self.render_seconds += (time.perf_counter() - start) / self.config.count
                yield part


@dataclass(frozen=True)
class Seen:
    """What is seen in pictures."""

    features: Float[Tensor, "n d"]
    classes: Int[Tensor, " n"] | None = None
    """As a judge names them, where it knows any."""
    attributes: Int[Tensor, "n a"] | None = None
    """Present (1) or absent (-1), likewise."""


@dataclass(frozen=True)
class Eye:
    """What looks at pictures: a judge, an extractor of features, or both, and then the features are the extractor's."""

    judge: Judge | None
    extractor: Extractor | None
    size: Size
    """At which it looks."""

    def __call__(self, pictures: Images) -> Seen:
        """What is seen in pictures of any size."""
        judge = self.judge
        features = own = judge.features(pictures) if judge else None
        if self.extractor is not None:
            features = torch.cat([self.extractor(resize(part, self.size)) for part in pictures.split(_FEW)])
        assert features is not None  # one of the two is there
        if judge is None or own is None:
            return Seen(features)
        return Seen(
            features,
            judge.classify(own) if judge.classes else None,
            judge.attributes_of(own) if judge.attributes else None,
        )

    def named(self, right: Float[Tensor, " a"]) -> dict[str, float]:
        """Shares of attributes by name; none where no judge knows any."""
        return dict(zip(self.judge.attributes if self.judge else (), right.tolist(), strict=True))


@dataclass(frozen=True)
class Truth:
    """The test set, as it is seen."""

    images: Images
    """At the eye's size."""
    asked: Condition
    """What each picture is."""
    seen: Seen

    @classmethod
    def of(cls, pictures: Pictures, eye: Eye) -> "Truth":
        """All of some pictures, through an eye."""
        images, asked = _pixels(pictures, eye.size)
        return cls(images, asked, eye(images))

    @property
    def balanced(self) -> list[int]:
        """The attributes of which there are most nearly as many as not, the nearest first."""
        if self.asked.attributes is None:
            return []
        has = self.asked.attributes.float()
        share = has.sum(0) / (has != 0).sum(0).clamp(min=1)  # of those it is known of; never known is 0 of none
        return share.abs().where((has != 0).any(0), 1.0).argsort(stable=True)[:_BALANCED].tolist()


@dataclass(frozen=True)
class _Base:
    """The pictures at the data's size that every other size is held against."""

    images: Images
    classes: Int[Tensor, " n"] | None
    topology: Int[Tensor, "n 2"]
    aspect: Float[Tensor, " n"]
    border: Float[Tensor, " n"]


def evaluate(
    model: S2ID,
    judge: Judge | None,
    train: Pictures,
    test: Pictures,
    config: EvaluateConfig,
    extractor: Extractor | None = None,
) -> Iterator[Row]:
    """The rows: the training set's own, then one per size as soon as it is measured.

    Args:
        model: What to judge.
        judge: Classifier of the same data; `None`, where there is an extractor, names no classes.
        train: Training pictures; as many of them as are drawn give the floor.
        test: Pictures that all are compared with. Numbers of both are heard in the scale of the model's own data.
        config: Sizes, number of pictures and how to draw them.
        extractor: What gives the features that sets are compared in, of pictures at the size where they are judged;
            `None` takes the judge's own.

    Raises:
        InputError: Data, judge and model do not belong together, or too few pictures are asked for.
    """
    _check(model, judge, test, config, extractor)
    train, test = (rescaled(pictures, model.card.number_ranges) for pictures in (train, test))
    eye = Eye(judge, extractor, judge.size if judge else test.size)
    truth = Truth.of(test, eye)
    images, asked = _pixels(train, eye.size)
    shuffled = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    # as many as are drawn, and as they are drawn: classes in turn, or as they come
    chosen = in_turn(asked.label, config.count) if _by_class(model.config) else shuffled[: config.count]
    floor, asked = images[chosen], asked[chosen]
    seen = eye(floor)
    yield Row("training set", likeness(floor, seen, asked, truth), attributes=eye.named(_right(seen, asked)))
    if judge and judge.attributes:  # it may know its training set by heart: what it says of others is the yardstick
        seen, asked = truth.seen, truth.asked
        own = Likeness(
            right_class=_same(seen.classes, asked.label), right_attributes=_right_on_balance(seen, asked, truth)
        )
        yield Row("test set", own, attributes=eye.named(_right(seen, asked)))
    drawn = _Drawn(model, config, truth.asked)
    base_size = model.card.size or test.size
    pictures = torch.cat([shown(part) for part in drawn.at(base_size)])
    base = _Base(
        pictures,
        eye(pictures).classes,
        image_metrics.components_and_holes(pictures),
        image_metrics.ink_aspect(pictures),
        image_metrics.border_ink(pictures),
    )
    for size in config.sizes:
        yield _row(size, drawn, eye, truth, base, config)


def _asked(model: S2ID, test: Condition, count: int) -> Condition:
    """What is asked of the model's pictures, 0, 1, 2, ..."""
    if not _by_class(model.config):
        order = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))
        return test[order.repeat(-(-count // len(test)))[:count]]
    numbers, classes = torch.arange(count), model.config.classes
    return Condition(numbers % classes if classes else numbers.fill_(NULL))


def _by_class(known: ModelConfig) -> bool:
    """Whether a class is all that a model can be asked for."""
    return not (known.attributes or known.numbers or known.token_width)


def _check(
    model: S2ID, judge: Judge | None, test: Pictures, config: EvaluateConfig, extractor: Extractor | None
) -> None:
    if judge is None and extractor is None:
        raise InputError(f"{test.name} has no judge; train one as runs/classifier.py does, or give an extractor.")
    if judge and not extractor and config.count < (least := 2 * judge.widths[-1]):
        raise InputError(
            f"count is {config.count}; a Frechet distance in {judge.widths[-1]} features needs at least {least}."
        )
    if judge and (judge.classes != len(test.labels) or judge.channels != test.channels):
        raise InputError(
            f"the judge of {judge.data!r} knows {judge.classes} classes in {judge.channels} channels and {test.name} "
            f"has {len(test.labels)} in {test.channels}; use the data's own judge (--judge)."
        )
    if judge and judge.attributes and judge.attributes != test.attributes:
        raise InputError(
            f"the judge of {judge.data!r} knows {len(judge.attributes)} attributes and {test.name} has "
            f"{len(test.attributes)}, or has others; use the data's own judge (--judge)."
        )
    if (density := config.sampling.density) and model.config.dense:
        raise InputError(f"density is {density} and this model composes each size on its own; leave it out.")
    classes = len(test.labels)
    if config.count < 2 * classes:
        raise InputError(f"count is {config.count}; {classes} classes need at least {2 * classes}.")
    known = model.config
    if (known.classes, known.attributes, known.channels) != (classes, len(test.attributes), test.channels):
        raise InputError(
            f"the model draws {known.classes} classes and {known.attributes} attributes in {known.channels} channels "
            f"and {test.name} has {classes} and {len(test.attributes)} in {test.channels}; name the data set it was "
            "trained on."
        )
    # one that does not name its classes takes any names of them: their number was compared above
    card = model.card if model.card.labels else replace(model.card, labels=test.labels)
    if not card.knows(test.names):
        raise InputError(f"{test.name} knows other things than the model; name the data set it was trained on.")


def in_turn(labels: Labels, count: int) -> Int[Tensor, " n"]:
    """Indices of `count` random pictures, as many of each class as are drawn: classes in turn."""
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    turn = torch.empty_like(labels)
    for label in labels.unique():
        own = labels[shuffled] == label
        turn[own] = torch.arange(int(own.sum()))
    return shuffled[turn.argsort(stable=True)][:count]


def _pixels(pictures: Pictures, size: Size) -> tuple[Images, Condition]:
    """A data set at one size, and what each picture is."""
    images = torch.cat([resize(to_float(group.images), size) for group in pictures.groups])
    return images, cat([group.condition() for group in pictures.groups])


def shown(pictures: Images) -> Images:
    """What a file of bytes would show of pictures."""
    image_metrics.check_images(pictures)
    return to_float(to_bytes(pictures))


def likeness(images: Images, seen: Seen, asked: Condition, truth: Truth) -> Likeness:
    """How much a set of pictures is like the test set.

    Args:
        images: The pictures, at the eye's size.
        seen: What the eye saw in them, at any size.
        asked: What they were meant to be.
        truth: The test set.

    Raises:
        InputError: The sets are too small or do not vary.
    """
    ours, theirs = seen.features, truth.seen.features
    few = min(len(ours), len(theirs))
    chosen = torch.randperm(len(theirs), generator=torch.Generator().manual_seed(1))[:few]
    near = set_metrics.manifold(theirs[chosen], ours)
    kinds, true_kinds = _kinds(asked), _kinds(truth.asked)
    return Likeness(
        right_class=_same(seen.classes, asked.label),
        right_attributes=_right_on_balance(seen, asked, truth),
        frechet=set_metrics.frechet_distance(ours, theirs),
        kernel=1000 * set_metrics.kernel_distance(ours, theirs),
        precision=near.precision,
        recall=near.recall,
        density=near.density,
        coverage=near.coverage,
        variance=set_metrics.variance_ratio(images, kinds, truth.images, true_kinds),
        spread=set_metrics.feature_spread(ours, kinds, theirs, true_kinds),
    )


def _kinds(asked: Condition) -> Labels:
    """Within what pictures vary: a class, where that is all that is known of them, and all of them otherwise."""
    more = (asked.attributes, asked.numbers, asked.tokens)
    return asked.label if all(part is None for part in more) else torch.full_like(asked.label, NULL)


def _right(seen: Seen, asked: Condition) -> Float[Tensor, " a"]:
    """Of each attribute the share of pictures that have it, or lack it, as asked; NaN where it was asked of none."""
    if seen.attributes is None or asked.attributes is None:
        return torch.empty(0)
    return (seen.attributes == asked.attributes).float().where(asked.attributes != 0, math.nan).nanmean(0)


def _right_on_balance(seen: Seen, asked: Condition, truth: Truth) -> float:
    """The mean over the most balanced attributes: a rare one is right in most pictures that were never looked at."""
    right = _right(seen, asked)
    return right[truth.balanced].nanmean().item() if len(right) else math.nan


def _same(classes: Int[Tensor, " n"] | None, others: Int[Tensor, " n"] | None) -> float:
    """Share of pictures of the same class, of those that others name; NaN where there are none."""
    if classes is None or others is None:
        return math.nan
    return (classes == others)[others != NULL].float().mean().item()


def frame_part(size: Size, frame: tuple[float, float], fit: str) -> tuple[slice, slice]:
    """Rows and columns of a picture that show the frame.

    Args:
        size: Of the picture.
        frame: Height and width of the frame, in any unit.
        fit: How the frame meets the picture; "fill" shows less than all of it.
    """
    if fit != "fit":
        return slice(None), slice(None)
    scale = min(size[0] / frame[0], size[1] / frame[1])
    height, width = (max(1, round(side * scale)) for side in frame)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return slice(top, top + height), slice(left, left + width)


def _row(size: Size, drawn: _Drawn, eye: Eye, truth: Truth, base: _Base, config: EvaluateConfig) -> Row:
    rows, columns = frame_part(size, drawn.frame, config.fit)
    small: list[Tensor] = []
    topology: list[Tensor] = []
    detail: list[dict[str, Tensor]] = []
    border, aspect = [], []
    done = 0
    _forget_peak()
    for pictures in drawn.at(size):
        seen_as = shown(pictures)
        framed = seen_as[..., rows, columns]
        pixel = max(framed.shape[2:]) / max(base.images.shape[2:])
        small.append(resize(framed, _coarser(framed, eye.size)))
        topology.append(image_metrics.components_and_holes(_coarse(framed)))
        aspect.append(image_metrics.ink_aspect(_coarse(seen_as)))
        border.append(image_metrics.border_ink(_coarse(seen_as)))
        if done < config.detail:
            few = slice(0, config.detail - done)
            detail.append({**_strokes(framed[few], pixel), "overshoot": image_metrics.overshoot(pictures[few])})
        done += len(seen_as)
    cost = {"compose_seconds": drawn.compose_seconds, "render_seconds": drawn.render_seconds, "peak_megabytes": _peak()}
    pictures = torch.cat(small)
    seen = eye(pictures)
    return Row(
        f"{size[0]}x{size[1]}",
        likeness(resize(pictures, eye.size), seen, drawn.asked, truth),
        _agreement(
            pictures,
            seen.classes,
            torch.cat(topology),
            torch.cat(aspect),
            torch.cat(border),
            _zoom(drawn, size, base),
            base,
        ),
        Detail(
            **{name: _middle(torch.cat([part[name] for part in detail])) for name in detail[0]},
            **cost,
        ),
        eye.named(_right(seen, drawn.asked)),
    )


def _strokes(framed: Images, pixel: float) -> dict[str, Tensor]:
    """Each picture's measures of detail; what needs pixels finer than the training's is NaN without them.

    An edge's width is biased by the picture's own pixels where these are not four times finer.
    """
    nothing = framed.new_full((len(framed),), math.nan)
    finer = pixel > 1
    return {
        "edge": image_metrics.edge_width(framed, pixel) if pixel >= 4 else nothing,
        "power": image_metrics.power_above(framed, 0.5 / pixel) if finer else nothing,
        "speckle": image_metrics.speckle(framed, pixel) if finer else nothing,
    }


def _agreement(
    pictures: Images,
    classes: Int[Tensor, " n"] | None,
    topology: Int[Tensor, "n 2"],
    aspect: Float[Tensor, " n"],
    border: Float[Tensor, " n"],
    zoom_psnr: float,
    base: _Base,
) -> Agreement:
    common = _coarser(pictures, (base.images.shape[2], base.images.shape[3]))
    ours, theirs = resize(pictures, common), resize(base.images, common)
    psnr = image_metrics.psnr(ours, theirs)
    return Agreement(
        psnr=psnr.median().item(),
        psnr_worst=psnr.min().item(),
        ssim=image_metrics.ssim(ours, theirs).median().item(),
        same_class=_same(classes, base.classes),
        same_topology=(topology == base.topology).all(1).float().mean().item(),
        zoom_psnr=zoom_psnr,
        aspect=_middle(aspect / base.aspect),
        border=(border - base.border).nanmean().item(),
    )


def _zoom(drawn: _Drawn, size: Size, base: _Base) -> float:
    """Median PSNR of a window of the frame, drawn at that size, against the same part of the picture at the data's."""
    if drawn.model.config.dense:
        return math.nan  # its pictures have nothing between their pixels
    height, width = base.images.shape[2:]
    top, left, bottom, right = _ZOOM
    part = base.images[..., round(top * height) : round(bottom * height), round(left * width) : round(right * width)]
    values: list[Tensor] = []
    done = 0
    for pictures in drawn.at(size, _ZOOM):
        rows, columns = frame_part(size, drawn.frame, drawn.config.fit)
        zoomed = shown(pictures)[..., rows, columns]
        common = _coarser(zoomed, (part.shape[2], part.shape[3]))
        values.append(image_metrics.psnr(resize(zoomed, common), resize(part[done : done + len(zoomed)], common)))
        done += len(zoomed)
        if done >= drawn.config.detail:
            break
    return torch.cat(values).median().item()


def _coarse(pictures: Images) -> Images:
    """Block means of large pictures: parts, holes and moments do not need more than 256 to 511 pixels a side."""
    factor = max(pictures.shape[2:]) // 256
    return F.avg_pool2d(pictures, factor) if factor > 1 and min(pictures.shape[2:]) >= factor else pictures


def _coarser(pictures: Images, size: Size) -> Size:
    """The smaller height and width of the pictures' and a size."""
    return min(pictures.shape[2], size[0]), min(pictures.shape[3], size[1])


def _middle(values: Float[Tensor, " n"]) -> float:
    """Median of what was measured."""
    return values.nanmedian().item()


def _forget_peak() -> None:
    """Give freed memory back and start the process's peak anew, where the system can."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float:
    """Peak memory of the process since `_forget_peak`, in MB; since its start where the system cannot forget."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 1024)
