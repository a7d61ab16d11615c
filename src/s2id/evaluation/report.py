"""The table of an evaluation: its columns, and the table as JSON, Markdown and a picture of curves."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from s2id.evaluation.extras import blank_figure, save_figure
from s2id.files import write_text


def _column(heading: str, digits: int = 3) -> Any:  # noqa: ANN401  (dataclasses calls it a float)
    """A column of the table; a value that was not measured is NaN."""
    return field(default=math.nan, metadata={"heading": heading, "digits": digits})


@dataclass(frozen=True)
class Likeness:
    """Likeness of a set of pictures to the test set, measured at the data's size."""

    right_class: float = _column("right class")
    """Share of the pictures that the judge assigns to the class asked for."""
    right_attributes: float = _column("right attributes")
    """Share of the attributes that the judge finds as asked, mean of the most balanced ones."""
    frechet: float = _column("Frechet")
    """Squared Frechet distance to the test set's features."""
    kernel: float = _column("kernel x 1000", 2)
    """Kernel distance to the test set's features, times 1000."""
    precision: float = _column("precision")
    """Share of the pictures within the manifold of the test set."""
    recall: float = _column("recall")
    """Share of the test set within the manifold of the pictures."""
    manifold_density: float = _column("manifold density")
    """Mean number of test pictures' neighbourhoods that a picture lies in, over k."""
    coverage: float = _column("coverage")
    """Share of the test pictures with a picture in their neighbourhood."""
    variance: float = _column("variance")
    """Pixel variance within a class, divided by the test set's."""
    spread: float = _column("spread")
    """Mean feature distance within a class, divided by the test set's."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of the pictures of one size with the same seeds' pictures at the data's size."""

    psnr: float = _column("PSNR median", 1)
    """Median PSNR in dB of the area means at the smaller of both sizes."""
    psnr_worst: float = _column("worst", 1)
    """Lowest PSNR of a picture, in dB."""
    ssim: float = _column("SSIM median")
    """Median structural similarity at that size."""
    same_class: float = _column("same class")
    """Share of the pictures that the judge assigns to the same class at both sizes."""
    same_topology: float = _column("same parts and holes")
    """Share of the pictures with as many parts and holes at both sizes."""
    zoom_psnr: float = _column("zoom PSNR", 1)
    """Median PSNR in dB of a window rendered at this size against that part of the whole picture."""
    aspect: float = _column("ink aspect")
    """Median ratio of the ink's height over its width at this size to that at the data's size."""
    border: float = _column("ink at border", 4)
    """Mean increase of the share of ink along the picture's border."""


@dataclass(frozen=True)
class Detail:
    """Detail of the rendered pixels themselves, and what they cost."""

    edge: float = _column("edge width", 2)
    """Median width of edges from 10 to 90 %, in training pixels."""
    waviness: float = _column("waviness")
    """Median root mean square distance of straight edges from fitted lines, in training pixels."""
    power: float = _column("power above Nyquist", 5)
    """Median share of variance at frequencies that the training grid cannot hold."""
    speckle: float = _column("speckle", 5)
    """Median root mean square of the noise in flat areas."""
    overshoot: float = _column("overshoot", 4)
    """Median excess of the worst value over the range, as a share of the range."""
    compose_seconds: float = _column("compose s", 3)
    """Seconds of sampling per picture, in batches."""
    render_seconds: float = _column("render s", 4)
    """Seconds of rendering per picture."""
    peak_megabytes: float = _column("peak MB", 0)
    """Peak memory of the whole process, in megabytes."""


@dataclass(frozen=True)
class Evenness:
    """Unevenness, in grey levels, where pictures are flat at the data's size, and of straight strokes."""

    ripple: float = _column("ripple", 2)
    """Root mean square deviation from the plane through the data pixels around, in flat areas."""
    ripple_token: float = _column("at tokens", 2)
    """Part of the ripple that repeats with the network's tokens."""
    ripple_lattice: float = _column("at feature samples", 2)
    """Part of the ripple that repeats with the feature samples."""
    off_white: float = _column("off white", 2)
    """Mean distance from white or black in flat areas that are white or black."""
    off_white_worst: float = _column("worst", 1)
    """Largest such distance."""
    flat: float = _column("flat share")
    """Share of the pictures that is flat at the data's size."""
    beading_tone: float = _column("beading, tone %", 2)
    """Standard deviation of the tone along straight strokes, in per cent of their contrast."""
    beading_width: float = _column("beading, width")
    """Standard deviation of the width along straight strokes, in data pixels."""
    tone_error: float = _column("tone off %", 2)
    """Mean distance of the tone of straight bars that were read from the truth, in per cent of their contrast."""
    width_error: float = _column("width off")
    """Mean distance of the width of those bars from the truth, in data pixels."""


@dataclass(frozen=True)
class Row:
    """One row of the table: everything that was measured at one size, or of the data themselves."""

    size: str
    """Height x width, or what was measured: "training set", "test set", "samples", "reconstructions" or "truth"."""
    likeness: Likeness = field(default_factory=Likeness)
    agreement: Agreement = field(default_factory=Agreement)
    detail: Detail = field(default_factory=Detail)
    attributes: Mapping[str, float] = field(default_factory=dict)
    """Share of the pictures that have or lack an attribute as asked, by the attribute's name."""
    evenness: Evenness = field(default_factory=Evenness)


@dataclass(frozen=True)
class Report:
    """The whole table, and the facts that one needs to make it again.

    Example:
        >>> rows = (Row("training set", Likeness(right_class=1.0)), Row("28x28", Likeness(right_class=0.97)))
        >>> print(Report({"n": 100}, rows).markdown().strip())
        n 100
        <BLANKLINE>
        | size | right class |
        |---|---|
        | training set | 1.000 |
        | 28x28 | 0.970 |
    """

    facts: dict[str, Any]
    """Weights, data, number of pictures and settings, by name."""
    rows: tuple[Row, ...]

    def json(self) -> str:
        """Facts and rows as JSON; unmeasured values are null, and infinite ones the word "inf"."""
        rows = [
            {"size": row.size, **{k: v for part in _parts(row) for k, v in asdict(part).items()}} for row in self.rows
        ]
        clean: list[dict[str, Any]] = [{k: _plain(v) for k, v in row.items()} for row in rows]
        for plain, row in zip(clean, self.rows, strict=True):
            if row.attributes:
                plain["attributes"] = {name: _plain(value) for name, value in row.attributes.items()}
        return json.dumps({"facts": self.facts, "rows": clean}, indent=2, allow_nan=False)

    def markdown(self) -> str:
        """A table per kind of measure under a line of facts; one of attributes where any were judged."""
        lines = [", ".join(f"{name} {value}" for name, value in self.facts.items()), ""]
        for index, kind in enumerate((Likeness, Agreement, Detail, Evenness)):
            parts = [(row.size, _parts(row)[index]) for row in self.rows]
            # columns and rows without any measured value are left out, and so is a table of none
            columns = [c for c in fields(kind) if not all(math.isnan(getattr(part, c.name)) for _, part in parts)]
            cells = [
                (size, *(_cell(getattr(part, c.name), c.metadata["digits"]) for c in columns)) for size, part in parts
            ]
            known = [row for row in cells if any(cell != "-" for cell in row[1:])]
            if known:
                lines += [markdown(["size", *(c.metadata["heading"] for c in columns)], known), ""]
        if judged := [row for row in self.rows if row.attributes]:
            each = [(name, *(row.attributes[name] for row in judged)) for name in judged[0].attributes]
            lines += [markdown(["right", *(row.size for row in judged)], each), ""]
        return "\n".join(lines)

    def write(self, folder: Path) -> list[Path]:
        """Write table.md and table.json into a folder; their paths.

        Raises:
            InputError: The folder cannot be written; older files stay.
        """
        written = [folder / f"table.{ending}" for ending in ("md", "json")]
        for path, text in zip(written, (self.markdown(), self.json()), strict=True):
            write_text(path, text + "\n")
        return written

    def plot(self, path: Path) -> None:
        """Write a picture of curves over the sizes, with the training set's own values as dashed lines.

        Raises:
            InputError: matplotlib is not installed, or the file cannot be written.
        """
        _plot(self.rows, path)


def markdown(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table; fractions have three digits, and missing values are dashes.

    Args:
        columns: Headings.
        rows: Cells of each row; `None` and NaN are missing.

    Example:
        >>> print(markdown(["size", "PSNR"], [["28x28", None], ["56x56", 44.71234]]))
        | size | PSNR |
        |---|---|
        | 28x28 | - |
        | 56x56 | 44.712 |
    """

    def shown(value: object) -> str:
        return "-" if value is None else _cell(value, 3) if isinstance(value, float) else str(value)

    heads, *lines = (f"| {' | '.join(map(shown, row))} |" for row in (columns, *rows))
    return "\n".join([heads, "|---" * len(columns) + "|", *lines])


def _parts(row: Row) -> tuple[Likeness, Agreement, Detail, Evenness]:
    return row.likeness, row.agreement, row.detail, row.evenness


def _plain(value: str | float) -> str | float | None:
    """A value that JSON can hold."""
    if isinstance(value, str) or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)


def _cell(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else "inf" if math.isinf(value) else f"{value:.{digits}f}"


def _plot(rows: Sequence[Row], path: Path) -> None:
    floor = [row for row in rows if "x" not in row.size]
    sized = sorted((row for row in rows if "x" in row.size), key=lambda row: math.prod(map(int, row.size.split("x"))))
    shown = (
        ("likeness", "right_class"), ("likeness", "frechet"), ("likeness", "recall"), ("likeness", "variance"),
        ("agreement", "psnr"), ("agreement", "same_topology"), ("detail", "edge"), ("detail", "render_seconds"),
    )  # fmt: skip
    figure = blank_figure(14.0, 6.5)
    for axes, (part, name) in zip(figure.subplots(2, 4).flat, shown, strict=True):
        heading = next(f.metadata["heading"] for f in fields(getattr(rows[0], part)) if f.name == name)
        axes.plot([row.size for row in sized], [getattr(getattr(row, part), name) for row in sized], "o-", ms=4)
        for row in floor:
            if not math.isnan(value := getattr(getattr(row, part), name)):
                axes.axhline(value, ls="--", lw=1, color="grey")
        axes.set_title(heading, fontsize=10)
        axes.tick_params(axis="x", labelrotation=60, labelsize=7)
        if name in ("frechet", "render_seconds"):
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
    save_figure(figure, path)
