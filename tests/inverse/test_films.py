"""Films and arrays as people have them: what can be decoded is read, and what cannot is a sentence without memory."""

import io
import logging
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from s2id.errors import InputError
from s2id.inverse import frames as module
from s2id.inverse.frames import read_frames
from s2id.media import raster

FILM = np.arange(5 * 6 * 7, dtype=np.uint8).reshape(5, 6, 7)


def refused(path, words):
    with pytest.raises(InputError, match=words) as caught:
        read_frames(path)
    said = str(caught.value)
    assert said.startswith(str(path)) and said.endswith(".") and "\n" not in said


@pytest.fixture
def film(tmp_path):
    """Maker of videos of 12 frames, each of one grey."""
    cv2 = pytest.importorskip("cv2")

    def make(name, code):
        path = tmp_path / name
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 8, (64, 48))
        for i in range(12):
            writer.write(np.full((48, 64, 3), 20 * i, np.uint8))
        writer.release()
        return path

    return make


def patched(path, values):
    """A file with other numbers behind a tag: (tag, bytes to skip, format, number)."""
    raw = bytearray(path.read_bytes())
    for tag, skip, kind, value in values:
        struct.pack_into(kind, raw, raw.index(tag) + skip, value)
    path.write_bytes(raw)
    return path


def test_a_video_that_counts_its_frames_wrongly_is_read(film, caplog):
    wrong = patched(film("a.avi", "MJPG"), [(b"avih", 24, "<I", 500), (b"strh", 40, "<I", 500)])
    with caplog.at_level(logging.WARNING):
        assert len(read_frames(wrong)) == 12
    assert "says that it holds 500 frames, and 12 can be decoded" in caplog.text
    assert len(read_frames(wrong, 3)) == 3


def test_a_video_whose_edit_begins_late_is_read(film):
    # as `ffmpeg -ss 0.95 -c copy` leaves it: the samples before the cut stay in the file, an edit list hides them
    late = patched(film("a.mp4", "mp4v"), [(b"elst", 16, ">i", 1)])
    whole = read_frames(film("b.mp4", "mp4v"))
    scale = struct.unpack_from(">I", late.read_bytes(), late.read_bytes().index(b"mdhd") + 16)[0]
    cut = read_frames(patched(late, [(b"elst", 16, ">i", int(0.95 * scale))]))
    assert 0 < len(cut) < 12 and torch.allclose(cut[-1], whole[-1], atol=0.02)


def test_frames_may_last_differently(film):
    path = film("a.mp4", "mp4v")
    raw = bytearray(path.read_bytes())
    times = raw.index(b"stts") + 8  # how many entries there are, then pairs of a number of frames and their duration
    entries, count, each = struct.unpack_from(">III", raw, times)
    assert (entries, count) == (1, 12)
    raw[times : times + 12] = struct.pack(">IIIII", 2, 6, each // 2, 6, each + each // 2)
    for tag in (b"stts", b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        (length,) = struct.unpack_from(">I", raw, raw.index(tag) - 4)
        struct.pack_into(">I", raw, raw.index(tag) - 4, length + 8)
    path.write_bytes(raw)
    assert len(read_frames(path)) == 12


def test_of_a_video_cut_short_the_whole_frames_are_read(film, caplog):
    path = film("a.mkv", "MJPG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with caplog.at_level(logging.WARNING):
        frames = read_frames(path)
    assert 0 < len(frames) < 12 and "can be decoded" in caplog.text


def npz(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return path


def npy(array, **changes):
    """A .npy file in bytes, perhaps with another shape or type in its header."""
    file = io.BytesIO()
    header = {**np.lib.format.header_data_from_array_1_0(array), **changes}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + (b"" if array.dtype.hasobject else array.tobytes())


def test_other_members_of_an_archive_are_passed_over(tmp_path):
    members = {"README__txt": "frames", "names__npy": npy(np.array(["a", "b"])), "count__npy": npy(np.array(5))}
    odd = npy(np.array([None, {}], dtype=object))
    path = npz(tmp_path / "a.npz", **members, odd__npy=odd, film__npy=npy(FILM))
    assert torch.allclose(read_frames(path)[:, 0], torch.from_numpy(FILM) / 127.5 - 1)
    assert len(read_frames(path, 2)) == 2


HUGE = {
    "f8": (npy(np.zeros(3), shape=(10**6, 10**5, 10**5)), "too short"),
    "negative": (npy(FILM, shape=(-5, 6, 7)), "too short"),
    "short": (npy(FILM)[:-1], "too short"),
    "int16": (npy(FILM.astype(np.int16)), "holds int16"),
    "int64": (npy(FILM.astype(np.int64)), "holds int64"),
    "bool": (npy(FILM > 3), "holds bool"),
    "complex": (npy(FILM.astype(complex)), "holds complex128"),
    "long": (npy(FILM.astype(np.longdouble)), "holds (longdouble|float128|float96)|too short"),
    "text": (npy(FILM.astype("U3")), "holds str"),
    "object": (npy(FILM.astype(object)), "holds object"),
    "struct": (npy(FILM.astype([("a", "u1")])), "holds "),
    "date": (npy(FILM.astype("M8[s]")), "holds datetime64"),
    "flat": (npy(FILM.reshape(-1)), "holds 0 arrays of frames"),
    "planes": (npy(FILM[..., None].repeat(5, 3)), "holds 0 arrays of frames"),
    "nothing": (npy(FILM[:0]), "holds 0 arrays of frames"),
    "range": (npy(FILM.astype(np.float32)), "scale the frames"),
    "nan": (npy(FILM * np.nan), "NaN or infinity"),
    "header": (b"\x93NUMPY\x01\x00\x10\x00" + b"{'descr': [[[[[[" + b"[" * 20, "cannot be read as arrays"),
    "magic": (b"\x93NUMPY\x09\x00" + bytes(80), "cannot be read as arrays"),
    "empty": (b"", "cannot be read as arrays"),
    "html": (b"<html>", "cannot be read as arrays"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", HUGE)
def test_an_array_that_holds_no_frames_is_one_sentence(tmp_path, name, packed):
    content, words = HUGE[name]
    path = tmp_path / ("a.npz" if packed else "a.npy")
    path.write_bytes(content)
    if packed:
        npz(path, film__npy=content)
    refused(path, words)


def test_a_bomb_takes_no_memory(tmp_path):
    wide = 10**5
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as file:
        file.write(npy(np.zeros(0, np.uint8), shape=(135, 1000, 1000)))
        for _ in range(1350):
            file.write(bytes(wide))
    tracemalloc.start()
    refused(tmp_path / "a.npz", "holds 135 frames of 1000x1000, and more than 134,217,728 pixels")
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()
    (tmp_path / "b.npz").write_bytes(npz(tmp_path / "c.npz", a__npy=npy(FILM)).read_bytes()[:-30])
    refused(tmp_path / "b.npz", "cannot be read as arrays")


def gif(path, pages):
    pages[0].save(path, save_all=True, append_images=pages[1:], duration=20, disposal=2)
    return path


def test_only_so_many_frames_of_an_animation_are_decoded(tmp_path, monkeypatch):
    pages = [Image.new("L", (8, 6), 10 * i) for i in range(20)]
    path = gif(tmp_path / "a.gif", pages)
    decoded = []
    monkeypatch.setattr(raster, "_page", lambda page, real=raster._page: decoded.append(1) or real(page))
    assert read_frames(path, 4).shape == (4, 1, 6, 8) and len(decoded) == 4
    monkeypatch.setattr(module, "MAX_PIXELS", 19 * 48)
    decoded.clear()
    refused(path, "holds 20 frames of 6x8, and more than 912 pixels in all")
    assert not decoded and len(read_frames(path, 19)) == 19


@pytest.mark.parametrize("ending", [".gif", ".webp", ".png"])
def test_hidden_colours_of_an_animation_stay_hidden(tmp_path, ending):
    pages = []
    for i in range(3):
        page = Image.new("RGBA", (8, 6), (200, 0, 0, 0))
        page.putpixel((i, 0), (0, 0, 0, 255))
        pages.append(page)
    path = tmp_path / f"a{ending}"
    pages[0].save(path, save_all=True, append_images=pages[1:], duration=20, disposal=2, lossless=True)
    frames = read_frames(path)
    assert frames.shape == (3, 1, 6, 8)
    for i, frame in enumerate(frames):
        assert frame[0, 0, i] == -1 and (frame == 1).sum() == 47


def test_of_a_folder_the_pictures_are_read_and_other_files_counted(tmp_path, caplog):
    for i in range(3):
        Image.fromarray(FILM[i]).save(tmp_path / f"{i}.png")
    (tmp_path / "._0.png").write_bytes(b"what a Mac leaves on other disks")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "3.xyz").write_text("")
    with caplog.at_level(logging.WARNING):
        assert len(read_frames(tmp_path)) == 3
    assert "2 files of" in caplog.text and "3.xyz" in caplog.text
    (tmp_path / "1.png").write_bytes(b"broken")
    with pytest.raises(InputError, match="1.png cannot be read as a picture"):
        read_frames(tmp_path)
