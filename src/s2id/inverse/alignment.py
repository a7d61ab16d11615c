"""Motion of all frames together: it is right when one picture, fused from the frames, explains them all.

Comparisons of two frames of large pixels are biased by false frequencies. `motion.register` makes such comparisons;
`refine` goes on from there with all frames at once.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from s2id.inverse.fusion import LEAST_NOISE, OUTLIER, STEPS, FramesOperator, Problem, beginning, spread
from s2id.shapes import Images, Scalars

_COARSE, _FINE, _TURN = 0.3, 0.003, 20  # first and last strength, and conjugate gradient steps, of a turn

_SMALL = 2**13  # pixels; motion of frames of more pixels is refined on fewer samples per pixel

_LONGEST_STEP = 0.5  # pixels

_PUSH = 1.7  # steps are too short by so much, as the picture is partly made of each frame where it was before

_UNLIKE, _LEAST_UNLIKE = 4.0, 0.05  # 1 - likeness, in that of the middle frame, beyond which a frame is left out

_MISFIT = 2.0  # residual of a frame, in that of the middle frame, beyond which it is left out


def refine(frames: Float[Tensor, "f c h w"], shifts: Float[Tensor, "f 2"], rounds: int = 48) -> Float[Tensor, "f 2"]:
    """Shifts with which one picture explains all frames best, found from shifts that are right within about a pixel.

    Fusing and Gauss-Newton steps on the residual take turns, from a smooth picture to a sharp one. The first frame
    stays where it is.

    Args:
        frames: Pixel values in [-1, 1].
        shifts: Movement (y, x) of the camera, in pixels of a frame, as for `fusion.fuse`.
        rounds: Largest number of turns.
    """
    h, w = frames.shape[2:]
    # an error of a hundredth of a pixel shows in a picture four times as dense
    denser = 4 if h * w <= _SMALL else 2
    y, size = frames.float().movedim(1, 0)[None], (denser * h, denser * w)
    x, before = None, None
    for turn in range(rounds):
        operator = FramesOperator((h, w), shifts, size)
        if x is None or before != operator.canvas:
            x, before = beginning(operator, y), operator.canvas
        strength = _COARSE * (_FINE / _COARSE) ** min(1.0, 2 * turn / max(1, rounds - 1))
        problem = Problem.even(operator, y, torch.ones_like(y), strength).with_edges(x)
        x = problem.solve(x, _TURN)
        step = _PUSH * _newton(operator, y, x)
        shifts = shifts + step - step[0]
        if float(step.abs().max()) < 1e-3 and turn > rounds // 2:
            break
    return shifts


def agreeing(
    frames: Float[Tensor, "f c h w"], shifts: Float[Tensor, "f 2"], likeness: Float[Tensor, " f"]
) -> tuple[Float[Tensor, "f 2"], Bool[Tensor, " f"]]:
    """Refined shifts, and True for the frames that one picture explains; others turn, zoom or show something else.

    Args:
        frames: Pixel values in [-1, 1].
        shifts: Movement (y, x) of the camera, as for `refine`.
        likeness: Correlation of each frame with the first, from `motion.register`.
    """
    unlike = 1 - likeness
    fits = unlike <= (_UNLIKE * unlike[1:].median()).clamp(min=_LEAST_UNLIKE)
    for _ in range(3):  # without the worst frames the picture is better, so other frames stand out
        shifts = shifts.index_put((fits,), refine(frames[fits], shifts[fits]))
        wrong = _misfit(frames, shifts, fits)
        now = fits & (wrong <= _MISFIT * wrong[fits].median())
        if bool((now == fits).all()) or now.sum() < 2:
            break
        fits = now
    return shifts, fits


def _misfit(frames: Float[Tensor, "f c h w"], shifts: Float[Tensor, "f 2"], fits: Bool[Tensor, " f"]) -> Scalars:
    """Rms of each frame's residual under the picture that is fused from the fitting frames."""
    h, w = frames.shape[2:]
    operator, y = FramesOperator((h, w), shifts, (2 * h, 2 * w)), frames.float().movedim(1, 0)[None]
    problem = Problem.even(operator, y, fits[:, None, None].expand(y.shape).float(), _FINE)
    x = problem.solve(beginning(operator, y), STEPS)
    x = problem.with_edges(x).solve(x, STEPS)
    return (y - operator(x)).square().mean((0, 1, 3, 4)).sqrt()


def _newton(operator: FramesOperator, y: Float[Tensor, "1 c f rows columns"], x: Images) -> Float[Tensor, "f 2"]:
    """Gauss-Newton step of each frame's shift, on the frame's residual."""
    slopes = torch.zeros(2, *x.shape[1:])
    slopes[0, :, 1:-1] = (x[0, :, 2:] - x[0, :, :-2]) / 2 * (operator.size[0] / y.shape[3])
    slopes[1, :, :, 1:-1] = (x[0, :, :, 2:] - x[0, :, :, :-2]) / 2 * (operator.size[1] / y.shape[4])
    seen, residual = operator(slopes), y - operator(x)
    weight = (residual.abs() / (OUTLIER * max(spread(residual), LEAST_NOISE))).clamp(min=1).pow(-2)
    normal = torch.einsum("icfhw,jcfhw,cfhw->fij", seen, seen, weight[0])
    right = torch.einsum("icfhw,cfhw->fi", seen, (weight * residual)[0])
    # a frame without slopes along an axis stays where it is along that axis
    normal = normal + torch.eye(2) * (1e-3 * normal.diagonal(dim1=1, dim2=2).amax(1).clamp(min=1e-6))[:, None, None]
    return torch.linalg.solve(normal, right).clamp(-_LONGEST_STEP, _LONGEST_STEP)
