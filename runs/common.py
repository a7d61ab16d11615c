"""Code that several scripts of this folder share: likeness at 28x28, tables, runs of the command line, observations."""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from s2id.data.pictures import Group, Pictures
from s2id.data.registry import load_pictures
from s2id.data.split import parts
from s2id.evaluation.evaluate import evaluate
from s2id.evaluation.judge import load as load_judge
from s2id.evaluation.report import markdown
from s2id.evaluation.settings import EvaluateConfig
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Sampling

SIZE, LOW = (28, 28), (7, 7)
"""Sizes of the MNIST pictures that are restored, and of those that are enlarged."""


def hole() -> Tensor:
    """Mask of the inpainting task, (28, 28): false in the centre of 14x14 pixels, true around it."""
    mask = torch.ones(SIZE, dtype=torch.bool)
    mask[7:21, 7:21] = False
    return mask


def augment(x: Tensor, strength: float = 1.0) -> Tensor:
    """Random rotation (15 degrees), scale (12 %), shear and shift (2.5 px) of each image, each times a strength."""
    b = len(x)
    angle = (torch.rand(b) * 2 - 1) * math.radians(15) * strength
    scale = 1 + (torch.rand(b, 2) * 2 - 1) * 0.12 * strength
    shear = (torch.rand(b) * 2 - 1) * 0.15 * strength
    shift = (torch.rand(b, 2) * 2 - 1) * 2.5 / 14 * strength
    theta = torch.stack(
        [
            torch.stack([angle.cos() * scale[:, 0], -angle.sin() + shear, shift[:, 0]], 1),
            torch.stack([angle.sin(), angle.cos() * scale[:, 1], shift[:, 1]], 1),
        ],
        1,
    )
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


class Likeness28:
    """Likeness of a model's pictures to MNIST's test set at 28x28, under any settings of sampling."""

    def __init__(self, model: S2ID, data: Path, count: int, columns: Sequence[str]) -> None:
        """Load data and judge.

        Args:
            model: Model of MNIST.
            data: Folder of MNIST's files.
            count: Number of pictures.
            columns: Names of the measures, fields of `s2id.evaluation.report.Likeness`.
        """
        self.model, self.count, self.columns = model, count, columns
        self.judge = load_judge("mnist")
        self.train, self.test = (load_pictures("mnist", data, split) for split in ("train", "test"))
        self.floor: dict[str, float] = {}
        """The measures of as many training pictures, known after the first call."""

    def __call__(self, sampling: Sampling) -> dict[str, float]:
        """The measures of pictures sampled so, by name."""
        config = EvaluateConfig(sizes=((28, 28),), count=self.count, detail=1, sampling=sampling)
        rows = evaluate(self.model, self.judge, self.train, self.test, config)
        training, samples = islice(rows, 2)  # the rows of evenness, which follow, take as long again
        self.floor = {name: getattr(training.likeness, name) for name in self.columns}
        return {name: getattr(samples.likeness, name) for name in self.columns}


def drawings(pictures: Pictures, part: str | None) -> tuple[Group, list[int]]:
    """The largest group of pictures, and the rows of it that are of a part.

    Args:
        pictures: Drawings of concepts in styles, of training or held out.
        part: "pair" or "concept", as in `s2id.data.split`, of held-out drawings; "seen" and `None` are all.
    """
    group = max(pictures.groups, key=lambda group: len(group.labels))
    if part in (None, "seen"):
        return group, list(range(len(group.labels)))
    held = parts(group.texts, [""] * len(group.texts))  # a concept is held out whatever its style
    return group, [i for i, one in enumerate(held) if (part == "concept") == (one == "concept")]


def write_tables(folder: Path, facts: dict, names: Sequence[str], floor: dict, rows: list[dict]) -> None:
    """Write and print a table; its JSON file holds all values of the rows.

    Args:
        folder: Folder for table.md and table.json.
        facts: Weights and settings, by name.
        names: Columns that the Markdown table shows.
        floor: Values of the training set, the first row.
        rows: Values of the other rows, by column.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report = {"facts": facts, "training set": floor, "rows": rows}
    (folder / "table.json").write_text(json.dumps(report, indent=1) + "\n")
    cells = [[row.get(name) for name in names] for row in [{names[0]: "training set", **floor}, *rows]]
    text = ", ".join(f"{name} {value}" for name, value in facts.items()) + "\n\n" + markdown(names, cells)
    (folder / "table.md").write_text(text + "\n")
    print(text)


def s2id_command(*words: str, program: Sequence[str] = ("-m", "s2id")) -> None:
    """Run a command of s2id in a process of its own, and print it first.

    Args:
        words: The command and its flags.
        program: What Python runs: the package, or a script that takes the same commands.
    """
    print(*program, *words, flush=True)
    subprocess.run([sys.executable, *program, *words], check=True)


def train_once(folder: Path, *words: str, program: Sequence[str] = ("-m", "s2id")) -> None:
    """Train a run into a folder, unless it holds the model; a run that was stopped goes on.

    Args:
        folder: Run folder.
        words: Preset and flags of `s2id train`.
        program: As for `s2id_command`.
    """
    if not (folder / "model").is_dir():
        resume = ["--resume", "latest"] if any(folder.glob("checkpoints/[0-9]*/run.json")) else []
        quiet = ["--set", "sample-minutes=0"]
        s2id_command("train", *words, *quiet, *resume, "--out", str(folder), program=program)


def evaluate_once(folder: Path, *words: str, program: Sequence[str] = ("-m", "s2id")) -> dict[str, Any]:
    """The table of a run's model as JSON holds it; evaluated into the run folder, unless the table is there.

    Args:
        folder: Run folder.
        words: Flags of `s2id evaluate`.
        program: As for `s2id_command`.
    """
    table = folder / "evaluate" / "table.json"
    if not table.is_file():
        model = str(folder / "model")
        s2id_command("evaluate", model, *words, "--out", str(table.parent), program=program)
    return dict(json.loads(table.read_text()))
