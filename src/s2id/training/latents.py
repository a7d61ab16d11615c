"""States that are an autoencoder's latents: composed are few samples, drawn are pixels. Theory: docs/latents.md.

The encoder alone is used, once per picture and before training. The network says the clean latents, for the solver, and
the function of the pixels; the field head takes the decoder's place, so a model needs no autoencoder to draw.
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
from s2id.images import resize, to_float
from s2id.network.settings import ModelConfig
from s2id.shapes import Images
from s2id.training.settings import Preset

_CLASSES = ("AutoencoderKL", "AutoencoderTiny")

_WEIGHTS = "diffusion_pytorch_model.safetensors"

_PICKLES = ("*.bin", "*.ckpt", "*.pt", "*.pth", "*.pkl")

_PROBE = 64

_BATCH_PIXELS = 2**18

_CHUNK = 4096


@dataclass(frozen=True)
class Autoencoder:
    """One of diffusers' autoencoders, as what it makes of pictures."""

    module: nn.Module
    name: str
    """Its class and the SHA-256 of its weights."""
    channels: int
    """Of the pictures."""
    factor: int
    """Pixels per side of a latent sample."""

    @torch.inference_mode()
    def encode(self, x: Images) -> Float[Tensor, "b k y x"]:
        """Latents of pictures whose sides are multiples of the factor; where they are a distribution, its mode."""
        said: Any = self.module.encode(x)  # type: ignore[operator]
        return said.latents if hasattr(said, "latents") else said.latent_dist.mode()


def load(folder: Path) -> Autoencoder:
    """An autoencoder as diffusers writes it: config.json and .safetensors.

    Raises:
        InputError: diffusers is not installed, or the folder is missing, holds none of its autoencoders, or pickles.
    """
    try:
        import diffusers
    except ImportError as error:
        raise InputError("an autoencoder needs diffusers; pip install 's2id[diffusers]' brings it.") from error
    try:
        name = json.loads((folder / "config.json").read_text())["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder} holds no autoencoder: its config.json is missing or does not say a class; "
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


def encoded(pictures: Pictures, autoencoder: Autoencoder, patch: int) -> Pictures:
    """The pictures with their latents, each channel of mean 0 and standard deviation 1 over the data.

    A picture is shrunk to whole patches of latents first; none is enlarged.

    Args:
        pictures: The data.
        autoencoder: From `load`.
        patch: Latent samples per token side.

    Raises:
        InputError: The pictures have other channels than the autoencoder's, or are smaller than a patch of latents.
    """
    if pictures.channels != autoencoder.channels:
        raise InputError(
            f"{pictures.name} has {pictures.channels} channels and the autoencoder takes {autoencoder.channels}; "
            "train one of the data's own."
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
    """Mean and standard deviation of each channel over all pictures; of one that never varies, all but nothing."""
    count, (total, square) = 0, torch.zeros(2, raw[0].shape[1], dtype=torch.float64)
    for part in (part.double() for latents in raw for part in latents.split(_CHUNK)):
        count += part[:, 0].numel()
        total += part.sum((0, 2, 3))
        square += part.square().sum((0, 2, 3))
    mean = total / count
    return mean, (square / count - mean.square()).clamp(min=1e-12).sqrt()


def _latents(group: Group, autoencoder: Autoencoder, patch: int) -> Float16[Tensor, "n k y x"]:
    """What the autoencoder says of a group's pictures."""
    size, factor = (group.images.shape[2], group.images.shape[3]), autoencoder.factor
    height, width = trained_size(size, max(size) // factor, patch, factor)
    batch = max(1, _BATCH_PIXELS // (size[0] * size[1]))
    parts = [
        autoencoder.encode(resize(to_float(images), (height * factor, width * factor))).half()
        for images in group.images.split(batch)
    ]
    return torch.cat(parts)


def on_latents(preset: Preset, pictures: Pictures) -> Preset:
    """The preset for states that are the pictures' latents; as it is where they have none.

    States are as dense as the latents. A state sample stands for many pixels, so the function has a feature sample per
    two of them, and `queries` counts head samples per feature sample.

    Raises:
        InputError: The preset sees pictures as observations, or its network predicts no functions.
    """
    if pictures.latents is None:
        return preset
    if preset.train.observe is not None:
        raise InputError("observe sees pictures only as observations and an autoencoder sees them whole; use one.")
    if not isinstance(preset.model, ModelConfig):
        raise InputError("latents need a network that predicts functions, and the published one does not.")
    per_sample = max(1, pictures.latents.factor // 2)
    model = replace(preset.model, lattice=preset.model.patch * per_sample)
    train = replace(
        preset.train,
        densities=(max(pictures.latent_shape[1:]),),
        density_weights=(1.0,),
        detail_density=0,
        queries=preset.train.queries * per_sample**2,
    )
    return replace(preset, model=model, train=train)
