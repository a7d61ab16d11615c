"""Back-projection: pictures agree with the measured ones as far as they can, and stay within the colours around."""

import pytest
import torch
from scipy.optimize import minimize
from test_restore import hole, picture, rms
from torch.nn import functional as F

from s2id.inverse.consistent import BYTE, STIFF, Pull, bounds, consistent, residual
from s2id.media.alpha import straight
from s2id.media.images import resize, to_bytes, to_float


def drawing(side, thick=0.1):
    """A ring and a stroke, as wide as 1.6 pixels of 16, anti-aliased: white on grey."""
    y, x = torch.meshgrid(*[(torch.arange(4 * side) + 0.5) / (4 * side)] * 2, indexing="ij")
    ring = ((x - 0.45).square() + (y - 0.5).square()).sqrt().sub(0.3).abs() < thick / 2
    return resize(((ring | ((x - 0.7 - 0.2 * y).abs() < thick / 2)) * 1.5 - 0.7)[None, None], (side, side))


def blurred(x, radius):
    """Means over squares, moved by a third of the radius: a field that is soft and a little wrong."""
    padded = F.pad(x, [radius] * 4, mode="replicate").roll(radius // 3, 3)
    return F.avg_pool2d(padded, 2 * radius + 1, 1)


def squares(*size, seed=0):
    """Pixel art of three inks."""
    inks = torch.tensor([[-1.0, 0.1, 1.0], [1.0, 1.0, -0.4], [-1.0, 0.8, 0.8]])
    return inks[:, torch.randint(3, size, generator=torch.Generator().manual_seed(seed))][None]


def decibels(a, b):
    return 20 * torch.log10(torch.tensor(2 / rms(a - b))).item()


@pytest.mark.parametrize("size", [(128, 128), (150, 100)])
def test_an_anti_aliased_picture_is_met_in_bytes_and_comes_nearer_to_the_truth(size):
    truth = resize(drawing(100), size)
    seen, field = to_float(to_bytes(resize(truth, (16, 16)))), blurred(truth, size[0] // 32)
    found = consistent(field, seen)
    assert decibels(resize(to_float(to_bytes(found)), (16, 16)), seen) > 50
    assert decibels(found, truth) > decibels(field, truth) + 3


def test_pixel_art_does_not_burn():
    seen = squares(8, 8)
    truth = F.interpolate(seen, (64, 64))
    field = blurred(truth, 3)
    found = consistent(field, seen)
    least, most = -F.max_pool2d(-seen, 3, 1, 1), F.max_pool2d(seen, 3, 1, 1)
    past = (found - F.interpolate(most, (64, 64))).maximum(F.interpolate(least, (64, 64)) - found)
    assert past.flatten().quantile(0.999) * 127.5 < 8
    assert decibels(resize(found, (8, 8)), seen) > 27
    assert decibels(found, truth) > decibels(field, truth)


@pytest.mark.parametrize("masked", [False, True])
def test_the_bounds_hold_exactly(masked, monkeypatch):
    monkeypatch.setattr("s2id.inverse.consistent._ROUNDS", 3)
    seen, field = squares(4, 4), picture(12, 12, channels=3)[None]
    mask = hole(4, 4) if masked else None
    found, (low, high) = consistent(field, seen, mask), bounds(field, seen, mask)
    assert (found >= low).all() and (found <= high).all()
    assert low.min() >= -1 and high.max() <= 1 and (low < high).all()


def test_there_is_no_room_for_dots_in_a_flat_picture():
    low, high = bounds(picture(32, 32)[None], torch.full((1, 1, 8, 8), 0.25))
    assert torch.allclose(low, torch.tensor(0.25 - BYTE)) and torch.allclose(high, torch.tensor(0.25 + BYTE))


def test_the_coefficients_are_optimal():
    seen, field, mask = picture(4, 5)[None], picture(12, 15, seed=1)[None] / 2, hole(4, 5)
    pull = Pull(field.double(), *(bound.double() for bound in bounds(field, seen, mask)), (4, 5), mask)
    left = residual(field, seen, mask).double()

    def value(c):
        missed = (pull.measure(field.double()) + left - pull.measure(pull.picture(c))) / BYTE
        return missed.square().sum() + c.square().sum() / STIFF**2

    def objective(flat):
        c = torch.from_numpy(flat).reshape(1, 1, 4, 5).requires_grad_()
        (slope,) = torch.autograd.grad(found := value(c), c)
        return found.item(), slope.flatten().numpy()

    least = minimize(objective, torch.zeros(20, dtype=torch.float64).numpy(), jac=True, method="BFGS").fun
    assert value(pull.solve(left)).item() == pytest.approx(least, rel=0.01)


def test_slopes_are_derivatives():
    pull = Pull(picture(12, 15).double()[None] / 2, *(torch.full((1, 1, 12, 15), b).double() for b in (-1, 1)), (4, 5))
    c = torch.randn(1, 1, 4, 5, generator=torch.Generator().manual_seed(0)).double()
    exact = torch.autograd.functional.jacobian(lambda c: pull.measure(pull.picture(c)).flatten(), c).reshape(20, 20)
    ours = pull.slopes(c).reshape(5, 5, 4, 5)
    for p in range(20):
        for q in range(20):
            k, m = q // 5 - p // 5 + 2, q % 5 - p % 5 + 2
            here = ours[k, m, p // 5, p % 5] if 0 <= k < 5 and 0 <= m < 5 else torch.tensor(0.0)
            assert here.item() == pytest.approx(exact[p, q].item(), abs=1e-7)


def test_a_correction_stops_at_the_noise_and_leaves_what_explains_enough():
    seen, found = picture(6, 6)[None], picture(12, 12, seed=1)[None]
    assert rms(resize(consistent(found, seen, noise=0.2), (6, 6)) - seen) == pytest.approx(0.2, rel=0.05)
    assert torch.equal(consistent(found, seen, noise=2.0), found)


def test_pictures_are_corrected_one_by_one(monkeypatch):
    """In float64: float32 may round sums of a batch otherwise, and a step that is then taken leads elsewhere."""
    monkeypatch.setattr("s2id.inverse.consistent._ROUNDS", 5)
    seen = picture(6, 6)[None].double()
    found = torch.stack([picture(12, 12, seed=seed) for seed in (1, 2, 3)]).double()
    together = consistent(found, seen)
    assert torch.allclose(together[1:2], consistent(found[1:2], seen), atol=1e-5)


def test_a_picture_of_the_same_size_becomes_the_measured_one_where_it_was_seen():
    mask, seen, found = hole(12, 12), picture(12, 12)[None], picture(12, 12, seed=1)[None]
    after = consistent(found, seen, mask)
    assert torch.allclose(after[..., mask], seen[..., mask], atol=1e-6)
    assert torch.equal(after[..., ~mask], found[..., ~mask])


@pytest.mark.parametrize("ink", [(0.2, 0.8, 0.1), (1.0, 1.0, 1.0)])
def test_a_cut_out_has_no_rim(ink):
    y, x = torch.meshgrid(*[(torch.arange(192) + 0.5) / 192] * 2, indexing="ij")
    alpha = ((x - 0.47).square() + (y - 0.52).square() < 0.1).float()[None]
    truth = resize(torch.cat([torch.tensor(ink)[:, None, None] * alpha, alpha])[None] * 2 - 1, (96, 96))
    seen, field = resize(truth, (12, 12)), blurred(truth, 6)
    found = consistent(field, seen)
    assert decibels(resize(found, (12, 12)), seen) > 50 and decibels(found, truth) > decibels(field, truth) + 3
    assert (found <= found[:, -1:] + 1e-6).all(), "colours are at most their alpha"
    off = straight(found)[:, :-1].transpose(0, 1).flatten(1)[:, (found[:, -1] > -0.9).flatten()]
    assert (off - 2 * torch.tensor(ink)[:, None] + 1).abs().max() < 4 / 127.5, "half-covered pixels have the ink too"


def test_a_grey_look_is_reproduced_in_colours():
    mix = torch.tensor([[0.299, 0.587, 0.114]])
    found = consistent(picture(8, 8, channels=3)[None], picture(4, 4, seed=1)[None] / 2, mix=mix)
    assert rms((resize(found, (4, 4)) * mix.reshape(1, 3, 1, 1)).sum(1) - picture(4, 4, seed=1) / 2) < 1e-3
    assert found.abs().max() <= 1


def test_ink_that_a_model_drew_is_kept_and_that_of_a_guess_is_not():
    stroke = -torch.ones(1, 1, 16, 16)
    stroke[..., 6:8] = 1.0  # half as wide as a measured pixel, which is grey
    measured = resize(stroke, (4, 4))
    assert torch.equal(consistent(stroke, measured, drawn=True), stroke)
    thin = stroke.clone()
    thin[..., 6] = -1.0
    drawn, guessed = (consistent(thin, measured, drawn=kept) for kept in (True, False))
    assert drawn.max() > 0.5 > 0.1 > guessed.max()
