"""Training batches of the network that enlarges: windows of finely drawn pictures, and coarse pictures of them.

A batch draws how many fine pixels a given pixel covers, from which place, and how it became a picture: by area means,
without anti-aliasing, through JPEG, or in few colours; truth is the fine picture itself. Each batch is a function of
(seed, number), as in `batches`.
"""

import io
import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from s2id.condition import Condition, cat
from s2id.coords import extent
from s2id.data.pictures import Group, Pictures, chosen_at
from s2id.diffusion.noise import beside_noise
from s2id.errors import InputError
from s2id.media.alpha import in_channels, over
from s2id.media.images import to_bytes, to_float
from s2id.network.base import state_grid
from s2id.network.enlarger import extremes
from s2id.sampling.denoisers import read_out
from s2id.sampling.model import S2ID
from s2id.seeds import seed_of
from s2id.shapes import NULL
from s2id.training.batches import Batch
from s2id.training.settings import TrainConfig

FINEST, COARSEST = 2, 16
"""Fine pixels along a side of a given pixel, at least and at most."""

LIKE = {"means": 0.72, "points": 0.06, "jpeg": 0.16, "palette": 0.06}
"""Share of the windows that became given pictures by area means, by the values at pixels' middles (no anti-aliasing),
by means and JPEG, and by means and a palette."""

QUALITIES, PALETTES = (50, 95), (8, 64)
"""JPEG's quality and the number of a palette's colours, least and most."""

_OPAQUE, _PERMUTED, _INVERTED = 0.6, 0.3, 0.4
"""Shares of the windows that are laid over a ground, whose channels are permuted, and of whose channels each is
inverted or not: most borders are of lightness, so those where one channel rises and another falls would be rare."""

_DULL, _TRIES = 4.0, 6
"""Standard deviation in grey levels below which a window is drawn again, and how often."""

_TIMES = 8
"""How many times as dense as a given picture its truth is, at most."""

_EVERY = 4
"""Of a window's rows and columns, one in so many is looked at for that."""

_SHOWN, _SHOWN_TIMES = 8, 8
"""Windows on a sheet, and how many times as large they are enlarged."""

Generator = np.random.Generator


def check_windows(pictures: Pictures, config: TrainConfig) -> None:
    """Refuse pictures too small for a window of the state's size.

    Raises:
        InputError: They are.
    """
    least = FINEST * config.densities[0]
    height, width = min((group.images.shape[2:] for group in pictures.groups), key=min)
    if min(height, width) < least:
        raise InputError(
            f"{pictures.name} has pictures of {height}x{width} pixels, and this network learns from windows of "
            f"{least}x{least} or more; give larger ones (--long-side draws drawings at any size)."
        )


def draw_windows(pictures: Pictures, config: TrainConfig, number: int, only: int | None = None) -> Batch:
    """Batch `number` of a run: windows as given pictures, and the truth at a random number of times their density.

    Args:
        pictures: The data, finely drawn. Windows have as many given pixels a side as the first of the densities.
        config: Settings of the run.
        number: Number of the batch, from 0.
        only: How many times as dense the truth is; `None` draws it.
    """
    generator = np.random.default_rng(seed_of(config.seed, number))
    group, chosen = chosen_at(pictures, number, config.batch, config.seed)
    side = config.densities[0]
    most = min(COARSEST, min(group.images.shape[2:]) // side)
    fitting = [n for n in range(FINEST, most + 1) if only is None or n % only == 0]
    factor = int(generator.choice(fitting))  # fine pixels along a side of a given one
    fine = torch.stack([_window(group, int(i), side * factor, generator) for i in chosen])
    given = to_float(torch.stack([seen(window, factor, generator) for window in fine]))
    times = only or int(generator.choice([n for n in range(2, min(factor, _TIMES) + 1) if factor % n == 0] or [factor]))
    rows, columns = (_part(side, config.queries, times, generator) for _ in range(2))
    target = to_float(
        fine[:, :, rows.start * factor : rows.stop * factor, columns.start * factor : columns.stop * factor]
    )
    frame = extent((side, side))
    cells = [slice(axis.start * times, axis.stop * times) for axis in (rows, columns)]
    grid = state_grid((side * times, side * times), frame).part(*cells)
    nothing = Condition(torch.full((len(given),), NULL))
    truth = F.avg_pool2d(target, factor // times)
    near = torch.stack([given, *extremes(given, 1)])[:, :, :, rows, columns]
    return Batch(given, torch.zeros(len(given)), nothing, frame, grid, 1, truth, None, None, near=near)


def seen_twice(batch: Batch, channels: int, seed: int) -> Batch:
    """The batch with every given picture in it twice, each time with other noise beside it; one target for both.

    Args:
        batch: The batch, whose states are the given pictures.
        channels: Channels of a state with its noise.
        seed: Seed of all noise.
    """
    given = batch.x_t.repeat(2, 1, 1, 1)
    x_t = beside_noise(given, channels, [seed_of(seed, i) for i in range(len(given))])
    return replace(batch, x_t=x_t, logsnr=batch.logsnr.repeat(2), condition=cat([batch.condition] * 2))


def enlarged_windows(model: S2ID, pictures: Pictures, config: TrainConfig) -> Float[Tensor, "3 h w"]:
    """A sheet of windows over white: each as it is given, as the model enlarges it, and the truth."""
    side, rows = config.densities[0], []
    for number in range(_SHOWN):
        generator = np.random.default_rng(seed_of(config.seed, number, 2))
        group, chosen = chosen_at(pictures, number, 1, config.seed)
        factor = min(_SHOWN_TIMES, min(group.images.shape[2:]) // side)
        fine = _window(group, int(chosen[0]), side * factor, generator)
        given = to_float(seen(fine, factor, generator))[None]
        state = beside_noise(given, model.config.state_channels, [0])
        field = read_out(model, state.to(model.device), torch.tensor([NULL]), frame=extent((side, side)))
        size = (side * _SHOWN_TIMES, side * _SHOWN_TIMES)
        looks = (given[0], field.render(size)[0].cpu(), to_float(fine))
        rows.append(torch.cat([F.interpolate(over(look, "white")[None], size)[0] for look in looks], dim=2))
    return torch.cat([torch.cat(rows[::2], dim=1), torch.cat(rows[1::2], dim=1)], dim=2)


def _part(side: int, values: float, per_pixel: int, generator: Generator) -> slice:
    """Given pixels along a side whose truth a step compares, so that there are `values` for each given pixel."""
    kept = max(1, min(side, int(side * math.sqrt(values) / per_pixel)))
    start = int(generator.integers(0, side - kept + 1))
    return slice(start, start + kept)


def _window(group: Group, index: int, side: int, generator: Generator) -> UInt8[Tensor, "4 h w"]:
    """A square window of a picture, RGBA, turned, recoloured and perhaps laid over a ground; rarely of one colour."""
    height, width = group.images.shape[2:]
    for _ in range(_TRIES):
        top, left = (int(generator.integers(0, long - side + 1)) for long in (height, width))
        window = group.images[index, :, top : top + side, left : left + side]
        if float(window[:, ::_EVERY, ::_EVERY].float().flatten(1).std(1).max()) >= _DULL:
            break
    whole = in_channels(window, 4)
    if generator.random() < _PERMUTED:
        whole = whole[[*generator.permutation(3).tolist(), 3]]
    if generator.random() < _INVERTED:
        inverted = whole[3:] - whole[:3].minimum(whole[3:])
        chosen = torch.from_numpy(generator.random(3) < 0.5)[:, None, None]
        whole = torch.cat([torch.where(chosen, inverted, whole[:3]), whole[3:]])
    whole = torch.rot90(whole, int(generator.integers(4)), (1, 2))
    whole = whole.flip(2) if generator.random() < 0.5 else whole
    return _over(whole, generator) if generator.random() < _OPAQUE else whole


def _over(window: UInt8[Tensor, "4 h w"], generator: Generator) -> UInt8[Tensor, "4 h w"]:
    """A premultiplied window over white, black, another colour, or a gradient of two colours."""
    ends = torch.from_numpy(generator.uniform(0, 255, (2, 3)).astype(np.float32))
    kind = generator.random()
    if kind < 0.3:
        ends[:] = 255.0 if kind < 0.2 else 0.0
    elif kind < 0.85:
        ends[1] = ends[0]
    ramp = torch.linspace(0, 1, window.shape[1])[:, None, None]
    ground = (ends[0] + (ends[1] - ends[0]) * ramp).movedim(-1, 0)
    colours = window[:3] + (1 - window[3:].float() / 255) * ground
    return torch.cat([colours.round().clamp(0, 255).to(torch.uint8), torch.full_like(window[3:], 255)])


def seen(window: UInt8[Tensor, "4 h w"], factor: int, generator: Generator) -> UInt8[Tensor, "4 y x"]:
    """A coarse picture of a fine window, as people come by one.

    Args:
        window: RGBA, premultiplied.
        factor: Fine pixels along a side of a coarse one, by which both sides can be divided.
        generator: Source of randomness; it chooses among the kinds of `LIKE`.
    """
    kind = str(generator.choice([*LIKE], p=[*LIKE.values()]))
    if kind == "points":
        return window[:, factor // 2 :: factor, factor // 2 :: factor]
    coarse = to_bytes(F.avg_pool2d(to_float(window), factor))
    if kind == "means" or bool((coarse[3] < 255).any()):  # a JPEG file has no alpha, and a palette's is 0 or 1
        return coarse
    if kind == "jpeg":
        return torch.cat([_as_jpeg(coarse[:3], generator), coarse[3:]])
    image = Image.fromarray(coarse[:3].permute(1, 2, 0).contiguous().numpy())
    few = image.quantize(int(generator.integers(PALETTES[0], PALETTES[1] + 1)), dither=Image.Dither.NONE)
    return torch.cat([torch.from_numpy(np.array(few.convert("RGB"))).permute(2, 0, 1), coarse[3:]])


def _as_jpeg(picture: UInt8[Tensor, "3 h w"], generator: Generator) -> UInt8[Tensor, "3 h w"]:
    """A picture after JPEG, whose blocks of 8 pixels begin anywhere."""
    top, left = (int(n) for n in generator.integers(0, 8, 2))
    padded = np.pad(picture.permute(1, 2, 0).numpy(), ((top, 0), (left, 0), (0, 0)), mode="edge")
    file = io.BytesIO()
    sampling = int(generator.choice([0, 2]))  # colours at full density, or at half
    Image.fromarray(padded).save(
        file, "JPEG", quality=int(generator.integers(*QUALITIES, endpoint=True)), subsampling=sampling
    )
    return torch.from_numpy(np.array(Image.open(file, formats=["JPEG"])))[top:, left:].permute(2, 0, 1)
