"""A training run as one watches it: a bar, metrics as JSON lines, sheets of samples, TensorBoard."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tqdm import tqdm

from s2id.compose import sample
from s2id.condition import Condition
from s2id.config import InputError, to_dict
from s2id.images import tile, write
from s2id.labels import ask
from s2id.train import Progress, Trainer


def follow(trainer: Trainer, run: Iterator[Progress], folder: Path) -> Iterator[Progress]:
    """The run, with a bar, metrics as JSON lines, sample grids, and TensorBoard where asked.

    Raises:
        InputError: TensorBoard is asked for and not installed.
    """
    config = trainer.config
    drawn = time.monotonic()
    with ExitStack() as stack:
        board = stack.enter_context(_board(folder)) if config.tensorboard else None
        metrics = stack.enter_context(open(_metrics(folder, trainer.images_seen), "a", encoding="utf-8"))
        bar = stack.enter_context(tqdm(total=100, bar_format="{l_bar}{bar}| {elapsed}{postfix}", mininterval=1))
        for progress in run:
            metrics.write(json.dumps(to_dict(progress)) + "\n")
            metrics.flush()
            left = tqdm.format_interval(max(0.0, progress.seconds_left))
            bar.set_postfix_str(
                f"{left} left, loss {progress.loss:.4f}, lr {progress.lr:.1e}, "
                f"{progress.images_per_second:.0f} images/s",
                refresh=False,
            )
            bar.update(100 * progress.done - bar.n)
            if board is not None:
                for name in ("loss", "lr", "gradient_norm", "images_per_second"):
                    board.add_scalar(name, getattr(progress, name), progress.images_seen)
            last = progress.done >= 1
            if config.sample_minutes and (last or time.monotonic() - drawn > 60 * config.sample_minutes):
                _draw_sheet(trainer, folder / "samples" / f"{progress.images_seen:012d}.png")
                drawn = time.monotonic()
            yield progress


def _metrics(folder: Path, images_seen: int) -> Path:
    """The run's metrics file, without lines from beyond the checkpoint that the run goes on from."""
    path = folder / "metrics.jsonl"
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = (line for line in lines if line.endswith("}\n"))  # the last one of a run that was killed may be cut off
        kept = [line for line in whole if json.loads(line)["images_seen"] <= images_seen]
        path.write_text("".join(kept), encoding="utf-8")
    return path


def _draw_sheet(trainer: Trainer, path: Path) -> None:
    """Eight fixed seeds of every class, or else of nothing and every attribute, of at most ten, at the data's size."""
    model = trainer.result()
    labels: list[int | Condition | None] = list(range(min(10, model.config.classes)))
    labels = labels or [None, *(ask(model, attributes={name: True}) for name in model.card.attributes[:9])]
    drawn = sample(model, [label for label in labels for _ in range(8)], list(range(8)) * len(labels), guidance=1.0)
    write(path, tile(drawn.render(trainer.pictures.size), 8))


def _board(folder: Path) -> Any:  # noqa: ANN401  (an optional package's class)
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError("--tensorboard needs TensorBoard; pip install 's2id[track]' brings it.") from error
    return SummaryWriter(str(folder / "tensorboard"))
