"""Training from Python: a run whose progress is iterated over, in a folder that it can be resumed from."""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from s2id.checks import Positive, checked
from s2id.data.pictures import Pictures
from s2id.errors import InputError
from s2id.sampling.model import S2ID
from s2id.sampling.model_file import RUN_MODEL
from s2id.settings import to_dict
from s2id.training.card import like_model
from s2id.training.presets import preset_named
from s2id.training.progress import Progress, duration, rounded
from s2id.training.run import checkpoint_to_resume, checkpoints, locked, with_length_of
from s2id.training.settings import Count, Device, Preset
from s2id.training.trainer import Trainer


class Run:
    """A training run in a folder. Iterating over it trains and yields the progress after every optimiser step.

    The folder holds checkpoints and, at the end, the model. It is locked while the run is iterated over.
    """

    def __init__(self, trainer: Trainer, resume: str | Path | None = None, notes: Sequence[str] = ()) -> None:
        """A run, at its beginning or at one of its checkpoints.

        Args:
            trainer: The run in memory.
            resume: "latest" or the folder of a checkpoint to go on from; `None` begins.
            notes: What was found when the checkpoint was chosen.

        Raises:
            InputError: Another run uses the folder; it holds a run and `resume` is `None`; or it holds nothing to
                resume.
        """
        self.trainer = trainer
        with self._lock() if os.path.exists(trainer.folder) else nullcontext():  # which no name upsets
            checkpoint, found = checkpoint_to_resume(trainer.folder, resume)
            self._known = checkpoints(trainer.folder)
        self.notes = (*notes, *found)
        """What the user should know of the checkpoint, as sentences: newer ones that are damaged."""
        if checkpoint is not None:
            trainer.resume(checkpoint)
        self._progress: Progress | None = None

    def __iter__(self) -> Iterator[Progress]:
        """Train to the end, to `stop`, or for as long as the caller iterates.

        Raises:
            InputError: Another run uses the folder, or has used it since this run was made.
            DivergedError: The loss is not finite.
        """
        folder, main_process = self.trainer.folder, self.trainer.accelerator.is_main_process
        with self._lock():
            if main_process and checkpoints(folder) != self._known:
                raise InputError(f"{folder} was used by another run; resume it, or choose another folder.")
            try:
                for progress in self.trainer.run():
                    self._progress = progress
                    yield progress
            finally:
                self._known = checkpoints(folder)
            if main_process and self.trainer.done >= 1:
                self.model.save_pretrained(folder / RUN_MODEL, training=to_dict(self.trainer.config))

    def __str__(self) -> str:
        """How long the run takes: its length, and after the first steps an estimate of the time."""
        config, seen = self.trainer.config, self.trainer.images_seen
        if config.minutes is not None:
            return duration(60 * config.minutes - self.trainer.seconds)
        left = f"{config.images - seen:,} of {config.images:,} images" if seen else f"{config.images:,} images"
        if self._progress is None:
            return left
        speed = self._progress.images_per_second
        return f"{config.images:,} images, about {duration(config.images / speed)} at {rounded(speed)} images/s"

    @property
    def model(self) -> S2ID:
        """The model with the present moving average of the weights; after the last step, the trained model."""
        return self.trainer.result()

    def stop(self) -> None:
        """Ask the run to end after its present step, with a checkpoint to resume from."""
        self.trainer.stop()

    @checked
    def extend(self, minutes: Positive) -> None:
        """Make the run end so many minutes of training from now, whether it has ended or not; iterate over it again.

        The learning rate rises to that of a run as long as both parts, and falls as it does.

        Args:
            minutes: Length of the training that follows.

        Raises:
            InputError: The time is not above 0.
        """
        self.trainer.extend(minutes)

    def _lock(self) -> AbstractContextManager[None]:
        return locked(self.trainer.folder) if self.trainer.accelerator.is_main_process else nullcontext()


def begin(
    preset: Preset,
    pictures: Pictures,
    out: Path,
    *,
    start: S2ID | None = None,
    resume: str | Path | None = None,
    named: bool = False,
) -> Run:
    """A run at its beginning or at one of its checkpoints, in the length that it was begun with.

    Args:
        preset: Settings of network and training.
        pictures: The data.
        out: Folder of the run.
        start: Model whose weights the run begins with; `None` begins with random weights.
        resume: "latest", or the folder of a checkpoint, to go on from; `None` begins.
        named: Whether the length in the settings was asked for; a run that goes on then must have it.

    Raises:
        InputError: As for `train`.
    """
    checkpoint, notes = checkpoint_to_resume(out, resume)
    if checkpoint:
        preset = replace(preset, train=with_length_of(checkpoint, preset.train, named))
    return Run(Trainer(preset, pictures, out, start), checkpoint, notes)


@checked
def train(
    pictures: Pictures,
    out: Path | str,
    preset: str | Preset = "folder",
    *,
    images: Count | None = None,
    minutes: Positive | None = None,
    device: Device | None = None,
    start: S2ID | None = None,
    resume: str | Path | None = None,
) -> Run:
    """A training run, which trains while it is iterated over.

    Args:
        pictures: The data, from `s2id.pictures`.
        out: Folder of the run, for checkpoints and the model; one run uses it at a time.
        preset: Name of a preset, or settings of network and training; their data set is not read.
        images: Length of the run as a number of pictures drawn, instead of the preset's. A run that goes on keeps its
            length; `Run.extend` makes it longer.
        minutes: Length of the run as a time, instead of the preset's.
        device: Where to compute: "auto", "cpu" or "cuda". `None` is the preset's, "auto".
        start: Model whose weights the run begins with; labels of the pictures that it does not know are added to its
            own. A preset given by name then has that model's network, states and noise. `None` begins with random
            weights.
        resume: "latest", or the folder of a checkpoint, to go on from. `None` begins a run.

    Raises:
        InputError: The preset is unknown or does not fit the pictures, or the folder holds or belongs to another run.

    Example:
        >>> import tempfile
        >>> from s2id.data.registry import load_pictures
        >>> run = train(load_pictures("digits"), tempfile.mkdtemp(), "tiny", images=32, device="cpu")
        >>> print(run)
        32 images
        >>> [progress.images_seen for progress in run]
        [16, 32]
        >>> run.model.card.images_seen
        32
    """
    chosen = preset_named(preset) if isinstance(preset, str) else preset
    if start is not None and isinstance(preset, str):
        chosen = like_model(start, chosen, chosen)
    settings = chosen.train
    if images is not None:
        settings = replace(settings, images=images, minutes=None)
    if minutes is not None:
        settings = replace(settings, minutes=minutes)
    if device is not None:
        settings = replace(settings, device=device)
    named = images is not None or minutes is not None
    return begin(replace(chosen, train=settings), pictures, Path(out), start=start, resume=resume, named=named)
