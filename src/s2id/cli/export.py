"""The command that takes fields to other programs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from s2id.cli.options import name_files, writable
from s2id.errors import InputError


@dataclass(frozen=True)
class Export:
    """Make a page of field files, which any browser shows and zooms into."""

    fields: tyro.conf.Positional[tuple[Path, ...]] = ()
    """The files, as `s2id sample --fields` wrote them. Several become a gallery."""
    to: Literal["html"] = "html"
    """What to write. html: one page that holds all that it needs."""
    out: Path | None = None
    """File to write. None: named after the field file, and index.html of several, in the folder of the first."""

    def run(self) -> int:
        """Write the page."""
        if not self.fields:
            raise InputError("export needs a field file; give one or several, as `s2id sample --fields` writes.")
        from s2id.export.page import write_page
        from s2id.sampling.field import Field

        first, *others = self.fields
        out = self.out or (first.with_name("index.html") if others else first.with_suffix(".html"))
        fields = [Field.load(path) for path in self.fields]
        writable(out.parent)
        write_page(out, fields)
        name_files([out])
        return 0
