"""Embeddings of noise, position and condition."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from s2id.condition import Condition
from s2id.coords import box_coords, corner_coords, jitter, pixel_coords
from s2id.network.settings import ModelConfig
from s2id.shapes import Scalars


def fourier_features(
    coords: Float[Tensor, "*shape"], cell: float, frequencies: Float[Tensor, " k"]
) -> Float[Tensor, "*shape 2*k"]:
    """Means of sin and cos over a cell around each coordinate: what a pixel of that width can know of them.

    The mean of sin(w x) over a cell of width c is sin(w x) sinc(w c / 2): frequencies that the cell cannot resolve
    fade out (integrated positional encoding; Barron et al. 2021, arXiv 2103.13415, section 3.1, with a box for
    the Gaussian).

    Args:
        coords: Coordinates along one axis.
        cell: Width averaged over; 0 is the plain feature.
        frequencies: Angular frequencies w.
    """
    angle = coords[..., None] * frequencies
    fade = torch.sinc(frequencies * (cell / (2 * math.pi)))
    return torch.cat([angle.sin() * fade, angle.cos() * fade], dim=-1)


class NoiseEmbedding(nn.Module):
    """The vector that modulates every block, from logsnr and the state's density."""

    octaves = range(-5, 1)

    def __init__(self, film_width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.tensor(self.octaves), persistent=False)
        self.frequencies: Tensor
        self.hidden = nn.Linear(4 * len(self.octaves), film_width)
        self.out = nn.Linear(film_width, film_width)

    def forward(self, logsnr: Scalars, cell: float) -> Float[Tensor, "b f"]:
        """The vector; `cell` is the state's pixel pitch in composition units."""
        density = logsnr.new_full((1,), -math.log2(cell))
        heard = [fourier_features(a, 0.0, self.frequencies) for a in (logsnr, density)]
        heard[1] = heard[1].expand(len(logsnr), -1)
        return F.silu(self.out(F.silu(self.hidden(torch.cat(heard, dim=-1)))))


class AlphaBarEmbedding(nn.Module):
    """The vector that modulates every block, from alpha_bar alone: as published."""

    octaves = range(-3, 7)

    def __init__(self, film_width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.tensor(self.octaves), persistent=False)
        self.frequencies: Tensor
        features = 2 * len(self.octaves)
        self.norm = nn.LayerNorm(features)
        self.hidden = nn.Linear(features, film_width)
        self.out = nn.Linear(film_width, film_width)

    def forward(self, logsnr: Scalars, cell: float) -> Float[Tensor, "b f"]:
        """The vector; `cell` is not heard."""
        heard = self.norm(fourier_features(logsnr.sigmoid() - 0.5, 0.0, self.frequencies))
        return F.silu(self.out(F.silu(self.hidden(heard))))


class PositionEmbedding(nn.Module):
    """Dual positions, composition and box, as Fourier features faded by the token's own cell."""

    octaves = range(-3, 8)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.tensor(self.octaves), persistent=False)
        self.frequencies: Tensor
        self.corners, self.fade = config.corners, config.fade
        self.systems = ("composition", "box") if config.coordinates == "dual" else (config.coordinates,)
        features = 4 * len(self.octaves)
        self.norm = nn.GroupNorm(1, features) if config.norm == "group" else None
        self.out = nn.Linear(features * len(self.systems), config.width, bias=False)

    def forward(self, size: tuple[int, int], std: float = 0.0) -> Float[Tensor, "h w d"]:
        """One vector per token.

        Args:
            size: Height and width, in tokens.
            std: Standard deviation of the coordinates' jitter, in tokens.
        """
        systems = []
        for system in self.systems:
            box = system == "box"
            cells = (1 / size[0], 1 / size[1]) if box else (1 / max(size), 1 / max(size))
            coords = corner_coords(size, box) if self.corners else box_coords(size) if box else pixel_coords(size)
            coords = coords.to(self.frequencies)
            if std:
                coords = jitter(coords, (std * cells[0], std * cells[1]))
            faded = cells if self.fade else (0.0, 0.0)
            heard = [fourier_features(coords[..., i], faded[i], self.frequencies) for i in (0, 1)]
            systems.append(torch.cat(heard, dim=-1))
        if self.norm is not None:
            systems = [self.norm(heard.movedim(-1, 0)[None])[0].movedim(0, -1) for heard in systems]
        return self.out(torch.cat(systems, dim=-1))


class NumberEmbedding(nn.Module):
    """A token per number, from Fourier features of its value."""

    octaves = range(-2, 3)

    def __init__(self, numbers: int, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.tensor(self.octaves), persistent=False)
        self.frequencies: Tensor
        self.which = nn.Embedding(numbers, width)
        self.weight = nn.Parameter(torch.randn(numbers, 2 * len(self.octaves), width) * len(self.octaves) ** -0.5)

    def forward(self, numbers: Float[Tensor, "b k"]) -> Float[Tensor, "b k d"]:
        """The tokens; what lies beyond the training data's span is heard as its end."""
        heard = fourier_features(numbers.clamp(-1, 1), 0.0, self.frequencies)
        return self.which.weight + torch.einsum("bkf,kfd->bkd", heard, self.weight)


class ConditionTokens(nn.Module):
    """What else than a class is asked, as tokens: attributes, numbers and a text encoder's."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.attributes = nn.Embedding(2 * config.attributes, config.width) if config.attributes else None
        self.numbers = NumberEmbedding(config.numbers, config.width) if config.numbers else None
        self.text = nn.Linear(config.token_width, config.width) if config.token_width else None

    def forward(self, asked: Condition) -> tuple[list[Float[Tensor, "b n d"]], list[Bool[Tensor, "b n"]]]:
        """Tokens of each kind, and which of them are known."""
        tokens, known = [], []
        if self.attributes is not None and asked.attributes is not None:
            # the learned tokens of having come first, then those of lacking
            lacking = (asked.attributes < 0).long() * self.config.attributes
            which = torch.arange(self.config.attributes, device=lacking.device)
            tokens.append(self.attributes(which + lacking))
            known.append(asked.attributes != 0)
        if self.numbers is not None and asked.numbers is not None:
            tokens.append(self.numbers(asked.numbers.nan_to_num()))
            known.append(~asked.numbers.isnan())
        if self.text is not None and asked.tokens is not None:
            tokens.append(self.text(asked.tokens.nan_to_num()))
            known.append(~asked.tokens.isnan().any(-1))
        return tokens, known


class ConditionFilm(nn.Module):
    """What the condition adds to the vector that modulates the decoder's blocks, from the mean of its tokens.

    Every token of the picture hears it at once, where attention must first learn whom to listen to. Starts at zero.
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
        """The vector; tokens that are not `known`, where this is given, do not count."""
        if known is None:
            mean = condition.mean(1)
        else:
            mean = (condition * known[..., None]).sum(1) / known.sum(1, keepdim=True)
        return self.out(F.silu(self.hidden(mean)))
