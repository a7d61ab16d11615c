"""A judge sees pictures at its own size, and its file is as safe as weights."""

import pytest
import torch

from s2id.data.registry import load_pictures
from s2id.errors import InputError
from s2id.evaluation import judge as judges
from s2id.evaluation.judge import Judge
from s2id.media.images import resize, to_float

WIDTHS = (4, 4, 8, 8, 16)


@pytest.fixture
def judge():
    torch.manual_seed(0)
    return Judge("noise", (12, 10), 1, 3, WIDTHS, accuracy=0.5).eval().requires_grad_(False)


def test_features_are_of_the_area_average(judge):
    pictures = torch.randn(5, 1, 24, 20)
    assert torch.allclose(judge.features(pictures), judge.features(resize(pictures, (12, 10))), atol=1e-6)
    assert judge.features(pictures).shape == (5, 16)
    assert torch.equal(judge.classify(judge.features(pictures)), judge(resize(pictures, (12, 10))).argmax(1))


def test_a_judge_comes_back_from_its_file(judge, tmp_path):
    judge.save(tmp_path / "judge.safetensors")
    again = judges.load(tmp_path / "judge.safetensors")
    assert (again.data, again.size, again.accuracy, again.sha256) == ("noise", (12, 10), 0.5, judge.sha256)
    pictures = torch.randn(2, 1, 12, 10)
    assert torch.equal(again(pictures), judge(pictures))


def test_a_judge_of_attributes_says_which_are_there_and_keeps_their_names(tmp_path):
    judge = Judge("faces", (12, 10), 1, 3, WIDTHS, attributes=("smiling", "bald")).eval().requires_grad_(False)
    pictures = torch.randn(6, 1, 12, 10)
    logits, features = judge(pictures), judge.features(pictures)
    assert logits.shape == (6, 5) and torch.equal(judge.classify(features), logits[:, :3].argmax(1))
    assert torch.equal(judge.attributes_of(features) == 1, logits[:, 3:] > 0)
    judge.save(tmp_path / "judge.safetensors")
    assert judges.load(tmp_path / "judge.safetensors").attributes == ("smiling", "bald")


def test_a_judge_of_concepts_names_the_embedding_that_points_where_the_picture_does(tmp_path):
    judge = Judge("icons", (12, 10), 1, 3, (4, 8), strides=(2, 1), concepts=("fox", "owl")).eval().requires_grad_(False)
    pictures = torch.randn(2, 1, 12, 10)
    features = judge.features(pictures)
    judge.meant.data = judge.shown(features) * torch.tensor([[3.0], [0.1]])  # their lengths say nothing
    assert judge.concepts_of(features).tolist() == [0, 1]
    assert torch.allclose(judge.resemblance(features).diag(), torch.full((2,), 16.0), atol=1e-4)
    assert torch.equal(judge(pictures)[:, 3:], judge.resemblance(features)) and judge(pictures).shape == (2, 5)
    judge.save(tmp_path / "judge.safetensors")
    again = judges.load(tmp_path / "judge.safetensors")
    assert again.concepts == ("fox", "owl") and torch.equal(again(pictures), judge(pictures))


def test_a_judge_has_a_stride_for_every_width():
    with pytest.raises(InputError, match="2 widths and 5 strides; give one of each"):
        Judge("icons", (12, 10), 1, 3, (4, 8))


def test_an_unknown_or_altered_judge_is_refused(judge, tmp_path):
    with pytest.raises(InputError, match="there is no judge 'nobody'.*--judge"):
        judges.load("nobody")
    path = tmp_path / "judge.safetensors"
    judge.save(path)
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(InputError, match="was altered"):
        judges.load(path)


def test_pictures_of_other_channels_are_refused(judge):
    with pytest.raises(InputError, match="takes 1 channels and the pictures have 3"):
        judge.features(torch.zeros(1, 3, 12, 10))


def test_every_judge_in_the_package_is_small_and_says_how_good_it_is():
    files = list(judges.JUDGES.glob("*.safetensors"))
    assert files
    for path in files:
        assert path.stat().st_size <= 2_000_000
        judge = judges.load(path.stem)
        assert judge.data == path.stem and judge.accuracy >= 0.995


@pytest.mark.mnist
def test_the_mnist_judge_is_as_good_as_it_says():
    try:
        group = load_pictures("mnist", split="test").groups[0]
    except InputError:
        pytest.skip("the MNIST files are not here")
    judge = judges.load("mnist")
    named = judge.classify(judge.features(to_float(group.images)))
    assert (named == group.labels).float().mean().item() == pytest.approx(judge.accuracy, abs=1e-3)


def test_inception_sees_bytes_in_three_channels_and_says_what_it_needs(monkeypatch):
    from torchmetrics.image import fid

    class Reads:
        """Torchmetrics' class, with pixels for features."""

        def __init__(self, name, features_list):
            assert (name, features_list) == ("inception-v3-compat", ["2048"])

        def __call__(self, images):
            assert images.dtype == torch.uint8 and images.shape[1] == 3
            return images.flatten(1).double()

    monkeypatch.setattr(fid, "NoTrainInceptionV3", Reads)
    pictures = torch.tensor([-1.0, 1.0]).repeat(3, 2, 1)[:, None]
    assert judges.inception()(pictures).tolist() == [[0.0, 255.0] * 6] * 3

    def missing(*_):
        raise ModuleNotFoundError("torch-fidelity is not installed")

    monkeypatch.setattr(fid, "NoTrainInceptionV3", missing)
    with pytest.raises(InputError, match="need torch-fidelity.*is not installed"):
        judges.inception()
