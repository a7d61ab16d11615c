"""OpenSeadragon, a viewer of others, zooms into a field through the IIIF addresses and shows the field's own pixels."""

import io
import re
import shutil
import subprocess
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import numpy as np
import pytest
from browser import chromium, serving
from PIL import Image

pytest.importorskip("fastapi", reason="the studio needs the extra studio")

import s2id  # noqa: E402
from s2id.data.cache_folder import cache_folder  # noqa: E402
from s2id.studio.compose import Drawn  # noqa: E402
from s2id.studio.state import Studio  # noqa: E402

PACKAGE = "openseadragon-6.1.1"

PAGE = """<!doctype html><title>viewer</title><link rel="icon" href="data:,">
<style>body { margin: 0 } #viewer { width: 512px; height: 512px }</style>
<div id="viewer"></div><script src="openseadragon.js"></script>"""

OPEN = """source => new Promise((resolve, reject) => {
  globalThis.failed = [];
  globalThis.viewer = OpenSeadragon({
    id: "viewer", tileSources: source, crossOriginPolicy: "Anonymous", drawer: "webgl", // others draw tiles larger
    showNavigationControl: false, animationTime: 0, blendTime: 0, immediateRender: true, minPixelRatio: 1,
  });
  viewer.addHandler("tile-load-failed", ({ message }) => failed.push(message));
  viewer.addHandler("open-failed", ({ message }) => reject(new Error(message)));
  viewer.addHandler("open", () => resolve(Object.values(viewer.world.getItemAt(0).getContentSize())));
})"""

SHOW = """async ([left, top, side]) => {
  const one = viewer.world.getItemAt(0);
  viewer.viewport.fitBounds(one.imageToViewportRectangle(left, top, side, side), true);
  viewer.forceRedraw();
  await new Promise((resolve) => setTimeout(resolve, 50));
  while (!one.getFullyLoaded() || viewer.world.needsDraw()) await new Promise(requestAnimationFrame);
  await new Promise((resolve) => setTimeout(resolve, 100));
}"""


@pytest.fixture
def script():
    """The viewer's script, which npm fetches once and a folder outside of the checkout keeps."""
    folder = cache_folder() / "tests"
    path = folder / f"{PACKAGE}.tgz"
    if not path.is_file():
        if not shutil.which("npm"):
            pytest.skip("npm, which fetches OpenSeadragon, is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        words = ["npm", "pack", PACKAGE.replace("-", "@"), "--pack-destination", str(folder)]
        if subprocess.run(words, capture_output=True, timeout=120).returncode:
            pytest.skip("npm cannot fetch OpenSeadragon; is there a network?")
    with tarfile.open(path) as archive:
        return archive.extractfile("package/build/openseadragon/openseadragon.min.js").read()


@pytest.fixture
def site(script, tmp_path):
    """Address of a page with the viewer, on another site than the studio's."""
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "openseadragon.js").write_bytes(script)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder, of which nothing is told."""

    def log_message(self, *_):
        pass


@pytest.mark.slow
def test_openseadragon_zooms_into_a_field(site):
    studio, field = Studio(["mnist-fast"]), s2id.sample(s2id.load("mnist-fast"), label=7, seed=0)
    name = studio.fields.put(Drawn(field, (28, 28), "7", 0), 1000)
    address, end = serving(studio)
    try:
        with chromium() as browser:
            page, asked, wrong = browser.new_page(viewport={"width": 512, "height": 512}), [], []
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("console", lambda message: message.type in ("error", "warning") and wrong.append(message.text))
            page.on("response", lambda one: asked.append((one.status, urlsplit(one.url).path)))
            page.goto(site)
            assert page.evaluate(OPEN, f"{address}iiif/{name}/info.json") == [8192, 8192]
            for left, top, side in ((0, 0, 8192), (3072, 2560, 1024), (4096, 4096, 512)):
                page.evaluate(SHOW, [left, top, side])
                shown = Image.open(io.BytesIO(page.screenshot()))
                window = tuple(value / 8192 for value in (top, left, top + side, left + side))
                wanted = np.array(field.image(shown.size[::-1], window).convert("L"), int)
                assert shown.size == (512, 512)
                assert abs(np.array(shown.convert("L"), int) - wanted).max() <= 2, side
            assert not wrong and page.evaluate("failed") == []
    finally:
        end()
    tiles = [re.search(r"/iiif/[^/]+/\d+,\d+,(\d+),\d+/(\d+),", path) for _, path in asked]
    assert {2, 1} <= {int(tile[1]) / int(tile[2]) for tile in tiles if tile}  # pixels of the picture to one of a tile
    assert any("/full/512,512/" in path for _, path in asked) and {status for status, _ in asked} == {200}
