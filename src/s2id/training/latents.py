"""States that are an autoencoder's latents, of which a picture has fewer than pixels. Theory: docs/latents.md.

Only the encoder is used, once per picture and before training. The network predicts the clean latents, for the solver,
and the field, whose pixels are the picture. The field head takes the place of the decoder, so a trained model draws
without the autoencoder.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float16, Float64
from torch import Tensor, nn

from s2id.coords import trained_size
from s2id.data.pictures import Group, Latents, Pictures
from s2id.errors import InputError
from s2id.files import checksum
from s2id.media.images import resize, to_float
from s2id.network.settings import ModelConfig
from s2id.shapes import Images
from s2id.training.settings import SMALLEST, Preset

_CLASSES = ("AutoencoderKL", "AutoencoderTiny")

_WEIGHTS = "diffusion_pytorch_model.safetensors"

_PICKLES = ("*.bin", "*.ckpt", "*.pt", "*.pth", "*.pkl")

_PROBE = 64
"""Side of the picture that is encoded to measure how much an autoencoder shrinks, in pixels."""

_BATCH_PIXELS = 2**18
"""Pixels that are encoded at a time."""

_CHUNK = 4096
"""Pictures whose latents are scaled at a time."""


@dataclass(frozen=True)
class Autoencoder:
    """The encoder of an autoencoder of diffusers, frozen."""

    module: nn.Module
    name: str
    """Class of the autoencoder, and SHA-256 of its weights."""
    channels: int
    """Colour channels of the pictures."""
    factor: int
    """Pixels of a picture along each side of a latent sample."""

    @torch.inference_mode()
    def encode(self, x: Images) -> Float[Tensor, "b k y x"]:
        """Latents of pictures whose sides are multiples of the factor; the mode, where they are a distribution."""
        output: Any = self.module.encode(x)  # type: ignore[operator]
        return output.latents if hasattr(output, "latents") else output.latent_dist.mode()


def load_autoencoder(folder: Path) -> Autoencoder:
    """An autoencoder from a folder that diffusers' `save_pretrained` wrote.

    Args:
        folder: Holds config.json and diffusion_pytorch_model.safetensors.

    Raises:
        InputError: diffusers is not installed, or the folder is missing, holds no such autoencoder, or holds pickles.
    """
    try:
        import diffusers
    except ImportError as error:
        raise InputError("an autoencoder needs diffusers; pip install 's2id[diffusers]' brings it.") from error
    try:
        name = json.loads((folder / "config.json").read_text())["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder} holds no autoencoder: its config.json is missing or names no class; "
            "give a folder that diffusers' save_pretrained wrote."
        ) from error
    if name not in _CLASSES:
        raise InputError(f"{folder} holds a {name}; give one of {', '.join(_CLASSES)}.")
    if not (folder / _WEIGHTS).is_file():
        pickles = sorted(path.name for kind in _PICKLES for path in folder.glob(kind))
        found = f"{pickles[0]} may be a pickle, which runs code when read" if pickles else "it is missing"
        raise InputError(f"{folder} needs {_WEIGHTS}, and {found}; save it with safe_serialization=True.")
    kind: Any = getattr(diffusers, name)
    try:
        module = kind.from_pretrained(folder, use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False)
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        first = str(error).strip().partition("\n")[0]
        raise InputError(f"{folder} cannot be read as {name} ({first}); write it anew with save_pretrained.") from error
    module = module.float().eval().requires_grad_(False)
    made = Autoencoder(module, f"{name} {checksum(module.state_dict())}", module.config.in_channels, 1)
    side = made.encode(torch.zeros(1, made.channels, _PROBE, _PROBE)).shape[2]
    return replace(made, factor=_PROBE // side)


def with_latents(pictures: Pictures, autoencoder: Autoencoder, patch: int) -> Pictures:
    """The pictures with their latents, scaled so that each channel has mean 0 and standard deviation 1 over the data.

    Before it is encoded, a picture is shrunk to a whole number of patches; no picture is enlarged.

    Args:
        pictures: The data.
        autoencoder: Autoencoder from `load_autoencoder`.
        patch: Latent samples along each side of a token.

    Raises:
        InputError: The autoencoder takes another number of channels, or a picture is smaller than a patch of latents.
    """
    if pictures.channels != autoencoder.channels:
        raise InputError(
            f"{pictures.name} has {pictures.channels} channels and the autoencoder takes {autoencoder.channels}; "
            "train an autoencoder on this data."
        )
    least, token = min((group.images.shape[2:] for group in pictures.groups), key=min), autoencoder.factor * patch
    if min(least) < token:
        raise InputError(
            f"{pictures.name} has images of {least[0]}x{least[1]} pixels, a patch of latents covers {token}x{token}, "
            "and none is enlarged; remove them or use a smaller patch or an autoencoder that shrinks less."
        )
    raw = [_latents(group, autoencoder, patch) for group in pictures.groups]
    mean, std = _moments(raw)
    for latents in raw:
        for part in latents.split(_CHUNK):
            part.copy_((part - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1))
    facts = Latents(autoencoder.name, autoencoder.factor, tuple(mean.tolist()), tuple(std.tolist()))
    groups = (replace(group, latents=latents) for group, latents in zip(pictures.groups, raw, strict=True))
    return replace(pictures, groups=tuple(groups), latents=facts)


def _moments(raw: Sequence[Float16[Tensor, "_ k _ _"]]) -> tuple[Float64[Tensor, " k"], Float64[Tensor, " k"]]:
    """Mean and standard deviation of each channel over all pictures. A constant channel has a deviation of 1e-6."""
    count, (total, square) = 0, torch.zeros(2, raw[0].shape[1], dtype=torch.float64)
    for part in (part.double() for latents in raw for part in latents.split(_CHUNK)):
        count += part[:, 0].numel()
        total += part.sum((0, 2, 3))
        square += part.square().sum((0, 2, 3))
    mean = total / count
    return mean, (square / count - mean.square()).clamp(min=1e-12).sqrt()


def _latents(group: Group, autoencoder: Autoencoder, patch: int) -> Float16[Tensor, "n k y x"]:
    """Latents of a group's pictures, not yet scaled."""
    size, factor = (group.images.shape[2], group.images.shape[3]), autoencoder.factor
    height, width = trained_size(size, max(size) // factor, patch, factor)
    batch = max(1, _BATCH_PIXELS // (size[0] * size[1]))
    parts = [
        autoencoder.encode(resize(to_float(images), (height * factor, width * factor))).half()
        for images in group.images.split(batch)
    ]
    return torch.cat(parts)


def for_latents(preset: Preset, pictures: Pictures) -> Preset:
    """The preset with states that are the pictures' latents; the preset itself if the pictures have none.

    States have the density of the latents. A sample of a state covers many pixels, so the field has one feature sample
    per 2 x 2 pixels, and `queries` counts values of the field per feature sample.

    Raises:
        InputError: The preset pixelates, or its network predicts no functions.
    """
    if pictures.latents is None:
        return preset
    if preset.train.pixelate is not None:
        raise InputError("pixelate hides the sharp pictures, and an autoencoder encodes them; use one of the two.")
    if not isinstance(preset.model, ModelConfig):
        raise InputError("latents need a network that predicts functions, and the published one does not.")
    per_sample = max(1, pictures.latents.factor // 2)
    patch = preset.model.patch or SMALLEST
    model = replace(preset.model, patch=patch, lattice=patch * per_sample)
    train = replace(
        preset.train,
        densities=(max(pictures.latent_shape[1:]),),
        density_weights=(1.0,),
        detail_density=0,
        queries=preset.train.queries * per_sample**2,
    )
    return replace(preset, model=model, train=train)
