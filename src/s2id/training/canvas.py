"""Teaching a network's canvas: the mean picture of every condition, learned before the first step of a run."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch.nn import functional as F

from s2id.condition import cat
from s2id.data.pictures import Pictures, chosen_at
from s2id.media.images import to_float
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
    steps = config.canvas_steps
    if steps is None:
        steps = max(_LEAST, _EPOCHS * len(data) // batch)
    few = round(_HIDING * batch)
    for step, done in enumerate(course(steps, config, stopped, "canvas")):
        group, chosen = chosen_at(data, step, batch, config.seed)
        known = group.condition(chosen)
        asked = cat([hide(known[:few], config, generator), known[few:]]).to(device)
        with autocast():
            drawn = canvas(network.canvas_code(asked))
        loss = F.mse_loss(drawn.float(), to_float(group.images[chosen]).to(device))
        take_step(optimiser, loss, canvas, config.clip, learning_rate(_COURSE, done))
    canvas.zero_grad()
    canvas.requires_grad_(False)
