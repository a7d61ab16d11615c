"""Pixel art is told from antialiased pictures, and its palette is found."""

import pytest
import torch

import s2id
from s2id.data.pixel_art import palette_of, soft_edges
from s2id.data.registry import load_pictures
from s2id.media.images import resize, to_bytes, to_float

COLOURS = torch.tensor([[255, 255, 255], [20, 30, 200], [200, 90, 10], [0, 0, 0]], dtype=torch.uint8)


@pytest.fixture
def hard():
    """Blobs of four colours whose edges are hard, 96 pixels a side."""
    noise = torch.randn(40, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(noise, (96, 96), mode="bicubic")
    index = torch.bucketize(smooth[:, 0], torch.tensor([-0.4, 0.0, 0.6]))
    return COLOURS[index].movedim(-1, 1)


def test_hard_edges_and_few_colours_are_pixel_art(hard):
    found = palette_of(s2id.pictures(hard[:, :, ::4, ::4]))
    assert found == ("#000000", "#141ec8", "#c85a0a", "#ffffff")


def test_the_same_pictures_antialiased_are_not(hard):
    assert palette_of(s2id.pictures(to_bytes(resize(to_float(hard), (24, 24))))) is None


def test_digits_are_not_pixel_art():
    assert palette_of(load_pictures("digits")) is None


def test_what_is_invisible_has_no_colour(hard):
    alpha = torch.full((40, 1, 24, 24), 255, dtype=torch.uint8)
    alpha[:, :, :, :12] = 0
    noise = torch.randint(0, 256, (40, 3, 24, 24), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    seen = torch.where(alpha > 0, hard[:, :, ::4, ::4], noise)
    assert palette_of(s2id.pictures(torch.cat([seen, alpha], 1))) == (
        "#00000000", "#000000ff", "#141ec8ff", "#c85a0aff", "#ffffffff"
    )  # fmt: skip


def test_hard_edges_of_many_colours_have_no_palette():
    colours = torch.arange(300, dtype=torch.int)
    flat = torch.stack([colours % 256, colours // 256 * 100, 255 - colours % 256], 1).to(torch.uint8)
    images = torch.zeros(300, 3, 8, 8, dtype=torch.uint8)
    images[:, :, 2:6, 2:6] = flat[:, :, None, None]
    assert palette_of(s2id.pictures(images)) == ()


def test_plain_pictures_have_no_edges():
    assert palette_of(s2id.pictures(torch.zeros(4, 1, 8, 8))) is None
    assert soft_edges(torch.zeros(2, 1, 2, 1, dtype=torch.uint8)) == (0, 0)


def test_soft_edges_lie_between_their_neighbours():
    row = torch.tensor([0, 0, 100, 255, 255, 0, 0], dtype=torch.uint8)[None, None, None]
    assert soft_edges(row) == (1, 5)
