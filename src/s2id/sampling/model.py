"""Models and their files: a network, a card, and perhaps a guide and a renderer, in one .safetensors file.

The file's header holds the settings of the networks, the card and a checksum; `config.json` beside it repeats these
for people and for the Hugging Face Hub. Pickles are never read.
"""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from s2id.checks import checked
from s2id.diffusion.process import Schedule
from s2id.errors import InputError
from s2id.files import check_finite, check_suffix, filled, opened, stored, write_tensors, write_text
from s2id.network.build import build
from s2id.network.enlarger import Enlarger
from s2id.network.settings import EnlargerConfig, NetworkConfig, network_to_dict
from s2id.sampling.hub import upload
from s2id.sampling.matching import check_guide
from s2id.sampling.model_file import MODEL_FILE, MODEL_FORMAT, Header, Known, located
from s2id.sampling.readme import readme
from s2id.sampling.settings import Card
from s2id.settings import to_dict

_GUIDE, _RENDERER = "guide.", "renderer."


class S2ID(Known, nn.Module):
    """A network, the card of facts that sampling needs, perhaps a weaker network as a guide, perhaps a renderer."""

    made_by: ClassVar = "s2id.load"
    """Where users have it from, for messages."""

    def __init__(
        self,
        config: NetworkConfig,
        card: Card,
        guide: NetworkConfig | None = None,
        renderer: EnlargerConfig | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.card = card
        self.network = build(config)
        self.guide = build(guide) if guide else None
        self.renderer = Enlarger(renderer) if renderer else None

    @checked
    def guided_by(self, weaker: "S2ID", autoguidance: float) -> "S2ID":
        """A copy of the model with the network of a weaker model as its guide.

        Args:
            weaker: A model of the same data and states that is smaller or less trained.
            autoguidance: Weight of autoguidance where the settings of sampling name none; 1 is off.

        Raises:
            InputError: The two models differ in data or states, or the weight is no number.
        """
        check_guide((self.config, self.card), (weaker.config, weaker.card))
        for one in (self, weaker):
            one.need_denoiser("autoguidance")
            if one.config.guided:
                raise InputError("a model that guides itself takes no guide and is none; use the one it learned from.")
        both = self._copy(replace(self.card, autoguidance=autoguidance))
        both.guide = deepcopy(weaker.network).to(self.network.stem.weight).eval().requires_grad_(False)
        return both

    @checked
    def drawn_by(self, enlarger: "S2ID") -> "S2ID":
        """A copy of the model whose composed states are drawn by a network that enlarges, in place of its own head.

        A state is a small picture. The enlarger has seen the truth of many such pictures at many sizes, so borders are
        crisp and flat colours flat where the model's own head has not learned enough.

        Args:
            enlarger: A model that enlarges, as the bundled "graphics", or another that is drawn by one.

        Raises:
            InputError: This model composes no small pictures, or the other one does not enlarge.
        """
        task = "drawing by another network"
        self.need_composition(task)
        self.need_pixels(task)
        self.need_function(task)
        network = enlarger.renderer or enlarger.network
        if not isinstance(network, Enlarger):
            raise InputError("the model to draw with does not enlarge pictures; give one that does, as graphics.")
        if network.config.invents:
            raise InputError("the model to draw with invents, and a function is one; give one that does not.")
        both = self._copy(self.card)
        both.renderer = deepcopy(network).to(self.network.stem.weight).eval().requires_grad_(False)
        return both

    @checked
    def ending_on(self, density: int, time: float) -> "S2ID":
        """A copy of the model whose sampling ends on finer states, like that of one trained with `detail_density`.

        Args:
            density: Number of samples along the long side of the finer states; a density of training.
            time: Time t, between 0 and 1, from which on the states are finer.

        Raises:
            InputError: The model has no such states, or the density is no finer.
        """
        task = "ending on finer states"
        self.need_denoiser(task)
        self.need_pixels(task)
        self.need_function(task)
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
        """A copy with weights of its own and another card."""
        copy = deepcopy(self)
        copy.card = card
        return copy.eval().requires_grad_(False)

    def tensors(self) -> dict[str, Tensor]:
        """All weights by name; those of the guide and of the renderer have prefixes."""
        found = dict(self.network.state_dict())
        for prefix, network in ((_GUIDE, self.guide), (_RENDERER, self.renderer)):
            found |= {prefix + name: tensor for name, tensor in network.state_dict().items()} if network else {}
        return found

    def facts(self) -> dict[str, Any]:
        """Settings of the networks and the card as plain values, for JSON."""
        networks = {"guide": self.guide, "renderer": self.renderer}
        more = {name: network_to_dict(network.config) for name, network in networks.items() if network}
        return {"config": network_to_dict(self.config), "card": to_dict(self.card), **more}

    @property
    def schedule(self) -> Schedule:
        """The forward process at the density that the model composes on."""
        return Schedule(self.card.schedule_s, self.card.schedule_shift)

    @property
    def device(self) -> torch.device:
        """The device that holds the weights."""
        return self.network.stem.weight.device

    @checked
    def save(self, path: Path | str, dtype: torch.dtype = torch.float32) -> None:
        """Write one .safetensors file.

        Args:
            path: The file; an old file is replaced once the new one is complete.
            dtype: Type of the numbers in the file; loading converts them to float32. `torch.int8` is the smallest: a
                byte for each weight, and a scale for each row of a matrix.

        Raises:
            InputError: The file's name does not end in .safetensors, it cannot be written, or a weight is no number.
        """
        check_suffix(Path(path), ".safetensors")
        facts = {name: json.dumps(values) for name, values in self.facts().items()}
        check_finite(self.tensors(), "the model")
        write_tensors(Path(path), stored(self.tensors(), dtype), {"format": MODEL_FORMAT, **facts})

    @checked
    def save_pretrained(
        self,
        folder: Path | str,
        dtype: torch.dtype = torch.float32,
        *,
        training: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        """Write model.safetensors, config.json and a README.md that describes the model into a folder.

        Args:
            folder: The folder, which `load` takes.
            dtype: As for `save`.
            training: Settings of the training, for README.md; `None` leaves them out.
            name: What README.md says to load: `None` is the folder.

        Raises:
            InputError: The folder cannot be written.
        """
        folder, facts = Path(folder), self.facts()
        self.save(folder / MODEL_FILE, dtype)
        parameters = sum(p.numel() for p in self.network.parameters())
        page = readme(facts, parameters, name or str(folder), training)
        for file, text in {"config.json": json.dumps(facts, indent=2) + "\n", "README.md": page}.items():
            write_text(folder / file, text)

    def push_to_hub(self, repository: str, private: bool = False) -> str:
        """Address of the model on the Hugging Face Hub, after its folder was uploaded there.

        Args:
            repository: USER/NAME; it is made if it does not exist.
            private: Whether a new repository is private.
        """
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder, name=repository)
            return upload(folder, repository, private)

    @classmethod
    def from_pretrained(cls, source: str | Path, device: str | torch.device = "cpu") -> "S2ID":
        """The model that `load` returns, under the name that packages of the Hub give this."""
        return load(source, device)

    @classmethod
    def _from_file(cls, path: Path) -> "S2ID":
        with opened(path, MODEL_FORMAT) as file:
            header = Header.of(path, file.facts)

            def make() -> S2ID:
                try:
                    return cls(header.config, header.card, header.guide, header.renderer)
                except InputError as error:
                    raise InputError(f"{path} cannot be used: {error}") from error

            model = filled(file, make, _own_name)
        return model


def _own_name(name: str) -> str:
    """Name in `S2ID.state_dict` of a tensor of a file, where the network's own tensors have no prefix."""
    return name if name.startswith((_GUIDE, _RENDERER)) else f"network.{name}"


@checked
def load(source: str | Path, device: str | torch.device = "cpu") -> S2ID:
    """A trained model, ready to sample from.

    Args:
        source: A bundled model's name, a .safetensors file, a folder that holds model.safetensors, the folder of a
            training run, or a repository of the Hugging Face Hub.
        device: Device to compute on, as for `device_named`.

    Raises:
        InputError: There is no such model or device, or the file is damaged, of another format, or a pickle.

    Example:
        >>> import s2id
        >>> model = s2id.load("mnist")
        >>> model.card.data, model.card.size
        ('mnist', (28, 28))
    """
    place = device_named(device)
    return S2ID._from_file(located(source)).to(place)


def device_named(name: str | torch.device = "auto") -> torch.device:
    """The device of a name.

    Args:
        name: "auto" is the GPU if there is one that CUDA reaches, otherwise the processor. Other names are torch's, as
            "cpu" or "cuda:1".

    Raises:
        InputError: This machine has no such device, or the device has no float64, which coordinates need.

    Example:
        >>> device_named("cpu")
        device(type='cpu')
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if str(name).partition(":")[0] == "mps":
        raise InputError("device mps has no float64, which coordinates need; use cpu.")
    try:
        return torch.empty(0, device=name, dtype=torch.float64).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise InputError(f"device {str(name)!r} is not available on this machine; use cpu.") from error
