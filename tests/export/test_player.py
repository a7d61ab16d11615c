"""In a real browser, the player draws what `Field.image` draws, and does what a reader asks of it."""

import numpy as np
import psutil
import pytest
from browser import chromium, rendered
from PIL import Image

import s2id

CASES = [
    [(28, 28), None, "fit"],
    [(61, 37), None, "fit"],
    [(7, 9), None, "fill"],
    [(40, 90), None, "stretch"],
    [(3, 2), None, "fit"],
    [(60, 80), (0.3, 0.2, 0.6, 0.7), "fit"],
    [(48, 48), (0.5, 0.5, 0.5 + 1e-6, 0.5 + 1e-6), "fit"],
    [(64, 64), (0.4, 0.4, 0.4625, 0.4625), "fit"],
]
"""Sizes, windows and fits: whole pictures of several aspects, windows, a zoom of 10^6, a part of 1024 pixels."""


@pytest.fixture(scope="module")
def digit():
    return s2id.sample(s2id.load("mnist-fast"), label=7, seed=0)


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(browser, digit, tmp_path_factory):
    """The page of a digit, opened from disk by a browser that is offline, and of which nothing goes wrong."""
    path = tmp_path_factory.mktemp("page") / "seven.html"
    digit.save(path)
    context = browser.new_context(offline=True, viewport={"width": 390, "height": 300})
    opened, wrong = context.new_page(), []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda message: wrong.append(message.text))
    opened.on("request", lambda request: request.url.startswith(("file:", "blob:")) or wrong.append(request.url))
    opened.goto(path.as_uri())
    yield opened
    assert not wrong
    context.close()


def fields(name, digit, field):
    """A digit of a bundled model, a small field of so many channels, or one of pixels."""
    if name == "digit":
        return digit
    if name == "pixels":
        return digit.squares()
    return field(lattice=(9, 12), channels=int(name))


@pytest.mark.parametrize("engine", ["webgl2", "arrays"])
@pytest.mark.parametrize("name", ["digit", "pixels", "2", "3", "4"])
def test_pixels_are_those_of_python(page, digit, field, name, engine):
    made = fields(name, digit, field)
    pictures, used = rendered(page, made, engine, CASES)
    assert used == engine
    for picture, (size, window, fit) in zip(pictures, CASES, strict=True):
        wanted = np.array(made.image(size, window, fit).convert("RGBA")).astype(int)
        seen = wanted[..., 3:] > 0  # what is transparent has no colour
        assert (abs(picture - wanted) * np.maximum(seen, [0, 0, 0, 1])).max() <= 1, (size, window, fit)


REST = """() => new Promise((resolve) => {
  const element = document.querySelector("s2id-field");
  element.addEventListener("s2id-view", () => resolve(element.view), { once: true });
  element.view = element.view;
})"""
"""Waits until the picture at rest is complete; its view."""

SEEN = """() => {
  const { width, height } = document.querySelector("s2id-field").canvas;
  const pixels = document.querySelector("s2id-field").pen.getImageData(0, 0, width, height).data;
  return [height, width, Array.from(pixels.filter((_, i) => i % 4 === 0))];
}"""
"""Size and red bytes of what is on the screen."""


def seen(page):
    height, width, values = page.evaluate(SEEN)
    return np.array(values).reshape(height, width)


def view(page):
    return page.evaluate("document.querySelector('s2id-field').view")


@pytest.fixture
def at_rest(page):
    """The page, on which the whole picture is complete."""
    page.evaluate("document.querySelector('s2id-field').view = { y: 0.5, x: 0.5, zoom: 1 }")
    page.evaluate(REST)
    return page


def test_what_is_on_the_screen_is_pythons_picture(at_rest, digit):
    picture = seen(at_rest)
    wanted = np.array(digit.image(picture.shape)).astype(int)
    assert (
        picture.shape[1] == 390 and abs(picture - wanted).max() <= 2
    )  # one level more, for features in half precision
    assert wanted.max() > 250 and (wanted[:, 0] == wanted[0, 0]).all()


def test_keys_move_and_zoom(at_rest):
    at_rest.focus("s2id-field canvas")
    for key, moved in (("+", lambda v: v["zoom"] == pytest.approx(1.5)), ("ArrowRight", lambda v: v["x"] > 0.5)):
        at_rest.keyboard.press(key)
        at_rest.wait_for_timeout(400)
        assert moved(at_rest.evaluate(REST)), key
    at_rest.keyboard.press("0")
    at_rest.wait_for_timeout(400)
    assert at_rest.evaluate(REST) == {"y": 0.5, "x": 0.5, "zoom": 1}


def test_the_point_under_the_wheel_stays(at_rest):
    """What is under the pointer before zooming is under it afterwards, and the address keeps the view."""
    box = at_rest.locator("s2id-field").bounding_box()
    off = np.array([40.0, -70.0])  # from the middle, y and x
    at_rest.mouse.move(box["x"] + box["width"] / 2 + off[1], box["y"] + box["height"] / 2 + off[0])
    at_rest.mouse.wheel(0, -400)
    at_rest.wait_for_timeout(100)
    found = at_rest.evaluate(REST)
    unit = max(1 / box["height"], 1 / box["width"])  # of the frame, for each pixel of the page at zoom 1
    moved = np.array([found["y"], found["x"]]) - 0.5
    assert found["zoom"] > 1.5
    assert moved == pytest.approx(off * unit * (1 - 1 / found["zoom"]), abs=0.7 * unit)  # pointers are whole pixels
    assert at_rest.evaluate("location.hash") == f"#{found['y']:.12g},{found['x']:.12g},{found['zoom']:.9g}"


def test_two_fingers_zoom(at_rest):
    box = at_rest.locator("s2id-field").bounding_box()
    y, x = box["y"] + box["height"] / 2, box["x"] + box["width"] / 2
    fingers = at_rest.context.new_cdp_session(at_rest)

    def touch(kind, *places):
        points = [{"x": place, "y": y, "id": i} for i, place in enumerate(places)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", x - 20, x + 20)
    touch("touchMove", x - 40, x + 40)
    touch("touchMove", x - 60, x + 60)
    touch("touchEnd")
    found = at_rest.evaluate(REST)
    assert found["zoom"] == pytest.approx(3, rel=0.02) and found["x"] == pytest.approx(0.5, abs=0.02)


def test_a_saved_png_is_pythons_picture(at_rest, digit, tmp_path):
    at_rest.get_by_role("button", name="Save as PNG").click()
    at_rest.get_by_label("Long side, in pixels").fill("200")
    at_rest.get_by_label("What").select_option("whole")
    with at_rest.expect_download() as download:
        at_rest.get_by_role("button", name="Save", exact=True).click()
    assert download.value.suggested_filename == "label-7-seed-0-200x200.png"
    download.value.save_as(tmp_path / "a.png")
    picture = Image.open(tmp_path / "a.png")
    assert picture.mode == "L" and picture.size == (200, 200)
    assert abs(np.array(picture).astype(int) - np.array(digit.image(200)).astype(int)).max() <= 2


def test_every_control_has_a_name(at_rest):
    tree = at_rest.locator("body").aria_snapshot()
    for line in (
        'heading "mnist: label 7, seed 0"', 'application "label 7, seed 0"', 'toolbar "Picture"', 'button "Zoom in"',
        'button "Zoom out"', 'button "Show the whole picture"', 'button "Full screen"', 'button "Save as PNG"',
        "training pixel",
    ):  # fmt: skip
        assert line in tree, tree
    assert tree.count("button") == tree.count('button "')


@pytest.mark.parametrize(
    "name, why",
    [("text", "it is no whole .safetensors file"), ("model", "its format is s2id"), ("cut", "its features is cut off")],
)
def test_what_is_no_field_is_refused_with_a_sentence(page, digit, model, tmp_path, name, why):
    content = digit.file_bytes()[:-9000] if name == "cut" else b"no field at all, but a text" * 9
    if name == "model":
        model.save(tmp_path / "model.safetensors")
        content = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(Exception, match="This is no field file of S2ID") as refused:
        rendered(page, content, "arrays", [])
    assert why in str(refused.value)


@pytest.mark.slow
def test_a_thousand_frames_of_panning_leak_nothing(at_rest):
    """The page's heap, its nodes and listeners, and the memory of all of the browser's processes."""
    tools = at_rest.context.new_cdp_session(at_rest)
    tools.send("Performance.enable")

    def held():
        tools.send("HeapProfiler.collectGarbage")
        values = {one["name"]: one["value"] for one in tools.send("Performance.getMetrics")["metrics"]}
        resident = sum(child.memory_info().rss for child in psutil.Process().children(recursive=True))
        return values["JSHeapUsedSize"], values["Nodes"], values["JSEventListeners"], resident

    pan = """async (frames) => {
      const element = document.querySelector("s2id-field");
      element.style.cssText = "flex: none; width: 96px; height: 64px";
      for (let i = 0; i < frames; i++) {
        element.view = { y: 0.5, x: (i % 50) / 50, zoom: 3 };
        await new Promise(requestAnimationFrame);
      }
      element.style.cssText = "";
    }"""
    at_rest.evaluate(pan, 100)
    heap, nodes, listeners, resident = held()
    at_rest.evaluate(pan, 1000)
    after = held()
    assert after[0] <= heap + 1e6 and after[1:3] <= (nodes + 5, listeners + 2)
    assert after[3] <= resident + 6e7


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["webgl2", "arrays"])
def test_large_pictures_are_those_of_python(page, digit, engine):
    (picture,), _ = rendered(page, digit, engine, [[(1024, 576), None, "fit"]])
    assert abs(picture - np.array(digit.image((1024, 576)).convert("RGBA")).astype(int)).max() <= 1


def test_a_notebooks_frame_draws(browser, digit):
    """A frame without the page's origin starts the worker, too."""
    opened = browser.new_page(viewport={"width": 300, "height": 500})
    opened.set_content(digit._repr_html_())
    seven = opened.frame_locator("iframe").get_by_role("application", name="label 7, seed 0")
    seven.wait_for()
    for _ in range(600):
        if drawn := seven.evaluate("canvas => canvas.getRootNode().host.engine && canvas.width"):
            break
        opened.wait_for_timeout(50)
    assert drawn == 300 - 16  # without the page's own margins
    opened.close()
