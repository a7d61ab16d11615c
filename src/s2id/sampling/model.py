"""Weights and files: a model is a network, its card and perhaps a guide, in one .safetensors file or a Hub folder.

The file's header holds configs, card and a checksum; `config.json` beside it says the same to people and to the Hub.
No pickle is read.
"""

import json
import math
from copy import deepcopy
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from torch import Tensor, nn

from s2id.diffusion.process import Schedule
from s2id.errors import InputError
from s2id.files import fill, read_tensors, write_tensors
from s2id.memory import keep_memory
from s2id.network.build import build
from s2id.network.settings import DATA_FIELDS, NetworkConfig, network_from_dict, network_to_dict
from s2id.sampling.settings import Card
from s2id.settings import from_dict, to_dict

BUNDLED = Path(__file__).parent / "weights"

MODEL_FILE = "model.safetensors"

_MODEL_FORMAT = "s2id-model-1"

_GUIDE = "guide."

_PICKLES = {".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin"}


class S2ID(nn.Module, PyTorchModelHubMixin, library_name="s2id", tags=["diffusion", "arbitrary-resolution"]):
    """A network and the facts that sampling from it needs; perhaps a weaker network, to be guided by."""

    def __init__(self, config: NetworkConfig, card: Card, guide: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config
        self.card = card
        self.network = build(config)
        self.guide = build(guide) if guide else None

    def guided_by(self, weaker: "S2ID", autoguidance: float) -> "S2ID":
        """The model with another one's network as its guide.

        Args:
            weaker: A model of the same data and states, smaller or less trained.
            autoguidance: Weight of autoguidance where sampling is not told another; 1 is off.

        Raises:
            InputError: The two do not draw the same things on the same states, or the weight is no number.
        """
        if not math.isfinite(autoguidance):
            raise InputError(f"autoguidance is {autoguidance:g}; it must be a number.")
        mine, theirs = _alike(self), _alike(weaker)
        if wrong := [name for name in mine if mine[name] != theirs[name]]:
            raise InputError(
                f"the guide has {wrong[0]} {theirs[wrong[0]]} and the model {mine[wrong[0]]}; train the guide as "
                "the model, only smaller or shorter."
            )
        if self.config.patch % weaker.config.patch:
            raise InputError(
                f"the guide's patch is {weaker.config.patch} and the model's {self.config.patch}; it must divide it."
            )
        if self.config.patch * weaker.config.lattice != weaker.config.patch * self.config.lattice:
            raise InputError(
                f"the guide's lattice is {weaker.config.lattice} in a patch of {weaker.config.patch} and the model's "
                f"{self.config.lattice} in one of {self.config.patch}; both must be as dense."
            )
        for one in (self, weaker):
            check_denoises(one)
        both = self._copy(replace(self.card, autoguidance=autoguidance))
        both.guide = deepcopy(weaker.network).to(self.network.stem.weight).eval().requires_grad_(False)
        return both

    def ending_on(self, density: int, time: float) -> "S2ID":
        """A copy whose sampling ends on finer states, as training with `detail_density` makes one.

        Args:
            density: Samples along the long side of those states; a density that training saw.
            time: t from which on states are so fine, above 0 and below 1.

        Raises:
            InputError: The states cannot be so, or are no finer.
        """
        check_denoises(self)
        self.need_pixels("ending on finer states")
        if self.config.dense:
            raise InputError("this model draws no functions, so it has no finer states to end on; leave detail out.")
        most = max(self.card.size) if self.card.size else density
        if density % self.config.patch or not self.card.density < density <= most:
            raise InputError(
                f"the density to end on is {density}; it must be a multiple of the patch {self.config.patch}, more "
                f"than the model's {self.card.density} and no more than its pictures' pixels."
            )
        if not 0 < time < 1:
            raise InputError(f"the time to end on finer states from is {time:g}; it must lie between 0 and 1.")
        return self._copy(replace(self.card, detail_density=density, detail_time=time))

    def _copy(self, card: Card) -> "S2ID":
        """The same weights, of their own, with another card."""
        copy = deepcopy(self)
        copy.card = card
        return copy.eval().requires_grad_(False)

    def tensors(self) -> dict[str, Tensor]:
        """All weights: the network's by name, the guide's with a prefix."""
        guides = self.guide.state_dict() if self.guide else {}
        return {**self.network.state_dict(), **{_GUIDE + name: tensor for name, tensor in guides.items()}}

    def facts(self) -> dict[str, Any]:
        """Configs and card as plain values, for JSON."""
        guide = {"guide": network_to_dict(self.guide.config)} if self.guide else {}
        return {"config": network_to_dict(self.config), "card": to_dict(self.card), **guide}

    @property
    def schedule(self) -> Schedule:
        """The forward process at the density that the model composes on."""
        return Schedule(self.card.schedule_s, self.card.schedule_shift)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.stem.weight.device

    def need_pixels(self, task: str) -> None:
        """Refuse a task that takes states for pictures.

        Raises:
            InputError: The states are latents.
        """
        if self.config.latents:
            raise InputError(
                f"this model composes an autoencoder's latents, and {task} needs one that composes pixels; "
                "train one without --vae."
            )

    def save(self, path: Path | str, dtype: torch.dtype = torch.float32) -> None:
        """Write one .safetensors file.

        Args:
            path: The file; an old one is replaced when the new one is complete.
            dtype: Of the numbers in the file; loading makes them float32 again.
        """
        facts = {name: json.dumps(values) for name, values in self.facts().items()}
        tensors = {k: v.detach().to(dtype) for k, v in self.tensors().items()}
        write_tensors(Path(path), tensors, {"format": _MODEL_FORMAT, **facts})

    def write(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        """Write model.safetensors and config.json into a folder; `dtype` as for `save`."""
        self.save(folder / MODEL_FILE, dtype)
        (folder / "config.json").write_text(json.dumps(self.facts(), indent=2) + "\n")

    def _save_pretrained(self, save_directory: Path) -> None:
        self.write(save_directory)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        map_location: str = "cpu",
        **_: Any,  # noqa: ANN401  (the mixin passes what it read from config.json)
    ) -> "S2ID":
        path = Path(model_id) / MODEL_FILE
        if not Path(model_id).is_dir():
            path = _fetch(
                model_id,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                token=token,
                local_files_only=local_files_only,
            )
        return cls._from_file(path).to(map_location)

    @classmethod
    def _from_file(cls, path: Path) -> "S2ID":
        tensors, facts = read_tensors(path, _MODEL_FORMAT)
        model = cls(
            network_from_dict(json.loads(facts["config"]), f"the config in {path}"),
            from_dict(Card, json.loads(facts["card"]), f"the card in {path}"),
            network_from_dict(json.loads(facts["guide"]), f"the guide in {path}") if "guide" in facts else None,
        )
        fill(model, {k if k.startswith(_GUIDE) else f"network.{k}": v for k, v in tensors.items()}, path)
        return model.eval().requires_grad_(False)


def check_denoises(model: S2ID) -> None:
    """Refuse a model that knows only the few states it draws with.

    Raises:
        InputError: The model is distilled.
    """
    if model.card.times:
        raise InputError("a distilled model draws and does nothing else; use the one that it was distilled from.")


def _alike(model: S2ID) -> dict[str, object]:
    """What a model and its guide must have in common: what they draw, and the states they draw it on."""
    config, card = model.config, model.card
    of_card = (
        "labels", "attributes", "numbers", "number_ranges", "density", "size", "schedule_s", "schedule_shift",
        "autoencoder",
    )  # fmt: skip
    names = {
        f"names of {name}" if name in ("labels", "attributes", "numbers") else name: getattr(card, name)
        for name in of_card
    }
    return {**{name: getattr(config, name) for name in (*DATA_FIELDS, "network")}, **names}


def bundled() -> list[str]:
    """Names of the models in the package."""
    return sorted(p.parent.name for p in BUNDLED.glob(f"*/{MODEL_FILE}"))


def load(source: str | Path, device: str | torch.device = "cpu") -> S2ID:
    """A model, ready to sample from.

    Args:
        source: A bundled model's name, a .safetensors file, a folder that holds model.safetensors, or a Hub repository.
        device: Where to put it.

    Raises:
        InputError: There is no such model, or its file is damaged, of another format or a pickle.
    """
    keep_memory()
    path = Path(source)
    if str(source) in bundled():
        path = BUNDLED / str(source) / MODEL_FILE
    elif path.is_dir():
        path = path / MODEL_FILE
    elif not path.suffix and str(source).count("/") == 1 and not path.parent.is_dir():
        return S2ID._from_file(_fetch(str(source))).to(device)
    if path.suffix in _PICKLES:
        raise InputError(f"{source} may be a pickle, and pickles run code when read; give a .safetensors file.")
    if not path.is_file():
        near = get_close_matches(str(source), bundled(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"bundled models are {', '.join(bundled()) or 'none'}."
        raise InputError(f"there is no model {str(source)!r}: no such file and no bundled model; {hint}")
    return S2ID._from_file(path).to(device)


def _fetch(repository: str, **options: Any) -> Path:  # noqa: ANN401  (the Hub client's own)
    """The model file of a Hub repository, downloaded or from the Hub's cache.

    Raises:
        InputError: It is not to be had.
    """
    try:
        return Path(hf_hub_download(repository, MODEL_FILE, **options))
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise InputError(
            f"{repository!r} is neither a file here nor to be had from the Hub; give a bundled model's "
            f"name ({', '.join(bundled())}), a .safetensors file or a folder that holds {MODEL_FILE}."
        ) from error
