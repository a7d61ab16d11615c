"""A run's folder: its checkpoints, written whole or not at all, and its lock, which one run holds at a time."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from filelock import FileLock, Timeout
from torch import Tensor

from s2id.checks import Share, Within, fits
from s2id.errors import InputError
from s2id.files import read_tensors, write_tensors, write_text, writing
from s2id.headers import no_file
from s2id.network.settings import network_from_dict, network_to_dict
from s2id.sampling.model_file import RUN_MODEL
from s2id.stopping import unfinished
from s2id.training.progress import duration
from s2id.training.settings import TrainConfig

_FORMAT = "s2id-training-1"

_ELSEWHERE = "choose another with --out"

_MOST = 2**63 - 1

_Some = Annotated[int, Within(1, _MOST)]

_Time = Annotated[float, Within(0)]


def checkpoints(folder: Path) -> list[Path]:
    """All complete checkpoints in a run's folder, oldest first."""
    return sorted(p for p in (folder / "checkpoints").glob("[0-9]*") if (p / "run.json").is_file())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A run's folder, locked against other runs.

    Raises:
        InputError: Another run holds the lock, or the folder cannot be written.
    """
    lock = FileLock(folder / ".lock", timeout=0)
    with writing(folder, _ELSEWHERE):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise InputError(f"{folder} is in use by another run; wait for it or {_ELSEWHERE}.") from error
    with lock:
        yield


def checkpoint_to_resume(folder: Path, resume: str | Path | None) -> tuple[Path | None, list[str]]:
    """The checkpoint that a run goes on from, and notes on newer ones that are damaged; `None` if the run begins.

    Args:
        folder: Folder of the run.
        resume: "latest", a checkpoint's folder, or `None` to begin.

    Raises:
        InputError: The run is to begin and the folder holds checkpoints or a model, or to go on and it holds none
            that can be read; or the checkpoint is another run's, and this folder's own would be deleted as later ones;
            or the folder's name is none that a folder can have.
    """
    with writing(folder, _ELSEWHERE):
        found, trained = checkpoints(folder), (folder / RUN_MODEL).exists()
    if resume == "latest" and not found:
        raise InputError(f"{folder} has no checkpoint to resume; start without --resume.")
    if found and not resume:
        raise InputError(f"{folder} already holds a run; go on with --resume latest, or choose another --out.")
    if not resume and trained:
        raise InputError(f"{folder} already holds a trained model; choose another --out, or remove it.")
    if not resume:
        return None, []
    if resume == "latest":
        return _newest_whole(folder)
    if found and Path(resume).resolve() not in {own.resolve() for own in found}:
        raise InputError(f"{resume} is no checkpoint of {folder}, which holds a run of its own; choose another --out.")
    return Path(resume), []


def _newest_whole(folder: Path) -> tuple[Path, list[str]]:
    """The newest checkpoint that can be read, and a note on each newer one.

    Raises:
        InputError: None can be read.
    """
    notes: list[str] = []
    for checkpoint in sorted((folder / "checkpoints").glob("[0-9]*"), reverse=True):
        try:
            read_facts(checkpoint)
            read_parts(checkpoint)
        except InputError as error:
            reason = str(error).partition(";")[0]
            notes.append(f"checkpoint {checkpoint.name} is damaged: {reason}")
        else:
            return checkpoint, [f"{note}; the one before it is taken." for note in notes]
    raise InputError(f"no checkpoint of {folder} can be read ({notes[0]}); begin a new run with another --out.")


def write_checkpoint(
    folder: Path, images_seen: int, tensors: dict[str, Tensor], facts: dict[str, Any], keep: int
) -> None:
    """Write a checkpoint, whole or not at all, and delete those that are no longer needed.

    Args:
        folder: Folder of the run.
        images_seen: Pictures that the run has drawn; the checkpoint's name.
        tensors: Weights and the optimisers' state.
        facts: All else that resuming needs, as values for JSON.
        keep: Number of checkpoints to keep, this one included.

    Raises:
        InputError: The folder cannot be written; the older checkpoints stay.
    """
    final = folder / "checkpoints" / f"{images_seen:012d}"
    partial, before = final.with_name(f".{final.name}.partial"), final.with_name(f"{final.name}-before")
    shutil.rmtree(partial, ignore_errors=True)
    with writing(final), unfinished(partial):
        write_tensors(partial / "training.safetensors", tensors, {"format": _FORMAT})
        write_text(partial / "run.json", json.dumps(facts, indent=2))
        if final.exists():  # never without one of the two
            shutil.rmtree(before, ignore_errors=True)  # of a process that ended here
            os.replace(final, before)
        os.replace(partial, final)
    found = checkpoints(folder)
    now = found.index(final) + 1
    # later checkpoints belong to a run that was given up when this one went on from an earlier checkpoint
    for old in (*found[: max(0, now - keep)], *found[now:]):
        shutil.rmtree(old)


def with_length_of(checkpoint: Path, config: TrainConfig, named: bool) -> TrainConfig:
    """The settings with the length of the run that a checkpoint belongs to, because the learning rate depends on it.

    Args:
        checkpoint: The checkpoint.
        config: Settings of the run that goes on from it.
        named: Whether their length was asked for; it must then be that of the run.

    Raises:
        InputError: It is no checkpoint, or another length was asked for.
    """
    facts = read_facts(checkpoint)
    now, planned = facts["train"], facts.get("length", facts["train"])
    wanted = {"minutes": config.minutes} if config.minutes is not None else {"images": config.images, "minutes": None}
    if named and any(planned[name] != value for name, value in wanted.items()):
        length = f"{planned['images']:,} images" if planned["minutes"] is None else duration(60 * planned["minutes"])
        raise InputError(
            f"{checkpoint.parent.parent} holds a run of {length}, whose learning rate is planned for that: leave "
            "--minutes and --images out to go on with it, or train it longer with --extra-minutes."
        )
    return replace(config, images=now["images"], minutes=now["minutes"])


def read_facts(checkpoint: Path) -> dict[str, Any]:
    """The facts that a checkpoint was written with.

    Raises:
        InputError: It is no checkpoint, or a fact that a run goes on from is missing or out of range.
    """
    path = checkpoint / "run.json"
    if reason := no_file(path):
        raise InputError(f"{checkpoint} is no checkpoint (its run.json {reason}); name one of the run's.")
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{checkpoint} is no checkpoint (its run.json is damaged); name one of the run's.") from error
    wrong = "its content" if not isinstance(facts, dict) else _first_wrong(facts)
    if wrong:
        raise InputError(f"{checkpoint} is no checkpoint ({wrong} in run.json is not as written); name another.")
    return facts


def _first_wrong(facts: dict[str, Any]) -> str:
    """Name of a fact that no run has written; empty if there is none."""
    right = {
        "step": fits(facts.get("step"), Annotated[int, Within(0, _MOST)]),
        "seconds": fits(facts.get("seconds"), _Time),
        "begun": fits(facts.get("begun", 0.0), Share),
        "length": "length" not in facts or _is_length(facts["length"]),
        "images_per_step": fits(facts.get("images_per_step"), _Some),
        "train": _is_length(facts.get("train")),
        "model": fits(facts.get("model"), dict),
    }
    return next((name for name, whole in right.items() if not whole), "")


def _is_length(value: Any) -> bool:  # noqa: ANN401  (any value of JSON)
    """Whether settings hold the length of a run."""
    return (
        fits(value, dict) and fits(value.get("images"), _Some) and fits(value.get("minutes", "missing"), _Time | None)
    )


def read_parts(checkpoint: Path) -> dict[str, dict[str, Tensor]]:
    """The tensors of a checkpoint: `part/name` of the file is `name` of the dictionary `part`.

    Raises:
        InputError: The file is damaged.
    """
    tensors, _ = read_tensors(checkpoint / "training.safetensors", _FORMAT)
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimiser": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition("/")
        if part not in parts:
            raise InputError(f"{checkpoint} holds {name!r}, which is no part of a run; name another checkpoint.")
        parts[part][rest] = tensor
    return parts


def check_same(checkpoint: Path, facts: dict[str, Any], own: dict[str, Any]) -> None:
    """Refuse a checkpoint of another run or network.

    Args:
        checkpoint: The checkpoint, for the message.
        facts: Facts of the checkpoint.
        own: Facts that the run would write now.

    Raises:
        InputError: Network, names of labels and words, pixelation, optimiser, autoencoder or pictures per step are not
            those of the run. That its pictures are the same is not checked: a folder may have grown.
    """
    before, now = network_to_dict(network_from_dict(facts["model"], str(checkpoint))), own["model"]
    if other := [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]:
        raise InputError(
            f"{checkpoint} is of another network, with {other[0]} {before.get(other[0])} and not {now.get(other[0])}; "
            "resume it with the preset, the data and the settings (--densities, --set) that it was begun with."
        )
    if any(facts.get(name, own[name]) != own[name] for name in ("names", "words")):
        raise InputError(f"{checkpoint} knows other labels than the data, or in another order; resume it with its own.")
    before, now = facts["train"].get("pixelate", facts["train"].get("observe")), own["train"]["pixelate"]
    if before != now:
        raise InputError(
            f"{checkpoint} was trained with pixelate {before or 'off'} and not {now or 'off'}; resume it as it was."
        )
    if (before := facts["train"].get("optimiser")) != own["train"]["optimiser"]:
        raise InputError(f"{checkpoint} was trained with the optimiser {before}; resume it as it was.")
    if (before := facts.get("autoencoder", "")) != own["autoencoder"]:
        raise InputError(
            f"{checkpoint} was trained with {before or 'no autoencoder'} and not with "
            f"{own['autoencoder'] or 'none'}; resume it as it was (--vae)."
        )
    if facts["images_per_step"] != own["images_per_step"]:
        raise InputError(
            f"{checkpoint} was made with {facts['images_per_step']} images per step and this run has "
            f"{own['images_per_step']}; use the same batch, accumulate and number of processes."
        )
