"""Back-projection that cannot burn: pictures moved towards a measured picture, within the range of its colours.

A picture of values x is written as `x = low + (high - low) * sigmoid(start + B c)`: `low` and `high` are bounds that
hold by construction, `start` gives the picture that was found, and the correction `B c` is a cubic B-spline with one
coefficient for each measured pixel. The coefficients are the least squares of

    |y - A x|^2 / BYTE^2 + |c|^2 / STIFF^2

where A takes means over the measured pixels. The correction is smooth where the picture need not be: it moves and
sharpens edges, and does little in flat areas, whose values lie at a bound. A correction added to the values themselves
has to pay for a wrong edge with dots and halos in the flat areas beside it.

Alpha is corrected first; colours follow it, and are bounded by it and by the straight colours around. Pictures of the
measured size need none of this: their pixels are the measured ones.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from s2id.linear import area_weights, conjugate_gradients
from s2id.media.alpha import has_alpha, premultiply, straight
from s2id.media.images import resize
from s2id.network.heads import spline_weights
from s2id.settings import Size
from s2id.shapes import Images, Scalars, per_sample

BYTE = 1 / 127.5 / 12**0.5
"""Standard deviation of the rounding of values in [-1, 1] to bytes: no picture of bytes says more."""

STIFF = 3.0
"""Standard deviation that a coefficient is expected to have; 3 takes the middle of the range to 95 % of it."""

_ROUNDS = 60  # of Gauss-Newton, at most; anti-aliased pictures take about twenty

_DAMPING = 0.01  # of the first step, as a share of the normal equations' diagonal

_ENOUGH = 1e-4  # share of the objective that a round must gain for another one to follow

_FARTHEST = 8.0  # first guess of a coefficient, at most: it takes the middle of the range to within 0.03 % of its end

_FINE = 12  # samples along a measured pixel's side at which the coefficients are found, at most

_REACH = 2  # measured pixels that a coefficient's B-spline reaches beyond its own


def consistent(
    found: Float[Tensor, "b c height width"],
    measured: Float[Tensor, "sets k h w"],
    mask: Bool[Tensor, "rows columns"] | None = None,
    noise: float = 0.0,
    mix: Float[Tensor, "k c"] | None = None,
    drawn: bool = False,
) -> Float[Tensor, "b c height width"]:
    """Pictures in [-1, 1] whose means over the measured pixels are as near to these as the colours around allow.

    Pictures that explain the measurement to its noise, or to the rounding of bytes, are left as they are; others are
    moved until they do. `bounds` are the values that they may take. Means of a hard-edged picture are not reached: that
    would make every measured pixel a square. `residual` says what is left.

    >>> large = consistent(torch.zeros(1, 1, 8, 8), torch.full((1, 1, 4, 4), 0.5))
    >>> bool((resize(large, (4, 4)) - 0.5).abs().max() < 0.004)  # half a grey level
    True

    Args:
        found: Pictures to correct.
        measured: Measured pictures of that size or smaller; one for all pictures, or one each.
        mask: True where a pixel was measured; `None` is everywhere.
        noise: Standard deviation of the measured pixels' noise, in their unit.
        mix: Matrix from the pictures' channels to the measured ones; `None` measures each channel by itself.
        drawn: Whether a model drew the pictures, given the measured one, so that colours that the measured one has
            nowhere are kept: means over large pixels hide the ink of thin strokes.
    """
    if mix is None and found.shape[2:] == measured.shape[2:]:
        left = residual(found, measured, mask)
        return (found + _share(left, mask, noise) * left).clamp(-1, 1)
    if has_alpha(found.shape[1]):
        return _with_alpha(found, measured, mask, noise, mix, drawn)
    return _moved(found, bounds(found, measured, mask, noise, mix, drawn), measured, mask, noise, mix)


def _share(left: Images, mask: Bool[Tensor, "rows columns"] | None, noise: float) -> Float[Tensor, "b 1 1 1"]:
    """The part of each picture's residual that is more than noise; 0 if the rounding of bytes may explain the rest."""
    size = rms(left, mask)
    return per_sample(torch.where(size > noise + BYTE, 1 - noise / size, 0), left).to(left)


def _moved(
    found: Float[Tensor, "b c height width"],
    within: tuple[Float[Tensor, "b c height width"], Float[Tensor, "b c height width"]],
    measured: Float[Tensor, "sets k h w"],
    mask: Bool[Tensor, "rows columns"] | None,
    noise: float,
    mix: Float[Tensor, "k c"] | None,
) -> Float[Tensor, "b c height width"]:
    """Pictures corrected within two bounds; the other arguments as for `consistent`."""
    left = residual(found, measured, mask, mix)
    share = _share(left, mask, noise)
    if not share.any():
        return found
    (height, width), (h, w) = found.shape[2:], measured.shape[2:]
    coarse = min(height, _FINE * h), min(width, _FINE * w)  # means over small cells decide as well, and cost less
    low, high = within
    fewer = Pull(resize(found, coarse), resize(low, coarse), resize(high, coarse), (h, w), mask, mix)
    coefficients = fewer.solve(share * left)
    return torch.where(share > 0, Pull(found, low, high, (h, w), mask, mix).picture(coefficients), found)


def _with_alpha(
    found: Float[Tensor, "b c height width"],
    measured: Float[Tensor, "sets k h w"],
    mask: Bool[Tensor, "rows columns"] | None,
    noise: float,
    mix: Float[Tensor, "k c"] | None,
    drawn: bool,
) -> Float[Tensor, "b c height width"]:
    """Premultiplied pictures whose alpha is corrected first, then their colours between bounds times that alpha."""
    alpha = consistent(found[:, -1:], measured[:, -1:], mask, noise, drawn=drawn)
    around = F.avg_pool2d(measured, 3, 1, 1, count_include_pad=False)
    shows = measured[:, -1:] > -1 + BYTE  # a pixel that shows nothing has the colour of those around it
    known = torch.where(shows, straight(measured), straight(around))[:, :-1]
    colours, mix = straight(found)[:, :-1], None if mix is None else mix[:-1, :-1]
    values = (colours, *bounds(colours, known, mask, noise, mix, drawn))
    found, low, high = (premultiply(torch.cat([x, alpha], 1))[:, :-1] for x in values)
    return torch.cat([_moved(found, (low, high), measured[:, :-1], mask, noise, mix), alpha], 1)


def bounds(
    found: Float[Tensor, "b c height width"],
    measured: Float[Tensor, "sets k h w"],
    mask: Bool[Tensor, "rows columns"] | None = None,
    noise: float = 0.0,
    mix: Float[Tensor, "k c"] | None = None,
    drawn: bool = False,
) -> tuple[Float[Tensor, "b c height width"], Float[Tensor, "b c height width"]]:
    """Lowest and highest value that each sample of corrected pictures may take.

    It is the range of the 3 x 3 measured pixels around, and of the found picture within the measured pixel as far as
    the measured picture has such values anywhere: a stroke thinner than a pixel is darker than the means around, but an
    ink that is not in the picture is none of its inks, unless a model drew it. Between pixels' middles the bounds are
    interpolated, but nowhere wider than the pixel's own. Noise widens them. Where colours are not measured one by one,
    only the range of all pictures holds.

    Arguments as for `consistent`.
    """
    if mix is not None:
        return torch.full_like(found, -1), torch.full_like(found, 1)
    small, size = measured.shape[2:], found.shape[2:]
    known = measured if mask is None else torch.where(mask, measured, resize(found, (small[0], small[1])))

    def highest(values: Tensor, known: Tensor) -> Tensor:
        around = F.max_pool2d(known, 3, stride=1, padding=1)
        own = F.adaptive_max_pool2d(values, small)
        own = own if drawn else own.minimum(known.amax((2, 3), keepdim=True))
        most = around.maximum(own) + noise + BYTE
        smooth = F.interpolate(most, size, mode="bilinear")
        return smooth.minimum(F.interpolate(most, size, mode="nearest-exact")).clamp(-1, 1)

    return -highest(-found, -known), highest(found, known)


@dataclass(frozen=True)
class Pull:
    """Pictures between two bounds as functions of coefficients, of which 0 gives the pictures that were found."""

    found: Images
    low: Images
    high: Images
    small: Size
    """Height and width of the measured picture, in pixels."""
    mask: Bool[Tensor, "rows columns"] | None = None
    """True where a pixel was measured; `None` is everywhere."""
    mix: Float[Tensor, "k c"] | None = None
    """Matrix from the pictures' channels to the measured ones; `None` measures each channel by itself."""

    @cached_property
    def start(self) -> Images:
        """The found pictures' place between the bounds, as logarithm of odds; a little inside of both."""
        width = (self.high - self.low).clamp(min=BYTE)
        edge = (BYTE / 2 / width).clamp(max=0.5)
        return ((self.found - self.low) / width).clamp(edge, 1 - edge).logit()

    @cached_property
    def splines(self) -> tuple[Float[Tensor, "height h"], Float[Tensor, "width w"]]:
        """Matrices B of the rows and columns: B-splines' means over the samples of a picture, or the samples alone."""

        def of(large: int, s: int) -> Tensor:
            if large == s:  # each measured pixel is a sample, and nothing between them could be smooth
                return torch.eye(s)
            middles = (torch.arange(large, dtype=torch.float64) + 0.5) * (s / large) - 0.5
            return spline_weights(middles, s / large, s)

        rows, columns = (of(large, s).to(self.found) for large, s in zip(self.found.shape[2:], self.small, strict=True))
        return rows, columns

    @cached_property
    def stencils(self) -> tuple[Float[Tensor, "kh height"], Float[Tensor, "kw width"]]:
        """Matrices, one below the other for each offset k, with entries `A[p, i] B[i, p + k]` of rows and columns."""
        means = [
            area_weights(large, s).to(self.found) for large, s in zip(self.found.shape[2:], self.small, strict=True)
        ]
        found = []
        for a, b in zip(means, self.splines, strict=True):
            ends = F.pad(b.T, (0, 0, _REACH, _REACH))
            found.append(torch.cat([a * ends[k : k + len(a)] for k in range(2 * _REACH + 1)]))
        return found[0], found[1]

    def picture(self, coefficients: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c height width"]:
        """The pictures of some coefficients."""
        return self.low.lerp(self.high, self._place(coefficients))  # exact at both ends

    def _place(self, coefficients: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c height width"]:
        rows, columns = self.splines
        return torch.sigmoid(self.start + rows @ coefficients @ columns.T)

    def measure(self, pictures: Float[Tensor, "b c height width"]) -> Float[Tensor, "b k h w"]:
        """The pictures' means over the measured pixels, A x; 0 where nothing was measured."""
        return self._seen(resize(pictures, self.small))

    def _seen(self, means: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h w"]:
        mixed = means if self.mix is None else torch.einsum("kc,bchw->bkhw", self.mix.to(means), means)
        return mixed if self.mask is None else mixed * self.mask

    def _unseen(self, means: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c h w"]:
        """The transpose of `_seen`."""
        seen = means if self.mask is None else means * self.mask
        return seen if self.mix is None else torch.einsum("kc,bkhw->bchw", self.mix.to(means), seen)

    def slopes(self, coefficients: Float[Tensor, "b c h w"]) -> Float[Tensor, "planes kk hw"]:
        """Derivative of each measured pixel's mean by the coefficients of the 5 x 5 measured pixels around it."""
        place = self._place(coefficients)
        slope = (self.high - self.low) * place * (1 - place)
        rows, columns = self.stencils
        (h, w), k = self.small, 2 * _REACH + 1
        found = (rows @ (slope @ columns.T)).reshape(-1, k, h, k, w)
        return found.transpose(2, 3).reshape(-1, k * k, h * w)

    def solve(self, change: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c h w"]:
        """The coefficients that change the means by `change` at the least of the objective.

        The Levenberg-Marquardt method: each picture has a damping of its own, and ends by itself.
        """
        target = self.measure(self.found) + change
        c = self._guess(target)
        damping = c.new_full((len(c), 1, 1, 1), _DAMPING)
        going = torch.ones_like(damping, dtype=torch.bool)
        left, value = self._objective(c, target)
        for _ in range(_ROUNDS):
            tried = c + self._step(c, left, damping)
            left_then, value_then = self._objective(tried, target)
            better = going & (value_then < value)
            # a heavily damped step gains little wherever it starts
            done = better & (value - value_then < _ENOUGH * value) & (damping <= _DAMPING)
            going = going & ~done & (damping < 1 / _DAMPING**2)
            c, left = torch.where(better, tried, c), torch.where(better, left_then, left)
            value = torch.where(better, value_then, value)
            damping = torch.where(better, damping / 5, damping * 5)
            if not going.any():
                break
        return c

    def _guess(self, target: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c h w"]:
        """Coefficients by which each measured pixel, moved by itself, would have the mean that it should, by bisection.

        Steps from 0 would hardly move pictures that start at the wrong bound.
        """
        size = self.found.shape[2], self.found.shape[3]
        together = None if self.mix is None else (self.mix > 0).to(target)  # channels that are measured as one

        def each(u: Tensor) -> Tensor:
            return u if together is None else torch.einsum("kc,bkhw->bchw", together, u)

        middle, half = torch.zeros_like(target), _FARTHEST / 2
        while half > 0.01:
            moved = F.interpolate(each(middle), size, mode="nearest-exact")
            means = self.measure(self.low.lerp(self.high, torch.sigmoid(self.start + moved)))
            middle = middle + half * (target - means).sign()
            half /= 2
        return each(middle)

    def _objective(
        self, c: Float[Tensor, "b c h w"], target: Float[Tensor, "b k h w"]
    ) -> tuple[Float[Tensor, "b k h w"], Float[Tensor, "b 1 1 1"]]:
        """What is left of the target, in units of a byte's rounding, and the value of the objective."""
        left = (target - self.measure(self.picture(c))) / BYTE
        return left, per_sample(left.square().sum((1, 2, 3)) + c.square().sum((1, 2, 3)) / STIFF**2, left)

    def _step(
        self, c: Float[Tensor, "b c h w"], left: Float[Tensor, "b k h w"], damping: Float[Tensor, "b 1 1 1"]
    ) -> Float[Tensor, "b c h w"]:
        """The damped Gauss-Newton step from coefficients c."""
        slopes, side = self.slopes(c) / BYTE, 2 * _REACH + 1

        def forward(v: Tensor) -> Tensor:
            around = F.unfold(v.reshape(-1, 1, *self.small), side, padding=_REACH)
            return self._seen((around * slopes).sum(1).reshape(c.shape))

        def transposed(r: Tensor) -> Tensor:
            spread = self._unseen(r).reshape(-1, 1, slopes.shape[2]) * slopes
            return F.fold(spread, self.small, side, padding=_REACH).reshape(c.shape)

        own = F.fold(slopes.square(), self.small, side, padding=_REACH).reshape(c.shape) + STIFF**-2
        scale = own.rsqrt()  # makes the diagonal about 1

        def normal(v: Tensor) -> Tensor:
            v = scale * v
            return scale * (transposed(forward(v)) + STIFF**-2 * v + damping * own * v)

        downhill = transposed(left) - STIFF**-2 * c
        return scale * conjugate_gradients(normal, scale * downhill, 25, 1e-2)


def residual(
    found: Float[Tensor, "b c height width"],
    measured: Float[Tensor, "sets k h w"],
    mask: Bool[Tensor, "rows columns"] | None = None,
    mix: Float[Tensor, "k c"] | None = None,
) -> Float[Tensor, "b k h w"]:
    """Measured pixels minus the pictures' means over them, y - A x; 0 where nothing was measured.

    Arguments as for `consistent`.
    """
    means = resize(found, (measured.shape[2], measured.shape[3]))
    means = means if mix is None else torch.einsum("kc,bchw->bkhw", mix, means)
    return measured - means if mask is None else torch.where(mask, measured - means, 0.0)


def rms(residual: Images, mask: Bool[Tensor, "rows columns"] | None = None) -> Scalars:
    """Root mean square of each picture's residual over the measured pixels."""
    share = 1.0 if mask is None else mask.double().mean().item()
    return (residual.square().mean((1, 2, 3)) / share).sqrt()
