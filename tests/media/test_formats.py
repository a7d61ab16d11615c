"""Picture files of every depth and kind of transparency, and files that only look like pictures."""

import re
import struct
import sys
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

import s2id
from s2id.errors import InputError
from s2id.inverse.frames import read_frames
from s2id.media import formats, images, raster
from s2id.media.images import decode, read, resize
from s2id.media.metadata import facts_of


def png(bits: int, colour: int, row: bytes, key: tuple[int, ...]) -> BytesIO:
    """A row of two pixels, of which the first has the transparent colour."""

    def chunk(kind: bytes, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))

    header = struct.pack(">IIBBBBB", 2, 1, bits, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"tRNS", struct.pack(f">{len(key)}H", *key))]
    return BytesIO(
        b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("bits", "values"), [(1, (1, 0)), (2, (2, 1)), (4, (7, 3)), (8, (10, 200)), (16, (1000, 40000)), (16, (100, 40000))]
)
def test_a_transparent_grey_is_transparent_at_every_depth(bits, values):
    row = ((values[0] << bits | values[1]) << max(0, 8 - 2 * bits)).to_bytes(max(1, bits // 4), "big")
    seen = decode(png(bits, 0, row, values[:1]), "a.png")
    assert seen[1].tolist() == [[0, 255]] and seen[0, 0, 1] == round(values[1] * 255 / (2**bits - 1))
    assert decode(png(bits, 0, row, values[:1]), "a.png", channels=1)[0, 0, 0] == 255, "over the ground"


@pytest.mark.parametrize(("bits", "key"), [(8, (10, 20, 30)), (16, (10, 20, 30)), (16, (1000, 2000, 3000))])
def test_a_transparent_colour_is_transparent_at_every_depth(bits, key):
    row = struct.pack(f">6{'BH'[bits // 16]}", *key, *(value << (bits - 8) for value in (200, 210, 220)))
    assert decode(png(bits, 2, row, key), "a.png")[3].tolist() == [[0, 255]]
    assert decode(png(bits, 2, row, key), "a.png", channels=3)[:, 0].T.tolist() == [[255] * 3, [200, 210, 220]]


def tiff(bits: int, photometric: int, data: bytes, sample_format: int = 1) -> BytesIO:
    """Two grey pixels in a row."""
    tags = {
        256: 2,
        257: 1,
        258: bits,
        259: 1,
        262: photometric,
        273: 0,
        277: 1,
        278: 1,
        279: len(data),
        339: sample_format,
    }
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4 if value > 65535 else 3, 1, value) for tag, value in tags.items())
    return BytesIO(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data)


@pytest.mark.parametrize(("bits", "data"), [(1, b"\x40"), (4, b"\x0f"), (8, b"\x00\xff"), (16, b"\0\0\xff\xff")])
def test_what_a_tiff_calls_white_is_white(bits, data):
    assert decode(tiff(bits, 1, data), "a.tif").tolist() == [[[0, 255]]]
    assert decode(tiff(bits, 0, data), "a.tif").tolist() == [[[255, 0]]]


def test_twelve_bits_are_scaled_and_signs_refused():
    assert decode(tiff(12, 1, b"\x00\x0f\xff"), "a.tif").tolist() == [[[0, 255]]]
    with pytest.raises(InputError, match="values with signs, whose range is not known"):
        decode(tiff(8, 1, b"\xff\x64", sample_format=2), "a.tif")
    for most in (1023, 65535):
        assert decode(BytesIO(b"P5 2 1 %d\n\0\0" % most + struct.pack(">H", most)), "a.pgm").tolist() == [[[0, 255]]]


def test_pages_of_sixteen_bits_are_scaled_as_pictures_are(tmp_path):
    first, *more = (Image.fromarray(np.full((2, 3), value, np.uint16)) for value in (5000, 20000, 60000))
    first.save(tmp_path / "a.tif", save_all=True, append_images=more)
    assert [int(page.max()) for page in raster.pages(tmp_path / "a.tif", "a.tif")] == [19, 78, 233]
    assert read(tmp_path / "a.tif").unique().tolist() == [19]


def test_colours_hidden_in_a_gif_are_never_seen(tmp_path):
    frames = []
    for shade in (10, 20):
        frame = Image.new("P", (4, 4), 0)
        frame.putpalette([250, 0, 0, shade, shade, shade])
        frame.paste(1, (0, 0, 2, 4))
        frames.append(frame)
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], transparency=0, disposal=2)
    film = read_frames(tmp_path / "a.gif")
    assert len(film) == 2 and film.shape[1] == 1, "the hidden red would make it a film in colour"
    assert (film[:, :, :, 2:] == 1).all() and (film[:, :, :, :2] < -0.8).all()
    assert (read(tmp_path / "a.gif", 1)[:, :, 2:] == 255).all() and (read(tmp_path / "a.gif")[:, :, 2:] == 0).all()


@pytest.mark.parametrize(
    "content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"%PDF-1.4\n", b"\xd7\xcd\xc6\x9a\0\0"]
)
def test_only_listed_formats_are_opened_whatever_the_ending(tmp_path, monkeypatch, content):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript is run"))
    for name in ("a.png", "b.gif"):
        (tmp_path / name).write_bytes(content + bytes(200))
        with pytest.raises(InputError, match="no format that is known"):
            read(tmp_path / name)
    with pytest.raises(InputError, match="b.gif cannot be read"):
        read_frames(tmp_path / "b.gif")


def test_every_place_that_opens_pictures_names_the_formats():
    for path in Path(s2id.__file__).parent.rglob("*.py"):
        assert not re.search(r"Image\.open\((?!.*formats=)", path.read_text()), path


@pytest.fixture
def without_plugins(monkeypatch):
    for name in formats._PLUGINS:
        monkeypatch.setitem(sys.modules, name, None)
    formats.endings.cache_clear()
    yield
    formats.endings.cache_clear()


def test_what_looks_like_a_picture_is_counted_and_named(tmp_path, without_plugins):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    kinds = ["heic", "jxl", "cr2", "NEF", "eps", "mp4", "zip", "npy", "csv", "parquet"]
    for kind in kinds:
        for i in range(3):
            (tmp_path / "b").mkdir(exist_ok=True)
            (tmp_path / "b" / f"{i}.{kind}").write_bytes(b"any")
    (tmp_path / "IMG_1").write_bytes((tmp_path / "a.png").read_bytes())
    (tmp_path / "a.txt").write_text("a caption")
    for name in ("notes.txt", "README.md", "Thumbs.db", "LICENSE"):
        (tmp_path / name).write_text("no picture")
    pictures = s2id.pictures(tmp_path)
    assert len(pictures) == 1 and len(pictures.skipped) == len(kinds) + 2
    said = "\n".join(pictures.skipped)
    for kind in kinds:
        assert f"3 .{kind.lower()} files are not read, the first: {tmp_path / 'b' / '0'}.{kind}; " in said
    assert "s2id[photos]" in said and "metadata.csv" in said and "preset hub" in said
    assert f"1 picture file is not read, the first: {tmp_path / 'IMG_1'}; give it the ending" in said
    assert "captions of 1 pictures are not read" in said
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match=r"holds no readable images; .*\.csv files are not read"):
        s2id.pictures(tmp_path)


def test_only_photographs_that_need_a_package_are_told_its_name(tmp_path, without_plugins):
    for i in range(300):
        (tmp_path / f"{i:03}.heic").touch()
    with pytest.raises(InputError, match="300 .heic files are not read, .*; pip install 's2id.photos.'"):
        s2id.pictures(tmp_path)


def test_photographs_of_telephones_are_read_with_the_extra(tmp_path):
    pytest.importorskip("pillow_heif")
    formats.endings()
    Image.new("RGB", (64, 48), (200, 10, 10)).save(tmp_path / "a.heic")
    assert s2id.pictures(tmp_path).size == (48, 64)


def test_a_long_axis_is_resampled_as_a_short_one(monkeypatch):
    values = images.to_float(images.torch.arange(60).view(1, 3, 20).byte())
    for size in ((3, 7), (2, 20), (5, 33)):
        whole = resize(values, size)
        monkeypatch.setattr(images, "_MATRIX", 1)
        monkeypatch.setattr(images, "_BLOCK", 4)
        assert np.allclose(resize(values, size), whole, atol=1e-6)
        monkeypatch.undo()


def test_a_matrix_that_would_fill_the_memory_is_refused():
    from s2id.linear import area_weights

    with pytest.raises(InputError, match="an axis of 100000 pixels is not resampled to 200000"):
        area_weights(100_000, 200_000)
    thin = images.torch.zeros(1, 1, 100_000)
    assert resize(thin, (1, 4000)).shape == (1, 1, 4000), "a matrix of 3 GB if it were written out"


def test_how_a_tiff_stores_its_pixels_is_not_taken_over(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "A. Painter"
    Image.new("RGB", (8, 6)).save(tmp_path / "a.tif", exif=exif, compression="tiff_lzw")
    content = facts_of(tmp_path / "a.tif", 3)
    at = content.index(b"eXIf")
    taken = Image.Exif()
    taken.load(b"Exif\0\0" + content[at + 4 :][: int.from_bytes(content[at - 4 : at])])
    assert dict(taken) == {ExifTags.Base.Artist: "A. Painter"}
