"""What icons of several sets show: names that sets share, or that one set calls the same, are one concept."""

import re
from collections import Counter
from collections.abc import Iterable

from s2id.data.iconify import Package

Named = tuple[str, str]
"""Prefix of a set and the name of an icon in it."""


def concepts(packages: Iterable[Package]) -> dict[Named, str]:
    """The concept of each icon, as a name that most sets have for it.

    Icons of one name are one concept, and so are names that a set calls aliases, unless a set draws both.
    """
    packages = sorted(packages, key=lambda package: package.prefix)
    icons: dict[str, dict[str, str]] = {}  # a concept -> the name of its icon in each set
    for package in packages:
        for name in package.icons:
            icons.setdefault(name, {})[package.prefix] = name
    leads_to: dict[str, str] = {}  # a name that has joined another -> that one

    def concept(name: str) -> str:
        while (joined := leads_to.get(name, name)) != name:
            leads_to[name] = name = leads_to.get(joined, joined)  # half of the way next time
        return name

    for package in packages:
        for pair in sorted(package.same.items()):
            one, other = map(concept, pair)
            drawn_in = icons.get(one, {}).keys() & icons.get(other, {}).keys()
            if one == other or drawn_in:
                continue
            icons[one] = icons.get(one, {}) | icons.pop(other, {})
            leads_to[other] = one
    shown = {one: _usual(names.values()) for one, names in icons.items()}
    return {(prefix, name): shown[one] for one, names in icons.items() for prefix, name in names.items()}


def words(name: str) -> str:
    """The words of a name, with one blank between them.

    >>> words("red-fox_2")
    'red fox 2'
    """
    return " ".join(re.split(r"[\s_-]+", name.strip(" _-\t")))


def _usual(names: Iterable[str]) -> str:
    """The most frequent name; of several the shortest, and then the first in the alphabet."""
    count = Counter(names)
    return min(count, key=lambda name: (-count[name], len(name), name))
