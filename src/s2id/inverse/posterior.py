"""Sampling from the posterior: pictures of a model that agree with measured values.

`Posterior` wraps a denoiser, so every sampler and guidance work with it. Where x given x_t is Gaussian with mean E and
covariance C, and y = A x + noise, the expected clean state given both is `E + C A^T (A C A^T + noise^2)^-1 (y - A E)`.
Tweedie's second formula gives C = sigma^2 / alpha * dE / dx_t, so the denoiser's own derivative is all that is needed:
moment matching (Rozet et al. 2024, arXiv 2405.13712; Boys et al. 2023, arXiv 2310.06721).
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from s2id.condition import Asked
from s2id.coords import extent
from s2id.diffusion.denoiser import Denoiser
from s2id.diffusion.samplers import Step, last_of, result
from s2id.errors import InputError
from s2id.inverse.observation import Area, Observation, check_noise
from s2id.inverse.settings import RESTORING
from s2id.linear import conjugate_steps
from s2id.sampling.conditions import Labels, Seeds, pair
from s2id.sampling.denoisers import read_out
from s2id.sampling.field import Field
from s2id.sampling.model import S2ID
from s2id.sampling.sample import compose
from s2id.sampling.settings import Sampling
from s2id.sampling.states import affordable, state_sizes
from s2id.settings import Size
from s2id.shapes import Images, Scalars, per_sample


@runtime_checkable
class Operator(Protocol):
    """A linear map A from states to measured values, with its transpose: `(A x) . y = x . (A^T y)`."""

    def __call__(self, x: Images) -> Float[Tensor, "b ..."]:
        """Values that are measured of states, without noise: `A x`."""
        ...

    def transpose(self, y: Float[Tensor, "b ..."]) -> Images:
        """States from measured values by the transpose: `A^T y`."""
        ...


@dataclass(frozen=True)
class Measurement:
    """Values measured of a clean state x: `values = operator(x) + noise * eps`, where eps is unit noise."""

    operator: Operator
    """The linear map from states to values."""
    values: Float[Tensor, "sets ..."]
    """Measured values, with a batch axis in front: of length 1 if all states share them, else one set per state."""
    noise: float | Tensor = 0.0
    """Standard deviation of the values' noise: one number, or a tensor that broadcasts against `values`."""

    def __post_init__(self) -> None:
        """Refuse values that nobody can have measured.

        Raises:
            InputError: A value is not finite, or the noise is below 0 or not finite.
        """
        if not torch.isfinite(self.values).all():
            raise InputError("the measured values hold NaN or infinity; leave such values out of the operator.")
        check_noise(self.noise)

    @classmethod
    def of(cls, observation: Observation, size: Size, frame: tuple[float, float] | None = None) -> "Measurement":
        """An observation as a measurement of states of one size.

        Args:
            observation: Measured values and their places.
            size: Height and width of the states.
            frame: Height and width of the region that a state covers, in composition units. `None` is the region for
                which the samples are square.
        """
        values = observation.values if observation.values.ndim == 3 else observation.values[None]
        return cls(Area(observation, size, frame), values, torch.as_tensor(observation.noise).reshape(-1, 1))

    def __getitem__(self, part: slice) -> "Measurement":
        """The measurement of some states of the batch."""
        return self if len(self.values) == 1 else replace(self, values=self.values[part])


class Posterior:
    """A denoiser that gives the expected clean state given a noisy state and a measurement.

    It is exact for Gaussian fields. Samples follow the posterior as far as x given x_t is Gaussian.
    """

    def __init__(
        self, denoiser: Denoiser, measurement: Measurement, iterations: int = 4, bound: float | None = None
    ) -> None:
        """Wrap a denoiser.

        Args:
            denoiser: The prior, with or without guidance.
            measurement: Values measured of the clean states.
            iterations: Number of conjugate gradient steps per call. Each takes one derivative of the denoiser. A few
                steps regularise where a trained denoiser's derivative is not a covariance.
            bound: Largest magnitude of a clean state's values, 1 for pictures; `None` has no bound. A bound keeps the
                early steps, where x given x_t is farthest from Gaussian, near states that the denoiser was trained on.
        """
        self.denoiser = denoiser
        self.schedule = denoiser.schedule
        self.measurement = measurement
        self.iterations = iterations
        self.bound = bound

    def __call__(self, x_t: Images, t: Scalars, label: Asked | None = None) -> Images:
        """The expected clean state.

        Raises:
            InputError: The operator's values have another shape than the measured ones.
        """
        operator = self.measurement.operator
        # autograd must record the denoiser's call, which tensors of a caller's inference mode do not allow
        with torch.inference_mode(False), torch.enable_grad():
            x_t, t = x_t.detach().clone().requires_grad_(), t.clone()
            denoised = self.denoiser(x_t, t, None if label is None else label.clone())
            alpha, sigma = (per_sample(a, x_t).to(x_t) for a in self.schedule(t))

            def covariance(x: Images) -> Images:
                (moved,) = torch.autograd.grad(denoised, x_t, x, retain_graph=True)
                return sigma**2 / alpha * moved

            with torch.no_grad():
                mean = denoised.detach()
                residual = self._residual(mean)
                noise = torch.as_tensor(self.measurement.noise).to(x_t)
                moved = torch.zeros_like(mean)

                def gained(y: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
                    nonlocal moved  # C A^T y is what the solution's step adds to the mean
                    moved = covariance(operator.transpose(y))
                    return operator(moved) + noise**2 * y

                expected = mean
                enough = 1e-10 * residual.square().sum(tuple(range(1, residual.ndim)), keepdim=True)
                for step, _ in conjugate_steps(gained, residual, self.iterations, enough):
                    expected = expected + step.reshape(-1, 1, 1, 1) * moved
                return expected if self.bound is None else expected.clamp(-self.bound, self.bound)

    def _residual(self, x: Images) -> Float[Tensor, "b ..."]:
        """The part of the measured values that states do not explain: y - A x."""
        explained, values = self.measurement.operator(x), self.measurement.values.to(x)
        if explained.shape[1:] != values.shape[1:]:
            shapes = ["x".join(map(str, y.shape[1:])) for y in (explained, values)]
            raise InputError(f"the operator gives values of shape {shapes[0]} and {shapes[1]} were measured.")
        return values - explained


def sample_posterior(
    model: S2ID,
    measurement: Measurement,
    label: Labels = None,
    seeds: Seeds = (0,),
    sampling: Sampling = RESTORING,
    *,
    aspect: Size | None = None,
    iterations: int = 3,
    bound: float | None = 1.0,
) -> Field:
    """A field per seed, drawn from the posterior of a model given a measurement of its states.

    >>> import s2id
    >>> model = s2id.load("mnist")  # it composes on states of 20x20 samples
    >>> measured = Measurement.of(Observation.of_picture(torch.zeros(1, 5, 5)), (20, 20))
    >>> sample_posterior(model, measured, label=7, sampling=s2id.Sampling(2, 1.0)).render((28, 28)).shape
    torch.Size([1, 1, 28, 28])

    Args:
        model: The prior, from `s2id.load`.
        measurement: Values measured of the states, and the operator that measured them.
        label: Condition of the pictures: a class's name or index, the result of `s2id.ask`, or one of these per seed.
            `None` is no condition.
        seeds: One field is drawn per seed.
        sampling: Solver and guidance. Autoguidance and finer states at the end are left out, because the derivative of
            autoguidance is no covariance, and the measurement is of the samples of one state.
        aspect: Height and width of the frame, in any unit; `None` is the training data's.
        iterations: Conjugate gradient steps per solver step, as in `Posterior`.
        bound: Largest magnitude of a clean state's values, as in `Posterior`.

    Raises:
        InputError: An argument is out of range, or the model composes latents or is distilled.
    """
    return result(
        posterior_steps(model, measurement, label, seeds, sampling, aspect=aspect, iterations=iterations, bound=bound)
    )


def posterior_steps(
    model: S2ID,
    measurement: Measurement,
    label: Labels = None,
    seeds: Seeds = (0,),
    sampling: Sampling = RESTORING,
    *,
    aspect: Size | None = None,
    iterations: int = 3,
    bound: float | None = 1.0,
) -> Generator[Step, None, Field]:
    """The solver's steps of `sample_posterior`, whose field is what the generator returns; arguments as there.

    Where there are many seeds, they are taken in parts, one after the other.
    """
    model.need_pixels("sampling under a measurement")
    asked, every = pair(model, label, seeds)
    if len(measurement.values) not in (1, len(every)):
        raise InputError(f"there are {len(measurement.values)} sets of values and {len(every)} seeds; give as many.")
    aspect = aspect or model.card.size or (1, 1)
    count = at_once(state_sizes(model, aspect, sampling.density)[0])
    fields = []
    for first in range(0, len(every), count):
        part = slice(first, first + count)
        under = partial(Posterior, measurement=measurement[part], iterations=iterations, bound=bound)
        walk = compose(model, asked[part], every[part], sampling, aspect=aspect, under=under)
        fields.append(read_out(model, (yield from last_of(walk)), asked[part], frame=extent(aspect)))
    values = torch.cat([field.features.values for field in fields])
    facts = {"seeds": " ".join(map(str, every))}
    return Field(replace(fields[0].features, values=values), fields[0].head, facts)


def at_once(state: Size) -> int:
    """Number of states to sample at once: half of what sampling without derivatives affords."""
    return max(1, affordable(max(state)) // 2)
