"""The commands that measure a model: evaluate and t-scrape."""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from s2id.checks import Within
from s2id.cli.flags import part
from s2id.cli.options import (
    Data,
    Device,
    Sizes,
    Weights,
    name_files,
    parse_sizes,
    writable,
)
from s2id.errors import InputError
from s2id.evaluation.settings import EvaluateConfig
from s2id.sampling.settings import Density


@dataclass(frozen=True)
class Evaluate:
    """Judge a model at every size: a table (text, Markdown, JSON) and a picture of curves."""

    weights: tyro.conf.Positional[Weights] = "mnist"
    data: Data = None
    judge: str | None = None
    """Classifier that judges the pictures: the name of a bundled one, or a file. None: the data set's own."""
    features: Literal["judge", "inception"] = "judge"
    """Features in which sets of pictures are compared. "inception", for colour pictures, needs torch-fidelity and also
    serves data that have no judge; without it, these are not compared with any set, only measured by themselves."""
    size: Sizes = ()
    """Height x width of a row of the table in pixels, e.g. 1024x576, or its long side. Repeat for several rows. Not
    given: nine sizes from 14x14 to 1024x1024."""
    quick: bool = False
    """Judge at most 300 pictures per size, and no size beyond 256 pixels."""
    evaluation: EvaluateConfig = part(EvaluateConfig(), omit=("sizes", "restarts"))
    out: Path = Path("out/evaluate")
    """Folder for the table and the curves."""
    device: Device = "auto"

    def run(self) -> int:
        """Measure row by row, and write the table anew after each."""
        config = self.evaluation
        if self.size:
            config = replace(config, sizes=tuple(parse_sizes(self.size)))
        config = config.quick() if self.quick else config
        from tqdm import tqdm

        from s2id.evaluation.extras import blank_figure
        from s2id.evaluation.run import evaluate_model

        reports = evaluate_model(
            self.weights,
            self.data,
            judge=self.judge,
            features=self.features,
            config=config,
            device=self.device,
        )
        writable(self.out)
        blank_figure(1.0, 1.0)  # without matplotlib no hour is spent on what cannot be drawn
        for report in tqdm(reports, total=len(config.sizes) + 3, unit="size"):
            with suppress(InputError):  # a full disk ends no measurement: the last table is printed first, and there
                report.write(self.out)  # may be room again
        print(report.markdown(), flush=True)
        written = report.write(self.out)
        report.plot(self.out / "curves.png")
        name_files([*written, self.out / "curves.png"])
        return 0


@dataclass(frozen=True)
class TScrape:
    """Measure the loss at many times t, with and without the label, as the published system plots it."""

    weights: tyro.conf.Positional[Weights] = "mnist"
    data: Data = None
    points: Annotated[int, Within(2, 10**6)] = 500
    """Number of times, evenly spaced from 0 to 1."""
    batch: Annotated[int, Within(1, 10**6)] = 100
    """Number of test pictures per time."""
    density: Density | None = None
    """Samples along the long side of the noisy state. None: one per pixel of the data."""
    out: Path = Path("out/t-scrape")
    """Folder for the curve, as numbers and as a picture."""
    device: Device = "auto"

    def run(self) -> int:
        """Measure the curve and write it."""
        from tqdm import tqdm

        from s2id.evaluation.extras import blank_figure
        from s2id.evaluation.run import t_scrape_model

        curves = t_scrape_model(
            self.weights,
            self.data,
            points=self.points,
            batch=self.batch,
            density=self.density,
            device=self.device,
        )
        writable(self.out)
        blank_figure(1.0, 1.0)
        *_, curve = tqdm(curves, total=self.points, unit="t")
        print(curve.summary(), flush=True)
        curve.write(self.out / "curve.json")
        curve.plot(self.out / "curve.png")
        name_files([self.out / "curve.json", self.out / "curve.png"])
        return 0
