"""What the command line shows of a run: a bar, metrics as JSON lines, sheets of samples, TensorBoard."""

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from s2id.condition import Condition
from s2id.errors import InputError
from s2id.images import write
from s2id.names import alike, needing_quotes
from s2id.sampling.conditions import ask
from s2id.sampling.rare import rare
from s2id.sampling.sample import sample
from s2id.settings import to_dict
from s2id.sheets import sheet
from s2id.training.optimisers import learning_rate
from s2id.training.progress import Progress
from s2id.training.resolution import warning
from s2id.training.train import Run
from s2id.training.trainer import DivergedError, Trainer

_NAMED = 20
"""Number of skipped files that are named one by one."""

_TIMED = 4
"""Number of steps after which the time that the run will take is printed."""


def watch(run: Run) -> Iterator[Progress]:
    """The progress of a run, shown as a bar and written as metrics, sheets of samples and, if asked, to TensorBoard.

    Raises:
        InputError: TensorBoard is asked for and not installed.
    """
    trainer = run.trainer
    config, folder = trainer.config, trainer.folder
    first, drawn = trainer.step, time.monotonic()
    with ExitStack() as stack:
        board = stack.enter_context(_board(folder)) if config.tensorboard else None
        metrics = stack.enter_context(open(_metrics(folder, trainer.images_seen), "a", encoding="utf-8"))
        bar = stack.enter_context(tqdm(total=100, bar_format="{l_bar}{bar}| {elapsed}{postfix}", mininterval=1))
        for progress in run:
            metrics.write(json.dumps(to_dict(progress)) + "\n")
            metrics.flush()
            _show(bar, progress)
            if progress.step - first == _TIMED:
                tqdm.write(f"length of this run: {run}")
            if board is not None:
                for name in ("loss", "lr", "gradient_norm", "images_per_second"):
                    board.add_scalar(name, getattr(progress, name), progress.images_seen)
            last = progress.done >= 1
            if config.sample_minutes and (last or time.monotonic() - drawn > 60 * config.sample_minutes):
                _draw_sheet(trainer, folder / "samples" / f"{progress.images_seen:012d}.png")
                drawn = time.monotonic()
            yield progress


def _show(bar: Any, progress: Progress) -> None:  # noqa: ANN401  (tqdm has no types)
    left = tqdm.format_interval(max(0.0, progress.seconds_left))
    bar.set_postfix_str(
        f"{left} left, loss {progress.loss:.4f}, lr {progress.lr:.1e}, {progress.images_per_second:.0f} images/s",
        refresh=False,
    )
    bar.update(100 * progress.done - bar.n)


def _metrics(folder: Path, images_seen: int) -> Path:
    """File of the run's metrics, without lines from after the checkpoint that the run goes on from."""
    path = folder / "metrics.jsonl"
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = (line for line in lines if line.endswith("}\n"))  # the last line of a killed run may be cut off
        kept = [line for line in whole if json.loads(line)["images_seen"] <= images_seen]
        path.write_text("".join(kept), encoding="utf-8")
    return path


def _draw_sheet(trainer: Trainer, path: Path) -> None:
    """Write a sheet of samples: fixed seeds for each of the first ten classes, at the data's size.

    Without classes, the pictures have no condition, and then each of the first nine attributes.
    """
    model = trainer.result()
    names: list[str] = [trainer.pictures.labels[i] for i in range(min(10, model.config.classes))]
    labels: list[str | Condition | None] = [*names]
    if not names:
        names = ["", *model.card.attributes[:9]]
        labels = [None, *(ask(model, attributes={name: True}) for name in names[1:])]
    seeds = range(8 if len(labels) > 1 else 16)
    drawn = sample(
        model, [label for label in labels for _ in seeds], list(seeds) * len(labels), guidance=1.0
    )  # fmt: skip
    captions = [", ".join(filter(None, (name, f"seed {seed}"))) for name in names for seed in seeds]
    write(path, sheet(drawn.render(trainer.pictures.size), captions, per_row=len(seeds)))


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

    The code is 0 at the end, 1 if the run diverged and 130 if it was stopped.

    Raises:
        InputError: Another run uses the folder.
    """
    trainer, folder = run.trainer, run.trainer.folder
    main_process = trainer.accelerator.is_main_process
    say = partial(print, flush=True) if main_process else (lambda *_, **__: None)
    if trainer.done >= 1:
        say(
            f"the run in {folder} is finished and is not trained further; to train it for five minutes more, give it "
            "--extra-minutes 5"
        )
    elif trainer.begun:
        peak = learning_rate(trainer.config, trainer.begun + trainer.config.warmup * (1 - trainer.begun))
        say(
            f"goes on after {trainer.images_seen:,} images: the learning rate rises to {peak:.1e}, as in a run of both "
            "lengths, and falls again"
        )
    elif trainer.step:
        say(f"resumed after {trainer.images_seen:,} images")
    say(trainer.pictures)
    if trainer.palette is not None:
        say("the pictures look like pixel art (few colours, hard edges); s2id sample --look squares keeps it crisp")
    for lost in trainer.pictures.skipped[:_NAMED]:
        say(f"skipped: {lost}")
    if more := len(trainer.pictures.skipped[_NAMED:]):
        say(f"skipped: {more} more")
    for sentence in warnings(trainer):
        say(f"warning: {sentence}")
    say(f"length of this run: {run}{'' if trainer.config.minutes else '; its time is estimated after four steps'}")
    before = {s: signal.signal(s, lambda *_: run.stop()) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        for _ in watch(run) if main_process else run:
            pass
    except DivergedError as error:
        say(f"s2id: {error}", file=sys.stderr)
        return 1
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
    if trainer.done < 1:
        say(f"stopped after {trainer.images_seen:,} images; give the same command --resume latest to go on")
        return 130
    say(f"trained on {trainer.images_seen:,} images; the model is {folder / 'model'}")
    trainer.accelerator.end_training()
    return 0
