"""What the command line shows of a run: a bar, metrics as JSON lines, sheets of samples, TensorBoard."""

import json
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from s2id import stopping
from s2id.condition import Condition
from s2id.data.pictures import Pictures
from s2id.errors import InputError
from s2id.files import replacing, writing
from s2id.media.images import write
from s2id.media.sheets import sheet
from s2id.names import alike, needing_quotes, printable
from s2id.sampling.conditions import ask, describe
from s2id.sampling.model import S2ID
from s2id.sampling.rare import rare
from s2id.sampling.sample import sample
from s2id.settings import to_dict
from s2id.shapes import NULL
from s2id.training.optimisers import learning_rate
from s2id.training.progress import Progress
from s2id.training.resolution import warning
from s2id.training.train import Run
from s2id.training.trainer import DivergedError, Trainer
from s2id.training.windows import enlarged_windows

_NAMED = 20
"""Number of skipped files that are named one by one."""

_TIMED = 4
"""Number of steps after which the time that the run will take is printed."""


def watch(run: Run) -> Iterator[Progress]:
    """The progress of a run, shown as a bar and written as metrics, sheets of samples and, if asked, to TensorBoard.

    Raises:
        InputError: TensorBoard is asked for and not installed, or a file cannot be written; the run then stops with a
            checkpoint first.
    """
    trainer = run.trainer
    first, failed = trainer.step, None
    with ExitStack() as stack:
        record = _Record(trainer, stack)
        bar = stack.enter_context(tqdm(total=100, bar_format="{l_bar}{bar}| {elapsed}{postfix}", mininterval=1))
        for progress in run:
            _show(bar, progress)
            if progress.step - first == _TIMED:
                tqdm.write(f"length of this run: {run}")
            try:
                record.add(progress)
            except InputError as error:
                failed = error
                run.stop()
            yield progress
    if failed:
        raise InputError(f"{failed} The run has stopped with a checkpoint; --resume latest goes on.") from failed


class _Record:
    """What is written of a run while it is trained: metrics, sheets of samples and, if asked, TensorBoard's files."""

    def __init__(self, trainer: Trainer, stack: ExitStack) -> None:
        """A record that goes on after the present checkpoint; `stack` closes its files."""
        self.trainer, self.drawn = trainer, time.monotonic()
        self.board = stack.enter_context(_board(trainer.folder)) if trainer.config.tensorboard else None
        self.path = trainer.folder / "metrics.jsonl"
        with writing(self.path):
            if lost := _cut(self.path, trainer.images_seen):
                print(f"note: {lost} lines of {self.path} are no metrics and were left out; {_kept(self.path)} has all")
            self.metrics = stack.enter_context(open(self.path, "ab", buffering=0))

    def add(self, progress: Progress) -> None:
        """Write what is due after a step.

        Raises:
            InputError: A file cannot be written.
        """
        config, folder = self.trainer.config, self.trainer.folder
        with writing(self.path):
            self.metrics.write(json.dumps(to_dict(progress)).encode() + b"\n")
        if self.board is not None:
            with writing(folder / "tensorboard"):
                for name in ("loss", "lr", "gradient_norm", "images_per_second"):
                    self.board.add_scalar(name, getattr(progress, name), progress.images_seen)
        due = progress.done >= 1 or time.monotonic() - self.drawn > 60 * config.sample_minutes
        if config.sample_minutes and due:
            _draw_sheet(self.trainer, folder / "samples" / f"{progress.images_seen:012d}.png")
            self.drawn = time.monotonic()


def _show(bar: Any, progress: Progress) -> None:  # noqa: ANN401  (tqdm has no types)
    left = tqdm.format_interval(max(0.0, progress.seconds_left))
    bar.set_postfix_str(
        f"{left} left, loss {progress.loss:.4f}, lr {progress.lr:.1e}, {progress.images_per_second:.0f} images/s",
        refresh=False,
    )
    bar.update(100 * progress.done - bar.n)


def _cut(path: Path, images_seen: int) -> int:
    """Number of lines of a file of metrics that were none, such as the last one of a killed run.

    They are left out, as are lines from after the checkpoint that the run goes on from. A file with such lines is kept
    under another name.
    """
    if not path.is_file():
        return 0
    lost = 0
    with open(path, "rb") as old, replacing(path) as new:
        for line in old:
            seen = _images_seen(line)
            lost += seen is None
            if seen is not None and seen <= images_seen:
                new.write(line)
        if lost:
            shutil.copyfile(path, _kept(path))
    return lost


def _kept(path: Path) -> Path:
    return path.with_name(f"{path.name}.damaged")


def _images_seen(line: bytes) -> int | float | None:
    """Pictures that a line of metrics was written after; `None` if it is no such line."""
    try:
        seen = json.loads(line)["images_seen"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return seen if line.endswith(b"\n") and type(seen) in (int, float) else None


def _draw_sheet(trainer: Trainer, path: Path) -> None:
    """Write a sheet of samples: fixed seeds for each of the first ten classes, at the data's size.

    A model that enlarges shows windows, its pictures of them, and the truth. Without classes, the pictures have no
    condition, and then each of the first nine attributes. Where words are known, the pictures have the words and
    classes of ten pictures of the data instead.
    """
    model = trainer.result().to(trainer.accelerator.device)
    if not model.config.composes:
        write(path, enlarged_windows(model, trainer.pictures, trainer.config))
        return
    counted = zip(trainer.pictures.labels, trainer.pictures.label_counts, strict=True)
    names: list[str] = [name for name, count in counted if count][:10]
    labels: list[str | Condition | None] = [*names]
    if model.card.words:
        names, labels = _of_the_data(model, trainer.pictures)
    elif not names:
        names = ["", *model.card.attributes[:9]]
        labels = [None, *(ask(model, attributes={name: True}) for name in names[1:])]
    seeds = range(8 if len(labels) > 1 else 16)
    drawn = sample(
        model, [label for label in labels for _ in seeds], list(seeds) * len(labels), guidance=1.0
    )  # fmt: skip
    captions = [", ".join(filter(None, (name, f"seed {seed}"))) for name in names for seed in seeds]
    write(path, sheet(drawn.render(trainer.pictures.size), captions, per_row=len(seeds)))


def _of_the_data(model: S2ID, pictures: Pictures) -> tuple[list[str], list[str | Condition | None]]:
    """Classes and words of ten pictures of the data, evenly spread, as captions and as conditions."""
    group = max(pictures.groups, key=lambda group: len(group.labels))
    count = len(group.labels)
    known = group.condition(torch.arange(0, count, -(-count // 10)))
    asked = Condition(known.label, words=known.words)
    classes = [model.card.labels[i] if i != NULL and model.card.labels else "" for i in known.label.tolist()]
    names = [" ".join(filter(None, pair)) for pair in zip(classes, describe(model, asked), strict=True)]
    return names, [*asked.split(1)]


def _board(folder: Path) -> Any:  # noqa: ANN401  (an optional package's class)
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError("tensorboard needs TensorBoard; pip install 's2id[track]' brings it.") from error
    return SummaryWriter(str(folder / "tensorboard"))


def warnings(trainer: Trainer) -> list[str]:
    """Sentences about what a run will not learn well, and about names that are not asked for as they stand.

    Features between the pixels and classes of few pictures are learnt badly.
    """
    doubt = warning(trainer.model, trainer.config, trainer.pictures)
    asked = [sentence for names in trainer.pictures.names for sentence in (needing_quotes(names), alike(names))]
    return [*filter(None, (doubt, *asked)), *rare(trainer.card())]


def drive(run: Run) -> int:
    """Train to the end or to an interrupt, and return the command's exit code.

    The code is 0 at the end, 1 if the run diverged, and 130, or 128 and the signal's number, if it was stopped.

    Raises:
        InputError: Another run uses the folder.
    """
    trainer, folder = run.trainer, run.trainer.folder
    main_process = trainer.accelerator.is_main_process

    def say(text: object) -> None:
        if main_process:
            print(printable(str(text)), flush=True)

    if trainer.done >= 1:
        say(
            f"the run in {folder} is finished and is not trained further; to train it for five minutes more, give it "
            "--extra-minutes 5"
        )
    elif trainer.step and trainer.begun == trainer.done:
        peak = learning_rate(trainer.config, trainer.begun + trainer.config.warmup * (1 - trainer.begun))
        say(
            f"goes on after {trainer.images_seen:,} images: the learning rate rises to {peak:.1e}, as in a run of both "
            "lengths, and falls again"
        )
    elif trainer.step:
        say(f"resumed after {trainer.images_seen:,} images")
    for note in run.notes:
        say(f"note: {note}")
    say(trainer.pictures)
    if trainer.task.palette is not None:
        say("the pictures look like pixel art (few colours, hard edges); s2id sample --look squares keeps it crisp")
    for lost in trainer.pictures.skipped[:_NAMED]:
        say(f"skipped: {lost}")
    if more := len(trainer.pictures.skipped[_NAMED:]):
        say(f"skipped: {more} more")
    for sentence in warnings(trainer):
        say(f"warning: {sentence}")
    say(f"length of this run: {run}{'' if trainer.config.minutes else '; its time is estimated after four steps'}")

    def ask(number: int) -> None:
        run.stop()
        if main_process:
            again = "; Ctrl-C again stops at once" if number == signal.SIGINT else ""
            stopping.say(f"s2id: stops with a checkpoint after this step{again}")

    try:
        with stopping.stoppable(ask) as signals:
            for _ in watch(run) if main_process else run:
                pass
    except DivergedError as error:
        if main_process:
            print(f"s2id: {error}", file=sys.stderr)
        return 1
    if trainer.done < 1:
        say(f"stopped after {trainer.images_seen:,} images; give the same command --resume latest to go on")
        return 128 + (signals[0] if signals else signal.SIGINT)
    say(f"trained on {trainer.images_seen:,} images; the model is {folder / 'model'}")
    trainer.accelerator.end_training()
    return 0
