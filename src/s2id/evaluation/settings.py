"""Settings of an evaluation."""

from dataclasses import dataclass, replace
from typing import Literal

from s2id.diffusion.settings import ALWAYS, Noise, SamplerName
from s2id.errors import InputError
from s2id.settings import Size


@dataclass(frozen=True)
class EvaluateConfig:
    """What is drawn to judge a model."""

    sizes: tuple[Size, ...] = (
        (14, 14), (28, 28), (56, 56), (113, 113), (256, 256), (1024, 1024), (1024, 576), (576, 1024), (37, 61),
    )  # fmt: skip
    """Height and width of the pictures, a row of the table each."""
    count: int = 2000
    """Pictures per size: seeds 0, 1, 2, ..., classes in turn or what the test pictures are."""
    detail: int = 50
    """Pictures per size whose strokes and zooms are measured."""
    guidance: float = 1.0
    """1 is off; more exaggerates the label."""
    guidance_interval: tuple[float, float] = ALWAYS
    """First and last time of it."""
    autoguidance: float | None = None
    """Weight of the model's guide; `None` is the model's own, 1 is off."""
    steps: int | None = None
    """Solver steps; `None` is what `s2id.sample` takes."""
    sampler: SamplerName = "dpmpp"
    """The solver."""
    eta: float = 0.0
    """Fresh noise per step with ddim and dpmpp, 0 to 1."""
    density: int | None = None
    """Samples along the long side of the only state; `None` is as trained."""
    noise: Noise = "nested"
    """How a seed's noise at one density relates to that at another."""
    shift: bool = True
    """Match the noise to the density."""
    fit: Literal["fit", "stretch"] = "fit"
    """Where aspects differ: "fit" shows more canvas, "stretch" squeezes."""

    def __post_init__(self) -> None:
        """Refuse what cannot be judged."""
        for size in self.sizes:
            if min(size) < 3:
                raise InputError(f"size {size[0]}x{size[1]} is too small to judge; both sides must be at least 3.")
        if not self.sizes:
            raise InputError("there is no size to judge at; give at least one.")
        if self.detail < 1:
            raise InputError(f"detail is {self.detail}; it must be at least 1.")
        if self.density is not None and self.density < 1:
            raise InputError(f"density is {self.density}; it must be at least 1.")

    def quick(self) -> "EvaluateConfig":
        """The same in a minute or two: fewer pictures, none beyond 256 pixels.

        Raises:
            InputError: All sizes are larger.
        """
        sizes = tuple(size for size in self.sizes if max(size) <= 256)
        return replace(self, sizes=sizes, count=min(self.count, 300), detail=min(self.detail, 30))
