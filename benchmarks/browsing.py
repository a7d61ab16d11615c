"""A headless Chromium without a graphics card, and a studio to show in it, for what measures or pictures pages."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Playwright

FLAGS = [
    "--no-sandbox",
    "--enable-unsafe-swiftshader",
    "--use-angle=swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def launched(program: Playwright) -> Browser:
    """A browser that has just started."""
    return program.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)


@contextmanager
def studio(*models: str) -> Iterator[str]:
    """The address of a studio that offers some models meanwhile, or all that are bundled."""
    words = [sys.executable, "-m", "s2id", "studio", *models, "--port", "0", "--set", "open=false"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield re.findall(r"http://\S+/", process.stdout.readline())[0]
    finally:
        process.terminate()
        process.wait()
