"""Pages that show fields in a browser: one HTML file with the player and the fields in it, which fetches nothing.

The player, `s2id-player.js`, evaluates the functions in the browser, so its reader zooms into them as far as doubles
allow. A policy in the page (Content-Security-Policy) lets nothing else run, and no word of a field becomes HTML.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files
from itertools import chain
from pathlib import Path

import torch

from s2id.checks import checked
from s2id.errors import InputError
from s2id.files import check_suffix, write_bytes
from s2id.network.heads import Features
from s2id.sampling.field import Field
from s2id.sampling.field_file import of_each

_MOST_BYTES = 2**26
"""Largest page."""

_LARGE = 'class="large" linked=""'
"""Attributes of the one picture of a page, whose address keeps the view."""

_HALF_LEVEL = 0.5 / 127.5
"""Half a grey level, in [-1, 1]."""


@checked
def write_page(path: Path | str, fields: Sequence[Field], title: str | None = None) -> None:
    """Write a page that shows fields: one function to zoom into, or a gallery of several.

    Args:
        path: File to write; its name ends in .html.
        fields: Fields, each of one function or of several.
        title: Title of the page; `None` is what the pictures are of.

    Raises:
        InputError: The file cannot be written, there is nothing to show, or the page would be too large.

    Example:
        >>> import os, s2id, tempfile
        >>> from s2id.export.page import write_page
        >>> digits = s2id.sample(s2id.load("mnist-fast"), label=[7, 3], seed=[0, 1])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_page(os.path.join(folder, "digits.html"), [digits], title="Two digits")
        ...     os.listdir(folder)
        ['digits.html']
    """
    path = Path(path)
    check_suffix(path, ".html")
    write_bytes(path, page(fields, title))


def page(fields: Sequence[Field], title: str | None = None) -> bytes:
    """The page that `write_page` writes; arguments and errors as there."""
    count = sum(map(len, fields))
    if not count:
        raise InputError("there is no function to show; choose at least one field.")
    shown = [field for field in fields if len(field)]
    captions = [[caption(one) for one in field] for field in shown]
    pictures = _gallery(captions) if count > 1 else _picture("0", 0, captions[0][0], _LARGE)
    return _page(shown, pictures, title or _title(shown, list(chain(*captions))))


@checked
def write_way(path: Path | str, fields: Iterable[Field], title: str | None = None) -> None:
    """Write a page on which a slider moves from each field to the next; between two, their features are blended.

    Args:
        path: File to write; its name ends in .html.
        fields: Fields of one function each, of one model, such as `s2id.between` gives.
        title: Title of the page; `None` names the first and the last picture.

    Raises:
        InputError: The file cannot be written, there is no field, or the page would be too large.

    Example:
        >>> import os, s2id, tempfile
        >>> from s2id.export.page import write_way
        >>> way = s2id.between(s2id.load("mnist-fast"), (7, 0), (3, 1), n=4)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_way(os.path.join(folder, "way.html"), way)
        ...     os.listdir(folder)
        ['way.html']
    """
    check_suffix(Path(path), ".html")
    write_bytes(Path(path), way_page(fields, title))


def way_page(fields: Iterable[Field], title: str | None = None) -> bytes:
    """The page that `write_way` writes; arguments and errors as there."""
    kept: list[Field] = []
    for field in fields:
        kept.append(field)
        _check_bytes(sum(one.features.values.numel() for one in kept) * 8 // 3, len(kept))  # of halves in base64
    whole = joined(kept)
    names = [caption(one) for one in kept]
    what = f"{names[0]} to {names[-1]}"
    stops = "".join(
        f'<option value="{i}" label="{escape(names[i])}"></option>'
        for i, one in enumerate(kept)
        if "seeds" in one.facts
    )
    slider = (
        f'<form><button type="button">Play</button><input type="range" aria-label="Way" min="0" max="{len(kept) - 1}" '
        f'step="any" value="0" list="stops"><datalist id="stops">{stops}</datalist></form>'
    )
    return _page([whole], _picture("0", 0, what, _LARGE) + slider, title or _title([whole], [what]))


def joined(fields: Sequence[Field]) -> Field:
    """One field of all functions of some, in their order, as a player that moves along a way needs it.

    Raises:
        InputError: There are none.
    """
    if not fields:
        raise InputError("there is no function to show; choose at least one field.")
    first = fields[0]
    facts = {name: text for name, text in first.facts.items() if name in ("data", "long_side", "palette")}
    values = torch.cat([one.features.values for one in fields])
    names = of_each([caption(one) for one in fields])
    return Field(Features(values, first.features.frame), first.head, {**facts, "asked": names})


def _page(shown: Sequence[Field], pictures: str, title: str) -> bytes:
    """A page with fields and the elements that show them."""
    data = [b64encode(_small(field)).decode() for field in shown]
    _check_bytes(sum(map(len, data)), sum(map(len, shown)))
    text = {name: _own(name) for name in ("page.css", "page.js", "s2id-player.js")}
    parts = {
        "policy": _policy(text["page.css"], text["s2id-player.js"], text["page.js"]),
        "title": escape(title),
        "style": text["page.css"],
        "pictures": pictures,
        "fields": "\n".join(
            f'<script type="application/octet-stream" id="field-{i}">{one}</script>' for i, one in enumerate(data)
        ),
        "player": text["s2id-player.js"],
        "script": text["page.js"],
    }
    # in one pass: no part is searched for the names of others
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _own("page.html")).encode()


def _check_bytes(size: int, count: int) -> None:
    """Refuse a page that would be too large.

    Raises:
        InputError: It would be.
    """
    if size > _MOST_BYTES:
        raise InputError(
            f"a page of {count} pictures would have {size / 2**20:,.0f} MiB and the limit is {_MOST_BYTES >> 20}; "
            "show fewer on one page."
        )


def caption(field: Field) -> str:
    """What a field of one function is of, in a few words.

    >>> import s2id
    >>> caption(s2id.sample(s2id.load("mnist-fast"), label=7, seed=2))
    'label 7, seed 2'
    """
    label, asked, seed = (field.facts.get(name, "") for name in ("labels", "asked", "seeds"))
    known = "" if label in ("", "-1") else f"label {label}"
    return ", ".join(filter(None, (known, asked, seed and f"seed {seed}"))) or "picture"


def _title(fields: Sequence[Field], captions: Sequence[str]) -> str:
    """What the pictures of a page are of."""
    sources = dict.fromkeys(field.facts["data"] for field in fields if field.facts.get("data"))
    what = captions[0] if len(captions) == 1 else f"{len(captions)} pictures"
    return f"{', '.join(sources)}: {what}" if sources else what


def _small(field: Field) -> bytes:
    """The field's file; in half precision where every picture then stays within half a grey level."""
    values = field.features.values
    rounded = Field(Features(values.half().to(values), field.features.frame), field.head)
    side = 8 * max(values.shape[1:3])  # between eight points to a sample the function is smooth
    near = all(
        float((one.render(side) - other.render(side)).abs().max()) <= _HALF_LEVEL
        for one, other in zip(field, rounded, strict=True)
    )
    return field.file_bytes(half=near)


def _gallery(captions: Sequence[Sequence[str]]) -> str:
    """A list of small pictures, each a link to itself in large."""
    number, items = 0, []
    for i, names in enumerate(captions):
        for index, name in enumerate(names):
            number += 1
            small = _picture(str(i), index, name, 'still aria-hidden="true"')
            items.append(f'<li><a href="#{number}">{small}<span>{escape(name)}</span></a></li>')
    return "\n".join(["<ul>", *items, "</ul>"])


def _picture(name: str, index: int, label: str, how: str) -> str:
    return f'<s2id-field src="#field-{name}" index="{index}" label="{escape(label)}" {how}></s2id-field>'


def _policy(style: str, *scripts: str) -> str:
    """What the page may do: apply its style, run its scripts, and start the worker and the code that these make."""
    own = " ".join([*(f"'sha256-{_digest(script)}'" for script in scripts), "'wasm-unsafe-eval'"])
    return (
        f"default-src 'none'; script-src {own}; style-src 'sha256-{_digest(style)}'; worker-src blob:; "
        "img-src blob: data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return b64encode(sha256(text.encode()).digest()).decode()


def _own(name: str) -> str:
    """Text of a file beside this module."""
    return (files(__package__) / name).read_text(encoding="utf-8")
