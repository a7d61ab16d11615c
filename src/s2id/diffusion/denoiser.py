"""The two contracts of the package, what a prediction means, and the loss.

A *network* maps (x_t, logsnr, label) to a prediction; a *denoiser* maps (x_t, t, label) to the denoised state, where
`label` is a tensor of classes, a `Condition` of more, or nothing.
Trained, guided and exact denoisers look alike to a sampler.
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
    """`(x_t, logsnr, label) -> prediction`, of any height and width, in two halves."""

    def encode(self, x_t: Images, logsnr: Scalars) -> Any:  # noqa: ANN401
        """The half that knows no condition."""
        ...

    def decode(self, encoded: Any, label: Asked | None = None) -> Any:  # noqa: ANN401
        """The half under a condition: a function on the frame."""
        ...

    def predict(self, features: Any, size: tuple[int, int]) -> Images:  # noqa: ANN401
        """The function at the pixels of a state of that size."""
        ...


@runtime_checkable
class Denoiser(Protocol):
    """`(x_t, t, label) -> denoised`: the expected clean state."""

    schedule: Schedule

    def __call__(self, x_t: Images, t: Scalars, label: Asked | None = None) -> Images:
        """The expected clean state."""
        ...


class Views(NamedTuple):
    """One prediction, said in all three ways."""

    x: Images
    eps: Images
    v: Images


def convert(kind: Prediction, prediction: Images, x_t: Images, alpha: Scalars, sigma: Scalars) -> Views:
    """A prediction as x, as eps and as v = alpha * eps - sigma * x (Salimans and Ho 2022, arXiv 2202.00512).

    Args:
        kind: What the prediction is.
        prediction: Its value.
        x_t: The state it was made for.
        alpha: Scale of the signal in the state.
        sigma: Scale of the noise in the state.
    """
    a, s = per_sample(alpha, x_t), per_sample(sigma, x_t)
    if kind == "x":
        x, eps = prediction, (x_t - a * prediction) / s
    elif kind == "eps":
        x, eps = (x_t - s * prediction) / a, prediction
    else:
        x, eps = a * x_t - s * prediction, s * x_t + a * prediction
    return Views(x, eps, a * eps - s * x)


class TrainedDenoiser:
    """A network as a denoiser."""

    def __init__(
        self,
        network: Network,
        schedule: Schedule,
        prediction: Prediction = "x",
        heard: Schedule | None = None,
        bound: float | None = None,
    ) -> None:
        """Wrap a network.

        Args:
            network: What predicts.
            schedule: The forward process of the states.
            prediction: What the network's output means.
            heard: The schedule whose logsnr the network is told, where it knows one density and the states have
                another; `None` tells it the states' own.
            bound: Of the denoised states' values; `None` has none.
        """
        self.network = network
        self.schedule = schedule
        self.prediction = prediction
        self.heard = heard or schedule
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
            size: Of the expected states, for a network that predicts functions; `None` is the states' own.
        """
        encoded = self.network.encode(self._shown(x_t, t), self.heard.logsnr(t))
        size = size or (x_t.shape[2], x_t.shape[3])
        outputs = [self.network.predict(self.network.decode(encoded, label), size) for label in labels]
        denoised = outputs
        if self.prediction != "x":
            alpha, sigma = (a.to(x_t) for a in self.schedule(t))
            denoised = [convert(self.prediction, output, x_t, alpha, sigma).x for output in outputs]
        return denoised if self.bound is None else [x.clamp(-self.bound, self.bound) for x in denoised]

    def _shown(self, x_t: Images, t: Scalars) -> Images:
        """The state, with its signal as strong as the network is told.

        For x alone: eps and v are about the state's own samples, which would leave the range that they are known in.
        """
        if self.heard is self.schedule or self.prediction != "x":
            return x_t
        return per_sample((self.heard(t)[0] / self.schedule(t)[0]).to(x_t), x_t) * x_t


def loss_weight(kind: Prediction, logsnr: Scalars, most: float) -> Scalars:
    """Weight of the squared error of a prediction.

    v and eps have none. For x it is v's own, 1 / sigma^2, up to a bound: v's error is x's over sigma.

    Args:
        kind: What the prediction is.
        logsnr: Of the states.
        most: The bound.
    """
    return torch.ones_like(logsnr) if kind != "x" else (1 + logsnr.exp()).clamp(max=most)


def loss(kind: Prediction, prediction: Images, target: Images, logsnr: Scalars, most: float) -> Float[Tensor, ""]:
    """Mean over the batch of the weighted squared error.

    Args:
        kind: What the prediction is.
        prediction: The network's output.
        target: What it should have been.
        logsnr: Of the states.
        most: Bound of the weight.
    """
    error = (prediction - target).square().flatten(1).mean(1)
    return (loss_weight(kind, logsnr, most) * error).mean()
