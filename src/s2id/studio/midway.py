"""Leaving a computation midway, wherever it is: between two calls of torch."""

from collections.abc import Callable

from torch.overrides import TorchFunctionMode


class Midway(TorchFunctionMode):
    """While this is on, a function is called before each call of torch by this thread; what it raises ends the work."""

    def __init__(self, check: Callable[[], None]) -> None:
        super().__init__()
        self._check = check

    def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204
        """Call a function of torch, unless the work is to end."""
        self._check()
        return function(*args, **(kwargs or {}))
