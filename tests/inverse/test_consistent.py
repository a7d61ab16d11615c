"""Exact back-projection: corrected pictures have the measured means, up to the noise, and only where they must."""

import pytest
import torch
from test_restore import hole, picture, rms

from s2id.images import resize
from s2id.inverse.consistent import consistent


@pytest.mark.parametrize(
    ("low", "size"), [((4, 4), (8, 8)), ((8, 6), (20, 15)), ((12, 12), (37, 41)), ((7, 7), (7, 7))]
)
def test_corrected_pictures_have_the_means_that_were_seen(low, size):
    seen, found = picture(*low)[None], picture(*size, seed=1)[None]
    assert rms(resize(consistent(found, seen), low) - seen) < 1e-3


def test_a_correction_stops_at_the_noise_and_leaves_what_explains_enough():
    seen, found = picture(6, 6)[None], picture(12, 12, seed=1)[None]
    assert rms(resize(consistent(found, seen, noise=0.2), (6, 6)) - seen) == pytest.approx(0.2, rel=0.05)
    assert torch.equal(consistent(found, seen, noise=2.0), found)


def test_a_correction_fades_into_the_hole():
    mask, seen, found = hole(12, 12), picture(12, 12)[None], torch.zeros(1, 1, 12, 12)
    after = consistent(found, seen, mask)
    assert torch.allclose(after[..., mask], seen[..., mask], atol=1e-3)
    assert rms(after[..., 4, 4]) < 0.3 * rms(seen)


def test_a_grey_look_is_reproduced_in_colours():
    mix = torch.tensor([[0.299, 0.587, 0.114]])
    found = consistent(picture(8, 8, channels=3)[None], picture(4, 4, seed=1)[None] / 2, mix=mix)
    assert rms((resize(found, (4, 4)) * mix.reshape(1, 3, 1, 1)).sum(1) - picture(4, 4, seed=1) / 2) < 1e-3
