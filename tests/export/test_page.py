"""A page holds all that it needs, is small, and lets nothing of what it shows become a part of it."""

import html
import re
from base64 import b64decode, b64encode
from copy import deepcopy
from hashlib import sha256
from importlib.resources import files

import pytest
import torch

import s2id
from s2id.cli.main import main
from s2id.errors import InputError
from s2id.export import page as module
from s2id.export.page import page, write_page, write_way
from s2id.network.heads import Features
from s2id.sampling.field import Field


@pytest.fixture(scope="module")
def digits():
    return s2id.sample(s2id.load("mnist"), label=[7, 3], seed=[0, 1])


def held(text):
    """Bytes of the field files in a page."""
    return [b64decode(one) for one in re.findall(r'id="field-\d+">([^<]*)<', text)]


def test_the_player_and_its_page_are_small():
    own = [one for one in files("s2id.export").iterdir() if one.name.endswith((".js", ".css", ".html"))]
    assert len(own) == 4
    assert sum(len(one.read_bytes()) for one in own) <= 62_000


@pytest.mark.parametrize("name", ["mnist", "mnist-fast"])
def test_the_page_of_a_digit_is_small(name):
    assert len(page([s2id.sample(s2id.load(name), label=7, seed=0)])) <= 400_000


def test_a_page_holds_the_field_within_half_a_grey_level(digits, tmp_path):
    digits[0].save(tmp_path / "seven.html")
    (content,) = held((tmp_path / "seven.html").read_text())
    (tmp_path / "again.safetensors").write_bytes(content)
    again = Field.load(tmp_path / "again.safetensors")
    assert len(content) < 0.6 * len(digits[0].file_bytes())
    for window in (None, (0.4, 0.4, 0.45, 0.45)):
        assert (again.render(400, window) - digits[0].render(400, window)).abs().max() <= 0.5 / 127.5


def test_features_that_half_precision_would_change_stay_whole(digits):
    far = Features(digits[0].features.values + 100.0, digits[0].features.frame)
    head = deepcopy(digits.head)
    head.hidden.bias -= 100.0 * head.hidden.weight.sum(1)
    (content,) = held(page([Field(far, head)]).decode())
    assert content == Field(far, head).file_bytes()


def test_a_gallery_has_every_function(digits):
    text = page([digits, digits[1]]).decode()
    assert "<title>mnist: 3 pictures</title>" in text
    assert re.findall(r'href="#(\d+)"', text) == ["1", "2", "3"]
    assert re.findall(r'src="#field-(\d)" index="(\d)"', text) == [("0", "0"), ("0", "1"), ("1", "0")]
    assert [caption for caption in re.findall(r"<span>(.*?)</span>", text)] == [
        "label 7, seed 0", "label 3, seed 1", "label 3, seed 1"
    ]  # fmt: skip


def test_nothing_that_a_field_says_becomes_html(digits):
    evil = '</script><script>alert(1)</script>"><img src=x onerror=alert(1)>{{fields}}{{policy}}'
    made = Field(digits[0].features, digits.head, {"data": evil, "asked": evil, "seeds": "0", "labels": evil})
    for text in (page([made]).decode(), page([made, made], title=evil).decode()):
        assert "<img" not in text and "alert(1)</script>" not in text
        assert len(re.findall("<script", text)) == len(re.findall("</script", text)) == 2 + len(held(text))
        assert text.count("{{policy}}") == text.count(html.escape(evil))


def test_a_page_runs_its_own_scripts_only(digits):
    text = page([digits[0]]).decode()
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1])
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    scripts = re.findall(r'<script type="module"[^>]*>(.*?)</script>', text, flags=re.DOTALL)
    hashes = {
        f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts
    }  # as browsers do
    assert len(hashes) == 2 and set(rules["script-src"].split()) == {*hashes, "'wasm-unsafe-eval'"}
    assert rules["default-src"] == "'none'" and "connect-src" not in rules


def test_a_notebook_shows_the_page_in_a_frame_of_its_own(digits):
    shown = digits[0]._repr_html_()
    assert html.unescape(re.search('srcdoc="([^"]*)"', shown)[1]).encode() == page([digits[0]])
    assert 'sandbox="allow-scripts allow-downloads"' in shown  # not as a part of the notebook's own page


def test_a_page_that_cannot_be_is_refused_with_a_sentence(digits, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no function to show"):
        write_page(tmp_path / "a.html", [])
    with pytest.raises(InputError, match=r"a\.htm does not end in \.html"):
        write_page(tmp_path / "a.htm", [digits])
    monkeypatch.setattr(module, "_MOST_BYTES", 2**17)
    with pytest.raises(InputError, match="a page of 2 pictures would have .* show fewer"):
        digits.save(tmp_path / "a.html")
    assert not list(tmp_path.iterdir())


def test_pixels_and_alpha_have_pages_too(field, tmp_path):
    values = torch.rand(1, 4, 4, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pixels = Field(Features(values, (1.0, 1.0)), s2id.sampling.field.PixelHead(3))
    for made in (field(channels=4), field(2, channels=2), pixels):
        (content,) = held(page([made]).decode())
        (tmp_path / "again.safetensors").write_bytes(content)
        again = Field.load(tmp_path / "again.safetensors")
        assert (again.render(50) - made.render(50)).abs().max() <= 0.5 / 127.5


def test_export_writes_a_page_or_a_gallery(digits, tmp_path, capsys):
    for i, one in enumerate(digits):
        one.save(tmp_path / f"{i}.safetensors")
    assert main(["export", str(tmp_path / "0.safetensors"), "--to", "html"]) == 0
    assert (
        main(["export", *map(str, sorted(tmp_path.glob("*.safetensors"))), "--out", str(tmp_path / "both.html")]) == 0
    )
    assert (tmp_path / "0.html").read_bytes() == page([digits[0]])
    assert (tmp_path / "both.html").read_bytes() == page(list(digits))
    capsys.readouterr()
    for words, sentence in (
        ([], "export needs a field file"),
        ([str(tmp_path / "none.safetensors")], "does not exist; give a field file"),
        ([str(tmp_path / "both.html")], "both.html is no complete .safetensors file"),
    ):
        assert main(["export", *words]) == 2
        assert sentence in capsys.readouterr().err


@pytest.fixture(scope="module")
def way():
    return list(s2id.between(s2id.load("mnist-fast"), (7, 0), (3, 1), 4))


def test_a_way_is_one_file_with_a_slider_that_names_its_ends(way, tmp_path):
    write_way(tmp_path / "way.html", way)
    text = (tmp_path / "way.html").read_text()
    assert "<title>mnist: label 7, seed 0 to label 3, seed 1</title>" in text
    assert re.findall(r'<option value="(\d)" label="([^"]*)"', text) == [
        ("0", "label 7, seed 0"),
        ("3", "label 3, seed 1"),
    ]
    assert 'max="3"' in text and len(text) < 61_000 + 4 * 80_000
    (tmp_path / "way.safetensors").write_bytes(held(text)[0])
    again = Field.load(tmp_path / "way.safetensors")
    assert [one.facts["asked"] for one in again] == [
        "label 7, seed 0",
        "33.3% of the way from label 7, seed 0 to label 3, seed 1",
        "66.7% of the way from label 7, seed 0 to label 3, seed 1",
        "label 3, seed 1",
    ]
    for one, other in zip(way, again, strict=True):
        assert (one.render(224) - other.render(224)).abs().max() <= 0.5 / 127.5


def test_a_way_that_is_too_long_for_a_page_is_refused_when_it_is_known(way, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_BYTES", 2**18)
    drawn = iter(way)
    with pytest.raises(InputError, match="a page of 4 pictures would have"):
        write_way(tmp_path / "a.html", drawn)
    with pytest.raises(InputError, match="no function to show"):
        write_way(tmp_path / "a.html", [])
    assert not list(tmp_path.iterdir())
