"""Where downloads and decoded pictures are kept between runs. Nothing is looked up or made before it is needed."""

import os
import sys
import tempfile
from functools import cache
from pathlib import Path

from s2id.errors import InputError

_VARIABLE = "S2ID_CACHE"


def cache_folder() -> Path:
    """The folder of the cache, which exists and can be written.

    It is what the variable S2ID_CACHE names, else `s2id` in XDG_CACHE_HOME or ~/.cache. Where a user has no home that
    can be written, it is a folder of the user's own among the temporary files, with a note on standard error.

    Raises:
        InputError: S2ID_CACHE names a folder that cannot be written.
    """
    if asked := os.environ.get(_VARIABLE):
        if reason := _unwritable(Path(asked)):
            raise InputError(f"{_VARIABLE} names {asked}, which cannot be written ({reason}); name another folder.")
        return Path(asked)
    home = _in_home()
    reason = "there is no home folder" if home is None else _unwritable(home)
    return home if home is not None and not reason else _temporary(f"{home or '~/.cache'}: {reason}")


def _in_home() -> Path | None:
    """The usual folder of the cache, or `None` for a user without a home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if Path(base).is_absolute():  # others are to be ignored (XDG Base Directory Specification)
        return Path(base) / "s2id"
    try:
        return Path.home() / ".cache" / "s2id"
    except RuntimeError:
        return None


def _unwritable(folder: Path) -> str | None:
    """Why files cannot be made in a folder, which is made if need be; `None` if they can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)


@cache
def _temporary(reason: str) -> Path:
    """A folder among the temporary files that only this user can write, the same for every process; a note says why."""
    folder = Path(tempfile.gettempdir()) / f"s2id-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        own = not folder.is_symlink() and folder.stat().st_uid == os.getuid()
    except (OSError, AttributeError):
        own = False
    if not own or _unwritable(folder):
        folder = Path(tempfile.mkdtemp(prefix="s2id-"))
    print(f"s2id: files are kept in {folder} ({reason}); set {_VARIABLE} to keep them elsewhere.", file=sys.stderr)
    return folder
