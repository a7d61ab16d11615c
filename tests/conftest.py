"""What several tests build on: small networks whose every part is alive, models and fields of them, and a studio."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

import jaxtyping
import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn

from s2id.data import cache
from s2id.network.heads import Features, FieldHead
from s2id.network.network import FieldNetwork
from s2id.network.settings import EnlargerConfig, ModelConfig, PublishedConfig
from s2id.sampling.field import Field
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Card
from s2id.training.trainer import Trainer

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


@contextmanager
def unchecked() -> Iterator[None]:
    """Shapes are not checked within, as they are not for users: checking takes as long as computing."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def trained(trainer: Trainer) -> list[float]:
    """Losses of a run to its end. Shapes are checked in its first steps, and all later ones are alike."""
    run = trainer.run()
    losses = [progress.loss for progress in islice(run, 3)]
    with unchecked():
        return losses + [progress.loss for progress in run]


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
def enlarger() -> S2ID:
    """A small model that enlarges."""
    made = S2ID(EnlargerConfig(width=8, blocks=1), Card()).eval().requires_grad_(False)
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


@pytest.fixture(scope="session")
def studio() -> Any:
    """A studio with three models."""
    pytest.importorskip("fastapi", reason="the studio needs the extra studio")
    from s2id.studio.state import Studio

    return Studio(["mnist-fast", "mnist", "graphics", "graphics-invent"])


@pytest.fixture(scope="session")
def client(studio) -> Iterator[Any]:
    """A client of the studio."""
    from starlette.testclient import TestClient

    from s2id.studio.app import create_app

    with TestClient(create_app(studio)) as one:
        yield one


@pytest.fixture(scope="session")
def events(client) -> Callable[..., list[tuple[str, dict[str, Any]]]]:
    """Names and data of all events of the job that an answer of the studio names."""

    def of(answer) -> list[tuple[str, dict[str, Any]]]:
        assert answer.status_code == 202, answer.text
        text = client.get(f"/api/jobs/{answer.json()['job']}/events").text
        said = [block for block in text.strip().split("\n\n") if not block.startswith(":")]  # comments
        blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in said]
        assert [int(one["id"]) for one in blocks] == sorted(int(one["id"]) for one in blocks)
        return [(one["event"], json.loads(one["data"])) for one in blocks]

    return of
