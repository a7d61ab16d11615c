"""A program that draws SVG files with resvg, one after another, for `data.svg`, which starts it.

An SVG file may recurse until its reader's stack overflows, allocate gigabytes, run for hours, or name other files. So
it is drawn where no more than a process can be lost: each drawing has limits of time and memory, and no file can be
opened. Neither torch nor numpy is imported.
"""

import struct
import sys
import time
import zlib
from typing import BinaryIO
from xml.parsers import expat

REQUEST = struct.Struct("!QQQQ")
"""Side of the square to draw into, limits in seconds and bytes, and the length of the file, which follows."""

ANSWER = struct.Struct("!?Q")
"""Whether a PNG file follows, rather than a sentence that says why there is none; and its length."""

MOST_BYTES = 2**24
"""Largest SVG file, unpacked."""

_LOADING = {"image", "feImage", "use"}  # elements whose href names what is drawn in their place


def main() -> None:
    """Answer requests until standard input ends, as it does with the process that started this one."""
    from resvg_py import svg_to_bytes

    _close_doors()
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while head := source.read(REQUEST.size):
        side, seconds, most, length = REQUEST.unpack(head)
        content = source.read(length)
        _limit(seconds, most)
        try:
            text = checked(content)
            answer = svg_to_bytes(svg_string=text, width=side, height=side, background="white", skip_system_fonts=True)
            _answer(target, True, answer)
        except Exception as error:  # noqa: BLE001  (whatever it is, the next file may be drawn)
            _answer(target, False, " ".join(str(error).split()).encode())


def checked(content: bytes) -> str:
    """The text of an SVG file that needs nothing but itself.

    Args:
        content: The file, perhaps compressed by gzip.

    Raises:
        ValueError: The file is too large, no UTF-8, no XML, declares entities, or names another file.
    """
    if content.startswith(b"\x1f\x8b"):
        content = zlib.decompressobj(31).decompress(content, MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES} bytes")
    try:
        text = content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ValueError("it is not in UTF-8") from error
    parser = expat.ParserCreate()
    parser.EntityDeclHandler = _no_entities
    parser.StartElementHandler = _element
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise ValueError(f"no XML: {error}") from error
    return text


def _no_entities(name: str, *_: object) -> None:
    raise ValueError(f"it declares the entity {name[:40]!r}, and entities are not expanded")


def _element(name: str, attributes: dict[str, str]) -> None:
    if name.rpartition(":")[2] not in _LOADING:
        return
    for key, value in attributes.items():
        if key.rpartition(":")[2] == "href" and not value.strip().startswith(("#", "data:")):
            raise ValueError(f"it shows another file, {value[:80]!r}, and other files are not read")


def _close_doors() -> None:
    """Allow no further file to be opened, and no memory dump to be written."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))  # the three standard streams


def _limit(seconds: int, most: int) -> None:
    """Limit the time and memory of what is done next."""
    try:
        import resource
    except ImportError:
        return
    for kind, value in {resource.RLIMIT_CPU: int(time.process_time()) + 1 + seconds, resource.RLIMIT_AS: most}.items():
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _answer(target: BinaryIO, drawn: bool, payload: bytes) -> None:
    target.write(ANSWER.pack(drawn, len(payload)) + payload)
    target.flush()


if __name__ == "__main__":
    main()
