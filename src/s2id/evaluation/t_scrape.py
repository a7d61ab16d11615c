"""The loss against t, with and without the condition: the published system calls this plot a t-scrape.

The protocol is the published one, so that numbers can be compared: squared error of the predicted eps on the test set,
at a state of any density, under the cosine schedule without shift. Predictions of x or v are converted to eps.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from s2id.condition import Condition
from s2id.coords import extent, state_size, trained_size
from s2id.data.pictures import Pictures, rescaled
from s2id.diffusion.denoiser import convert
from s2id.diffusion.process import Schedule, alpha_sigma
from s2id.errors import InputError
from s2id.evaluation.extras import blank_figure, save_figure
from s2id.files import write_text
from s2id.media.images import resize, to_float
from s2id.sampling.model import S2ID
from s2id.shapes import NULL, Images, per_sample


@dataclass(frozen=True)
class Point:
    """Mean squared error of the predicted eps at one time, with the condition and without it."""

    t: float
    with_label: float
    without: float


@dataclass(frozen=True)
class Curve:
    """The loss against t, and the facts that one needs to measure it again.

    Example:
        >>> Curve((Point(0.25, 1.0, 2.0), Point(0.75, 3.0, 6.0))).loss
        3.0
    """

    points: tuple[Point, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    """Weights, data and density, by name."""

    @property
    def loss(self) -> float:
        """Mean over t and over both conditions; the published system reports 0.03464 at 28x28."""
        return sum(p.with_label + p.without for p in self.points) / (2 * len(self.points))

    def summary(self) -> str:
        """The mean loss in one sentence, with the published system's own value where the protocol is the same."""
        same = (self.facts.get("data"), self.facts.get("density")) == ("mnist", 28)
        beside = " (published system: 0.03464)" if same else ""
        return f"mean squared error of eps over t and both conditions: {self.loss:.5f}{beside}"

    def write(self, path: Path) -> None:
        """Write facts, mean loss and points to a JSON file.

        Raises:
            InputError: The file cannot be written.
        """
        said = {**self.facts, "loss": self.loss, "points": [asdict(point) for point in self.points]}
        write_text(path, json.dumps(said, indent=1) + "\n")

    def plot(self, path: Path) -> None:
        """Write a picture of the two curves.

        Raises:
            InputError: matplotlib is not installed, or the file cannot be written.
        """
        figure = blank_figure(8.0, 4.5)
        axes = figure.subplots()
        t = [p.t for p in self.points]
        axes.plot(t, [p.without for p in self.points], lw=1, label="without the label")
        axes.plot(t, [p.with_label for p in self.points], lw=1, label="with the label")
        axes.set(xlabel="t (0 clean, 1 noise)", ylabel="mean squared error of eps", yscale="log")
        axes.legend()
        save_figure(figure, path)


@torch.inference_mode()
def t_scrape(
    model: S2ID, pictures: Pictures, *, points: int = 500, batch: int = 100, density: int | None = None, seed: int = 0
) -> Iterator[Point]:
    """The loss at evenly spaced times, each in the middle of one of `points` equal parts of [0, 1].

    Args:
        model: Model to measure.
        pictures: Test set; each time takes the next `batch` pictures of it.
        points: Number of times.
        batch: Number of pictures per time.
        density: Samples along the long side of the state; `None` is one sample per pixel of the data, as
            far as its sides are multiples of the patch.
        seed: Seed of the noise.

    Raises:
        InputError: Nothing is to be measured, the model is distilled, the pictures have another number of channels than
            the model's, or the density is no multiple of the model's patch.
    """
    if min(points, batch) < 1:
        raise InputError(f"points is {points} and batch {batch}; both must be at least 1.")
    model.need_denoiser("a t-scrape")
    model.need_pixels("a t-scrape")
    images, known, frame = _states(model, pictures, density)
    schedule = Schedule(s=model.card.schedule_s)
    generator = torch.Generator().manual_seed(seed)
    for i in range(points):
        chosen = torch.arange(i * batch, (i + 1) * batch) % len(images)
        x, condition = images[chosen].to(model.device), known[chosen].to(model.device)
        eps = torch.randn(x.shape, generator=generator).to(x)
        t = (i + 0.5) / points
        logsnr = schedule.logsnr(torch.full((len(x),), t, device=x.device))
        alpha, sigma = alpha_sigma(logsnr)
        x_t = per_sample(alpha, x) * x + per_sample(sigma, x) * eps
        encoded = model.network.encode(x_t, logsnr, frame)
        errors = []
        for label in (condition, None):
            prediction = model.network.predict(model.network.decode(encoded, label), (x.shape[2], x.shape[3]))
            predicted = convert(model.config.prediction, prediction, x_t, alpha, sigma).eps
            errors.append((predicted - eps).square().mean().item())
        yield Point(t, *errors)


def _states(model: S2ID, pictures: Pictures, density: int | None) -> tuple[Images, Condition, tuple[float, float]]:
    """The largest group of pictures as clean states, what the model knows of them, and the pictures' frame."""
    if pictures.channels != model.config.channels:
        raise InputError(
            f"{pictures.name} has {pictures.channels} channels and the model draws {model.config.channels}; "
            "name the data set it was trained on."
        )
    if pictures.numbers == model.card.numbers:
        pictures = rescaled(pictures, model.card.number_ranges)
    group = max(pictures.groups, key=lambda group: len(group.labels))
    images = to_float(group.images)
    size, patch = (images.shape[2], images.shape[3]), model.config.patch
    if density is not None and (density < 1 or density % patch):
        raise InputError(f"density {density} is no multiple of the patch {patch}; choose one that is.")
    state = trained_size(size, max(size), patch) if density is None else state_size(density, extent(size), patch)
    images = resize(images, state)
    known = group.condition()
    label = known.label if model.config.classes else torch.full_like(known.label, NULL)
    attributes = known.attributes if pictures.attributes == model.card.attributes else None
    numbers = known.numbers if pictures.numbers == model.card.numbers else None
    words = known.words if pictures.words == model.card.words else None
    tokens = known.tokens if model.config.token_width else None
    return images, Condition(label, attributes, numbers, tokens, words), extent(size)
