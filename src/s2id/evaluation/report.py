"""The table of an evaluation: its columns, and the table as JSON, Markdown and curves."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from s2id.errors import InputError


def _column(heading: str, digits: int = 3) -> Any:  # noqa: ANN401  (dataclasses calls it a float)
    """A column of the table; what was not measured is NaN."""
    return field(default=math.nan, metadata={"heading": heading, "digits": digits})


@dataclass(frozen=True)
class Likeness:
    """How much a set of pictures is like the test set, at the data's size."""

    right_class: float = _column("right class")
    right_attributes: float = _column("right attributes")
    frechet: float = _column("Frechet")
    kernel: float = _column("kernel x 1000", 2)
    precision: float = _column("precision")
    recall: float = _column("recall")
    density: float = _column("density")
    coverage: float = _column("coverage")
    variance: float = _column("variance")
    spread: float = _column("spread")


@dataclass(frozen=True)
class Agreement:
    """How much pictures of a size agree with the same seeds' at the data's size."""

    psnr: float = _column("PSNR median", 1)
    psnr_worst: float = _column("worst", 1)
    ssim: float = _column("SSIM median")
    same_class: float = _column("same class")
    same_topology: float = _column("same parts and holes")
    zoom_psnr: float = _column("zoom PSNR", 1)
    aspect: float = _column("ink aspect")
    border: float = _column("ink at border", 4)


@dataclass(frozen=True)
class Detail:
    """What the rendered pixels hold, and what they cost."""

    edge: float = _column("edge width", 2)
    power: float = _column("power above Nyquist", 5)
    speckle: float = _column("speckle", 5)
    overshoot: float = _column("overshoot", 4)
    compose_seconds: float = _column("compose s", 3)
    render_seconds: float = _column("render s", 4)
    peak_megabytes: float = _column("peak MB", 0)


@dataclass(frozen=True)
class Row:
    """All that is said of one size."""

    size: str
    likeness: Likeness = field(default_factory=Likeness)
    agreement: Agreement = field(default_factory=Agreement)
    detail: Detail = field(default_factory=Detail)
    attributes: Mapping[str, float] = field(default_factory=dict)
    """Of each attribute, the share of pictures that are as asked."""


@dataclass(frozen=True)
class Report:
    """The whole table, with all that one must know to make it again."""

    facts: dict[str, Any]
    rows: tuple[Row, ...]

    def json(self) -> str:
        """Facts and rows; what was not measured is null, and what is infinite a word, as JSON has no number for it."""
        rows = [
            {"size": row.size, **{k: v for part in _parts(row) for k, v in asdict(part).items()}} for row in self.rows
        ]
        clean: list[dict[str, Any]] = [{k: _plain(v) for k, v in row.items()} for row in rows]
        for plain, row in zip(clean, self.rows, strict=True):
            if row.attributes:
                plain["attributes"] = {name: _plain(value) for name, value in row.attributes.items()}
        return json.dumps({"facts": self.facts, "rows": clean}, indent=2, allow_nan=False)

    def markdown(self) -> str:
        """Three tables under the facts: likeness, agreement, detail; a fourth of attributes, where any were judged."""
        lines = [", ".join(f"{name} {value}" for name, value in self.facts.items()), ""]
        for kind, index in ((Likeness, 0), (Agreement, 1), (Detail, 2)):
            parts = [(row.size, _parts(row)[index]) for row in self.rows]
            # a column that nobody measured is not shown, nor is such a row
            columns = [c for c in fields(kind) if not all(math.isnan(getattr(part, c.name)) for _, part in parts)]
            cells = [
                (size, *(_cell(getattr(part, c.name), c.metadata["digits"]) for c in columns)) for size, part in parts
            ]
            known = [row for row in cells if any(cell != "-" for cell in row[1:])]
            lines += [markdown(["size", *(c.metadata["heading"] for c in columns)], known), ""]
        if judged := [row for row in self.rows if row.attributes]:
            each = [(name, *(row.attributes[name] for row in judged)) for name in judged[0].attributes]
            lines += [markdown(["right", *(row.size for row in judged)], each), ""]
        return "\n".join(lines)

    def plot(self, path: Path) -> None:
        """Write a picture of the curves against size, the training set's own values as dashed lines.

        Raises:
            InputError: matplotlib is not installed.
        """
        _plot(self.rows, path)


def markdown(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """A table: fractions with three digits, what is missing as a dash."""

    def shown(value: object) -> str:
        return "-" if value is None else _cell(value, 3) if isinstance(value, float) else str(value)

    heads, *lines = (f"| {' | '.join(map(shown, row))} |" for row in (columns, *rows))
    return "\n".join([heads, "|---" * len(columns) + "|", *lines])


def _parts(row: Row) -> tuple[Likeness, Agreement, Detail]:
    return row.likeness, row.agreement, row.detail


def _plain(value: str | float) -> str | float | None:
    if isinstance(value, str) or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)


def _cell(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else "inf" if math.isinf(value) else f"{value:.{digits}f}"


def blank_figure(width: float, height: float) -> Any:  # noqa: ANN401  (an optional package's class)
    """A figure to draw curves in, of so many inches.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("the picture of curves needs matplotlib; pip install 's2id[plot]' brings it.") from error
    return Figure(figsize=(width, height), layout="constrained")


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
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
