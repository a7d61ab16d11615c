"""Packages of icons in Iconify's JSON form: a folder with icons.json, or the .tgz that `npm pack` makes of it.

icons.json holds SVG bodies by name and aliases of other icons; beside it, metadata.json lists categories, chars.json
code points and info.json whose work it is. See iconify.design/docs/types/iconify-json.html.
"""

import json
import math
import os
import tarfile
import zlib
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from s2id.errors import InputError
from s2id.names import composed

ICONS = "icons.json"

_MOST_BYTES = 2**28  # of a file of a package

_FIRST = 32  # files of an archive that are looked at for an icons.json

FILES = (ICONS, "info.json", "metadata.json", "chars.json")
"""The files of a package that are read."""

_BOX = ("left", "top", "width", "height")

_MOVES = ("hFlip", "vFlip", "rotate")

_TONES = ("light", "medium-light", "medium", "medium-dark", "dark")

_MODIFIERS = {f"1f3f{i}" for i in "bcdef"}  # Unicode's skin tones


@dataclass(frozen=True)
class Icon:
    """One icon of a package."""

    body: str
    """What stands inside its <svg>."""
    box: tuple[float, float, float, float]
    """Left, top, width and height of what it shows."""
    flips: tuple[bool, bool] = (False, False)
    """Whether it is mirrored from left to right, and from top to bottom."""
    turns: int = 0
    """Quarter turns clockwise, after mirroring."""

    def svg(self) -> str:
        """The icon as an SVG file. `currentColor` is black, as where no colour is given."""
        left, top, width, height = self.box
        body = self.body
        if self.turns or any(self.flips):
            across, down = (-1 if flip else 1 for flip in self.flips)
            middle = f"{-left - width / 2:g} {-top - height / 2:g}"
            body = f'<g transform="rotate({90 * self.turns}) scale({across} {down}) translate({middle})">{body}</g>'
            width, height = (height, width) if self.turns % 2 else (width, height)
            left, top = -width / 2, -height / 2
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{left:g} {top:g} {width:g} {height:g}">{body}</svg>'
        )


@dataclass(frozen=True)
class Package:
    """The icons of one set."""

    path: Path
    """Its icons.json or .tgz."""
    prefix: str
    """Short name of the set."""
    about: str
    """Name, author and licence of the set."""
    icons: dict[str, Icon]
    """Icons to draw, by name."""
    same: dict[str, str] = field(default_factory=dict)
    """Further names -> the icon that is the same."""
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of icons in each category."""
    left: dict[str, int] = field(default_factory=dict)
    """What is left out -> how many icons."""


def is_package(path: Path) -> bool:
    """Whether a file is an icons.json, or an archive that holds one."""
    if path.name == ICONS:
        return True
    if path.suffix.lower() != ".tgz":
        return False
    try:
        with tarfile.open(path, "r|gz") as archive:
            return any(_name(member) == ICONS for member in islice(archive, _FIRST))
    except (OSError, EOFError, tarfile.TarError, zlib.error):
        return False


def name_of(place: Path) -> str:
    """Name of a data set: that of its folder, also where the path to it is "."; of an archive that of the file.

    >>> name_of(Path("holiday.2024/../sea.side/.")), name_of(Path("flat/icons.json")), name_of(Path("flat-1.0.tgz"))
    ('sea.side', 'flat', 'flat-1.0')
    """
    whole = Path(os.path.abspath(place))
    name = whole.parent.name if whole.name == ICONS else whole.stem if whole.suffix.lower() == ".tgz" else whole.name
    return composed(name) or "folder"


def read(path: Path) -> Package:
    """The icons of a package, but for hidden ones, variants of skin tone, and names that lead to none.

    Raises:
        InputError: The package has another form.
    """
    files = _files(path)
    icons, info, metadata, chars = (files[name] for name in FILES)
    found, aliases = _object(icons.get("icons"), path), _object(icons.get("aliases", {}), path)
    prefix = icons.get("prefix")
    if not isinstance(prefix, str) or not prefix or not found:
        raise _another_form(path)
    tones = _tones({*found, *aliases}, chars)
    drawn, same, left = dict[str, Icon](), dict[str, str](), Counter[str]()
    for name in sorted({*found, *aliases}):
        root, changes = _followed(name, found, aliases)
        facts = _merged([found.get(root), *changes])
        if name in tones:
            left["variants of skin tone"] += name in found
        elif facts.get("hidden"):
            left["hidden by the set"] += name in found
        elif root != name and not any(change.keys() & {*_BOX, *_MOVES} for change in changes):
            same[name] = root
        elif icon := _icon(facts, icons):
            drawn[name] = icon
        else:
            left["without a drawing"] += 1
    listed = _object(metadata.get("categories", {}), path)
    return Package(
        path,
        prefix,
        _about(prefix, info),
        drawn,
        {name: root for name, root in same.items() if root in drawn},
        {name: tuple(map(str, some)) for name, some in listed.items() if isinstance(some, list)},
        {why: count for why, count in left.items() if count},
    )


def _followed(name: str, icons: dict[str, Any], aliases: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """The icon that a name leads to, and the aliases on the way, the one nearest to the icon first."""
    changes: list[dict[str, Any]] = []
    seen: set[str] = set()
    while name not in icons and name not in seen and isinstance(alias := aliases.get(name), dict):
        seen.add(name)
        changes.insert(0, alias)
        name = str(alias.get("parent"))
    return name, changes


def _merged(facts: list[Any]) -> dict[str, Any]:
    """What an icon and its aliases say together: boxes replace one another, mirrorings and turns add up."""
    whole: dict[str, Any] = {}
    for some in (one for one in facts if isinstance(one, dict)):
        moves = {
            "hFlip": bool(whole.get("hFlip")) ^ bool(some.get("hFlip")),
            "vFlip": bool(whole.get("vFlip")) ^ bool(some.get("vFlip")),
            "rotate": (_turns(whole) + _turns(some)) % 4,
        }
        whole |= some | moves
    return whole


def _turns(facts: dict[str, Any]) -> int:
    """Quarter turns of an icon."""
    turns = facts.get("rotate", 0)
    return turns % 4 if isinstance(turns, int) else 0


def _icon(facts: dict[str, Any], defaults: dict[str, Any]) -> Icon | None:
    """The icon of which facts are known; `None` if it has no body, or its box no numbers."""
    body = facts.get("body")
    box = [facts.get(key, defaults.get(key, usual)) for key, usual in zip(_BOX, (0, 0, 16, 16), strict=True)]
    if not isinstance(body, str) or not all(isinstance(side, int | float) and math.isfinite(side) for side in box):
        return None
    left, top, width, height = map(float, box)
    return Icon(body, (left, top, width, height), (facts["hFlip"], facts["vFlip"]), facts["rotate"])


def _tones(names: set[str], chars: dict[str, Any]) -> set[str]:
    """Names of variants of skin tone: by their words, by their code points, or because a name has all five variants."""
    by_points = {str(name) for points, name in chars.items() if not _MODIFIERS.isdisjoint(points.split("-"))}
    bases = {name.removesuffix("-light") for name in names if name.endswith("-light")}
    families = [{f"{base}-{tone}" for tone in _TONES} for base in bases]
    by_family = set[str]().union(*(family for family in families if family <= names))
    return {name for name in names if "skin-tone" in name or name in by_points or name in by_family}


def _about(prefix: str, info: dict[str, Any]) -> str:
    """Name, author and licence of a set, as its info.json gives them."""
    author, licence = (one if isinstance(one, dict) else {} for one in (info.get("author"), info.get("license")))
    return f"{info.get('name', prefix)} by {author.get('name', 'unknown')}, {licence.get('title', 'licence unknown')}"


def _files(path: Path) -> dict[str, dict[str, Any]]:
    """The package's files by name, read from JSON; an empty object for one that it lacks.

    Raises:
        InputError: A file is too large or no JSON object, or the archive is damaged.
    """
    contents: dict[str, bytes] = {}
    try:
        if path.name == ICONS:
            for beside in (path.with_name(name) for name in FILES):
                if beside.is_file():
                    with beside.open("rb") as file:
                        contents[beside.name] = _whole(file.read(_MOST_BYTES + 1))
        else:
            with tarfile.open(path, "r|gz") as archive:
                for member in archive:
                    file_in = archive.extractfile(member) if _name(member) in FILES else None
                    if file_in:
                        contents[_name(member)] = _whole(file_in.read(_MOST_BYTES + 1))
        whole = {name: json.loads(contents.get(name, b"{}")) for name in FILES}
    except (OSError, EOFError, tarfile.TarError, zlib.error, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as a package of icons ({error}); fetch it again.") from error
    return {name: _object(content, path) for name, content in whole.items()}


def _whole(content: bytes) -> bytes:
    """The beginning of a file of a package, if it is the whole file.

    Raises:
        ValueError: It is not.
    """
    if len(content) > _MOST_BYTES:
        raise ValueError(f"a file of it has more than {_MOST_BYTES} bytes")
    return content


def _name(member: tarfile.TarInfo) -> str:
    """Name of a file in the archive that `npm pack` makes, whose files lie in one folder; "" for others."""
    folder, _, name = member.name.removeprefix("./").partition("/")
    return name if folder and member.isfile() else ""


def _object(value: object, path: Path) -> dict[str, Any]:
    """The value, which must be an object of JSON.

    Raises:
        InputError: It is another.
    """
    if not isinstance(value, dict):
        raise _another_form(path)
    return value


def _another_form(path: Path) -> InputError:
    return InputError(
        f"{path} is no set of icons in Iconify's form; it needs icons.json with prefix and icons, as in the packages "
        "@iconify-json/NAME of npm."
    )
