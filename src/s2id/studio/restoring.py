"""Work that starts from pictures: enlarging, restoring, and sharpening the frames of a moving camera."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from s2id.coords import check_pixels
from s2id.errors import InputError
from s2id.inverse.depixelate import depixelating
from s2id.inverse.restore import check, disagreement, fitted, restoring, upscale
from s2id.inverse.settings import RESTORING
from s2id.media.alpha import has_alpha
from s2id.media.images import encoded, to_float
from s2id.sampling.conditions import ask
from s2id.sampling.model import S2ID
from s2id.sampling.resolving import resolved
from s2id.seeds import seeds_of
from s2id.studio.commands import Files, Restoration, depixelating_recipe, restoring_recipe, upscaling_recipe
from s2id.studio.compose import Drawn, Work, alone, bytes_of, previewed, sampling_of
from s2id.studio.forms import Upload
from s2id.studio.jobs import Job
from s2id.studio.models import Offer
from s2id.studio.requests import Asked, Depixelate, Restore, Upscale
from s2id.studio.settings import MOST_PICTURES, MOST_RESULT
from s2id.studio.shelf import Shelf

_JPEG = b"\xff\xd8\xff"
"""How files begin whose pixels hold the noise of blocks, which an enlarged picture need not meet."""

_MOST_FUSED = 2**22
"""Pixels of frames, and of the picture that is made of them."""


@dataclass(frozen=True)
class Shelves:
    """Where results are put."""

    fields: Shelf[Drawn]
    pictures: Shelf[bytes]

    def show(self, job: Job, role: str, picture: Float[Tensor, "c h w"], **more: object) -> None:
        """Keep a picture with values in [-1, 1], and say so."""
        content = encoded(picture)
        name = self.pictures.put(content, len(content))
        job.say("picture", role=role, id=name, size=list(picture.shape[1:]), **more)


def upscaling(offer: Offer, asked: Upscale, picture: UInt8[Tensor, "c h w"], file: Upload, to: Shelves) -> Work:
    """The work of enlarging a picture, checked as far as it can be before it begins.

    Raises:
        InputError: The model has no use for what is asked.
    """
    model, measured = offer.model, to_float(picture)
    label, beside = _class(asked), _beside(asked)
    condition = ask(model, label, **beside)
    size = asked.target((measured.shape[1], measured.shape[2]), usual=4)
    seeds = asked.seeds if model.config.invents else None
    each = [0] if seeds is None else _seeds(seeds)
    check_pixels(size, MOST_RESULT, len(each), more="")
    given = fitted(model, measured) if model.config.composes else measured
    if model.config.composes:
        check(model, given, size)
    exact = not file.content.startswith(_JPEG)
    recipe = upscaling_recipe(offer.source, file.name, size, exact, label, beside, seeds)
    notes = _notes(model, measured)

    def work(job: Job) -> dict[str, Any]:
        found = []
        for i, seed in enumerate(each):
            found.append(upscale(model, given, size, condition, exact=exact, seed=seed).cpu())
            if seeds is None:
                to.show(job, "result", found[i])
            else:
                to.show(job, "answer", found[i], index=i, seed=str(seed))
        return {**asdict(recipe), "notes": [*notes, _agreement(disagreement(torch.stack(found), given))]}

    return work


def restoration(
    offer: Offer,
    asked: Restore,
    picture: UInt8[Tensor, "c h w"],
    mask: UInt8[Tensor, "1 rows columns"] | None,
    files: Files,
    to: Shelves,
) -> Work:
    """The work of drawing what a poor picture may have been, checked as far as it can be before it begins.

    Raises:
        InputError: The model has no use for what is asked.
    """
    model, measured = offer.model, to_float(picture)
    seeds, label, beside = _seeds(asked.seeds), _class(asked), _beside(asked)
    sampling = sampling_of(offer, asked.sampling, RESTORING)
    steps = resolved(model, sampling, restoring=True).steps or 0
    size = asked.target((measured.shape[1], measured.shape[2]))
    check_pixels(size, MOST_RESULT, len(seeds), more="")
    condition, seen = ask(model, label, **beside), None if mask is None else mask[0] >= 128
    walk = restoring(
        model, measured, size, mask=seen, noise=asked.noise, label=condition, seeds=seeds, sampling=sampling
    )
    how = Restoration(size, asked.noise, asked.seeds, sampling, RESTORING)
    recipe = restoring_recipe(offer.source, files, how, label, beside)
    notes = _notes(model, measured)

    def work(job: Job) -> dict[str, Any]:
        found = previewed(job, walk, steps, 0)
        for i, (seed, answer) in enumerate(zip(seeds, found.pictures, strict=True)):
            drawn = Drawn(alone(found.fields[i]), size, str(label or ""), seed)
            name = to.fields.put(drawn, bytes_of(drawn.field))
            job.say("field", index=i, id=name, seed=str(seed), label=drawn.label, size=list(size))
            to.show(job, "answer", answer, index=i, seed=str(seed))
        to.show(job, "mean", found.mean)
        to.show(job, "spread", found.spread)
        agreement = _agreement(disagreement(found.pictures.cpu(), fitted(model, measured, seen), seen))
        return {**asdict(recipe), "notes": [*notes, agreement]}

    return work


def depixelation(
    offer: Offer | None, asked: Depixelate, frames: Float[Tensor, "f c h w"], file: str, to: Shelves
) -> Work:
    """The work of making one picture of frames, checked as far as it can be before it begins.

    Raises:
        InputError: The model has no use for what is asked, or it is too much.
    """
    seeds, label, beside = _seeds(asked.seeds), _class(asked), _beside(asked)
    if offer is None and (label is not None or any(beside.values())):
        raise InputError("a label, words, attributes and numbers need a model; name one.")
    own = frames.shape[2], frames.shape[3]
    size = asked.target(own, usual=4)
    check_pixels(own, _MOST_FUSED, len(frames), more="")
    check_pixels(size, _MOST_FUSED, more="")
    model = offer.model if offer else None
    condition = ask(model, label, **beside) if model else None
    walk = depixelating(frames, size, model=model, label=condition, seeds=seeds)
    how = Restoration(size, 0.0, asked.seeds, RESTORING, RESTORING)
    recipe = depixelating_recipe(offer.source if offer else None, file, how, label, beside)

    def work(job: Job) -> dict[str, Any]:
        done = previewed(job, walk, RESTORING.steps or 0, 0)
        job.say("motion", shifts=[[round(v, 4) for v in one] for one in done.motion.tolist()])
        to.show(job, "result", done.picture)
        to.show(job, "spread", done.spread)
        return {**asdict(recipe), "notes": list(done.notes)}

    return work


def _class(asked: Asked) -> str | None:
    """The class that a form asks for.

    Raises:
        InputError: It asks for two.
    """
    if asked.label is not None and asked.style is not None:
        raise InputError("label and style both name a class; keep one of them.")
    one = asked.style if asked.label is None else asked.label
    return None if one is None else str(one)


def _beside(asked: Asked) -> dict[str, Any]:
    return {"words": asked.words, "attributes": asked.attributes, "numbers": asked.numbers}


def _seeds(text: str) -> Sequence[int]:
    """The seeds that a form names, not too many.

    Raises:
        InputError: They are.
    """
    seeds = seeds_of(text)
    if len(seeds) > MOST_PICTURES:
        raise InputError(f"{len(seeds)} answers are asked for; ask for 1 to {MOST_PICTURES} at once.")
    return seeds


def _notes(model: S2ID, picture: Float[Tensor, "c h w"]) -> list[str]:
    """What becomes of the picture's transparency."""
    if has_alpha(len(picture)) and not has_alpha(model.config.channels) and model.config.composes:
        return [f"the picture is laid over {model.card.alpha}, because this model draws no transparency."]
    return []


def _agreement(rms: float) -> str:
    decibels = 20 * math.log10(2 / max(rms, 1e-9))
    return f"means over the given pixels differ from them by {127.5 * rms:.2f} grey levels rms ({decibels:.1f} dB)."
