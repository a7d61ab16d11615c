"""Pictures in files and in other sizes."""

import errno
import os

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import avg_pool2d

from s2id.cli.options import writable
from s2id.errors import InputError
from s2id.files import replacing
from s2id.media.images import area_weights, read, resize, tile, to_bytes, to_float, to_pillow, write, write_png
from s2id.sampling.field import Field
from s2id.sampling.model import load


def random_pixels(channels, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (channels, height, width), generator=generator).to(torch.uint8)


def decoded(path):
    with Image.open(path) as image:
        return image.mode, torch.from_numpy(np.array(image)).reshape(image.height, image.width, -1).permute(2, 0, 1)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
@pytest.mark.parametrize("heights", [(9,), (1, 1, 1), (4, 4, 3), (1, 7, 2)])
def test_a_png_from_strips_reads_back_to_the_byte(tmp_path, channels, mode, heights):
    pixels = random_pixels(channels, sum(heights), 5)
    write_png(tmp_path / "a.png", (sum(heights), 5), channels, pixels.split(heights, dim=1))
    found, back = decoded(tmp_path / "a.png")
    assert found == mode and torch.equal(back, pixels)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
def test_a_thin_png_reads_back_to_the_byte(tmp_path, size):
    pixels = random_pixels(3, *size)
    write_png(tmp_path / "a.png", size, 3, [pixels])
    assert torch.equal(read(tmp_path / "a.png"), pixels)


def test_a_smooth_png_is_compressed(tmp_path):
    ramp = torch.arange(256).to(torch.uint8).expand(1, 256, 256)
    write_png(tmp_path / "a.png", (256, 256), 1, [ramp])
    assert (tmp_path / "a.png").stat().st_size < 2000


def test_a_png_of_missing_rows_is_refused_and_the_old_file_stays(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="hold 2 rows, the picture has 3"):
        write_png(path, (3, 2), 1, [random_pixels(1, 2, 2)])
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def strips():
        yield random_pixels(1, 2, 2)
        raise failure

    expected = InputError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="cannot be written \\(No space left" if expected is InputError else None):
        write_png(path, (4, 2), 1, strips())
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_file_appears_whole_and_in_new_folders(tmp_path):
    path = tmp_path / "new" / "folder" / "a.bin"
    with replacing(path) as file:
        file.write(b"all")
        assert not path.exists()
    assert path.read_bytes() == b"all" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("place", ["file/a.png", "file/folder/a.png", "folder.png"])
def test_a_place_that_cannot_be_written_is_named(tmp_path, place):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match=f"{place} cannot be written"):
        write(tmp_path / place, torch.zeros(1, 2, 2))
    assert not list(tmp_path.rglob("*.partial"))


def test_of_a_link_the_file_that_it_leads_to_is_replaced(tmp_path):
    real, link = tmp_path / "real" / "a.bin", tmp_path / "link.bin"
    real.parent.mkdir()
    real.write_bytes(b"old")
    link.symlink_to(real)
    with replacing(link) as file:
        file.write(b"new")
    assert link.is_symlink() and real.read_bytes() == b"new"
    assert len(list(tmp_path.rglob("*"))) == 3


@pytest.mark.skipif(os.name != "posix", reason="devices of another kind")
def test_a_device_or_a_pipe_is_not_replaced(tmp_path):
    device, pipe = tmp_path / "null.png", tmp_path / "pipe.png"
    device.symlink_to(os.devnull)
    os.mkfifo(pipe)
    for path in (device, pipe):
        with pytest.raises(InputError, match=f"{path.name} cannot be written .it is no ordinary file."):
            write(path, torch.zeros(1, 2, 2))
    assert not os.path.isfile(os.devnull) and {*tmp_path.iterdir()} == {device, pipe}


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 1200 + "b", "a/" * 3000 + "b", "a\0b"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path, name):
    for refused in (lambda: write(tmp_path / f"{name}.png", torch.zeros(1, 2, 2)), lambda: writable(tmp_path / name)):
        with pytest.raises(InputError, match="cannot be written"):
            refused()
    for refused in (Field.load, load):
        with pytest.raises(InputError, match=r"cannot be read|no such file|does not exist"):
            refused(str(tmp_path / name))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", [".ico", ".icns", ".pdf", ".eps", ""])
def test_formats_that_may_change_the_size_are_refused(tmp_path, ending):
    with pytest.raises(InputError, match=r"use one of \.png, \.jpg"):
        write(tmp_path / f"a{ending}", torch.zeros(3, 2, 300))


@pytest.mark.parametrize(("ending", "most"), [("jpg", 65_500), ("webp", 16_383), ("gif", 65_535), ("avif", 32_768)])
def test_sizes_that_a_format_cannot_hold_are_refused(tmp_path, ending, most, capfd):
    path = tmp_path / f"a.{ending}"
    write(path, torch.zeros(3, 1, most))
    assert decoded(path)[1].shape[1:] == (1, most)
    path.unlink()
    for size in ((1, most + 1), (most + 1, 1)):
        with pytest.raises(InputError, match=f"is {size[0]}x{size[1]} pixels large, .* at most {most:,} along a side"):
            write(path, torch.zeros(3, *size))
    assert not list(tmp_path.iterdir()) and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".PNG"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_formats_read_back_to_the_byte(tmp_path, ending, channels):
    pixels = random_pixels(channels, 4, 5)
    write(tmp_path / f"a{ending}", to_float(pixels))
    assert torch.equal(read(tmp_path / f"a{ending}"), pixels)


def test_an_unknown_ending_is_refused(tmp_path):
    for name in ("a.xyz", "a"):
        with pytest.raises(InputError, match="no picture's ending"):
            write(tmp_path / name, torch.zeros(1, 2, 2))
    assert not list(tmp_path.iterdir())


def test_every_byte_survives_the_trip_to_floats():
    pixels = torch.arange(256).to(torch.uint8)
    values = to_float(pixels)
    assert values.min() == -1 and values.max() == 1
    assert torch.equal(to_bytes(values), pixels)
    assert to_bytes(torch.tensor([-7.0, 7.0, 0.0039])).tolist() == [0, 255, 128]


def test_grey_stays_grey_and_channels_can_be_asked_for(tmp_path):
    grey, colour = random_pixels(1, 3, 4), random_pixels(3, 3, 4)
    to_pillow(grey).save(tmp_path / "grey.png")
    to_pillow(colour).save(tmp_path / "colour.png")
    assert torch.equal(read(tmp_path / "grey.png"), grey)
    assert torch.equal(read(tmp_path / "colour.png"), colour)
    assert torch.equal(read(tmp_path / "grey.png", channels=3), grey.expand(3, -1, -1))
    luminance = to_pillow(colour).convert("L")
    assert read(tmp_path / "colour.png", channels=1)[0].tolist() == np.array(luminance).tolist()
    assert read(tmp_path / "grey.png", channels=4)[3].eq(255).all()
    to_pillow(colour).quantize(12, dither=Image.Dither.NONE).save(tmp_path / "palette.png")
    assert torch.equal(read(tmp_path / "palette.png"), colour), "twelve pixels of at most twelve colours"


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    Image.fromarray(np.array([[0, 257, 32896, 65535]], np.uint16)).save(tmp_path / "deep.png")
    assert read(tmp_path / "deep.png").flatten().tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "missing", "folder"])
def test_an_unreadable_picture_is_a_sentence(tmp_path, damage):
    path = tmp_path / "a.png"
    to_pillow(random_pixels(3, 16, 16)).save(path)
    whole = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes({"truncated": whole[: len(whole) // 2], "text": b"no picture", "empty": b""}[damage])
    with pytest.raises(InputError, match="a.png (cannot be read as a picture|does not exist|is a folder)"):
        read(path)


@pytest.mark.parametrize(("source", "target"), [(7, 3), (3, 7), (28, 11), (5, 5), (9, 1), (1, 4)])
def test_area_weights_are_shares_of_a_cell(source, target):
    weights = area_weights(source, target)
    assert torch.allclose(weights.sum(1), torch.ones(target), atol=1e-6)
    assert torch.allclose(weights.sum(0), torch.full((source,), target / source), atol=1e-6)
    assert (weights >= 0).all()
    # the mean over each target cell of a step function, on a grid that both sizes divide
    steps = torch.randn(source, generator=torch.Generator().manual_seed(0))
    means = steps.repeat_interleave(target).reshape(target, source).mean(1)
    assert torch.allclose(weights @ steps, means, atol=1e-6)


@pytest.mark.parametrize("size", [(3, 5), (10, 4), (12, 18), (1, 1), (7, 18)])
def test_resizing_is_the_mean_over_each_cell(size):
    images = torch.randn(2, 3, 12, 18, generator=torch.Generator().manual_seed(0))
    spread = images.repeat_interleave(size[0], 2).repeat_interleave(size[1], 3)
    assert torch.allclose(resize(images, size), avg_pool2d(spread, (12, 18)), atol=1e-5)
    assert torch.allclose(resize(images, size).mean((2, 3)), images.mean((2, 3)), atol=1e-5)


def test_resizing_to_the_same_size_changes_nothing():
    images = torch.randn(3, 4)
    assert resize(images, (3, 4)) is images


def test_resizing_commutes_with_transposition():
    image = torch.randn(1, 9, 14, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(resize(image, (4, 5)), resize(image.mT, (5, 4)).mT, atol=1e-6)


def test_tiles_stand_in_reading_order_on_mid_grey():
    images = torch.arange(1.0, 6.0).reshape(5, 1, 1, 1).expand(5, 1, 2, 3)
    sheet = tile(images, columns=2)
    assert sheet.shape == (1, 3 * 3 - 1, 2 * 4 - 1)
    corners = sheet[0, ::3, ::4]
    assert corners.tolist() == [[1, 2], [3, 4], [5, 0]]
    assert not sheet[0, 2::3].any() and not sheet[0, :, 3].any()
    assert tile(images, columns=5, gap=0).shape == (1, 2, 15)
