"""Names of classes, attributes and numbers: how one is found, how a list of them is written, and how files carry them.

In a list, names are separated by commas. A name in double quotes may hold anything; a double quote in it is doubled,
as in CSV files. Nothing here imports torch.
"""

import re
import shlex
import unicodedata
import zlib
from collections import Counter
from collections.abc import Container, Sequence
from difflib import get_close_matches
from itertools import chain, count

from s2id.errors import InputError

ALL, NONE = "all", "none"
"""Words that stand for every class and for no class in a list of names, unless they are quoted."""

WHOLE = ("label", "style", "text", "words")
"""Names of the class (two), of the text and of all words together, beside those of attributes and numbers."""

_SHOWN = 20
"""Most names that a message lists."""

_LONG = 100
"""Most characters of a wrong name that a message repeats."""


def plain(name: str) -> str:
    """The form in which names are compared: case, kinds of blanks, hyphens and underscores do not count.

    A hyphen before the first digit does count, because it is a sign.

    >>> plain("Wearing_Hat") == plain(" wearing-hat "), plain("-1") == plain("1")
    (True, False)
    """
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    return re.sub(r"(?!\A-[\d.])[\s_-]+", " ", folded.strip()).strip()


def position(name: str, known: Sequence[str], kind: str) -> int:
    """Index of a name: of the same one, or else of the only one that is alike in Unicode's composed form or plainly.

    Args:
        name: A name, in any case and with spaces, hyphens or underscores.
        known: The names to choose from.
        kind: What these are names of, for the message.

    Raises:
        InputError: There is no such name, or several are alike; the message lists or suggests some.

    >>> position("wearing hat", ["Smiling", "Wearing_Hat"], "attribute")
    1
    """
    if name in known:
        return known.index(name)
    said = f"{kind} {name[:_LONG]!r}"
    for form in (composed, plain):
        alike = [one for one in known if form(one) == asked] if (asked := form(name)) else []
        if len(alike) > 1:
            raise InputError(f"{said} may be any of {listed(alike)}; write it as one of them{_quotes(alike)}.")
        if alike:
            return known.index(alike[0])
    if not known:
        raise InputError(f"{said} is none of this model's; it knows no {kind}s: leave it out.")
    forms = {plain(one): one for one in reversed(known)}
    near = [] if is_number(name) else [forms[one] for one in get_close_matches(plain(name)[:_LONG], forms, n=3)]
    hint = f"did you mean {listed(near, ' or ')}{_quotes(near)}?" if near else f"choose one of {listed(known)}"
    raise InputError(f"{said} is none of this model's; {hint}" + ("" if near else f"{_quotes(known)}."))


def is_number(name: str) -> bool:
    """Whether a name spells a number, so that it could be mistaken for an index."""
    return re.fullmatch(r"[+-]?\d+(\.\d+)?", name) is not None


def listed(names: Sequence[str], between: str = ", ") -> str:
    """The first names of several in one line, each as a list on the command line takes it."""
    shown = between.join(printable(quoted(one)) for one in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def quoted(name: str) -> str:
    """The name as a list on the command line takes it: in double quotes if it would be misunderstood without.

    >>> quoted("a dog"), quoted("dog, wet"), quoted("All")
    ('a dog', '"dog, wet"', '"All"')
    """
    misread = (
        name != name.strip()
        or not {*name}.isdisjoint(',="')
        or (name[:1] == "-" and not is_number(name))
        or plain(name) in ("", ALL, NONE)
    )
    return '"' + name.replace('"', '""') + '"' if misread else name


def unquoted(part: str) -> str:
    """The name that a part of a list means: what is inside its quotes, or the part without blanks around it.

    >>> unquoted(' a dog '), unquoted('"dog, wet"')
    ('a dog', 'dog, wet')
    """
    part = part.strip()
    return part[1:-1].replace('""', '"') if len(part) > 1 and part[0] == part[-1] == '"' else part


def split(text: str, separator: str = ",") -> list[str]:
    """The parts of a list, with their quotes; a separator inside quotes is part of a name.

    >>> split('"dog, wet",cat')
    ['"dog, wet"', 'cat']

    Raises:
        InputError: A quote is not closed.
    """
    parts, inside = [""], False
    for character in text:
        inside ^= character == '"'
        if character == separator and not inside:
            parts.append("")
        else:
            parts[-1] += character
    if inside:
        raise InputError(
            f'{text!r} has a double quote that is not closed; write "a, b" for a name, and "" for a quote in it.'
        )
    return parts


def needing_quotes(names: Sequence[str]) -> str | None:
    """A sentence about those of the names that need quotes on the command line; `None` if none does.

    >>> print(needing_quotes(["cat", "a,b"]))
    names that need quotes on the command line, inside those of the shell: '"a,b"'.
    """
    needy = [name for name in names if quoted(name) != name]
    if not needy:
        return None
    shown = ", ".join(printable(shlex.quote(quoted(name))) for name in needy[:_SHOWN])
    more = f" and {len(needy) - _SHOWN} more" if len(needy) > _SHOWN else ""
    return f"names that need quotes on the command line, inside those of the shell: {shown}{more}."


def alike(names: Sequence[str]) -> str | None:
    """A sentence about names of one plain form, which have to be asked for exactly; `None` if there are none.

    >>> print(alike(["cat", "Cat", "dog"]))
    names that are alike but for case, blanks, hyphens and underscores, so write them exactly: cat, Cat.
    """
    count = Counter(map(plain, names))
    same = [name for name in names if count[plain(name)] > 1]
    if not same:
        return None
    return f"names that are alike but for case, blanks, hyphens and underscores, so write them exactly: {listed(same)}."


def in_a_file(text: str, most: int = 48) -> str:
    """The text as a part of a file's name: what no file system minds, and if it is long, cut with a checksum.

    >>> in_a_file("a/b"), in_a_file("x" * 300)
    ('a_b', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-1b432d13')

    Args:
        text: Any text.
        most: Largest length, in bytes.
    """
    safe = "".join(c if c.isalnum() or c in "-_=." else "_" for c in composed(text)).encode()
    return safe.decode() if len(safe) <= most else safe[: most - 9].decode(errors="ignore") + _checksum(text)


def in_files(names: Sequence[str]) -> list[str]:
    """Each name as for `in_a_file`, with a checksum wherever another name has the same form, even in another case.

    >>> in_files(["dog", "Cat", "cat"])
    ['dog', 'Cat-a6130548', 'cat-9e5e43a8']
    """
    safe = [in_a_file(name) for name in names]
    count = Counter(one.casefold() for one in safe)
    return [one if count[one.casefold()] == 1 else one + _checksum(name) for one, name in zip(safe, names, strict=True)]


def _checksum(text: str) -> str:
    return f"-{zlib.crc32(text.encode('utf-8', 'surrogatepass')):08x}"


def composed(name: str) -> str:
    """Unicode's composed form: some systems write an accented letter as two characters."""
    return unicodedata.normalize("NFC", name)


def _quotes(names: Sequence[str]) -> str:
    """A clause on how to write the first of the names that are listed in quotes, if any is."""
    needy = next((name for name in names[:_SHOWN] if quoted(name) != name), None)
    return (
        ""
        if needy is None
        else f"; on the command line, inside the shell's quotes: {printable(shlex.quote(quoted(needy)))}"
    )


def printable(text: str) -> str:
    r"""The text in one line: line breaks and the like as escapes.

    >>> print(printable("a\tb"))
    a\tb
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def unused(name: str, taken: Container[str]) -> str:
    """The name, or where it is taken the first of name-2, name-3 and so on that is not.

    >>> unused("run", ["run", "run-2"])
    'run-3'
    """
    return next(one for one in chain([name], (f"{name}-{i}" for i in count(2))) if one not in taken)
