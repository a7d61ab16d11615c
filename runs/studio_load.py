"""The studio under load: clients that compose, look at tiles and send pictures, while others send what is hostile.

    python runs/studio_load.py [--clients 64] [--seconds 120]

It starts a studio of its own on the loopback. Printed are the answers by kind and status, how long they took, how many
were dropped, and the memory of the server's processes.
"""

import argparse
import asyncio
import io
import random
import re
import subprocess
import sys
import time
from collections import Counter, defaultdict
from typing import Any

import httpx
import psutil
from PIL import Image

PORT = 8218
ADDRESS = f"http://127.0.0.1:{PORT}"


def bomb() -> bytes:
    """A small file of a huge picture."""
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")
    return file.getvalue()


BOMB = bomb()


class Load:
    """What happened."""

    def __init__(self) -> None:
        self.statuses: dict[str, Counter[object]] = defaultdict(Counter)
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.fields: list[str] = []
        self.sentences = 0
        self.peak = 0

    async def ask(self, client: httpx.AsyncClient, kind: str, *args: Any, **more: Any) -> httpx.Response | None:
        """Make a request, and note what comes of it."""
        start = time.perf_counter()
        try:
            answer = await client.request(*args, **more)
        except httpx.HTTPError as error:
            self.statuses[kind][type(error).__name__] += 1
            return None
        self.statuses[kind][answer.status_code] += 1
        self.seconds[kind].append(time.perf_counter() - start)
        if answer.status_code >= 400:
            self.sentences += answer.json()["error"].endswith(".")
        return answer

    async def compose(self, client: httpx.AsyncClient) -> None:
        """Compose a few pictures and hear of them; keep their names."""
        body = {"model": "mnist-fast", "seeds": f"{random.randrange(2**32)}", "label": [1, 7, 3]}
        answer = await self.ask(client, "compose", "POST", "/api/compose", json=body)
        if answer is None or answer.status_code != 202:
            await asyncio.sleep(1)
            return
        heard = await self.ask(client, "events", "GET", f"/api/jobs/{answer.json()['job']}/events")
        if heard is not None:
            self.fields = (self.fields + re.findall(r'"id": "([\w-]+)"', heard.text))[-60:]

    async def tile(self, client: httpx.AsyncClient) -> None:
        """Look at a tile of a field, as viewers do."""
        if not self.fields:
            await asyncio.sleep(1)
            return
        side = 512 * 2 ** random.randrange(5)
        x, y = (side * random.randrange(8192 // side) for _ in "xy")
        path = f"/iiif/{random.choice(self.fields)}/{x},{y},{side},{side}/512,512/0/default.png"
        await self.ask(client, "tile", "GET", path)

    async def send(self, client: httpx.AsyncClient) -> None:
        """Send a picture to enlarge, and hear of it."""
        file = io.BytesIO()
        Image.effect_noise((14, 14), 60).save(file, "PNG")
        answer = await self.ask(
            client, "upload", "POST", "/api/upscale", data={"model": "mnist", "scale": "2"},
            files={"picture": file.getvalue()},
        )  # fmt: skip
        if answer is not None and answer.status_code == 202:
            await self.ask(client, "events", "GET", f"/api/jobs/{answer.json()['job']}/events")

    async def attack(self, client: httpx.AsyncClient) -> None:
        """Send one of the things that are refused."""
        choice = random.randrange(6)
        if choice == 0:
            await self.ask(client, "hostile", "POST", "/api/compose", content=b" " * 2**21)
        elif choice == 1:
            await self.ask(client, "hostile", "POST", "/api/upscale", data={"model": "mnist"}, files={"picture": BOMB})
        elif choice == 2:
            await self.ask(client, "hostile", "GET", "/studio/..%2f..%2fapp.py")
        elif choice == 3:
            await self.ask(client, "hostile", "GET", "/health", headers={"host": "evil.example"})
        elif choice == 4:
            cut = {"picture": BOMB[:200]}
            await self.ask(client, "hostile", "POST", "/api/upscale", data={"model": "mnist"}, files=cut)
        else:
            await self.slow()
        await asyncio.sleep(1)

    async def slow(self) -> None:
        """Begin a request and never end it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        writer.write(b"POST /api/compose HTTP/1.1\r\nHost: 127.0.0.1")
        start = time.perf_counter()
        await reader.read()
        self.seconds["slow, until closed"].append(time.perf_counter() - start)
        self.statuses["slow, until closed"]["closed"] += 1
        writer.close()

    def report(self) -> str:
        """A table of what happened."""
        rows = ["| request | answers by status | median, s | 99th percentile, s |", "|---|---|---|---|"]
        for kind, count in self.statuses.items():
            took = sorted(self.seconds[kind]) or [float("nan")]
            said = ", ".join(f"{status}: {number}" for status, number in sorted(count.items(), key=str))
            rows.append(f"| {kind} | {said} | {took[len(took) // 2]:.2f} | {took[int(0.99 * len(took))]:.2f} |")
        return "\n".join([*rows, f"peak memory of the server's processes: {self.peak / 2**20:.0f} MiB"])


async def client_of(load: Load, number: int, until: float) -> None:
    """One client, until a time."""
    mix = [load.tile] * 6 + [load.compose] * 2 + [load.send]
    async with httpx.AsyncClient(base_url=ADDRESS, timeout=120) as client:
        while time.monotonic() < until:
            await (load.attack if number % 8 == 7 else random.choice(mix))(client)


async def remember(load: Load, process: psutil.Process, until: float) -> None:
    """Note the memory of the server, again and again."""
    while time.monotonic() < until:
        every = [process, *process.children(recursive=True)]
        load.peak = max(load.peak, sum(one.memory_info().rss for one in every))
        await asyncio.sleep(0.5)


async def run(clients: int, seconds: float, process: psutil.Process) -> Load:
    """Let all clients do what they do."""
    load, until = Load(), time.monotonic() + seconds
    async with httpx.AsyncClient(base_url=ADDRESS, timeout=600) as client:
        await client.get("/api/models")
        await load.compose(client)
    await asyncio.gather(remember(load, process, until), *(client_of(load, i, until) for i in range(clients)))
    return load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=120)
    args = parser.parse_args()
    words = [sys.executable, "-m", "s2id", "studio", "mnist-fast", "mnist", "--port", str(PORT), "--set", "open=false"]
    server = subprocess.Popen(words)
    try:
        while True:
            try:
                httpx.get(f"{ADDRESS}/health")
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        load = asyncio.run(run(args.clients, args.seconds, psutil.Process(server.pid)))
        print(load.report())
        print(f"sentences in answers that refuse: {load.sentences}")
    finally:
        start = time.monotonic()
        server.terminate()
        server.wait(30)
        print(f"ended {time.monotonic() - start:.1f} s after SIGTERM with code {server.returncode}")


if __name__ == "__main__":
    main()
