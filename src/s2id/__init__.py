"""S2ID: a diffusion model that treats an image as a continuous function.

model = s2id.load("mnist")
field = s2id.sample(model, label=7, seed=0)
field.image(size=(1024, 576)).save("tall.png")
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from s2id.camera import depixelate
    from s2id.checkpoint import S2ID, load
    from s2id.compose import sample
    from s2id.condition import Condition
    from s2id.config import Card, InputError, ModelConfig, TrainConfig
    from s2id.field import Field
    from s2id.labels import ask
    from s2id.observe import Observation
    from s2id.restoration import restore, upscale

__version__ = version("s2id")

_HOMES = {
    "Card": "config",
    "Condition": "condition",
    "Field": "field",
    "InputError": "config",
    "ModelConfig": "config",
    "Observation": "observe",
    "S2ID": "checkpoint",
    "TrainConfig": "config",
    "ask": "labels",
    "depixelate": "camera",
    "load": "checkpoint",
    "restore": "restoration",
    "sample": "compose",
    "upscale": "restoration",
}
__all__ = [
    "Card",
    "Condition",
    "Field",
    "InputError",
    "ModelConfig",
    "Observation",
    "S2ID",
    "TrainConfig",
    "ask",
    "depixelate",
    "load",
    "restore",
    "sample",
    "upscale",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """The public names, imported when first asked for: `s2id --help` must not wait for torch."""
    if name in _HOMES:
        return getattr(import_module(f"s2id.{_HOMES[name]}"), name)
    raise AttributeError(f"module 's2id' has no attribute {name!r}")
