"""Forms in which a field is saved, beside its own, by the ending of the file's name.

A field cannot know pages, which stand floors above it: `s2id/__init__.py` enters here what makes them.
"""

from collections.abc import Callable
from typing import Any

FORMS: dict[str, Callable[[Any], bytes]] = {}
"""Ending of a file's name, with its point -> the content of the file, from a field."""
