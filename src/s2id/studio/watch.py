"""Training runs that are watched: their metrics as they grow, and their sheets of samples.

Clients name runs and sheets by what was listed to them; no name of theirs becomes part of a path.
"""

import asyncio
import json
import math
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Response
from fastapi.responses import StreamingResponse

from s2id.names import unused
from s2id.studio.state import Studio, found

_METRICS = "metrics.jsonl"

_MOST_ROWS = 2000
"""Rows of an answer at most; of more, some in a row become one."""

_MOST_BYTES = 2**26
"""Largest sheet that is sent."""

_PAUSE = 1.0
"""Seconds between looks at a file that grows."""

Row = dict[str, Any]


class Run:
    """The folder of one run."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder

    @property
    def metrics(self) -> Path:
        """The file with a line for every step."""
        return self.folder / _METRICS

    def facts(self) -> Row:
        """How far the run is, from its last line."""
        last = _last(self.metrics)
        seen, done = last.get("images_seen") or 0, last.get("done") or 0
        return {
            "name": self.name,
            "images": seen,
            "wanted": round(seen / done) if done else None,
            "images_per_second": last.get("images_per_second"),
            "seconds_left": last.get("seconds_left"),
            "finished": done >= 1,
        }

    def sheets(self) -> list[Path]:
        """Files of the sheets of samples, the oldest first."""
        return sorted(path for path in (self.folder / "samples").glob("*.png") if path.stem.isdecimal())


class Runs:
    """All runs in some folders, which may still be added to."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Runs whose folders these are, or lie in these."""
        self._folders = tuple(folders)

    def all(self) -> dict[str, Run]:
        """Every run by a name that no other run has."""
        runs: dict[str, Run] = {}
        for folder in self._folders:
            inside = sorted(path.parent for path in folder.glob(f"*/{_METRICS}"))
            for one in [folder] if (folder / _METRICS).is_file() else inside:
                name = unused(one.resolve().name, runs)
                runs[name] = Run(name, one)
        return runs


def rows(path: Path, start: int = 0, first: int = 0) -> Iterator[tuple[int, Row]]:
    """Whole lines of a file of metrics from a place in it on: the place after each, and what it says.

    Args:
        path: The file.
        start: Place to begin at, in bytes: the beginning of a line.
        first: Number of that line.
    """
    with open(path, "rb") as file:
        file.seek(start)
        for number, line in enumerate(file, first):
            if not line.endswith(b"\n"):
                return
            start += len(line)
            yield start, {"row": number, **_numbers(line)}


def _listed(path: Path, start: int, first: int) -> list[tuple[int, Row]]:
    return list(rows(path, start, first))


def thinned(every: list[Row], most: int = _MOST_ROWS) -> list[Row]:
    """At most so many rows: each is the last of some, with the mean of their losses.

    >>> thinned([{"row": i, "loss": float(i)} for i in range(5)], most=2)
    [{'row': 2, 'loss': 1.0}, {'row': 4, 'loss': 3.5}]
    """
    size = -(-len(every) // most) or 1
    parts = [every[first : first + size] for first in range(0, len(every), size)]
    if size == 1:
        return every
    return [{**part[-1], "loss": _mean([row["loss"] for row in part if row.get("loss") is not None])} for part in parts]


async def growing(path: Path, after: int) -> AsyncIterator[tuple[str, Row]]:
    """Rows after one of a number, as a run writes them: `row` and what it says; `restart` where the file began anew."""
    start, number, inode = 0, -1, None
    while True:
        status = await asyncio.to_thread(_status, path)
        if status and inode not in (None, status.st_ino) or (status and status.st_size < start):
            start, number, after, inode = 0, -1, -1, status.st_ino
            yield "restart", {}
        if status and status.st_size > start:
            inode = status.st_ino
            new = await asyncio.to_thread(_listed, path, start, number + 1)
            start, number = (new[-1][0], new[-1][1]["row"]) if new else (start, number)
            for row in thinned([row for _, row in new if row["row"] > after]):
                yield "row", row
        yield "", {}
        await asyncio.sleep(_PAUSE)


def add_runs(app: FastAPI, studio: Studio) -> None:
    """Add the addresses of runs."""
    runs = Runs(studio.runs)

    def run_of(name: str) -> Run:
        return found(runs.all().get(name), "run")

    @app.get("/api/runs")
    def _() -> list[Row]:
        """Every run, and how far it is."""
        return [run.facts() for run in runs.all().values()]

    @app.get("/api/runs/{name}/metrics")
    def _(name: str, after: Annotated[int, Query(ge=-1, le=2**53)] = -1) -> list[Row]:
        """Rows after one of a number; of many, some in a row become one with the mean of their losses."""
        run = run_of(name)
        return thinned([row for _, row in rows(run.metrics) if row["row"] > after])

    @app.get("/api/runs/{name}/events", response_class=StreamingResponse)
    async def _(name: str, after: Annotated[int, Query(ge=-1, le=2**53)] = -1) -> StreamingResponse:
        """New rows, as the run writes them, as server-sent events."""
        run = await asyncio.to_thread(run_of, name)

        async def stream() -> AsyncIterator[bytes]:
            async for event, row in growing(run.metrics, after):
                yield f"event: {event}\ndata: {json.dumps(row)}\n\n".encode() if event else b":\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"cache-control": "no-store"})

    @app.get("/api/runs/{name}/samples")
    def _(name: str) -> list[dict[str, int]]:
        """The sheets of samples, each with the number of images that the run had seen."""
        return [{"number": i, "images": int(path.stem)} for i, path in enumerate(run_of(name).sheets())]

    @app.get("/api/runs/{name}/samples/{number}.png", response_class=Response)
    def _(name: str, number: int) -> Response:
        """A sheet of samples."""
        sheets = run_of(name).sheets()
        path = found(sheets[number] if 0 <= number < len(sheets) else None, "sheet")
        with open(path, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
        return Response(found(content if len(content) <= _MOST_BYTES else None, "sheet"), media_type="image/png")


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _last(path: Path) -> Row:
    """What the last whole line of a file says; nothing if there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 2**14))
            lines = [line for line in file.read().splitlines(keepends=True) if line.endswith(b"\n")]
    except OSError:
        return {}
    return _numbers(lines[-1]) if lines else {}


def _numbers(line: bytes) -> Row:
    """The finite numbers that a line says; `None` for others, and nothing if the line is none of metrics."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(said, dict):
        return {}
    known = {name: value for name, value in said.items() if isinstance(value, int | float | None)}
    return {name: value if value is None or math.isfinite(value) else None for name, value in known.items()}


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
