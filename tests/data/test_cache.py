"""The cache of decoded pictures: found where a user may write, and made anew when anything in it is damaged."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import s2id
from s2id.data import cache, cache_folder, decoding
from s2id.errors import InputError, LostError


@pytest.fixture
def data(tmp_path):
    for i, side in enumerate((8, 8, 6)):
        (tmp_path / "data").mkdir(exist_ok=True)
        Image.new("RGB", (side, 8), (40 * i, 9, 9)).save(tmp_path / "data" / f"{i}.png")
    (tmp_path / "data" / "broken.png").touch()
    return tmp_path / "data"


def altered(**changes):
    return lambda raw: json.dumps({**json.loads(raw), **changes}).encode()


def regrouped(change):
    def alter(raw):
        content = json.loads(raw)
        change(content["groups"])
        return json.dumps(content).encode()

    return alter


def array(values):
    def alter(_):
        from io import BytesIO

        file = BytesIO()
        np.save(file, values)
        return file.getvalue()

    return alter


DAMAGE = {
    "empty": (".json .npy", lambda raw: b""),
    "cut": (".json .npy", lambda raw: raw[: len(raw) // 2]),
    "cut at the end": (".npy", lambda raw: raw[:-1]),
    "noise": (".json .npy", lambda raw: bytes(range(256))),
    "a list": (".json", lambda raw: b"[]"),
    "an object": (".json", lambda raw: b"{}"),
    "null": (".json", lambda raw: b"null"),
    "deep": (".json", lambda raw: b"[" * 100_000),
    "no groups": (".json", altered(groups=None)),
    "groups of text": (".json", altered(groups="xy")),
    "a count of text": (".json", altered(count="four")),
    "a smaller count": (".json", altered(count=1)),
    "an unknown ground": (".json", altered(alpha="pink")),
    "columns of text": (".json", altered(columns="xy")),
    "a short column": (".json", altered(columns={"label": ["x"]})),
    "sentences that are numbers": (".json", altered(skipped=[1])),
    "skipped is a number": (".json", altered(skipped=7)),
    "another shape": (".json", regrouped(lambda groups: groups[0].update(shape=[2, 3, 8, 9]))),
    "a shape of 10^16": (".json", regrouped(lambda groups: groups[0].update(shape=[10**16, 3, 8, 8]))),
    "a negative shape": (".json", regrouped(lambda groups: groups[0].update(shape=[-2, 3, -8, 8]))),
    "another aspect": (".json", regrouped(lambda groups: groups[1].update(shape=[1, 3, 6, 8]))),
    "five channels": (".json", regrouped(lambda groups: groups[1].update(shape=[1, 48, 3, 1]))),
    "three axes": (".json", regrouped(lambda groups: groups[1].update(shape=[1, 3, 48]))),
    "a short index": (".json", regrouped(lambda groups: groups[0].update(index=[0]))),
    "an index beyond": (".json", regrouped(lambda groups: groups[0].update(index=[0, 99]))),
    "an index of text": (".json", regrouped(lambda groups: groups[0].update(index=["a", "b"]))),
    "an index of fractions": (".json", regrouped(lambda groups: groups[0].update(index=[0.5, 1.5]))),
    "floats": (".npy", array(np.zeros(528))),
    "two axes": (".npy", array(np.zeros((528, 1), np.uint8))),
    "objects": (".npy", array(np.array([None, 1]))),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_damaged_is_made_anew(data, name):
    whole = s2id.pictures(data)
    pixels = [group.images.clone() for group in whole.groups]
    endings, damage = DAMAGE[name]
    for ending in endings.split():
        (file,) = (cache.folder() / "pictures").rglob(f"*{ending}")
        raw = damage(file.read_bytes())
        file.unlink()  # `whole` still maps the old one
        file.write_bytes(raw)
        for _ in range(2):
            again = s2id.pictures(data)
            assert str(again) == str(whole) and again.skipped == whole.skipped
            for found, expected in zip(again.groups, pixels, strict=True):
                assert torch.equal(found.images, expected)


def test_what_an_older_version_left_is_replaced(data, monkeypatch):
    with monkeypatch.context() as older:
        older.setattr(cache, "_FORMAT", "s2id-pictures-1")
        s2id.pictures(data)
    s2id.pictures(data)
    assert len(list((cache.folder() / "pictures").rglob("*.json"))) == 1


def test_two_at_once_read_once(data):
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(s2id.pictures, (data, data))
    assert str(first) == str(second) and len(list((cache.folder() / "pictures").rglob("*.npy"))) == 1


def test_a_file_in_place_of_the_folder_is_a_sentence(data, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(cache, "CACHE", tmp_path / "file")
    with pytest.raises(InputError, match="cannot be used to keep shrunk pictures .*; free or empty it"):
        s2id.pictures(data)


def test_the_place_is_what_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.delenv("S2ID_CACHE", raising=False)
    assert cache_folder.cache_folder() == tmp_path / "home" / ".cache" / "s2id"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder.cache_folder() == tmp_path / "xdg" / "s2id"
    monkeypatch.setenv("S2ID_CACHE", str(tmp_path / "own"))
    assert cache_folder.cache_folder() == tmp_path / "own"
    (tmp_path / "file").touch()
    monkeypatch.setenv("S2ID_CACHE", str(tmp_path / "file" / "x"))
    with pytest.raises(InputError, match="S2ID_CACHE names .*, which cannot be written"):
        cache_folder.cache_folder()


@pytest.mark.parametrize("home", [None, "/dev/null/home", ""])
def test_without_a_home_it_is_temporary_with_a_note(tmp_path, monkeypatch, capsys, home):
    for name in ("S2ID_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home or "/dev/null")

    def nobody():
        raise RuntimeError("Could not determine home directory.")

    if home is None:
        monkeypatch.setattr(Path, "home", nobody)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cache_folder._temporary.cache_clear()
    found = cache_folder.cache_folder()
    assert found.parent == tmp_path and found.stat().st_mode & 0o777 == 0o700 and cache_folder.cache_folder() == found
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and f"files are kept in {found} (" in told and "set S2ID_CACHE" in told
    cache_folder._temporary.cache_clear()
    found.rmdir()
    (tmp_path / "others").mkdir()
    found.symlink_to(tmp_path / "others")
    assert cache_folder.cache_folder() not in (found, tmp_path / "others"), (
        "what another user may have laid there is not used"
    )
    cache_folder._temporary.cache_clear()


NOBODY = """
import os, sys
from s2id.data.cache_folder import cache_folder
os.setgid(12345)
os.setuid(12345)
for name in ("HOME", "S2ID_CACHE", "XDG_CACHE_HOME"):
    os.environ.pop(name, None)
os.environ.update(zip(("HOME",), sys.argv[1:]))
print(cache_folder())
"""


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root may become another user")
@pytest.mark.parametrize("home", [[], ["/nonexistent"]])
def test_an_unlisted_user_without_a_home_has_a_cache(home):
    words = [sys.executable, "-c", NOBODY, *home]
    run = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0 and "set S2ID_CACHE to keep them elsewhere" in run.stderr, run.stderr
    assert Path(run.stdout.strip()).stat().st_uid == 12345
    Path(run.stdout.strip()).rmdir()


def test_what_was_lost_is_read_again_next_time(data):
    files = sorted(data.glob("?.png"))

    def busy(source, name, long_side):
        if source == files[1]:
            raise LostError(f"{name} takes more than 5 s.")
        return decoding.picture(source, name, long_side)

    first, second = cache.store(data, files, None, decoder=busy), cache.store(data, files, None)
    assert first.skipped == (f"{files[1]} takes more than 5 s.",) and second.skipped == ()
    assert [sum(len(group.images) for group in kept.groups) for kept in (first, second)] == [2, 3]
    assert cache.store(data, files, None, decoder=busy).skipped == (), "what is whole is kept"
