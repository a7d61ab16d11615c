"""The pictures of docs/studio.md: the studio's page in a headless Chromium, drawing, and filling in a hole.

python runs/studio_pictures.py    (needs the extras studio and dev, and Debian's chromium)
"""

import re
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
from browsing import launched, studio  # noqa: E402

IMAGES = Path(__file__).parent.parent / "docs" / "images"


def finished(page: Any) -> None:
    page.locator(".run:visible .status").filter(has_text=re.compile(r" in \d")).first.wait_for(timeout=300_000)
    page.wait_for_timeout(2000)  # until the sharp pictures have come


def keep(page: Any, name: str) -> None:
    """Write what is seen as a small PNG file."""
    seen = Image.open(BytesIO(page.screenshot())).convert("RGB")
    seen.quantize(96, dither=Image.Dither.NONE).save(IMAGES / name, optimize=True)
    print(IMAGES / name, (IMAGES / name).stat().st_size)


def look(page: Any) -> None:
    """A sheet; one of its pictures with what can be done with it; a hole in it, filled in."""
    page.get_by_role("radio", name="3", exact=True).first.check()
    page.get_by_label("Seeds", exact=True).fill("0-23")
    page.get_by_role("button", name="Draw").click()
    finished(page)
    keep(page, "studio-compose.png")
    page.get_by_role("button", name="3, seed 1; look closer").click()
    page.get_by_role("button", name="Copy as command").last.wait_for()
    page.get_by_role("button", name="Go on with it").click()
    box = page.get_by_role("application", name="Paint what is to be drawn anew").bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.35 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.6 * box["height"], steps=9)
    page.mouse.up()
    page.get_by_label("Long side").first.fill("112")
    page.get_by_role("button", name="Fill in").click()
    finished(page)
    page.get_by_role("form", name="What to do with a picture").evaluate("element => (element.scrollTop = 0)")
    keep(page, "studio-fill-in.png")


def main() -> None:
    with studio("mnist", "mnist-fast") as address, sync_playwright() as program:
        browser = launched(program)
        page = browser.new_page(viewport={"width": 1100, "height": 700})
        page.goto(address)
        look(page)
        browser.close()


if __name__ == "__main__":
    main()
