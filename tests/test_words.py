"""What the words say is so: README's blocks run, its file map and the changelog agree with the code."""

import csv
import re
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import tyro
from PIL import Image, ImageChops

import s2id
from s2id.cli.main import Command, Evaluate, TScrape, main
from s2id.data.registry import load_pictures
from s2id.training.presets import PRESETS
from s2id.training.trainer import Trainer

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONDITIONS = (ROOT / "docs" / "conditions.md").read_text()
YOURS = (ROOT / "docs" / "your-pictures.md").read_text()


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"))
def test_python_in_readme_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})


def pictures_to_start_from(folder):
    """A small digit, one with a hole and what was seen of it, and pixelated frames of a camera that moved."""
    scene = s2id.sample(s2id.load("mnist"), label=7, seed=0).image(size=(112, 112))
    scene.reduce(16).save(folder / "small.png")
    whole = scene.reduce(4)
    whole.save(folder / "torn.png")
    seen = Image.new("L", whole.size, 255)
    seen.paste(0, (7, 7, 21, 21))
    seen.save(folder / "seen.png")
    moves = [(0, 0), (1, 2), (3, 1), (2, 3), (0, 2), (2, 0), (3, 3), (1, 1)]
    first, *others = (ImageChops.offset(scene, *move).reduce(4) for move in moves)
    first.save(folder / "frames.gif", save_all=True, append_images=others)


@pytest.mark.parametrize(
    "line", [line for block in blocks("sh") for line in block.splitlines() if line.startswith("s2id")]
)
def test_commands_in_readme_run(line, tmp_path_factory, monkeypatch):
    """In one folder, in order: later lines use what earlier ones wrote. Long programs are only parsed, not run."""
    folder = tmp_path_factory.getbasetemp() / "readme"
    if not folder.is_dir():
        folder.mkdir()
        pictures_to_start_from(folder)
    monkeypatch.chdir(folder)
    words = shlex.split(line, comments=True)[1:]
    if words[0] in ("evaluate", "t-scrape"):
        assert isinstance(tyro.cli(Command, args=words), Evaluate | TScrape)
        return
    assert main([*words, "--dry-run"] if words[0] == "train" else words) == 0


def test_the_page_on_conditions_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (table,) = blocks("csv", CONDITIONS)
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "metadata.csv").write_text(table)
    for row in list(csv.DictReader(table.splitlines())):
        Image.new("RGB", (80, 100)).save(tmp_path / "faces" / row["file_name"])
    pictures = load_pictures("folder", Path("faces"), long_side=64)
    few = replace(PRESETS["tiny"], train=replace(PRESETS["tiny"].train, images=32))
    monkeypatch.setitem(PRESETS, "folder", few)  # the page's own training, in two steps
    Trainer(few, pictures, tmp_path / "run").result().save_pretrained(tmp_path / "out" / "faces" / "model")
    for line in (line for block in blocks("sh", CONDITIONS) for line in block.splitlines()):
        words = shlex.split(line, comments=True)[1:]
        assert main([*words, "--dry-run"] if words[0] == "train" else words) == 0
    for code in blocks("python", CONDITIONS):
        exec(compile(code, "conditions.md", "exec"), {})


def test_the_page_on_your_pictures_runs(tmp_path, monkeypatch):
    """In order, with a tiny network for the one that a long run would train, and 2048 px drawn as 64."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for i in range(3):
        Image.new("RGB", (60 + 20 * i, 100), (80 * i, 9, 9)).save(tmp_path / "photos" / f"{i}.jpg")
    pictures = load_pictures("folder", Path("photos"), long_side=32)
    Trainer(PRESETS["tiny"], pictures, tmp_path / "run").result().save_pretrained(tmp_path / "out" / "photos" / "model")
    for line in (line for block in blocks("sh", YOURS) for line in block.splitlines()):
        words = shlex.split(line.replace("2048x2048", "64x64"), comments=True)[1:]
        assert main([*words, "--dry-run"] if words[0] == "train" else words) == 0
    assert (tmp_path / "pictures" / "seed3-64x64.png").is_file()


def test_readme_maps_every_module():
    modules = {p.name for p in (ROOT / "src" / "s2id").glob("*.py")} - {"__init__.py", "__main__.py"}
    assert modules == set(re.findall(r"^\| `(\w+\.py)`", README, flags=re.MULTILINE))


def test_the_changelogs_top_version_is_the_packages():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE).group(1) == version
    assert f"version: {version}" in (ROOT / "CITATION.cff").read_text()


def test_notation_names_exist():
    """Every name in the first column of docs/notation.md is used in the code."""
    code = "\n".join(p.read_text() for p in (ROOT / "src" / "s2id").glob("*.py"))
    rows = re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \|", (ROOT / "docs" / "notation.md").read_text(), flags=re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert len(names) > 15
    assert [name for name in names if not re.search(rf"\b{name}\b", code)] == []
