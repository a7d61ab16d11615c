"""What a network is shown and asked in training: batches, each a function of (seed, number).

A batch is pictures of the data, a state's density, times and noise; what they become is a noisy state, and what the
network should say of it.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from s2id.condition import Condition, cat
from s2id.coords import Grid, Part, extent, frame_grid, trained_size
from s2id.data.pictures import Pictures, chosen_at
from s2id.diffusion.process import Schedule, alpha_sigma
from s2id.images import resize, to_bytes, to_float
from s2id.network.network import state_grid
from s2id.network.settings import NetworkConfig
from s2id.seeds import seed_of
from s2id.settings import Size
from s2id.shapes import NULL, Images, Scalars, per_sample
from s2id.training.pixelated import Views, enlarged, look
from s2id.training.settings import Pixelation, TrainConfig

_FLOATS = 2**24
"""Values of pictures that are floats at once."""


@dataclass(frozen=True)
class Batch:
    """One forward pass: states and what the network should say of them."""

    x_t: Images
    logsnr: Scalars
    condition: Condition
    """One per image, or every image's and then none."""
    frame: tuple[float, float]
    grid: Grid
    supersample: int | None
    """Head samples per pixel side; `None` is as many as the pixel needs."""
    target: Float[Tensor, "b k y x"] | Views
    """What the network should have said, or what was seen of it."""
    state: Float[Tensor, "b _ _ _"] | None
    """The clean states that the network should say too; `None` where they are pictures."""
    part: Part | None
    """Rows and columns of the states that the network sees; `None` is all."""


def draw(
    pictures: Pictures, config: TrainConfig, model: NetworkConfig, schedule: Schedule, number: int, share: float = 1.0
) -> Batch:
    """Batch `number` of the run: pictures, densities, times and noise, all a function of (seed, number).

    Args:
        pictures: The data.
        config: Of the run.
        model: Of the network.
        schedule: Of the run.
        number: Which batch.
        share: Of the states' tokens and of the targets; below 1 the batch has a window's.
    """
    generator = torch.Generator().manual_seed(seed_of(config.seed, number))
    group, chosen = chosen_at(pictures, number, config.batch, config.seed)
    pixels, known = group.images[chosen], group.condition(chosen)
    seen = Pixelation.read(config.observe) if config.observe else None
    if seen and seen.kind == "bicubic":
        pixels = to_bytes(enlarged(to_float(pixels), seen.cell))
    size = (pixels.shape[2], pixels.shape[3])
    density, latest = draw_density(config, generator)
    if group.latents is not None:
        state = group.latents[chosen].float()
    else:
        state = means(pixels, trained_size(size, density, model.patch))
    t = latest * stratified(len(state), generator)
    logsnr = schedule.at_density(max(state.shape[2:]) / config.densities[0]).logsnr(t)
    alpha, sigma = (per_sample(a, state) for a in alpha_sigma(logsnr))
    eps = torch.randn(state.shape, generator=generator)
    x_t = alpha * state + sigma * eps
    condition = hide(known, config, generator)
    if config.both_conditions:
        condition = cat([condition, condition.unknown()])
    samples = state.shape[2], state.shape[3]
    part = None if share == 1 else token_window(samples, model.patch, share, generator)
    height, width = part or (slice(0, samples[0]), slice(0, samples[1]))
    if model.dense:
        grid = state_grid(samples, extent(size)).part(height, width)
        return Batch(x_t, logsnr, condition, extent(size), grid, 1, eps[:, :, height, width], None, part)
    factor = config.supersample[int(torch.randint(len(config.supersample), (), generator=generator))]
    if seen and seen.kind == "area":  # the state is a view as well, from the place of no shift
        views = look(to_float(pixels), seen, config.views, generator)
        return Batch(x_t, logsnr, condition, extent(size), frame_grid(size), factor, views, None, part)
    affordable = (height.stop - height.start) * (width.stop - width.start) * config.queries / factor**2
    inside = whole_pixels(size[0], samples[0], height), whole_pixels(size[1], samples[1], width)
    rows, columns = target_pixels(inside, affordable, generator)
    grid = frame_grid(size).part(rows, columns)
    clean = state[:, :, height, width] if model.latents else None
    target = to_float(pixels[:, :, rows, columns])
    return Batch(x_t, logsnr, condition, extent(size), grid, factor, target, clean, part)


def means(pixels: UInt8[Tensor, "b c h w"], size: Size) -> Float[Tensor, "b c y x"]:
    """The pictures at a state's size. Large ones are made floats a few at a time: all at once may not fit."""
    few = max(1, _FLOATS // pixels[0].numel())
    return torch.cat([resize(to_float(some), size) for some in pixels.split(few)])


def draw_density(config: TrainConfig, generator: torch.Generator) -> tuple[int, float]:
    """A batch's state density, and the t below which its times are."""
    if config.detail_density and torch.rand((), generator=generator) < config.detail_share:
        return config.detail_density, config.detail_time
    weights = torch.tensor(config.density_weights)
    return config.densities[int(torch.multinomial(weights, 1, generator=generator))], 1.0


def hide(known: Condition, config: TrainConfig, generator: torch.Generator) -> Condition:
    """What is known, without what training leaves out.

    Some images lose everything. The others lose each of their labels with a chance that is drawn per image where there
    are several, so that a model learns to be asked for any few of them.
    """
    known = known.where(torch.rand(len(known), generator=generator) >= config.drop_label)
    if known.attributes is None and known.numbers is None and known.tokens is None:
        return known
    share = 2 * config.drop_each * torch.rand(len(known), 1, generator=generator)

    def lost(like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=generator) < share

    label, attributes, numbers, tokens = known.label, known.attributes, known.numbers, known.tokens
    nan = float("nan")
    return Condition(
        label.masked_fill(lost(label[:, None])[:, 0], NULL),
        None if attributes is None else attributes.masked_fill(lost(attributes), 0),
        None if numbers is None else numbers.masked_fill(lost(numbers), nan),
        None if tokens is None else tokens.masked_fill(lost(tokens[:, 0, :1])[..., None], nan),
    )


def stratified(count: int, generator: torch.Generator) -> Scalars:
    """Times that are each uniform on [0, 1) and together evenly spread (Kingma et al. 2021, arXiv 2107.00630, I.1)."""
    return (torch.rand((), generator=generator) + torch.arange(count) / count) % 1


def token_window(size: Size, patch: int, share: float, generator: torch.Generator) -> Part:
    """A random window of a state: rows and columns of samples that hold about a share of its tokens.

    A window, for a scattered subset would leave the convolution, the windows of attention and the head no grid. It is
    drawn wherever it touches the state and pushed inside: drawn inside, it would seldom see the corners.

    Args:
        size: Height and width of the state.
        patch: Samples per token side.
        share: Of the tokens, above 0; both sides shrink alike, to two tokens at least.
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
    """Which of a side's pixels lie wholly within some of its samples."""
    return slice(-(-part.start * pixels // samples), part.stop * pixels // samples)


def target_pixels(inside: Part, pixels: float, generator: torch.Generator) -> Part:
    """Every n-th of some rows and columns from a random start: about `pixels` pixels, spread over all of them."""
    sides = [axis.stop - axis.start for axis in inside]
    stride = max(1, round(math.sqrt(sides[0] * sides[1] / pixels)))
    rows, columns = (
        slice(axis.start + int(torch.randint(min(stride, side), (), generator=generator)), axis.stop, stride)
        for axis, side in zip(inside, sides, strict=True)
    )
    return rows, columns
