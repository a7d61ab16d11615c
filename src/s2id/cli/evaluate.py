"""The commands that measure a model: evaluate and t-scrape."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import tyro

from s2id.cli.flags import part
from s2id.cli.options import (
    Data,
    Device,
    Sizes,
    Weights,
    data_set,
    device,
    long_side,
    name_files,
    parse_size,
    writable,
)
from s2id.evaluation.settings import EvaluateConfig
from s2id.sampling.settings import DEFAULT_STEPS
from s2id.settings import to_dict


@dataclass(frozen=True)
class Evaluate:
    """Judge a model at every size: a table (text, Markdown, JSON) and a picture of curves."""

    weights: tyro.conf.Positional[Weights] = "mnist"
    data: Data = None
    judge: str | None = None
    """Classifier that judges the pictures: the name of a bundled one, or a file. None: the data set's own."""
    features: Literal["judge", "inception"] = "judge"
    """Features in which sets of pictures are compared. "inception", for colour pictures, needs torch-fidelity and also
    judges data that have no judge."""
    size: Sizes = ()
    """Height x width of a row of the table in pixels, e.g. 1024x576. Repeat for several rows. Not given: nine sizes
    from 14x14 to 1024x1024."""
    quick: bool = False
    """Judge at most 300 pictures per size, and no size beyond 256 pixels."""
    evaluation: EvaluateConfig = part(EvaluateConfig(), omit=("sizes",))
    out: Path = Path("out/evaluate")
    """Folder for the table and the curves."""
    device: Device = "auto"

    def run(self) -> int:
        """Measure row by row, and write the table anew after each."""
        config = self.evaluation
        if self.size:
            config = replace(config, sizes=tuple(parse_size(size) for size in self.size))
        config = config.quick() if self.quick else config
        sampling = config.sampling
        from tqdm import tqdm

        from s2id.data.registry import load_pictures
        from s2id.evaluation.evaluate import evaluate
        from s2id.evaluation.judge import bundled, inception
        from s2id.evaluation.judge import load as load_judge
        from s2id.evaluation.report import Report, blank_figure
        from s2id.files import checksum
        from s2id.sampling.model import load
        from s2id.sampling.sample import autoguidance_of

        model = load(self.weights, device(self.device))
        name, folder = data_set(model.card, self.weights, self.data)
        extractor = inception() if self.features == "inception" else None
        judge = load_judge(self.judge or name) if self.judge or not extractor or name in bundled() else None
        least = model.config.patch  # what training left out is left out
        train, test = (
            load_pictures(name, folder, split, long_side(model.card), min_side=least) for split in ("train", "test")
        )
        writable(self.out)
        blank_figure(1.0, 1.0)  # without matplotlib no hour is spent on what cannot be drawn
        facts = {
            "weights": self.weights,
            "weights sha256": checksum(model.tensors()),
            "images seen": model.card.images_seen,
            "data": name,
            "n": config.count,
            "detail of": config.detail,
            "guidance": "built in" if model.card.times else sampling.guidance,
            "guidance interval": list(sampling.guidance_interval),
            "autoguidance": autoguidance_of(model, sampling.autoguidance),
            "steps": sampling.steps or len(model.card.times) or DEFAULT_STEPS,
            "sampler": "its own calls" if model.card.times else sampling.sampler,
            "eta": sampling.eta,
            "density": "the size" if model.config.dense else sampling.density or model.card.density,
            "detail density": 0 if sampling.density else model.card.detail_density,
            "noise": sampling.noise,
            "shift": sampling.shift,
            "fit": config.fit,
            "features": self.features,
        }
        if judge:
            facts |= {"judge sha256": judge.sha256, "judge right on the test set": judge.accuracy}
        if len(train) < config.count:
            facts["n of the training set's row"] = len(train)
        if name == "folder":
            facts["test set"] = "a folder has none: these are the pictures that the model trained on"
        report = Report(facts, ())
        written = [self.out / f"table.{ending}" for ending in ("md", "json")]
        for row in tqdm(
            evaluate(model, judge, train, test, config, extractor), total=len(config.sizes) + 1, unit="size"
        ):
            report = replace(report, rows=(*report.rows, row))
            for path, text in zip(written, (report.markdown(), report.json()), strict=True):
                path.write_text(text + "\n", encoding="utf-8")
        print(report.markdown())
        report.plot(self.out / "curves.png")
        name_files([*written, self.out / "curves.png"])
        return 0


@dataclass(frozen=True)
class TScrape:
    """Measure the loss at many times t, with and without the label, as the published system plots it."""

    weights: tyro.conf.Positional[Weights] = "mnist"
    data: Data = None
    points: int = 500
    """Number of times, evenly spaced from 0 to 1."""
    batch: int = 100
    """Number of test pictures per time."""
    density: int | None = None
    """Samples along the long side of the noisy state. None: one per pixel of the data."""
    out: Path = Path("out/t-scrape")
    """Folder for the curve, as numbers and as a picture."""
    device: Device = "auto"

    def run(self) -> int:
        """Measure the curve and write it."""
        from tqdm import tqdm

        from s2id.data.registry import load_pictures
        from s2id.evaluation.report import blank_figure
        from s2id.evaluation.t_scrape import Curve, t_scrape
        from s2id.files import checksum
        from s2id.sampling.model import load

        model = load(self.weights, device(self.device))
        name, folder = data_set(model.card, self.weights, self.data)
        pictures = load_pictures(name, folder, "test", long_side(model.card), min_side=model.config.patch)
        writable(self.out)
        blank_figure(1.0, 1.0)
        walk = t_scrape(model, pictures, points=self.points, batch=self.batch, density=self.density)
        curve = Curve(tuple(tqdm(walk, total=self.points, unit="t")))
        facts = {
            "weights": self.weights,
            "weights sha256": checksum(model.tensors()),
            "data": name,
            "density": self.density or max(pictures.size),
            "loss": curve.loss,
            "points": [to_dict(point) for point in curve.points],
        }
        (self.out / "curve.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        same = name == "mnist" and facts["density"] == 28
        beside = " (published system: 0.03464)" if same else ""
        print(f"mean squared error of eps over t and both conditions: {curve.loss:.5f}{beside}")
        curve.plot(self.out / "curve.png")
        name_files([self.out / "curve.json", self.out / "curve.png"])
        return 0
