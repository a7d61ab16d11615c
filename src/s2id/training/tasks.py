"""What a run teaches its network: to compose pictures from noise, or to enlarge given ones.

A task prepares the data and the settings, draws the batches and says how wrong a prediction is; the trainer does the
rest alike for both.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from s2id.data.captions import learn_words, with_words
from s2id.data.known import with_known
from s2id.data.pictures import Pictures, unlabelled, with_tokens
from s2id.data.pixel_art import palette_of
from s2id.diffusion.denoiser import loss
from s2id.diffusion.process import Schedule
from s2id.network.enlarger import agreeing
from s2id.network.settings import NetworkConfig
from s2id.sampling.model import S2ID
from s2id.seeds import seed_of
from s2id.settings import Size
from s2id.shapes import Images
from s2id.text import text_encoder
from s2id.training.batches import Batch, check_data, draw
from s2id.training.latents import for_latents
from s2id.training.pixelated import PixelatedViews, for_views
from s2id.training.resolution import for_resolution
from s2id.training.settings import Preset, TrainConfig
from s2id.training.windows import check_windows, draw_windows, seen_twice

_ROUNDED = 1.5 / 255
"""Difference of means, of [-1, 1], that rounding to bytes explains."""

_ROUNDING = 1e-5
"""Difference of means over white pixels from white that float32 explains."""

_FINE = 1e-3
"""Root mean square error, of [-1, 1], below which an enlarger's loss no longer counts in full."""

_OWN = 0.25
"""Share of an enlarger's loss that is of its values before their means are set right."""

_AREA = 4
"""Given pixels along a side of the squares that draws are compared with the truth in."""


@runtime_checkable
class Task(Protocol):
    """What differs between runs of the two kinds of networks."""

    pictures: Pictures
    """The data, with the labels and words that the network learns."""
    config: TrainConfig
    """Settings of the training, completed from the data."""
    model: NetworkConfig
    """Settings of the network, completed from the data."""
    schedule: Schedule
    """The forward process at the density that the network composes on."""
    palette: tuple[str, ...] | None
    """Colours of pixel art, as `palette_of` finds them; `None` where the pictures are none."""

    def batch(self, number: int, share: float) -> Batch:
        """Batch `number` of the run, which trains on a share of the states' tokens."""
        ...

    def loss(self, batch: Batch, field: Tensor, state: Tensor | None) -> Tensor:
        """Loss of the predicted values of the field, and of the predicted clean state where there is one."""
        ...


class Composing:
    """Runs of networks that compose from noise."""

    def __init__(self, preset: Preset, pictures: Pictures, start: S2ID | None, distils: bool = False) -> None:
        """The task with some data.

        Args:
            preset: Settings of network and training.
            pictures: The data.
            start: The model that the run begins with, whose words it keeps; one that knows words learns those of the
                captions besides. `None` learns the words of the captions.
            distils: Whether `start` is taught what it does in another way, so that it learns no words.

        Raises:
            InputError: Preset and data do not fit.
        """
        known = start.card.words if start else ()
        if start and not distils:
            pictures = with_known(pictures, *start.card.names, start.card.number_ranges, start.config.channels)
        if start and start.card.encoder:
            preset = replace(preset, train=replace(preset.train, encoder=start.card.encoder))
        if preset.train.encoder and not pictures.token_width:
            self.pictures = with_tokens(pictures, text_encoder(preset.train.encoder))
        elif distils:
            self.pictures = with_words(pictures, known)
        else:
            self.pictures = learn_words(pictures, preset.train.word_pictures, known)
        self.config, self.model = _completed(preset, self.pictures)
        # pictures that are only seen pixelated look like pixel art and are none
        self.palette = None if self.config.pixelate else palette_of(self.pictures)
        self.schedule = Schedule(shift=self.config.schedule_shift)

    def batch(self, number: int, share: float) -> Batch:
        """Noisy states, and what the pictures are there."""
        return draw(self.pictures, self.config, self.model, self.schedule, number, share)

    def loss(self, batch: Batch, field: Tensor, state: Tensor | None) -> Tensor:
        """The weighted squared error of the field, and that of the clean state."""
        conditions, device = len(batch.condition) // len(batch.x_t), field.device
        kind, bound = self.model.prediction, self.config.max_weight
        prediction, logsnr = field.float(), batch.logsnr.repeat(conditions).to(device)
        target = batch.target.to(device)
        if isinstance(target, PixelatedViews):
            target = torch.cat([target.correct(part) for part in prediction.detach().split(len(batch.x_t))])
        else:
            target = target.repeat(conditions, 1, 1, 1)
        if batch.flat is not None:
            prediction, target = in_flat_areas(prediction, target, batch.flat.to(device).repeat(conditions, 1, 1, 1))
        if kind == "x":
            prediction = clipped_where_right(prediction, target)
        error = loss(kind, prediction, target, logsnr, bound)
        if state is not None and batch.state is not None:
            clean = batch.state.to(device).repeat(conditions, 1, 1, 1)
            state = state.float() if self.model.latents else clipped_where_right(state.float(), clean)
            error = error + loss(kind, state, clean, logsnr, bound)
        return error


class Enlarging:
    """Runs of networks that enlarge given pictures, whatever these show."""

    palette: tuple[str, ...] | None = None

    def __init__(self, preset: Preset, pictures: Pictures) -> None:
        """The task with some data.

        Args:
            preset: Settings of network and training.
            pictures: The data; their labels are not used.

        Raises:
            InputError: Preset and data do not fit.
        """
        self.pictures = unlabelled(pictures)
        self.config, self.model = _completed(preset, self.pictures)
        self.schedule = Schedule(shift=self.config.schedule_shift)
        check_windows(self.pictures, self.config)

    def batch(self, number: int, share: float) -> Batch:
        """Coarse windows, and the fine ones that they were made of; each twice where noise is seen beside it."""
        batch = draw_windows(self.pictures, self.config, number)
        if not self.model.invents:
            return batch
        return seen_twice(batch, self.model.state_channels, seed_of(self.config.seed, number, 3))

    def loss(self, batch: Batch, field: Tensor, state: Tensor | None) -> Tensor:
        """How far the drawn windows are from the truth, as `energy_score` says.

        Where the given pixels are the means of the target, most of it is of values whose means were set right, for so
        they are drawn. The rest is of the network's own, which are drawn where means are not to be met.
        """
        assert isinstance(batch.target, Tensor) and batch.near is not None
        target, near = batch.target.to(field.device), batch.near.to(field.device)
        times = target.shape[2] // near.shape[3], target.shape[3] // near.shape[4]
        apart = (F.avg_pool2d(target, times) - near[0]).abs().amax((1, 2, 3), keepdim=True)
        draws = field.float().split(len(target))
        drawn = [torch.where(apart < _ROUNDED, agreeing(found, *near), found) for found in draws]
        return energy_score(drawn, target, times).lerp(energy_score(draws, target, times), _OWN)


def energy_score(draws: Sequence[Images], target: Images, pixel: Size) -> Tensor:
    """How far one drawn picture is from the truth, or two drawn with other noise are as pictures that may be true.

    Of one, the root mean square of each window's error, on average: the mean of squares would be that of the worst
    windows, and of what may be true, which blurs every border. Two have the energy score (Gneiting and Raftery 2007),
    E|x - y| - E|x - x'| / 2, whose least expectation is that of draws from the posterior. Of whole windows it says
    little about detail, so it is also taken of squares of one given pixel and of `_AREA` a side.

    Args:
        draws: One or two drawn pictures.
        target: The truth.
        pixel: Values along both sides of a given pixel.
    """
    if len(draws) == 1:
        return _apart(draws[0], target)
    one, other = draws
    sides = (pixel, (_AREA * pixel[0], _AREA * pixel[1]), None)
    scores = [(_apart(one, target, n) + _apart(other, target, n) - _apart(one, other, n)) / 2 for n in sides]
    return torch.stack(scores).mean()


def _apart(one: Images, other: Images, square: Size | None = None) -> Tensor:
    """Root mean square difference of pictures, on average over them, or over squares of values of a size in them."""
    size = (one.shape[2], one.shape[3])
    square = size if square is None else (min(square[0], size[0]), min(square[1], size[1]))
    squares = F.avg_pool2d((one - other).square().mean(1, keepdim=True), square)
    return (squares + _FINE**2).sqrt().mean()


def task_of(preset: Preset, pictures: Pictures, start: S2ID | None, distils: bool = False) -> Task:
    """What a run of the preset's network teaches it.

    Args:
        preset: Settings of network and training.
        pictures: The data.
        start: The model that the run begins with, if any.
        distils: Whether `start` is taught what it does in another way.

    Raises:
        InputError: Preset and data do not fit.
    """
    return Composing(preset, pictures, start, distils) if preset.model.composes else Enlarging(preset, pictures)


def _completed(preset: Preset, pictures: Pictures) -> tuple[TrainConfig, NetworkConfig]:
    """Settings of training and network with what the data decide, and only if a run can use them."""
    preset = for_resolution(for_latents(for_views(preset, pictures), pictures), pictures)
    model = preset.model.for_data(**pictures.facts)
    check_data(pictures, preset.train, model)
    return preset.train, model


def in_flat_areas(
    values: Float[Tensor, "b c fy fx"], target: Float[Tensor, "b c y x"], flat: Bool[Tensor, "b 1 y x"]
) -> tuple[Float[Tensor, "b c fy fx"], Float[Tensor, "b c fy fx"]]:
    """Predictions and targets for every value of the field: in flat areas each by itself, elsewhere the pixels' means.

    Means say nothing of what the function does within a pixel. Where the picture is flat, it does nothing.

    Args:
        values: The field's values, as many per target pixel along y as along x.
        target: Pixels.
        flat: Pixels in flat areas.

    Example:
        >>> values, target = torch.tensor([[[[-1.0, 1.0]]]]).expand(1, 1, 2, 2), torch.zeros(1, 1, 1, 1)
        >>> in_flat_areas(values, target, torch.tensor([[[[False]]]]))[0].unique().tolist()
        [0.0]
        >>> in_flat_areas(values, target, torch.tensor([[[[True]]]]))[0].unique().tolist()
        [-1.0, 1.0]
    """
    factor = values.shape[2] // target.shape[2]

    def each(pixels: Tensor) -> Tensor:
        return pixels.repeat_interleave(factor, 2).repeat_interleave(factor, 3)

    means = F.avg_pool2d(values, factor)
    return torch.where(each(flat), values, each(means)), each(target)


def clipped_where_right(
    prediction: Float[Tensor, "b c y x"], target: Float[Tensor, "b c y x"]
) -> Float[Tensor, "b c y x"]:
    """Predictions without what exceeds [-1, 1] where the target is that bound.

    A function is clipped where it is rendered, and a predicted picture where a solver goes on from it. So beyond white
    is white, and need not be exactly white: a network that goes beyond it draws a ground without a trace of its
    lattice. Elsewhere nothing is clipped, because a clipped error would have no gradient.

    Example:
        >>> clipped_where_right(torch.tensor([[[[1.5, 1.5]]]]), torch.tensor([[[[1.0, 0.9]]]])).tolist()
        [[[[1.0, 1.5]]]]
    """
    below = torch.where(target >= 1 - _ROUNDING, prediction.clamp(max=1), prediction)
    return torch.where(target <= _ROUNDING - 1, below.clamp(min=-1), below)
