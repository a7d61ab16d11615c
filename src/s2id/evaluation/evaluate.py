"""A model's quality at every size: one row of the table per size, for the same seeds at each, and one for the data.

Likeness to the data is measured at the data's size, to which rendered pictures are averaged over area; agreement
compares each size with the data's size; detail is measured on the rendered pixels, in units of a training pixel.
Pictures with alpha, the data's and the model's, are laid over one ground first.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from s2id.data.pictures import Pictures, rescaled
from s2id.errors import InputError
from s2id.evaluation import image_metrics
from s2id.evaluation.agreement import BasePictures, Layout, agreement, coarser, zoom
from s2id.evaluation.detail import peak_megabytes, reset_peak_memory, strokes
from s2id.evaluation.evenness import evenness_rows
from s2id.evaluation.examiner import Examiner, RealPictures, at_size, ground_of, laid_over
from s2id.evaluation.judge import Extractor, Judge
from s2id.evaluation.likeness import attributes_right, balanced_right, likeness, share_equal
from s2id.evaluation.report import Detail, Likeness, Row
from s2id.evaluation.samples import Samples, as_saved, classes_only, conditions, frame_part, in_turn
from s2id.evaluation.settings import EvaluateConfig
from s2id.media.images import resize
from s2id.sampling.model import S2ID
from s2id.settings import Size
from s2id.shapes import Images


def evaluate(
    model: S2ID,
    judge: Judge | None,
    train: Pictures,
    test: Pictures,
    config: EvaluateConfig,
    extractor: Extractor | None = None,
) -> Iterator[Row]:
    """The rows of the table: the training set's first, one per size as soon as it is measured, and those of evenness.

    Args:
        model: Model to evaluate.
        judge: Classifier of the same data. `None` leaves out all that asks for classes.
        train: Training pictures; as many as are drawn give the first row, the best that a model can reach.
        test: Pictures that both the training pictures and the model's are compared with.
        config: Sizes, number of pictures and how to sample.
        extractor: Function from pictures of the examined size to features; `None` takes the judge's features. With
            neither judge nor extractor, likeness to the data is left out.

    Raises:
        InputError: Data, judge and model do not belong together, or the number of pictures is too small.
    """
    ground, read = ground_of(test), test  # what the model reads has alpha, what is examined has none
    train, test = (laid_over(pictures, ground) for pictures in (train, test))
    _check_judge(judge, test, config, extractor)
    _check_model(model, read, config, examined=bool(judge or extractor))
    # conditions that are numbers are scaled as in the model's training data
    train, test = (rescaled(pictures, model.card.number_ranges) for pictures in (train, test))
    examiner = Examiner(judge, extractor, judge.size if judge else test.size)
    real = RealPictures.of(test, examiner)
    if real.findings.features is not None:
        yield _training_row(model, train, examiner, real, config)
    if judge and judge.attributes:
        # the judge may know its training set by heart; its accuracy on test pictures is what samples can reach
        findings, known = real.findings, real.known
        own = Likeness(
            right_class=share_equal(findings.classes, known.label),
            right_attributes=balanced_right(findings, known, real),
        )
        yield Row("test set", own, attributes=examiner.by_name(attributes_right(findings, known)))
    samples = Samples(model, config, conditions(model, real.known, config.count), ground)
    base_size = model.card.size or test.size
    pictures = torch.cat([as_saved(part) for part in samples.at(base_size)])
    base = BasePictures(pictures, examiner(pictures).classes, Layout.of(pictures, pictures))
    for size in samples.sizes:
        yield _size_row(size, samples, examiner, real, base)
    yield from evenness_rows(samples, read)


def _training_row(model: S2ID, train: Pictures, examiner: Examiner, real: RealPictures, config: EvaluateConfig) -> Row:
    """The row of as many training pictures as are drawn, with classes in turn where the samples have them so."""
    images, known = at_size(train, examiner.size)
    shuffled = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    chosen = in_turn(known.label, config.count) if classes_only(model.config) else shuffled[: config.count]
    images, known = images[chosen], known[chosen]
    findings = examiner(images)
    right = examiner.by_name(attributes_right(findings, known))
    return Row("training set", likeness(images, findings, known, real), attributes=right)


def _size_row(size: Size, samples: Samples, examiner: Examiner, real: RealPictures, base: BasePictures) -> Row:
    """The row of one size."""
    rows, columns = frame_part(size, samples.frame, samples.config.fit)
    small: list[Tensor] = []
    layouts: list[Layout] = []
    detail: list[dict[str, Tensor]] = []
    done = 0
    reset_peak_memory()
    for pictures in samples.at(size):
        saved = as_saved(pictures)
        framed = saved[..., rows, columns]
        pixel = max(framed.shape[2:]) / max(base.size)
        small.append(resize(framed, coarser(framed, examiner.size)))
        layouts.append(Layout.of(_reduced(framed), _reduced(saved)))
        if done < samples.config.detail:
            few = slice(0, samples.config.detail - done)
            detail.append({**strokes(framed[few], pixel), "overshoot": image_metrics.overshoot(pictures[few])})
        done += len(saved)
    medians = {name: torch.cat([part[name] for part in detail]).nanmedian().item() for name in detail[0]}
    cost = (samples.compose_seconds, samples.render_seconds, peak_megabytes())
    pictures = torch.cat(small)
    findings = examiner(pictures)
    return Row(
        f"{size[0]}x{size[1]}",
        likeness(resize(pictures, examiner.size), findings, samples.asked, real),
        agreement(pictures, findings.classes, Layout.cat(layouts), zoom(samples, size, base), base),
        Detail(**medians, **dict(zip(("compose_seconds", "render_seconds", "peak_megabytes"), cost, strict=True))),
        examiner.by_name(attributes_right(findings, samples.asked)),
    )


def _reduced(pictures: Images) -> Images:
    """Block means of large pictures: parts, holes and moments need no more than 256 to 511 pixels a side."""
    factor = max(pictures.shape[2:]) // 256
    return F.avg_pool2d(pictures, factor) if factor > 1 and min(pictures.shape[2:]) >= factor else pictures


def _check_judge(judge: Judge | None, test: Pictures, config: EvaluateConfig, extractor: Extractor | None) -> None:
    """Refuse a judge of other data than the test set's, or too few pictures for its features."""
    if judge is None:
        return
    if not extractor and config.count < (least := 2 * judge.widths[-1]):
        raise InputError(
            f"count is {config.count}; a Frechet distance in {judge.widths[-1]} features needs at least {least}."
        )
    if judge.classes != len(test.labels) or judge.channels != test.channels:
        raise InputError(
            f"the judge of {judge.data!r} knows {judge.classes} classes in {judge.channels} channels and {test.name} "
            f"has {len(test.labels)} in {test.channels}; use the data's own judge (--judge)."
        )
    if judge.attributes and judge.attributes != test.attributes:
        raise InputError(
            f"the judge of {judge.data!r} knows {len(judge.attributes)} attributes and {test.name} has "
            f"{len(test.attributes)}, or has others; use the data's own judge (--judge)."
        )


def _check_model(model: S2ID, test: Pictures, config: EvaluateConfig, examined: bool) -> None:
    """Refuse a model of other data than the test set's, or too few pictures for its classes."""
    if (density := config.sampling.density) and model.config.dense:
        raise InputError(f"density is {density} and this model composes each size on its own; leave it out.")
    classes = len(test.labels)
    if examined and config.count < 2 * classes:
        raise InputError(f"count is {config.count}; {classes} classes need at least {2 * classes}.")
    known = model.config
    if (known.classes, known.attributes, known.channels) != (classes, len(test.attributes), test.channels):
        raise InputError(
            f"the model draws {known.classes} classes and {known.attributes} attributes in {known.channels} channels "
            f"and {test.name} has {classes} and {len(test.attributes)} in {test.channels}; name the data set it was "
            "trained on."
        )
    # a card without names of classes fits any names: their number was compared above
    card = model.card if model.card.labels else replace(model.card, labels=test.labels)
    if card.names != test.names:
        raise InputError(f"{test.name} knows other things than the model; name the data set it was trained on.")
