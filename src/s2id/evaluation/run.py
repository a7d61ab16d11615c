"""An evaluation and a t-scrape, given the weights of a model: its data and judge are found by the model's card.

The command line and Python share these two functions. Both load and check everything when called, and return an
iterator that measures.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from s2id.checks import checked
from s2id.evaluation.evaluate import evaluate
from s2id.evaluation.examiner import ground_of
from s2id.evaluation.judge import Judge, bundled, inception
from s2id.evaluation.judge import load as load_judge
from s2id.evaluation.report import Report
from s2id.evaluation.settings import EvaluateConfig
from s2id.evaluation.t_scrape import Curve, t_scrape
from s2id.files import checksum
from s2id.media.alpha import has_alpha
from s2id.sampling.model import S2ID, load
from s2id.sampling.resolving import autoguidance_of
from s2id.sampling.settings import DEFAULT_STEPS
from s2id.sampling.training_data import load_data_of, reader_of

Features = Literal["judge", "inception"]


@checked
def evaluate_model(
    weights: S2ID | str | Path = "mnist",
    data: Path | None = None,
    *,
    judge: str | Path | None = None,
    features: Features = "judge",
    config: EvaluateConfig | None = None,
    device: str = "auto",
) -> Iterator[Report]:
    """Reports of a model's quality that grow by a row each; the last one is the whole table.

    Args:
        weights: A model, or what `s2id.load` takes: a bundled model's name, a file, a folder or a Hub repository.
        data: Folder of the data that the model was trained on; `None` looks in the usual places or downloads them.
        judge: Name of a bundled judge, or its file; `None` takes the bundled judge of the model's data. Without
            a judge or features of Inception, only `config.detail` pictures per size are drawn and likeness is left out.
        features: Features in which sets are compared: the judge's, or those of Inception v3, for colour pictures.
        config: Sizes, number of pictures and how to sample; `None` takes the defaults.
        device: Device that computes, as for `s2id.load`.

    Raises:
        InputError: Weights, data or judge are missing, or do not belong together, or the model only enlarges pictures.

    Example:
        >>> for report in evaluate_model("mnist", config=EvaluateConfig(count=300)):  # doctest: +SKIP
        ...     print(report.rows[-1].size, report.rows[-1].likeness.frechet)
    """
    config = config or EvaluateConfig()
    model = weights if isinstance(weights, S2ID) else load(weights, device)
    model.need_composition("an evaluation")
    name = reader_of(model.card, _name(weights))
    extractor = inception() if features == "inception" else None
    judged = load_judge(judge or name) if judge or name in bundled() else None
    if not (judged or extractor):
        config = replace(config, count=min(config.count, config.detail))
    train, test = (load_data_of(model, data, split, _name(weights)) for split in ("train", "test"))
    facts = {
        **_weights(model, weights),
        **{"images seen": model.card.images_seen, "data": name},
        **_sampling(model, config),
        **{"features": features, **_judge(judged)},
    }
    if has_alpha(test.channels):
        facts["laid over"] = ground_of(test)
    if (judged or extractor) and len(train) < config.count:
        facts["n of the training set's row"] = len(train)
    if name == "folder":
        facts["test set"] = "a folder has none: these are the pictures that the model trained on"

    def measure() -> Iterator[Report]:
        report = Report(facts, ())
        for row in evaluate(model, judged, train, test, config, extractor):
            report = replace(report, rows=(*report.rows, row))
            yield report

    return measure()


@checked
def t_scrape_model(
    weights: S2ID | str | Path = "mnist",
    data: Path | None = None,
    *,
    points: int = 500,
    batch: int = 100,
    density: int | None = None,
    device: str = "auto",
) -> Iterator[Curve]:
    """Curves of the loss against t that grow by a point each; the last one is the whole curve.

    Args:
        weights: A model, or what `s2id.load` takes: a bundled model's name, a file, a folder or a Hub repository.
        data: Folder of the data that the model was trained on; `None` looks in the usual places or downloads them.
        points: Number of times.
        batch: Number of test pictures per time.
        density: Samples along the long side of the state; `None` is one sample per pixel of the data.
        device: Device that computes, as for `s2id.load`.

    Raises:
        InputError: Weights or data are missing, do not belong together, or the model is distilled or only enlarges
            pictures.
    """
    model = weights if isinstance(weights, S2ID) else load(weights, device)
    model.need_composition("t-scrape")
    name = reader_of(model.card, _name(weights))
    pictures = load_data_of(model, data, "test", _name(weights))
    facts = {**_weights(model, weights), "data": name, "density": density or max(pictures.size)}

    def measure() -> Iterator[Curve]:
        curve = Curve((), facts)
        for point in t_scrape(model, pictures, points=points, batch=batch, density=density):
            curve = replace(curve, points=(*curve.points, point))
            yield curve

    return measure()


def _name(weights: S2ID | str | Path) -> str:
    return "this model" if isinstance(weights, S2ID) else str(weights)


def _weights(model: S2ID, weights: S2ID | str | Path) -> dict[str, Any]:
    return {"weights": _name(weights), "weights sha256": checksum(model.tensors())}


def _sampling(model: S2ID, config: EvaluateConfig) -> dict[str, Any]:
    """How the pictures are sampled, with the model's own values where the settings leave the choice to it."""
    card, sampling = model.card, config.sampling
    return {
        "n": config.count,
        "detail of": config.detail,
        "guidance": "built in" if card.times else sampling.guidance,
        "guidance interval": list(sampling.guidance_interval),
        "autoguidance": autoguidance_of(model, sampling.autoguidance),
        "steps": sampling.steps or len(card.times) or DEFAULT_STEPS,
        "sampler": "its own calls" if card.times else sampling.sampler,
        "eta": sampling.eta,
        "density": "the size" if model.config.dense else sampling.density or card.density,
        "detail density": 0 if sampling.density else card.detail_density,
        "noise": sampling.noise,
        "shift": sampling.shift,
        "fit": config.fit,
    }


def _judge(judge: Judge | None) -> dict[str, Any]:
    if judge is None:
        return {"judge": "none"}
    return {"judge sha256": judge.sha256, "judge right on the test set": judge.accuracy}
