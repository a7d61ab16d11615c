"""The words are true: code and commands of README and of every page run, and what they list agrees with the package."""

import re
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
from conftest import unchecked
from PIL import Image, ImageChops

import s2id
from s2id.cli.commands import parse
from s2id.cli.main import main
from s2id.data.registry import READERS, load_pictures
from s2id.diffusion.samplers import SAMPLERS
from s2id.training.presets import PRESETS
from s2id.training.trainer import Trainer

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LONG = ("evaluate", "t-scrape", "distill", "studio")
"""Commands whose lines are only parsed."""

SMALLER = {r"(1024|2048)(x\d+)?": "64x64", "0-7|0-15": "0-1"}
"""What words of commands become, so that few and small pictures are drawn."""

SHORTER = {
    "restore": ["--steps", "3"],
    "depixelate": ["--seed", "0-1"],
    "morph": ["--frames", "3"],
    "film": ["--set", "rate=5"],
}
"""What is added to commands that draw much, where nobody looks at the pictures: the last of several counts."""

XMLNS = 'xmlns="http://www.w3.org/2000/svg"'
METADATA = """file_name,smiling,eyeglasses,age,label,text
0.png,true,false,31,indoor,"a woman, smiling"
1.png,false,true,60,outdoor,a smiling woman
2.png,true,true,,indoor,a man
"""


def blocks(page):
    """Language and text of a page's code blocks, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def commands(text):
    """The lines of a block that call s2id, as words."""
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("s2id ")]


@pytest.fixture(scope="session")
def materials(tmp_path_factory):
    """The files that pages start from: poor digits, frames of a moving camera, and folders of pictures."""
    folder = tmp_path_factory.mktemp("materials")
    scene = s2id.sample(s2id.load("mnist"), label=7, seed=0).image(size=(112, 112))
    scene.reduce(16).save(folder / "small.png")
    whole = scene.reduce(4)
    for name in ("torn.png", "noisy.png"):
        whole.save(folder / name)
    seen = Image.new("L", whole.size, 255)
    seen.paste(0, (7, 7, 21, 21))
    seen.save(folder / "seen.png")
    moves = [(0, 0), (1, 2), (3, 1), (2, 3), (0, 2), (2, 0), (3, 3), (1, 1)]
    first, *others = (ImageChops.offset(scene, *move).reduce(4) for move in moves)
    for name in ("frames.gif", "FRAMES"):
        first.save(folder / name, format="GIF", save_all=True, append_images=others)
    for name in ("photos", "my-pictures", "faces"):
        (folder / name).mkdir()
        for i in range(3):
            Image.new("RGB", (60 + 20 * i, 100), (80 * i, 9, 9)).save(folder / name / f"{i}.png")
    (folder / "faces" / "metadata.csv").write_text(METADATA)
    for name in ("icons", "my-icons"):
        (folder / name).mkdir()
        for i in range(3):
            (folder / name / f"disc-{i}.svg").write_text(f'<svg viewBox="0 0 9 9" {XMLNS}><circle r="{i + 3}"/></svg>')
    (folder / "stickers").mkdir()
    for name in ("stickers/0.png", "stickers/1.png", "sticker.png"):
        Image.new("RGBA", (32, 32), (200, 9, 9, 128)).save(folder / name)
    return folder


@pytest.fixture
def few(monkeypatch):
    """Every preset trains the smallest network for two steps."""
    tiny = PRESETS["tiny"]
    for name, preset in PRESETS.items():
        train = replace(tiny.train, images=8, batch=4, long_side=preset.train.long_side)
        monkeypatch.setitem(PRESETS, name, replace(preset, model=tiny.model, train=train))


def stand_in(folder, word):
    """A barely trained model where a page names one that a long run would have left, or the run's folder."""
    path = Path(folder, word.removesuffix("/model"), "model")
    if re.fullmatch(r"out/[\w-]+(/model)?", word) and not path.exists():
        source = next((name for name in ("faces", "stickers", "my-icons") if name in word), "photos")
        pictures = load_pictures("folder", Path(folder, source), long_side=32)
        if source == "my-icons":  # begun with emoji
            opaque = load_pictures("folder", Path(folder, source), long_side=32, alpha="white")
            s2id.train(opaque, path.parent, start=s2id.load("emoji")).model.save_pretrained(path)
            return
        tiny = replace(PRESETS["tiny"], train=replace(PRESETS["tiny"].train, images=8, batch=4))
        Trainer(tiny, pictures, path.parent).result().save_pretrained(path)


def run_command(folder, words):
    """Run a command, or parse it if it takes long."""
    for large, small in SMALLER.items():
        words = [re.sub(rf"^(?:{large})$", small, word) for word in words]
    if words[0] == "depixelate":
        words = [re.sub(r"^(112|224)x\d+$", "56x56", word) for word in words]
    for flag, word in zip(["", *words], words, strict=False):
        if flag != "--out":
            stand_in(folder, word)
    words = [*words, *SHORTER.get(words[0], [])]
    if words[0] in LONG or words[0] == "train" and not _at_hand(words):
        assert callable(parse(words).run)
    else:
        assert main([*words, "--dry-run"] if words[0] == "train" else words) == 0, words


def _at_hand(words):
    """Whether the folder of the data, and the run to go on from, are there for a dry run."""
    told = dict(zip(words, words[1:], strict=False))
    goes_on = "--resume" in words or "--extra-minutes" in words
    return Path(told.get("--data", "nowhere")).is_dir() and (not goes_on or Path(told["--out"], "checkpoints").is_dir())


def run_python(folder, text, names):
    """Run a block of Python among the names that earlier ones made."""
    if "s2id.studio" in text:
        pytest.importorskip("fastapi", reason="the studio needs the extra studio")
    for word in re.findall(r'"(out/[^"]*/model)"', text):
        stand_in(folder, word)
    short = re.sub(r"\b(?:minutes|images)=[\d_.]+", "images=8", text)
    short = re.sub(r"seeds=range\(\d+\)", "seeds=range(2)", short)
    exec(compile(short, "a page", "exec"), names)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_code_and_commands_of_a_page_run(page, materials, few, tmp_path, monkeypatch):
    """In one folder and in order: later blocks use what earlier ones made. Training is cut to a few pictures."""
    for path in materials.rglob("*"):
        target = tmp_path / path.relative_to(materials)
        target.mkdir() if path.is_dir() else target.write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    # what a page adds to them, other tests must not find there
    with unchecked(), patch.dict(READERS), patch.dict(SAMPLERS):
        for language, text in blocks(page):
            if language == "sh":
                for words in commands(text):
                    run_command(tmp_path, words)
            elif language == "python":
                run_python(tmp_path, text, names)


def test_readme_names_every_folder():
    folders = {path.parent.name for path in (ROOT / "src" / "s2id").glob("*/__init__.py")} | {"s2id"}
    assert folders == set(re.findall(r"^\| `(\w+)/`", PAGES[0].read_text(), flags=re.MULTILINE))


def test_readme_is_short():
    assert len(PAGES[0].read_text().splitlines()) <= 130


def test_links_lead_somewhere():
    """Links of README and docs to files of the repository, and to headings in them."""
    for page in PAGES:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            path, _, heading = link.partition("#")
            if path.startswith(("http", "mailto")):
                continue
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), (page.name, link)
            if heading:
                titles = re.findall(r"^#+ (.*)$", target.read_text(), flags=re.MULTILINE)
                anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
                assert heading in anchors, (page.name, link)


def test_the_changelogs_top_version_is_the_packages():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE).group(1) == version
    assert f"version: {version}" in (ROOT / "CITATION.cff").read_text()


def test_notation_names_exist():
    """Every name in the first column of docs/notation.md is used in the code."""
    code = "\n".join(p.read_text() for p in (ROOT / "src" / "s2id").rglob("*.py"))
    rows = re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \|", (ROOT / "docs" / "notation.md").read_text(), flags=re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert len(names) > 15
    assert [name for name in names if not re.search(rf"\b{name}\b", code)] == []
