"""A field is one function: every size, window, tile and batch shows the same one."""

import math
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from s2id.coords import view
from s2id.errors import InputError
from s2id.inverse.restore import upscale
from s2id.media.images import read, resize, to_bytes
from s2id.network.heads import MARGIN, Features
from s2id.network.published import PixelHead
from s2id.sampling import field as module
from s2id.sampling.field import Field
from s2id.sampling.field_file import of_each


def psnr(a, b):
    """With a peak of 2, the range of pictures."""
    return 10 * math.log10(4 / (a - b).square().mean().item())


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("size", [(60, 60), (61, 37)])
def test_a_window_is_a_cut_of_the_whole_at_the_same_density(field, size, count):
    made = field(count)
    full = made.render(size, fit="stretch")
    for top, left, bottom, right in ((0, 0, 20, 30), (17, 5, 52, 36), (60, 36, size[0], size[1])):
        if top >= bottom or left >= right:
            continue
        window = (top / size[0], left / size[1], bottom / size[0], right / size[1])
        cut = made.render((bottom - top, right - left), window, fit="stretch")
        assert torch.allclose(cut, full[:, :, top:bottom, left:right], atol=1e-5)


def test_four_windows_tile_the_whole(field):
    made = field(lattice=(4, 6))
    whole = made.render((80, 120))
    halves = ((0.0, 0.5), (0.5, 1.0))
    rows = [
        torch.cat([made.render((40, 60), (top, left, bottom, right)) for left, right in halves], 3)
        for top, bottom in halves
    ]
    assert torch.allclose(torch.cat(rows, 2), whole, atol=1e-5)


@pytest.mark.parametrize("samples", [1, 7, 100, 1000])
@pytest.mark.parametrize("size", [(9, 30), (1, 17), (40, 2)])
def test_tiles_of_any_size_make_the_same_picture(field, monkeypatch, samples, size):
    made = field(2)
    whole = made.render(size)
    monkeypatch.setattr(module, "_TILE_VALUES", 8 * samples)
    assert torch.allclose(made.render(size), whole, atol=1e-5)


def test_tiles_are_as_small_as_they_are_said_to_be(field, monkeypatch):
    made, seen = field(2), []
    monkeypatch.setattr(module, "_TILE_VALUES", 8 * 5000)

    def spy(features, grid, bound):
        seen.append(len(features.values) * math.prod(grid.size) * features.supersample(grid.cell) ** 2)
        return torch.zeros(2, 1, *grid.size)

    made.head.forward = spy
    made.render((50, 70))
    assert len(seen) > 1 and max(seen) <= 5000


def test_functions_in_a_batch_do_not_know_each_other(field):
    made = field(3)
    together = made.render((13, 10))
    for i in (0, 1, -1):
        assert torch.allclose(made[i].render((13, 10))[0], together[i], atol=1e-5)
    assert len(made) == 3 and len(made[1]) == 1 and [len(one) for one in made] == [1, 1, 1]
    with pytest.raises(IndexError):
        made[3]


@pytest.mark.parametrize("small", [(28, 28), (14, 14), (5, 5), (1, 1)])
def test_a_small_picture_is_the_area_mean_of_a_large_one(field, small):
    made = field()
    large = made.render((1024, 1024))
    assert psnr(resize(large, small), made.render(small)) > 75


def test_a_zoom_is_the_area_mean_of_a_closer_zoom(field):
    window = (0.31, 0.42, 0.32, 0.43)
    closer = field().render((96, 96), window)
    assert psnr(resize(closer, (12, 12)), field().render((12, 12), window)) > 100


def test_no_value_of_the_function_lies_beyond_the_range(field):
    made = field()
    with torch.no_grad():
        made.head.out.weight.mul_(40)
    fine, coarse = made.render((240, 240)), made.render((24, 24))
    assert fine.abs().max() == 1 and (fine.abs() == 1).float().mean() > 0.3
    # bounded before the mean is taken, so sizes still agree
    assert psnr(resize(fine, (24, 24)), coarse) > 40


def test_an_oblong_picture_shows_the_whole_frame_in_its_middle(field):
    made = field()
    square, wide = made.render((40, 40)), made.render((40, 100))
    assert torch.allclose(wide[..., 30:70], square, atol=1e-5)
    filled = made.render((40, 100), fit="fill")
    assert torch.allclose(filled, made.render((100, 100))[:, :, 30:70], atol=1e-5)
    stretched = made.render((40, 100), fit="stretch")
    assert psnr(resize(stretched, (20, 20)), made.render((20, 20))) > 80


@pytest.mark.parametrize(("size", "window"), [((3, 90), None), ((90, 3), None), ((4, 50), (0.1, 0.2, 0.3, 0.9))])
def test_the_canvas_around_is_computed_once_and_is_what_the_head_gives(field, size, window):
    made = field()
    grid = view(size, made.features.frame, window)
    whole = made.head(made.features.on_canvas(), grid, bound=1.0)
    assert torch.allclose(made.render(size, window), whole, atol=1e-6)
    rows, columns = made.features.on_canvas().touched(grid)
    assert made.features.touched(grid, MARGIN) == (rows, columns)
    assert (rows.stop - rows.start) * (columns.stop - columns.start) < size[0] * size[1]


@pytest.mark.parametrize("size", [(1, 1), (1, 4096), (4096, 1), (2, 999)])
def test_extreme_sizes_are_drawn(field, size):
    picture = field().image(size)
    assert (picture.height, picture.width) == size
    finer = resize(field().render((3 * size[0], 3 * size[1])), size)[0]
    assert abs(np.array(picture).astype(int) - to_bytes(finer)[0].int().numpy()).max() <= 1


def test_far_canvas_is_the_edge_going_on(field):
    picture = field().render((1, 512))
    assert torch.allclose(picture[..., :200], picture[..., :1].expand(1, 1, 1, 200), atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_written_png_is_the_picture(field, tmp_path, channels):
    made = field(channels=channels)
    made.write(tmp_path / "a.png", (33, 21), window=(0.1, 0.2, 0.9, 0.8))
    picture = made.image((33, 21), window=(0.1, 0.2, 0.9, 0.8))
    with Image.open(tmp_path / "a.png") as found:
        assert found.mode == picture.mode == {1: "L", 3: "RGB", 4: "RGBA"}[channels]
        assert np.array_equal(np.array(found), np.array(picture))


def test_other_formats_hold_the_same_picture(field, tmp_path):
    made = field(channels=3)
    made.write(str(tmp_path / "a.bmp"), (9, 14))
    assert torch.equal(read(tmp_path / "a.bmp"), to_bytes(made.render((9, 14))[0]))


def test_a_picture_is_the_render_in_bytes(field):
    made = field()
    assert np.array_equal(np.array(made.image((12, 15))), to_bytes(made.render((12, 15))[0, 0]).numpy())


def test_a_saved_field_draws_identical_pixels_without_a_model(field, tmp_path):
    for made in (field(), field(2, lattice=(4, 7), channels=3)):
        made.save(tmp_path / "a.safetensors")
        again = Field.load(str(tmp_path / "a.safetensors"))
        assert torch.equal(again.render((30, 20), (0.1, 0.0, 0.7, 1.0)), made.render((30, 20), (0.1, 0.0, 0.7, 1.0)))
        assert again.facts == made.facts and again.features.frame == made.features.frame
        assert len(again) == len(made) and again.channels == made.channels


@pytest.mark.parametrize("damage", ["truncated", "altered", "missing", "text"])
def test_a_damaged_field_file_is_a_sentence(field, tmp_path, damage):
    path = tmp_path / "a.safetensors"
    field().save(path)
    whole = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    else:
        whole[-3] ^= 1
        path.write_bytes({"truncated": whole[:-9], "altered": whole, "text": b"no field"}[damage])
    with pytest.raises(InputError, match="a.safetensors"):
        Field.load(path)


def test_a_models_file_is_no_field(model, tmp_path):
    model.save(tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="has format 's2id-model-1', not 's2id-field-1'"):
        Field.load(tmp_path / "model.safetensors")


def test_too_many_pixels_are_refused_before_anything_is_drawn(field, tmp_path, monkeypatch):
    def never(*args):
        raise AssertionError

    made = field()
    monkeypatch.setattr(Field, "strips", never)
    huge = (10**7, 10**7)
    for draw in (made.image, made.render, lambda size: made.write(tmp_path / "a.png", size)):
        with pytest.raises(InputError, match="has 100,000,000,000,000 pixels and the limit is"):
            draw(huge)
    with pytest.raises(InputError, match="the limit is 100;"):
        made.image((11, 10), max_pixels=100)
    with pytest.raises(AssertionError):  # the limit itself is within
        made.image((10, 10), max_pixels=100)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "window", [(0.5, 0.0, 0.5, 1.0), (0.0, 0.9, 1.0, 0.1), (-0.1, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.5)]
)
def test_a_window_that_is_no_region_is_refused(field, tmp_path, window):
    made = field()
    for draw in (made.image, made.render, lambda size, window: made.write(tmp_path / "a.png", size, window)):
        with pytest.raises(InputError, match="no region of the frame"):
            draw((4, 4), window)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "size", [2**41, -(10**5000), (10**5000, 1), (1, -(10**400))], ids=["long", "-", "high", "wide"]
)
def test_a_size_beyond_any_number_is_refused(field, model, size):
    for use in (field().render, field().image, lambda size: upscale(model, torch.zeros(1, 4, 4), size)):
        with pytest.raises(InputError, match="^size .* is beyond any picture; both sides can have"):
            use(size)


def test_an_empty_size_is_refused(field):
    with pytest.raises(InputError, match="0x4 is empty"):
        field().image((0, 4))


def test_several_functions_are_no_picture(field, tmp_path):
    made = field(2)
    for draw in (made.image, lambda size: made.write(tmp_path / "a.png", size)):
        with pytest.raises(InputError, match="holds 2 functions; choose one"):
            draw((4, 4))


def test_an_interrupted_write_leaves_the_old_file(field, tmp_path, monkeypatch):
    made, path = field(), tmp_path / "a.png"
    made.write(path, (4, 4))
    before = path.read_bytes()
    monkeypatch.setattr(module, "_TILE_VALUES", 8 * 50)
    calls = []

    def breaking(features, grid, bound):
        calls.append(grid.size)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return torch.zeros(1, 1, *grid.size)

    made.head.forward = breaking
    with pytest.raises(KeyboardInterrupt):
        made.write(path, (60, 60))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def known(made, side=12, **facts):
    """The field with facts about the data's own pixels."""
    return Field(made.features, made.head, {**made.facts, "long_side": str(side), **facts})


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_squares_are_the_composed_pixels_enlarged(field, channels):
    made = known(field(2, channels=channels))
    own = made.render(12)
    for size, window in (((12, 12), None), ((60, 84), None), (96, (0.25, 0.5, 0.75, 1.0))):
        seen = made.render(size, window, fit="stretch", look="squares")
        top, left, bottom, right = (round(12 * edge) for edge in window or (0, 0, 1, 1))
        cut = own[:, :, top:bottom, left:right]
        up = cut.repeat_interleave(seen.shape[2] // cut.shape[2], 2).repeat_interleave(seen.shape[3] // cut.shape[3], 3)
        torch.testing.assert_close(seen, up, rtol=0, atol=1e-6)


def test_squares_are_blended_only_where_a_border_crosses_an_output_pixel(field):
    made = known(field())
    own, seen = made.render(12)[0, 0], made.render((100, 100), look="squares")[0, 0]
    torch.testing.assert_close(seen, resize(own, (100, 100)), rtol=0, atol=1e-6)  # exact means over every cell
    column = seen[4]  # within the first row of squares
    assert (column[:, None] == own[0]).any(1).sum() >= 100 - 11
    torch.testing.assert_close(made.render((7, 9), fit="stretch", look="squares")[0, 0], resize(own, (7, 9)))


def test_squares_take_the_nearest_colours_of_the_palette(field):
    made = known(field(channels=3), palette="#000000 #ff8000 #ffffff")
    seen = to_bytes(made.render(24, look="palette"))[0].flatten(1).T
    colours = {tuple(colour) for colour in seen.tolist()}
    assert colours <= {(0, 0, 0), (255, 128, 0), (255, 255, 255)} and len(colours) > 1


def test_the_look_is_kept_by_files_and_refused_where_nothing_is_known(field, tmp_path):
    made = known(field(lattice=(6, 9)))
    made.save(tmp_path / "a.safetensors")
    again = Field.load(tmp_path / "a.safetensors")
    assert torch.equal(again.render(36, look="squares"), made.render(36, look="squares"))
    made.squares().save(tmp_path / "b.safetensors")
    assert torch.equal(Field.load(tmp_path / "b.safetensors").render(36), made.render(36, look="squares"))
    made.write(tmp_path / "a.png", 36, look="squares")
    assert torch.equal(read(tmp_path / "a.png"), to_bytes(made.render(36, look="squares"))[0])
    with pytest.raises(InputError, match="does not know the size of its data's pictures"):
        field().render(36, look="squares")
    with pytest.raises(InputError, match="too many colours for a palette; draw with the look squares"):
        made.image(36, look="palette")


def test_one_number_is_the_long_side_in_the_aspect_of_what_is_seen(field):
    made = field(lattice=(6, 9))
    assert made.render(90).shape[2:] == (60, 90) and made.image(90).size == (90, 60)
    assert made.render(90, (0.0, 0.0, 1.0, 1 / 3)).shape[2:] == (90, 45)
    assert torch.equal(made.render(90), made.render((60, 90)))
    with pytest.raises(InputError, match="size 0x0 is empty"):
        made.image(0)


def test_facts_go_with_their_functions_whatever_is_in_a_name(field, tmp_path):
    texts = ["a dog; wet", '["a cat"]', ""]
    whole = Field(field(3).features, field(3).head, {"seeds": "5 6 7", "asked": of_each(texts), "data": "pets; all"})
    assert [one.facts["asked"] for one in whole] == texts and whole[-1][0].facts["seeds"] == "7"
    back = whole[::-1]
    assert back.facts["seeds"] == "7 6 5" and [one.facts["asked"] for one in back] == texts[::-1]
    assert torch.equal(back.features.values, whole.features.values.flip(0)) and not len(whole[3:])
    whole[:2].save(tmp_path / "a.safetensors")
    assert Field.load(tmp_path / "a.safetensors")[0].facts == {"seeds": "5", "asked": "a dog; wet", "data": "pets; all"}
    older = Field(whole.features, whole.head, {"asked": "a dog; a cat; "})
    assert [one.facts["asked"] for one in older] == ["a dog", "a cat", ""]


def test_a_field_of_very_many_samples_is_read_as_it_was_saved(tmp_path):
    dense = Field(Features(torch.zeros(1, 1, 9000, 1), (1 / 9000, 1.0)), PixelHead(1), {"long_side": "9000"})
    dense.save(tmp_path / "a.safetensors")
    assert Field.load(tmp_path / "a.safetensors").features.values.shape == (1, 1, 9000, 1)


def test_a_field_shows_itself(field):
    assert repr(field(3)) == "Field(3 of 1 channels, frame 1x1, labels 7)"
    with Image.open(BytesIO(field(channels=3)._repr_png_())) as one, Image.open(BytesIO(field(9)._repr_png_())) as nine:
        assert one.size == (192, 192) and one.mode == "RGB" and nine.size == (3 * 192 + 12, 3 * 192 + 12)
