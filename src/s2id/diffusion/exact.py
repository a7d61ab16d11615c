"""Denoisers in closed form. Tests compare samplers, schedules and noise with them, without a network.

Both are exact for states of every size, because a state's sample is the mean of a picture over the sample's cell. As in
a trained denoiser, `schedule` is that of the states' density: see `Schedule.at_density`.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn import functional as F

from s2id.condition import Asked, Condition
from s2id.diffusion.process import Schedule, alpha_sigma
from s2id.errors import InputError
from s2id.media.images import resize
from s2id.settings import Size
from s2id.shapes import NULL, Images, Labels, Scalars, per_sample


class GaussianDenoiser:
    """The Wiener filter of a Gaussian field that is stationary on a periodic frame.

    The field at u in [0, 1)^2 is `mean + sum over k of c_k * exp(2 pi i k . u)`, a finite sum with independent normal
    c_k (except c_-k, the conjugate). Its cell means at any size are stationary too, so Fourier modes stay independent.
    """

    def __init__(self, power: Float[Tensor, "ky kx"], schedule: Schedule, mean: float = 0.0) -> None:
        """Describe a field.

        Args:
            power: Variance of c_k, with k = 0 in the middle; both sides are odd, and k and -k have the same variance.
            schedule: The forward process of the states.
            mean: Mean of the field.

        Raises:
            InputError: No real-valued field has such a power.
        """
        power, mirrored = power.double(), power.double().flip(0, 1)
        if not (power.shape[0] % 2 and power.shape[1] % 2 and torch.allclose(power, mirrored, rtol=1e-6)):
            raise InputError("power is no real field's; give odd sides and the same power to k and -k.")
        self.power = (power + mirrored) / 2  # its last digits depend on the processor that computed it
        self.schedule = schedule
        self.mean = mean

    def __call__(self, x_t: Images, t: Scalars, label: Asked | None = None) -> Images:
        """The expected clean state; `label` is ignored."""
        alpha, sigma = (per_sample(a, x_t) for a in self.schedule(t.to(x_t)))
        clean = self.variances((x_t.shape[2], x_t.shape[3])).to(x_t)
        gain = alpha * clean / (alpha**2 * clean + sigma**2)
        return self.mean + _filter(x_t - alpha * self.mean, gain)

    def flow(self, x_t: Images, t: float, s: float) -> Images:
        """The state at time s on the probability flow's path through `x_t` at time t.

        Each mode keeps its deviation from the mean, in units of the mode's standard deviation at that time.
        """
        alpha, sigma = (a.tolist() for a in self.schedule(torch.tensor([t, s], dtype=torch.float64)))
        clean = self.variances((x_t.shape[2], x_t.shape[3])).to(x_t)
        before, after = ((a**2 * clean + b**2).sqrt() for a, b in zip(alpha, sigma, strict=True))
        return alpha[1] * self.mean + _filter(x_t - alpha[0] * self.mean, after / before)

    def variances(self, size: Size) -> Float[Tensor, "h w"]:
        """Variance of every mode of a clean state, in the order and norm of an orthonormal FFT.

        These are the eigenvalues of the state's covariance. The mean over a cell attenuates mode k by sinc(k / n) along
        each axis, and n samples cannot tell modes apart that differ by n.
        """
        rows, columns = (_aliases(n, side) for n, side in zip(size, self.power.shape, strict=True))
        return size[0] * size[1] * (rows @ self.power @ columns.T)

    def covariance(self, size: Size) -> Float[Tensor, "h w"]:
        """Covariance of a clean state's first sample with every sample."""
        return torch.fft.ifft2(self.variances(size)).real

    def draw(self, count: int, size: Size, generator: torch.Generator, channels: int = 1) -> Float[Tensor, "b c h w"]:
        """Clean states of random fields. The fields depend on the generator alone, so all sizes show the same ones."""
        shape = (count, channels, *self.power.shape)
        normal = torch.complex(*(torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2)))
        modes = (normal + normal.flip(2, 3).conj()) / 2 * self.power.sqrt()
        rows, columns = (_waves(n, side) for n, side in zip(size, self.power.shape, strict=True))
        return self.mean + (rows @ modes @ columns.T).real


class EmpiricalDenoiser:
    """The ideal denoiser of finitely many pictures: their mean, weighted by each one's likelihood given the state.

    `denoised = softmax_i(-|x_t - alpha * x_i|^2 / (2 * sigma^2)) . x_i` (Karras et al. 2022, arXiv 2206.00364,
    appendix B.3).

    Example:
        >>> data = EmpiricalDenoiser(torch.tensor([-1.0, 0.5]).reshape(2, 1, 1, 1), Schedule())
        >>> round(data(torch.full((1, 1, 1, 1), 0.4), torch.tensor([0.01])).item(), 3)  # little noise: the nearer one
        0.5
    """

    def __init__(self, images: Images, schedule: Schedule, labels: Labels | None = None) -> None:
        """Keep the pictures.

        Args:
            images: The data; states of another size are compared with the data's means over cells.
            schedule: The forward process of the states.
            labels: Class of each picture; `None` has no classes.
        """
        self.images = images
        self.labels = torch.full((len(images),), NULL) if labels is None else labels
        self.schedule = schedule

    def __call__(self, x_t: Images, t: Scalars, label: Asked | None = None) -> Images:
        """The expected clean state."""
        return self.under_each(x_t, t, [label])[0]

    def under_each(
        self, x_t: Images, t: Scalars, labels: Sequence[Asked | None], size: Size | None = None
    ) -> list[Float[Tensor, "b c y x"]]:
        """The expected clean state under each condition; arguments as for `TrainedDenoiser.under_each`.

        Raises:
            InputError: A label is on none of the pictures.
        """
        pictures = resize(self.images, (x_t.shape[2], x_t.shape[3])).to(x_t)
        logsnr = self.schedule.logsnr(t.to(x_t))
        x_ve = x_t / per_sample(alpha_sigma(logsnr)[0], x_t)
        exact = "donot_use_mm_for_euclid_dist"
        distance = torch.cdist(x_ve.flatten(1), pictures.flatten(1), compute_mode=exact)
        likelihood = -per_sample(logsnr.exp() / 2, distance) * distance.square()
        weights = [self._prior(label, likelihood).add(likelihood).softmax(1) for label in labels]
        shown = pictures if size is None else resize(self.images, size).to(x_t)
        return [(w @ shown.flatten(1)).unflatten(1, shown.shape[1:]) for w in weights]

    def _prior(self, label: Asked | None, like: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """0 for the pictures of each class, -inf for the others; attributes, numbers and text are ignored."""
        if label is None:
            return torch.zeros_like(like)
        label = label.label if isinstance(label, Condition) else label
        allowed = (label[:, None] == NULL) | (label[:, None] == self.labels.to(label.device))
        if not (found := allowed.any(1)).all():
            raise InputError(f"label {int(label[~found][0])} is on none of the pictures; choose one that they have.")
        return torch.zeros_like(like).masked_fill(~allowed, -torch.inf)


def _filter(x: Images, gain: Float[Tensor, "*b h w"]) -> Images:
    """The pictures with each Fourier mode multiplied by its gain."""
    return torch.fft.ifft2(torch.fft.fft2(x) * gain).real


def _frequencies(side: int) -> Float[Tensor, " k"]:
    return torch.arange(side, dtype=torch.float64) - side // 2


def _aliases(count: int, side: int) -> Float[Tensor, "n k"]:
    """Shares of each frequency's power (columns) in each mode of `count` cell means (rows)."""
    k = _frequencies(side)
    return F.one_hot(k.long() % count, count).T * torch.sinc(k / count).square()


def _waves(count: int, side: int) -> Complex[Tensor, "n k"]:
    """Means of exp(2 pi i k u) over `count` cells of [0, 1], one column per frequency."""
    k, u = _frequencies(side), (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return torch.polar(torch.sinc(k / count).expand(count, -1).contiguous(), 2 * torch.pi * u[:, None] * k)
