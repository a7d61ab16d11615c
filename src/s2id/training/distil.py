"""Distillation: a student samples in a few network calls what its teacher samples in many.

The student's calls have a few fixed times. The target of each call but the last is the x from which one step of ddim
reaches the state that the teacher's many steps reach (Salimans and Ho 2022, arXiv 2202.00512, algorithm 2). The target
of the last call is the teacher's final field, at four times the data's resolution (Luhman and Luhman 2021, arXiv
2101.02388). The teacher's trajectories are drawn once and kept in files.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from s2id.condition import KINDS, Condition, cat
from s2id.coords import extent, view
from s2id.data.pictures import Pictures, batch_at
from s2id.errors import InputError
from s2id.files import checksum, read_tensors, write_tensors
from s2id.media.images import resize
from s2id.network.base import state_grid, step_values
from s2id.network.network import FieldNetwork
from s2id.sampling.denoisers import read_out, trained_denoiser
from s2id.sampling.model import S2ID
from s2id.sampling.resolving import autoguidance_of, resolved, temperature_of
from s2id.sampling.sample import compose
from s2id.sampling.states import affordable, state_sizes, unit_noise
from s2id.seeds import seed_of
from s2id.settings import Size, to_dict
from s2id.training.batches import HIDING, Batch, hide, target_pixels
from s2id.training.settings import DistillConfig, Preset, StudentConfig
from s2id.training.trainer import Trainer

_FORMAT = "s2id-trajectories-4"

_DENSER = 4
"""Pixels of a target picture along each side of a pixel of the data."""


@dataclass(frozen=True)
class Trajectories:
    """Trajectories of the teacher."""

    states: Float[Tensor, "n k c h w"]
    """States at each of the teacher's times, from t = 1 to 0, or to the time at which it changes to finer states."""
    pictures: Float[Tensor, "n c y x"]
    """Pictures of the final fields."""
    asked: Condition
    """Condition of each trajectory."""

    def __len__(self) -> int:
        """Number of trajectories."""
        return len(self.states)


def picture_size(teacher: S2ID) -> Size:
    """Height and width of the pictures that are kept of the teacher's final fields."""
    height, width = teacher.card.size or (teacher.card.density, teacher.card.density)
    return _DENSER * height, _DENSER * width


def draw_trajectories(
    teacher: S2ID, pictures: Pictures, config: DistillConfig, train: StudentConfig, folder: Path
) -> Iterator[int]:
    """Draw trajectories into a folder, and yield after each batch how many it holds. Complete files are kept.

    Args:
        teacher: The model.
        pictures: The data whose conditions the trajectories have.
        config: Number of trajectories and how to sample them.
        train: Seed, and share of the trajectories without any condition.
        folder: Where trajectories are kept.

    Raises:
        InputError: The folder holds trajectories of another teacher or of other settings.
    """
    facts = _facts(teacher, config, train)
    batch = affordable(teacher.card.density)
    for number, first in enumerate(range(0, config.pairs, batch)):
        path, count = folder / f"{number:06d}.safetensors", min(batch, config.pairs - first)
        held = 0
        if path.is_file():
            tensors, found = read_tensors(path, _FORMAT)
            _check(path, found, facts)
            held = len(tensors["label"])
        if held < count:  # the last file of a run with fewer trajectories is drawn anew
            seeds = [seed_of(train.seed, first + i, 2) for i in range(count)]
            generator = torch.Generator().manual_seed(seed_of(train.seed, number, 3))
            asked = hide(batch_at(pictures, number, count, train.seed)[1], train, generator)
            write_tensors(path, _draw(teacher, config, seeds, asked), {"format": _FORMAT, **facts})
        yield first + count


def _draw(teacher: S2ID, config: DistillConfig, seeds: list[int], asked: Condition) -> dict[str, Tensor]:
    size, _ = state_sizes(teacher, teacher.card.size or (1, 1))
    steps = compose(teacher, asked, seeds, config.sampling)
    walk = [step.x_t for step in steps]
    # a teacher may end on finer states: all of the student's calls come before, and its target shows their result
    coarse = [x_t for x_t in walk if (x_t.shape[2], x_t.shape[3]) == size]
    noise = unit_noise(teacher, size, seeds, config.sampling.noise)
    start = temperature_of(teacher, config.sampling.temperature) * noise
    states = torch.stack([start, *coarse], dim=1)
    field = read_out(teacher, walk[-1], asked, autoguidance=autoguidance_of(teacher, config.sampling.autoguidance))
    picture = field.render(picture_size(teacher), fit="stretch")
    more = {name: part for name, part, _ in asked.parts()}
    return {"states": states.half(), "pictures": picture.half(), "label": asked.label, **more}


def load_trajectories(folder: Path, count: int) -> Trajectories:
    """The first `count` trajectories that `draw_trajectories` wrote into a folder."""
    parts = [read_tensors(path, _FORMAT)[0] for path in sorted(folder.glob("[0-9]*.safetensors"))]
    states, pictures = (torch.cat([part[name] for part in parts])[:count].float() for name in ("states", "pictures"))
    asked = [Condition.of(part["label"], {name: part[name] for name in KINDS if name in part}) for part in parts]
    return Trajectories(states, pictures, cat(asked)[:count])


def student_batches(
    teacher: S2ID, drawn: Trajectories, config: DistillConfig, train: StudentConfig
) -> Callable[[int], Batch]:
    """Function from a batch's number to a batch: states of the teacher and the targets of the student's predictions.

    The student's calls take turns. The last call, which has the hardest target, has more than half of the batches.

    Args:
        teacher: The model.
        drawn: Trajectories of the model.
        config: Times of the student's calls.
        train: Seed, states per batch, and values of the field per sample of the state.
    """
    size = (drawn.states.shape[3], drawn.states.shape[4])
    local = bool(teacher.config.local_blocks)  # its network predicts the clean state beside the function
    frame, denoiser = extent(size), trained_denoiser(teacher, size, config.sampling.shift)
    times, at = torch.tensor(config.times, dtype=torch.float64), [round((1 - t) * config.steps) for t in config.times]
    alpha, sigma = denoiser.schedule(times)
    logsnr = denoiser.schedule.logsnr(times).float()

    def batch(number: int) -> Batch:
        generator = torch.Generator().manual_seed(seed_of(train.seed, number))
        chosen = torch.randint(len(drawn), (train.batch,), generator=generator)
        call = min(number % (2 * len(times)), len(times) - 1)
        x_t, asked, noise = drawn.states[chosen, at[call]], drawn.asked[chosen], logsnr[call].expand(train.batch)
        if teacher.config.guided:  # as sampling asks a distilled model
            asked = asked.weighted(1.0)
        if call + 1 < len(times):
            ratio = (sigma[call + 1] / sigma[call]).item()
            after = drawn.states[chosen, at[call + 1]]
            target = (after - ratio * x_t) / (alpha[call + 1] - ratio * alpha[call]).item()
            own, values = state_grid(size, frame), step_values(teacher.config)
            return Batch(x_t, noise, asked, frame, own, values, target, target if local else None, None)
        height, width = drawn.pictures.shape[2:]
        factor = train.supersample[int(torch.randint(len(train.supersample), (), generator=generator))]
        affordable = size[0] * size[1] * train.queries / factor**2
        rows, columns = target_pixels((slice(0, height), slice(0, width)), affordable, generator)
        grid = view((height, width), frame, fit="stretch").part(rows, columns)
        picture = drawn.pictures[chosen][:, :, rows, columns]
        clean = resize(drawn.pictures[chosen], size) if local else None
        return Batch(x_t, noise, asked, frame, grid, factor, picture, clean, None)

    return batch


def student_trainer(
    teacher: S2ID, pictures: Pictures, drawn: Trajectories, config: DistillConfig, train: StudentConfig, folder: Path
) -> Trainer:
    """The training run of a student. The student begins with its teacher's weights.

    A student of a teacher that guides itself has one weight of guidance, the one that its teacher sampled with.

    Args:
        teacher: The model.
        pictures: The data that it was trained on.
        drawn: Trajectories of the model.
        config: Times of the student's calls.
        train: Settings of the training.
        folder: Where checkpoints are written.

    Raises:
        InputError: The data are not those that the teacher was trained on.
    """
    temperature = temperature_of(teacher, config.sampling.temperature)
    card = replace(
        teacher.card,
        times=config.times,
        detail_density=0,
        detail_time=0.0,
        autoguidance=1.0,
        temperature=temperature,
    )
    start = S2ID(teacher.config, card)
    start.network.load_state_dict(teacher.network.state_dict())
    if isinstance(start.network, FieldNetwork) and start.network.guidance_film is not None:
        start.network.guidance_film.begin_at(resolved(teacher, config.sampling).guidance or 1.0)
    start = start.drawn_by(teacher) if teacher.renderer is not None else start
    preset = Preset("folder", teacher.config, train.training(teacher.card.density))
    return Trainer(preset, pictures, folder, start, student_batches(teacher, drawn, config, train))


def check_origin(teacher: S2ID, pictures: Pictures, task: str) -> None:
    """Refuse a model that no student can learn from.

    Args:
        teacher: The model.
        pictures: The data that it was trained on.
        task: Name of the distillation, for the message.

    Raises:
        InputError: The model is distilled already, composes latents or predicts no functions; or the data are not those
            it was trained on.
    """
    if teacher.card.names != pictures.names:
        raise InputError(f"{pictures.name} has other labels than the model; name the data set it was trained on.")
    teacher.need_denoiser(task)
    teacher.need_pixels(task)
    teacher.need_function(task)


def check_teacher(teacher: S2ID, pictures: Pictures, config: DistillConfig) -> None:
    """Refuse a teacher that cannot be distilled, before hours are spent on it.

    Raises:
        InputError: The model is distilled already, or predicts no functions; the data are not those it was trained
            on; or one of the student's times is after the teacher's change to finer states.
    """
    card = teacher.card
    if card.detail_density and config.times[-1] * config.steps < int(card.detail_time * config.steps):
        raise InputError(f"the model samples on finer states from t = {card.detail_time:g} on; give no time below.")
    check_origin(teacher, pictures, "distilling")


def _facts(teacher: S2ID, config: DistillConfig, train: StudentConfig) -> dict[str, str]:
    own = {
        "teacher": checksum(teacher.tensors()),
        "detail_density": str(teacher.card.detail_density),
        "detail_time": str(teacher.card.detail_time),
        **{name: str(value) for name, value in to_dict(config.sampling).items()},
        "autoguidance": str(autoguidance_of(teacher, config.sampling.autoguidance)),
    }
    return {**own, **{name: str(getattr(train, name)) for name in ("seed", *HIDING)}}


def _check(path: Path, found: dict[str, str], wanted: dict[str, str]) -> None:
    if wrong := [name for name, value in wanted.items() if found.get(name) != value]:
        raise InputError(f"{path} was drawn with another {wrong[0]}; choose another --out, or remove the folder.")
