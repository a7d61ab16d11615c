"""Denoisers under an observation: they wrap a denoiser, so every sampler and guidance work with them.

Where x given x_t is Gaussian with mean E and covariance C, and y = A x + noise, the clean state given both is
`E + C A^T (A C A^T + noise^2)^-1 (y - A E)`. Tweedie's second formula gives C = sigma^2 / alpha * dE / dx_t, so the
denoiser's own derivative is all that is needed: moment matching (Rozet et al. 2024, arXiv 2405.13712;
Boys et al. 2023, arXiv 2310.06721). With C a multiple of the identity it is PiGDM's (Song et al. 2023).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from s2id.condition import Asked
from s2id.diffusion.denoiser import Denoiser
from s2id.inverse.observation import Area, Observation
from s2id.linear import conjugate_steps
from s2id.shapes import Images, Scalars, per_sample

STRADDLE = 0.05
"""Std of what a state misses of a cell's mean where the cell ends inside its samples; measured on MNIST, 7 in 20."""


class Posterior:
    """The expected clean state given a noisy one and an observation; exact for Gaussian fields.

    Samples follow the posterior as far as x given x_t is Gaussian, and the first noise is independent of x.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        observation: Observation,
        frame: tuple[float, float] | None = None,
        iterations: int = 4,
        variance: float | None = None,
        bound: float | None = None,
    ) -> None:
        """Wrap a denoiser.

        Args:
            denoiser: The prior; `Guided` ones too.
            observation: Of the state's function; its values are shared by the batch or one set per state.
            frame: What a state covers, in composition units; `None` has square samples.
            iterations: Conjugate gradients per call, one derivative each. Few regularise where a trained
                denoiser's derivative is no covariance.
            variance: Of the data about its mean, as if samples were independent: C is then a multiple of the identity
                and costs no derivative. `None` takes the derivative.
            bound: Of the clean state's values; `None` has none. The data's own keeps early steps, whose Gaussian is
                farthest from the truth, from going where a trained denoiser knows nothing.
        """
        self.denoiser = denoiser
        self.schedule = denoiser.schedule
        self.observation = observation
        self.frame = frame
        self.iterations = iterations
        self.variance = variance
        self.bound = bound

    def __call__(self, x_t: Images, t: Scalars, label: Asked | None = None) -> Images:
        """The expected clean state."""
        # the derivative needs a record, which a caller's inference mode does not keep, nor its tensors allow
        with torch.inference_mode(False), torch.set_grad_enabled(self.variance is None):
            x_t, t = x_t.detach().clone(), t.clone()
            x_t.requires_grad_(self.variance is None)
            denoised = self.denoiser(x_t, t, None if label is None else label.clone())
            alpha, sigma = (per_sample(a, x_t).to(x_t) for a in self.schedule(t))
            observation = self.observation.to(x_t)
            area = Area(observation, (x_t.shape[2], x_t.shape[3]), self.frame)

            def covariance(x: Images) -> Images:
                if self.variance is not None:
                    return self.variance * sigma**2 / (self.variance * alpha**2 + sigma**2) * x
                (moved,) = torch.autograd.grad(denoised, x_t, x, retain_graph=True)
                return sigma**2 / alpha * moved

            noise = torch.as_tensor(observation.noise).to(x_t).reshape(-1, 1)
            with torch.no_grad():
                mean = denoised.detach()
                missing = observation.values - area(mean)
                moved = torch.zeros_like(mean)

                def seen(y: Float[Tensor, "b n k"]) -> Float[Tensor, "b n k"]:
                    nonlocal moved
                    moved = covariance(area.transpose(y))
                    return area(moved) + noise**2 * y

                expected, enough = mean, 1e-10 * missing.square().sum((1, 2), keepdim=True)
                for step, _ in conjugate_steps(seen, missing, self.iterations, enough):
                    expected = expected + step[..., None] * moved
                return expected if self.bound is None else expected.clamp(-self.bound, self.bound)
