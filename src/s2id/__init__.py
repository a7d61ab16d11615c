"""S2ID: a diffusion model that treats an image as a continuous function.

model = s2id.load("mnist")
field = s2id.sample(model, label=7, seed=0)
field.image(size=(1024, 576)).save("tall.png")
"""

from importlib import import_module

from s2id.forms import FORMS

TYPE_CHECKING = False  # type checkers take it for typing's, which the program need not wait for

if TYPE_CHECKING:
    from typing import Any

    from s2id.condition import Condition
    from s2id.data.source import pictures
    from s2id.errors import InputError
    from s2id.inverse.depixelate import depixelate
    from s2id.inverse.observation import Observation
    from s2id.inverse.restore import restore, upscale
    from s2id.network.settings import ModelConfig
    from s2id.sampling.between import between
    from s2id.sampling.conditions import ask
    from s2id.sampling.field import Field
    from s2id.sampling.model import S2ID, load
    from s2id.sampling.sample import sample
    from s2id.sampling.settings import Card, Sampling
    from s2id.training.settings import TrainConfig
    from s2id.training.train import train

_HOMES = {
    "Card": "sampling.settings",
    "Condition": "condition",
    "Field": "sampling.field",
    "InputError": "errors",
    "ModelConfig": "network.settings",
    "Observation": "inverse.observation",
    "S2ID": "sampling.model",
    "Sampling": "sampling.settings",
    "TrainConfig": "training.settings",
    "ask": "sampling.conditions",
    "between": "sampling.between",
    "depixelate": "inverse.depixelate",
    "load": "sampling.model",
    "pictures": "data.source",
    "restore": "inverse.restore",
    "sample": "sampling.sample",
    "train": "training.train",
    "upscale": "inverse.restore",
}
__all__ = [
    "Card",
    "Condition",
    "Field",
    "InputError",
    "ModelConfig",
    "Observation",
    "S2ID",
    "Sampling",
    "TrainConfig",
    "ask",
    "between",
    "depixelate",
    "load",
    "pictures",
    "restore",
    "sample",
    "train",
    "upscale",
]


def __getattr__(name: str) -> "Any":  # noqa: ANN401
    """A public name, imported when it is first used, because `s2id --help` must not wait for torch."""
    if name == "__version__":
        return import_module("importlib.metadata").version("s2id")
    if name in _HOMES:
        return getattr(import_module(f"s2id.{_HOMES[name]}"), name)
    raise AttributeError(f"module 's2id' has no attribute {name!r}")


def _page(field: "Field") -> bytes:
    """The page that shows a field, for `Field.save`."""
    from s2id.export.page import page

    return page([field])


FORMS[".html"] = _page


def __dir__() -> list[str]:
    """The public names, which a notebook completes."""
    return [*__all__, "__version__"]
