"""The command that trains a model."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from s2id.checks import Positive
from s2id.cli.flags import Help, part
from s2id.cli.options import could_write, writable
from s2id.errors import InputError
from s2id.network.settings import DATA_FIELDS, ModelConfig, NetworkConfig, network_to_dict
from s2id.settings import setting, to_dict
from s2id.training.presets import PRESETS, preset_named
from s2id.training.settings import SMALLEST, TrainConfig

if TYPE_CHECKING:
    from s2id.training.train import Run

_FINER = 8
"""Most pixels of finer pictures along a pixel of the data."""

_PRESET = f"Named run, whose settings the other flags change: {', '.join(PRESETS)}."


@dataclass(frozen=True)
class Train:
    """Train a model: `s2id train PRESET --help` shows the preset's settings.

    The run folder receives checkpoints, metrics.jsonl, sheets of samples and, at the end, model/, which `s2id sample`
    takes. Ctrl-C stops the run with a checkpoint, from which --resume latest goes on.
    """

    preset: tyro.conf.Positional[Annotated[str, Help(_PRESET, metavar="PRESET")]]
    data: Path | None = None
    """Folder of the data: the standard files of the preset's data set, or pictures in a subfolder per class or with a
    metadata.csv. For the preset hub: the data set's name on the Hugging Face Hub. None: looked for in ./data, else
    downloaded."""
    out: Path = Path("out/run")
    """Run folder."""
    vae: Path | None = None
    """Folder of a diffusers autoencoder (config.json and .safetensors), in whose latents the model then composes. None:
    the model composes in pixels."""
    resume: str | None = None
    """Go on with a run, in the length it was begun with: "latest", or the path of one of its checkpoints. None: begin a
    new run."""
    extra_minutes: Positive | None = None
    """Go on with a run for so many minutes from now, whether it has ended or not; from the latest checkpoint, if
    --resume names none. The learning rate rises to that of a run of both lengths and falls again. None: the run's own
    length."""
    init: str | None = None
    """Model to begin with: a bundled name, a file, a folder or a Hub repository. Settings of the network, its states
    and its noise are that model's where the preset's are left as they are, and labels of the data that it does not
    know are added to its own. None: random weights."""
    finer: str | None = setting(None, "data")
    """Finer pictures of another source, from which the model learns what lies between the pixels: NAME:FOLDER, with
    the name of a data set, e.g. ink:fonts, or NAME alone for the folder of --data. They are read with up to eight times
    as many pixels a side. None: the data alone."""
    dry_run: bool = False
    """Read the data, check everything, print all settings and what the data decide as JSON, and stop."""
    train: TrainConfig = part(TrainConfig())
    model: NetworkConfig = part(ModelConfig(), group="network", omit=(*DATA_FIELDS, "most_guidance"))

    @classmethod
    def default(cls, words: Sequence[str]) -> "Train | None":
        """The command with a preset's settings; `None` if the words ask for help without naming a preset.

        Raises:
            InputError: There is no such preset, or none is named.
        """
        name = words[0] if words and not words[0].startswith("-") else None
        if name is None:
            if {"-h", "--help", "--help-all"} & set(words):
                return None
            raise InputError(f"train needs a preset; choose {', '.join(PRESETS)}.")
        preset = preset_named(name)
        return cls(name, out=Path("out") / name, train=preset.train, model=preset.model)

    def run(self) -> int:
        """Train to the end, or print what the run would be."""
        from s2id.data.pictures import with_finer
        from s2id.data.registry import load_pictures
        from s2id.sampling.model import load as load_model
        from s2id.training.card import like_model
        from s2id.training.latents import load_autoencoder, with_latents
        from s2id.training.train import begin
        from s2id.training.watch import drive

        own = PRESETS[self.preset]
        start = load_model(self.init) if self.init else None
        preset = replace(own, train=self.train, model=self.model)
        if start:
            preset = like_model(start, preset, own)
        train, patch = preset.train, preset.model.patch or SMALLEST
        resume = self.resume or (None if self.extra_minutes is None else "latest")
        alpha = train.alpha or (start.card.alpha if start else None)
        pictures = load_pictures(
            preset.data, self.data, long_side=train.long_side, min_side=patch, alpha=alpha, workers=train.workers
        )
        if self.finer:
            name, _, folder = self.finer.partition(":")
            place, side = Path(folder) if folder else self.data, _FINER * max(pictures.size)
            finer = load_pictures(name, place, long_side=side, alpha=pictures.alpha, workers=train.workers)
            pictures = with_finer(pictures, finer)
        if self.vae:
            # the autoencoder is gone when training begins: its latents are enough
            pictures = with_latents(pictures, load_autoencoder(self.vae), patch)
        if train.minutes is not None and train.images != own.train.images:
            raise InputError("--images and --minutes both say how long the run is; give one of them.")
        named = (train.images, train.minutes) != (own.train.images, own.train.minutes)
        run = begin(preset, pictures, self.out, start=start, resume=resume, named=named)
        if self.extra_minutes is not None:
            run.extend(self.extra_minutes)
        if self.dry_run:
            could_write(self.out)
            print(json.dumps(self._resolved(run), indent=2))
            return 0
        writable(self.out)
        return drive(run)

    def _resolved(self, run: "Run") -> dict[str, Any]:
        """The run with what its data decide, as values for JSON."""
        from s2id.data.summary import summary
        from s2id.training.watch import warnings

        trainer = run.trainer
        given = {"folder": self.data, "vae": self.vae, "out": self.out}
        return {
            "preset": self.preset,
            **{name: None if path is None else str(path) for name, path in given.items()},
            "data": summary(trainer.pictures),
            "finer": None if trainer.pictures.finer is None else summary(trainer.pictures.finer),
            "looks like pixel art": trainer.task.palette is not None,
            "warnings": warnings(trainer),
            "model": network_to_dict(trainer.model),
            "train": to_dict(trainer.config),
        }
