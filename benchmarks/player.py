"""How large the pages of fields are, and how soon a browser shows them: python benchmarks/player.py a.safetensors ...

A headless Chromium without a graphics card opens each page from disk, offline, and shows the picture at 512x512, first
as the page draws it (WebGL2 in software), then zoomed a little and on typed arrays. Needs Debian's package chromium and
the extra dev.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from s2id.export.page import write_page
from s2id.sampling.field import Field

FLAGS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader", "--disable-background-networking"]

WATCH = """
const draw = CanvasRenderingContext2D.prototype.drawImage;
globalThis.times = {};
CanvasRenderingContext2D.prototype.drawImage = function (...rest) {
  times.first ??= performance.now();
  return draw.apply(this, rest);
};
addEventListener("s2id-view", () => (times.complete ??= performance.now()));
"""
"""Notes when something is first drawn, and when the picture is complete."""

AGAIN = """(engine) => {
  const element = document.querySelector("s2id-field");
  element.setAttribute("engine", engine);
  globalThis.times = {};
  globalThis.begun = performance.now();
  element.view = { y: 0.5, x: 0.5, zoom: 1.1 };
}"""


def times(browser: Browser, path: Path) -> dict[str, float]:
    """Seconds to the first and to the complete picture, of a page just opened and of a view just chosen."""
    context = browser.new_context(offline=True, viewport={"width": 512, "height": 554})
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(path.as_uri())
    found = {}
    for name, engine in (("opened", ""), ("webgl2", "webgl2"), ("arrays", "arrays")):
        if engine:
            page.evaluate(AGAIN, engine)
        while not page.evaluate("times.complete"):
            page.wait_for_timeout(100)
        begun = page.evaluate("globalThis.begun ?? 0")
        for what in ("first", "complete"):
            found[f"{name}, {what}"] = (page.evaluate(f"times.{what}") - begun) / 1000
    found["pixels"] = page.evaluate("document.querySelector('s2id-field').canvas.height * 512")
    context.close()
    return found


def main() -> None:
    """Print a row per field."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fields", nargs="+", type=Path)
    given = parser.parse_args()
    with sync_playwright() as program, tempfile.TemporaryDirectory() as folder:
        browser = program.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for path in given.fields:
            page = Path(folder, f"{path.stem}.html")
            write_page(page, [Field.load(path)])
            found = times(browser, page)
            row = ", ".join(f"{name} {value:.2f} s" for name, value in found.items() if name != "pixels")
            print(f"{path.stem}: {page.stat().st_size / 1000:.0f} kB, {found['pixels']:.0f} pixels: {row}", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
