"""Settings of an evaluation. Nothing here imports torch."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from s2id.checks import Within, check, shown
from s2id.errors import InputError
from s2id.sampling.settings import Sampling
from s2id.settings import AnySize, Size, setting


@dataclass(frozen=True)
class EvaluateConfig:
    """All settings of an evaluation: the sizes, the number of pictures and how to sample them.

    Example:
        >>> EvaluateConfig(count=1000).quick().count
        300
    """

    sizes: tuple[AnySize, ...] = (
        (14, 14), (28, 28), (56, 56), (113, 113), (256, 256), (1024, 1024), (1024, 576), (576, 1024), (37, 61),
    )  # fmt: skip
    """Height and width in pixels of each row's pictures, or their long side alone, at the aspect of the data."""
    count: Annotated[int, Within(1, 10**7)] = 2000
    """Number of pictures per size, with seeds 0, 1, 2, ... A model of classes is asked for each class in turn, a model
    of attributes, numbers or text for the conditions of test pictures."""
    detail: Annotated[int, Within(1, 10**7)] = 50
    """Number of pictures per size whose strokes and zooms are measured."""
    fit: Literal["fit", "stretch"] = setting("fit", "evaluation")
    """How the frame meets a picture of another aspect: "fit" shows more canvas, "stretch" makes pixels oblong."""
    sampling: Sampling = Sampling(guidance=1.0)
    """How the pictures are sampled."""

    def __post_init__(self) -> None:
        """Refuse sizes and numbers that cannot be measured."""
        check(self)
        for size in self.sizes:
            check_judged(_at_most(size))
        if not self.sizes:
            raise InputError("there is no size to judge at; give at least one.")

    def quick(self) -> "EvaluateConfig":
        """The same settings for a minute or two: at most 300 pictures, and no size beyond 256 pixels.

        Raises:
            InputError: All sizes are larger.
        """
        sizes = tuple(size for size in self.sizes if max(_at_most(size)) <= 256)
        return replace(self, sizes=sizes, count=min(self.count, 300), detail=min(self.detail, 30))


def check_judged(size: Size) -> None:
    """Refuse pictures that are too small to judge.

    Raises:
        InputError: A side has fewer than three pixels.
    """
    if min(size) < 3:
        height, width = map(shown, size)
        raise InputError(f"size {height}x{width} is too small to judge; both sides must be at least 3.")


def _at_most(size: AnySize) -> Size:
    """Height and width of the largest picture that a size can mean."""
    return (size, size) if isinstance(size, int) else size
