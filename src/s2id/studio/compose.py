"""Composing a sheet of pictures: batch by batch, with a preview of every step."""

from base64 import b64encode
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from io import BytesIO
from typing import Any, TypeVar

from jaxtyping import Float
from torch import Tensor

from s2id.condition import cat
from s2id.diffusion.samplers import Step
from s2id.errors import InputError
from s2id.media.alpha import straight
from s2id.media.images import capped, resize, to_bytes, to_pillow
from s2id.names import NONE, quoted
from s2id.network.heads import Features
from s2id.sampling.conditions import ask, label_index
from s2id.sampling.field import Field
from s2id.sampling.rare import rare_asked
from s2id.sampling.resolving import resolved
from s2id.sampling.sample import drawing, plans
from s2id.sampling.settings import Sampling
from s2id.seeds import seed_of, seeds_of
from s2id.settings import Size, from_dict
from s2id.shapes import NULL, Images
from s2id.studio.commands import Sheet
from s2id.studio.jobs import Job
from s2id.studio.models import Offer
from s2id.studio.requests import Compose
from s2id.studio.settings import MOST_PICTURES
from s2id.studio.shelf import Shelf
from s2id.studio.way import Way

BATCH = 4
"""Pictures that a processor composes at once: with more, the first previews come later, and all of them no sooner."""

_PREVIEW = 64
"""Pixels along the long side of a preview, at most."""

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Drawn:
    """A field that was made, with what is known of it."""

    field: Field
    size: Size
    """Height and width of the model's own pictures."""
    label: str
    seed: int
    sheet: Sheet | None = None
    """What it was composed from, if it was composed."""
    index: int = 0
    """Its number in the sheet."""
    way: Way | None = None
    """What it is the functions of, if it is a way between two pictures."""

    @property
    def origin(self) -> Sheet:
        """The sheet that it is a picture of.

        Raises:
            InputError: It is of none, such as an enlarged picture or a way.
        """
        if self.sheet is None:
            raise InputError("a way leads between two pictures of sheets; compose both first.")
        return self.sheet


Work = Callable[[Job], dict[str, Any]]


def compose(offer: Offer, asked: Compose, shelf: Shelf[Drawn]) -> Work:
    """The work of composing what is asked for, checked as far as it can be before it begins.

    Raises:
        InputError: The model has no use for what is asked.
    """
    model, sampling = offer.model, sampling_of(offer, asked.sampling)
    steps = resolved(model, sampling).steps or 0
    (plan,) = plans(model, [offer.size], sampling)
    batch = plan.batch if model.device.type == "cuda" else min(BATCH, plan.batch)
    labels, pictures = _pictures(offer, asked)
    beside: dict[str, Any] = {"words": asked.words, "attributes": asked.attributes, "numbers": asked.numbers}
    sheet = Sheet(offer.source, labels, asked.seeds, tuple(pictures), batch, beside, plan.sampling)
    conditions = {label: ask(model, label, **beside) for label, _ in pictures}

    def work(job: Job) -> dict[str, Any]:
        for first in range(0, len(pictures), batch):
            few = pictures[first : first + batch]
            condition = cat([conditions[label] for label, _ in few])
            walk = drawing(model, condition, [seed for _, seed in few], plan.sampling, aspect=plan.aspect)
            field = previewed(job, walk, steps, first, pixels=not model.config.latents)
            for i, (label, seed) in enumerate(few, first):
                one = Drawn(alone(field[i - first]), offer.size, "" if label is None else str(label), seed, sheet, i)
                name = shelf.put(one, bytes_of(one.field))
                job.say("field", index=i, id=name, seed=str(seed), label=one.label, size=list(offer.size))
        notes = list(rare_asked(model.card, cat(list(conditions.values()))))
        return {**asdict(sheet.whole(offer.size)), "notes": notes}

    return work


def _pictures(offer: Offer, asked: Compose) -> tuple[str | None, list[tuple[str | int | None, int]]]:
    """Classes as the command line takes them, and the class and seed of every picture.

    As there, each seed has a class of its own where nothing at all is asked for.

    Raises:
        InputError: There are too many, or the model has no such class.
    """
    model, seeds = offer.model, seeds_of(asked.seeds)
    given = asked.label if isinstance(asked.label, list) else [asked.label]
    if asked.style is not None:
        if asked.label is not None:
            raise InputError("label and style both name a class; keep one of them.")
        given = [asked.style]
    if not 0 < len(seeds) * len(given) <= MOST_PICTURES:
        raise InputError(f"{len(seeds) * len(given)} pictures are asked for; ask for 1 to {MOST_PICTURES} at once.")
    names: Sequence[str | int] = model.card.labels or range(model.config.classes)
    if given == [None] and names and not (asked.words is not None or asked.attributes or asked.numbers):
        return None, [(names[seed_of(seed) % len(names)], seed) for seed in seeds]
    indices = [NULL if one in (None, NONE) else label_index(model, one) for one in given]
    labels = [None if i == NULL else names[i] for i in dict.fromkeys(indices)]
    texts = [NONE if label is None else quoted(str(label)) for label in labels]
    return ",".join(texts), [(label, seed) for label in labels for seed in seeds]


def previewed(job: Job, walk: Generator[Step, None, _Result], steps: int, first: int, pixels: bool = True) -> _Result:
    """What a generator of steps returns, after a preview of each of its pictures at every step.

    Args:
        job: The job, which may stop between steps.
        walk: The generator.
        steps: Number of its steps.
        first: Index of its first picture in the job.
        pixels: Whether its states are pictures.
    """
    number, begun, previous = 0, None, 0
    while True:
        job.check()
        try:
            step = next(walk)
        except StopIteration as end:
            return end.value
        if step.t == begun:  # many pictures are drawn in parts, one after the other
            number, first = 0, first + previous
        begun, previous = step.t if begun is None else begun, len(step.x_t)
        number += 1
        for i, src in enumerate(_sources(step.denoised) if pixels else ()):
            job.say("preview", index=first + i, step=number, steps=steps, src=src)


def sampling_of(offer: Offer, values: Mapping[str, Any], default: Sampling = Sampling()) -> Sampling:
    """Settings of sampling from values of JSON by name; those that are left out are the default's.

    Raises:
        InputError: A name is unknown, or a value is not what it must be.
    """
    known = {one.name: getattr(default, one.name) for one in fields(Sampling)}
    if unknown := sorted(values.keys() - known.keys()):
        raise InputError(f"sampling has no setting {unknown[0][:60]!r}; choose from {', '.join(known)}.")
    sampling = from_dict(Sampling, {**known, **values}, "sampling")
    if (sampling.density or 0) > offer.densest:
        raise InputError(f"density is {sampling.density}; the studio composes on states of at most {offer.densest}.")
    return sampling


def alone(field: Field) -> Field:
    """The field with features of its own, which keep no others in memory."""
    return Field(Features(field.features.values.clone(), field.features.frame), field.head, field.facts)


def bytes_of(field: Field) -> int:
    """Memory that a field takes, about."""
    return 4 * (field.features.values.numel() + sum(one.numel() for one in field.head.parameters())) + 1000


def _sources(states: Images) -> list[str]:
    """States as small pictures that a page can show."""
    size = capped((states.shape[2], states.shape[3]), _PREVIEW)
    return [picture_source(state) for state in straight(resize(states, size))]


def picture_source(picture: Float[Tensor, "c h w"]) -> str:
    """A picture in the address itself, for a page to show."""
    file = BytesIO()
    to_pillow(to_bytes(picture)).save(file, "PNG", compress_level=1)
    return "data:image/png;base64," + b64encode(file.getvalue()).decode()
