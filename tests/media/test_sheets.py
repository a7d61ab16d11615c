"""Contact sheets are about square, labelled and large enough to look at."""

import pytest
import torch

from s2id.media.sheets import columns, sheet


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_small_pictures_are_enlarged_by_a_whole_factor_above_their_captions(channels):
    images = torch.rand(6, channels, 28, 20, generator=torch.Generator().manual_seed(0)) * 2 - 1
    drawn = sheet(images, [f"seed {i}" for i in range(6)], per_row=3)
    high, wide = 4 * 28, 4 * 20
    assert drawn.shape[0] == channels and drawn.min() >= -1 and drawn.max() <= 1
    tiles = [drawn[:, :high, i * (wide + 3) : i * (wide + 3) + wide] for i in range(3)]
    assert all(torch.equal(seen[:, ::4, ::4], image) and torch.equal(seen[:, 3::4, 3::4], image)
               for seen, image in zip(tiles, images, strict=False))  # fmt: skip
    caption = drawn[:, high + 1 : high + 15, :wide]
    assert caption[0].min() < 0 < caption[0].max()  # ink on a light ground
    if channels in (2, 4):
        assert (caption[-1] == 1).all() and (drawn[-1, :, wide + 1] == 1).all()  # opaque


def test_thirty_two_seeds_are_no_strip():
    drawn = sheet(torch.zeros(32, 3, 24, 24))
    assert 0.8 < drawn.shape[1] / drawn.shape[2] < 1.25 and max(drawn.shape) < 700


@pytest.mark.parametrize("count", [*range(1, 40), 320])
@pytest.mark.parametrize("aspect", [0.2, 1.0, 3.0])
def test_sheets_are_about_square(count, aspect):
    across = columns(count, aspect)
    stretch = -(-count // across) * aspect / across
    assert count < 6 or 0.4 < stretch < 2.5


@pytest.mark.parametrize(("count", "seeds", "wanted"), [(80, 8, 8), (20, 2, 4), (50, 5, 10), (64, 32, 8), (10, 1, 4)])
def test_the_seeds_of_a_class_share_rows(count, seeds, wanted):
    assert columns(count, 1.0, seeds) == wanted


def test_a_long_caption_is_cut_to_its_tile():
    wide = sheet(torch.zeros(1, 1, 96, 96), ["Pneumonoultramicroscopicsilicovolcanoconiosis"])
    assert wide.shape[2] == 96 and (wide[0, 97:] < 0).any()


def test_large_pictures_keep_their_size():
    images = torch.rand(2, 1, 200, 300)
    assert torch.equal(sheet(images)[:, :200, :300], images[0])
