"""How large the pages of fields are, and how soon a browser shows them: python benchmarks/player.py a.safetensors ...

A headless Chromium without a graphics card, started anew for each page, opens it from disk, offline, and shows the
picture at 512x512, first as the page draws it, then zoomed a little by WebGL2 in software and by typed arrays. Seconds
by the clock, and in brackets those of all of the browser's processes, which other work disturbs less. Needs Debian's
package chromium and the extra dev.
"""

import argparse
import tempfile
from pathlib import Path

import psutil
from browsing import launched
from playwright.sync_api import Browser, Page, sync_playwright

from s2id.export.page import write_page
from s2id.sampling.field import Field

WATCH = """
globalThis.told = {};
globalThis.until = (what) => times[what] ?? new Promise((resolve) => (told[what] = resolve));
const note = (what) => (times[what] ??= performance.now(), told[what]?.(times[what]));
const draw = CanvasRenderingContext2D.prototype.drawImage;
globalThis.times = {};
CanvasRenderingContext2D.prototype.drawImage = function (...rest) {
  note("first");
  return draw.apply(this, rest);
};
addEventListener("s2id-view", () => note("complete"));
"""
"""Notes when something is first drawn, and when the picture is complete; asking often would slow the browser down."""

AGAIN = """(engine) => {
  const element = document.querySelector("s2id-field");
  element.setAttribute("engine", engine);
  [globalThis.times, globalThis.told] = [{}, {}];
  globalThis.begun = performance.now();
  element.view = { y: 0.5, x: 0.5, zoom: 1.1 };
}"""


def spent() -> float:
    """Processor seconds of the browser's processes until now."""
    parts = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return sum(part.user + part.system for part in parts)


def until(page: Page, what: str, begun: float, before: float) -> str:
    """Seconds, by the clock and of processors, until something is drawn: `first` or `complete`."""
    return f"{(page.evaluate(f'until({what!r})') - begun) / 1000:.2f} ({spent() - before:.2f})"


def measured(browser: Browser, path: Path, engines: list[str]) -> list[str]:
    """Times of the first and the complete picture, of a page just opened and of a view just chosen."""
    context = browser.new_context(offline=True, viewport={"width": 512, "height": 554})
    page, found = context.new_page(), []
    page.add_init_script(WATCH)
    for engine in ("", *engines):
        before = spent()
        page.evaluate(AGAIN, engine) if engine else page.goto(path.as_uri(), wait_until="commit")
        begun = page.evaluate("globalThis.begun ?? 0")
        found += [until(page, what, begun, before) for what in ("first", "complete")]
    context.close()
    return found


def main() -> None:
    """Print a row per field: seconds by the clock, and in brackets of processors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fields", nargs="+", type=Path)
    parser.add_argument("--engines", nargs="*", default=["webgl2", "arrays"], help="what draws the zoomed picture")
    given = parser.parse_args()
    with sync_playwright() as program, tempfile.TemporaryDirectory() as folder:
        engines = [f"{how}: {what}" for how in ("opened", *given.engines) for what in ("first", "complete")]
        print(f"| field | kB | {' | '.join(engines)} |")
        for path in given.fields:
            page = Path(folder, f"{path.stem}.html")
            write_page(page, [Field.load(path)])
            browser = launched(program)
            row = [path.stem, f"{page.stat().st_size / 1000:.0f}", *measured(browser, page, given.engines)]
            print(f"| {' | '.join(row)} |", flush=True)
            browser.close()


if __name__ == "__main__":
    main()
