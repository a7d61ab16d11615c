"""The work of composing the way from one picture of a sheet to another, function by function."""

from typing import Any

from s2id.condition import cat
from s2id.errors import InputError
from s2id.export.page import joined
from s2id.sampling.between import path
from s2id.sampling.conditions import ask
from s2id.sampling.field import Field
from s2id.studio.compose import Drawn, Work, alone, bytes_of, picture_source
from s2id.studio.jobs import Job
from s2id.studio.models import Offer
from s2id.studio.shelf import Shelf
from s2id.studio.way import Way


def morphing(offer: Offer, start: Drawn, end: Drawn, frames: int, shelf: Shelf[Drawn]) -> Work:
    """The work of composing the way between two pictures, checked as far as it can be before it begins.

    Raises:
        InputError: One is of no sheet, the two are of different models or settings, or the same, or there is no way
            between them.
    """
    sheet, other = start.origin, end.origin
    ends = sheet.pictures[start.index], other.pictures[end.index]
    if (sheet.source, sheet.sampling) != (other.source, other.sampling):
        raise InputError("a way leads between two pictures of sheets of one model with one choice of settings.")
    if sheet.beside != other.beside:
        raise InputError("a way leads between pictures that are asked for alike but for class and seed; choose two.")
    if ends[0] == ends[1]:
        raise InputError("both ends of the way are the same picture; choose another one.")
    model, seeds = offer.model, [seed for _, seed in ends]
    asked = cat([ask(model, label, **sheet.beside) for label, _ in ends])
    walk = path(model, asked, seeds, frames, sheet.sampling)

    def work(job: Job) -> dict[str, Any]:
        fields: list[Field] = []
        for field in walk:
            fields.append(alone(field))
            src = picture_source(field.render(offer.size)[0])
            job.say("preview", index=0, step=len(fields), steps=frames, src=src)
            job.check()
        whole = joined(fields)
        label = " to ".join(dict.fromkeys("" if one is None else str(one) for one, _ in ends)).strip()
        drawn = Drawn(whole, offer.size, label, seeds[0], way=Way(sheet, ends, tuple(fields)))
        name = shelf.put(drawn, 2 * bytes_of(whole))
        job.say("field", index=0, id=name, seed=str(seeds[0]), label=label, size=list(offer.size), count=frames)
        return {}

    return work
