"""Composing a sheet of pictures: batch by batch, with a preview of every step."""

from base64 import b64encode
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, fields
from io import BytesIO
from typing import Any, TypeVar

from s2id.alpha import straight
from s2id.condition import Condition, cat
from s2id.diffusion.samplers import Step
from s2id.errors import InputError
from s2id.images import to_bytes, to_pillow
from s2id.network.heads import Features
from s2id.sampling.conditions import ask
from s2id.sampling.field import Field
from s2id.sampling.rare import rare_asked
from s2id.sampling.sample import drawing, plans, resolved
from s2id.sampling.settings import Sampling
from s2id.seeds import seeds_of
from s2id.settings import Size, from_dict
from s2id.shapes import Images
from s2id.studio.jobs import Job
from s2id.studio.models import Offer
from s2id.studio.requests import Compose
from s2id.studio.settings import MOST_PICTURES
from s2id.studio.shelf import Shelf

BATCH = 4
"""Pictures that a processor composes at once: with more, the first previews come later, and all of them no sooner."""

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Drawn:
    """A field that was made, with what is known of it."""

    field: Field
    size: Size
    """Height and width of the model's own pictures."""
    label: str
    seed: int


Work = Callable[[Job], dict[str, Any]]


def compose(offer: Offer, asked: Compose, shelf: Shelf[Drawn]) -> Work:
    """The work of composing what is asked for, checked as far as it can be before it begins.

    Raises:
        InputError: The model has no use for what is asked.
    """
    seeds, labels = seeds_of(asked.seeds), asked.label if isinstance(asked.label, list) else [asked.label]
    if not 0 < len(seeds) * len(labels) <= MOST_PICTURES:
        raise InputError(f"{len(seeds) * len(labels)} pictures are asked for; ask for 1 to {MOST_PICTURES} at once.")
    model = offer.model
    sampling = sampling_of(asked.sampling)
    resolved(model, sampling)
    conditions = [
        ask(model, one, style=asked.style, words=asked.words, attributes=asked.attributes, numbers=asked.numbers)
        for one in labels
    ]
    names = [_name(offer, one) for one in conditions]
    pictures = [(condition, name, seed) for condition, name in zip(conditions, names, strict=True) for seed in seeds]
    (plan,) = plans(model, [offer.size], sampling)
    at_once = plan.batch if model.device.type == "cuda" else min(BATCH, plan.batch)

    def work(job: Job) -> dict[str, Any]:
        for first in range(0, len(pictures), at_once):
            few = pictures[first : first + at_once]
            condition, own = cat([one for one, _, _ in few]), [seed for _, _, seed in few]
            steps = plan.sampling.steps or len(model.card.times) or resolved(model, sampling).steps or 0
            walk = drawing(model, condition, own, plan.sampling, aspect=plan.aspect)
            field = previewed(job, walk, steps, first, pixels=not model.config.latents)
            for i, (_, name, seed) in enumerate(few):
                one = Drawn(alone(field[i]), offer.size, name, seed)
                number = shelf.put(one, bytes_of(one.field))
                job.say("field", index=first + i, id=number, seed=str(seed), label=name, size=list(offer.size))
        return {"notes": list(rare_asked(model.card, cat(conditions)))}

    return work


def previewed(job: Job, walk: Generator[Step, None, _Result], steps: int, first: int, pixels: bool = True) -> _Result:
    """What a generator of steps returns, after a preview of each of its pictures at every step.

    Args:
        job: The job, which may stop between steps.
        walk: The generator.
        steps: Number of its steps.
        first: Index of its first picture in the job.
        pixels: Whether its states are pictures.
    """
    number = 0
    while True:
        job.check()
        try:
            step = next(walk)
        except StopIteration as end:
            return end.value
        number += 1
        for i, src in enumerate(_sources(step.denoised) if pixels else ()):
            job.say("preview", index=first + i, step=number, steps=steps, src=src)


def sampling_of(values: Mapping[str, Any], default: Sampling = Sampling()) -> Sampling:
    """Settings of sampling from values of JSON by name; those that are left out are the default's.

    Raises:
        InputError: A name is unknown, or a value is not what it must be.
    """
    known = {one.name: getattr(default, one.name) for one in fields(Sampling)}
    if unknown := sorted(values.keys() - known.keys()):
        raise InputError(f"sampling has no setting {unknown[0][:60]!r}; choose from {', '.join(known)}.")
    return from_dict(Sampling, {**known, **values}, "sampling")


def alone(field: Field) -> Field:
    """The field with features of its own, which keep no others in memory."""
    return Field(Features(field.features.values.clone(), field.features.frame), field.head, field.facts)


def bytes_of(field: Field) -> int:
    """Memory that a field takes, about."""
    return 4 * (field.features.values.numel() + sum(one.numel() for one in field.head.parameters())) + 1000


def _name(offer: Offer, condition: Condition) -> str:
    """Name of the class of a condition of one picture; empty if it has none."""
    index = int(condition.label[0])
    if index < 0:
        return ""
    return offer.model.card.labels[index] if offer.model.card.labels else str(index)


def _sources(states: Images) -> list[str]:
    """States as small pictures that a page can show."""
    found = []
    for state in straight(states):
        file = BytesIO()
        to_pillow(to_bytes(state)).save(file, "PNG", compress_level=1)
        found.append("data:image/png;base64," + b64encode(file.getvalue()).decode())
    return found
