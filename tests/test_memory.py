"""Work that this machine's memory does not suffice for is refused before any is taken."""

from types import SimpleNamespace

import pytest
import torch
from conftest import TINY

import s2id
from s2id.errors import InputError
from s2id.training.device import check_network


def test_what_memory_does_not_suffice_for_is_refused_with_what_to_do(model, monkeypatch):
    s2id.sample(model, steps=1)
    check_network(TINY, torch.device("cpu"))
    monkeypatch.setattr("s2id.memory.virtual_memory", lambda: SimpleNamespace(total=2**12))
    with pytest.raises(InputError, match="^a state of 8x8 samples takes about 0 GB and .* 0; choose a lower density"):
        s2id.sample(model, steps=1)
    with pytest.raises(InputError, match="^9,000 states of 8x8 samples take .* draw fewer at once, or choose a lower"):
        s2id.sample(model, seed=range(9000), steps=1)
    with pytest.raises(InputError, match="^training a network of [0-9,]+ weights takes about .*; choose a smaller"):
        check_network(TINY, torch.device("cpu"))
