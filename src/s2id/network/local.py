"""What each sample of a state says by itself and with those around it, beside what tokens say of whole patches.

A token sums up a patch of samples, and little of each one's own value comes out again: flat colours stay mottled
where a mean over neighbours would do. So the prediction begins here at the best linear one, and convolutions at the
state's own samples correct it.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from s2id.network.blocks import normalise
from s2id.network.settings import ModelConfig
from s2id.shapes import Images, Scalars, per_sample

SPREAD = 0.2
"""Standard deviation of a picture's samples around its canvas that the linear estimate assumes."""

_REACHES = (1, 2, 4, 1)
"""Distance between the samples that a convolution sees, block by block: a flat colour is a mean over many samples."""


class LocalEstimate(nn.Module):
    """The clean state that a noisy one and a canvas let expect, and what the head's features lack of it.

    If a picture's samples were the canvas's plus independent Gaussian deviations of variance `s^2`, the best estimate
    would be

        canvas + (x_t / alpha - canvas) s^2 / (s^2 + n),   n = (sigma / alpha)^2

    with the variance `s^2 n / (s^2 + n)`. It is the canvas where there is noise alone, and the state where there is
    none. The convolutions predict what is left in units of that deviation; this is the preconditioning of Karras et al.
    2022, arXiv 2206.00364, section 5, around a mean that depends on the condition. At first they predict nothing.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels, width = config.state_channels, config.local_width
        self.stem = nn.Conv2d(config.head_width + 2 * channels, width, 3, padding=1)
        reaches = (_REACHES[i % len(_REACHES)] for i in range(config.local_blocks))
        self.blocks = nn.ModuleList(ModulatedBlock(width, config.film_width, reach) for reach in reaches)
        self.out = nn.Conv2d(width, config.head_width + channels, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(
        self,
        features: Float[Tensor, "b h w d"],
        x_t: Float[Tensor, "b c y x"],
        canvas: Float[Tensor, "b c y x"],
        logsnr: Scalars,
        film: Float[Tensor, "b f"],
    ) -> tuple[Float[Tensor, "b h w d"], Float[Tensor, "b c y x"]]:
        """The features with what they lack, and the estimated clean samples of the state.

        Args:
            features: What the tokens predict, at the head's feature samples.
            x_t: The state.
            canvas: The mean picture of the condition, at the state's samples.
            logsnr: Of the state's samples.
            film: Vector that scales and shifts the blocks.
        """
        size, depth = x_t.shape[2:], features.shape[-1]
        own = F.interpolate(normalise(features).movedim(-1, 1), size, mode="bilinear")
        logsnr = per_sample(logsnr, x_t)
        noise, spread = (-logsnr).exp(), SPREAD**2
        beside = x_t / logsnr.sigmoid().sqrt() - canvas
        x = self.stem(torch.cat([own, beside / (spread + noise).sqrt(), canvas], 1))
        for block in self.blocks:
            x = block(x, film)
        lacking, left = self.out(F.silu(x)).split([depth, x_t.shape[1]], 1)
        clean = canvas + beside * (spread / (spread + noise)) + left * (spread * noise / (spread + noise)).sqrt()
        return features + F.interpolate(lacking, features.shape[1:3], mode="bilinear").movedim(1, -1), clean


class ModulatedBlock(nn.Module):
    """Two 3x3 convolutions of samples so far apart, beside a skip connection; a vector modulates them in between."""

    def __init__(self, width: int, film_width: int, reach: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=reach, dilation=reach) for _ in range(2))
        self.film = nn.Linear(film_width, 2 * width)
        nn.init.normal_(self.second.weight, std=0.1 / (3 * width**0.5))
        for zero in (self.second.bias, self.film.weight, self.film.bias):
            nn.init.zeros_(zero)  # type: ignore[arg-type]

    def forward(self, x: Images, film: Float[Tensor, "b f"]) -> Images:
        """The samples, changed."""
        scale, shift = self.film(film)[..., None, None].chunk(2, 1)
        seen = normalise(x.movedim(1, -1)).movedim(-1, 1)
        return x + self.second(F.silu(torch.addcmul(shift, self.first(seen), 1 + scale)))
