"""A network that begins with another's weights, and knows more: labels, another canvas, a local estimate, noise."""

from dataclasses import replace

import torch
from torch import Tensor

from s2id.network.base import TwoHalves
from s2id.network.settings import BESIDE_CLASSES, EnlargerConfig, ModelConfig, NetworkConfig

_CANVAS = "canvas", "canvas_width"


def can_grow(start: NetworkConfig, config: NetworkConfig) -> bool:
    """Whether a network with the second settings can begin with the weights of one with the first."""
    if isinstance(start, ModelConfig) and isinstance(config, ModelConfig):
        for name in ("classes", *BESIDE_CLASSES):
            if getattr(start, name) <= getattr(config, name):
                start = replace(start, **{name: getattr(config, name)})
        if start.canvas and config.canvas:
            start = replace(start, **{name: getattr(config, name) for name in (*_CANVAS, "canvas_blocks")})
        if not start.local_blocks:
            start = replace(start, local_blocks=config.local_blocks, local_width=config.local_width)
    if isinstance(start, EnlargerConfig) and isinstance(config, EnlargerConfig) and not start.noise_channels:
        start = replace(start, noise_channels=config.noise_channels)
    return start == config


def same_canvas(start: NetworkConfig, config: NetworkConfig) -> bool:
    """Whether two networks have canvases of one size, width and number of blocks, or none."""
    return _alike(start, config, *_CANVAS, "canvas_blocks")


def _alike(start: NetworkConfig, config: NetworkConfig, *names: str) -> bool:
    """Whether two networks have the same settings of these names, as far as both can have a canvas."""
    if not isinstance(start, ModelConfig) or not isinstance(config, ModelConfig):
        return True
    return all(getattr(start, name) == getattr(config, name) for name in names)


def grown(network: TwoHalves, start: TwoHalves) -> dict[str, Tensor]:
    """The weights that a network begins with: another's, and its own for all that the other lacks.

    A label that the other does not know begins as the mean of all labels of its kind that it knows. A canvas of another
    size or width begins anew. So do a local estimate where there was none, and the head, which adds to it. Noise that
    an enlarger sees is added to what it saw.

    Args:
        network: The network, with random weights; its settings are ones that `can_grow` allows.
        start: The other one.
    """
    config = network.config
    anew: tuple[str, ...] = () if _alike(start.config, config, *_CANVAS) else ("canvas.",)
    if config.local_blocks and not start.config.local_blocks:
        anew += ("local.", "head.")
    known = start.state_dict()
    weights = {}
    for name, own in network.state_dict().items():
        begun = known.get(name)
        if begun is None or name.startswith(anew):
            weights[name] = own
        elif begun.shape == own.shape:
            weights[name] = begun
        else:
            weights[name] = _longer(name, begun, own)
    return weights


def _longer(name: str, known: Tensor, own: Tensor) -> Tensor:
    """A table of labels with more rows; `own` are the random rows of a table of as many.

    Of an enlarger, the first convolution with the weights of noise after those of the picture.
    """
    if name == "stem.weight":
        return torch.cat([known, own[:, known.shape[1] :]], dim=1)
    if name.endswith("asked.attributes.weight"):  # the attributes present come first, then those absent
        halves = zip(known.chunk(2), own.chunk(2), strict=True)
        return torch.cat([_followed(*both) for both in halves])
    if "asked.numbers." in name:  # numbers have little in common
        return torch.cat([known, own[len(known) :]])
    if name in ("condition.weight", "canvas.classes.weight"):  # no class comes last
        return torch.cat([_followed(known[:-1], own[:-1]), known[-1:]])
    return _followed(known, own)


def _followed(known: Tensor, own: Tensor) -> Tensor:
    """Rows that are known, then their mean for each that is not."""
    new = known.mean(0, keepdim=True) if len(known) else own[:1]
    return torch.cat([known, new.expand(len(own) - len(known), -1)])
