"""The models that the studio was started with: what each can do, knows and lets people set, as values for JSON.

All of that stands in the headers of their files, so a page can be used before torch is imported and weights are read.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

from s2id.checks import Within
from s2id.errors import InputError
from s2id.inverse.settings import RESTORING
from s2id.names import unused
from s2id.sampling.model_file import Header, bundled, licence, located
from s2id.sampling.resolving import resolved
from s2id.sampling.settings import Sampling
from s2id.settings import Size, docstrings
from s2id.studio.settings import MOST_DENSITY

if TYPE_CHECKING:
    from s2id.sampling.model import S2ID

_COMMON = ("steps", "guidance", "autoguidance", "sampler", "eta")
"""Settings that people change."""

SOLVERS = ("ddim", "heun", "dpmpp")
"""Names in `s2id.diffusion.samplers.SAMPLERS`, which would import torch."""


@dataclass(frozen=True)
class Offer:
    """A model under the name that clients know it by."""

    name: str
    source: str
    """What `s2id.load` takes."""
    header: Header
    device: str = "cpu"

    @cached_property
    def model(self) -> "S2ID":
        """The model, whose weights are read when it is first needed."""
        from s2id.sampling.model import load

        return load(self.source, self.device)

    @property
    def densest(self) -> int:
        """Samples along the long side of a state that may be asked for, at most."""
        return max(MOST_DENSITY, self.header.card.density)

    @property
    def size(self) -> Size:
        """Height and width of the training pictures, or of the states where these are unknown."""
        card = self.header.card
        return card.size or (card.density, card.density)

    @cached_property
    def can(self) -> dict[str, bool]:
        """What the model serves for."""
        config, card = self.header.config, self.header.card
        observes = config.composes and not card.times and not config.latents
        return {
            "compose": config.composes,
            "upscale": not config.composes or (observes and not config.dense),
            "restore": observes,
            "depixelate": observes,
        }

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What a page needs to know to ask for pictures."""
        card, config = self.header.card, self.header.config
        classes = list(card.labels) or [str(i) for i in range(config.classes)] or None
        numbers = [
            {"name": name, "least": low, "most": high}
            for name, (low, high) in zip(card.numbers, card.number_ranges, strict=True)
        ]
        words = list(card.words) or None
        size = f"{self.size[0]}x{self.size[1]}" if config.composes else "any size"
        conditions = {
            "classes": None if words else classes,
            "attributes": list(card.attributes),
            "numbers": numbers,
            "words": words,
            "styles": classes if words else None,
        }
        return {
            "name": self.name,
            "title": f"{self.name}: {card.data or 'pictures'}, {size}",
            "size": list(self.size),
            "channels": config.channels,
            "kind": card.kind,
            "conditions": conditions,
            "sampling": dict(_settings(self.header, self.densest)) if config.composes else {},
            "restoring": dict(_settings(self.header, self.densest, RESTORING)) if self.can["restore"] else None,
            "can": self.can,
            "invents": config.invents,
            "licence": licence(self.source),
        }


class Library:
    """The models by name."""

    def __init__(self, sources: Sequence[str], device: str) -> None:
        """Models of sources that `s2id.load` takes; none stands for all that are bundled.

        Raises:
            InputError: There is no such model, or its file is damaged.
        """
        self.offers: dict[str, Offer] = {}
        headers = {source: Header.read(located(source)) for source in sources or bundled()}
        # a model of words comes last where none is named: until words are given, it draws anything
        order = sources or sorted(headers, key=lambda source: bool(headers[source].card.words))
        for source in order:
            name = _name(source, self.offers)
            self.offers[name] = Offer(name, source, headers[source], device)

    def named(self, source: str) -> str:
        """Name of the model of a source."""
        return next(one.name for one in self.offers.values() if one.source == source)

    def get(self, name: str, task: str) -> Offer:
        """The model of a name.

        Raises:
            InputError: There is none, or it does not serve for the task.
        """
        if name not in self.offers:
            raise InputError(f"model {name[:60]!r} is unknown; choose one of {', '.join(self.offers)}.")
        if not self.offers[name].can[task]:
            able = ", ".join(one.name for one in self.offers.values() if one.can[task])
            raise InputError(f"model {name!r} cannot {task}; {f'choose one of {able}' if able else 'none here can'}.")
        return self.offers[name]


def _name(source: str, taken: dict[str, Offer]) -> str:
    """A name for a model, which shows nothing of where its file lies and which no other model has."""
    path = Path(source)
    name = source if source in bundled() else (path.stem if path.suffix == ".safetensors" else path.name) or "model"
    return unused(name, taken)


def _settings(header: Header, densest: int, usual: Sampling | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every setting that a model leaves open, with its value, range and meaning.

    Args:
        header: What the model's file says.
        densest: Largest density.
        usual: The settings of restoring; `None` is for sampling.
    """
    hints, helps = get_type_hints(Sampling, include_extras=True), docstrings(Sampling)
    given = usual or Sampling()
    own = resolved(header, given, restoring=usual is not None)
    built_in = ("steps", "guidance", "guidance_interval", "sampler", "eta", "stronger") if header.card.times else ()
    weaker = () if header.guide or header.config.guided else ("autoguidance",)
    smooth = () if header.renderer and usual is None else ("smoothing",)
    for one in fields(Sampling):
        if one.name in ("restarts" if usual is None else "autoguidance", *built_in, *weaker, *smooth):
            continue
        facts = {"value": getattr(given, one.name), "own": getattr(own, one.name), **_kind(hints[one.name])}
        facts |= {"help": helps[one.name], "common": one.name in _COMMON}
        if one.name == "density":
            facts["most"] = densest
        if one.name == "sampler":
            facts |= {"kind": "choice", "choices": list(SOLVERS)}
        yield one.name, facts


def _kind(hint: Any) -> dict[str, Any]:  # noqa: ANN401  (a type hint)
    """Kind, range and choices of a setting."""
    origin, inner = get_origin(hint), get_args(hint)
    if NoneType in inner:
        return {**_kind(next(one for one in inner if one is not NoneType)), "optional": True}
    facts: dict[str, Any] = {"least": None, "most": None, "choices": None, "optional": False}
    if origin is Annotated:
        limits = next(one for one in inner if isinstance(one, Within))
        least, most = (None if math.isinf(end) else end for end in (limits.low, limits.high))
        return {**_kind(inner[0]), "least": least, "most": most}
    if origin is Literal:
        return {**facts, "kind": "choice", "choices": list(inner)}
    if origin is tuple:
        return {**facts, "kind": "pairs" if inner[-1] is Ellipsis else "range", "least": 0, "most": 1}
    return {**facts, "kind": {bool: "bool", int: "int", float: "float", str: "text"}[hint]}
