"""An SVG file of any origin costs a sentence at most: no process, no memory, no hours, and no other file's secrets."""

import base64
import gzip
import io
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import s2id
from s2id import guarded
from s2id.data import svg
from s2id.data.drawings import content_of, raster
from s2id.data.svg_process import MOST_BYTES, MOST_UNITS
from s2id.errors import InputError
from s2id.guarded_process import ANSWER, REQUEST

pytest.importorskip("resvg_py")

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 64 64">'
SQUARE = '<rect x="16" y="16" width="32" height="32" fill="#f00"/>'
GOOD = f"{HEAD}{SQUARE}</svg>"


def png():
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "blue").save(file, "PNG")
    return file.getvalue()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def draw(path, side=32):
    return svg.draw(content_of(path), str(path), side)


def refused(path, words, side=32):
    with pytest.raises(InputError, match=words) as caught:
        draw(path, side)
    said = str(caught.value)
    assert "\n" not in said and said.startswith(str(path)) and said.endswith("; replace or remove it.")


LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))

GROUP = '<g opacity="0.9">'

HOSTILE = {
    "groups": ("goes too deep", HEAD + GROUP * 20_000 + SQUARE + "</g>" * 20_000 + "</svg>"),
    "laughs": ("declares the entity 'l0'", f'<!DOCTYPE svg [<!ENTITY l0 "ha">{LAUGHS}]>{HEAD}<text>&l9;</text></svg>'),
    "outside": (
        "declares the entity 'x'",
        f'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>{HEAD}<text>&x;</text></svg>',
    ),
    "no xml": ("no XML", "GIF89a"),
    "cut": ("no XML", GOOD[:-9]),
    "empty": ("no XML", b""),
    "latin": (
        "not in UTF-8",
        f'<?xml version="1.0" encoding="latin-1"?>{HEAD}<title>é</title></svg>'.encode("latin-1"),
    ),
    "utf-16": ("not in UTF-8", GOOD.encode("utf-16")),
    "html": ("its root is <html> and not <svg>", "<html></html>"),
    "pixels": (
        "embeds a picture as a data URI",
        f'{HEAD}<image href="data:image/png;base64,{base64.b64encode(png()).decode()}" width="64" height="64"/></svg>',
    ),
    "drawing in a drawing": (
        "embeds a picture as a data URI",
        f'{HEAD}<image xlink:href=" DATA:image/svg+xml;utf8,x" width="64" height="64"/></svg>',
    ),
    "text": ("needs a font for its text", f"{HEAD}<text><tspan>word</tspan></text></svg>"),
    "huge": (f"its sides are 1e9 x 1e9; they may have up to {MOST_UNITS:,.0f} units", GOOD.replace("64 64", "1e9 1e9")),
    "no number": ("its sides are nan x nan", GOOD.replace("64 64", "nan nan")),
    "nothing": ("its sides are 0 x 0", GOOD.replace("64 64", "0 0")),
    "backwards": ("its sides are -1 x 5", GOOD.replace("64 64", "-1 5")),
    "a line": ("one of its sides is more than 100 times the other", GOOD.replace("64 64", "1 1000")),
    "width": ("its sides are 1e12px x 5".replace("px", ""), GOOD.replace("<svg ", '<svg width="1e12px" height="5" ')),
    "large": (f"more than {MOST_BYTES} bytes", b" " * (MOST_BYTES + 1)),
    "bomb": (f"more than {MOST_BYTES} bytes", gzip.compress(bytes(20 * MOST_BYTES), 9)),
    "gzip": ("cannot be drawn", gzip.compress(GOOD.encode())[:-20] + b"x"),
    "use": ("shows another file, 'b.svg#a'", f'{HEAD}<use xlink:href="b.svg#a"/></svg>'),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_sentence_and_the_next_is_drawn(tmp_path, name):
    words, content = HOSTILE[name]
    refused(write(tmp_path / "bad.svg", content), words)
    assert draw(write(tmp_path / "good.svg", GOOD))[16, 16].tolist() == [255, 0, 0, 255]


@pytest.mark.parametrize(
    "name", ["/blue.png", "file:///blue.png", "blue.png", "http://127.0.0.1:9/blue.png", " /blue.png"]
)
@pytest.mark.parametrize("key", ["href", "xlink:href"])
@pytest.mark.parametrize("element", ["image", "feImage"])
def test_other_files_are_not_read(tmp_path, name, key, element):
    write(tmp_path / "blue.png", png())
    name = name.replace("/blue.png", str(tmp_path / "blue.png")) if "127" not in name else name
    shown = f'<{element} {key}="{name}" width="64" height="64"/>'
    drawing = (
        shown
        if element == "image"
        else f'<filter id="f">{shown}</filter><rect width="64" height="64" filter="url(#f)"/>'
    )
    refused(write(tmp_path / "a.svg", f"{HEAD}{drawing}</svg>"), "shows another file")


def test_no_file_can_be_opened_even_if_one_were_asked_for(tmp_path, monkeypatch):
    pytest.importorskip("resource")
    write(tmp_path / "blue.png", png())
    program = tmp_path / "careless.py"
    program.write_text("from s2id.data import svg_process\nsvg_process.checked = bytes.decode\nsvg_process.main()\n")
    picture = f'<image href="{tmp_path / "blue.png"}" width="64" height="64"/>'
    content = f"{HEAD}{SQUARE}{picture}</svg>".encode()
    content = svg.SIDE.pack(32) + content
    asked = REQUEST.pack(5, 2**29, len(content)) + content
    done = subprocess.run(
        [sys.executable, str(program)], input=asked, capture_output=True, timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    with Image.open(io.BytesIO(done.stdout[ANSWER.size :])) as drawn:
        colours = {colour for _, colour in drawn.convert("RGB").getcolors()}
    assert colours == {(255, 0, 0), (0, 0, 0)}  # the square, and no blue


def test_what_a_file_holds_itself_is_drawn(tmp_path):
    linked = f'<a href="https://example.org">{SQUARE}</a><defs><g id="s">{SQUARE}</g></defs><use href="#s"/>'
    public = '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">'
    blank = f"{HEAD}{SQUARE}<text> <tspan/> </text><title>words</title></svg>"
    for content in (f"{public}{HEAD}{linked}</svg>", "\ufeff" + GOOD, GOOD.replace("<svg", '<svg width="100%"'), blank):
        assert draw(write(tmp_path / "a.svg", content))[16, 16].tolist() == [255, 0, 0, 255]
    whole = draw(write(tmp_path / "a.svg", GOOD))
    assert np.array_equal(draw(write(tmp_path / "a.svgz", gzip.compress(GOOD.encode()))), whole)


PATTERN = "".join(
    f'<pattern id="p{i}" width="1" height="1" patternUnits="userSpaceOnUse">'
    + f'<rect width="64" height="64" fill="url(#p{i + 1})"/>' * 8
    + "</pattern>"
    for i in range(20)
)
USES = "".join(f'<g id="u{i}">{f"""<use href="#u{i + 1}"/>""" * 10}</g>' for i in range(9))
BOMBS = {
    "use": f'<defs>{USES}<g id="u9">{SQUARE}</g></defs><use href="#u0"/>',
    "pattern": f'{PATTERN}<rect width="64" height="64" fill="url(#p0)"/>',
    "turbulence": '<filter id="f" x="0" y="0" width="1" height="1">'
    + '<feTurbulence baseFrequency="0.9" numOctaves="1000000"/>' * 9
    + '</filter><rect width="64" height="64" filter="url(#f)"/>',
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_takes_too_long_is_stopped(tmp_path, monkeypatch, name):
    monkeypatch.setattr(svg, "SECONDS", 1)
    monkeypatch.setattr(svg, "_PATIENCE", 1)
    monkeypatch.setattr(guarded, "PATIENCE", 2)
    refused(write(tmp_path / "bad.svg", f"{HEAD}{BOMBS[name]}</svg>"), "takes more than 1 s|MB|limit reached", side=512)


LENGTHS = st.one_of(
    st.floats(width=32).map(str), st.integers().map(str), st.sampled_from(["", "%", "1e9", "-0", "1e-30", "3mm", "a"])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(LENGTHS, max_size=5), LENGTHS, LENGTHS)
def test_any_size_is_drawn_or_refused_in_a_sentence(box, width, height):
    sizes = f'viewBox="{" ".join(box)}" width="{width}" height="{height}"'
    try:
        drawn = svg.draw(f'<svg xmlns="http://www.w3.org/2000/svg" {sizes}>{SQUARE}</svg>'.encode(), "a.svg", 16)
        assert max(drawn.shape) == 16
    except InputError as error:
        assert "a.svg cannot be drawn as SVG (" in str(error) and "\n" not in str(error)


def test_what_takes_too_much_memory_is_stopped(tmp_path, monkeypatch):
    pytest.importorskip("resource")
    monkeypatch.setattr(svg, "MEGABYTES", 128)
    deep = '<g opacity="0.9" filter="blur(1px)">'
    refused(
        write(tmp_path / "bad.svg", f"{HEAD}{deep * 150}{SQUARE}{'</g>' * 150}</svg>"), "more than 128 MB", side=900
    )


def test_drawings_that_cannot_be_drawn_are_counted_and_their_siblings_kept(tmp_path):
    write(tmp_path / "good.svg", GOOD)
    for name, (_, content) in HOSTILE.items():
        write(tmp_path / f"{name}.svg", content)
    pictures = s2id.pictures(tmp_path)
    assert len(pictures) == 1 and len(pictures.skipped) == len(HOSTILE)
    assert all(f"{tmp_path / name}.svg cannot be drawn as SVG (" in "".join(pictures.skipped) for name in HOSTILE)


def test_the_truth_is_drawn_by_the_same_process():
    assert torch.equal(raster(GOOD.encode(), "a", (32, 32))[:, 16, 16], torch.tensor([1.0, -1, -1, 1]))
    first = svg._DRAWER._process.pid
    raster(GOOD.encode(), "a", (8, 16))
    assert svg._DRAWER._process.pid == first
    os.kill(first, signal.SIGTERM)
    svg._DRAWER._process.wait(60)
    assert raster(GOOD.encode(), "a", (8, 8)).shape == (4, 8, 8), "one that another program ended is started again"


def test_the_process_ends_with_the_one_that_started_it():
    program = (
        "import os, sys; from s2id.data import svg; svg.draw(sys.argv[1].encode(), 'a', 32); "
        "print(svg._DRAWER._process.pid, flush=True); os._exit(0)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", program, GOOD]
    said = subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=60, check=True, env=environment).stdout
    for _ in range(200):
        if not psutil.pid_exists(int(said)) or psutil.Process(int(said)).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.05)
    pytest.fail("it is still there")
