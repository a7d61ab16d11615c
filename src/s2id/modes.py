"""torch's global modes and random state, which a function leaves as it found them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_KINDS = ("cpu", "cuda")


@contextmanager
def modes_kept() -> Iterator[None]:
    """A block that leaves gradients, autocast and the random state as they were, even if Ctrl-C ends it.

    torch's own contexts do not: Ctrl-C during their entry or exit leaves the mode half changed.
    """
    gradients, caches, depth = torch.is_grad_enabled(), torch.is_autocast_cache_enabled(), _depth()
    casts = [(kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in _KINDS]
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        torch.set_grad_enabled(gradients)
        torch.set_autocast_cache_enabled(caches)
        for kind, enabled, kept in casts:
            torch.set_autocast_enabled(kind, enabled)
            torch.set_autocast_dtype(kind, kept)
        for _ in range(_depth() - depth):
            torch.autocast_decrement_nesting()
            torch.clear_autocast_cache()


def _depth() -> int:
    """Number of autocast contexts around; within none, weights that were cast are not kept."""
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting()
