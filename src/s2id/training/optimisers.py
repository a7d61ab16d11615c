"""The optimisers of a run, its learning rate, and the moving average of its weights."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from s2id.network.build import AnyNetwork
from s2id.training.muon import Muon
from s2id.training.settings import TrainConfig


def learning_rate(config: TrainConfig, done: float, begun: float = 0.0) -> float:
    """Learning rate at a point of the run: a linear warm-up from 0, then a cosine to the final rate.

    A run that goes on beyond its first length has the cosine of both lengths together, which at that point is above the
    final rate; the learning rate rises to it linearly, over the same share of what is left as in a run that begins.

    Args:
        config: Settings of the run.
        done: Share of the run that is done, 0 to 1.
        begun: Share that was done when the run went on; 0 if it has its first length.

    Example:
        >>> config = TrainConfig(lr=1.0, final_lr=0.0, warmup=0.5)
        >>> [learning_rate(config, done) for done in (0.0, 0.25, 0.5, 1.0)]
        [0.0, 0.5, 1.0, 0.0]
        >>> [round(learning_rate(config, done, begun=0.75), 3) for done in (0.75, 0.8125, 0.875, 1.0)]
        [0.0, 0.154, 0.146, 0.0]
    """
    if done < config.warmup:
        return config.lr * (done / config.warmup)
    share = min(1.0, (done - config.warmup) / max(1 - config.warmup, 1e-9))
    planned = config.final_lr + (config.lr - config.final_lr) * 0.5 * (1 + math.cos(math.pi * share))
    rising = (done - begun) / max(config.warmup * (1 - begun), 1e-9) if begun else 1.0
    return planned * min(1.0, rising)


def take_step(optimiser: torch.optim.Optimizer, loss: Tensor, network: nn.Module, clip: float, lr: float) -> None:
    """One step of an optimiser down a loss, for what is taught beside a run's own steps.

    Args:
        optimiser: Optimiser of the network's weights.
        loss: The loss; gradients that it gave before are forgotten.
        network: The network.
        clip: Norm that the gradient is shortened to.
        lr: Learning rate of this step.
    """
    network.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), clip)
    for group in optimiser.param_groups:
        group["lr"] = lr
    optimiser.step()


def make_optimisers(network: AnyNetwork, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """AdamW, and with the setting "muon" also Muon for the matrices and dense convolutions of the blocks.

    Only matrices are decayed.
    """
    plain = {p for m in network.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    blocks = (*network.encoder.parameters(), *network.decoder.parameters())
    # a depthwise convolution mixes no channels, so that there is no matrix to make orthogonal
    mixing = {p for p in blocks if p.ndim > 1 and p.shape[1] > 1}
    hidden = mixing if config.optimiser == "muon" else set()
    matrices = [p for p in network.parameters() if p.ndim > 1 and p not in plain | hidden]
    others = [p for p in network.parameters() if p.ndim <= 1 or p in plain]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.99), fused=True)
    if not hidden:
        return [adamw]
    own = [p for p in network.parameters() if p in hidden]
    return [adamw, Muon(own, config.lr, config.weight_decay)]


def optimiser_tensors(optimisers: list[Any]) -> dict[str, Tensor]:
    """The state of all optimisers, each tensor named "optimiser.parameter.key"."""
    return {
        f"{number}.{i}.{key}": tensor
        for number, optimiser in enumerate(optimisers)
        for i, values in optimiser.state_dict()["state"].items()
        for key, tensor in values.items()
    }


def load_optimisers(optimisers: list[Any], tensors: dict[str, Tensor]) -> None:
    """Give optimisers the state that `optimiser_tensors` returned."""
    states: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimisers]
    for name, tensor in tensors.items():
        number, index, key = name.split(".", 2)
        states[int(number)].setdefault(int(index), {})[key] = tensor
    for optimiser, state in zip(optimisers, states, strict=True):
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def warm_average(decay: float) -> Callable[..., None]:
    """Update rule of a moving average whose decay after n steps is (1 + n) / (10 + n), and at most `decay`.

    Args:
        decay: Largest decay per step, below 1.
    """

    @torch.no_grad()
    def update(averages: list[Tensor], currents: list[Tensor], steps: Tensor) -> None:
        now = min(decay, (1 + int(steps)) / (10 + int(steps)))
        torch._foreach_lerp_(averages, currents, 1 - now)

    return update
