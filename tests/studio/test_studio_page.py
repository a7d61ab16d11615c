"""The studio's page in a real browser, before the real server: what people do there, and what they get from it."""

import json
import re
import shlex
from glob import glob
from importlib.resources import files
from urllib.parse import urlsplit

import numpy as np
import pytest
from browser import chromium, serving
from PIL import Image, ImageChops

pytest.importorskip("fastapi", reason="the studio needs the extra studio")

import s2id  # noqa: E402
from s2id.cli.main import main  # noqa: E402
from s2id.studio.settings import Limits
from s2id.studio.state import Studio  # noqa: E402

ROW = {"step": 1, "images_seen": 0, "loss": 1.0, "lr": 1e-3, "gradient_norm": 1.0, "images_per_second": 50.0,
       "done": 0.1, "seconds_left": 60.0}  # fmt: skip

VIEWS = {"Compose": "Draw", "From a picture": "Enlarge", "Watch": None}
"""Names of the page's views, and of the button that each is for."""


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run that is being trained: its measurements and its sheets of samples."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    (folder / "samples").mkdir(parents=True)
    rows = [ROW | {"step": i, "images_seen": 100 * i, "loss": 1 / (i + 1), "done": i / 50} for i in range(1, 30)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for seen in (1000, 2000):
        Image.new("L", (40, 20), seen // 10).save(folder / "samples" / f"{seen:012d}.png")
    return folder


@pytest.fixture(scope="module")
def address(run_folder):
    """The studio that most tests share."""
    found, end = serving(Studio(["mnist-fast", "mnist"], limits=Limits(grace_seconds=600.0), runs=[run_folder.parent]))
    yield found
    end()


def opened(browser, address, **how):
    """A page of a fresh browser, and what goes wrong on it: errors, and requests to anywhere else."""
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}} | how)
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: message.type in ("error", "warning") and wrong.append(message.text))
    page.on("response", lambda response: response.status >= 400 and wrong.append(response.url))
    page.on(
        "request",
        lambda request: urlsplit(request.url).netloc in ("", urlsplit(address).netloc) or wrong.append(request),
    )
    page.goto(address)
    page.get_by_role("button", name="Draw").wait_for()
    return page, wrong


@pytest.fixture(scope="module")
def kept(browser, address):
    """A page that most tests share, and what goes wrong on it."""
    page, wrong = opened(browser, address)
    yield page, wrong
    page.context.close()


@pytest.fixture
def page(kept, address):
    """The page as those see it who come for the first time; nothing may go wrong on it."""
    page, wrong = kept
    if not page.url.startswith(address):  # a test may have left the studio, and only its own page can forget
        page.goto(address)
    page.evaluate("localStorage.clear()")
    page.goto("about:blank")
    page.goto(address)
    page.get_by_role("button", name="Draw").wait_for()
    yield page
    assert not wrong


def finished(page, timeout=300_000):
    """Waits for the end of the newest job; the words of its status."""
    status = page.locator(".run:visible").first.locator(".status")
    status.filter(has_text=re.compile(r" in \d|cancelled")).wait_for(timeout=timeout)
    return status.text_content()


def draw(page, model="mnist-fast", label="7", seeds="0-2"):
    """Draws a sheet; the buttons of its pictures."""
    page.get_by_label("Model").first.select_option(model)
    page.get_by_role("radio", name=label, exact=True).first.check()
    page.get_by_label("Seeds", exact=True).fill(seeds)
    page.get_by_role("button", name="Draw").click()
    assert finished(page).startswith("3 pictures") or seeds != "0-2"
    return page.get_by_role("list", name="Pictures").first.get_by_role("button")


def until(page, true):
    """Waits until something is true of the page."""
    for _ in range(300):
        if true():
            return
        page.wait_for_timeout(50)
    pytest.fail("this did not come true in 15 s")


def run_commands(text, folder, monkeypatch):
    """Runs what a command says in a folder, as a shell does."""
    monkeypatch.chdir(folder)
    for line in text.split(" && "):
        words = [sorted(glob(word)) if "*" in word else [word] for word in shlex.split(line)[1:]]
        assert main([word for some in words for word in some]) == 0


def test_a_picture_of_a_sheet_is_zoomed_into_and_taken_away(page, tmp_path, monkeypatch):
    page.evaluate("""() => {
      window.previews = 0;
      const count = (all) => (window.previews += all.filter(({ target }) => target.src?.startsWith("data:")).length);
      new MutationObserver(count).observe(document.body, { subtree: true, attributes: true, attributeFilter: ["src"] });
    }""")
    pictures = draw(page)
    assert page.evaluate("previews") >= 3
    assert [one.get_attribute("aria-label") for one in pictures.all()] == [
        f"7, seed {i}; look closer" for i in range(3)
    ]
    pictures.nth(1).click()
    dialog = page.get_by_role("dialog", name="7, seed 1")
    player = dialog.locator("s2id-field")
    dialog.get_by_role("button", name="Copy as command").wait_for()
    page.keyboard.press("+")
    until(page, lambda: abs(player.evaluate("element => element.view.zoom") - 1.5) < 1e-3)
    dialog.get_by_label("Width", exact=True).fill("90")
    dialog.get_by_label("Height", exact=True).fill("61")
    dialog.get_by_role("radio", name="What is seen").check()
    dialog.get_by_role("radio", name="Fill: show less").check()
    command = dialog.locator("pre").filter(has_text="61x90")
    command.filter(has_text="--window").filter(has_text="--fit=fill").wait_for(state="attached")
    with page.expect_download() as taken:
        dialog.get_by_role("button", name="Save", exact=True).click()
    run_commands(command.text_content(), tmp_path, monkeypatch)
    (made,) = tmp_path.glob("pictures/**/*.png")
    assert taken.value.suggested_filename == "7-seed-1-61x90.png"
    assert made.read_bytes() == taken.value.path().read_bytes()
    with Image.open(made) as image:
        assert image.size == (90, 61)
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "7, seed 1; look closer"


@pytest.mark.slow
def test_a_way_leads_from_one_picture_to_another(page, tmp_path, monkeypatch):
    """Begun at one picture and ended at the next; its page is that of the copied command."""
    draw(page).first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Begin a way here").click()
    page.keyboard.press("PageDown")
    dialog.get_by_role("button", name="From 7, seed 0 to this").click()
    dialog.get_by_role("button", name="Play", exact=True).wait_for(timeout=60_000)
    player = dialog.get_by_role("application", name="7, seed 0 to 7, seed 1")
    player.wait_for()
    words = "7, seed 0 to 7, seed 1"
    assert dialog.get_attribute("aria-label") == dialog.get_by_role("heading").first.text_content() == words
    slider = dialog.get_by_role("slider", name="Along the way")
    page.set_viewport_size({"width": 390, "height": 844})
    box = slider.bounding_box()
    assert box["y"] + box["height"] < 844  # the slider and the picture are seen at once, on a phone too
    page.set_viewport_size({"width": 1200, "height": 800})
    slider.fill("3.5")
    until(page, lambda: page.evaluate("document.querySelector('.stage s2id-field').index") == 3.5)
    with page.expect_download() as taken:
        dialog.get_by_role("button", name="Save page").click()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    dialog.get_by_role("button", name="Copy page as command").click()
    run_commands(page.evaluate("navigator.clipboard.readText()"), tmp_path, monkeypatch)
    assert (tmp_path / "way.html").read_bytes() == taken.value.path().read_bytes()
    dialog.get_by_role("button", name="Back to the picture").click()
    dialog.get_by_role("application", name="7, seed 1", exact=True).wait_for()
    assert dialog.get_attribute("aria-label") == "7, seed 1"
    dialog.get_by_role("button", name="Show 7, seed 0 to 7, seed 1 again").click()
    player.wait_for()
    dialog.get_by_role("button", name="Close").click()


@pytest.mark.slow
def test_the_comparison_is_of_the_pixels_in_the_players_window(page):
    draw(page).first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Copy as command").wait_for()
    shown = """canvas => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return [canvas.height, canvas.width, [...data].filter((_, i) => i % 4 == 0)];
    }"""
    player = dialog.locator("s2id-field")
    pixels = np.array(player.evaluate("async element => [...(await element.render([28, 28]))]")).reshape(28, 28, 4)
    squares = dialog.get_by_role("img", name="Its 28×28 pixels")
    bicubic = dialog.get_by_role("img", name="Bicubic, from these pixels")
    until(page, lambda: squares.evaluate("canvas => canvas.width !== 300"))  # which a canvas is before it is drawn on
    height, width, values = squares.evaluate(shown)
    window = player.evaluate("element => element.window")
    rows, columns = (
        np.floor((low + (np.arange(n) + 0.5) / n * (high - low)) * 28).astype(int)
        for n, low, high in zip((height, width), window[:2], window[2:], strict=True)
    )
    assert (np.array(values).reshape(height, width) == pixels[..., 0][np.ix_(rows, columns)]).all()
    height, width, values = bicubic.evaluate(shown)
    box = [28 * window[i] for i in (1, 0, 3, 2)]
    wanted = Image.fromarray(pixels[..., 0].astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC, box=box)
    assert abs(np.array(wanted, int) - np.array(values).reshape(height, width)).max() <= 1


def test_bicubic_interpolation_of_transparent_pictures_is_pillows(page):
    noise = np.random.default_rng(0).normal(128, 90, (7, 9, 4))
    picture = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
    made = page.evaluate(
        """async (data) => {
          const { bicubic } = await import("/studio/resample.js");
          const picture = { data: Uint8ClampedArray.from(data), height: 7, width: 9 };
          return [...bicubic(picture, [0, 0, 1, 1], [30, 40]).data];
        }""",
        list(picture.tobytes()),
    )
    wanted = np.array(picture.resize((40, 30), Image.Resampling.BICUBIC), int)
    off = abs(np.array(made).reshape(30, 40, 4) - wanted)
    assert off[..., 3].max() <= 1 and (off[..., :3] * wanted[..., 3:]).max() <= 3 * 255  # colours as far as seen


def test_drawing_is_cancelled(page):
    page.get_by_label("Model").first.select_option("mnist")
    page.get_by_label("Steps", exact=True).fill("500")
    page.get_by_role("button", name="Draw").click()
    page.get_by_text(re.compile(r"step \d+ of 500")).wait_for()
    page.get_by_role("button", name="Cancel").click()
    assert finished(page) == "cancelled; 0 pictures"
    until(page, lambda: not page.locator(".sheet li").count())  # no place stays empty


def test_a_page_that_is_left_cancels_what_it_began(page, address):
    page.get_by_label("Model").first.select_option("mnist")
    page.get_by_label("Steps", exact=True).fill("500")
    with page.expect_request("**/api/jobs/*/events") as sent:
        page.get_by_role("button", name="Draw").click()
    page.get_by_text(re.compile(r"step \d+ of 500")).wait_for()
    job = urlsplit(sent.value.url).path.removesuffix("/events")
    page.goto("about:blank")  # the server itself would wait for ten minutes
    until(page, lambda: page.request.get(f"{address[:-1]}{job}").json()["state"] == "cancelled")


def test_settings_survive_a_reload_and_are_in_the_address(page, browser):
    page.get_by_label("Model").first.select_option("mnist")
    page.get_by_role("radio", name="4", exact=True).first.check()
    page.get_by_label("Steps", exact=True).fill("3")
    page.get_by_label("Seeds", exact=True).fill("5,9")
    page.keyboard.press("Tab")
    link = page.url
    page.reload()
    other = browser.new_context().new_page()
    other.goto(link)
    for one in (page, other):
        one.get_by_role("button", name="Draw").wait_for()
        assert one.get_by_label("Model").first.input_value() == "mnist"
        assert one.get_by_role("radio", name="4", exact=True).first.is_checked()
        assert one.get_by_label("Steps", exact=True).input_value() == "3"
        assert one.get_by_label("Seeds", exact=True).input_value() == "5,9"
    page.get_by_role("button", name="Reset steps to 12").click()
    assert page.get_by_label("Steps", exact=True).input_value() == "12" and "steps" not in page.url
    other.context.close()


@pytest.mark.slow
def test_two_settings_are_drawn_side_by_side(page):
    page.get_by_label("Model").first.select_option("mnist")
    page.get_by_role("radio", name="Two, side by side").check()
    for i, steps in enumerate("12"):
        page.get_by_label("Steps", exact=True).nth(i).fill(steps)
    page.get_by_role("radio", name="3", exact=True).first.check()
    page.get_by_label("Seeds", exact=True).fill("0-1")
    page.get_by_role("button", name="Draw").click()
    assert finished(page).startswith("4 pictures")
    names = [one.get_attribute("aria-label") for one in page.locator(".sheet button").all()]
    assert names == [f"{side}: 3, seed {seed}; look closer" for seed in (0, 1) for side in "AB"]
    sources = [one.get_attribute("src") for one in page.locator(".sheet img").all()]
    assert len({*sources}) == 4


@pytest.mark.slow
def test_a_sheet_is_drawn_and_opened_by_keys_alone(page):
    page.get_by_label("Model").first.select_option("mnist-fast")
    page.get_by_label("Seeds", exact=True).fill("0-2")
    page.keyboard.press("Control+Enter")
    finished(page)
    page.get_by_role("list", name="Pictures").get_by_role("button").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.get_by_role("dialog").get_attribute("aria-label").endswith("seed 2")
    page.keyboard.press("PageDown")
    assert page.get_by_role("dialog").get_attribute("aria-label").endswith("seed 0")


def unnamed(page):
    """Roles of what can be worked with, or is a picture, and has no name for those who do not see the page."""
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "textbox", "searchbox", "slider", "spinbutton", "checkbox", "radio", "combobox", "link", "image",
             "img", "dialog", "application", "progressbar", "group", "region", "navigation"}  # fmt: skip
    seen = [node for node in tree if not node["ignored"] and node["role"]["value"] in roles]
    assert len(seen) > 10
    return [node["role"]["value"] for node in seen if not node.get("name", {}).get("value", "").strip()]


def test_everything_has_a_name_for_screen_readers(page):
    for view in VIEWS:
        page.get_by_role("link", name=view).click()
        assert not unnamed(page), view
    page.get_by_role("link", name="Compose").click()
    draw(page).first.click()
    page.get_by_role("dialog").get_by_role("button", name="Copy as command").wait_for()
    assert not unnamed(page)


@pytest.mark.slow
def test_a_phone_shows_it_all_without_scrolling_sideways(browser, address):
    size = {"width": 390, "height": 844}
    page, wrong = opened(browser, address, viewport=size, is_mobile=True, has_touch=True, device_scale_factor=2)
    wide = "document.scrollingElement.scrollWidth"
    for view in VIEWS:
        page.get_by_role("link", name=view).click()
        assert page.evaluate(wide) == 390, view
    page.get_by_role("link", name="Compose").click()
    draw(page).first.tap()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Copy as command").wait_for()
    assert page.evaluate(wide) == 390
    box = dialog.locator(".looking")
    assert box.evaluate("element => element.scrollWidth <= element.clientWidth")
    save = dialog.get_by_role("button", name="Save", exact=True)
    save.scroll_into_view_if_needed()
    assert 0 < save.bounding_box()["y"] < 844
    assert not wrong
    page.context.close()


def test_the_modules_make_no_html_of_texts_and_ask_nobody_else():
    for one in files("s2id.studio").joinpath("page").iterdir():
        text = one.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text), one
        assert not re.search(r"(?<!xmlns=\")https?://(?!www\.w3\.org)", text), one
        assert len(text.splitlines()) <= 350 and max(map(len, text.splitlines())) <= 120, one


@pytest.mark.slow
def test_nothing_that_the_server_says_becomes_html(browser, address):
    evil = '<img src=x onerror="window.evil=1"><script>window.evil=1</script>'

    def spoil(route):
        models = route.fetch().json()
        models[0] |= {"name": evil, "title": evil, "licence": evil}
        models[0]["conditions"] |= {"classes": [evil, "b"], "attributes": [evil], "words": ["red", evil]}
        models[0]["sampling"]["density"]["help"] = evil
        route.fulfill(json=models)

    page = browser.new_context().new_page()
    page.route("**/api/models", spoil)
    page.goto(address)
    page.get_by_role("button", name="Draw").click()
    page.locator(".run .status.error").wait_for()  # which names the model that there is not
    assert evil[:30] in page.locator("main").text_content()
    assert page.evaluate("window.evil") is None
    assert not page.locator("main script, main img[src=x]").count()
    page.context.close()


@pytest.mark.slow
def test_a_studio_with_a_token_asks_for_it(browser):
    address, end = serving(Studio(["mnist-fast"]), token="open sesame")
    try:
        page = browser.new_context().new_page()
        page.goto(address)
        page.get_by_label("Token").fill("simsalabim")
        page.get_by_role("button", name="Enter").click()
        page.get_by_text("That is not the token.").wait_for()
        page.get_by_label("Token").fill("open sesame")
        page.get_by_role("button", name="Enter").click()
        draw(page)
        page.context.close()
        page, wrong = opened(browser, f"{address}#token=open%20sesame")
        assert "token" not in page.url and not wrong
        page.context.close()
    finally:
        end()


def saved(page, button, folder, name=None):
    """The file that a button saves, moved into a folder under its own name or another."""
    with page.expect_download() as taken:
        button.click()
    path = folder / (name or taken.value.suggested_filename)
    taken.value.save_as(path)
    return path


def grey(path):
    """Pixels of a file."""
    with Image.open(path) as image:
        return np.array(image.convert("L"), int)


def copied(page):
    """The command that the newest job offers to copy."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".run:visible").first.get_by_role("button", name="Copy as command").click()
    page.get_by_text("Copied").first.wait_for()
    return page.evaluate("navigator.clipboard.readText()")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A digit of 14 x 14 pixels."""
    path = tmp_path_factory.mktemp("given") / "small.png"
    s2id.sample(s2id.load("mnist-fast"), label=7, seed=0).image(14).save(path)
    return path


@pytest.mark.slow
def test_a_hole_is_painted_into_a_picture_and_filled_in(page, tmp_path, monkeypatch):
    draw(page).first.click()
    page.get_by_role("button", name="Go on with it").click()
    canvas = page.get_by_role("application", name="Paint what is to be drawn anew")
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 4
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y + 20, steps=4)
    page.mouse.up()
    assert "% painted over" in page.locator(".brush").text_content()
    canvas.press("Control+z")
    assert "nothing is painted over" in page.locator(".brush").text_content()
    for key in ("[", " ", "ArrowDown", "ArrowDown"):  # by keys, from where the pointer was
        canvas.press(key)
    panel = page.get_by_role("form", name="What to do with a picture")
    panel.get_by_label("Answers, by seed").fill("0-1")
    panel.get_by_text("Sampling", exact=True).click()
    panel.get_by_label("Steps", exact=True).fill("2")
    panel.get_by_role("button", name="Fill in").click()
    assert finished(page).startswith("2 answers")
    results = page.get_by_role("list", name="Results").get_by_role("listitem")
    given = saved(page, results.filter(has_text="Given").get_by_role("button", name="Save given"), tmp_path)
    mask = saved(page, results.filter(has_text="Given").get_by_role("button", name="Save mask"), tmp_path)
    made = [
        saved(page, results.filter(has_text=name).get_by_role("button", name="Save PNG"), tmp_path)
        for name in ("seed 0", "seed 1", "Mean", "Where they differ")
    ]
    first, second, mean, spread, picture, seen = map(grey, (*made, given, mask))
    seen = seen == 255
    assert 0.005 < 1 - seen.mean() < 0.3
    assert abs(first - picture)[seen].max() <= 2  # what was seen stays
    assert abs(first - second)[~seen].max() > 2 * abs(first - second)[seen].max()
    assert spread[~seen].mean() > 2 * spread[seen].mean() and abs(mean - (first + second) / 2).max() <= 1
    run_commands(copied(page), tmp_path, monkeypatch)
    again = {path.read_bytes() for path in tmp_path.glob("*/**/*.png")}
    assert {path.read_bytes() for path in made} <= again
    results.filter(has_text="seed 1").get_by_role("button", name="Zoom in").click()
    page.get_by_role("dialog").locator("s2id-field").wait_for()


@pytest.mark.slow
def test_a_picture_is_enlarged_and_compared_with_bicubic(page, small, tmp_path, monkeypatch):
    page.get_by_role("link", name="From a picture").click()
    page.get_by_label("Drop a picture here").set_input_files(small)
    page.get_by_label("Times larger").fill("3")
    page.get_by_role("button", name="Enlarge").click()
    assert "dB" in finished(page)
    edge = page.get_by_label("How much of the given picture is shown")
    edge.press("End")
    assert page.locator(".wipe").evaluate("element => element.style.getPropertyValue('--edge')") == "100%"
    made = saved(page, page.get_by_role("list", name="Results").get_by_role("button", name="Save PNG"), tmp_path)
    (tmp_path / "small.png").write_bytes(small.read_bytes())
    run_commands(copied(page), tmp_path, monkeypatch)
    (again,) = tmp_path.glob("*/**/*.png")
    assert made.read_bytes() == again.read_bytes()


@pytest.mark.slow
def test_frames_become_one_sharp_picture_and_a_path(page, tmp_path, monkeypatch):
    scene = s2id.sample(s2id.load("mnist-fast"), label=7, seed=0).image(112)
    frames = [ImageChops.offset(scene, x, y).reduce(4) for x, y in ((0, 0), (1, 2), (3, 1), (2, 3), (0, 2), (2, 0))]
    frames[0].save(tmp_path / "frames.gif", save_all=True, append_images=frames[1:])
    page.get_by_role("link", name="From a picture").click()
    page.get_by_role("radio", name="De-pixelate").check()
    page.get_by_label("Drop a GIF").set_input_files(tmp_path / "frames.gif")
    page.get_by_label("Long side").fill("56")
    page.get_by_role("button", name="De-pixelate").click()
    finished(page)
    assert page.locator(".motion circle").count() == 6
    made = saved(page, page.get_by_role("list", name="Results").get_by_role("button", name="Save PNG").first, tmp_path)
    run_commands(copied(page), tmp_path, monkeypatch)
    assert made.read_bytes() in [path.read_bytes() for path in tmp_path.glob("*/**/*.png")]


def test_what_cannot_be_done_is_said_in_a_sentence(page):
    page.get_by_role("link", name="From a picture").click()
    page.get_by_role("button", name="Enlarge").click()
    page.get_by_role("alert").get_by_text("Drop a picture here first.").wait_for()
    page.get_by_role("link", name="Compose").click()
    page.get_by_label("Seeds", exact=True).fill("5-2")
    page.get_by_role("button", name="Draw").click()
    page.get_by_role("alert").get_by_text("The range of seeds 5-2 does not rise").wait_for()
    assert not page.locator(".run").count()


def test_a_run_is_watched_while_it_is_trained(page, run_folder):
    page.get_by_role("link", name="Watch").click()
    plot = page.get_by_role("img", name=re.compile("^Loss; first: 0.0333 after 2900 images"))
    plot.wait_for()
    assert page.get_by_text("2900 of 5000 images, 50 images/s").count() == 1
    assert page.get_by_role("img", name=re.compile("^Learning rate; first: 0.001")).count() == 1
    with open(run_folder / "metrics.jsonl", "a") as file:
        file.write(json.dumps(ROW | {"step": 30, "images_seen": 3000, "loss": 0.5, "done": 0.6}) + "\n")
    page.get_by_role("img", name=re.compile("^Loss; first: 0.5 after 3000 images")).wait_for()
    sheet = page.get_by_role("img", name="Samples of first after 2000 images")
    assert sheet.evaluate("async image => (await image.decode(), [image.naturalWidth, image.naturalHeight])") == [
        40,
        20,
    ]
    page.get_by_role("slider", name="Samples after so many images").press("ArrowLeft")
    page.get_by_role("img", name="Samples of first after 1000 images").wait_for()
    plotted = page.locator(".plotted").first
    points = [
        [float(value) for value in pair.split(",")]
        for pair in plotted.locator("polyline").first.get_attribute("points").split()
    ]
    assert len(points) == 30
    rows = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    across, up = (np.polyfit([f(row) for row in rows], [point[i] for point in points], 1, full=True) for i, f in (
        (0, lambda row: row["images_seen"]), (1, lambda row: np.log(row["loss"])),
    ))  # fmt: skip
    assert max(across[1][0], up[1][0]) < 0.1 and across[0][0] > 0 > up[0][0]  # straight in images and in log loss
    plotted.get_by_label("log axis").uncheck()
    ticks = plotted.locator("text").all_text_contents()
    assert {"0", "0.1", "0.5"} <= {*ticks} and "images seen" in ticks
