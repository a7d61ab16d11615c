"""The two contracts of the package, network and denoiser; the three kinds of prediction; the loss.

A *network* maps (x_t, logsnr, label) to a prediction. A *denoiser* maps (x_t, t, label) to the denoised state. `label`
is a tensor of classes, a `Condition` (which may also hold attributes, numbers and text), or `None`.
A sampler treats trained, guided and exact denoisers alike.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from s2id.condition import Asked
from s2id.diffusion.process import Schedule
from s2id.settings import Prediction, Size
from s2id.shapes import Images, Scalars, per_sample


@runtime_checkable
class Network(Protocol):
    """What sampling needs of a network: `(x_t, logsnr, label) -> prediction` at any height and width, in three calls.

    A model's networks also have `config`, the settings that they were built from (`network.settings`).
    """

    def encode(self, x_t: Images, logsnr: Scalars) -> Any:  # noqa: ANN401
        """The encoder's output, which no condition enters."""
        ...

    def decode(self, encoded: Any, label: Asked | None = None) -> Any:  # noqa: ANN401
        """The predicted function on the frame, under a condition."""
        ...

    def predict(self, features: Any, size: tuple[int, int]) -> Images:  # noqa: ANN401
        """The prediction at the samples of a state of that size."""
        ...


@runtime_checkable
class Denoiser(Protocol):
    """`(x_t, t, label) -> denoised`, the expected clean state."""

    schedule: Schedule

    def __call__(self, x_t: Images, t: Scalars, label: Asked | None = None) -> Images:
        """The expected clean state."""
        ...


class Predictions(NamedTuple):
    """One prediction in its three equivalent forms."""

    x: Images
    eps: Images
    v: Images


def convert(kind: Prediction, prediction: Images, x_t: Images, alpha: Scalars, sigma: Scalars) -> Predictions:
    """A prediction as x, as eps and as v = alpha * eps - sigma * x (Salimans and Ho 2022, arXiv 2202.00512).

    Args:
        kind: Form of the given prediction.
        prediction: Its value.
        x_t: The state it was made for.
        alpha: Scale of the signal in the state.
        sigma: Scale of the noise in the state.

    Example:
        >>> one = torch.ones(1)
        >>> picture = torch.full((1, 1, 1, 1), 0.5)
        >>> convert("x", picture, 0.8 * picture + 0.6, 0.8 * one, 0.6 * one).eps.item()  # the noise was 1
        1.0
    """
    a, s = per_sample(alpha, x_t), per_sample(sigma, x_t)
    if kind == "x":
        x, eps = prediction, (x_t - a * prediction) / s
    elif kind == "eps":
        x, eps = (x_t - s * prediction) / a, prediction
    else:
        x, eps = a * x_t - s * prediction, s * x_t + a * prediction
    return Predictions(x, eps, a * eps - s * x)


class TrainedDenoiser:
    """A denoiser made of a network and a schedule."""

    def __init__(
        self,
        network: Network,
        schedule: Schedule,
        prediction: Prediction = "x",
        input_schedule: Schedule | None = None,
        bound: float | None = None,
    ) -> None:
        """Wrap a network.

        Args:
            network: The network.
            schedule: The forward process of the states.
            prediction: What the network's output means.
            input_schedule: The schedule whose logsnr is the network's input. It differs from `schedule` where the
                network was trained at one density and the states have another; `None` is `schedule`.
            bound: Largest absolute value of the denoised states, which are clipped to it; `None` clips nothing.
        """
        self.network = network
        self.schedule = schedule
        self.prediction = prediction
        self.input_schedule = input_schedule or schedule
        self.bound = bound

    def __call__(self, x_t: Images, t: Scalars, label: Asked | None = None) -> Images:
        """The expected clean state."""
        return self.under_each(x_t, t, [label])[0]

    def under_each(
        self, x_t: Images, t: Scalars, labels: Sequence[Asked | None], size: Size | None = None
    ) -> list[Float[Tensor, "b c y x"]]:
        """The expected clean state under each of several conditions; the encoder runs once.

        Args:
            x_t: States.
            t: Their times.
            labels: Conditions.
            size: Size of the expected states, for a network that predicts functions; `None` is the states' own.
        """
        encoded = self.network.encode(x_t, self.input_schedule.logsnr(t))
        size = size or (x_t.shape[2], x_t.shape[3])
        outputs = [self.network.predict(self.network.decode(encoded, label), size) for label in labels]
        denoised = outputs
        if self.prediction != "x":
            alpha, sigma = (a.to(x_t) for a in self.schedule(t))
            denoised = [convert(self.prediction, output, x_t, alpha, sigma).x for output in outputs]
        return denoised if self.bound is None else [x.clamp(-self.bound, self.bound) for x in denoised]


def loss_weight(kind: Prediction, logsnr: Scalars, most: float) -> Scalars:
    """Weight of the squared error of a prediction.

    Predictions of v and eps have weight 1. The weight of x is 1 / sigma^2, up to a bound: so weighted, its loss is the
    loss of v, because the error of v is that of x divided by sigma.

    Args:
        kind: Form of the prediction.
        logsnr: Of the states.
        most: Largest weight of x.

    Example:
        >>> loss_weight("x", torch.tensor([0.0, 9.0]), most=10.0).tolist()
        [2.0, 10.0]
    """
    return torch.ones_like(logsnr) if kind != "x" else (1 + logsnr.exp()).clamp(max=most)


def loss(kind: Prediction, prediction: Images, target: Images, logsnr: Scalars, most: float) -> Float[Tensor, ""]:
    """Mean over the batch of the weighted squared error.

    Args:
        kind: Form of the prediction.
        prediction: The network's output.
        target: The true value.
        logsnr: Of the states.
        most: Largest weight of x.
    """
    error = (prediction - target).square().flatten(1).mean(1)
    return (loss_weight(kind, logsnr, most) * error).mean()
