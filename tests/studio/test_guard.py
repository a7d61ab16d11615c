"""Clients that send too much, too slowly, or leave, and that all the others are served."""

import asyncio
import io
import json
import socket
import threading
import time

import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the studio needs the extra studio")
import uvicorn  # noqa: E402

from s2id.studio import connections  # noqa: E402
from s2id.studio.app import create_app  # noqa: E402
from s2id.studio.guard import Guard  # noqa: E402
from s2id.studio.settings import UPLOADS, Limits  # noqa: E402
from s2id.studio.state import Studio  # noqa: E402

QUICK = Limits(request_seconds=0.2)


def asked(app, parts, limits=QUICK, headers=(), method="POST"):
    """Status and sentence of an answer to a request whose body comes in parts; a number is a pause in seconds."""
    scope = {"type": "http", "method": method, "path": "/api/x", "headers": [(b"host", b"here"), *headers]}
    told, rest = [], list(parts)

    async def receive():
        while rest:
            part = rest.pop(0)
            if isinstance(part, float):
                await asyncio.sleep(part)
            elif part is None:
                return {"type": "http.disconnect"}
            else:
                return {"type": "http.request", "body": part, "more_body": bool(rest) and rest != [None]}
        await asyncio.sleep(60)

    async def send(message):
        told.append(message)

    async def run():
        await asyncio.wait_for(Guard(app, ["here"], None, limits)(scope, receive, send), 30)

    asyncio.run(run())
    if not told:
        return None, None
    return told[0]["status"], json.loads(b"".join(one.get("body", b"") for one in told[1:]) or b"{}").get("error", "")


def reading(done):
    """An application that reads the whole body, and says whether it came to its end."""

    async def app(scope, receive, send):
        try:
            while (await receive()).get("more_body"):
                pass
            await asyncio.sleep(done.get("for", 0))
            done["end"] = True
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})
        except asyncio.CancelledError:
            done["cancelled"] = True
            raise

    return app


def test_a_whole_request_is_served():
    assert asked(reading(done := {}), [b"a", b"b"]) == (200, "") and done == {"end": True}


def test_a_slow_request_is_refused_and_given_up():
    status, said = asked(reading(done := {}), [b"a", 5.0, b"b"])
    assert status == 408 and said.endswith(".") and done == {"cancelled": True}


def test_a_slow_answer_is_given_up():
    status, said = asked(reading(done := {"for": 5}), [b"a"])
    assert status == 503 and "too long" in said and done["cancelled"]


def test_work_for_a_client_who_has_left_is_given_up():
    assert asked(reading(done := {"for": 5}), [b"a", None], Limits()) == (None, None) and done["cancelled"]


def test_a_body_that_grows_beyond_the_limit_is_refused():
    assert asked(reading(done := {}), [b" " * 2**16] * 4)[0] == 413 and done == {"cancelled": True}


def test_a_refused_body_is_taken_so_that_its_client_hears_why_but_not_without_end():
    status, rest = refused([b" " * 2**15] * 12)
    assert status == 413 and not rest
    status, rest = refused([b" " * 2**15] * 2000)
    assert status == 413 and len(rest) > 1900


def refused(parts):
    """Status of a request that says that it is too long, and what of its body is not taken."""
    rest = iter(parts)

    async def receive():
        return {"type": "http.request", "body": next(rest), "more_body": rest.__length_hint__() > 0}

    async def run():
        told = []

        async def send(message):
            told.append(message)

        headers = [(b"host", b"here"), (b"content-length", str(len(parts) * 2**15).encode())]
        scope = {"type": "http", "method": "POST", "path": "/api/x", "headers": headers}
        await Guard(reading({}), ["here"], None, Limits())(scope, receive, send)
        return told[0]["status"]

    return asyncio.run(run()), list(rest)


@pytest.mark.parametrize(
    "origin", [b"http://[::1", b"http://elsewhere", b"null", b"http://here:81", b"here", b"", b"\xff"]
)
def test_pages_of_other_sites_change_nothing(origin):
    status, said = asked(reading({}), [b"{}"], headers=[(b"origin", origin)])
    assert status == 403 and said.endswith(".")


def test_only_some_uploads_arrive_at_the_same_time():
    scope = {"type": "http", "method": "POST", "path": "/api/x"}
    scope["headers"] = [(b"host", b"here"), (b"content-type", b"multipart/form-data; boundary=x")]

    async def statuses():
        guard, told = Guard(reading({"for": 0.2}), ["here"], None, Limits()), []

        async def one():
            body = iter([{"type": "http.request", "body": b"", "more_body": False}])

            async def receive():
                for message in body:
                    return message
                await asyncio.sleep(60)

            async def send(message):
                told.append(message.get("status"))

            await guard(scope, receive, send)

        await asyncio.gather(*(one() for _ in range(UPLOADS + 3)))
        return sorted(status for status in told if status)

    assert asyncio.run(statuses()) == [200] * UPLOADS + [503] * 3


@pytest.mark.parametrize("host", ["", "evil.example", "here:80", "here.", "here, here"])
def test_other_names_are_refused(host):
    async def never(scope, receive, send):
        raise AssertionError

    async def run():
        told = []

        async def send(message):
            told.append(message)

        scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", host.encode())]}

        async def receive():
            return {"type": "http.request"}

        await Guard(never, ["here"], None, QUICK)(scope, receive, send)
        return told[0]["status"]

    assert asyncio.run(run()) == 403


@pytest.fixture(scope="module")
def port():
    """Port of a studio that is served by a process's own server."""
    before, connections.SECONDS = connections.SECONDS, 0.3
    listener = socket.create_server(("127.0.0.1", 0))
    number = listener.getsockname()[1]
    app = create_app(Studio(["graphics"], limits=Limits(grace_seconds=0.01)), [f"127.0.0.1:{number}"])
    server = uvicorn.Server(uvicorn.Config(app, http=connections.Connection, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield number
    connections.SECONDS = before
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.parametrize("leaving", [True, False])
def test_work_is_left_when_it_is_cancelled_or_its_client_goes(port, leaving):
    """An enlargement that would take minutes; whoever waits for its end here would be stopped by the suite's limit."""
    httpx, file = pytest.importorskip("httpx"), io.BytesIO()
    Image.effect_noise((1000, 1000), 60).save(file, "PNG")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        asked = {"data": {"model": "graphics", "size": "4000"}, "files": {"picture": file.getvalue()}}
        address = f"/api/jobs/{client.post('/api/upscale', **asked).json()['job']}"
        while (state := client.get(address).json()["state"]) == "waiting":
            time.sleep(0.01)
        assert state == "running"
        if leaving:
            with client.stream("GET", f"{address}/events") as answer:
                next(answer.iter_lines())
        else:
            client.delete(address)
        while (state := client.get(address).json()["state"]) == "running":
            time.sleep(0.01)
    assert state == "cancelled"


def test_connections_that_do_not_move_are_closed(port):
    silent = socket.create_connection(("127.0.0.1", port), timeout=20)
    slow = socket.create_connection(("127.0.0.1", port), timeout=20)
    slow.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1")
    quick = socket.create_connection(("127.0.0.1", port), timeout=20)
    quick.sendall(f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    assert quick.recv(12) == b"HTTP/1.1 200"
    for one in (silent, slow):
        try:
            assert one.recv(1) == b""
        except ConnectionResetError:
            pass
        one.close()
    quick.close()
