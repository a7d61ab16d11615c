"""How soon the studio's page answers, by `python benchmarks/studio.py`.

Starts `s2id studio` and opens its page in a headless Chromium without a graphics card, then draws sheets of 24 digits.
Seconds by the clock, of programs that share the processor with the browser: until the page can be used, after the
start and again; from the press of Draw to the first preview and to the last sharp picture; and from a click on a
picture until the player shows it. Needs Debian's package chromium and the extras studio and dev.
"""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader", "--disable-background-networking"]

WATCH = """() => {
  globalThis.begun = performance.now();
  globalThis.times = {};
  const notice = () => {
    const pictures = [...document.querySelectorAll(".sheet:first-of-type img")];
    if (pictures.some((one) => one.src.startsWith("data:"))) times.preview ??= performance.now() - begun;
    const sharp = pictures.filter((one) => one.src.includes("/api/fields/")).length;
    if (sharp >= 24) times.sheet ??= performance.now() - begun;
  };
  new MutationObserver(notice).observe(document.body, { subtree: true, childList: true, attributeFilter: ["src"] });
  addEventListener("s2id-view", () => (times.player ??= performance.now() - begun));
}"""


@contextmanager
def studio() -> Iterator[str]:
    """The address of a studio that runs meanwhile."""
    words = [sys.executable, "-m", "s2id", "studio", "--port", "0", "--set", "open=false"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield re.findall(r"http://\S+/", process.stdout.readline())[0]
    finally:
        process.terminate()
        process.wait()


def usable(browser: Browser, address: str) -> Page:
    """A page that can be used."""
    page = browser.new_page(viewport={"width": 1200, "height": 800})
    page.goto(address)
    page.get_by_role("button", name="Draw").wait_for(timeout=60_000)
    return page


def moment(page: Page, name: str) -> float:
    """Seconds from the last press until something came."""
    while (found := page.evaluate(f"times.{name}")) is None:
        page.wait_for_timeout(20)
    return found / 1000


def sheet(browser: Browser, address: str, model: str) -> str:
    """Times of a sheet of a model."""
    page = usable(browser, f"{address}#compose?model={model}&seeds=0-23")
    page.evaluate(WATCH)
    page.evaluate("begun = performance.now(); document.querySelector('button.main').click()")
    preview, whole = moment(page, "preview"), moment(page, "sheet")
    page.evaluate("begun = performance.now(); times = {}; document.querySelector('.looks button').click()")
    found = f"| {model} | {preview:.2f} | {whole:.2f} | {moment(page, 'player'):.2f} |"
    page.context.close()
    return found


def main() -> None:
    """Measure and print."""
    with sync_playwright() as program:
        browser = program.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        first = browser.new_page()  # so that the browser itself has started
        begun = time.perf_counter()
        with studio() as address:
            usable(browser, address)
            print(f"from the start of the program to a usable page: {time.perf_counter() - begun:.2f} s")
            begun = time.perf_counter()
            usable(browser, address)
            print(f"opened again: {time.perf_counter() - begun:.2f} s")
            print("| model | first preview | 24 sharp pictures | one in the player |\n|---|---|---|---|")
            for model in ("mnist-fast", "mnist-fast", "mnist-long"):
                print(sheet(browser, address, model), flush=True)
        first.close()
        browser.close()


if __name__ == "__main__":
    main()
