"""Runs are watched through the studio as they grow."""

import asyncio
import json

import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the studio needs the extra studio")
from starlette.testclient import TestClient  # noqa: E402

from s2id.studio.app import create_app  # noqa: E402
from s2id.studio.state import Studio  # noqa: E402
from s2id.studio.watch import growing  # noqa: E402


def line(step, **more):
    seen = {"step": step, "images_seen": 8 * step, "loss": 1 / step, "done": step / 10, "images_per_second": 5.0}
    return json.dumps({**seen, **more}) + "\n"


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs" / "one <b>"
    (folder / "samples").mkdir(parents=True)
    (folder / "metrics.jsonl").write_text(line(1) + line(2, loss=float("nan")) + "no json\n" + line(4) + '{"half')
    Image.new("L", (3, 3)).save(folder / "samples" / "000000000032.png")
    (folder / "samples" / "secret.png").write_text("not a sheet")
    return folder


def test_a_run_is_listed_with_its_rows_and_sheets(run):
    with TestClient(create_app(Studio(runs=[run.parent]))) as client:
        (one,) = client.get("/api/runs").json()
        assert (one["name"], one["images"], one["wanted"], one["finished"]) == ("one <b>", 32, 80, False)
        address = "/api/runs/one%20%3Cb%3E"
        found = client.get(f"{address}/metrics", params={"after": 0}).json()
        assert [row["row"] for row in found] == [1, 2, 3] and found[0]["loss"] is None and found[2]["loss"] == 0.25
        assert client.get(f"{address}/samples").json() == [{"number": 0, "images": 32}]
        assert client.get(f"{address}/samples/0.png").content.startswith(b"\x89PNG")
        for wrong in ("samples/1.png", "samples/-1.png", "samples/secret.png", "samples/..%2fmetrics.jsonl"):
            assert client.get(f"{address}/{wrong}").status_code in (400, 404)
        assert client.get("/api/runs/..%2fruns/metrics").status_code == 404


def test_new_rows_are_told_as_they_come(run, monkeypatch):
    monkeypatch.setattr("s2id.studio.watch._PAUSE", 0.01)

    async def heard():
        said = []
        async for event, row in growing(run / "metrics.jsonl", after=1):
            if event:
                said.append((event, row.get("row"), row.get("step")))
            elif len(said) == 2:
                with open(run / "metrics.jsonl", "a") as file:
                    file.write('": 1}\n' + line(5))
                said.append("grown")
            elif len(said) == 5:
                (run / "new").write_text(line(1))
                (run / "new").rename(run / "metrics.jsonl")
                said.append("anew")
            elif len(said) == 8:
                return said

    assert asyncio.run(asyncio.wait_for(heard(), 60)) == [
        ("row", 2, None), ("row", 3, 4), "grown", ("row", 4, None), ("row", 5, 5), "anew",
        ("restart", None, None), ("row", 0, 1),
    ]  # fmt: skip
