"""What is known of a model before its weights are read: where its file lies, and what that says. Without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from os.path import isdir, isfile
from pathlib import Path
from typing import Any

from s2id.errors import InputError
from s2id.headers import fact, headed, no_file
from s2id.network.settings import EnlargerConfig, NetworkConfig, network_from_dict
from s2id.sampling.hub import fetch
from s2id.sampling.matching import check_names
from s2id.sampling.settings import Card
from s2id.settings import from_dict

BUNDLED = Path(__file__).parent / "weights"

MODEL_FILE = "model.safetensors"

RUN_MODEL = "model"
"""Name of the folder, in a training run's folder, that the trained model is written to."""

MODEL_FORMAT = "s2id-model-1"

_PICKLES = {".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin"}


class Known:
    """A model, or the header of its file: settings of its networks, and its card."""

    config: NetworkConfig
    card: Card
    guide: Any
    """The weaker network that steers it, or that one's settings; `None` if there is none."""
    renderer: Any
    """The network that draws the composed states, or that one's settings; `None` where the model's own head does."""

    def need_pixels(self, task: str) -> None:
        """Refuse a task whose states must be pictures.

        Args:
            task: Name of the task, for the message.

        Raises:
            InputError: The model's states are latents.
        """
        if self.config.latents:
            raise InputError(
                f"this model composes an autoencoder's latents, and {task} needs one that composes pixels; "
                "train one without --vae."
            )

    def need_composition(self, task: str) -> None:
        """Refuse a task that draws from noise.

        Args:
            task: Name of the task, for the message.

        Raises:
            InputError: The model only enlarges given pictures.
        """
        if not self.config.composes:
            raise InputError(f"this model enlarges given pictures, and {task} needs one that draws; use another model.")

    def need_function(self, task: str) -> None:
        """Refuse a task that needs a function between the samples of the state.

        Args:
            task: Name of the task, for the message.

        Raises:
            InputError: The model is dense: its state is the picture.
        """
        if self.config.dense:
            raise InputError(
                f"this model draws no functions but composes each size anew, and {task} needs functions; use a model "
                "with a field head."
            )

    def need_denoiser(self, task: str) -> None:
        """Refuse a task that calls the network at any time.

        Args:
            task: Name of the task, for the message.

        Raises:
            InputError: The model is distilled: it knows only the few times at which it is called to draw.
        """
        if self.card.times:
            raise InputError(
                f"a distilled model draws and does nothing else, and {task} needs more; use the model that it was "
                "distilled from."
            )


@dataclass(frozen=True)
class Header(Known):
    """What a model's file says of it."""

    config: NetworkConfig
    card: Card
    guide: NetworkConfig | None = None
    renderer: EnlargerConfig | None = None

    @classmethod
    def read(cls, path: Path) -> "Header":
        """The header of a file.

        Raises:
            InputError: The file is damaged, of another format, or no model's.
        """
        with headed(path, MODEL_FORMAT, "np") as (_, facts):
            return cls.of(path, facts)

    @classmethod
    def of(cls, path: Path, facts: Mapping[str, str]) -> "Header":
        """The facts of a file's header.

        Args:
            path: The file, for messages.
            facts: Texts by name.

        Raises:
            InputError: They are none of a model, or contradict one another.
        """

        def network(name: str) -> NetworkConfig | None:
            return network_from_dict(fact(path, facts, name), f"the {name} in {path}") if name in facts else None

        renderer = network("renderer")
        if not isinstance(renderer, EnlargerConfig | None) or (renderer and renderer.invents):
            raise InputError(f"the renderer in {path} is no network that enlarges; use the file as it was saved.")
        header = cls(
            network_from_dict(fact(path, facts, "config"), f"the config in {path}"),
            from_dict(Card, fact(path, facts, "card"), f"the card in {path}"),
            network("guide"),
            renderer,
        )
        check_names(header.config, header.card, path)
        return header


def bundled() -> list[str]:
    """Names of the models in the package."""
    return sorted(p.parent.name for p in BUNDLED.glob(f"*/{MODEL_FILE}"))


def licence(source: str) -> str | None:
    """What a bundled model's page says of its licence, and of whom its training pictures are by; `None` of others."""
    if source not in bundled():
        return None
    page = (BUNDLED / source / "README.md").read_text(encoding="utf-8")
    return " ".join(page.partition("\nLicence: ")[2].partition("\n\n")[0].split())


def located(source: str | Path) -> Path:
    """The file of a model, which is fetched if it lies on the Hugging Face Hub.

    Args:
        source: As for `load`.

    Raises:
        InputError: There is no such model, or its file may be a pickle.
    """
    path = Path(source)
    ending = path.suffix.lower()
    if str(source) in bundled():
        path = BUNDLED / str(source) / MODEL_FILE
    elif not str(source):
        raise InputError(f"the model's name is empty; bundled models are {', '.join(bundled())}.")
    elif isdir(path):  # unlike Path.is_dir, it raises no error on a name that is too long
        path = _in_folder(path)
    elif ending not in {".safetensors", *_PICKLES} and str(source).count("/") == 1 and not isdir(path.parent):
        return fetch(str(source), MODEL_FILE, bundled())
    if ending in _PICKLES:
        raise InputError(f"{source} may be a pickle, and pickles run code when read; give a .safetensors file.")
    if reason := no_file(path):
        near = get_close_matches(str(source), bundled(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"bundled models are {', '.join(bundled()) or 'none'}."
        if reason == "does not exist":
            reason = "no such file and no bundled model"
        raise InputError(f"there is no model {str(source)!r}: {reason}; {hint}")
    return path


def _in_folder(folder: Path) -> Path:
    """The model file in a folder: its own, or that of the training run which the folder belongs to.

    Raises:
        InputError: The folder holds no model, or none yet because its run has not ended.
    """
    found = [path for path in (folder / MODEL_FILE, folder / RUN_MODEL / MODEL_FILE) if isfile(path)]
    if not found and (folder / "checkpoints").is_dir():
        raise InputError(
            f"{folder} holds a run that has not ended and no model yet; train it to its end with --resume latest."
        )
    if not found:
        raise InputError(
            f"there is no model {str(folder)!r}: it is a folder without a model in it; give one with {MODEL_FILE}."
        )
    return found[0]
