"""The optimisers of a run, and its moving average."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from s2id.network.build import AnyNetwork
from s2id.training.muon import Muon
from s2id.training.settings import TrainConfig


def _optimisers(network: AnyNetwork, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon for the blocks' matrices if asked; both decay matrices only."""
    plain = {p for m in network.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    blocks = {p for p in (*network.encoder.parameters(), *network.decoder.parameters()) if p.ndim == 2}
    hidden = blocks if config.optimiser == "muon" else set()
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


def _load_optimisers(optimisers: list[Any], tensors: dict[str, Tensor]) -> None:
    states: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimisers]
    for name, tensor in tensors.items():
        number, index, key = name.split(".", 2)
        states[int(number)].setdefault(int(index), {})[key] = tensor
    for optimiser, state in zip(optimisers, states, strict=True):
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def warm_average(decay: float) -> Callable[..., None]:
    """A moving average whose decay rises to `decay`: (1 + n) / (10 + n) after n steps."""

    @torch.no_grad()
    def update(averages: list[Tensor], currents: list[Tensor], steps: Tensor) -> None:
        now = min(decay, (1 + int(steps)) / (10 + int(steps)))
        torch._foreach_lerp_(averages, currents, 1 - now)

    return update
