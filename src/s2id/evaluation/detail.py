"""Detail of rendered pixels, and peak memory of the process that rendered them."""

import ctypes
import math
import sys
from contextlib import suppress
from pathlib import Path

from torch import Tensor

from s2id.evaluation import edges, image_metrics
from s2id.shapes import Images


def strokes(framed: Images, pixel: float) -> dict[str, Tensor]:
    """Edge width and waviness, power above the training Nyquist frequency and speckle of each picture.

    Power and speckle are NaN where the picture's pixels are not finer than the training pixels, and the measures of
    edges where they are not at least four times finer: the picture's own pixels would bias them.

    Args:
        framed: Pictures of the frame alone.
        pixel: Side of a training pixel, in picture pixels.
    """
    nothing = framed.new_full((len(framed),), math.nan)
    finer = pixel > 1
    return {
        "edge": edges.edge_width(framed, pixel) if pixel >= 4 else nothing,
        "waviness": edges.waviness(framed, pixel) if pixel >= 4 else nothing,
        "power": image_metrics.power_above(framed, 0.5 / pixel) if finer else nothing,
        "speckle": image_metrics.speckle(framed, pixel) if finer else nothing,
    }


def reset_peak_memory() -> None:
    """Return freed memory to the system and restart the process's peak, on systems that can."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_megabytes() -> float:
    """Peak memory of the process since `reset_peak_memory`, or since its start; NaN on systems that count none."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 1024)
