"""The progress of a run: what its loop yields after every step. No torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """State of a run after an optimiser step.

    Example:
        >>> print(Progress(step=2, images_seen=64, loss=0.5, lr=1e-3, gradient_norm=1.0, images_per_second=100.0,
        ...                done=0.1, seconds_left=5.76))
        10 %, 64 images, loss 0.5000, 100 images/s, 6 seconds left
    """

    step: int
    """Optimiser steps so far."""
    images_seen: int
    """Pictures drawn so far, repetitions counted, over all processes."""
    loss: float
    """Mean loss of the step's pictures, over all processes."""
    lr: float
    """Learning rate of the step."""
    gradient_norm: float
    """Norm of the gradient before clipping."""
    images_per_second: float
    """Speed over about the last twenty steps."""
    done: float
    """Share of the run that is done, 0 to 1."""
    seconds_left: float
    """Estimated time to the end of the run."""

    def __str__(self) -> str:
        """One line for a log."""
        return (
            f"{self.done:.0%}, {self.images_seen:,} images, loss {self.loss:.4f}, "
            f"{rounded(self.images_per_second)} images/s, {duration(self.seconds_left)} left"
        ).replace("%", " %", 1)


def rounded(number: float) -> str:
    """A number with one digit after the point below 10, and none above.

    Example:
        >>> rounded(2.0), rounded(9.47), rounded(116.3)
        ('2', '9.5', '116')
    """
    return f"{number:.0f}" if number >= 9.95 else f"{number:.1f}".removesuffix(".0")


def duration(seconds: int | float) -> str:
    """A time in words, with a precision of about one in ten.

    Args:
        seconds: The time; below 0 counts as 0.

    Example:
        >>> duration(5), duration(300), duration(68_400), duration(400_000)
        ('5 seconds', '5 minutes', '19 hours', '4.6 days')
    """
    seconds = max(0.0, seconds)
    for unit, name in ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        count = seconds / unit
        if count >= 1.5 or unit == 1:
            text = f"{count:.0f}" if unit == 1 else rounded(count)
            return f"{text} {name}{'' if text == '1' else 's'}"
    raise AssertionError


class Rate:
    """A rate, smoothed over about twenty steps. The first step, which is slow, counts only until there is a second.

    Example:
        >>> rate = Rate()
        >>> rate(10, 5.0), rate(10, 1.0), rate(10, 1.0)
        (2.0, 10.0, 10.0)
    """

    def __init__(self) -> None:
        self.amount = self.seconds = 0.0
        self.steps = 0

    def __call__(self, amount: int, seconds: float) -> float:
        """The rate after a step of an amount in a time."""
        self.steps += 1
        if self.steps == 2:
            self.amount = self.seconds = 0.0
        self.amount, self.seconds = 0.95 * self.amount + amount, 0.95 * self.seconds + seconds
        return self.amount / self.seconds
