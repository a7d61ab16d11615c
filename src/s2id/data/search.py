"""What a folder holds: its pictures, its files of labels, and a sentence for everything that is left out.

Links to folders and files are followed. A folder is read once, so that links in a circle end.
"""

import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from s2id.data.drawings import ENDINGS
from s2id.data.iconify import is_package
from s2id.media.formats import endings, unread

METADATA = ("metadata.csv", "metadata.jsonl")
"""Names of files of labels, in any case."""

_CAPTIONS = (".txt", ".caption")


@dataclass(frozen=True)
class Found:
    """The files below a folder."""

    pictures: list[Path]
    """Every file whose ending is a picture's, sorted."""
    drawings: list[Path]
    """Every SVG file, sorted."""
    packages: list[Path]
    """Every package of icons, sorted."""
    metadata: list[Path]
    """Every file of labels, sorted."""
    skipped: tuple[str, ...]
    """A sentence for each folder or file that cannot be read, and for each kind of files that look like pictures."""


def search(folder: Path) -> Found:
    """The pictures below a folder, and what is left out; hidden files and folders are passed over without a word."""
    pictures, drawings, packages, metadata = list[Path](), list[Path](), list[Path](), list[Path]()
    others, skipped = list[Path](), list[str]()
    for found in _walk(folder):
        if isinstance(found, str):
            skipped.append(found)
        elif found.name.lower() in METADATA and (found.is_file() or os.path.islink(found)):
            metadata.append(found)
        elif reason := _unusable(found):
            skipped.append(reason)
        elif found.suffix.lower() in endings():
            pictures.append(found)
        elif found.suffix.lower() in ENDINGS:
            drawings.append(found)
        else:
            (packages if is_package(found) else others).append(found)
    within = {package.parent for package in packages}
    others = [file for file in others if file.suffix != ".json" or file.parent not in within]
    told = (*unread(others), *_beside([*pictures, *drawings], others), *sorted(skipped))
    return Found(sorted(pictures), sorted(drawings), sorted(packages), sorted(metadata), told)


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below a folder that is not hidden; links are followed."""
    return (found for found in _walk(folder) if not isinstance(found, str) and not _unusable(found))


def _walk(folder: Path) -> Iterator[Path | str]:
    """Everything below a folder that is no folder, and a sentence for each folder that is not read."""
    top, seen = folder.resolve(), set[Path]()
    folders, links = deque([folder]), deque[Path]()  # a folder in its own place comes before one that a link leads to
    while folders or links:
        place = folders.popleft() if folders else links.popleft()
        real = place.resolve()
        if real in seen or (real != top and top.is_relative_to(real)):
            yield f"{place} leads to {real}, which is read already or holds this folder."
            continue
        seen.add(real)
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError as error:
            yield f"{place} cannot be read ({error.strerror}); let it be read, or remove it."
            continue
        for entry in entries:
            if entry.name.startswith("."):  # thumbnails and the like
                continue
            if not _is_folder(entry):
                yield place / entry.name
            elif entry.is_symlink():
                links.append(place / entry.name)
            else:
                folders.append(place / entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # links in a circle, or into a folder that may not be read
        return False


def _unusable(file: Path) -> str | None:
    """Why a file cannot be opened, in a sentence; `None` if it can."""
    try:
        kind = file.stat().st_mode
    except OSError as error:
        what = "a broken link" if os.path.islink(file) else "not at hand"
        return f"{file} is {what} ({error.strerror}); mend or remove it."
    if not stat.S_ISREG(kind):
        return f"{file} is no ordinary file; remove it."
    readable = os.access(file, os.R_OK, effective_ids=os.access in os.supports_effective_ids)
    return None if readable else f"{file} cannot be read (Permission denied); let it be read."


def _beside(pictures: list[Path], others: list[Path]) -> Iterator[str]:
    """A sentence about files of captions that stand beside pictures of the same name."""
    stems = {picture.with_suffix("") for picture in pictures}
    some = sorted(file for file in others if file.suffix.lower() in _CAPTIONS and file.with_suffix("") in stems)
    if some:
        yield (
            f"captions of {len(some):,} pictures are not read, the first: {some[0]}; captions are read from the column "
            "text of metadata.csv."
        )
