"""A drawing's pictures are means of what its SVG draws, at any size; a folder of them is read as one of pictures is."""

import pytest
import torch
from PIL import Image

import s2id
from s2id.cli.main import main
from s2id.data import svg
from s2id.data.cache import framed_sizes
from s2id.data.drawings import SIDE, decode, raster
from s2id.data.registry import load_pictures
from s2id.errors import InputError, SlowError
from s2id.media.alpha import over
from s2id.media.images import resize, to_bytes

pytest.importorskip("resvg_py")

RED, BLUE, CLEAR = (torch.tensor(c)[:, None, None] for c in ([1.0, -1, -1, 1], [-1.0, -1, 1, 1], [-1.0, -1, -1, -1]))
SQUARE = '<rect x="32" y="32" width="64" height="64" fill="#f00"/>'
HALVES = '<rect width="51" height="128" fill="#f00"/><rect x="51" width="77" height="128" fill="#00f"/>'
LEAF = '<circle cx="60" cy="70" r="41" fill="#0a0"/><path d="M5 9 L99 31 L40 120 Z" fill="#00f" opacity="0.5"/>'
WIDE = '<rect width="20" height="10" fill="#f00"/>'


def drawing(inside=SQUARE, box="0 0 128 128"):
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{inside}</svg>'.encode()


def build(path, inside=SQUARE, box="0 0 128 128"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(drawing(inside, box))
    return path


def as_stored(group, index, size):
    return (to_bytes(group.truth(index, size)).int() - group.images[index].int()).abs().max().item()


@pytest.mark.parametrize("side", [4, 28, 64])
def test_a_square_covers_whole_pixels_and_all_else_is_transparent(side):
    expected = CLEAR.repeat(1, side, side)
    expected[:, side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = RED
    assert torch.allclose(raster(drawing(), "a", (side, side)), expected, atol=1e-5)


def test_a_pixel_is_the_mean_of_what_it_shows():
    # the halves meet at 51 of 128
    assert torch.allclose(raster(drawing(HALVES), "a", (1, 1)), (51 * RED + 77 * BLUE) / 128, atol=1e-4)


def test_shapes_that_touch_leave_no_seam():
    # a sixteenth of a pixel and more of the ground would shine through where both edges cover a part of a pixel
    assert over(raster(drawing(HALVES), "a", (32, 32)), "white")[1].max() < -0.9


@pytest.mark.parametrize("size", [(8, 8), (45, 45), (160, 160)])
def test_pixels_are_means_of_finer_ones(size):
    fine, coarse = (raster(drawing(LEAF), "a", one) for one in ((4 * size[0], 4 * size[1]), size))
    assert (coarse - resize(fine, size)).abs().max() < 0.06
    assert (coarse - resize(fine, size)).square().mean().sqrt() < 0.01


def test_a_wide_picture_shows_the_frame_and_canvas_beside_it():
    wide = raster(drawing(LEAF), "a", (32, 48))
    assert torch.equal(wide[..., 8:40], raster(drawing(LEAF), "a", (32, 32)))
    assert (wide[..., :8] == -1).all() and (wide[..., 40:] == -1).all()


def test_a_drawing_keeps_its_aspect_and_is_opaque_or_grey_if_it_can_be(tmp_path):
    shapes = {}
    for name, inside, box in (
        ("wide", WIDE, "0 0 20 10"),
        ("clear", SQUARE, "0 0 128 128"),
        ("grey", SQUARE.replace("#f00", "#999"), "0 0 128 128"),
        ("black", '<path d="M0 0h9v9h-9z" fill="currentColor"/>', "0 0 9 9"),
        ("moved", '<rect x="-5" y="50" width="20" height="40" fill="#00f"/>', "-5 50 20 40"),
    ):
        shapes[name] = tuple(decode(build(tmp_path / f"{name}.svg", inside, box), name, 32).shape)
    assert shapes == {
        "wide": (3, 16, 32), "clear": (4, 32, 32), "grey": (2, 32, 32), "black": (1, 32, 32), "moved": (3, 32, 16),
    }  # fmt: skip


def test_a_drawing_of_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a\.svg draws nothing"):
        decode(build(tmp_path / "a.svg", '<rect width="9" height="9" fill="none"/>'), "a.svg", 32)


def test_a_folder_of_drawings_has_classes_captions_and_truth_at_any_size(tmp_path):
    for i, name in enumerate(("sky/red-kite", "sky/blue_sun", "sea/fish")):
        build(tmp_path / f"{name}.svg", (LEAF, SQUARE, HALVES)[i])
    pictures = s2id.pictures(tmp_path, long_side=48)
    (group,) = pictures.groups
    assert (pictures.labels, pictures.reader, pictures.size, pictures.channels) == (
        ("sea", "sky"),
        "folder",
        (48, 48),
        4,
    )
    assert group.texts == ("fish", "blue sun", "red kite") and group.labels.tolist() == [0, 1, 1]
    assert [as_stored(group, i, (48, 48)) for i in range(3)] == [0, 0, 0]
    assert torch.equal(group.truth(2, (50, 40)), raster(drawing(LEAF), "a", (50, 40)))


def test_without_a_long_side_drawings_have_one(tmp_path):
    build(tmp_path / "a.svg")
    assert s2id.pictures(tmp_path).size == (SIDE, SIDE)


@pytest.mark.parametrize("alpha", ["white", "black", "#00ff00"])
def test_the_truth_lies_over_the_same_ground(tmp_path, alpha):
    build(tmp_path / "a.svg", LEAF), build(tmp_path / "b.svg")
    (group,) = s2id.pictures(tmp_path, long_side=32, alpha=alpha).groups
    assert group.images.shape[1] == 3 and max(as_stored(group, i, (32, 32)) for i in (0, 1)) <= 1


def test_metadata_labels_drawings_as_it_does_pictures(tmp_path):
    build(tmp_path / "a.svg"), build(tmp_path / "deep" / "b.svgz", LEAF)
    (tmp_path / "metadata.csv").write_text("file_name,label,round,text\na.svg,square,0,a box\ndeep/b.svgz,leaf,1,\n")
    pictures = s2id.pictures(tmp_path)
    assert pictures.labels == ("leaf", "square") and pictures.attributes == ("round",)
    assert pictures.groups[0].texts == ("a box", "")


def test_drawings_of_a_rare_aspect_get_transparent_margins(tmp_path):
    for i in range(3):
        build(tmp_path / f"{i}.svg", LEAF)
    build(tmp_path / "wide.svg", WIDE, "0 0 20 10")
    build(tmp_path / "odd.svg", WIDE, "0 0 20 9.7")
    (group,) = s2id.pictures(tmp_path, long_side=32).groups
    assert group.images.shape[1:] == (4, 32, 32) and (group.images[3:, 3, :8] == 0).all()
    assert [as_stored(group, i, (32, 32)) for i in range(5)] == [0] * 5


def test_the_frames_are_the_frequent_sizes_and_the_square():
    tall, wide = (64, 48), (48, 64)
    assert framed_sizes([tall] * 40 + [wide] * 2 + [(64, 40)]) == [tall] * 40 + [(64, 64)] * 2 + [tall]
    assert framed_sizes([wide]) == [wide] and framed_sizes([]) == []


def test_pixels_beside_drawings_are_read_and_leave_no_truth(tmp_path):
    build(tmp_path / "a.svg")
    Image.new("RGB", (40, 40), "blue").save(tmp_path / "b.png")
    pictures = s2id.pictures(tmp_path, long_side=40)
    assert len(pictures) == 2 and pictures.groups[0].truth is None and not pictures.skipped
    with pytest.raises(InputError, match="holds pictures of pixels, and vectors reads drawings only"):
        load_pictures("vectors", tmp_path)


@pytest.mark.parametrize("damage", ["", "no svg", "<svg", "<html/>"])
def test_a_corrupt_file_is_named_skipped_and_counted(tmp_path, damage):
    build(tmp_path / "good.svg")
    (tmp_path / "bad.svg").write_text(damage)
    found = s2id.pictures(tmp_path)
    assert len(found) == 1 and len(found.skipped) == 1 and "1 left out" in str(found)
    assert "bad.svg cannot be drawn as SVG" in found.skipped[0]


def test_a_folder_without_anything_to_draw_is_refused(tmp_path):
    for i in range(2):
        (tmp_path / f"{i}.svg").write_text("<svg/")
    with pytest.raises(InputError, match="no readable images; 2 files could not be read, .*0.svg cannot be drawn"):
        s2id.pictures(tmp_path)
    with pytest.raises(InputError, match="size 0x32 is empty"):
        raster(drawing(), "a", (0, 32))


def test_without_resvg_the_extra_is_named_and_nothing_is_cached(tmp_path, monkeypatch):
    build(tmp_path / "a.svg")
    with monkeypatch.context() as patch:
        patch.setattr("s2id.data.folder.installed", lambda: False)
        with pytest.raises(InputError, match=r"1 \.svg files are not read, .*a\.svg; pip install 's2id\[vectors\]'"):
            s2id.pictures(tmp_path)
        patch.setattr(svg, "installed", lambda: False)
        with pytest.raises(InputError, match=r"pip install 's2id\[vectors\]'"):
            raster(drawing(), "a", (32, 32))
    assert len(s2id.pictures(tmp_path)) == 1


def test_held_out_drawings_are_in_one_split_only(tmp_path):
    for i in range(40):
        build(tmp_path / "flat" / f"shape-{i}.svg", f'<circle cx="64" cy="64" r="{20 + i}"/>')
    train, test = (load_pictures("vectors", tmp_path, split, 16) for split in ("train", "test"))
    both = [text for pictures in (train, test) for text in pictures.groups[0].texts]
    assert 0 < len(test) < 8 and sorted(both) == sorted(f"shape {i}" for i in range(40))
    assert test.reader == "vectors" and as_stored(test.groups[0], 0, (16, 16)) == 0
    assert torch.equal(test.groups[0].labels, torch.zeros(len(test), dtype=torch.long))


def test_a_split_without_drawings_is_refused(tmp_path):
    build(tmp_path / "a.svg")
    with pytest.raises(InputError, match="has no drawing for the test split, which a hash of names chooses"):
        load_pictures("vectors", tmp_path, "test")


def test_the_command_reads_a_folder_of_drawings(tmp_path, capsys):
    for i in range(3):
        build(tmp_path / f"{i}.svg", LEAF)
    words = [
        "train",
        "folder",
        "--data",
        str(tmp_path),
        "--long-side",
        "24",
        "--dry-run",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(words) == 0
    assert '"24x24": 3' in capsys.readouterr().out


def test_a_slow_drawing_is_tried_again_with_more_time_and_then_it_is_its_own_fault(tmp_path, monkeypatch):
    build(tmp_path / "a.svg")
    build(tmp_path / "slow.svg", '<circle cx="64" cy="64" r="9"/>')
    ask, times = svg._DRAWER.ask, []

    def busy(needs, content, seconds, megabytes):
        if b'r="9"' not in content:
            return ask(content, seconds, megabytes)
        times.append(seconds)
        if seconds < needs:
            raise SlowError(f"drawing it takes more than {seconds} s")
        return ask(content, seconds, megabytes)

    monkeypatch.setattr(svg._DRAWER, "ask", lambda *request: busy(8, *request))
    assert len(s2id.pictures(tmp_path, workers=0)) == 2 and times == [5, 10]
    build(tmp_path / "slow.svg", '<circle cx="64" cy="64" r="9" fill="red"/>')
    monkeypatch.setattr(svg._DRAWER, "ask", lambda *request: busy(30, *request))
    for _ in range(2):
        found = s2id.pictures(tmp_path, workers=0)
        assert len(found) == 1 and "drawing it takes more than 10 s" in " ".join(found.skipped)
    assert times == [5, 10] * 2, "the second time it is in the cache"
