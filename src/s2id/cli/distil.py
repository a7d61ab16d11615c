"""The commands that make a model of models. torch is imported inside them, so that help is there at once."""

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from s2id.cli.options import data_set, long_side, name_files, writable
from s2id.errors import InputError
from s2id.training.follow import drive
from s2id.training.run import checkpoints_of
from s2id.training.settings import DistillConfig, TrainConfig

_TRAINING = TrainConfig(
    minutes=20.0,
    optimiser="adamw",
    lr=3e-4,
    weight_decay=0.0,
    ema=0.99,
    supersample=(2,),
    queries=8.0,
    sample_minutes=0.0,
)


@dataclass(frozen=True)
class Guide:
    """Give a model a weaker one as its guide: what it draws moves away from what the weaker one would draw."""

    weights: tyro.conf.Positional[str]
    """The model: a bundled model's name, a .safetensors file, a folder that holds one, or a Hub repository."""
    weaker: tyro.conf.Positional[str]
    """The guide, likewise: trained as the model, but smaller or shorter."""
    out: Path
    """Folder for the model with its guide, which all commands take as weights."""
    autoguidance: float = 2.0
    """How far to move away where sampling is not told another weight; 1 is not at all."""
    detail_density: int = 0
    """End sampling on a state of so many samples, a density that both trainings saw; 0 ends as the model does."""
    detail_time: float | None = None
    """t from which on the state is so fine; 0.25, as in training, if not given."""

    def run(self) -> int:
        """Join the two."""
        from s2id.sampling.model import load

        if self.detail_time is not None and not self.detail_density:
            raise InputError("--detail-time is from when on states are finer; say how fine with --detail-density.")
        both = load(self.weights).guided_by(load(self.weaker), self.autoguidance)
        if self.detail_density:
            both = both.ending_on(
                self.detail_density, TrainConfig.detail_time if self.detail_time is None else self.detail_time
            )
        writable(self.out)
        both.write(self.out)
        name_files([self.out / name for name in ("model.safetensors", "config.json")])
        return 0


@dataclass(frozen=True)
class Distill:
    """Teach a model to do in a few calls what it does in many: its trajectories first, then the training."""

    weights: tyro.conf.Positional[str] = "mnist"
    """The teacher: a bundled model's name, a .safetensors file, a folder that holds one, or a Hub repository."""
    data: Path | None = None
    """Folder of the data the teacher was trained on: its labels are asked for. Found or downloaded if not given."""
    out: Path = Path("out/distilled")
    """Run folder: trajectories, checkpoints, metrics, the model."""
    resume: str | None = None
    """"latest", or one of the run's checkpoint folders. Trajectories that are there are kept in any case."""
    distill: tyro.conf.OmitArgPrefixes[DistillConfig] = field(default_factory=DistillConfig)
    train: tyro.conf.OmitArgPrefixes[TrainConfig] = _TRAINING

    def run(self) -> int:
        """Draw trajectories and train."""
        from tqdm import tqdm

        from s2id.data.registry import load_pictures
        from s2id.sampling.model import load
        from s2id.training.distil import check_teacher, draw_trajectories, load_trajectories, student

        teacher = load(self.weights)
        name, place = data_set(teacher.card, self.weights, self.data)
        pictures = load_pictures(name, place, long_side=long_side(teacher.card), min_side=teacher.config.patch)
        check_teacher(teacher, pictures, self.distill)
        writable(self.out)
        checkpoints_of(self.out, self.resume)
        folder = self.out / "trajectories"
        with tqdm(total=self.distill.pairs, unit="trajectory") as bar:
            for count in draw_trajectories(teacher, pictures, self.distill, self.train, folder):
                bar.update(count - bar.n)
        drawn = load_trajectories(folder, self.distill.pairs)
        return drive(student(teacher, pictures, drawn, self.distill, self.train, self.out), self.out, self.resume)
