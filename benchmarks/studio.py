"""How soon the studio answers, by `python benchmarks/studio.py`.

Starts `s2id studio`, asks it for sheets of 24 digits, then opens its page in a headless Chromium without a graphics
card, and draws the same there.
Seconds by the clock, of programs that share the processor with the browser: until the page can be used, after the
start and again; from the press of Draw to the first preview and to the last sharp picture; and from a click on a
picture until the player shows it. Needs Debian's package chromium and the extras studio and dev.
"""

import time

import httpx
from browsing import launched, studio
from playwright.sync_api import Browser, Page, sync_playwright

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


def served(address: str, model: str) -> str:
    """Times of a sheet without a browser: until its first preview, and until its last picture is composed."""
    took: dict[str, float] = {}
    with httpx.Client(base_url=address, timeout=120) as client:
        begun = time.perf_counter()
        job = client.post("/api/compose", json={"model": model, "seeds": "0-23"}).json()["job"]
        with client.stream("GET", f"/api/jobs/{job}/events") as lines:
            for line in lines.iter_lines():
                took.setdefault(line, time.perf_counter() - begun)
    return f"| {model} | {took['event: preview']:.2f} | {took['event: done']:.2f} |"


def main() -> None:
    """Measure and print."""
    with sync_playwright() as program:
        browser = launched(program)
        first = browser.new_page()  # so that the browser itself has started
        begun = time.perf_counter()
        with studio() as address:
            httpx.get(f"{address}api/models", timeout=120).raise_for_status()
            print(f"from the start of the program to its models: {time.perf_counter() - begun:.2f} s")
            usable(browser, address)
            print(f"from the start of the program to a usable page: {time.perf_counter() - begun:.2f} s")
            begun = time.perf_counter()
            usable(browser, address)
            print(f"opened again: {time.perf_counter() - begun:.2f} s")
            print("| model, without a browser | first preview | 24 composed |\n|---|---|---|")
            for model in ("mnist-fast", "mnist-fast", "mnist"):
                print(served(address, model), flush=True)
            print("| model | first preview | 24 sharp pictures | one in the player |\n|---|---|---|---|")
            for model in ("mnist-fast", "mnist-fast", "mnist"):
                print(sheet(browser, address, model), flush=True)
        first.close()
        browser.close()


if __name__ == "__main__":
    main()
