"""Packages of icons: what is drawn, what is left out and counted, and what icons of several sets have in common."""

import io
import json
import tarfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import s2id
from s2id.data.concepts import concepts
from s2id.data.drawings import raster
from s2id.data.iconify import ICONS, Icon, Package, is_package, read
from s2id.data.registry import load_pictures
from s2id.errors import InputError
from s2id.media.images import to_bytes

pytest.importorskip("resvg_py")

BOX = '<path d="M0 0h8v4h-8z" fill="#f00"/>'
FLAG = '<path d="M0 0h8v2h-4v2h-4z" fill="#00f"/>'
TONES = ("light", "medium-light", "medium", "medium-dark", "dark")


def content(prefix="flat", icons=None, **more):
    bodies = {"red-fox": BOX, "owl": FLAG} if icons is None else icons
    return {"prefix": prefix, "icons": {n: {"body": b} if isinstance(b, str) else b for n, b in bodies.items()},
            "width": 8, "height": 8, **more}  # fmt: skip


def package(folder, icons=None, packed=True, **beside):
    """A package with icons.json and other files, as `npm pack` writes it or unpacked."""
    icons = icons or content()
    files = {ICONS: icons, **{f"{name}.json": value for name, value in beside.items()}}
    if not packed:
        for name, value in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(json.dumps(value))
        return folder / ICONS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"iconify-json-{icons.get('prefix', 'none')}-1.0.0.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, value in {"index.js": 1, **files}.items():
            raw = json.dumps(value).encode()
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))
    return path


def shown(icon, side=8):
    """Which pixels an icon draws on."""
    return raster(icon.svg().encode(), "a", (side, side))[3] > 0


@pytest.mark.parametrize("packed", [True, False])
def test_a_set_is_a_class_its_names_are_captions_and_its_categories_attributes(tmp_path, packed):
    path = package(tmp_path / "one", packed=packed, metadata={"categories": {"Animals": ["owl"], "Red": ["red-fox"]}},
                   info={"name": "Flat", "author": {"name": "A"}, "license": {"title": "MIT"}})  # fmt: skip
    for source, name in ((tmp_path, tmp_path.name), (path, path.stem if packed else "one")):
        pictures = s2id.pictures(source, long_side=16)
        assert pictures.name == name
        (group,) = pictures.groups
        assert pictures.labels == ("flat",) and pictures.reader == "folder" and not pictures.skipped
        assert group.texts == ("owl", "red fox") and group.labels.tolist() == [0, 0]
        assert pictures.attributes == ("Animals", "Red") and group.attributes.tolist() == [[1, -1], [-1, 1]]
        assert [torch.equal(to_bytes(group.truth(i, (16, 16))), group.images[i]) for i in (0, 1)] == [True, True]
    assert read(path).about == "Flat by A, MIT"


def test_hidden_icons_and_skin_tones_are_left_out_and_counted(tmp_path):
    toned = [*(f"wave-{tone}" for tone in TONES), "nod-light-skin-tone", "girl"]
    icons = dict.fromkeys(["wave", "boy", "police-car-light", *toned], BOX)
    icons |= {"old": {"body": BOX, "hidden": True}, "bad": {"width": 3}}
    path = package(tmp_path, content(icons=icons), chars={"1f467-1f3fb": "girl", "1f466": "boy"})
    assert sorted(read(path).icons) == ["boy", "police-car-light", "wave"]
    (told,) = s2id.pictures(tmp_path, long_side=8).skipped
    assert told == (
        f"of the icons of {path}, 1 hidden by the set and 7 variants of skin tone and 1 without a drawing are left out."
    )


def test_an_alias_is_another_name_unless_it_moves_the_icon(tmp_path):
    aliases = {"fox": {"parent": "red-fox"}, "vixen": {"parent": "fox"}, "left": {"parent": "owl", "hFlip": True},
               "down": {"parent": "left", "vFlip": True, "rotate": 1}, "lost": {"parent": "none"},
               "a": {"parent": "b"}, "b": {"parent": "a"}}  # fmt: skip
    found = read(package(tmp_path, content(aliases=aliases)))
    assert found.same == {"fox": "red-fox", "vixen": "red-fox"}
    assert sorted(found.icons) == ["down", "left", "owl", "red-fox"]
    owl = shown(found.icons["owl"])
    assert torch.equal(shown(found.icons["left"]), owl.flip(1))
    assert torch.equal(shown(found.icons["down"]), owl.flip(1).flip(0).rot90(-1))


@settings(max_examples=24, deadline=None)
@given(st.integers(0, 3), st.tuples(st.booleans(), st.booleans()), st.tuples(*[st.integers(-5, 5)] * 2))
def test_moves_are_those_of_pictures(turns, flips, corner):
    body = f'<g transform="translate({corner[0]} {corner[1]})">{FLAG}</g>'
    plain = shown(Icon(body, (*map(float, corner), 8.0, 8.0)))
    expected = plain.flip([axis for axis, flip in ((1, flips[0]), (0, flips[1])) if flip]).rot90(-turns)
    assert torch.equal(shown(Icon(body, (*map(float, corner), 8.0, 8.0), flips, turns)), expected)


def test_a_turned_icon_of_another_aspect_has_its_sides_exchanged():
    assert 'viewBox="-2 -4 4 8"' in Icon(BOX, (0.0, 0.0, 8.0, 4.0), turns=1).svg()


def made(prefix, names, same=None):
    return Package(Path(), prefix, "", {name: Icon(BOX, (0.0, 0.0, 8.0, 8.0)) for name in names}, same or {})


def test_names_that_sets_share_and_aliases_are_one_concept():
    found = concepts([
        made("a", ["bear", "owl"], {"bear-face": "bear"}), made("b", ["bear-face"]), made("c", ["bear-face", "cat"]),
    ])  # fmt: skip
    assert found == {("a", "bear"): "bear-face", ("b", "bear-face"): "bear-face", ("c", "bear-face"): "bear-face",
                     ("a", "owl"): "owl", ("c", "cat"): "cat"}  # fmt: skip


def test_an_alias_does_not_join_what_a_set_draws_apart():
    found = concepts([made("a", ["up"], {"upward": "up"}), made("b", ["up", "upward"])])
    assert found == {("a", "up"): "up", ("b", "up"): "up", ("b", "upward"): "upward"}


def test_a_long_row_of_aliases_is_one_concept():
    names = [f"n{i:04}" for i in range(3000)]
    rows = [dict(zip(names[start:-1:2], names[start + 1 :: 2], strict=False)) for start in (0, 1)]
    found = concepts([made("a", ["n2999"]), made("b", ["n0000"], rows[0]), made("c", [], rows[1])])
    assert len({*found.values()}) == 1 and len(found) == 2


def test_without_resvg_the_extra_is_named_and_nothing_is_cached(tmp_path, monkeypatch):
    package(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("s2id.data.icon_sets.installed", lambda: False)
        with pytest.raises(InputError, match=r"holds icons, and SVG needs resvg; pip install 's2id\[vectors\]'"):
            s2id.pictures(tmp_path)
    assert len(s2id.pictures(tmp_path)) == 2


def test_several_sets_are_joined_and_share_captions_and_categories(tmp_path):
    package(tmp_path, content("flat"), metadata={"categories": {"Animals": ["owl"], "Other": ["red-fox"]}})
    package(tmp_path, content("bold", {"owl": BOX, "sun": FLAG, "fox": BOX}, aliases={"red-fox": {"parent": "fox"}}))
    pictures = s2id.pictures(tmp_path, long_side=8)
    (group,) = pictures.groups
    rows = {(pictures.labels[label], text): values for label, text, values in
            zip(group.labels.tolist(), group.texts, group.attributes.tolist(), strict=True)}  # fmt: skip
    assert rows == {
        ("bold", "owl"): [1, -1], ("bold", "fox"): [-1, 1], ("bold", "sun"): [0, 0],
        ("flat", "owl"): [1, -1], ("flat", "fox"): [-1, 1],
    }  # fmt: skip


def test_pairs_that_no_training_sees_have_their_concept_in_other_sets(tmp_path):
    icons = {f"thing-{i}": f'<circle cx="4" cy="4" r="{1 + i / 20}" fill="#0{i % 10}0"/>' for i in range(24)}
    for prefix in ("a", "b", "c"):
        package(tmp_path, content(prefix, icons))
    train, test = (load_pictures("vectors", tmp_path, split, 8) for split in ("train", "test"))
    assert len(train) + len(test) == 72 and len(test) >= 4
    seen = [(text, label) for text, label in zip(train.groups[0].texts, train.groups[0].labels.tolist(), strict=True)]
    for text in test.groups[0].texts:
        assert sum(text == other for other, _ in seen) in (0, 2)


@pytest.mark.parametrize(
    "icons",
    [{"prefix": "a"}, {"icons": {"a": {"body": BOX}}}, {"prefix": "a", "icons": {}}, {"prefix": "a", "icons": []},
     {"prefix": 3, "icons": {"a": {}}}, {"prefix": "a", "icons": {"a": {"body": BOX}}, "aliases": []}],
    ids=["no icons", "no prefix", "empty", "a list", "a number", "aliases"],
)  # fmt: skip
def test_another_form_is_refused(tmp_path, icons):
    with pytest.raises(InputError, match=r"is no set of icons in Iconify's form; it needs icons\.json with prefix and"):
        s2id.pictures(package(tmp_path, icons, packed=False))


def test_an_icons_json_of_another_program_is_left_out_beside_pictures(tmp_path):
    (tmp_path / ICONS).write_text('{"files": []}')
    (tmp_path / "a.svg").write_text(Icon(BOX, (0.0, 0.0, 8.0, 8.0)).svg())
    pictures = s2id.pictures(tmp_path, long_side=8)
    assert len(pictures) == 1 and "is no set of icons in Iconify's form" in pictures.skipped[0]


@pytest.mark.parametrize("raw", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"[]"])
def test_what_is_no_json_is_refused(tmp_path, raw):
    (tmp_path / ICONS).write_bytes(raw)
    with pytest.raises(InputError, match="cannot be read as a package of icons|is no set of icons"):
        s2id.pictures(tmp_path)


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    path = package(tmp_path, content(icons={"a": " " * 10_000}))
    monkeypatch.setattr("s2id.data.iconify._MOST_BYTES", 5_000)
    with pytest.raises(InputError, match="a file of it has more than 5000 bytes"):
        s2id.pictures(path)


def test_other_archives_are_no_packages(tmp_path):
    cut = package(tmp_path)
    (tmp_path / "cut.tgz").write_bytes(cut.read_bytes()[:40])
    (tmp_path / "text.tgz").write_text("text")
    assert [is_package(tmp_path / name) for name in ("cut.tgz", "text.tgz", cut.name)] == [False, False, True]
    pictures = s2id.pictures(tmp_path, long_side=8)
    assert len(pictures) == 2 and any("2 .tgz files are not read" in said for said in pictures.skipped)


def test_a_set_twice_is_refused_and_pictures_beside_sets_are_named(tmp_path):
    path = package(tmp_path)
    (tmp_path / "a.svg").write_text("<svg/>")
    assert "1 pictures beside packages of icons" in "".join(s2id.pictures(tmp_path, long_side=8).skipped)
    (tmp_path / "again.tgz").write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="again.tgz and .* are both the set flat; keep one of them"):
        s2id.pictures(tmp_path)


def test_a_hostile_icon_is_named_and_its_siblings_are_kept(tmp_path):
    bad = {"out": '</svg><svg xmlns="http://www.w3.org/2000/svg">', "file": '<image href="/etc/passwd"/>',
           "huge": {"body": BOX, "width": 1e9, "height": 1e9}, "no number": {"body": BOX, "width": "8"}}  # fmt: skip
    package(tmp_path, content(icons={"owl": FLAG, **bad}))
    pictures = s2id.pictures(tmp_path, long_side=8)
    assert len(pictures) == 1 and "1 without a drawing" in pictures.skipped[0]
    for name in ("out", "file", "huge"):
        assert any(f"icon {name} of " in said and "cannot be drawn as SVG (" in said for said in pictures.skipped)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="holds no icon that can be drawn; 1 files could not be read"):
        s2id.pictures(package(tmp_path / "none", content(icons={"out": bad["out"]})))
