"""Teaching a network's canvas: the mean picture of every condition, learned before the first step of a run."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch.nn import functional as F

from s2id.condition import cat
from s2id.data.pictures import Pictures, chosen_at
from s2id.media.images import to_float
from s2id.network.canvas import Canvas
from s2id.network.network import FieldNetwork
from s2id.seeds import seed_of
from s2id.training.batches import hide, shrunk
from s2id.training.course import course
from s2id.training.optimisers import learning_rate, take_step
from s2id.training.redraw import redraw_missing
from s2id.training.settings import TrainConfig

_BATCH = 256, 1024
"""Pictures of a step, at least and at most; between, it is all there are."""

_EPOCHS, _LEAST = 900, 100
_COURSE = TrainConfig(lr=6e-3, final_lr=0.0, warmup=0.05)
"""Settings of the learning rate, which rises and falls as a run's does."""

_CORRECTED = 0.4
"""Share of the steps, the last ones, that teach the correction too, where a canvas has one. Such a step takes three
times as long per picture, and a correction of a bad mixture is soon forgotten."""

_LEAST_MINUTES = 30
"""Length of a run, where it is a time, from which on the correction is taught: in a fifth of fewer minutes the mixture
alone gets farther."""

_CORRECTING = replace(_COURSE, lr=4e-3)
"""Settings of the learning rate in these steps, which rises and falls again. They have half as many pictures."""

_HIDING = 0.3
"""Share of a step's pictures that may lose labels. Fewer labels ask for the mean of more pictures, and a gradient
towards one of these is mostly noise to all others."""


def teach_canvas(
    network: FieldNetwork,
    pictures: Pictures,
    config: TrainConfig,
    stopped: Callable[[], bool] = bool,
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> None:
    """Fit a network's canvas to pictures under their conditions, of which some are hidden as in the run.

    Concepts that some classes have and others lack are redrawn for these first (`training.redraw`), if the run's
    settings say so, and learned as well.

    Args:
        network: A network with a canvas; its other weights stay as they are.
        pictures: The data, with the words that the network knows.
        config: Settings of the run, of which `canvas_steps` may say how long this takes. With `minutes`, it takes a
            fifth of them at most.
        stopped: Is asked before each step; where it says yes, the canvas is left half taught.
        autocast: Context of the run's precision, in which the canvas is drawn.
    """
    canvas = network.canvas
    assert canvas is not None
    device = canvas.out.weight.device
    small = shrunk(pictures, canvas.side)
    more = redraw_missing(small, len(pictures.labels), config, stopped, autocast, device)
    data = replace(pictures, groups=(more.beside(small) if more else small,))
    generator = torch.Generator().manual_seed(seed_of(config.seed, 0, 2))
    canvas.requires_grad_(True)
    # Muon would take as long as all else together, and at equal time AdamW gets farther
    optimiser = torch.optim.AdamW(canvas.parameters(), betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    batch = min(max(len(data), _BATCH[0]), _BATCH[1])
    plain = _plain(canvas, config)
    steps = config.canvas_steps
    if steps is None:
        steps = max(_LEAST, round(_EPOCHS * len(data) / batch / (1 if plain == 1 else 1 - _CORRECTED)))
    for step, done in enumerate(course(steps, config, stopped, "canvas")):
        if done < plain:
            draw, size, lr = canvas.mixture, batch, learning_rate(_COURSE, done / plain)
        else:
            draw, size, lr = canvas, batch // 2, learning_rate(_CORRECTING, (done - plain) / (1 - plain))
        group, chosen = chosen_at(data, step, size, config.seed)
        known, few = group.condition(chosen), round(_HIDING * size)
        asked = cat([hide(known[:few], config, generator), known[few:]]).to(device)
        with autocast():
            drawn = draw(network.canvas_code(asked))
        loss = F.mse_loss(drawn.float(), to_float(group.images[chosen]).to(device))
        take_step(optimiser, loss, canvas, config.clip, lr)
    canvas.zero_grad()
    canvas.requires_grad_(False)


def _plain(canvas: Canvas, config: TrainConfig) -> float:
    """Share of the steps that teach a canvas without its correction."""
    if canvas.correction is None:
        return 1.0
    if canvas.correction.fall.weight.any():  # what was corrected goes on so
        return 0.0
    return 1.0 if config.minutes is not None and config.minutes < _LEAST_MINUTES else 1 - _CORRECTED
