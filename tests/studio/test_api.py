"""The studio's addresses: what they give, what they refuse, and that nothing is refused in more than a sentence."""

import asyncio
import json
import re
import shlex
import subprocess
import sys
import threading
import zlib
from glob import glob
from pathlib import Path

import pytest
import torch

pytest.importorskip("fastapi", reason="the studio needs the extra studio")
from starlette.testclient import TestClient  # noqa: E402

import s2id  # noqa: E402
from s2id.cli.commands import parse  # noqa: E402
from s2id.cli.main import main  # noqa: E402
from s2id.diffusion.samplers import SAMPLERS  # noqa: E402
from s2id.studio.app import create_app  # noqa: E402
from s2id.studio.jobs import Job, Queue  # noqa: E402
from s2id.studio.models import SOLVERS  # noqa: E402
from s2id.studio.settings import Limits  # noqa: E402
from s2id.studio.state import Studio  # noqa: E402


@pytest.fixture(scope="module")
def drawn(client, events):
    return events(client.post("/api/compose", json={"model": "mnist-fast", "label": [7, "3"], "seeds": "0-2"}))


def test_a_sheet_is_what_sample_gives(client, drawn):
    fields = [data for name, data in drawn if name == "field"]
    assert [(one["index"], one["label"], one["seed"]) for one in fields] == [
        (0, "7", "0"), (1, "7", "1"), (2, "7", "2"), (3, "3", "0"), (4, "3", "1"), (5, "3", "2"),
    ]  # fmt: skip
    own = s2id.sample(s2id.load("mnist-fast"), label=[7, 7, 7, 3], seed=[0, 1, 2, 0])
    assert client.get(f"/api/fields/{fields[3]['id']}.safetensors").content == own[3].file_bytes()
    png = client.get(f"/api/fields/{fields[3]['id']}.png", params={"height": 90, "window": "0.25,0.25,0.5,0.5"})
    assert png.content == b"".join(own[3].png((90, 90), window=(0.25, 0.25, 0.75, 0.75)))
    assert drawn[-1][0] == "done" and {data["step"] for name, data in drawn if name == "preview"} == {1}


@pytest.mark.parametrize("form", ["png", "safetensors", "html"])
def test_the_command_and_the_program_of_a_picture_give_its_bytes(client, drawn, form, tmp_path, monkeypatch):
    name = next(data["id"] for name, data in drawn if name == "field" and data["index"] == 4)
    view = {"height": 70, "width": 50, "window": "0.1,0.2,0.7,0.5", "fit": "fill"} if form == "png" else {}
    wanted = client.get(f"/api/fields/{name}.{form}", params=view).content
    recipe = client.get(f"/api/fields/{name}/recipe", params={**view, "form": form}).json()
    monkeypatch.chdir(tmp_path)
    assert all(main(shlex.split(line)[1:]) == 0 for line in globbed(recipe["command"]))
    (made,) = (tmp_path / "pictures" / "4").glob(f"*.{form}")
    assert made.read_bytes() == wanted
    exec(recipe["python"], {})
    assert (tmp_path / f"picture.{form}").read_bytes() == wanted


def test_a_job_is_left_midway_in_what_it_computes():
    begun, queue = threading.Event(), Queue(limit=1, most_bytes=1)

    def work(_):
        x = torch.zeros(1)
        while True:
            x = x + 1
            begun.set()

    job = Job(work, seconds=60.0)
    queue.add(job)
    assert begun.wait(30)
    queue.close()  # which cancels it, and waits for its end
    assert job.state == "cancelled"


@pytest.mark.parametrize("form", ["html", "gif"])
def test_a_way_between_two_pictures_is_that_of_its_command_and_its_program(
    client, drawn, events, form, tmp_path, monkeypatch
):
    ids = {(one["label"], one["seed"]): one["id"] for name, one in drawn if name == "field"}
    said = events(client.post("/api/morph", json={"start": ids["7", "1"], "end": ids["3", "0"], "frames": 3}))
    assert [data["step"] for name, data in said if name == "preview"][-1] == 3 and said[-1][0] == "done"
    (way,) = (data["id"] for name, data in said if name == "field")
    view = {"height": 40, "width": 30}
    wanted = client.get(f"/api/fields/{way}.{form}", params=view).content
    recipe = client.get(f"/api/fields/{way}/recipe", params={**view, "form": form}).json()
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(recipe["command"])[1:]) == 0
    made = tmp_path / f"way.{form}"
    assert made.read_bytes() == wanted
    made.unlink()
    exec(recipe["python"], {})
    assert made.read_bytes() == wanted
    for path in (f"/api/fields/{way}.png", f"/api/fields/{way}/recipe", f"/iiif/{way}/info.json"):
        assert client.get(path).json()["error"].startswith("this is a way and no picture")
    refused = client.post("/api/morph", json={"start": way, "end": way})
    assert refused.status_code == 400 and "compose both first" in refused.json()["error"]
    (tmp_path / "way.safetensors").write_bytes(client.get(f"/api/fields/{way}.safetensors").content)
    assert len(s2id.Field.load(tmp_path / "way.safetensors")) == 3


@pytest.mark.parametrize(
    "change, why",
    [({"end": "none"}, "no such field"), ({"frames": 1000}, "frames is not as"), ({}, "both ends of the way")],
)
def test_a_way_that_cannot_be_is_refused(client, drawn, change, why):
    one = next(data["id"] for name, data in drawn if name == "field")
    answer = client.post("/api/morph", json={"start": one, "end": one} | change)
    assert answer.status_code in (400, 404) and why in answer.json()["error"]


def test_a_job_that_waited_says_when_its_turn_has_come():
    queue, release = Queue(limit=2, most_bytes=1), threading.Event()
    first, second = (Job(lambda _: {"free": release.wait(30)}, seconds=60.0) for _ in range(2))
    queue.add(first)
    queue.add(second)
    assert second.events[-1].data["position"] == 1
    release.set()
    heard = []

    async def listen():
        async for event in second.follow():
            heard.append((event.name, event.data.get("position")))

    asyncio.run(listen())
    queue.close()
    assert heard[-2:] == [("queued", 0), ("done", None)]


def test_a_job_that_takes_too_long_fails_in_a_sentence_and_the_next_is_done():
    queue, x = Queue(limit=2, most_bytes=1), torch.zeros(1)

    def forever(_):
        while True:
            x.add_(1)

    slow, next_ = Job(forever, seconds=0.05), Job(lambda _: {"made": 1}, seconds=60.0)
    queue.add(slow)
    queue.add(next_)

    async def end(job):
        return [event async for event in job.follow()][-1]

    for job, state in ((slow, "failed"), (next_, "done")):
        assert asyncio.run(end(job)).name == job.state == state
    assert slow.events[-1].data["error"] == "this took more than 0.05 s and was stopped; ask for less at once."
    queue.close()


def test_an_error_of_the_studios_own_is_no_clients_business(caplog):
    job = Job(lambda _: {"made": 1 // 0}, seconds=60.0)
    job.run()
    assert job.state == "failed" and "division" not in job.events[-1].data["error"]
    assert "ZeroDivisionError" in caplog.text


def test_a_client_that_comes_late_or_back_hears_all_but_the_previews_that_newer_ones_replaced(client):
    job = Job(lambda job: [job.say("preview", index=i % 2, step=i) for i in range(6)] and {}, seconds=60.0)
    job.run()
    assert [(one.name, one.data.get("step")) for one in job.events] == [("preview", 4), ("preview", 5), ("done", None)]
    name = client.post("/api/compose", json={"model": "mnist-fast", "label": 7}).json()["job"]
    numbers = [int(word[4:]) for word in client.get(f"/api/jobs/{name}/events").text.splitlines() if word[:4] == "id: "]
    again = client.get(f"/api/jobs/{name}/events", headers={"last-event-id": str(numbers[-2])}).text
    assert numbers == sorted(numbers) and len(numbers) > 2
    assert [word for word in again.splitlines() if word.startswith("id: ")] == [f"id: {numbers[-1]}"]


def test_a_job_that_is_left_inside_a_library_is_cancelled_whatever_the_library_makes_of_it():
    def work(job):
        job.cancel()
        try:
            job.check()
        except Exception as error:
            raise ValueError("as a decorator does") from error

    job = Job(work, seconds=60.0)
    job.run()
    assert job.state == "cancelled"


def test_what_the_page_is_told_of_models_needs_no_torch():
    """So that it can be used while torch is imported; the names of solvers are those of the samplers."""
    script = (
        "import sys; from s2id.studio import app; from s2id.studio.models import Library;"
        "facts = {name: one.facts for name, one in Library((), 'cpu').offers.items()};"
        "assert 'torch' not in sys.modules and facts['mnist']['sampling']['steps']['own'] == 12"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert list(SAMPLERS) == list(SOLVERS)


def globbed(command):
    """The commands of a line one by one, in which what * stands for is looked up when it is their turn."""
    for part in command.split(" && "):
        yield re.sub(r"\S+\*\S+", lambda found: " ".join(map(shlex.quote, glob(found[0]))), part)


def test_the_command_and_the_program_of_a_sheet_give_its_bytes(client, events, tmp_path, monkeypatch):
    asked = {"model": "mnist", "seeds": "0,7-10", "sampling": {"steps": 2, "eta": 0.3, "sampler": "ddim"}}
    heard = events(client.post("/api/compose", json=asked))
    done, fields = heard[-1][1], [data for name, data in heard if name == "field"]
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(done["command"])[1:]) == 0
    exec(done["python"], {})
    for one in fields:
        for form in ("png", "safetensors"):
            wanted = client.get(f"/api/fields/{one['id']}.{form}").content
            (made,) = (tmp_path / "pictures").glob(f"*label{one['label']}-seed{one['seed']}*.{form}")
            assert made.read_bytes() == (tmp_path / f"picture{one['index']}.{form}").read_bytes() == wanted


def test_the_image_starts_a_studio():
    last = (Path(__file__).parents[2] / "Dockerfile").read_text().splitlines()[-1]
    command = parse(json.loads(last.removeprefix("CMD "))[1:])
    assert command.host == "0.0.0.0" and not command.open


def test_models_say_what_they_can(client):
    one, other, enlarger, inventor = client.get("/api/models").json()
    assert (one["invents"], other["invents"], enlarger["invents"], inventor["invents"]) == (False, False, False, True)
    assert other["sampling"]["steps"]["own"] == 12 and other["can"]["restore"] and other["sampling"]["steps"]["common"]
    assert one["conditions"]["classes"] == list("0123456789") and one["can"]["compose"] and not one["can"]["restore"]
    assert "steps" not in one["sampling"] and one["sampling"]["noise"]["choices"] == ["nested", "white"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"model": "emnist"}, "model 'emnist' is unknown"),
        ({"model": "mnist-fast", "label": "x"}, "label 'x' is none"),
        ({"model": "mnist-fast", "seeds": "0-48"}, "49 pictures"),
        ({"model": "mnist-fast", "seed": "0"}, "seed is not as"),
        ({"model": "mnist-fast", "sampling": {"steps": 3}}, "distilled"),
        ({"model": "mnist-fast", "sampling": {"stepz": 3}}, "no setting 'stepz'"),
        ({"model": "mnist-fast", "sampling": {"density": "9"}}, "density"),
    ],
)
def test_bad_requests_are_refused_in_a_sentence(client, body, said):
    answer = client.post("/api/compose", json=body)
    assert answer.status_code == 400 and said in answer.json()["error"] and answer.json()["error"].endswith(".")


@pytest.mark.parametrize("body", [b'{"model":', b'{"model":"\xff"}', b"[" * 60_000, zlib.compress(b"{}")])
def test_what_is_no_json_is_refused_in_a_sentence(client, body):
    answer = client.post("/api/compose", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400 and answer.json()["error"].startswith("the request is no JSON")


def test_states_are_bounded_because_large_ones_cannot_be_left(client):
    answer = client.post("/api/compose", json={"model": "mnist", "sampling": {"density": 129}})
    assert answer.status_code == 400 and "at most 128" in answer.json()["error"]
    (mnist,) = (one for one in client.get("/api/models").json() if one["name"] == "mnist")
    assert mnist["sampling"]["density"]["most"] == mnist["restoring"]["density"]["most"] == 128


@pytest.mark.parametrize("path", ["/api/fields/x.png", "/api/jobs/x", "/studio/app.py", "/studio/..%2fapp.py", "/etc"])
def test_what_is_not_there_is_not_found(client, path):
    answer = client.get(path)
    assert answer.status_code == 404 and answer.json()["error"].endswith(".")


def test_other_hosts_and_origins_are_refused(client):
    assert client.get("/", headers={"host": "evil.example"}).status_code == 403
    body = {"model": "mnist-fast"}
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert client.post("/api/compose", json=body, headers=headers).status_code == 403
    own = {"origin": "http://testserver", "sec-fetch-site": "same-origin"}
    assert client.post("/api/compose", json=body, headers=own).status_code == 202


def test_a_token_is_asked_for_where_there_is_one():
    with TestClient(create_app(Studio(["mnist-fast"]), ["testserver"], "secret")) as one:
        assert one.get("/").status_code == one.get("/health").status_code == 200
        assert one.get("/api/models").status_code == one.get("/api/fields/x.png").status_code == 401
        assert one.get("/api/models", headers={"authorization": "Bearer wrong"}).status_code == 401
        assert one.get("/api/fields/x.png", headers={"authorization": "Bearer secret"}).status_code == 404
        assert one.post("/api/login", json={"token": "wrong"}).status_code == 401
        cookie = one.post("/api/login", json={"token": "secret"}).headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie
        assert one.get("/api/fields/x.png").status_code == 404  # the client keeps the cookie


def test_pages_may_run_nothing_but_their_own_files(client):
    for path in ("/", "/studio/s2id-player.js", "/api/models"):
        policy = client.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self' 'wasm-unsafe-eval';" in policy
        assert policy.count("unsafe") == 1


def test_a_long_request_is_refused_however_it_comes(client):
    long = b"{" + b" " * 2**20
    assert client.post("/api/compose", content=long).status_code == 413
    assert client.post("/api/compose", content=iter([long[: 2**19], long[2**19 :], b"  "])).status_code == 413


def test_the_queue_is_bounded_and_jobs_are_cancelled():
    studio = Studio(["mnist-fast"], limits=Limits(queue=1))
    with TestClient(create_app(studio)) as one:
        answers = [one.post("/api/compose", json={"model": "mnist-fast", "seeds": "0-47"}) for _ in range(4)]
        assert {answer.status_code for answer in answers} == {202, 503}
        assert int(answers[-1].headers["retry-after"]) > 0
        first = answers[0].json()["job"]
        assert one.delete(f"/api/jobs/{first}").status_code == 204
        assert one.get(f"/api/jobs/{first}/events").text.splitlines()[-2:][0].startswith("data: {")
        assert one.get(f"/api/jobs/{first}").json()["state"] == "cancelled"


def test_only_what_a_renderer_draws_offers_smoothing():
    with TestClient(create_app(Studio(["mnist-fast", "emoji"]), ["testserver"])) as one:
        offers = {offer["name"]: offer for offer in one.get("/api/models").json()}
    assert offers["emoji"]["sampling"]["smoothing"]["own"] == 0.1
    assert offers["emoji"]["sampling"]["smoothing"]["least"] == 0
    assert not any("smoothing" in part for part in (offers["emoji"]["restoring"], offers["mnist-fast"]["sampling"]))
