"""Every measure has a known answer somewhere: it must give it."""

import sys

import pytest
import torch

from s2id.errors import InputError
from s2id.evaluation.edges import edge_width, waviness
from s2id.evaluation.image_metrics import (
    border_ink,
    check_images,
    components_and_holes,
    ink_aspect,
    overshoot,
    power_above,
    psnr,
    speckle,
    ssim,
)
from s2id.evaluation.set_metrics import (
    Manifold,
    feature_spread,
    frechet_distance,
    kernel_distance,
    manifold,
    variance_ratio,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def standardised(n, d, seed=0):
    """Samples whose mean is 0 and whose covariance is 1, to rounding."""
    x = normal(n, d, seed=seed).double()
    x = x - x.mean(0)
    return torch.linalg.solve_triangular(torch.linalg.cholesky(torch.cov(x.T)), x.T, upper=False).T


def two_classes(n, seed):
    return normal(2 * n, 1, 4, 5, seed=seed), torch.arange(2).repeat_interleave(n)


def test_the_frechet_distance_of_a_shifted_gaussian_is_the_shift_squared():
    a = standardised(300, 8)
    shift = torch.arange(8.0).double()
    assert frechet_distance(a, a + shift) == pytest.approx(140, rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_the_frechet_distance_of_a_scaled_gaussian_is_that_of_the_roots():
    # trace(1 + S - 2 S^(1/2)) = sum (1 - s)^2 for standard deviations s, in any orientation
    a, b = standardised(300, 8), standardised(400, 8, seed=1)
    turn = torch.linalg.qr(normal(8, 8, seed=2).double()).Q
    scale = torch.linspace(0.5, 4, 8).double()
    expected = (1 - scale).square().sum().item()
    assert frechet_distance(a, (b * scale) @ turn) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance((b * scale) @ turn, a) == pytest.approx(expected, rel=1e-9)


def test_the_frechet_distance_keeps_its_digits_far_from_zero():
    a = standardised(300, 4)
    assert frechet_distance(a + 1e6, a + 1e6 + 0.5) == pytest.approx(1, rel=1e-4)


def test_too_few_images_for_a_covariance_are_refused_with_the_number_needed():
    with pytest.raises(InputError, match="needs at least 16 images in each set, and they have 15 and 16"):
        frechet_distance(normal(15, 8), normal(16, 8))
    assert frechet_distance(normal(16, 8), normal(16, 8, seed=1)) > 0


def test_the_kernel_distance_is_the_unbiased_estimate():
    a, b = normal(20, 3).double(), normal(20, 3, seed=1).double() + 1

    def kernel(x, y):
        return (x @ y.T / 3 + 1) ** 3

    def off_diagonal(k):
        return (k.sum() - k.trace()) / (20 * 19)

    expected = off_diagonal(kernel(a, a)) + off_diagonal(kernel(b, b)) - 2 * kernel(a, b).mean()
    assert kernel_distance(a, b) == pytest.approx(expected.item(), rel=1e-9)


def test_the_kernel_distance_is_zero_on_average_for_one_distribution_and_that_of_a_shift():
    pool = normal(4000, 2).double()
    same = kernel_distance(pool[:2000], pool[2000:], subsets=20, subset_size=500)
    # E[k(x, x')] for x, x' ~ N(0, 1): moments of x.x'/2; against x' + 1 those of a mean (1, 1)
    k = [(pool[:2000] @ other.T / 2 + 1) ** 3 for other in (pool[2000:], pool[2000:] + 1)]
    shifted = ((pool[:2000] + 1) @ (pool[2000:] + 1).T / 2 + 1) ** 3
    expected = (k[0].mean() + shifted.mean() - 2 * k[1].mean()).item()
    found = kernel_distance(pool[:2000], pool[2000:] + 1, subsets=20, subset_size=500)
    assert abs(same) < 0.03 * expected
    assert found == pytest.approx(expected, rel=0.1)


def test_the_kernel_distance_depends_on_its_seed_alone():
    a, b = normal(50, 3), normal(60, 3, seed=1)
    state = torch.get_rng_state()
    first = kernel_distance(a, b, subsets=3, subset_size=10)
    torch.rand(1)
    assert kernel_distance(a, b, subsets=3, subset_size=10) == first
    assert kernel_distance(a, b, subsets=3, subset_size=10, seed=1) != first
    torch.set_rng_state(state)
    kernel_distance(a, b, subsets=1)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(InputError, match="subsets of 2 images"):
        kernel_distance(a[:1], b)


def test_a_set_is_on_its_own_manifold():
    x = normal(60, 4)
    found = manifold(x, x.clone(), k=3)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    # a ball holds its centre and k neighbours
    assert found.manifold_density == pytest.approx(4 / 3)


def test_sets_far_apart_share_no_manifold():
    assert manifold(normal(30, 4), normal(40, 4) + 100) == Manifold(0.0, 0.0, 0.0, 0.0)


def test_a_planted_duplicate_covers_only_its_neighbourhood():
    # real: two clusters of 10; fake: copies of one real sample, and a point nowhere near
    real = torch.cat([normal(10, 3), normal(10, 3, seed=1) + 50])
    fake = torch.cat([real[:1].expand(6, 3), torch.full((2, 3), -500.0)])
    found = manifold(real, fake, k=5)
    balls = torch.cdist(real, real[:1])[:, 0] <= torch.cdist(real, real).sort(1).values[:, 5]
    assert found.precision == pytest.approx(6 / 8)
    assert found.coverage == pytest.approx(balls.double().mean().item())
    assert found.manifold_density == pytest.approx(6 / 8 * balls.sum().item() / 5)
    # copies have no room around them; the lone pair's balls reach everywhere between it and them
    assert found.recall == pytest.approx(manifold(fake, real, k=5).precision)


def test_the_manifold_does_not_depend_on_the_chunk(monkeypatch):
    real, fake = normal(57, 4), normal(43, 4, seed=1) * 0.7
    whole = manifold(real, fake)
    monkeypatch.setattr("s2id.evaluation.set_metrics._CHUNK", 10)
    assert manifold(real, fake) == whole
    assert 0 < whole.recall < whole.precision <= 1
    with pytest.raises(InputError, match="at least 6 images in each set, and they have 5 and 43"):
        manifold(real[:5], fake)


def test_the_variance_ratio_of_shrunk_classes_is_the_shrinkage_squared():
    truth, labels = two_classes(20, 0)
    centre = torch.stack([truth[labels == k].mean(0) for k in (0, 1)])[labels]
    factor = torch.tensor([0.5, 2.0])[labels][:, None, None, None]
    assert variance_ratio(truth, labels, truth, labels) == pytest.approx(1)
    found = variance_ratio(centre + factor * (truth - centre), labels, truth, labels)
    assert found == pytest.approx((0.25 + 4) / 2, rel=1e-5)


def test_the_feature_spread_is_the_shrinkage():
    truth, labels = two_classes(20, 0)
    truth = truth.flatten(1)
    factor = torch.tensor([0.5, 2.0])[labels][:, None]
    assert feature_spread(factor * truth, labels, truth, labels) == pytest.approx((0.5 + 2) / 2, rel=1e-5)
    assert feature_spread(torch.zeros_like(truth), labels, truth, labels) == 0


@pytest.mark.parametrize("spread", [variance_ratio, lambda x, *rest: feature_spread(x.flatten(1), rest[0],
                                    rest[1].flatten(1), rest[2])])  # fmt: skip
def test_a_class_without_samples_is_named(spread):
    truth, labels = two_classes(5, 0)
    with pytest.raises(InputError, match="class 1 has 0 samples and 5 of the data"):
        spread(truth[:5], labels[:5], truth, labels)
    with pytest.raises(InputError, match="class 1 has 1 samples and 5 of the data"):
        spread(truth[:6], labels[:6], truth, labels)
    with pytest.raises(InputError, match="class 1 has 5 samples and 0 of the data"):
        spread(truth, labels, truth[:5], labels[:5])
    with pytest.raises(InputError, match="class 0 of the data does not vary"):
        spread(truth, labels, torch.zeros_like(truth), labels)


def test_psnr_of_a_uniform_difference():
    a = normal(3, 3, 6, 7).clamp(-1, 1)
    difference = torch.tensor([2.0, 0.2, 0.0])[:, None, None, None]
    assert torch.allclose(psnr(a, a + difference), torch.tensor([0.0, 20.0, torch.inf]), atol=1e-4)


@pytest.mark.parametrize("size", [(3, 3), (4, 9), (5, 28), (10, 10), (11, 11), (28, 40)])
def test_ssim_is_one_for_equal_pictures_and_the_luminance_term_for_constant_ones(size):
    a = normal(2, 3, *size).clamp(-1, 1)
    assert torch.allclose(ssim(a, a), torch.ones(2), atol=1e-5)
    low, high = torch.full((1, 1, *size), -0.5), torch.full((1, 1, *size), 0.8)
    c1 = (0.01 * 2) ** 2
    assert ssim(low, high).item() == pytest.approx((2 * -0.4 + c1) / (0.25 + 0.64 + c1), rel=1e-3)


def test_ssim_of_an_inverted_checkerboard_is_minus_one():
    board = ((torch.arange(28)[:, None] + torch.arange(30)) % 2 * 2.0 - 1)[None, None]
    assert ssim(board, -board).item() == pytest.approx(-1, abs=0.01)


def test_ssim_refuses_a_side_without_a_window():
    with pytest.raises(InputError, match="at least 3 pixels, and the shorter has 2"):
        ssim(torch.zeros(1, 1, 2, 9), torch.zeros(1, 1, 2, 9))


def plane(height, width):
    """(y, x) of pixel centres, from the middle, in pixels."""
    y, x = torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2
    return torch.meshgrid(y.double(), x.double(), indexing="ij")


def across(degrees, y, x):
    angle = torch.tensor(degrees * torch.pi / 180).double()
    return y * angle.sin() + x * angle.cos()


def blurred(depth, kind, width):
    """The picture of a shape whose edges are blurred to that 10-90 width; `depth` is how far inside a point lies."""
    if kind == "box":
        return (2 * depth / (width / 0.8)).clamp(-1, 1).float()[None, None]
    return torch.erf(depth / (width / 2.5631) / 2**0.5).float()[None, None]


def rings(size):
    """Shapes of known topology on a `size` x `size` picture: disk, ring, two rings and a disk inside one, nothing."""
    y, x = (c / size for c in plane(size, size))

    def disk(cy, cx, radius):
        return (y - cy).square() + (x - cx).square() < radius**2

    ring = disk(0, 0, 0.4) & ~disk(0, 0, 0.25)
    pair = (disk(0, -0.25, 0.2) & ~disk(0, -0.25, 0.1)) | (disk(0, 0.25, 0.2) & ~disk(0, 0.25, 0.1))
    shapes = [disk(0, 0, 0.3), ring, pair, ring | disk(0, 0, 0.1), torch.zeros_like(ring)]
    return torch.stack(shapes).float()[:, None] * 2 - 1


@pytest.mark.parametrize("size", [28, 61, 256])
def test_components_and_holes_of_a_known_topology(size):
    expected = [[1, 0], [1, 1], [2, 2], [2, 1], [0, 0]]
    assert components_and_holes(rings(size)).tolist() == expected
    assert components_and_holes(rings(size).expand(-1, 3, -1, -1) * 0.9).tolist() == expected
    # at 28 a speck of one pixel, at 256 of 0.1 % of the picture
    side = max(1, size // 32)
    specks = rings(size)
    specks[:, :, 1 : 1 + side, 1 : 1 + side] = 1
    middle = specks[0, :, size // 2 :, size // 2 :]
    middle[:, :side, :side] = -1
    assert components_and_holes(specks).tolist() == expected
    assert components_and_holes(specks[:1], min_area=0.0).tolist() == [[2, 1]]


def test_ink_joins_at_corners_and_ground_does_not():
    diamond = torch.full((1, 1, 30, 30), -1.0)
    y, x = plane(31, 31)
    diamond = ((y.abs() + x.abs()).round() == 8).float()[None, None] * 2 - 1
    assert components_and_holes(diamond).tolist() == [[1, 1]]
    cut = torch.full((1, 1, 9, 9), -1.0)
    cut[..., 3, :] = 1  # ground on both sides reaches the border
    assert components_and_holes(cut).tolist() == [[1, 0]]
    assert components_and_holes(-diamond, threshold=-2.0).tolist() == [[1, 0]]


@pytest.mark.parametrize("kind", ["box", "gauss"])
@pytest.mark.parametrize("degrees", [0, 30, 45, 77, 90])
def test_the_edge_width_of_a_known_blur(kind, degrees):
    pixel = 224 / 28
    y, x = plane(224, 180)
    for width in (0.9, 2.0):
        bar = 35 - across(degrees, y, x + 3.3).abs()
        found = edge_width(blurred(bar, kind, width * pixel), pixel)
        assert found.item() == pytest.approx(width, rel=0.03)


@pytest.mark.parametrize("kind", ["box", "gauss"])
def test_the_edge_width_of_a_disk_is_in_training_pixels_at_any_size(kind):
    for size in (112, 224):
        y, x = plane(size, size)
        disk = 0.3 * size - torch.hypot(y - 1.7, x + 0.4)
        images = torch.cat([blurred(disk, kind, 1.5 * size / 28), -blurred(disk, kind, 0.7 * size / 28)])
        expected = torch.tensor([1.5, 0.7])
        if kind == "gauss":  # the interpolation's own blur, in picture pixels
            expected = (expected.square() + 2.5631**2 / 6 * (28 / size) ** 2).sqrt()
        assert edge_width(images, size / 28).tolist() == pytest.approx(
            expected.tolist(), rel=0.06 if kind == "box" else 0.02
        )


@pytest.mark.parametrize("degrees", [0, 20, 45, 77, 90])
def test_the_waviness_of_a_bar_is_that_of_its_sides(degrees):
    pixel = 8.0
    y, x = plane(224, 224)
    along, away = across(degrees + 90, y, x), across(degrees, y, x + 3.3)
    found = []
    for amplitude, period in ((0.0, 1.0), (0.1, 2.0), (0.15, 3.0)):
        wave = amplitude * pixel * torch.sin(2 * torch.pi * along / (period * pixel))
        bar = blurred(2 * pixel - (away - wave).abs(), "box", 0.3 * pixel)
        found += [waviness(bar, pixel).item(), waviness(bar.expand(-1, 3, -1, -1), pixel).item()]
    assert found[:2] == pytest.approx([0, 0], abs=0.003)
    assert found[2:] == pytest.approx([0.1 / 2**0.5] * 2 + [0.15 / 2**0.5] * 2, rel=0.1)


def test_what_turns_is_not_straight_and_waves_nowhere():
    y, x = plane(224, 224)
    disk = blurred(40 - torch.hypot(y, x), "box", 4)  # five training pixels in radius
    assert waviness(torch.cat([disk, torch.ones_like(disk)]), 8.0).isnan().all()


def test_the_edge_width_survives_noise_and_colour_and_knows_no_other_edges():
    y, x = plane(128, 128)
    edge = blurred(across(20, y, x), "gauss", 9)
    assert edge_width(edge + 0.02 * normal(1, 1, 128, 128), 4.5).item() == pytest.approx(2, rel=0.1)
    assert edge_width(edge.expand(-1, 3, -1, -1), 4.5).item() == pytest.approx(2, rel=0.04)
    faint, ramp, flat = edge * 0.5, (x / 64).float()[None, None], torch.ones_like(edge)
    assert edge_width(torch.cat([faint, ramp, flat]), 4.5).isnan().all()


def test_a_sharp_edge_measures_the_pixels():
    y, x = plane(64, 64)
    sharp = torch.where(x > 0.2, 1.0, -1.0).float()[None, None]
    assert edge_width(sharp, 1.0).item() == pytest.approx(0.8, rel=0.01)


def test_power_above_the_cutoff_is_that_of_the_faster_waves():
    # the cosine transform's own waves, at k / (2 n) cycles per pixel, and a mean that does not count
    y, x = (torch.arange(n).double() + 0.5 for n in (40, 50))

    def wave(place, n, k):
        return torch.cos(torch.pi * k * place / n)

    slow, down, right = wave(y, 40, 4)[:, None], wave(y, 40, 20)[:, None], wave(x, 50, 30)
    picture = (0.3 + 0.2 * slow + 0.1 * down + 0.05 * right).float()[None, None]
    total = 0.2**2 + 0.1**2 + 0.05**2
    for cutoff, above in ((0.04, total), (0.1, total - 0.2**2), (0.27, 0.05**2), (0.31, 0.0)):
        assert power_above(picture, cutoff).item() == pytest.approx(above / total, abs=1e-5)
        assert power_above(picture.mT.expand(2, 3, -1, -1), cutoff).tolist() == pytest.approx(
            2 * [above / total], abs=1e-5
        )
    assert power_above(torch.full((1, 1, 9, 9), 0.3), 0.1).isnan().all()


def test_a_sharp_border_leaks_no_power():
    ramp = torch.linspace(-1, 1, 64).expand(1, 1, 64, 64)
    assert power_above(ramp, 0.25).item() < 1e-4
    noise = normal(1, 1, 128, 128)
    assert power_above(noise, 0.25).item() == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize("pixel", [0.5, 1.0, 4.6])
def test_speckle_is_the_noise_planted_in_flat_areas(pixel):
    side = round(max(pixel, 1) * 40)
    y, x = plane(side, side)
    depth = side / 6 - torch.hypot(y, x)
    clean = torch.cat([blurred(depth, "box", 1e-3), blurred(depth, "box", 2 * max(pixel, 1))])
    assert speckle(clean, pixel).tolist() == pytest.approx([0, 0], abs=1e-3)
    window = 2 * round(max(pixel, 1)) + 1
    noisy = clean + 0.04 * normal(2, 1, side, side)
    expected = 0.04 * (1 - 1 / window**2) ** 0.5
    assert speckle(noisy, pixel).tolist() == pytest.approx([expected] * 2, rel=0.07)
    assert speckle(noisy.expand(-1, 3, -1, -1), pixel).tolist() == pytest.approx(speckle(noisy, pixel).tolist())


def test_speckle_of_a_picture_without_flat_areas_is_unknown():
    wave = torch.sin(torch.arange(40.0)).expand(1, 1, 40, 40)
    assert speckle(torch.cat([wave, torch.zeros_like(wave)]), 1.0).isnan().tolist() == [True, False]


def test_ink_aspect_of_an_ellipse_is_that_of_its_axes():
    y, x = plane(120, 90)
    blob = 2 * torch.exp(-((y - 7) / 16).square() / 2 - ((x + 3) / 10).square() / 2) - 1
    box = torch.where((y.abs() < 6) & (x.abs() < 24), 1.0, -1.0).double()
    images = torch.stack([blob, -blob, box]).float()[:, None]
    assert ink_aspect(images).tolist() == pytest.approx([1.6, 1.6, 0.25], rel=0.01)
    assert ink_aspect(images.mT.expand(-1, 3, -1, -1)).tolist() == pytest.approx([0.625, 0.625, 4], rel=0.01)
    assert ink_aspect(images * 0.5 + 0.02).tolist() == pytest.approx([1.6, 1.6, 0.25], rel=0.02)
    assert ink_aspect(torch.ones(1, 1, 9, 9)).isnan().all()


@pytest.mark.parametrize("size", [(28, 28), (101, 64), (300, 280)])
def test_border_ink_of_a_bar_is_the_share_within_the_strip(size):
    bar = torch.full((1, 1, *size), -1.0)
    bar[..., size[1] // 2 : size[1] // 2 + 3] = 1  # from top to bottom
    assert border_ink(bar).item() == pytest.approx(0.04, abs=1e-6)
    assert border_ink(bar, width=0.1).item() == pytest.approx(0.2, abs=1e-6)
    bar[..., : size[0] // 8, :] = bar[..., -size[0] // 8 :, :] = -1
    assert border_ink(torch.cat([bar, -bar]).expand(-1, 3, -1, -1)).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert border_ink(torch.zeros(1, 1, *size)).isnan().all()


def test_overshoot_is_the_worst_excess_as_a_share_of_the_range():
    images = torch.zeros(4, 3, 5, 6)
    images[1, 0, 2, 2], images[2, 2, 0, 0], images[3, 1, 1, 1] = 1.5, -2, 1
    assert overshoot(images).tolist() == [0, 0.25, 0.5, 0]
    assert overshoot(images, low=0.0).tolist() == [0, 0.5, 2, 0]


def test_pictures_that_are_not_finite_are_named():
    images = torch.zeros(4, 1, 2, 3)
    check_images(images)
    images[2, 0, 0, 1] = torch.inf
    images[3] = torch.nan
    with pytest.raises(InputError, match="image 2 has 1 values that are NaN or infinite, of 6, and 2 of 4"):
        check_images(images)


def test_a_missing_extra_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchmetrics.image.fid", None)
    with pytest.raises(InputError, match=r"needs pip install 's2id\[eval\]'"):
        frechet_distance(normal(16, 8), normal(16, 8))
