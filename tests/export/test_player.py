"""In a real browser, the player draws what `Field.image` draws, and does what a reader asks of it."""

from base64 import b64decode, b64encode
from io import BytesIO

import numpy as np
import psutil
import pytest
import torch
from browser import chromium, rendered
from PIL import Image

import s2id
from s2id.export.page import page as html_page
from s2id.export.page import write_way
from s2id.network.heads import Features
from s2id.sampling.field import Field

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
    if name == "enlarged":  # of three channels, whose ends are crisp
        network = s2id.load("graphics").network
        picture = digit.render(8).expand(-1, 3, -1, -1) * torch.tensor([1, 0.5, -1])[:, None, None]
        with torch.inference_mode():
            return s2id.Field(*network.function_of(picture))
    return field(lattice=(9, 12), channels=int(name))


@pytest.mark.parametrize("engine", ["webgl2", "arrays"])
@pytest.mark.parametrize("name", ["digit", "pixels", "enlarged", "2", "3", "4"])
def test_pixels_are_those_of_python(page, digit, field, name, engine):
    made = fields(name, digit, field)
    pictures, used = rendered(page, made, engine, CASES)
    assert used == engine
    for picture, (size, window, fit) in zip(pictures, CASES, strict=True):
        wanted = np.array(made.image(size, window, fit).convert("RGBA")).astype(int)
        seen = wanted[..., 3:] > 0  # what is transparent has no colour
        assert (abs(picture - wanted) * np.maximum(seen, [0, 0, 0, 1])).max() <= 1, (size, window, fit)


@pytest.mark.parametrize("engine", ["webgl2", "arrays"])
def test_between_two_functions_their_features_are_blended(page, field, engine):
    made = field(2, channels=3)
    middle = made.features.values[:1].lerp(made.features.values[1:], 0.25)
    wanted = Field(Features(middle, made.features.frame), made.head).image(48)
    (picture,), _ = rendered(page, made, engine, [[(48, 48), None, "fit"]], index=0.25)
    assert abs(picture[..., :3] - np.array(wanted).astype(int)).max() <= 1


def test_a_page_that_forbids_programs_still_draws(browser, digit, tmp_path):
    """Without WebAssembly, as in a page of stricter policy, plain loops draw the same."""
    text = html_page([digit]).decode().replace(" 'wasm-unsafe-eval'", "")
    (tmp_path / "strict.html").write_text(text)
    opened = browser.new_page()
    opened.goto((tmp_path / "strict.html").as_uri())
    (picture,), used = rendered(opened, digit, "arrays", [[(40, 40), None, "fit"]])
    assert used == "arrays" and abs(picture[..., 0] - np.array(digit.image(40)).astype(int)).max() <= 1
    opened.close()


REST = """() => new Promise((resolve) => {
  const element = document.querySelector("s2id-field");
  element.addEventListener("s2id-view", () => resolve(element.view), { once: true });
  element.view = element.view;
})"""
"""Waits until the picture at rest is complete; its view."""

SIDES = (("x", "width"), ("y", "height"))

SEEN = """() => {
  const { width, height } = document.querySelector("s2id-field").canvas;
  const pixels = document.querySelector("s2id-field").pen.getImageData(0, 0, width, height).data;
  return [height, width, Array.from(pixels.filter((_, i) => i % 4 === 0))];
}"""
"""Size and red bytes of what is on the screen."""


SAVED = """async () => {
  const element = document.querySelector("s2id-field"), { width, height } = element.canvas;
  const bytes = new Uint8Array(await (await element.png([height, width])).arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}"""
"""A PNG file of what is seen, in base64."""


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


VIEW = "document.querySelector('s2id-field').view"


def test_keys_move_and_zoom(at_rest):
    at_rest.focus("s2id-field canvas")
    for key, moved in (("+", "zoom === 1.5"), ("ArrowRight", "x > 0.5"), ("0", "zoom === 1")):
        at_rest.keyboard.press(key)
        at_rest.wait_for_function(f"() => {VIEW}.{moved}")
    at_rest.wait_for_function(f"() => {VIEW}.x === 0.5 && {VIEW}.y === 0.5")


def test_a_key_pressed_during_a_glide_goes_on_from_its_end(at_rest):
    at_rest.focus("s2id-field canvas")
    for key in "++":
        at_rest.keyboard.press(key)
    at_rest.wait_for_function(f"() => {VIEW}.zoom === 2.25")


def test_nothing_stays_of_the_coarse_picture(browser, field):
    """Not even around the frame, where coarse pixels reach into the canvas: a saved view has the same pixels."""
    opened = browser.new_page(viewport={"width": 700, "height": 500})
    opened.set_content(html_page([field(lattice=(9, 12), channels=1)]).decode())
    opened.evaluate("document.querySelector('s2id-field').view = { y: 0.47, x: 0.52, zoom: 0.5 }")
    opened.evaluate(REST)
    picture = seen(opened)
    saved = Image.open(BytesIO(b64decode(opened.evaluate(SAVED))))
    opened.close()
    assert picture.shape[1] == 700 and np.array_equal(picture, np.array(saved))


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


def test_a_drag_moves_the_picture_with_the_pointer(at_rest):
    box = at_rest.locator("s2id-field").bounding_box()
    y, x = box["y"] + box["height"] / 2, box["x"] + box["width"] / 2
    at_rest.mouse.move(x, y)
    at_rest.mouse.down()
    at_rest.mouse.move(x + 30, y - 45, steps=3)
    at_rest.mouse.up()
    at_rest.mouse.move(x, y)  # after the button is up nothing moves
    found, side = at_rest.evaluate(REST), min(box["height"], box["width"])
    assert [found["y"], found["x"]] == pytest.approx([0.5 + 45 / side, 0.5 - 30 / side], abs=0.005)
    assert found["zoom"] == 1


@pytest.mark.parametrize("keys, zoom", [([], 2), (["Shift"], 0.5)])
def test_a_double_tap_zooms_in_and_with_shift_out(at_rest, keys, zoom):
    at_rest.locator("s2id-field canvas").dblclick(modifiers=keys)
    at_rest.wait_for_function("zoom => document.querySelector('s2id-field').view.zoom === zoom", arg=zoom)
    assert at_rest.evaluate(REST) == pytest.approx({"y": 0.5, "x": 0.5, "zoom": zoom}, abs=0.01)


def test_full_screen_comes_and_goes(at_rest):
    for there in (True, False):
        at_rest.get_by_role("button", name="Full screen").click()
        at_rest.wait_for_function(
            "there => (document.fullscreenElement?.localName === 's2id-field') === there", arg=there
        )


def test_a_file_that_is_dropped_is_shown(browser, digit, field):
    """And one that is no field's is refused in a sentence, while the field before it stays."""
    opened = browser.new_page(viewport={"width": 200, "height": 200})
    opened.set_content(html_page([digit]).decode())
    opened.wait_for_function("() => document.querySelector('s2id-field').field")
    drop = """([content, name]) => {
      const files = new DataTransfer(), bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
      files.items.add(new File([bytes], name));
      const canvas = document.querySelector("s2id-field").canvas;
      const how = { dataTransfer: files, bubbles: true, cancelable: true, composed: true };
      for (const kind of ["dragover", "drop"]) canvas.dispatchEvent(new DragEvent(kind, how));
    }"""
    opened.evaluate(drop, [b64encode(field(channels=3).file_bytes()).decode(), "a.safetensors"])
    opened.wait_for_function("() => document.querySelector('s2id-field').field.channels === 3")
    opened.evaluate(drop, [b64encode(b"no field").decode(), "b.txt"])
    opened.get_by_role("alert").filter(has_text="This is no field file of S2ID").wait_for()
    assert opened.evaluate("document.querySelector('s2id-field').field.channels") == 3
    opened.close()


def test_a_phones_page_has_all_of_it_in_view(browser, digit, tmp_path):
    """At 390 pixels nothing is wider than the screen, and every control can be touched."""
    write_way(tmp_path / "way.html", [digit, digit[0]])
    opened = browser.new_page(viewport={"width": 390, "height": 700})
    opened.goto((tmp_path / "way.html").as_uri())
    opened.get_by_role("button", name="Save as PNG").wait_for()
    assert opened.evaluate("document.scrollingElement.scrollWidth") <= 390
    controls = opened.get_by_role("button").all() + opened.get_by_role("slider").all()
    boxes = [one.bounding_box() for one in controls]
    assert len(boxes) == 7  # five of the picture, two of the way
    for box in boxes:
        assert 0 <= box["x"] and box["x"] + box["width"] <= 390 and box["y"] + box["height"] <= 700
        assert box["width"] >= 24 and box["height"] >= 16
    for place, one in enumerate(boxes):
        for other in boxes[place + 1 :]:
            apart = [abs(one[a] + one[s] / 2 - other[a] - other[s] / 2) - (one[s] + other[s]) / 2 for a, s in SIDES]
            assert max(apart) >= -0.5  # none covers another
    opened.close()


def test_a_ways_slider_is_moved_by_keys_and_plays(browser, tmp_path):
    fast = s2id.load("mnist-fast")
    way = list(s2id.between(fast, (7, 0), (1, 0), 3))
    write_way(tmp_path / "way.html", way)
    opened = browser.new_page(viewport={"width": 120, "height": 240})
    opened.goto((tmp_path / "way.html").as_uri())
    opened.wait_for_function("() => document.querySelector('s2id-field').field")
    slider, element = opened.get_by_role("slider", name="Way"), opened.locator("main > s2id-field")
    assert slider.get_attribute("aria-valuetext") == "label 7, seed 0"
    slider.press("End")
    assert slider.get_attribute("aria-valuetext") == "label 1, seed 0" and element.get_attribute("index") == "2"
    slider.press("ArrowLeft")
    assert 1.5 < float(element.get_attribute("index")) < 2
    slider.press("Home")
    opened.get_by_role("button", name="Play").click()
    opened.wait_for_function("() => document.querySelector('s2id-field').index > 0.1")
    opened.get_by_role("button", name="Pause").click()
    opened.get_by_role("button", name="Play").wait_for()
    slider.fill("1")
    opened.evaluate(REST)
    picture = seen(opened)
    assert abs(picture - np.array(way[1].image(picture.shape)).astype(int)).max() <= 2
    opened.close()


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
