"""Settings of sampling are checked in themselves, and against the model that samples."""

import math
import subprocess
import sys

import pytest
import torch
from conftest import SMALL_PUBLISHED

import s2id
from s2id.errors import InputError
from s2id.sampling.model import S2ID, device_named
from s2id.sampling.resolving import resolved
from s2id.sampling.sample import plans
from s2id.sampling.settings import Card, Sampling


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"guidance": math.nan}, "guidance is nan"),
        ({"stronger": (("smiling", math.inf),)}, "stronger holds inf; it must be a number"),
        ({"guidance_interval": (0.7, 0.2)}, "guidance_interval is 0.7 to 0.2"),
        ({"eta": 2.0}, "eta is 2"),
        ({"density": 0}, "density is 0"),
        ({"restarts": -1}, "restarts is -1"),
    ],
)
def test_values_out_of_range_are_refused_before_there_is_a_model(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        Sampling(**changes)


def test_the_few_that_people_set_override_the_settings(model):
    settings = Sampling(steps=1, guidance=3.0, sampler="ddim")
    drawn = s2id.sample(model, 3, 0, settings, steps=2, guidance=1.0)
    same = s2id.sample(model, 3, 0, Sampling(2, 1.0, sampler="ddim"))
    assert torch.equal(drawn.features.values, same.features.values)


def test_settings_are_resolved_to_the_models_own(model):
    found = resolved(model, Sampling())
    assert (found.steps, found.guidance, found.autoguidance) == (12, 1.5, 1.0)
    with pytest.raises(InputError, match="sampler 'euler' is unknown; choose ddim"):
        resolved(model, Sampling(sampler="euler"))
    with pytest.raises(InputError, match="eta 1 works with the samplers ddim and dpmpp"):
        resolved(model, Sampling(sampler="heun", eta=1.0))
    with pytest.raises(InputError, match="restored without autoguidance"):
        resolved(model, Sampling(autoguidance=2.0), restoring=True)


def test_only_a_dense_model_composes_every_size_anew(model):
    sizes = [(8, 8), (12, 20)]
    (plan,) = plans(model, sizes, Sampling(steps=3))
    assert (plan.sizes, plan.aspect, plan.sampling) == (tuple(sizes), None, Sampling(steps=3))
    dense = S2ID(SMALL_PUBLISHED, Card(density=8))
    assert [(one.sizes, one.aspect, one.sampling.density) for one in plans(dense, sizes)] == [
        (((8, 8),), (8, 8), 8),
        (((12, 20),), (12, 20), 20),
    ]
    with pytest.raises(InputError, match="size 20000x20 is too long for this model.*choose up to 11,585 pixels a side"):
        plans(dense, [(20000, 20)])
    (plan,) = plans(dense, sizes, Sampling(density=16))
    assert plan.aspect is None and plan.sampling.density == 16


def test_a_model_says_what_it_cannot_do(model):
    with pytest.raises(InputError, match="composes each size anew, and upscaling needs functions"):
        S2ID(SMALL_PUBLISHED, Card(density=8)).need_function("upscaling")
    distilled = S2ID(model.config, Card(density=8, times=(1.0, 0.5)))
    with pytest.raises(InputError, match="draws and does nothing else, and restoring needs more"):
        distilled.need_denoiser("restoring")
    for one in (model.need_function, model.need_denoiser, model.need_pixels):
        one("anything")


def test_devices_are_named(model):
    assert device_named("cpu") == torch.device("cpu")
    assert device_named("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(InputError, match="device 'cuda:99' is not available on this machine"):
        device_named("cuda:99")


def test_labels_and_seeds_that_are_no_pairs_and_frames_without_a_side_are_refused(model):
    with pytest.raises(InputError, match="2 labels and 3 seeds cannot be paired; give as many of each, or one"):
        s2id.sample(model, [1, 2], [0, 1, 2])
    for aspect in ((0, 4), (4, -1)):
        with pytest.raises(InputError, match=f"aspect {aspect[0]}:{aspect[1]} is empty"):
            s2id.sample(model, 1, 0, steps=1, aspect=aspect)
    with pytest.raises(InputError, match="this field holds no function; choose at least one"):
        s2id.sample(model, 1, 0, steps=1)[1:].render(8)


def test_a_name_that_the_package_lacks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 's2id' has no attribute 'smaple'"):
        s2id.smaple  # noqa: B018
    assert not hasattr(s2id, "torch") and "__version__" in dir(s2id)


def test_the_public_names_are_listed_and_start_no_torch():
    code = "import s2id, sys; assert set(s2id.__all__) < set(dir(s2id)); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    for name in s2id.__all__:
        assert getattr(s2id, name) is not None
