"""A way from one picture of a sheet to another: its files, and how to make them again."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from s2id.coords import check_pixels
from s2id.export.page import way_page
from s2id.media.films import film_writer
from s2id.names import NONE, quoted
from s2id.sampling.field import Field
from s2id.settings import Size
from s2id.studio.commands import Recipe, Sheet, asked_words, sampling_python, sampling_words

_RATE = 25.0
"""Pictures per second of a film."""


@dataclass(frozen=True)
class Way:
    """What a way was composed from, and its functions."""

    sheet: Sheet
    ends: tuple[tuple[str | int | None, int], tuple[str | int | None, int]]
    """Class and seed of the first and the last picture."""
    fields: tuple[Field, ...]

    def file(self, form: str, size: Size, most: int) -> bytes:
        """The page of the way, or its film at a size.

        Args:
            form: "html" or "gif".
            size: Height and width of the film.
            most: Pixels of all its pictures together, at most.

        Raises:
            InputError: It would be too large.
        """
        if form == "html":
            return way_page(self.fields)
        check_pixels(size, most, len(self.fields), more="")
        with TemporaryFile() as file:
            film_writer(Path(f"way.{form}"))(file, (field.image(size) for field in self.fields), _RATE)
            file.seek(0)
            return file.read()

    def recipe(self, form: str, size: Size) -> Recipe:
        """A command and a program that make the same bytes."""
        (first, last), sheet, out = self.ends, self.sheet, f"way.{form}"
        words = ["s2id", "morph", sheet.source]
        names = [NONE if label is None else quoted(str(label)) for label, _ in self.ends]
        words += [] if first[0] is last[0] is None else [f"--label={','.join(dict.fromkeys(names))}"]
        words += [f"--seed={','.join(map(str, dict.fromkeys((first[1], last[1]))))}", f"--frames={len(self.fields)}"]
        words += [] if form == "html" else [f"--size={size[0]}x{size[1]}"]
        words += asked_words(sheet.beside, settings=True)
        words += _as_settings(sampling_words(sheet.sampling, sheet.usual))
        ends = [f"({sheet.asked(label)}, {seed})" for label, seed in self.ends]
        more = sampling_python(sheet.sampling, sheet.usual)
        python = [
            "from pathlib import Path",
            "",
            "import s2id",
            f"from s2id.{'export.page import write_way' if form == 'html' else 'media.films import write_film'}",
            "",
            f"model = s2id.load({sheet.source!r})",
            f"way = s2id.between(model, {ends[0]}, {ends[1]}, n={len(self.fields)}{more})",
            f'write_way("{out}", way)'
            if form == "html"
            else f'write_film(Path("{out}"), (field.image({size}) for field in way))',
        ]
        return Recipe(shlex.join([*words, "--out", out]), "\n".join(python) + "\n")


def _as_settings(words: list[str]) -> list[str]:
    """Flags as values of `--set`, as `s2id morph` takes them."""
    flags = [word.removeprefix("--") for word in words if word != "--set"]
    return [word for flag in flags for word in ("--set", flag)]
