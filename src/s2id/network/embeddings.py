"""Vectors for the noise level, positions and conditions, made of Fourier features."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from s2id.condition import Condition
from s2id.coords import box_coords, pixel_coords
from s2id.network.settings import ModelConfig
from s2id.shapes import Scalars


def fourier_features(
    coords: Float[Tensor, "*shape"], cell: float, frequencies: Float[Tensor, " k"]
) -> Float[Tensor, "*shape 2*k"]:
    """Means of sin and cos over a cell around each coordinate.

    The mean of sin(w x) over a cell of width c is sin(w x) sinc(w c / 2), so frequencies that the cell cannot resolve
    fade out (integrated positional encoding; Barron et al. 2021, arXiv 2103.13415, section 3.1, with a box in place
    of the Gaussian).

    Args:
        coords: Coordinates along one axis.
        cell: Width of the cell; 0 gives the plain sin and cos.
        frequencies: Angular frequencies w.

    Example:
        >>> fourier_features(torch.zeros(1), 0.0, torch.tensor([1.0, 2.0])).tolist()
        [[0.0, 0.0, 1.0, 1.0]]
    """
    angle = coords[..., None] * frequencies
    fade = torch.sinc(frequencies * (cell / (2 * math.pi)))
    return torch.cat([angle.sin() * fade, angle.cos() * fade], dim=-1)


def octaves(exponents: range) -> Float[Tensor, " k"]:
    """The angular frequencies pi * 2^k."""
    return torch.tensor([math.pi * 2.0**k for k in exponents])


class NoiseEmbedding(nn.Module):
    """The vector that scales, shifts and gates every block, from the state's logsnr and its density."""

    exponents = range(-5, 1)

    def __init__(self, film_width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", octaves(self.exponents), persistent=False)
        self.frequencies: Tensor
        self.hidden = nn.Linear(4 * len(self.exponents), film_width)
        self.out = nn.Linear(film_width, film_width)

    def forward(self, logsnr: Scalars, cell: float) -> Float[Tensor, "b f"]:
        """The vector.

        Args:
            logsnr: Of each state's own samples.
            cell: Distance between the state's samples in composition units: 1 / density.
        """
        density = logsnr.new_full((1,), -math.log2(cell))
        features = [fourier_features(a, 0.0, self.frequencies) for a in (logsnr, density)]
        features[1] = features[1].expand(len(logsnr), -1)
        return F.silu(self.out(F.silu(self.hidden(torch.cat(features, dim=-1)))))


class PositionEmbedding(nn.Module):
    """A vector per token from its position in composition and in box coordinates, averaged over the token's cell."""

    exponents = range(-3, 8)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", octaves(self.exponents), persistent=False)
        self.frequencies: Tensor
        self.out = nn.Linear(8 * len(self.exponents), width, bias=False)

    def forward(self, size: tuple[int, int]) -> Float[Tensor, "h w d"]:
        """The vectors of a grid of tokens; `size` is its height and width, in tokens."""
        long = 1 / max(size)
        systems = (pixel_coords(size), (long, long)), (box_coords(size), (1 / size[0], 1 / size[1]))
        features = [
            fourier_features(coords.to(self.frequencies)[..., axis], cells[axis], self.frequencies)
            for coords, cells in systems
            for axis in (0, 1)
        ]
        return self.out(torch.cat(features, dim=-1))


class NumberEmbedding(nn.Module):
    """A token per number, from Fourier features of its value."""

    exponents = range(-2, 3)

    def __init__(self, numbers: int, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", octaves(self.exponents), persistent=False)
        self.frequencies: Tensor
        count = len(self.exponents)
        self.which = nn.Embedding(numbers, width)
        self.weight = nn.Parameter(torch.randn(numbers, 2 * count, width) * count**-0.5)

    def forward(self, numbers: Float[Tensor, "b k"]) -> Float[Tensor, "b k d"]:
        """The tokens. Values beyond the training data's range, -1 to 1, count as its nearer end."""
        features = fourier_features(numbers.clamp(-1, 1), 0.0, self.frequencies)
        return self.which.weight + torch.einsum("bkf,kfd->bkd", features, self.weight)


class ConditionTokens(nn.Module):
    """Tokens for all parts of a condition but its class: attributes, numbers, text and words."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.attributes = nn.Embedding(2 * config.attributes, config.width) if config.attributes else None
        self.numbers = NumberEmbedding(config.numbers, config.width) if config.numbers else None
        self.text = nn.Linear(config.token_width, config.width) if config.token_width else None
        self.words = nn.Embedding(config.words, config.width) if config.words else None

    def forward(self, asked: Condition) -> tuple[list[Float[Tensor, "b n d"]], list[Bool[Tensor, "b n"]]]:
        """Tokens of each part, and which of these tokens are known."""
        tokens, known = [], []
        if self.attributes is not None and asked.attributes is not None:
            # the tokens of attributes present come first, then those of attributes absent
            absent = (asked.attributes < 0).long() * self.config.attributes
            which = torch.arange(self.config.attributes, device=absent.device)
            tokens.append(self.attributes(which + absent))
            known.append(asked.attributes != 0)
        if self.numbers is not None and asked.numbers is not None:
            tokens.append(self.numbers(asked.numbers.nan_to_num()))
            known.append(~asked.numbers.isnan())
        if self.text is not None and asked.tokens is not None:
            tokens.append(self.text(asked.tokens.nan_to_num()))
            known.append(~asked.tokens.isnan().any(-1))
        if self.words is not None and asked.words is not None:  # tokens without a position: their order says nothing
            tokens.append(self.words(asked.words.clamp(min=0)))
            known.append(asked.words >= 0)
        return tokens, known


class GuidanceFilm(nn.Module):
    """The vector that a weight of guidance adds to the noise level's in the decoder's blocks.

    It depends on the noise level too, because the effect of guidance does. It starts at zero, so that a student begins
    as its teacher. Without a weight it is zero for ever.
    """

    exponents = range(-2, 2)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.register_buffer("frequencies", octaves(self.exponents), persistent=False)
        self.frequencies: Tensor
        self.most = config.most_guidance
        count = 2 * len(self.exponents)
        self.hidden = nn.Linear(count + config.film_width, config.film_width)
        # unit variance tells weights apart from the first step on; torch's own would drown them in the noise level
        nn.init.normal_(self.hidden.weight.data[:, :count])
        self.out = nn.Linear(config.film_width, config.film_width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, guidance: Float[Tensor, " b"], film: Float[Tensor, "b f"]) -> Float[Tensor, "b f"]:
        """The vector.

        Args:
            guidance: Weights from 1 to the config's `most_guidance`; NaN is no weight.
            film: The noise level's vector.
        """
        features = torch.cat([self._features(guidance.to(film).nan_to_num(1.0)), film], dim=-1)
        vector = self.out(F.silu(self.hidden(features)))
        return vector.masked_fill(guidance.isnan()[:, None], 0.0)

    @torch.no_grad()
    def begin_at(self, guidance: float) -> None:
        """Change the bias so that the weight 1 has the effect that another weight had."""
        other, one = self._features(self.frequencies.new_tensor([guidance, 1.0]))
        self.hidden.bias.add_(self.hidden.weight[:, : len(one)] @ (other - one))

    def _features(self, guidance: Float[Tensor, " b"]) -> Float[Tensor, "b f"]:
        return fourier_features(guidance.log() / math.log(self.most), 0.0, self.frequencies)


class ConditionFilm(nn.Module):
    """The vector that a condition adds to the noise level's in the decoder's blocks, from the mean of its tokens.

    It reaches every image token from the first training step on, while attention must first learn which tokens to
    attend to. It starts at zero.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.hidden = nn.Linear(config.width, config.film_width)
        self.out = nn.Linear(config.film_width, config.film_width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, condition: Float[Tensor, "b n d"], known: Bool[Tensor, "b n"] | None = None
    ) -> Float[Tensor, "b f"]:
        """The vector; only tokens that are `known` count, `None` is all of them."""
        if known is None:
            mean = condition.mean(1)
        else:
            mean = (condition * known[..., None]).sum(1) / known.sum(1, keepdim=True)
        return self.out(F.silu(self.hidden(mean)))
