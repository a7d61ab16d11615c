"""What several tests build on: small networks whose every part is alive, models and fields of them."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn

from s2id.data import cache
from s2id.network.heads import Features, FieldHead
from s2id.network.network import FieldNetwork
from s2id.network.settings import ModelConfig, PublishedConfig
from s2id.sampling.field import Field
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Card

TINY = ModelConfig(
    width=16,
    heads=2,
    encoder_blocks=1,
    decoder_blocks=1,
    film_width=8,
    condition_tokens=2,
    patch=2,
    lattice=2,
    head_width=8,
)

SMALL_PUBLISHED = PublishedConfig(width=16, heads=2, encoder_blocks=1, decoder_blocks=1, film_width=8)


def enliven(module: nn.Module, seed: int = 0) -> None:
    """Random weights everywhere: gates that start at zero would hide what is behind them."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        fan_in = parameter.shape[1] if parameter.ndim > 1 else 4
        parameter.data.normal_(0, fan_in**-0.5, generator=generator)


@pytest.fixture
def network() -> Callable[..., FieldNetwork]:
    """Maker of a small network; its arguments change the config."""

    def make(**changes) -> FieldNetwork:
        made = FieldNetwork(replace(TINY, **changes)).eval().requires_grad_(False)
        enliven(made)
        return made

    return make


@pytest.fixture(autouse=True)
def fresh_accelerate() -> None:
    """accelerate keeps one state per process, and tests train in several precisions."""
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def model() -> S2ID:
    """A small model."""
    made = S2ID(TINY, Card(data="noise", density=8, labels=tuple("0123456789"))).eval().requires_grad_(False)
    enliven(made)
    return made


@pytest.fixture
def field() -> Callable[..., Field]:
    """Maker of fields that are smooth at the scale of their lattice."""

    def make(count: int = 1, lattice: tuple[int, int] = (6, 6), channels: int = 1) -> Field:
        head = FieldHead(8, channels).requires_grad_(False)
        enliven(head)
        for parameter in head.out.parameters():  # within the range of pictures, where nothing is cut off
            parameter.mul_(0.25)
        values = torch.randn(count, *lattice, 8, generator=torch.Generator().manual_seed(1))
        long = max(lattice)
        return Field(Features(values, (lattice[0] / long, lattice[1] / long)), head, {"labels": "7"})

    return make


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch) -> None:
    """Tests keep what they cache to themselves."""
    monkeypatch.setattr(cache, "CACHE", tmp_path_factory.mktemp("cache"))
