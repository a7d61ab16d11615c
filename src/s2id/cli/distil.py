"""The commands that make a model from models: distill and guide."""

from dataclasses import dataclass, replace
from os.path import exists
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from s2id.checks import Share, Within
from s2id.cli.flags import part
from s2id.cli.options import Data, Weights, name_files, writable
from s2id.errors import InputError
from s2id.sampling.settings import Weight
from s2id.training.settings import DistillConfig, StudentConfig, TrainConfig

if TYPE_CHECKING:
    from s2id.data.pictures import Pictures
    from s2id.sampling.model import S2ID
    from s2id.training.trainer import Trainer


@dataclass(frozen=True)
class Distill:
    """Train a student that draws with fewer calls of the network what its teacher draws.

    Without --guidance-only, the student makes few steps: the teacher's trajectories are drawn first and kept in the run
    folder, and the student is trained on them. With it, the student keeps its teacher's steps, and in each of them one
    call gives what guidance and the teacher's guide need up to four calls for, at any --guidance from 1 to 5.
    """

    weights: tyro.conf.Positional[Weights] = "mnist"
    data: Data = None
    out: Path = Path("out/distilled")
    """Run folder: trajectories, checkpoints, metrics and the model."""
    resume: str | None = None
    """Go on with a run: "latest", or the path of one of its checkpoints. None: begin a new run; trajectories that the
    folder holds are used again in any case."""
    guidance_only: bool = False
    """Learn guidance and autoguidance, and leave the number of steps free. Of the teacher's settings only
    --autoguidance has a meaning then."""
    distill: DistillConfig = part(DistillConfig(), omit=("eta", "density", "restarts"))
    train: StudentConfig = part(StudentConfig())

    def run(self) -> int:
        """Draw trajectories if the student needs any, and train."""
        from s2id.sampling.model import load
        from s2id.sampling.training_data import load_data_of
        from s2id.training.train import Run
        from s2id.training.watch import drive

        others = replace(self.distill, sampling=replace(self.distill.sampling, autoguidance=None))
        several = self.train.supersample != StudentConfig.supersample
        if self.guidance_only and (others != DistillConfig() or several):
            raise InputError(
                "with --guidance-only, a student learns every step and every weight of guidance from single values of "
                "the function; of --autoguidance, supersample and how the teacher samples, give --autoguidance alone."
            )
        teacher = load(self.weights, self.train.device)
        pictures = load_data_of(teacher, self.data, weights=self.weights)
        trainer = (self._guided if self.guidance_only else self._few_calls)(teacher, pictures)
        return drive(Run(trainer, self.resume))

    def _guided(self, teacher: "S2ID", pictures: "Pictures") -> "Trainer":
        """The run of a student that guides itself."""
        from s2id.sampling.resolving import autoguidance_of
        from s2id.training.guided import check_guided_teacher, guided_trainer
        from s2id.training.run import checkpoint_to_resume

        check_guided_teacher(teacher, pictures)
        autoguidance = autoguidance_of(teacher, self.distill.sampling.autoguidance)
        writable(self.out)
        checkpoint_to_resume(self.out, self.resume)
        return guided_trainer(teacher, pictures, autoguidance, self.train, self.out)

    def _few_calls(self, teacher: "S2ID", pictures: "Pictures") -> "Trainer":
        """The run of a student that draws in few calls, after its teacher's trajectories are drawn."""
        from tqdm import tqdm

        from s2id.training.distil import check_teacher, draw_trajectories, load_trajectories, student_trainer
        from s2id.training.run import checkpoint_to_resume

        check_teacher(teacher, pictures, self.distill)
        writable(self.out)
        checkpoint_to_resume(self.out, self.resume)
        folder = self.out / "trajectories"
        with tqdm(total=self.distill.pairs, unit="trajectory") as bar:
            for count in draw_trajectories(teacher, pictures, self.distill, self.train, folder):
                bar.update(count - bar.n)
        drawn = load_trajectories(folder, self.distill.pairs)
        return student_trainer(teacher, pictures, drawn, self.distill, self.train, self.out)


@dataclass(frozen=True)
class Guide:
    """Join a model and a weaker one in one file, for autoguidance: sampling moves away from the weaker one's errors.

    The weaker model, the guide, is trained like the model, but is smaller or has seen fewer images.
    """

    weights: tyro.conf.Positional[Weights]
    weaker: tyro.conf.Positional[str]
    """The guide: a bundled model's name, a .safetensors file, a folder that holds one, or a Hub repository."""
    out: Path
    """Folder for the joined model, which every command takes as weights."""
    autoguidance: Weight = 2.0
    """Weight of autoguidance where sampling names no other: 1 is off, more moves further away from the guide."""
    detail_density: Annotated[int, Within(0, 2**13)] = 0
    """Samples along the long side of the state that sampling ends on, a density that both models were trained on. 0:
    sampling ends as the model does."""
    detail_time: Share | None = None
    """Time t, from 0 (picture) to 1 (noise), below which the state has --detail-density samples. None: 0.25, as in
    training."""

    def run(self) -> int:
        """Join the two models and write the file."""
        from s2id.sampling.model import load
        from s2id.sampling.model_file import MODEL_FILE, RUN_MODEL

        holds = (self.out / name for name in (MODEL_FILE, RUN_MODEL, "checkpoints"))
        if any(exists(path) for path in holds):
            raise InputError(f"{self.out} already holds a model or a training run; choose another --out, or remove it.")
        if self.detail_time is not None and not self.detail_density:
            raise InputError("--detail-time says when states become finer; say how fine with --detail-density.")
        both = load(self.weights).guided_by(load(self.weaker), self.autoguidance)
        if self.detail_density:
            time = TrainConfig.detail_time if self.detail_time is None else self.detail_time
            both = both.ending_on(self.detail_density, time)
        writable(self.out)
        both.save_pretrained(self.out)
        name_files([self.out / name for name in ("model.safetensors", "config.json")])
        return 0
