"""Training batches: noisy states and the targets of their predictions, each batch a function of (seed, number).

A batch draws pictures of the data, the density of their states, times and noise. No loader has a state to save.
"""

import math
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from s2id.condition import Condition, cat
from s2id.coords import Grid, Part, extent, frame_grid, trained_size
from s2id.data.pictures import Group, Pictures, chosen_at, joined
from s2id.diffusion.process import Schedule, alpha_sigma
from s2id.errors import InputError
from s2id.media.images import resize, to_bytes, to_float
from s2id.network.base import state_grid
from s2id.network.settings import NetworkConfig
from s2id.seeds import seed_of
from s2id.settings import Size
from s2id.shapes import NULL, Images, Scalars, per_sample
from s2id.training.pixelated import PixelatedViews, enlarged, pixelated
from s2id.training.settings import Pixelation, StudentConfig, TrainConfig

HIDING = ("drop_label", "drop_each", "drop_attributes")
"""Settings that say which labels are hidden."""

_FLOATS = 2**24
"""Number of pixel values that are converted to floats at a time."""

_AT_A_TIME = 1024
"""Pictures that are shrunk at a time."""


@dataclass(frozen=True)
class Batch:
    """Noisy states of one forward pass, and the targets of their predictions."""

    x_t: Images
    """Noisy states."""
    logsnr: Scalars
    condition: Condition
    """One condition per state; or twice as many, all known conditions and then as many empty ones."""
    frame: tuple[float, float]
    """Extent of the pictures, in units of their long side."""
    grid: Grid
    """Where the targets lie."""
    supersample: int | None
    """Values of the field per side of a target pixel; `None` is as many as the pixel needs."""
    target: Float[Tensor, "n k y x"] | PixelatedViews
    """Targets of the field, or the pixelated views that the targets are computed from. Where a picture is drawn twice,
    with other noise, it has one target."""
    state: Float[Tensor, "b _ _ _"] | None
    """Clean states, where the network predicts them beside the field; `None` elsewhere."""
    part: Part | None
    """Rows and columns of the states that the network sees; `None` is the whole state."""
    flat: Bool[Tensor, "b 1 y x"] | None = None
    """Targets in the middle of areas of one colour, all over which the function has the target's value. `None`: such
    areas are not known."""
    near: Float[Tensor, "3 n k _ _"] | None = None
    """Of enlargers: the given pixels that the targets lie in, and the lightest and the darkest around each."""

    @property
    def values(self) -> tuple[Grid, int | None]:
        """Cells whose mean the network predicts, and its values per side of such a cell.

        The cells are the target pixels; or, where flat areas are known, the single values in every pixel.
        """
        if self.flat is None or self.supersample is None:
            return self.grid, self.supersample
        return self.grid.refine(self.supersample), 1


def check_data(pictures: Pictures, config: TrainConfig, model: NetworkConfig) -> None:
    """Refuse data that a run cannot use.

    Raises:
        InputError: Pictures are smaller than a patch, or densities are no multiples of it.
    """
    detail = (config.detail_density,) if config.detail_density else ()
    if detail and model.dense:
        raise InputError("detail_density is for networks that predict functions; leave it 0 with this model.")
    if wrong := [n for n in (*config.densities, *detail) if n < model.patch or n % model.patch]:
        raise InputError(f"density {wrong[0]} is no multiple of the patch {model.patch}; choose one that is.")
    if pictures.finer is not None and (model.dense or model.latents or config.pixelate):
        raise InputError("finer pictures are for functions of pictures; leave them out with latents or pixelate.")
    if model.canvas and config.pixelate:
        raise InputError("a canvas is learned from pictures that are seen whole; leave out canvas or pixelate.")
    height, width = min((group.images.shape[2:] for group in pictures.groups), key=min)
    if min(height, width) < model.patch:
        raise InputError(
            f"{pictures.name} has images of {height}x{width} pixels, smaller than the network's patch of "
            f"{model.patch}, and none is enlarged; remove them or use a smaller patch."
        )


def draw(
    pictures: Pictures, config: TrainConfig, model: NetworkConfig, schedule: Schedule, number: int, share: float = 1.0
) -> Batch:
    """Batch `number` of a run: pictures, density, times and noise, all drawn from (seed, number).

    Args:
        pictures: The data.
        config: Settings of the run.
        model: Config of the network.
        schedule: Noise schedule of the run.
        number: Number of the batch, from 0.
        share: Share of the states' tokens and of the targets to train on; below 1, those of a window.

    Example:
        >>> from s2id.data.registry import load_pictures
        >>> from s2id.training.presets import PRESETS
        >>> tiny = PRESETS["tiny"]
        >>> draw(load_pictures("digits"), tiny.train, tiny.model, Schedule(), number=0).x_t.shape
        torch.Size([16, 1, 8, 8])
    """
    generator = torch.Generator().manual_seed(seed_of(config.seed, number))
    finer = finer_source(pictures, config, generator)
    group, chosen = chosen_at(finer or pictures, number, config.batch, config.seed)
    pixels, known = group.images[chosen], group.condition(chosen)
    pixelation = Pixelation.read(config.pixelate) if config.pixelate else None
    if pixelation and pixelation.kind == "bicubic":
        pixels = to_bytes(enlarged(to_float(pixels), pixelation.cell))
    size = (pixels.shape[2], pixels.shape[3])
    density, latest = draw_density(config, generator, finer is not None)
    latents = group.latents
    state = means(pixels, trained_size(size, density, model.patch)) if latents is None else latents[chosen].float()
    denser = max(state.shape[2:]) / config.densities[0]
    x_t, logsnr, eps = noisy(state, schedule.at_density(denser), latest, generator)
    condition = hide(known, config, generator)
    if config.both_conditions:
        condition = cat([condition, condition.unknown()])
    samples = state.shape[2], state.shape[3]
    part = None if share == 1 else token_window(samples, model.patch, share, generator)
    height, width = part or (slice(0, samples[0]), slice(0, samples[1]))
    if model.dense:
        grid = state_grid(samples, extent(size)).part(height, width)
        return Batch(x_t, logsnr, condition, extent(size), grid, 1, eps[:, :, height, width], None, part)
    factor = values_per_side(config, generator, max(size) / max(pictures.size) if finer else 1.0)
    if pixelation and pixelation.kind == "area":  # the state is a view as well, from the place of no shift
        views = pixelated(to_float(pixels), pixelation, config.views, generator)
        return Batch(x_t, logsnr, condition, extent(size), frame_grid(size), factor, views, None, part)
    affordable = (height.stop - height.start) * (width.stop - width.start) * config.queries / factor**2
    rows, columns = target_pixels(inside(size, samples, (height, width)), affordable, generator)
    grid, target = frame_grid(size).part(rows, columns), to_float(pixels[:, :, rows, columns])
    clean = state[:, :, height, width] if model.latents or model.local_blocks else None
    flat = flat_areas(pixels)[:, :, rows, columns]
    return Batch(x_t, logsnr, condition, extent(size), grid, factor, target, clean, part, flat)


class DrawAhead:
    """Batches that threads draw ahead, while an accelerator computes on those before."""

    def __init__(self, draw: Callable[[int], Batch], depth: int = 8) -> None:
        """A queue of batches.

        Args:
            draw: Function from a batch's number to the batch; it must depend on nothing else.
            depth: Number of batches that are drawn ahead.
        """
        self._draw, self._depth = draw, depth
        self._pool = ThreadPoolExecutor(max(1, min(depth, (os.cpu_count() or 2) // 2)))
        self._coming: dict[int, Future[Batch]] = {}

    def __call__(self, number: int, stride: int = 1) -> Batch:
        """Batch `number`. The batches of the next numbers, `stride` apart, begin to be drawn."""
        wanted = range(number, number + self._depth * stride, stride)
        self._coming = {n: batch for n, batch in self._coming.items() if n in wanted}
        for later in wanted:
            if later not in self._coming:
                self._coming[later] = self._pool.submit(self._draw, later)
        return self._coming.pop(number).result()


def noisy(
    state: Images, schedule: Schedule, latest: float, generator: torch.Generator
) -> tuple[Images, Scalars, Images]:
    """Noisy states x_t = alpha * state + sigma * eps at times below `latest`, with their logsnr and eps."""
    logsnr = schedule.logsnr(latest * stratified(len(state), generator))
    alpha, sigma = (per_sample(a, state) for a in alpha_sigma(logsnr))
    eps = torch.randn(state.shape, generator=generator)
    return alpha * state + sigma * eps, logsnr, eps


def means(pixels: UInt8[Tensor, "b c h w"], size: Size) -> Float[Tensor, "b c y x"]:
    """Area means of pictures at a state's size. Few pictures are floats at a time, for large ones fill the memory."""
    few = max(1, _FLOATS // pixels[0].numel())
    return torch.cat([resize(to_float(some), size) for some in pixels.split(few)])


def shrunk(pictures: Pictures, side: int) -> Group:
    """All pictures of a data set in one group, as area means of so many samples along each side."""

    def small(images: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n c side side"]:
        return torch.cat([to_bytes(means(some, (side, side))) for some in images.split(_AT_A_TIME)])

    return joined([replace(group, images=small(group.images)) for group in pictures.groups])


def finer_source(pictures: Pictures, config: TrainConfig, generator: torch.Generator) -> Pictures | None:
    """The finer pictures, if there are any and a batch is to hold some."""
    drawn = pictures.finer is not None and torch.rand((), generator=generator) < config.finer_share
    return pictures.finer if drawn else None


def draw_density(config: TrainConfig, generator: torch.Generator, finer: bool = False) -> tuple[int, float]:
    """Density of a batch's states, and the latest time t that the batch draws.

    Finer pictures have the states that functions are read from: of what to compose they say nothing.
    """
    if finer:
        return config.detail_density or config.densities[0], config.finer_time
    if config.detail_density and torch.rand((), generator=generator) < config.detail_share:
        return config.detail_density, config.detail_time
    weights = torch.tensor(config.density_weights or [1.0] * len(config.densities))
    return config.densities[int(torch.multinomial(weights, 1, generator=generator))], 1.0


def values_per_side(config: TrainConfig, generator: torch.Generator, finer: float = 1.0) -> int:
    """Values of the field per side of a target pixel; they lie as far apart in pixels that are finer by a factor."""
    drawn = config.supersample[int(torch.randint(len(config.supersample), (), generator=generator))]
    return max(1, int(drawn / finer))


def hide(known: Condition, config: TrainConfig | StudentConfig, generator: torch.Generator | None) -> Condition:
    """The conditions without what training hides.

    Some pictures lose their whole condition. Where a condition has several labels, the others lose each label with a
    probability that is drawn per picture, so that a model learns to be asked for any subset of the labels. Each word is
    a label of its own, and some pictures lose all their words, because guidance compares with that; some lose all their
    attributes, because who asks for words names none.

    Args:
        known: Conditions of a batch.
        config: Settings with the shares to hide, `HIDING`.
        generator: Source of randomness, on the conditions' device; `None` is that device's own.
    """
    random = partial(torch.rand, generator=generator, device=known.label.device)
    known = known.where(random(len(known)) >= config.drop_label)
    if not (parts := known.parts()):
        return known
    share = 2 * config.drop_each * random(len(known), 1)

    def lost(part: Tensor) -> Bool[Tensor, "b ..."]:
        # each value by itself, but a text as a whole
        values = part if part.ndim == 2 else part[:, 0, :1]
        chosen = random(values.shape) < share
        return chosen if part.ndim == 2 else chosen[..., None]

    label = known.label.masked_fill(lost(known.label[:, None])[:, 0], NULL)
    hidden = Condition.of(label, {name: part.masked_fill(lost(part), unknown) for name, part, unknown in parts})
    if hidden.attributes is not None and config.drop_attributes:
        bare = random(len(known), 1) < config.drop_attributes
        hidden = replace(hidden, attributes=hidden.attributes.masked_fill(bare, 0))
    if hidden.words is None:
        return hidden
    wordless = random(len(known), 1) < config.drop_label
    return replace(hidden, words=hidden.words.masked_fill(wordless, NULL))


def stratified(count: int, generator: torch.Generator) -> Scalars:
    """Times that are each uniform on [0, 1) and together evenly spread (Kingma et al. 2021, arXiv 2107.00630, I.1)."""
    return (torch.rand((), generator=generator) + torch.arange(count) / count) % 1


def token_window(size: Size, patch: int, share: float, generator: torch.Generator) -> Part:
    """Rows and columns of a random window of a state, which holds about a share of the state's tokens.

    The tokens form a window because convolution, attention's windows and the head need a grid. The window is drawn
    from all places at which it touches the state, and then moved inside: drawn inside, it would seldom hold a corner.

    Args:
        size: Height and width of the state, in samples.
        patch: Samples along each side of a token.
        share: Share of the tokens, above 0. Both sides shrink by the same factor, to at least two tokens.
        generator: Source of randomness.
    """

    def along(side: int) -> slice:
        tokens = side // patch
        kept = min(tokens, max(2, round(tokens * math.sqrt(share))))
        start = int(torch.randint(1 - kept, tokens, (), generator=generator))
        start = min(max(start, 0), tokens - kept)
        return slice(start * patch, (start + kept) * patch)

    return along(size[0]), along(size[1])


def whole_pixels(pixels: int, samples: int, part: slice) -> slice:
    """Those of a side's pixels that lie wholly within a slice of its samples."""
    return slice(-(-part.start * pixels // samples), part.stop * pixels // samples)


def inside(size: Size, samples: Size, window: Part) -> Part:
    """Rows and columns of pictures' pixels that lie wholly within a window of the state.

    Args:
        size: Height and width of the pictures, in pixels.
        samples: Height and width of the state, in samples.
        window: Rows and columns of the state.
    """
    return whole_pixels(size[0], samples[0], window[0]), whole_pixels(size[1], samples[1], window[1])


def flat_areas(pixels: UInt8[Tensor, "b c h w"], tolerance: int = 1) -> Bool[Tensor, "b 1 h w"]:
    """Whether each pixel and its eight neighbours have one colour, up to a tolerance in grey levels.

    Example:
        >>> flat_areas(torch.tensor([[[[0, 0, 0, 9]]]], dtype=torch.uint8)).tolist()
        [[[[True, True, False, False]]]]
    """
    values = pixels.float()
    spread = F.max_pool2d(values, 3, 1, 1) + F.max_pool2d(-values, 3, 1, 1)
    return (spread <= tolerance).all(1, keepdim=True)


def target_pixels(inside: Part, pixels: float, generator: torch.Generator) -> Part:
    """Every n-th row and column from a random start.

    Args:
        inside: Rows and columns to choose from.
        pixels: About how many pixels to choose; n follows from it.
        generator: Source of randomness.
    """
    sides = [axis.stop - axis.start for axis in inside]
    stride = max(1, round(math.sqrt(sides[0] * sides[1] / pixels)))
    rows, columns = (
        slice(axis.start + int(torch.randint(min(stride, side), (), generator=generator)), axis.stop, stride)
        for axis, side in zip(inside, sides, strict=True)
    )
    return rows, columns
