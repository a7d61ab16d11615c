"""Teaching a network's canvas: the mean picture of every condition, learned before the first step of a run."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn import functional as F

from s2id.data.pictures import Pictures, chosen_at
from s2id.network.network import FieldNetwork
from s2id.seeds import seed_of
from s2id.training.batches import hide, means
from s2id.training.course import course
from s2id.training.optimisers import learning_rate, take_step
from s2id.training.redraw import with_redrawn
from s2id.training.settings import TrainConfig

_BATCH = 256
_EPOCHS, _LEAST = 900, 100
_COURSE = TrainConfig(lr=4e-3, final_lr=0.0, warmup=0.05)
"""Settings of the learning rate, which rises and falls as a run's does."""


def teach_canvas(
    network: FieldNetwork,
    pictures: Pictures,
    config: TrainConfig,
    stopped: Callable[[], bool] = bool,
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> None:
    """Fit a network's canvas to pictures under their conditions, of which as much is hidden as in the run.

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
    device, size = canvas.out.weight.device, (canvas.side, canvas.side)
    pictures = with_redrawn(pictures, canvas.side, config, stopped, autocast, device)
    generator = torch.Generator().manual_seed(seed_of(config.seed, 0, 2))
    canvas.requires_grad_(True)
    # Muon would take as long as all else together, and at equal time AdamW gets farther
    optimiser = torch.optim.AdamW(canvas.parameters(), betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    steps = config.canvas_steps
    if steps is None:
        steps = max(_LEAST, _EPOCHS * len(pictures) // _BATCH)
    for step, done in enumerate(course(steps, config, stopped, "canvas")):
        group, chosen = chosen_at(pictures, step, _BATCH, config.seed)
        asked = hide(group.condition(chosen), config, generator).to(device)
        with autocast():
            drawn = canvas(network.canvas_code(asked))
        loss = F.mse_loss(drawn.float(), means(group.images[chosen], size).to(device))
        take_step(optimiser, loss, canvas, config.clip, learning_rate(_COURSE, done))
    canvas.zero_grad()
    canvas.requires_grad_(False)
