"""How fine a function the pictures determine, and the states, tokens and features that follow (docs/resolution.md)."""

from dataclasses import replace

import numpy as np

from s2id.data.pictures import Pictures
from s2id.network.settings import ModelConfig, NetworkConfig
from s2id.training.settings import Preset, TrainConfig

_TOKENS = 8
"""Tokens along the long side of a state: 64 in all, which sets the time of a step."""

_PATCH = 4
"""Largest number of samples along a side of a token."""

_LATTICE = 8
"""Largest number of feature samples along a side of a token."""

_SHARE = 0.1
"""Share of the pictures that may be smaller than the data's density."""

_VISIBLE = 0.4
"""Least visibility of the finest wave of features: below it, training hardly sees what a rendering shows."""


def density_of(pictures: Pictures) -> int:
    """Pixels along the long side that nine of ten pictures have, or more."""
    sides = [max(group.images.shape[2:]) for group in pictures.groups]
    counts = [len(group.labels) for group in pictures.groups]
    return int(np.quantile(np.repeat(sides, counts), _SHARE, method="lower"))


def visibility(features: int, pixels: int) -> float:
    """Share of the finest wave that features can hold which the means over pixels show, 0 to 1.

    The finest wave has two features per period; the mean over a pixel multiplies a wave of f periods per pixel by
    sinc(f).

    Args:
        features: Feature samples along a side.
        pixels: Pixels along the same side.

    Example:
        >>> round(visibility(24, 24), 2), round(visibility(48, 24), 2)
        (0.64, 0.0)
    """
    return max(0.0, float(np.sinc(min(2.0, features / pixels) / 2)))


def for_resolution(preset: Preset, pictures: Pictures) -> Preset:
    """The preset with patch, densities and lattice where it leaves them to the data, and as it was where it does not.

    States have one sample per pixel, up to 32 along the long side, in eight tokens; features are as dense as the pixels
    or coarser.
    """
    model, train, pixels = preset.model, preset.train, density_of(pictures)
    if not isinstance(model, ModelConfig):
        return preset if train.densities else replace(preset, train=replace(train, densities=(pixels,)))
    if not model.patch:
        short = min(min(group.images.shape[2:]) for group in pictures.groups)
        model = replace(model, patch=max(1, min(round(pixels / _TOKENS), _PATCH, short)))
    patch = model.patch
    if not train.densities:
        train = replace(train, densities=(max(1, min(pixels // patch, _TOKENS)) * patch,), density_weights=())
    if not model.lattice:
        finest = max(*train.densities, train.detail_density)
        model = replace(model, lattice=max(1, min(_LATTICE, pixels * patch // finest)))
    return replace(preset, model=model, train=train)


def warning(model: NetworkConfig, train: TrainConfig, pictures: Pictures) -> str:
    """A sentence about features that the pictures do not determine; empty if there are none.

    Args:
        model: Network of the run, with patch and lattice.
        train: Settings of the run, with densities.
        pictures: The data.
    """
    pixels = density_of(pictures)
    if not isinstance(model, ModelConfig) or pictures.latents or train.pixelate:
        return ""
    patch = model.patch
    finest = min(max(*train.densities, train.detail_density), pixels // patch * patch)  # no state exceeds its picture
    features = finest * model.lattice // patch
    if visibility(features, pixels) >= _VISIBLE:
        return ""
    return (
        f"{features} features stand on {pixels} pixels along a side: training hardly sees what lies between the "
        "pixels, and a lattice will show in flat areas of enlarged pictures; leave --densities, patch and lattice to "
        f"the data, or use --set lattice={max(1, pixels * patch // finest)}."
    )
