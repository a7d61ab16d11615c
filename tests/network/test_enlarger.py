"""The enlarger takes any size, is exactly flat where its picture is, and draws a part as if it were the whole."""

import pytest
import torch

from s2id.coords import extent, frame_grid
from s2id.network.base import state_grid
from s2id.network.enlarger import Enlarger, relative
from s2id.network.settings import EnlargerConfig


def network(**changes):
    """A network whose head adds something, as after training."""
    torch.manual_seed(0)
    made = Enlarger(EnlargerConfig(width=8, blocks=2, head_width=8, **changes)).eval()
    torch.nn.init.normal_(made.head.added.weight)
    return made


def enlarged(model, picture, times, supersample=None):
    size = picture.shape[2], picture.shape[3]
    grid = state_grid((size[0] * times, size[1] * times), extent(size))
    with torch.inference_mode():
        return model(picture, torch.zeros(len(picture)), grid=grid, supersample=supersample)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 4)])
def test_any_size_goes_in(size):
    assert enlarged(network(), torch.rand(1, 4, *size), 3).shape == (1, 4, 3 * size[0], 3 * size[1])


def test_a_flat_picture_stays_flat_and_of_its_colour():
    picture = torch.tensor([0.3, -0.8, 0.1, 1.0])[None, :, None, None].expand(1, 4, 9, 9)
    assert (enlarged(network(), picture, 4) - picture[..., :1, :1]).abs().max() < 1e-6


def test_a_part_is_drawn_as_in_the_whole():
    model = network(lattice=2)
    picture = torch.rand(1, 4, 40, 30) * 2 - 1
    whole = enlarged(model, picture, 2)
    reach = model.reach + 2  # and what the spline sees
    part = enlarged(model, picture[:, :, 5:35], 2)
    inside = slice(2 * (5 + reach), 2 * (35 - reach))
    assert (whole[:, :, inside] - part[:, :, 2 * reach : -2 * reach]).abs().max() < 1e-5


def test_reach_is_not_larger_than_it_need_be():
    model = network()
    picture = torch.rand(1, 4, 1, 41)
    moved = picture.clone()
    moved[..., 20] += 0.5
    with torch.inference_mode():
        one, two = (model.encode(x, torch.zeros(1)).tokens for x in (picture, moved))
    changed = (one != two).any(-1)[0, 0].nonzero()
    assert changed.min() == 3 * (20 - model.reach) and changed.max() == 3 * (20 + model.reach) + 2


def test_more_values_per_pixel_change_little_where_the_function_is_smooth():
    picture = torch.linspace(-1, 1, 12).expand(1, 4, 12, 12)
    few, many = (enlarged(network(), picture, 4, supersample=n) for n in (2, 8))
    assert (few - many).abs().max() < 0.005


def test_what_is_seen_of_a_border_does_not_depend_on_its_colours():
    shape = (torch.arange(12) > 5).float().expand(1, 4, 12, 12)
    dark, light = (relative(low + (high - low) * shape)[0] for low, high in ((-1.0, 1.0), (0.0, 0.9)))
    assert (dark - light).abs().max() < 0.05


def test_pixels_of_a_picture_are_where_the_picture_has_them():
    picture = torch.zeros(1, 4, 8, 8)
    picture[..., 2, 5] = 1.0
    model = Enlarger(EnlargerConfig(width=8, blocks=1))  # adds nothing before it is trained
    with torch.inference_mode():
        drawn = model(picture, torch.zeros(1), grid=frame_grid((8, 8)))[0, 0]
    assert divmod(int(drawn.argmax()), 8) == (2, 5)


def test_blocks_that_are_computed_anew_change_no_gradient_and_keep_less():
    gradients, kept = [], []
    for what in ("no", "blocks"):
        made, sizes = network(), []
        made.recompute(what)
        with torch.autograd.graph.saved_tensors_hooks(lambda x, to=sizes: to.append(x.numel()) or x, lambda x: x):
            made(torch.rand(1, 4, 6, 6, generator=torch.Generator().manual_seed(0)), torch.zeros(1)).sum().backward()
        gradients.append([p.grad for p in made.parameters()])
        kept.append(sum(sizes))
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert kept[0] - kept[1] > 2 * made.config.blocks * 8 * 6 * 6, "at least two maps of each block"
