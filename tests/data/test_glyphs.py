"""A glyph is the area its outline covers, at any size; fonts that cannot be used are named."""

import builtins
import os
from pathlib import Path

import pytest
import torch
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from s2id.data import fonts as glyphs
from s2id.data.fonts import CHARACTERS, font_files, held_out, open_font, pictures, raster
from s2id.data.registry import load_pictures
from s2id.errors import InputError
from s2id.media.images import resize, to_bytes

SIDE = 700  # of the tallest shape, in font units: 20 of the frame's 28 pixels


def square(left, bottom, side):
    return [(left, bottom), (left, bottom + side), (left + side, bottom + side), (left + side, bottom)]


SHAPES = {
    "square": [square(40, 0, SIDE)],
    "triangle": [[(0, 0), (0, SIDE), (SIDE, 0)]],  # the right angle is at the lower left
    "ring": [square(0, -90, SIDE), square(175, 85, SIDE // 2)[::-1]],
    "small": [square(300, 300, SIDE // 5)],
}
DRAWN = {"0": "square", "L": "triangle", "o": "ring"}


def build(path, characters=CHARACTERS, shapes=SHAPES):
    """A font whose characters are simple shapes: those of DRAWN, and small squares for the rest."""
    drawn = {".notdef": TTGlyphPen(None).glyph()}
    for name, contours in shapes.items():
        pen = TTGlyphPen(None)
        for first, *rest in contours:
            pen.moveTo(first)
            for point in rest:
                pen.lineTo(point)
            pen.closePath()
        drawn[name] = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(list(drawn))
    builder.setupCharacterMap({ord(c): DRAWN.get(c, "small") for c in characters})
    builder.setupGlyf(drawn)
    builder.setupHorizontalMetrics({name: (1000, 0) for name in drawn})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": path.stem, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    path.parent.mkdir(parents=True, exist_ok=True)
    builder.save(path)
    return path


@pytest.fixture(scope="module")
def font(tmp_path_factory):
    return open_font(build(tmp_path_factory.mktemp("font") / "Shapes-Regular.ttf"))


def names(held, count):
    """File names of fonts that belong to the test split, or do not."""
    found = (f"Family{i}-Regular.ttf" for i in range(1000))
    return [name for name, _ in zip((n for n in found if held_out(glyphs.Path(n)) == held), range(count), strict=False)]


def test_a_square_covers_whole_pixels(font):
    expected = torch.zeros(28, 28)
    expected[4:24, 4:24] = 1
    assert torch.equal(raster(font, "0", (28, 28)), expected)


def test_coverage_is_the_share_of_the_pixel(font):
    # 20 pixels of 28 are 50/7 pixels of 10: the border pixels are covered by 4/7
    border, inside = 4 / 7, torch.ones(6)
    profile = torch.cat([torch.zeros(1), torch.tensor([border]), inside, torch.tensor([border]), torch.zeros(1)])
    assert torch.allclose(raster(font, "0", (10, 10)), profile[:, None] * profile, atol=1 / 255)


def test_a_triangle_stands_on_its_base(font):
    below_diagonal = torch.ones(20, 20).tril(-1) + torch.eye(20) / 2
    picture = raster(font, "L", (28, 28))
    assert torch.allclose(picture[4:24, 4:24], below_diagonal, atol=1 / 255)
    assert picture[23, 4] == 1 and picture[4, 23] == 0


def test_a_hole_stays_a_hole(font):
    picture = raster(font, "o", (28, 28))
    assert torch.equal(picture[9:19, 9:19], torch.zeros(10, 10))
    assert picture.sum() == 20 * 20 - 10 * 10


def test_glyphs_keep_their_relative_size_and_are_centred(font):
    small = raster(font, "z", (28, 28))
    assert torch.equal(small.nonzero().amin(0), torch.tensor([12, 12]))
    assert torch.equal(small.nonzero().amax(0), torch.tensor([15, 15]))


@pytest.mark.parametrize("character", ["0", "L", "o", "z"])
@pytest.mark.parametrize("size", [(7, 7), (28, 28), (61, 61), (128, 128)])
def test_pixels_are_means_of_finer_ones(font, character, size):
    fine = raster(font, character, (4 * size[0], 4 * size[1]))
    assert torch.allclose(raster(font, character, size), resize(fine, size), atol=1.5 / 255)


def test_a_wide_picture_shows_the_frame_and_canvas_beside_it(font):
    wide = raster(font, "L", (28, 40))
    assert torch.equal(wide[:, 6:34], raster(font, "L", (28, 28)))
    assert wide[:, :6].sum() == 0 and wide[:, 34:].sum() == 0


def test_a_wide_font_keeps_the_margin_at_the_sides(tmp_path):
    flat = {**SHAPES, "square": [[(0, 0), (0, 100), (1400, 100), (1400, 0)]]}
    columns = raster(open_font(build(tmp_path / "Flat.ttf", shapes=flat)), "0", (28, 28)).sum(0)
    assert columns.nonzero().flatten().tolist() == list(range(2, 26))


def test_pictures_are_all_characters_of_all_fonts_in_order(tmp_path):
    files = [build(tmp_path / name) for name in ("A.ttf", "B.ttf")]
    images, labels, fonts, skipped = pictures(files)
    assert images.shape == (124, 1, 28, 28) and images.dtype == torch.uint8 and not skipped
    assert [font.name for font in fonts] == ["A.ttf", "B.ttf"]
    assert labels.tolist() == [*range(62), *range(62)]
    assert torch.equal(images[0, 0], (raster(open_font(files[0]), "0", (28, 28)) * 255).byte())


def test_pictures_have_their_truth_at_any_size(tmp_path):
    files = [build(tmp_path / name) for name in names(False, 2)]
    (group,) = load_pictures("glyphs", tmp_path).groups
    index, known = 62 + CHARACTERS.index("L"), open_font(files[1])
    assert torch.equal(group.truth(index, (40, 61)), raster(known, "L", (40, 61))[None] * 2 - 1)
    assert torch.equal(to_bytes(group.truth(index, (28, 28))), group.images[index])


def test_splits_share_no_font_and_classes_are_characters(tmp_path):
    for name in names(True, 2) + names(False, 3):
        build(tmp_path / name)
    train, test = load_pictures("glyphs", tmp_path), load_pictures("glyphs", tmp_path, "test")
    assert (len(train), len(test)) == (3 * 62, 2 * 62)
    assert train.labels == test.labels == CHARACTERS and len(CHARACTERS) == 62
    assert train.size == (28, 28) and train.channels == 1


def test_about_one_font_in_ten_is_held_out_with_its_family():
    assert 60 < len(names(True, 1000)) < 140
    assert len({held_out(glyphs.Path(f"Roboto-{style}.ttf")) for style in ("Bold", "Italic", "Thin")}) == 1
    assert not held_out(glyphs.Path("NotoSerif-Regular.ttf")), "DroidSerif is the same design"


def test_a_name_that_is_no_utf_8_belongs_to_a_split_too():
    odd = Path(os.fsdecode(b"caf\xe9-Regular.ttf"))
    assert held_out(odd) == held_out(odd.with_name(odd.name.replace("Regular", "Bold")))


def test_a_list_of_fonts_leaves_out_copies_and_the_incomplete(tmp_path):
    for name in ("A.ttf", "B.ttf", "C.ttf", "D.ttf"):
        build(tmp_path / "fonts" / "ttf" / name)
    (tmp_path / "fonts" / "fonts.csv").write_text(
        "file,missing_chars,identical_to\nA.ttf,,\nB.ttf,xyz,\nC.ttf,,A.ttf\njsMath-cmsy10.ttf,,\n"
    )
    for folder in (tmp_path, tmp_path / "fonts"):
        assert [file.name for file in font_files(folder)] == ["A.ttf"]


def test_a_list_is_read_with_a_mark_and_refused_with_a_short_row(tmp_path):
    build(tmp_path / "ttf" / "A.ttf")
    text = "file,missing_chars,identical_to\nA.ttf,,\n"
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "fonts.csv").write_text(text, encoding=encoding)
        assert [file.name for file in font_files(tmp_path)] == ["A.ttf"]
    (tmp_path / "fonts.csv").write_text(text + "B.ttf\n")
    with pytest.raises(InputError, match="line 3 of .*fonts.csv has 1 fields and the header 3"):
        font_files(tmp_path)


def test_a_list_without_its_columns_is_refused(tmp_path):
    (tmp_path / "fonts.csv").write_text("name\nA.ttf\n")
    with pytest.raises(InputError, match="is no list of fonts.*needs the columns file"):
        font_files(tmp_path)


@pytest.mark.parametrize(
    "damage", [lambda raw: b"", lambda raw: b"no font", lambda raw: raw[: len(raw) // 2]], ids=["empty", "text", "half"]
)
def test_a_corrupt_font_is_named_skipped_and_counted(tmp_path, damage):
    good, bad = (build(tmp_path / name) for name in names(False, 2))
    bad.write_bytes(damage(bad.read_bytes()))
    found = load_pictures("glyphs", tmp_path)
    assert len(found) == 62 and len(found.skipped) == 1
    assert bad.name in found.skipped[0] and good.name not in found.skipped[0]
    assert "1 left out" in str(found)


def test_a_font_without_some_characters_is_named_with_them(tmp_path):
    build(tmp_path / names(False, 1)[0], characters=CHARACTERS[2:])
    with pytest.raises(InputError, match="no usable font for the train split; 1 cannot be used.*draws nothing for 01;"):
        load_pictures("glyphs", tmp_path)


def test_a_font_with_an_empty_glyph_is_refused(tmp_path):
    with pytest.raises(InputError, match="draws nothing for L;"):
        open_font(build(tmp_path / "Blank.ttf", shapes={**SHAPES, "triangle": []}))


@pytest.mark.parametrize("folder", ["", "missing"])
def test_a_folder_without_fonts_is_refused(tmp_path, folder):
    with pytest.raises(InputError, match="holds no fonts|is not a folder"):
        load_pictures("glyphs", tmp_path / folder)


def test_a_split_without_fonts_is_refused(tmp_path):
    build(tmp_path / names(False, 1)[0])
    with pytest.raises(InputError, match="no usable font for the test split; put more"):
        load_pictures("glyphs", tmp_path, "test")


def test_unknown_characters_and_empty_sizes_are_refused(font):
    with pytest.raises(InputError, match="'%' is none of Shapes-Regular.ttf's"):
        raster(font, "%", (28, 28))
    with pytest.raises(InputError, match="size 0x28 is empty"):
        raster(font, "A", (0, 28))


def test_without_freetype_the_extra_is_named(tmp_path, monkeypatch):
    def refuse(name, *args, **kwargs):
        if name == "freetype":
            raise ImportError(name)
        return imports(name, *args, **kwargs)

    imports = builtins.__import__
    build(tmp_path / "A.ttf")
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match=r"pip install 's2id\[glyphs\]'"):
        open_font(tmp_path / "A.ttf")


def test_a_nearly_flat_edge_is_drawn_however_fine(tmp_path):
    # one row of FreeType's cells holds all of such an edge, and its memory for a row is small
    shapes = SHAPES | {"square": [[(0, 0), (0, SIDE), (SIDE, SIDE - 1), (SIDE, -1)], *SHAPES["small"]]}
    flat = open_font(build(tmp_path / "Flat.ttf", shapes=shapes))
    fine, coarse = raster(flat, "0", (2048, 2048)), raster(flat, "0", (64, 64))
    assert torch.allclose(resize(fine, (64, 64)), coarse, atol=1.5 / 255)
