"""Guidance distillation: one call of a student gives what guidance and a guide need up to four calls for.

The student has its teacher's architecture, and takes the weight of guidance as an input (Meng et al. 2022, arXiv
2210.03142, section 3.1). Its targets are the teacher's own predictions for noisy states of the data, so it is trained
as ordinarily, with a target that has no noise. Pictures without a weight have the teacher's plain prediction as their
target, so that all that needs plain predictions, as restoring does, works with the student too.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from s2id.condition import Condition
from s2id.coords import Grid, extent, trained_size, view
from s2id.data.pictures import Pictures, chosen_at
from s2id.errors import InputError
from s2id.files import checksum, write_text
from s2id.modes import modes_kept
from s2id.network.base import state_grid, step_values
from s2id.network.build import AnyNetwork
from s2id.network.settings import BESIDE_CLASSES
from s2id.sampling.denoisers import READING
from s2id.sampling.model import S2ID
from s2id.seeds import seed_of
from s2id.settings import Size
from s2id.shapes import Images, per_sample
from s2id.training.batches import Batch, draw_density, hide, means, noisy, target_pixels
from s2id.training.distil import check_origin
from s2id.training.settings import Preset, StudentConfig, TrainConfig
from s2id.training.trainer import Trainer

MOST_GUIDANCE = 5.0
"""Largest weight of guidance that students learn. Weights are drawn log-uniformly from 1 to it, one per picture."""

_PLAIN = 0.2
"""Share of the pictures that have no weight."""

_READ = 8
"""One batch in so many has states without noise, and the function that the teacher reads out of them as its target."""

_FINER = 4
"""Pixels of such a function along each side of a pixel of the data, close enough to show its edges."""


def check_guided_teacher(teacher: S2ID, pictures: Pictures) -> None:
    """Refuse a teacher without guidance that a student could learn.

    Raises:
        InputError: The model draws in few calls or one already, predicts no functions or latents, was trained on
            pixelated pictures, or has neither a guide nor conditions; or the data are not those it was trained on.
    """
    task, card, config = "guidance distillation", teacher.card, teacher.config
    check_origin(teacher, pictures, task)
    if config.guided:
        raise InputError("this model guides itself already; distil the model that it learned from.")
    if card.observe:
        raise InputError(f"this model saw pixelated pictures only, and {task} needs whole ones; use another teacher.")
    if teacher.guide is None and not any(getattr(config, name) for name in ("classes", *BESIDE_CLASSES)):
        raise InputError("this model has neither a guide nor conditions, so that there is no guidance to distil.")


def guided_student(teacher: S2ID, autoguidance: float, seed: int) -> S2ID:
    """A model that predicts as its teacher does without guidance, whatever the weight; training teaches it the rest.

    Args:
        teacher: The model.
        autoguidance: Weight of autoguidance that the student learns.
        seed: Seed of the layers that the teacher does not have.
    """
    card = replace(teacher.card, autoguidance=autoguidance)
    with modes_kept():
        torch.manual_seed(seed)
        student = S2ID(replace(teacher.config, most_guidance=MOST_GUIDANCE), card)  # type: ignore[arg-type]
    student.network.load_state_dict({**student.network.state_dict(), **teacher.network.state_dict()})
    student = student.drawn_by(teacher) if teacher.renderer is not None else student
    return student.to(teacher.device)


def guided_trainer(
    teacher: S2ID, pictures: Pictures, autoguidance: float, train: StudentConfig, folder: Path
) -> Trainer:
    """The training run of a student that guides itself.

    Args:
        teacher: The model, with its guide if it has one.
        pictures: The data that it was trained on.
        autoguidance: Weight of autoguidance that the student learns.
        train: Settings of the training.
        folder: Folder of the run.

    Raises:
        InputError: The folder holds the run of another teacher, or the data are not those it was trained on.
    """
    _same_teacher(folder, {"teacher": checksum(teacher.tensors()), "autoguidance": autoguidance})
    config, card = train.training(teacher.card.density), teacher.card
    if card.detail_density:
        config = replace(config, detail_density=card.detail_density, detail_time=card.detail_time)
    config = replace(config, max_weight=TrainConfig.max_weight)
    start = guided_student(teacher, autoguidance, train.seed)
    preset = Preset("folder", start.config, config)
    return Trainer(preset, pictures, folder, start, guided_batches(teacher, pictures, autoguidance, config))


def guided_batches(
    teacher: S2ID, pictures: Pictures, autoguidance: float, config: TrainConfig
) -> Callable[[int], Batch]:
    """Function from a batch's number to noisy states of the data, weights of guidance, and the teacher's answers.

    Batches take turns. Half of them ask for the states' own samples, which solvers use; the others for pixels of the
    function that are finer than the data's. Every eighth batch, one of the latter, has clean states, and the function
    that the teacher reads out of them as its target.

    Args:
        teacher: The model.
        pictures: The data.
        autoguidance: Weight of autoguidance of the answers.
        config: Settings of the training, with the densities of the states.
    """
    patch, schedule = teacher.config.patch, teacher.schedule

    def batch(number: int) -> Batch:
        generator = torch.Generator().manual_seed(seed_of(config.seed, number))
        group, chosen = chosen_at(pictures, number, config.batch, config.seed)
        pixels, asked = group.images[chosen], hide(group.condition(chosen), config, generator)
        size, reading = (pixels.shape[2], pixels.shape[3]), number % _READ == 0
        density, latest = draw_density(config, generator)
        if reading:
            density, latest = config.detail_density or density, 0.0
        state = means(pixels, trained_size(size, density, patch))
        samples = state.shape[2], state.shape[3]
        x_t, logsnr, _ = noisy(state, schedule.at_density(max(samples) / config.densities[0]), latest, generator)
        weight = torch.exp(torch.rand(len(x_t), generator=generator) * torch.tensor(MOST_GUIDANCE).log())
        weight[torch.rand(len(x_t), generator=generator) < _PLAIN] = torch.nan
        if reading:
            weight = weight.clamp(max=1.0)
        frame = extent(size)
        own = number % 2 == 1
        grid = state_grid(samples, frame) if own else _fine_pixels(size, samples, config.queries, generator)
        empty = torch.zeros(len(x_t), teacher.config.channels, *grid.size)
        values = step_values(teacher.config) if own else 1
        given = Batch(x_t, logsnr, asked.weighted(weight), frame, grid, values, empty, None, None)
        return replace(given, target=answers(teacher, given, autoguidance, reading))

    return batch


def _fine_pixels(size: Size, samples: Size, queries: float, generator: torch.Generator) -> Grid:
    """Evenly spread pixels of a grid that is finer than the pictures of a size, `queries` per sample of the state."""
    fine = _FINER * size[0], _FINER * size[1]
    rows, columns = target_pixels((slice(0, fine[0]), slice(0, fine[1])), queries * samples[0] * samples[1], generator)
    return view(fine, extent(size), fit="stretch").part(rows, columns)


@torch.no_grad()
def answers(teacher: S2ID, batch: Batch, autoguidance: float, reading: bool = False) -> Images:
    """The teacher's guided predictions at a batch's pixels, plain ones for pictures without a weight, in [-1, 1].

    Args:
        teacher: The model, with its guide if it has one.
        batch: States, conditions with their weights, and pixels.
        autoguidance: Weight of autoguidance.
        reading: Whether to answer as the last call does, which reads the function out: with a share of the
            autoguidance, without the unconditional prediction, and with nothing cut off before the two networks'
            functions are extrapolated.
    """
    asked, device = replace(batch.condition, guidance=None), teacher.device
    conditions = [asked] if reading else [asked, asked.unknown()]
    bound = None if reading else 1.0
    weight = batch.condition.guidance
    assert weight is not None
    each = _predictions(teacher.network, batch, conditions, bound, device)
    if teacher.guide is not None and autoguidance != 1:
        strength = 1 + (READING if reading else 1.0) * (autoguidance - 1)
        strengths = per_sample(torch.where(weight.isnan(), 1.0, strength).to(device), each[0])
        weaker = _predictions(teacher.guide, batch, conditions, bound, device)
        each = [low.lerp(own, strengths) for low, own in zip(weaker, each, strict=True)]
    guided = each[-1].lerp(each[0], per_sample(weight.nan_to_num(1.0).to(device), each[0]))
    return guided.clamp(-1, 1)


def _predictions(
    network: AnyNetwork, batch: Batch, conditions: Sequence[Condition], bound: float | None, device: torch.device
) -> list[Float[Tensor, "b c y x"]]:
    """A network's predictions at a batch's pixels under each condition; the encoder runs once."""
    encoded = network.encode(batch.x_t.to(device), batch.logsnr.to(device), batch.frame)
    features = (network.decode(encoded, condition.to(device)) for condition in conditions)
    return [network.head(one, batch.grid.to(device), batch.supersample, bound) for one in features]


def _same_teacher(folder: Path, facts: dict[str, str | float]) -> None:
    """Keep in a run's folder who teaches, and refuse to go on with another teacher.

    Raises:
        InputError: The folder names another teacher, or cannot be written.
    """
    file = folder / "teacher.json"
    if not file.is_file():
        write_text(file, json.dumps(facts, indent=2) + "\n")
        return
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read ({error}); choose another --out, or remove the folder.") from error
    if wrong := [name for name, value in facts.items() if not isinstance(known, dict) or known.get(name) != value]:
        raise InputError(f"{folder} was begun with another {wrong[0]}; choose another --out, or remove the folder.")
