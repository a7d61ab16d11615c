"""A headless Chromium for the tests of pages, and how pictures come back from it."""

import os
import shutil
import socket
import sys
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from browsing import FLAGS  # noqa: E402

# an element without a place on the page draws nothing by itself, and renders what it is asked to
RENDER = """async ([bytes, engine, cases, index]) => {
  const element = document.createElement("s2id-field");
  element.setAttribute("engine", engine);
  element.setAttribute("index", index);
  element.style.display = "none";
  document.body.append(element);
  await element.open(Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0)).buffer);
  if (!element.field) throw new Error(element.shadowRoot.querySelector(".message").textContent);
  const texts = [];
  for (const [size, window, fit] of cases) {
    const pixels = await element.render(size, { window: window ?? undefined, fit });
    let text = "";
    for (let i = 0; i < pixels.length; i += 30000) text += String.fromCharCode(...pixels.subarray(i, i + 30000));
    texts.push(btoa(text));
  }
  element.remove();
  return [texts, element.engine];
}"""


@contextmanager
def chromium() -> Iterator[object]:
    """A browser; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed (Debian's package chromium)")
    with playwright.sync_playwright() as program:
        browser = program.chromium.launch(executable_path=os.environ.get("CHROMIUM", CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


def serving(studio, token=None):
    """The address of a studio, which another thread serves, and what ends it."""
    uvicorn = pytest.importorskip("uvicorn", reason="the studio needs the extra studio")
    from s2id.studio.app import create_app

    listener = socket.create_server(("127.0.0.1", 0))
    host = "{}:{}".format(*listener.getsockname())
    server = uvicorn.Server(uvicorn.Config(create_app(studio, [host], token), log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()

    def end():
        server.should_exit = True
        thread.join(20)

    return f"http://{host}/", end


def rendered(page, field, engine, cases, index=0):
    """Straight RGBA bytes of the pictures of a field, or of a file's content, as the player draws them; the engine."""
    content = field if isinstance(field, bytes) else field.file_bytes()
    texts, used = page.evaluate(RENDER, [b64encode(content).decode(), engine, cases, index])
    return [
        np.frombuffer(b64decode(text), np.uint8).reshape(*case[0], 4) for text, case in zip(texts, cases, strict=True)
    ], used
