"""A run folder: checkpoints, its lock, and training in it to the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from s2id.errors import InputError


def checkpoints(folder: Path) -> list[Path]:
    """A run's complete checkpoints, oldest first."""
    return sorted(p for p in (folder / "checkpoints").glob("[0-9]*") if (p / "run.json").is_file())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The run folder, for one run only.

    Raises:
        InputError: Another process has it, or it cannot be written.
    """
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise InputError(f"{folder} is in use by another run; wait for it or choose another with --out.") from error
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); choose another with --out.") from error
    with lock:
        yield


def checkpoints_of(folder: Path, resume: str | None) -> list[Path]:
    """A run's checkpoints: some where it is to go on, and none where it begins.

    Raises:
        InputError: It is the other way round.
    """
    found = checkpoints(folder)
    if resume == "latest" and not found:
        raise InputError(f"{folder} has no checkpoint to resume; start without --resume.")
    if found and not resume:
        raise InputError(f"{folder} already holds a run; go on with --resume latest, or choose another --out.")
    return found
