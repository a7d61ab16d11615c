"""The loss against t, with and without the condition: what the published system calls t-scrape.

The protocol is its own, so that numbers can be laid beside its: squared error of the predicted eps on the test set, the
state at some density, the cosine schedule without shift. A network that predicts x or v is converted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from s2id.condition import Condition
from s2id.coords import extent, state_size
from s2id.data.pictures import Pictures, rescaled
from s2id.diffusion.denoiser import convert
from s2id.diffusion.process import Schedule, alpha_sigma
from s2id.errors import InputError
from s2id.evaluation.report import blank_figure
from s2id.images import resize, to_float
from s2id.sampling.model import S2ID, check_denoises
from s2id.shapes import NULL, Images, per_sample


@dataclass(frozen=True)
class Point:
    """Mean squared error of eps at a time."""

    t: float
    with_label: float
    without: float


@dataclass(frozen=True)
class Curve:
    """The loss against t."""

    points: tuple[Point, ...]

    @property
    def loss(self) -> float:
        """Mean over t and both conditions; the published system reports 0.03464 at 28x28."""
        return sum(p.with_label + p.without for p in self.points) / (2 * len(self.points))

    def plot(self, path: Path) -> None:
        """Write a picture of the two curves.

        Raises:
            InputError: matplotlib is not installed.
        """
        figure = blank_figure(8.0, 4.5)
        axes = figure.subplots()
        t = [p.t for p in self.points]
        axes.plot(t, [p.without for p in self.points], lw=1, label="without the label")
        axes.plot(t, [p.with_label for p in self.points], lw=1, label="with the label")
        axes.set(xlabel="t (0 clean, 1 noise)", ylabel="mean squared error of eps", yscale="log")
        axes.legend()
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110)


@torch.inference_mode()
def t_scrape(
    model: S2ID, pictures: Pictures, *, points: int = 500, batch: int = 100, density: int | None = None, seed: int = 0
) -> Iterator[Point]:
    """The loss at evenly spaced times in the middle of `points` equal parts of [0, 1].

    Args:
        model: What to measure.
        pictures: A test set; each time takes the next `batch` of it.
        points: Times.
        batch: Pictures per time.
        density: Samples along the state's long side; `None` is the data's own pixels.
        seed: Of the noise.

    Raises:
        InputError: There is nothing to measure, the model is distilled, the pictures have other channels than the
            model's, or the density does not fit its patches.
    """
    if min(points, batch) < 1:
        raise InputError(f"points is {points} and batch {batch}; both must be at least 1.")
    check_denoises(model)
    model.need_pixels("a t-scrape")
    images, known = _pixels(model, pictures, density)
    schedule = Schedule(s=model.card.schedule_s)
    generator = torch.Generator().manual_seed(seed)
    for i in range(points):
        chosen = torch.arange(i * batch, (i + 1) * batch) % len(images)
        x, asked = images[chosen].to(model.device), known[chosen].to(model.device)
        eps = torch.randn(x.shape, generator=generator).to(x)
        t = (i + 0.5) / points
        logsnr = schedule.logsnr(torch.full((len(x),), t, device=x.device))
        alpha, sigma = alpha_sigma(logsnr)
        x_t = per_sample(alpha, x) * x + per_sample(sigma, x) * eps
        encoded = model.network.encode(x_t, logsnr)
        errors = []
        for condition in (asked, None):
            prediction = model.network.predict(model.network.decode(encoded, condition), (x.shape[2], x.shape[3]))
            said = convert(model.config.prediction, prediction, x_t, alpha, sigma).eps
            errors.append((said - eps).square().mean().item())
        yield Point(t, *errors)


def _pixels(model: S2ID, pictures: Pictures, density: int | None) -> tuple[Images, Condition]:
    """The largest group of pictures as states, and what the model can know of them."""
    if pictures.channels != model.config.channels:
        raise InputError(
            f"{pictures.name} has {pictures.channels} channels and the model draws {model.config.channels}; "
            "name the data set it was trained on."
        )
    if pictures.numbers == model.card.numbers:
        pictures = rescaled(pictures, model.card.number_ranges)
    group = max(pictures.groups, key=lambda group: len(group.labels))
    images = to_float(group.images)
    size = (images.shape[2], images.shape[3])
    if density is not None:
        if density < 1 or density % model.config.patch:
            raise InputError(f"density {density} is no multiple of the patch {model.config.patch}; choose one that is.")
        images = resize(images, state_size(density, extent(size), model.config.patch))
    known = group.condition()
    label = known.label if model.config.classes else torch.full_like(known.label, NULL)
    attributes = known.attributes if pictures.attributes == model.card.attributes else None
    numbers = known.numbers if pictures.numbers == model.card.numbers else None
    return images, Condition(label, attributes, numbers)
