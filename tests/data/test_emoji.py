"""An emoji is the mean of what its SVG draws, at any size; variants of one emoji stay in one split."""

import builtins
from pathlib import Path

import pytest
import torch

from s2id.data.registry import load_pictures
from s2id.data.vectors import SKIN_TONES, base, decode, find, held_out, raster
from s2id.errors import InputError
from s2id.images import resize, to_bytes

pytest.importorskip("resvg_py")

WHITE, RED, BLUE = (torch.tensor(colour)[:, None, None] for colour in ([1.0, 1, 1], [1.0, -1, -1], [-1.0, -1, 1]))
SQUARE = '<rect x="32" y="32" width="64" height="64" fill="#f00"/>'
HALVES = '<rect width="51" height="128" fill="#f00"/><rect x="51" width="77" height="128" fill="#00f"/>'
LEAF = '<circle cx="60" cy="70" r="41" fill="#0a0"/><path d="M5 9 L99 31 L40 120 Z" fill="#00f" opacity="0.5"/>'
FACES, ANIMALS = "Smileys & Emotion", "Animals & Nature"


def build(path, drawing=SQUARE, box="0 0 128 128"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{drawing}</svg>')
    return path


def listed(folder, rows):
    lines = [f"emoji_u{name},{group},{subgroup}\n" for name, group, subgroup in rows]
    (folder / "labels.csv").write_text("file,group,subgroup\n" + "".join(lines), encoding="utf-8")


def names(held, count):
    """File names of emoji that belong to the test split, or do not."""
    found = (f"emoji_u1f{i:03x}.svg" for i in range(0x100, 0x300))
    return [name for name, _ in zip((n for n in found if held_out(Path(n)) == held), range(count), strict=False)]


def emoji(*points):
    return Path(f"emoji_u{'_'.join(points)}.svg")


@pytest.mark.parametrize("side", [4, 28, 32, 64])
def test_a_square_covers_whole_pixels_on_white(tmp_path, side):
    expected = WHITE.repeat(1, side, side)
    expected[:, side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = RED
    assert torch.allclose(raster(build(tmp_path / "a.svg"), (side, side)), expected, atol=1e-5)


def test_a_pixel_is_the_mean_of_what_it_shows(tmp_path):
    # the halves meet at 51 of 128
    picture = raster(build(tmp_path / "a.svg", HALVES), (1, 1))
    assert torch.allclose(picture, (51 * RED + 77 * BLUE) / 128, atol=1e-4)


def test_shapes_that_touch_leave_no_seam(tmp_path):
    # a sixteenth of a pixel and more of white would shine through where both edges cover a part of a pixel
    picture = raster(build(tmp_path / "a.svg", HALVES), (32, 32))
    assert picture[1].max() < -0.9


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (45, 45)])
def test_pixels_are_means_of_finer_ones(tmp_path, size):
    path = build(tmp_path / "a.svg", LEAF)
    fine = raster(path, (4 * size[0], 4 * size[1]))
    assert (raster(path, size) - resize(fine, size)).abs().max() < 0.06
    assert (raster(path, size) - resize(fine, size)).square().mean().sqrt() < 0.01


def test_a_wide_picture_shows_the_frame_and_canvas_beside_it(tmp_path):
    path = build(tmp_path / "a.svg", LEAF)
    wide = raster(path, (32, 48))
    assert torch.equal(wide[..., 8:40], raster(path, (32, 32)))
    assert (wide[..., :8] == 1).all() and (wide[..., 40:] == 1).all()


def test_a_drawing_that_is_not_square_is_centred(tmp_path):
    picture = raster(build(tmp_path / "a.svg", '<rect width="20" height="10" fill="#f00"/>', "0 0 20 10"), (32, 32))
    assert torch.equal(picture[:, 8:24], RED.expand(3, 16, 32))
    assert (picture[:, :8] == 1).all() and (picture[:, 24:] == 1).all()


def test_variants_of_skin_gender_age_and_direction_have_one_base():
    nurse = {
        base(emoji(*points))
        for points in (
            ("1f468", "200d", "2695"),
            ("1f469", "1f3fb", "200d", "2695"),
            ("1f9d1", "1f3ff", "200d", "2695", "fe0f"),
        )
    }
    runner = {base(emoji("1f3c3", *more)) for more in ((), ("1f3fd",), ("200d", "2640"), ("200d", "27a1"))}
    family = {base(emoji("1f468", "200d", child)) for child in ("1f466", "1f467", "1f9d2")}
    assert len(nurse) == len(runner) == len(family) == len({*nurse, *runner, *family}) // 3 == 1


@pytest.mark.parametrize("alone", ["1f3fb", "2640", "27a1"])
def test_what_marks_variants_is_an_emoji_of_its_own(alone):
    assert base(emoji(alone)) == (int(alone, 16),)


def test_about_one_base_in_ten_is_held_out_with_its_variants():
    assert 25 < len(names(True, 1000)) < 77
    for name in (*names(True, 3), *names(False, 3)):
        held = {held_out(emoji(Path(name).stem[7:], *more)) for more in ((), ("1f3fb",), ("1f3ff", "200d", "2640"))}
        assert len(held) == 1


def test_splits_share_no_base_and_know_the_same_names(tmp_path):
    drawn = {name: build(tmp_path / "svg" / name) for name in names(True, 2) + names(False, 3)}
    for name in [*drawn]:
        build(tmp_path / "svg" / name.replace(".svg", "_1f3fd.svg"))
    listed(tmp_path, [(Path(name).stem[7:], FACES, f"face-{i % 2}") for i, name in enumerate(drawn)])
    train, test = load_pictures("emoji", tmp_path), load_pictures("emoji", tmp_path, "test")
    assert (len(train), len(test)) == (6, 4)
    assert train.labels == test.labels == ("face-0", "face-1")
    assert train.attributes == test.attributes == (FACES, *SKIN_TONES.values())
    assert train.size == (32, 32) and train.channels == 3


def test_pictures_are_bytes_of_the_truth_and_have_it_at_any_size(tmp_path):
    first, second = names(False, 2)
    build(tmp_path / first), build(tmp_path / second, LEAF)
    (group,) = load_pictures("emoji", tmp_path).groups
    assert torch.equal(group.images[0], decode(tmp_path / first, first, 32))
    for index, name in enumerate((first, second)):
        assert torch.equal(group.images[index], to_bytes(group.truth(index, (32, 32))))
        assert torch.equal(group.truth(index, (50, 40)), raster(tmp_path / name, (50, 40)))


def test_another_side_draws_them_anew(tmp_path):
    build(tmp_path / names(False, 1)[0], LEAF)
    (group,) = load_pictures("emoji", tmp_path, long_side=48).groups
    assert torch.equal(group.images[0], to_bytes(group.truth(0, (48, 48))))


def test_labels_are_subgroups_and_attributes_are_groups_and_skin_tones(tmp_path):
    for name in ("1f600", "1f44b_1f3fb", "1f44b_1f3fb_1f3ff", "1f98a"):
        build(tmp_path / "noto-emoji" / "svg" / f"emoji_u{name}.svg")
    listed(tmp_path / "noto-emoji", [("1f600", FACES, "face-smiling"), ("1f98a", ANIMALS, "animal-mammal")])
    files, table = find(tmp_path)
    assert [file.stem[7:] for file in files] == ["1f44b_1f3fb", "1f44b_1f3fb_1f3ff", "1f600", "1f98a"]
    assert table.classes == ("animal-mammal", "face-smiling")
    assert table.attributes == (ANIMALS, FACES, *SKIN_TONES.values())
    assert table.known.label.tolist() == [-1, -1, 1, 0]
    assert table.known.attributes.tolist() == [
        [0, 0, 1, -1, -1, -1, -1],
        [0, 0, 1, -1, -1, -1, 1],
        [-1, 1, -1, -1, -1, -1, -1],
        [1, -1, -1, -1, -1, -1, -1],
    ]


def test_a_variant_that_the_list_lacks_is_what_its_base_is(tmp_path):
    for name in ("1f3c3", "1f3c3_1f3fd_200d_2640_200d_27a1"):
        build(tmp_path / f"emoji_u{name}.svg")
    listed(tmp_path, [("1f3c3", "People & Body", "person-activity")])
    assert find(tmp_path)[1].known.label.tolist() == [0, 0]


def test_without_a_list_only_skin_tones_are_known(tmp_path):
    build(tmp_path / "svg" / names(False, 1)[0])
    found = load_pictures("emoji", tmp_path)
    assert found.labels == () and found.attributes == tuple(SKIN_TONES.values())
    assert found.groups[0].labels.tolist() == [-1]


def test_a_list_without_its_columns_is_refused(tmp_path):
    build(tmp_path / names(False, 1)[0])
    (tmp_path / "labels.csv").write_text("name\nx\n")
    with pytest.raises(InputError, match="labels.csv is no list of emoji.*needs the columns file, group and subgroup"):
        find(tmp_path)


def test_a_list_is_read_with_a_mark_and_refused_with_a_short_row(tmp_path):
    name = names(False, 1)[0]
    build(tmp_path / name)
    text = f"file,group,subgroup\n{Path(name).stem},{FACES},face\n"
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "labels.csv").write_text(text, encoding=encoding)
        assert find(tmp_path)[1].classes == ("face",)
    (tmp_path / "labels.csv").write_text(text + "emoji_u1f600\n")
    with pytest.raises(InputError, match="line 3 of .*labels.csv has 1 fields and the header 3"):
        find(tmp_path)


@pytest.mark.parametrize("damage", ["", "no svg", "<svg", "<html/>"])
def test_a_corrupt_file_is_named_skipped_and_counted(tmp_path, damage):
    good, bad = (build(tmp_path / name) for name in names(False, 2))
    bad.write_text(damage)
    found = load_pictures("emoji", tmp_path)
    assert len(found) == 1 and len(found.skipped) == 1
    assert bad.name in found.skipped[0] and "cannot be drawn as SVG" in found.skipped[0]
    assert torch.equal(found.groups[0].images[0], decode(good, good.name, 32))
    assert "1 left out" in str(found)


@pytest.mark.parametrize("folder", ["", "missing"])
def test_a_folder_without_emoji_is_refused(tmp_path, folder):
    (tmp_path / "emoji_unknown.svg").write_text("<svg/>")
    with pytest.raises(InputError, match="holds no emoji|is not a folder"):
        load_pictures("emoji", tmp_path / folder)


def test_a_split_without_emoji_is_refused(tmp_path):
    build(tmp_path / names(False, 1)[0])
    with pytest.raises(InputError, match="no usable emoji for the test split; put more"):
        load_pictures("emoji", tmp_path, "test")


def test_empty_sizes_are_refused(tmp_path):
    path = build(tmp_path / names(False, 1)[0])
    with pytest.raises(InputError, match="size 0x32 is empty"):
        raster(path, (0, 32))
    with pytest.raises(InputError, match="long_side is 0"):
        load_pictures("emoji", tmp_path, long_side=0)


def test_without_resvg_the_extra_is_named(tmp_path, monkeypatch):
    def refuse(name, *args, **kwargs):
        if name == "resvg_py":
            raise ImportError(name)
        return imports(name, *args, **kwargs)

    imports = builtins.__import__
    path = build(tmp_path / "a.svg")
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match=r"pip install 's2id\[emoji\]'"):
        raster(path, (32, 32))
