"""A client of a studio, and the events of its jobs."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the studio needs the extra studio")
from starlette.testclient import TestClient  # noqa: E402

from s2id.studio.app import create_app  # noqa: E402
from s2id.studio.state import Studio  # noqa: E402


@pytest.fixture(scope="package")
def client() -> Iterator[TestClient]:
    """A client of a studio with two models."""
    with TestClient(create_app(Studio(["mnist-fast", "mnist"]), ["testserver"])) as one:
        yield one


@pytest.fixture(scope="package")
def events(client) -> Callable[..., list[tuple[str, dict[str, Any]]]]:
    """Names and data of all events of the job that an answer names."""

    def of(answer) -> list[tuple[str, dict[str, Any]]]:
        assert answer.status_code == 202, answer.text
        text = client.get(f"/api/jobs/{answer.json()['job']}/events").text
        said = [block for block in text.strip().split("\n\n") if not block.startswith(":")]  # comments
        blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in said]
        assert [int(one["id"]) for one in blocks] == sorted(int(one["id"]) for one in blocks)
        return [(one["event"], json.loads(one["data"])) for one in blocks]

    return of
