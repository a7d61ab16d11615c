"""Sets of icons as one data set: the class is the set, the caption what an icon shows, attributes are categories.

An icon's true picture is known at every size. Icons of several sets that show one concept have one caption.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from s2id.data.assembly import assemble, unread
from s2id.data.cache import Kept, keep
from s2id.data.concepts import concepts, words
from s2id.data.decoding import Entry
from s2id.data.drawings import decode
from s2id.data.iconify import Package, name_of, read
from s2id.data.pictures import Pictures
from s2id.data.request import Request
from s2id.data.svg import installed
from s2id.data.table import Column, Table, table
from s2id.errors import InputError

_CATEGORY = "category "  # before the name of a category, where columns are kept


def read_sets(place: Path, paths: Sequence[Path], request: Request) -> Pictures:
    """The icons of several packages, drawn at the long side.

    Args:
        place: The folder of the packages, or the package.
        paths: The packages.
        request: Gives the long side, the least side, what becomes of transparency, and the number of processes.

    Raises:
        InputError: A package cannot be read, two are of one set, no icon can be drawn, or resvg is not installed.
    """
    if not installed():
        raise InputError(f"{place} holds icons, and SVG needs resvg; pip install 's2id[vectors]' brings it.")
    listing = [(str(path), (s := path.stat()).st_size, s.st_mtime_ns) for path in paths]

    def entries() -> tuple[Iterator[Entry], dict[str, list[str]]]:
        packages = [read(path) for path in paths]
        return _entries(_different(packages)), {"left": [said for package in packages if (said := _left(package))]}

    key = ["icon sets", request.long_side, listing]
    name = f"{place.resolve()}-icons"
    kept = keep(name, key, entries, request.long_side, request.workers, decode, request.alpha, pad=True)
    if not kept.groups:
        raise InputError(f"{place} holds no icon that can be drawn{unread(kept.skipped, *kept.facts['left'])}.")

    def drawing(row: int) -> tuple[bytes, str]:
        path, icon = (Path(kept.columns["path"][row]), kept.columns["icon"][row])
        return _kept(path, path.stat().st_mtime_ns).icons[icon].svg().encode(), f"icon {icon} of {path}"

    pictures = assemble(name_of(place), kept, _table(kept, place), request.min_side, drawing)
    return replace(pictures, skipped=(*kept.facts["left"], *pictures.skipped))


def _entries(packages: Sequence[Package]) -> Iterator[Entry]:
    """The icons of each package, with their labels."""
    concept = concepts(packages)
    categories = _categories(packages, concept)
    for package in packages:
        for name, icon in package.icons.items():
            shown = concept[package.prefix, name]
            fields = {"path": str(package.path), "icon": name, "label": package.prefix, "text": words(shown)}
            has = {_CATEGORY + category: known.get(shown, "") for category, known in categories.items()}
            yield Entry(f"icon {name} of {package.path}", icon.svg().encode(), fields | has)


def _categories(packages: Sequence[Package], concept: dict[tuple[str, str], str]) -> dict[str, dict[str, str]]:
    """Whether each concept is in each category; one that no set with this category lists is in none of the values.

    A concept is in a category if any set says so.
    """
    found: dict[str, dict[str, str]] = {}
    for package in packages:
        listed = {name for names in package.categories.values() for name in names} & package.icons.keys()
        for category, names in package.categories.items():
            known, chosen = found.setdefault(category, {}), {*names}
            for name in listed:
                shown = concept[package.prefix, name]
                if known.get(shown) != "true":
                    known[shown] = "true" if name in chosen else "false"
    return {category: known for category, known in sorted(found.items()) if known}


def _table(kept: Kept, place: Path) -> Table:
    """Labels of every icon."""
    columns = [
        Column(name.removeprefix(_CATEGORY), values, lambda row: f"icon {row} of {place}")
        for name, values in kept.columns.items()
        if name not in ("path", "icon")
    ]
    return table(tuple(kept.columns["icon"]), columns)


def _different(packages: Sequence[Package]) -> Sequence[Package]:
    """The packages, if no two are of one set.

    Raises:
        InputError: Two are.
    """
    known: dict[str, Path] = {}
    for package in packages:
        if before := known.get(package.prefix):
            raise InputError(f"{before} and {package.path} are both the set {package.prefix}; keep one of them.")
        known[package.prefix] = package.path
    return packages


def _left(package: Package) -> str | None:
    """A sentence about the icons of a package that are left out; `None` if there are none."""
    counted = " and ".join(f"{count:,} {why}" for why, count in sorted(package.left.items()))
    return f"of the icons of {package.path}, {counted} are left out." if counted else None


@cache
def _kept(path: Path, _: int) -> Package:
    """A package in memory, so that its icons can be drawn again; it is read anew when the file has changed."""
    return read(path)
