"""Observations against brute-force integrals, and their transpose."""

import math
import subprocess
import sys

import pytest
import torch

from s2id.coords import extent, view
from s2id.errors import InputError
from s2id.inverse.observation import Area, Observation
from s2id.media.images import resize


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def scattered(count=40, cell=0.17, channels=1):
    """Cells anywhere, some over the frame's edge, oblong and each of its own size."""
    coords = torch.rand(count, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) - 0.5
    cells = cell * (0.5 + torch.rand(count, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2)))
    return Observation(torch.zeros(count, channels), coords, cells)


def by_hand(x, observation, frame, fine=400):
    """Means over cells by reading the piecewise constant function at many points."""
    cells, seen = observation.cell.expand(len(observation), 2), []
    steps = (torch.arange(fine, dtype=torch.float64) + 0.5) / fine - 0.5
    for centre, cell in zip(observation.coords, cells, strict=True):
        rows, columns = (
            ((centre[i] + cell[i] * steps + frame[i] / 2) / frame[i] * n).floor().long().clamp(0, n - 1)
            for i, n in enumerate(x.shape[2:])
        )
        seen.append(x[:, :, rows][..., columns].mean((2, 3)))
    return torch.stack(seen, dim=1)


@pytest.mark.parametrize("size", [(6, 6), (5, 9)])
def test_scattered_cells_see_exact_means(size):
    x, observation = random(2, 3, *size), scattered(channels=3)
    assert Area(observation, size).lattice is None
    assert torch.allclose(Area(observation, size)(x), by_hand(x, observation, extent(size)), atol=2e-2)


def test_a_smooth_functions_means_are_its_integrals():
    # the samples are themselves means of sin(w y) cos(v x), so cells of whole samples see the integral exactly
    w, v, size = 5.0, 3.0, (24, 24)

    def means(grid):
        y, x = (math.sin(f * c / 2) / (f * c / 2) for f, c in zip((w, v), grid.cell, strict=True))
        return (y * torch.sin(w * grid.y))[:, None] * x * torch.cos(v * grid.x)

    seen = Area(Observation.of_picture(torch.zeros(1, 6, 8)), size, extent((6, 8)))(
        means(view(size, extent((6, 8)), fit="stretch"))[None, None]
    )
    assert torch.allclose(seen[0, :, 0], means(view((6, 8), extent((6, 8)))).flatten(), atol=1e-12)


def test_a_whole_picture_is_the_area_mean():
    x = random(1, 2, 20, 20).float()
    observation = Observation.of_picture(torch.zeros(2, 7, 7))
    assert torch.allclose(Area(observation, (20, 20))(x), resize(x, (7, 7)).flatten(2).mT, atol=1e-6)


def test_a_lattice_and_scattered_cells_agree():
    mask = torch.rand(6, 6, generator=torch.Generator().manual_seed(0)) > 0.4
    observation = Observation.of_picture(torch.zeros(1, 6, 6), shift=(0.03, -0.02), mask=mask)
    stray = Observation(torch.zeros(1, 1), torch.tensor([[0.1, 0.2]]).double(), torch.tensor([0.3, 0.1]).double())
    both, x = Observation.join([observation, stray]), random(1, 1, 10, 10)
    on_lattice, all_scattered = Area(observation, (10, 10)), Area(both, (10, 10))
    assert on_lattice.lattice is not None and all_scattered.lattice is None
    assert torch.allclose(on_lattice(x), all_scattered(x)[:, :-1], atol=1e-9)


@pytest.mark.parametrize("mix", [None, torch.full((1, 3), 1 / 3)])
@pytest.mark.parametrize("where", ["lattice", "mask", "scattered"])
def test_the_transpose_is_exact(where, mix):
    channels = 3 if mix is None else 1
    if where == "scattered":
        observation = scattered(channels=channels)
        observation = Observation(observation.values, observation.coords, observation.cell, mix=mix)
    else:
        mask = torch.ones(7, 5, dtype=torch.bool) if where == "lattice" else torch.eye(7, 5).bool()
        observation = Observation.of_picture(torch.zeros(channels, 7, 5), mask=mask, mix=mix)
    area = Area(observation, (9, 12), (1.0, 0.8))
    x, y = random(2, 3, 9, 12), random(2, len(observation), channels, seed=1)
    assert torch.allclose((area(x) * y).sum(), (x * area.transpose(y)).sum(), rtol=1e-12)


def test_parts_of_bounded_memory_see_the_same(monkeypatch):
    observation, x, y = scattered(), random(2, 1, 9, 9), random(2, 40, 1, seed=1)
    whole = Area(observation, (9, 9))
    seen, back = whole(x), whole.transpose(y)
    monkeypatch.setattr("s2id.inverse.observation._CHUNK", 14)
    assert torch.equal(whole(x), seen) and torch.allclose(whole.transpose(y), back)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="memory is counted by the system")
def test_sixty_frames_fit_in_two_gigabytes():
    # in a process of its own, whose peak is that of the maps alone: on their lattices, then as scattered cells
    words = """
import resource, sys, torch
from s2id.inverse.fusion import FramesOperator
from s2id.inverse.observation import Area, Observation
shifts, size = torch.rand(60, 2, generator=torch.Generator().manual_seed(0)), (512, 512)
operator = FramesOperator((128, 128), shifts, size)
seen = operator(torch.ones(1, 1, *operator.canvas))
assert (seen - 1).abs().max() < 1e-4 and operator.transpose(seen).shape[2:] == operator.canvas
frames = [Observation.of_picture(torch.zeros(1, 128, 128), shift=(y, x)) for y, x in (shifts / 128).tolist()]
area = Area(Observation.join(frames), size)
seen = area(torch.ones(1, 1, *size))
assert area.lattice is None and seen.shape == (1, 60 * 128**2, 1)
assert abs(float(area.transpose(seen).sum()) - 60 * 128**2) < 100
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20))
"""
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert 0 < float(done.stdout) < 2


def test_frames_of_a_moving_camera_see_shifted_pictures():
    x = random(1, 1, 12, 12)
    shifts = (0.0, 0.0), (0.0, 1 / 12)
    frames = Observation.join([Observation.of_picture(torch.zeros(1, 12, 12), shift=s, noise=0.1) for s in shifts])
    first, second = Area(frames, (12, 12))(x)[0, :, 0].split(144)
    assert torch.allclose(first.reshape(12, 12), x[0, 0], atol=1e-6)
    assert torch.allclose(second.reshape(12, 12)[:, :-1], x[0, 0, :, 1:], atol=1e-5)
    assert frames.noise == 0.1


def test_parts_keep_their_own_noise():
    one = Observation.of_picture(torch.zeros(1, 2, 2), noise=0.1)
    joined = Observation.join([one, Observation.of_picture(torch.zeros(1, 3, 3), noise=0.2)])
    assert joined.noise.tolist() == [0.1] * 4 + [0.2] * 9
    assert joined.cell.shape == (13, 2)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: Observation.of_picture(p, mask=torch.ones(3, 4, dtype=torch.bool)), "the mask is 3x4"),
        (lambda p: Observation.of_picture(p, mask=torch.zeros(4, 4, dtype=torch.bool)), "leaves nothing to see"),
        (lambda p: Observation.of_picture(p * math.nan), "NaN"),
        (lambda p: Observation.of_picture(p, noise=-0.1), "noise is -0.1"),
        (lambda p: Observation.of_picture(p, noise=math.nan), "noise is nan"),
        (lambda p: Observation.of_picture(p, mix=torch.ones(2, 3)), "mix makes 2"),
        (lambda p: Observation(p[0], torch.zeros(3, 2), torch.ones(2)), "3 places"),
        (lambda p: Observation(p[0], torch.zeros(4, 2), torch.zeros(2)), "is empty"),
        (lambda p: Observation.join([]), "no observations"),
        (
            lambda p: Observation.join([Observation.of_picture(p), Observation.of_picture(p.expand(3, 4, 4))]),
            "channels",
        ),
    ],
)
def test_impossible_observations_are_refused(make, said):
    with pytest.raises(InputError, match=said):
        make(torch.zeros(1, 4, 4))


def test_unseen_pixels_may_hold_anything():
    picture = torch.zeros(1, 4, 4)
    picture[0, 0, 0] = math.nan
    assert len(Observation.of_picture(picture, mask=torch.isfinite(picture[0]))) == 15
