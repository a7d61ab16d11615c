"""What is wrong with pictures that nobody prepared: read as they were meant, or left out and named."""

import math
import os
import struct
import subprocess
import sys
import unicodedata
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import s2id
from s2id.cli.main import main
from s2id.data import decoding
from s2id.data.cache import keep, shared_sizes
from s2id.data.decoding import Entry
from s2id.data.metadata import read_celeba
from s2id.data.pictures import Group, Pictures, batch_at
from s2id.errors import InputError
from s2id.media.images import read
from s2id.sampling.model import S2ID
from s2id.shapes import NULL
from s2id.training.presets import PRESETS
from s2id.training.trainer import Trainer

RED = (250, 10, 10)


def save(path: Path, mode="RGB", size=(8, 8), colour=RED, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (size[1], size[0]), colour).save(path, **options)
    return path


def test_cmyk_becomes_the_colour_that_is_seen(tmp_path):
    seen = read(save(tmp_path / "print.jpg", "CMYK", colour=(0, 255, 255, 0), quality=95))
    assert len(seen) == 3 and seen[0].min() > 240 and seen[1:].max() < 15


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, ending):
    Image.fromarray(np.full((4, 4), 32896, np.uint16)).save(tmp_path / f"deep.{ending}")
    assert read(tmp_path / f"deep.{ending}").unique().tolist() == [128]


def test_values_without_a_known_range_are_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "measured.tif")
    with pytest.raises(InputError, match="measured.tif cannot be read .*32 bits, whose range is not known"):
        read(tmp_path / "measured.tif")


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_lies_over_white_where_no_alpha_is_asked_for(tmp_path, mode):
    hidden, half = {"RGBA": ((*RED, 0), (0, 0, 0, 128)), "LA": ((7, 0), (0, 128))}[mode]
    channels = {"RGBA": 3, "LA": 1}[mode]
    assert (read(save(tmp_path / "hidden.png", mode, colour=hidden), channels) == 255).all()
    seen = read(save(tmp_path / "half.png", mode, colour=half), channels)
    assert len(seen) == channels and (seen.int() - 127).abs().max() <= 1
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    palette.save(tmp_path / "palette.png", transparency=1)
    assert (read(tmp_path / "palette.png", channels) == 255).all()
    assert (read(tmp_path / "hidden.png", 4) == 0).all(), "who asks for alpha gets it, without what is hidden"


def test_grey_among_colour_is_grey_in_colour(tmp_path):
    save(tmp_path / "colour.png")
    save(tmp_path / "grey.png", "L", colour=77)
    (group,) = s2id.pictures(tmp_path).groups
    assert group.images.shape == (2, 3, 8, 8) and (group.images[1] == 77).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_as_the_camera_was_held(tmp_path, orientation):
    """The file holds what EXIF's rule turns into the picture: written by rule, read by rule."""
    upright = torch.arange(24, dtype=torch.uint8).view(4, 6) * 10
    held = {
        1: upright,
        2: upright.flip(1),
        3: upright.flip(0, 1),
        4: upright.flip(0),
        5: upright.T,
        6: upright.rot90(1),
        7: upright.flip(0, 1).T,
        8: upright.rot90(-1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(held.contiguous().numpy()).save(tmp_path / "a.png", exif=exif)
    assert torch.equal(read(tmp_path / "a.png")[0], upright)
    (group,) = s2id.pictures(tmp_path, long_side=3).groups
    assert group.images.shape == (1, 1, 2, 3), "shrunk after it is turned"


def test_of_an_animation_the_first_frame_is_the_picture(tmp_path):
    frames = [Image.new("RGB", (6, 6), colour) for colour in (RED, (0, 0, 255))]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert s2id.pictures(tmp_path).groups[0].images[0, :, 0, 0].tolist() == list(RED)


def huge_png(path: Path, size: tuple[int, int], rows: int) -> Path:
    """A picture of one bit per pixel, all of them white; cut short after some rows."""
    height, width = size

    def chunk(kind: bytes, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))

    packer = zlib.compressobj(1)
    row = b"\0" + b"\xff" * -(-width // 8)
    body = b"".join(packer.compress(row) for _ in range(rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    return path


def test_one_pixel_and_thirty_thousand_do_not_stop_the_others(tmp_path, capsys):
    for name in ("a", "b"):
        save(tmp_path / "photos" / f"{name}.png")
    save(tmp_path / "photos" / "dot.png", size=(1, 1))
    huge_png(tmp_path / "photos" / "panorama.png", (90, 30_000), 90)
    huge_png(tmp_path / "photos" / "square.png", (30_000, 30_000), 9)
    huge_png(tmp_path / "photos" / "wide.png", (5_000, 30_000), 9)
    pictures = s2id.pictures(tmp_path / "photos", long_side=32, min_side=2)
    assert sorted(tuple(group.images.shape[2:]) for group in pictures.groups) == [(8, 8)]
    said = "\n".join(pictures.skipped)
    assert "dot.png has 1x1 pixels, and both sides need 2; none is enlarged" in said
    assert "square.png cannot be read as a picture" in said and "panorama.png has 0x" not in said
    assert "wide.png cannot be read as a picture (5000x30000 pixels, and more than 134217728 are not read)" in said
    assert (1, 150) in {
        tuple(group.images.shape[2:]) for group in s2id.pictures(tmp_path / "photos", long_side=150).groups
    }
    small = "--set width=16 --set heads=2 --set encoder-blocks=1 --set decoder-blocks=1 --densities 8"
    run = f"--images 4 --batch 2 --long-side 32 --set sample-minutes=0 --device cpu --out {tmp_path / 'run'}"
    assert main(["train", "folder", "--data", str(tmp_path / "photos"), *small.split(), *run.split()]) == 0
    assert "dot.png has 1x1 pixels" in capsys.readouterr().out


def test_nothing_but_pictures_too_small_is_refused_by_name(tmp_path):
    save(tmp_path / "dot.png", size=(1, 1))
    with pytest.raises(InputError, match="holds no picture that can be used; the first: dot.png has 1x1 pixels"):
        s2id.pictures(tmp_path, min_side=2)


@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "webp", "bmp", "tif"])
def test_truncated_pictures_are_named_and_the_others_read(tmp_path, ending):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    noise.save(tmp_path / "whole.png")
    noise.save(tmp_path / f"cut.{ending}")
    raw = (tmp_path / f"cut.{ending}").read_bytes()
    for kept in (0, 5, len(raw) // 2):
        (tmp_path / f"cut.{ending}").write_bytes(raw[:kept])
        pictures = s2id.pictures(tmp_path)
        assert len(pictures) == 1 and f"cut.{ending} cannot be read as a picture" in pictures.skipped[0]


def test_bytes_changed_at_random_never_raise_anything_else(tmp_path):
    random = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    for ending in ("png", "jpg", "gif", "webp", "tif"):
        file = save(tmp_path / f"a.{ending}", size=(20, 20), exif=exif)
        raw = np.frombuffer(file.read_bytes(), np.uint8)
        for _ in range(40):
            changed = raw.copy()
            changed[random.integers(len(raw), size=4)] = random.integers(256, size=4)
            file.write_bytes(changed.tobytes())
            try:
                assert read(file).ndim == 3
            except InputError as error:
                assert str(file) in str(error)


def test_a_row_without_its_file_and_a_file_without_its_row(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / f"{name}.png")
    (tmp_path / "metadata.csv").write_text("file_name,label\na.png,cat\ngone.png,dog\n")
    pictures = s2id.pictures(tmp_path)
    assert pictures.groups[0].labels.tolist() == [0, NULL], "nothing is known of b.png"
    assert "names gone.png, which is no picture of the folder" in pictures.skipped[0]
    (tmp_path / "metadata.csv").write_text("file_name,label\na,cat\nb,dog\n")
    with pytest.raises(InputError, match="names none of the folder's pictures: it has a and the folder a.png"):
        s2id.pictures(tmp_path)


def test_contradictory_labels_are_refused_with_their_lines(tmp_path):
    save(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text("file_name,label\na.png,cat\na.png,dog\n")
    with pytest.raises(InputError, match="line 3 of .* names a.png again, after line 2"):
        s2id.pictures(tmp_path)
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "label": "dog"}\n')
    with pytest.raises(InputError, match="has metadata.csv and metadata.jsonl, which may contradict each other"):
        s2id.pictures(tmp_path)
    (tmp_path / "list.txt").write_text("2\nSmiling\na.jpg 1\na.jpg -1\n")
    with pytest.raises(InputError, match="line 4 of .* names a.jpg again, after line 3"):
        read_celeba(tmp_path / "list.txt")


def test_empty_and_hidden_folders_are_no_classes(tmp_path):
    save(tmp_path / "cat" / "a.png")
    save(tmp_path / ".thumbnails" / "a.png")
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / "notes.txt").write_text("none yet")
    pictures = s2id.pictures(tmp_path)
    assert pictures.labels == ("cat",) and len(pictures) == 1 and not pictures.skipped


def test_pictures_of_one_class_train_and_are_drawn(tmp_path):
    for i in range(3):
        save(tmp_path / "data" / "cat" / f"{i}.png", colour=(80 * i, 10, 10))
    preset = PRESETS["tiny"]
    train = replace(preset.train, images=8, batch=4, device="cpu")
    trainer = Trainer(replace(preset, train=train), s2id.pictures(tmp_path / "data"), tmp_path / "run")
    losses = [progress.loss for progress in trainer.run()]
    assert len(losses) == 2 and all(map(math.isfinite, losses))
    model = trainer.result()
    assert model.card.labels == ("cat",)
    assert s2id.sample(model, "cat", 0, steps=1).render((8, 8)).isfinite().all()


def test_names_in_any_script_and_of_any_length(tmp_path):
    root = tmp_path / ("长" * 80)  # 240 bytes of the 255 that file systems allow
    names = ["Überraschung é.png", "😀.png", f"{'n' * 250}.png", "a, \"b\" 'c'.png", "new\nline.png"]
    for name in names:
        save(root / "Kätzchen" / name)
    (root / "Kätzchen" / "破.png").write_bytes(b"")
    pictures = s2id.pictures(root)
    assert len(pictures) == len(names) and pictures.labels == ("Kätzchen",) and "破.png" in pictures.skipped[0]
    decomposed = unicodedata.normalize("NFD", f"Kätzchen/{names[0]}")
    assert decomposed != f"Kätzchen/{names[0]}"
    (root / "metadata.csv").write_text(f"file_name,label\n{decomposed},überrascht\n", encoding="utf-8")
    pictures = s2id.pictures(root)
    assert pictures.labels == ("überrascht",) and (pictures.groups[0].labels == 0).sum() == 1


def test_labels_of_any_length_and_script_name_files(tmp_path, model, capsys):
    long = "très/long " * 30
    labels = ("a/b", "猫", long, long + "er", *"0123")
    named = S2ID(replace(model.config, classes=len(labels)), replace(model.card, labels=labels))
    named.save_pretrained(tmp_path / "model")
    words = ["--label", "all", "--steps", "1", "--out", str(tmp_path / "out")]
    assert main(["sample", str(tmp_path / "model"), *words]) == 0
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert len(names) == len(labels) and {"label0-a_b-seed0-8x8.png", "label1-猫-seed0-8x8.png"} <= names


def test_a_name_that_is_no_text_can_be_printed(tmp_path):
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).write_bytes(b"")
    except OSError:
        pytest.skip("the file system allows text only")
    save(tmp_path / "a.png")
    (said,) = s2id.pictures(tmp_path).skipped
    assert ".png cannot be read" in said and said.encode("utf-8")


@pytest.fixture
def entries(tmp_path, monkeypatch):
    """Pictures of three sizes, one of them broken, of which processes read all but three."""
    monkeypatch.setattr(decoding, "_ALONE", 3)
    files = [save(tmp_path / f"{i}.png", size=(9 + i % 3, 12), colour=(9 * i, 0, 0)) for i in range(24)]
    made = [Entry(file.name, file) for file in files]
    made[7] = Entry("broken", b"no picture")
    return made


def test_processes_read_what_one_reads(entries):
    one, several = (keep(f"with {n}", 0, lambda: (entries, {}), 8, workers=n) for n in (0, 1))
    assert one.skipped == several.skipped and "broken cannot be read" in one.skipped[0]
    for alone, shared in zip(one.groups, several.groups, strict=True):
        assert torch.equal(alone.index, shared.index) and torch.equal(alone.images, shared.images)


class Poison(type(Path())):
    """A file whose reading ends the process."""

    def __reduce__(self):
        return os._exit, (1,)


@pytest.mark.slow
def test_a_picture_that_ends_the_process_is_left_out(tmp_path, entries):
    entries[20] = Entry("poison", Poison("x"))
    kept = keep("set", 0, lambda: (entries, {}), 8, workers=1)
    assert kept.skipped[1:] == ("poison ended the process that read it; replace or remove it.",)
    assert sorted(torch.cat([group.index for group in kept.groups]).tolist()) == [*range(7), *range(8, 20), 21, 22, 23]


SCRIPT = """
from pathlib import Path
import s2id
from s2id.data import cache, decoding
decoding._ALONE, cache.CACHE = 0, Path("cache")
print(s2id.pictures("photos", workers=1))
"""


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_and_does_not_hang(tmp_path):
    save(tmp_path / "photos" / "a.png")
    (tmp_path / "script.py").write_text(SCRIPT)
    run = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 1 and "processes that read pictures end at once; a script needs" in run.stderr


def test_rare_sizes_are_cut_to_one_that_others_have():
    sizes = [(64, 48)] * 40 + [(64, 47), (64, 49), (49, 64), (64, 20), (3, 9)]
    kept = shared_sizes(sizes)
    assert kept[:40] == sizes[:40] and kept[42:] == sizes[42:], "what many have, and what is alone, stays whole"
    assert kept[40] == kept[41] == (64, 46), "a batch of these has twice as many pictures"
    assert shared_sizes([(46, 64)] * 40 + [(47, 64)])[-1] == (46, 64), "the many's own size"
    random = np.random.default_rng(0)
    many = [(64, int(w)) for w in random.integers(10, 65, size=60)]
    for before, after in zip(many, shared_sizes(many), strict=True):
        assert after[0] == 64 and before[1] * 15 / 16 - 0.5 <= after[1] <= before[1]
    assert len(set(shared_sizes(many))) < len(set(many))


def test_a_picture_is_cut_in_its_middle(tmp_path):
    ramp = np.tile(np.arange(60, dtype=np.uint8), (64, 1))
    for width in (57, 59):
        Image.fromarray(ramp[:, :width]).save(tmp_path / f"{width}.png")
    (group,) = s2id.pictures(tmp_path).groups
    assert group.images.shape[2:] == (64, 56) and group.images[:, 0, 0, 0].tolist() == [0, 1]


def test_pictures_of_rare_sizes_are_seen_as_often_as_others():
    counts = (10, 1, 3)
    starts = (0, 100, 200)
    groups = tuple(
        Group(torch.arange(start, start + n, dtype=torch.uint8).reshape(n, 1, 1, 1), torch.zeros(n, dtype=torch.long))
        for start, n in zip(starts, counts, strict=True)
    )
    seen = torch.zeros(256)
    for number in range(320):  # 80 epochs of 3 + 1/4 + 3/4 batches
        pixels, _ = batch_at(Pictures("numbers", groups, ()), number, 4, seed=5)
        seen += torch.bincount(pixels.flatten().long(), minlength=256)
    often, single, few = (seen[start : start + n] for start, n in zip(starts, counts, strict=True))
    assert often.min() >= 80 and abs(often.sum() - 80 * 12) <= 24, "a last batch is filled"
    assert abs(single.sum() - 80) <= 4 and abs(few.sum() - 3 * 80) <= 4, "a picture of a rare size once an epoch"
    assert few.min() > 60
