"""How long the studio takes: to its page, to its models, to the first preview of a sheet, and to the whole sheet.

    python runs/studio_times.py [--times 3]

Times are by the clock, and the least of several, because other programs may run.
"""

import argparse
import json
import subprocess
import sys
import time

import httpx

PORT = 8217
ADDRESS = f"http://127.0.0.1:{PORT}"


def start() -> tuple[subprocess.Popen[bytes], dict[str, float]]:
    """A studio, and the seconds until its page and its models are there."""
    words = [sys.executable, "-m", "s2id", "studio", "mnist-fast", "mnist", "--port", str(PORT), "--set", "open=false"]
    begun, took = time.perf_counter(), {}
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    for name, path in {"page": "/", "models": "/api/models"}.items():
        while True:
            try:
                httpx.get(ADDRESS + path, timeout=120).raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.02)
        took[f"start to {name}"] = time.perf_counter() - begun
    return server, took


def sheet(model: str, seeds: str) -> dict[str, float]:
    """Seconds from the request of a sheet to its first preview, first picture and last picture."""
    took: dict[str, float] = {}
    with httpx.Client(base_url=ADDRESS, timeout=120) as client:
        begun = time.perf_counter()
        job = client.post("/api/compose", json={"model": model, "seeds": seeds}).json()["job"]
        with client.stream("GET", f"/api/jobs/{job}/events") as lines:
            for line in lines.iter_lines():
                name = line.removeprefix("event: ")
                if name in ("preview", "field"):
                    took.setdefault(f"first {name}", time.perf_counter() - begun)
                took["done"] = time.perf_counter() - begun
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    args = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    for _ in range(args.times):
        server, took = start()
        try:
            rounds = {"studio": took, "mnist-fast, 24": sheet("mnist-fast", "0-23")}
            rounds |= {"mnist-fast, 24, again": sheet("mnist-fast", "24-47"), "mnist, 4": sheet("mnist", "0-3")}
        finally:
            server.terminate()
            server.wait(60)
        for name, seconds in rounds.items():
            best = found.setdefault(name, seconds)
            found[name] = {one: min(best[one], value) for one, value in seconds.items()}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
