"""What is taught before a run's own steps: for so many steps, but for no more than a share of the run's minutes."""

import math
import time
from collections.abc import Callable, Iterator

from tqdm import trange

from s2id.training.settings import TrainConfig

_OF_MINUTES = 0.2
"""Time that it takes, at most, over that of a run whose length is a time."""


def course(steps: int, config: TrainConfig, stopped: Callable[[], bool], name: str) -> Iterator[float]:
    """The share that is done, from 0 to below 1, before each step.

    Args:
        steps: Number of steps.
        config: Settings of the run; with `minutes`, the steps end after a fifth of them.
        stopped: Is asked before each step; where it says yes, there are no more.
        name: Name of the bar that shows the steps.
    """
    limit = math.inf if config.minutes is None else _OF_MINUTES * 60 * config.minutes
    begun = time.monotonic()
    for step in trange(steps, desc=name, leave=False, disable=None):
        done = max(step / steps, (time.monotonic() - begun) / limit)
        if done >= 1 or stopped():
            return
        yield done
