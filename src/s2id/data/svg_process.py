"""A program that draws SVG files with resvg, one after another, for `data.svg`, which starts it.

An SVG file is drawn where no more than a process can be lost (`guarded_process`). Neither torch nor numpy is imported.
"""

import re
import struct
import zlib
from xml.parsers import expat

from s2id.guarded_process import serve

SIDE = struct.Struct("!Q")
"""Side of the square to draw into, before the file."""

MOST_BYTES = 2**24
"""Largest SVG file, unpacked."""

MOST_UNITS = 1e6
"""Longest side of a view box."""

MOST_ASPECT = 100
"""Largest ratio of its sides."""

_LOADING = {"image", "feImage", "use"}  # elements whose href names what is drawn in their place

_SIDES = ("width", "height")

_LENGTH = re.compile(r"\s*([-+]?(?:[0-9]*\.)?[0-9]+(?:e[-+]?[0-9]+)?|[-+]?(?:nan|inf\w*))\s*(?:[a-z]*)\s*", re.I)
"""A length in any unit but a percentage."""


def main() -> None:
    """Answer requests, each with a PNG file."""
    from resvg_py import svg_to_bytes

    def draw(content: bytes) -> bytes:
        (side,), text = SIDE.unpack_from(content), checked(content[SIDE.size :])
        return svg_to_bytes(svg_string=text, width=side, height=side, skip_system_fonts=True)

    serve(draw)


def checked(content: bytes) -> str:
    """The text of an SVG file that needs nothing but itself, and is a function of place at every size.

    Args:
        content: The file, perhaps compressed by gzip.

    Raises:
        ValueError: The file is too large, no UTF-8, no XML, declares entities, names another file, embeds pixels, needs
            a font, or has no size that can be drawn.
    """
    if content.startswith(b"\x1f\x8b"):
        content = zlib.decompressobj(31).decompress(content, MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES} bytes")
    try:
        text = content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ValueError("it is not in UTF-8") from error
    check = _Check()
    parser = expat.ParserCreate()
    parser.EntityDeclHandler = _no_entities
    parser.StartElementHandler = check.start
    parser.EndElementHandler = check.end
    parser.CharacterDataHandler = check.text
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise ValueError(f"no XML: {error}") from error
    return text


def _no_entities(name: str, *_: object) -> None:
    raise ValueError(f"it declares the entity {name[:40]!r}, and entities are not expanded")


class _Check:
    """Handlers of an XML parser, which raise a ValueError on what is not drawn."""

    def __init__(self) -> None:
        self._open: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        kind = name.rpartition(":")[2]
        if not self._open:
            _check_size(kind, attributes)
        self._open.append(kind)
        if kind not in _LOADING:
            return
        for key, value in attributes.items():
            if key.rpartition(":")[2] != "href":
                continue
            if value.strip()[:5].lower() == "data:":
                raise ValueError("it embeds a picture as a data URI, which has no truth beyond its own pixels")
            if not value.strip().startswith("#"):
                raise ValueError(f"it shows another file, {value[:80]!r}, and other files are not read")

    def end(self, _: str) -> None:
        """An element ends."""
        self._open.pop()

    def text(self, characters: str) -> None:
        """Characters between two marks."""
        if self._open[-1] in ("text", "tspan", "textPath") and characters.strip():
            raise ValueError("it needs a font for its text, and fonts are not read; convert text to paths")


def _check_size(kind: str, attributes: dict[str, str]) -> None:
    """Refuse a root that is no drawing, or whose sides are no lengths, huge, or a line.

    Raises:
        ValueError: It is one of these.
    """
    if kind != "svg":
        raise ValueError(f"its root is <{kind[:40]}> and not <svg>")
    for given in (attributes.get("viewBox", "").replace(",", " ").split()[2:], [*map(attributes.get, _SIDES)]):
        found = [match[1] for value in given if value and (match := _LENGTH.fullmatch(value))]
        sides = [float(number) for number in found]
        if not all(0 < side <= MOST_UNITS for side in sides):  # nor is NaN
            raise ValueError(f"its sides are {' x '.join(found)}; they may have up to {MOST_UNITS:,.0f} units")
        if sides and max(sides) > MOST_ASPECT * min(sides):
            raise ValueError(f"one of its sides is more than {MOST_ASPECT} times the other")


if __name__ == "__main__":
    main()
