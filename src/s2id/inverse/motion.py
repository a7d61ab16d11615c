"""Motion of a camera from pairs of frames: a first estimate, right within a fraction of a pixel.

Large pixels make false frequencies, which bias every comparison of two frames. `alignment.refine` goes on from here
with all frames at once.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from s2id.errors import InputError

_LEAST_LIKENESS = 0.7  # correlation; that of frames of one scene reaches 0.9, that of unrelated frames seldom 0.6

_BLURS = 5, 3  # widths of the Gaussian filters in pixels; some blur hides false frequencies

_LEAST_SIDE = 32  # pixels; smaller frames are enlarged first, or the blur would leave nothing of them


def register(frames: Float[Tensor, "f c h w"]) -> tuple[Float[Tensor, "f 2"], Float[Tensor, " f"]]:
    """Movement (y, x) of the camera since the first frame, in pixels, and the likeness of each frame with the first.

    Pixel p of a frame shows what is at p + shift in the first. Likeness is the correlation where the two overlap.

    Args:
        frames: Pixel values in [-1, 1].

    Raises:
        InputError: OpenCV is not installed, a frame has one brightness, or one shows less than half of the first.
    """
    try:
        import cv2
    except ImportError as error:
        raise InputError("motion is found with OpenCV, which is missing; pip install 's2id[frames]'.") from error
    grey = frames.mean(1).cpu().numpy().astype(np.float32)
    h, w = grey.shape[1:]
    for i, one in enumerate(grey):
        if np.ptp(one) < 2 / 255:
            raise InputError(f"frame {i} is of one brightness, so its motion cannot be seen; leave it out.")
    factor = -(-_LEAST_SIDE // min(h, w))
    if factor > 1:
        grey = np.stack([cv2.resize(one, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC) for one in grey])
        h, w = h * factor, w * factor
    shifts, likeness, last = [(0.0, 0.0)], [1.0], (0.0, 0.0)
    window = cv2.createHanningWindow((w, h), cv2.CV_32F)
    for i, one in enumerate(grey[1:], 1):
        # the call with a window multiplies its arguments by it, hence the copies
        phases = (cv2.phaseCorrelate(grey[0].copy(), one.copy(), *how) for how in ((), (window,)))
        starts = {(0.0, 0.0), last, *((phase[0][0], phase[0][1]) for phase in phases)}
        found = max(_align(grey[0], one, start) for start in starts)
        if found[0] < _LEAST_LIKENESS:  # thin strokes in small frames overlap only near the right shift
            around = [(factor * float(x), factor * float(y)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
            found = max(found, *(_align(grey[0], one, start) for start in around))
        if found[0] < _LEAST_LIKENESS or abs(found[2]) > h / 2 or abs(found[1]) > w / 2:
            raise InputError(
                f"frame {i} does not show half of what frame 0 shows (likeness {found[0]:.2f}); leave it out, or "
                "start nearer to it."
            )
        last = found[1], found[2]
        likeness.append(found[0])
        shifts.append((-found[2], -found[1]))
    return torch.tensor(shifts) / factor, torch.tensor(likeness)


def _align(first: np.ndarray, frame: np.ndarray, start: tuple[float, float]) -> tuple[float, float, float]:
    """Likeness, and the translation (x, y) from a pixel of the first frame to the pixel that shows the same."""
    import cv2

    likeness, warp = -1.0, np.array([[1, 0, start[0]], [0, 1, start[1]]], np.float32)
    for blur in _BLURS:
        try:
            # Evangelidis and Psarakis 2008
            likeness, warp = cv2.findTransformECC(  # type: ignore[call-overload]
                first, frame, warp, cv2.MOTION_TRANSLATION, (3, 60, 1e-5), None, blur
            )
        except cv2.error:  # from this start, the frames do not overlap or have nothing in common
            return -1.0, 0.0, 0.0
    return float(likeness), float(warp[0, 2]), float(warp[1, 2])
