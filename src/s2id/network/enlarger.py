"""The network that enlarges graphics: a given picture in, a function out, at every scale from one set of weights.

    picture -> convolutions at its own pixels -> feature lattice -> head -> values anywhere

All is local and relative: the network sees where each value lies in the range of those around it, and predicts what to
add to a smooth interpolation in units of that range. So where the picture is flat the function is exactly flat, a
border of two colours is drawn alike however near they are to each other, and a part of a large picture is drawn as if
it were the whole.
"""

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from s2id.condition import Asked
from s2id.coords import Grid, Part, extent
from s2id.media.alpha import covered, in_channels
from s2id.network.base import Encoded, TwoHalves, checked_part, place
from s2id.network.heads import Features, means
from s2id.network.settings import EnlargerConfig
from s2id.shapes import Images, Scalars

_AROUND = 2
"""Pixels on each side of a pixel that its range is taken over."""

_FLAT = 0.05
"""Range of values, of [-1, 1], below which those around count as equal."""

_MIXES = {
    1: torch.tensor([[1 / 3, 1 / 3, 1 / 3, 0]]),
    2: torch.tensor([[1 / 3, 1 / 3, 1 / 3, 0], [0, 0, 0, 1]]),
    3: torch.eye(3, 4),
    4: torch.eye(4),
}
"""Channels of grey pictures, grey ones with alpha, RGB and RGBA, as means of the four that the network draws."""

_COARSEST, _FINEST = 3 / 2, 3 / 8
"""Largest and smallest width of a cell, in feature samples, that the head is told: at three samples a side of a pixel,
those of pictures of twice and of eight times the size."""


class Enlarger(TwoHalves):
    """Predicts the function that a picture shows. The noise level and conditions, which others take, change nothing.

    Example:
        >>> from s2id.network.base import state_grid
        >>> network = Enlarger(EnlargerConfig(width=8, blocks=1))
        >>> network(torch.zeros(1, 4, 5, 3), torch.zeros(1), grid=state_grid((20, 12), (1.0, 0.6))).shape
        torch.Size([1, 4, 20, 12])
    """

    config: EnlargerConfig
    head: "RelativeHead"

    def __init__(self, config: EnlargerConfig) -> None:
        super().__init__()
        self.block = ConvolutionBlock
        self.config = config
        channels, width = config.channels, config.width
        self.stem = nn.Conv2d(3 * channels + config.noise_channels, width, 3, padding=1)
        self.encoder = nn.ModuleList(ConvolutionBlock(width) for _ in range(config.blocks))
        self.decoder = nn.ModuleList()
        self.lattice = nn.Conv2d(width, config.head_width * config.lattice**2, 1)
        self.head = RelativeHead(config.head_width, channels)

    @property
    def reach(self) -> int:
        """Pixels on each side of a pixel that its features depend on."""
        return _AROUND + 1 + 2 * self.config.blocks

    def encode(
        self, x_t: Images, logsnr: Scalars, frame: tuple[float, float] | None = None, part: Part | None = None
    ) -> Encoded:
        """Features of every pixel, and its values and their range; as for `TwoHalves.encode`."""
        size, (rows, columns) = checked_part(x_t, self.config, part)
        picture, noise = x_t[:, :, rows, columns].split([self.config.channels, self.config.noise_channels], dim=1)
        inside, span = relative(picture)
        # with channels last, a CPU convolves faster, though it differentiates slower
        order = torch.contiguous_format if torch.is_grad_enabled() else torch.channels_last
        seen = torch.cat([picture, inside, span, noise], dim=1).contiguous(memory_format=order)
        tokens = self.stem(seen)
        for block in self.encoder:
            tokens = block(tokens)
        lattice = self.config.lattice
        picture, _, span, _ = seen.split([*[self.config.channels] * 3, self.config.noise_channels], dim=1)
        own = F.interpolate(picture, scale_factor=lattice, mode="bicubic")
        scale = F.interpolate(span, scale_factor=lattice)
        values = torch.cat([F.pixel_shuffle(self.lattice(tokens), lattice), own, scale], dim=1)
        return Encoded(values.movedim(1, -1), logsnr[:, None], *place(size, frame or extent(size), part))

    def decode(self, encoded: Encoded, label: Asked | None = None) -> Features:
        """The predicted function; arguments as for `TwoHalves.decode`."""
        return Features(encoded.tokens, encoded.frame, encoded.middle)

    def function_of(self, picture: Images, frame: tuple[float, float] | None = None) -> tuple[Features, "RelativeHead"]:
        """The function that a picture shows, and the head that reads it in the picture's own channels.

        Args:
            picture: Pictures of 1 to 4 channels, premultiplied, in [-1, 1].
            frame: Height and width of the frame that they cover, in composition units; `None` has square pixels.
        """
        given = in_channels(picture, self.config.channels)
        features = self.decode(self.encode(given, picture.new_zeros(len(picture)), frame))
        mix = _MIXES[picture.shape[1]].to(picture)
        seen, own, span = features.values.split([self.config.head_width, *[self.config.channels] * 2], dim=-1)
        return replace(features, values=torch.cat([seen, own @ mix.mT, span @ mix.mT], -1)), self.head.mixed(mix)


class ConvolutionBlock(nn.Module):
    """Two 3x3 convolutions beside a skip connection."""

    recompute = False
    """Whether the backward pass computes the block a second time instead of keeping its activations."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.normal_(self.second.weight, std=0.1 / (3 * width**0.5))
        assert self.second.bias is not None
        nn.init.zeros_(self.second.bias)

    def forward(self, tokens: Images) -> Images:
        """The tokens, changed."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(self._changed, tokens, use_reentrant=False)
        return self._changed(tokens)

    def _changed(self, tokens: Images) -> Images:
        return tokens + self.second(F.silu(self.first(tokens)))


def relative(picture: Images) -> tuple[Images, Images]:
    """Where each value lies in the range of those around, from -1 to 1, and how large that range is.

    >>> inside, span = relative(torch.tensor([[[[-1.0, 0.0, 1.0]]]]))
    >>> inside.sign().tolist(), span.tolist()
    ([[[[-1.0, 0.0, 1.0]]]], [[[[2.0, 2.0, 2.0]]]])
    """
    high, low = extremes(picture, _AROUND)
    return (2 * picture - high - low) / (high - low + _FLAT), high - low


def extremes(picture: Images, around: int) -> tuple[Images, Images]:
    """The lightest and the darkest value of each pixel and of those around, up to so many pixels away.

    >>> [ends.tolist() for ends in extremes(torch.tensor([[[[-1.0, 0.0, 1.0]]]]), around=1)]
    [[[[[0.0, 1.0, 1.0]]]], [[[[-1.0, -1.0, 0.0]]]]]
    """
    padded, side = F.pad(picture, (around,) * 4, mode="replicate"), 2 * around + 1
    return F.max_pool2d(padded, side, 1), -F.max_pool2d(-padded, side, 1)


def agreeing(
    found: Float[Tensor, "b c height width"], given: Images, high: Images, low: Images
) -> Float[Tensor, "b c height width"]:
    """Pictures whose means over the given pixels are these, moved within the range of values around and their own.

    >>> found, given = torch.tensor([[[[-1.0, 0.0]]]]), torch.tensor([[[[0.0]]]])  # the mean is to rise by a half
    >>> agreeing(found, given, torch.ones(1, 1, 1, 1), -torch.ones(1, 1, 1, 1)).mul(3).round().tolist()
    [[[[-1.0, 1.0]]]]

    Args:
        found: Pictures to correct, of whole pixels in each given one.
        given: Given pictures.
        high: Lightest value around each given pixel, which values of `found` beyond it may keep.
        low: Darkest value around each.
    """
    times = found.shape[2] // given.shape[2], found.shape[3] // given.shape[3]

    def spread(pictures: Images) -> Float[Tensor, "b c height width"]:
        return pictures.repeat_interleave(times[0], 2).repeat_interleave(times[1], 3)

    up, down = (spread(high) - found).clamp(min=0), (found - spread(low)).clamp(min=0)
    left = given - F.avg_pool2d(found, times)
    room = torch.where(left > 0, F.avg_pool2d(up, times), F.avg_pool2d(down, times))
    share = spread((left / room.clamp(min=1e-6)).clamp(-1, 1))
    return covered(found + torch.where(share > 0, share * up, share * down))


class RelativeHead(nn.Module):
    """Means of the function over cells: the picture's own, and what two layers add in units of the range around.

    Features, values and ranges are cubic B-splines. The layers are told how wide a cell is, so that one evaluation
    gives a cell's mean; cells wider than they know are split.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.hidden = nn.Linear(width, width)
        self.cell = nn.Linear(1, width, bias=False)
        self.added = nn.Linear(width, channels)
        nn.init.zeros_(self.added.weight)
        nn.init.zeros_(self.added.bias)

    def forward(
        self, features: Features, grid: Grid, supersample: int | None = None, bound: float | None = None
    ) -> Float[Tensor, "b c h w"]:
        """Means over a grid's pixels; arguments as for `FieldHead.forward`."""
        width = max(cell / pitch for cell, pitch in zip(grid.cell, features.pitch, strict=True))
        split = supersample or math.ceil(width / _COARSEST - 1e-9)
        seen = min(max(width / split, _FINEST), _COARSEST)
        told = self.cell.weight[:, 0] * math.log2(seen) + self.hidden.bias
        return means(features, grid, lambda read: self.values(read, told), split, bound)

    def mixed(self, mix: Float[Tensor, "n c"]) -> "RelativeHead":
        """The head whose channels are means of this one's, for features whose values and ranges are mixed as well."""
        with torch.device("meta"):  # drawing weights only to replace them would change the caller's random numbers
            head = RelativeHead(self.hidden.in_features, len(mix))
        added = {"added.weight": mix @ self.added.weight, "added.bias": mix @ self.added.bias}
        head.load_state_dict({**self.state_dict(), **added}, assign=True)
        return head.requires_grad_(False)

    def values(self, read: Float[Tensor, "*b d"], told: Float[Tensor, " n"]) -> Float[Tensor, "*b c"]:
        """Means over cells from interpolated features, values and ranges, and the hidden layer's bias for the cells."""
        inplace = not torch.is_grad_enabled()  # only the backward pass needs the input of silu
        features, own, span = read.split([self.hidden.in_features, self.channels, self.channels], dim=-1)
        hidden = F.linear(F.silu(features), self.hidden.weight, told)
        return own + span * self.added(F.silu(hidden, inplace))
