"""Settings of an evaluation."""

from dataclasses import dataclass, replace
from typing import Literal

from s2id.errors import InputError
from s2id.sampling.settings import Sampling
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
    fit: Literal["fit", "stretch"] = "fit"
    """Where aspects differ: "fit" shows more canvas, "stretch" squeezes."""
    sampling: Sampling = Sampling(guidance=1.0)
    """How the pictures are sampled."""

    def __post_init__(self) -> None:
        """Refuse what cannot be judged."""
        for size in self.sizes:
            if min(size) < 3:
                raise InputError(f"size {size[0]}x{size[1]} is too small to judge; both sides must be at least 3.")
        if not self.sizes:
            raise InputError("there is no size to judge at; give at least one.")
        if self.detail < 1:
            raise InputError(f"detail is {self.detail}; it must be at least 1.")

    def quick(self) -> "EvaluateConfig":
        """The same in a minute or two: fewer pictures, none beyond 256 pixels.

        Raises:
            InputError: All sizes are larger.
        """
        sizes = tuple(size for size in self.sizes if max(size) <= 256)
        return replace(self, sizes=sizes, count=min(self.count, 300), detail=min(self.detail, 30))
