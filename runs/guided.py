"""Agreement of a student that guides itself with its teacher, at times from noise to picture and at several weights.

    python runs/guided.py STUDENT TEACHER --data data --count 64 --out out/guided

Every value is 10 log10(4 / mean squared difference), in dB, over the samples of noisy states of test pictures; at
t = 0 over the functions that both read out, at four pixels per side of a pixel of the data. *unguided* is the agreement
of the teacher's plain prediction with its guided one, which is where a student begins. At t = 0, where sampling knows
no guidance, only weight 1 and the plain prediction have a meaning. Writes table.md and table.json.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from common import write_tables
from torch import Tensor

from s2id.condition import Condition
from s2id.coords import extent, trained_size, view
from s2id.data.pictures import Pictures, batch_at
from s2id.data.registry import load_pictures
from s2id.diffusion.process import alpha_sigma
from s2id.memory import keep_memory
from s2id.network.base import state_grid
from s2id.network.heads import Features
from s2id.sampling.model import S2ID, load
from s2id.training.batches import Batch, means
from s2id.training.guided import answers

TIMES = (1.0, 0.9, 0.75, 0.5, 0.25, 0.1, 0.04, 0.0)
WEIGHTS = {"plain": torch.nan, "1": 1.0, "2": 2.0, "4": 4.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("student")
    parser.add_argument("teacher")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--out", type=Path, default=Path("out/guided"))
    args = parser.parse_args()
    keep_memory()
    student, teacher = load(args.student), load(args.teacher)
    pictures = load_pictures("mnist", args.data, "test")
    rows = agreement(student, teacher, pictures, args.count)
    facts = {"n": args.count, "autoguidance": student.card.autoguidance, "images seen": student.card.images_seen}
    columns = [f"{name} {weight}" for weight in WEIGHTS for name in ("unguided", "student")]
    write_tables(args.out, facts, ("t", *columns), {}, rows)


def agreement(student: S2ID, teacher: S2ID, pictures: Pictures, count: int) -> list[dict[str, float]]:
    """A row per time: agreement at every weight, of the teacher without guidance and of the student."""
    images, asked = batch_at(pictures, 0, count, seed=0)
    rows = []
    for t in TIMES:
        given = states(teacher, images, asked, t)
        row = {"t": t}
        for name, weight in WEIGHTS.items():
            told, plain = (replace(given, condition=asked.weighted(w)) for w in (weight, torch.nan))
            wanted = answers(teacher, told, student.card.autoguidance, reading=t == 0)
            row[f"unguided {name}"] = decibels(answers(teacher, plain, 1.0), wanted)
            with torch.inference_mode():
                found = student.network.head(predicted(student, told), given.grid, given.supersample, 1.0)
            row[f"student {name}"] = decibels(found, wanted)
        rows.append(row)
    return rows


def states(teacher: S2ID, images: Tensor, asked: Condition, t: float) -> Batch:
    """States of pictures at a time, as sampling has them, and the pixels at which predictions are compared."""
    card, size = teacher.card, (images.shape[2], images.shape[3])
    density = card.detail_density if card.detail_density and t <= card.detail_time else card.density
    state = means(images, trained_size(size, density, teacher.config.patch))
    schedule = teacher.schedule.at_density(max(state.shape[2:]) / card.density)
    logsnr = schedule.logsnr(torch.full((len(images),), t))
    alpha, sigma = (a[:, None, None, None] for a in alpha_sigma(logsnr))
    noise = torch.randn(state.shape, generator=torch.Generator().manual_seed(0))
    frame, fine = extent(size), (4 * size[0], 4 * size[1])
    grid = view(fine, frame) if t == 0 else state_grid((state.shape[2], state.shape[3]), frame)
    return Batch(alpha * state + sigma * noise, logsnr, asked, frame, grid, 1 if t == 0 else None, state, None, None)


def predicted(model: S2ID, batch: Batch) -> Features:
    """A model's prediction for states under conditions with weights of guidance."""
    return model.network.decode(model.network.encode(batch.x_t, batch.logsnr, batch.frame), batch.condition)


def decibels(one: Tensor, other: Tensor) -> float:
    """Agreement of pictures with values in [-1, 1]."""
    return round(float(10 * torch.log10(4 / (one - other).square().mean())), 1)


if __name__ == "__main__":
    main()
