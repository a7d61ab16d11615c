"""Teaching a network's canvas: the mean picture of every condition, learned before the first step of a run."""

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from s2id.condition import Condition
from s2id.data.pictures import Pictures
from s2id.network.base import class_index
from s2id.network.network import FieldNetwork
from s2id.seeds import seed_of
from s2id.training.batches import hide, means
from s2id.training.muon import Muon
from s2id.training.optimisers import learning_rate
from s2id.training.settings import TrainConfig

_BATCH = 256
_LR = 2e-3


def teach_canvas(network: FieldNetwork, pictures: Pictures, config: TrainConfig) -> None:
    """Fit a network's canvas to pictures under their conditions, of which as much is hidden as in the run.

    Args:
        network: A network with a canvas, whose other weights stay as they are.
        pictures: The data, with the words that the network knows.
        config: Settings of the run; `canvas_steps` says how long, and the learning rate has the run's course.
    """
    canvas = network.canvas
    assert canvas is not None
    device = next(canvas.parameters()).device
    size, classes = (canvas.side, canvas.side), network.config.classes
    targets = [means(group.images, size) for group in pictures.groups]
    counts = torch.tensor([float(len(target)) for target in targets])
    with torch.no_grad():  # it begins as the mean of all pictures
        canvas.out.bias.copy_(torch.stack([t.mean(0) * len(t) for t in targets]).sum(0).flatten() / counts.sum())
    canvas.requires_grad_(True)
    hidden = [p for p in canvas.blocks.parameters() if p.ndim > 1]
    others = [p for p in canvas.parameters() if all(p is not q for q in hidden)]
    optimisers = [torch.optim.AdamW(others, betas=(0.9, 0.99), weight_decay=0.0, fused=True), Muon(hidden, _LR)]
    generator = torch.Generator().manual_seed(seed_of(config.seed, 0, 2))
    course = TrainConfig(lr=_LR, final_lr=0.0, warmup=0.05)
    for step in tqdm(range(config.canvas_steps), desc="canvas", leave=False, disable=None):
        which = int(torch.multinomial(counts, 1, generator=generator))
        chosen = torch.randint(len(targets[which]), (_BATCH,), generator=generator)
        asked = hide(pictures.groups[which].condition(chosen), config, generator)
        loss = F.mse_loss(_drawn(canvas, asked.to(device), classes), targets[which][chosen].to(device))
        canvas.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(canvas.parameters(), config.clip)
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(course, step / config.canvas_steps)
            optimiser.step()
    canvas.requires_grad_(False)
    canvas.zero_grad()


def _drawn(canvas: nn.Module, asked: Condition, classes: int) -> torch.Tensor:
    return canvas(canvas.code(class_index(asked.label, classes), asked))
