"""Files of models: what is saved comes back, and what is damaged is refused in a sentence."""

import json
import pickle
import re
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import torch
from conftest import SMALL_PUBLISHED, enliven
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file

from s2id.errors import InputError
from s2id.files import checksum, fill, stored, write_tensors
from s2id.network.settings import network_to_dict
from s2id.sampling.model import S2ID, load
from s2id.sampling.model_file import MODEL_FILE
from s2id.sampling.readme import readme
from s2id.settings import to_dict


def weights(model):
    return model.network.state_dict()


def same(a, b):
    return weights(a).keys() == weights(b).keys() and all(torch.equal(weights(a)[k], weights(b)[k]) for k in weights(a))


@pytest.fixture
def path(model, tmp_path):
    """A model's file."""
    model.save(tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors"


def test_a_saved_model_comes_back_to_the_bit(model, path):
    again = load(path)
    assert same(again, model) and again.config == model.config and again.card == model.card
    assert not again.training and not any(p.requires_grad for p in again.parameters())
    assert same(load(str(path)), model)


def test_half_precision_files_are_half_as_long_and_close(model, tmp_path, path):
    model.save(str(tmp_path / "half.safetensors"), torch.float16)
    half = load(tmp_path / "half.safetensors")
    for key, value in weights(half).items():
        assert value.dtype == torch.float32
        assert torch.allclose(value, weights(model)[key], rtol=1e-3, atol=1e-6)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * path.stat().st_size
    assert weights(model)["stem.weight"].dtype == torch.float32


def test_files_of_bytes_are_short_and_wrong_by_at_most_half_a_step_of_each_row(model, tmp_path, path):
    with torch.no_grad():
        model.network.stem.weight[0] = 0.0
    model.save(tmp_path / "bytes.safetensors", torch.int8)
    small = load(tmp_path / "bytes.safetensors")
    assert small.config == model.config and small.card == model.card
    assert (tmp_path / "bytes.safetensors").stat().st_size < 0.5 * path.stat().st_size  # most of it is the header
    for key, value in weights(small).items():
        own = weights(model)[key]
        assert value.dtype == torch.float32
        if own.ndim < 2:
            assert torch.equal(value, own.half().float())
        else:
            step = own.flatten(1).abs().amax(1) / 127
            assert ((value - own).flatten(1).abs().amax(1) <= 0.501 * step).all()
    small.save(tmp_path / "again.safetensors", torch.int8)
    again = load(tmp_path / "again.safetensors")
    assert all(torch.allclose(weights(again)[key], value, atol=1e-7) for key, value in weights(small).items())


@pytest.mark.parametrize(
    "scale",
    [torch.ones(3), torch.ones(16, 1), torch.ones(16, dtype=torch.int8)],
    ids=["too few", "two axes", "whole numbers"],
)
def test_a_file_whose_scales_are_not_one_per_row_is_refused(model, tmp_path, scale):
    tensors = stored(model.tensors(), torch.int8)
    assert "stem.weight:scale" in tensors and len(tensors["stem.weight:scale"]) == 16
    tensors["stem.weight:scale"] = scale
    facts = {name: json.dumps(values) for name, values in model.facts().items()}
    write_tensors(tmp_path / "a.safetensors", tensors, {"format": "s2id-model-1", **facts})
    with pytest.raises(InputError, match=r"a\.safetensors has not one scale for each row of stem\.weight"):
        load(tmp_path / "a.safetensors")


def test_whole_numbers_without_scales_are_refused(model, tmp_path):
    tensors = {k: v for k, v in stored(model.tensors(), torch.int8).items() if k != "stem.weight:scale"}
    facts = {name: json.dumps(values) for name, values in model.facts().items()}
    write_tensors(tmp_path / "a.safetensors", tensors, {"format": "s2id-model-1", **facts})
    with pytest.raises(InputError, match="the values of stem.weight in .* are no numbers with a point"):
        load(tmp_path / "a.safetensors")


def test_a_folder_for_the_hub_comes_back_to_the_bit(model, tmp_path):
    model.save_pretrained(tmp_path / "folder")
    assert {p.name for p in (tmp_path / "folder").iterdir()} >= {"config.json", MODEL_FILE}
    for again in (S2ID.from_pretrained(tmp_path / "folder"), load(tmp_path / "folder")):
        assert same(again, model) and again.config == model.config and again.card == model.card
    said = json.loads((tmp_path / "folder" / "config.json").read_text())
    assert said["config"] == json.loads(json.dumps(network_to_dict(model.config)))
    assert said["card"] == json.loads(json.dumps(to_dict(model.card)))


@pytest.fixture
def weaker(model):
    """A smaller model of the same data."""
    made = S2ID(replace(model.config, width=8, heads=1), model.card).eval().requires_grad_(False)
    enliven(made, seed=3)
    return made


def test_a_guide_is_kept_in_the_same_file(model, weaker, tmp_path):
    guided = model.guided_by(weaker, 1.75)
    assert same(guided, model) and guided.card == replace(model.card, autoguidance=1.75) and model.guide is None
    guided.save_pretrained(tmp_path / "folder")
    for again in (S2ID.from_pretrained(tmp_path / "folder"), load(tmp_path / "folder")):
        assert same(again, model) and again.card == guided.card and again.guide.config == weaker.config
        assert all(torch.equal(v, weights(weaker)[k]) for k, v in again.guide.state_dict().items())
        assert not again.guide.training and not any(p.requires_grad for p in again.parameters())
    said = json.loads((tmp_path / "folder" / "config.json").read_text())
    assert said["guide"]["width"] == 8 and said["card"]["autoguidance"] == 1.75
    assert checksum(guided.tensors()) != checksum(model.tensors())


def test_sampling_may_be_told_to_end_on_finer_states(model):
    model.card = replace(model.card, size=(16, 16))
    guided = model.guided_by(model, 1.5)
    finer = guided.ending_on(12, 0.5)
    assert (finer.card.detail_density, finer.card.detail_time, guided.card.detail_density) == (12, 0.5, 0)
    assert checksum(finer.tensors()) == checksum(guided.tensors()) and not finer.training
    for density, time, message in (
        (13, 0.5, "density to end on is 13; it must be a multiple of the patch 2"),
        (8, 0.5, "density to end on is 8; .* more than the model's 8"),
        (20, 0.5, "density to end on is 20; .* no more than its pictures' pixels"),
        (12, 1.0, "is 1; it must lie between 0 and 1"),
        (12, float("nan"), "is nan; it must be a number"),
    ):
        with pytest.raises(InputError, match=message):
            model.ending_on(density, time)
    for other, message in (
        (S2ID(SMALL_PUBLISHED, model.card), "draws no functions"),
        (S2ID(replace(model.config, latents=4), model.card), "composes an autoencoder's latents"),
        (S2ID(model.config, replace(model.card, times=(1.0, 0.5))), "distilled"),
    ):
        with pytest.raises(InputError, match=message):
            other.ending_on(12, 0.5)


@pytest.mark.parametrize(
    ("config", "card", "weight", "message"),
    [
        ({"classes": 7}, {}, 2.0, "the guide has classes 7 and the model 10"),
        ({}, {"density": 12}, 2.0, "the guide has density 12 and the model 8"),
        ({}, {"labels": tuple("abcdefghij")}, 2.0, "the guide has names of labels"),
        ({}, {"schedule_shift": -1.0}, 2.0, "the guide has schedule_shift -1.0"),
        ({"patch": 4}, {}, 2.0, "the guide's patch is 4 and the model's 2"),
        ({"lattice": 4}, {}, 2.0, "the guide's lattice is 4 in a patch of 2 and the model's 2 in one of 2"),
        ({}, {"times": (1.0, 0.5)}, 2.0, "a distilled model draws and does nothing else"),
        ({}, {}, float("nan"), "autoguidance is nan"),
    ],
)
def test_a_guide_that_draws_something_else_is_refused(model, config, card, weight, message):
    other = S2ID(replace(model.config, **config), replace(model.card, **card))
    with pytest.raises(InputError, match=message):
        model.guided_by(other, weight)
    with pytest.raises(InputError, match="the guide has network published and the model field"):
        model.guided_by(S2ID(SMALL_PUBLISHED, model.card), 2.0)


def test_a_file_whose_guide_is_not_whole_is_refused(model, weaker, tmp_path):
    guided = model.guided_by(weaker, 2.0)
    part = {k: v for k, v in guided.tensors().items() if k != "guide.stem.weight"}
    for tensors, said in ((part, guided), (guided.tensors(), model)):
        facts = {name: json.dumps(values) for name, values in said.facts().items()}
        write_tensors(tmp_path / "part.safetensors", tensors, {"format": "s2id-model-1", **facts})
        with pytest.raises(InputError, match=r"does not fit its config: guide\.[a-z_.]+ and \d+ more differ"):
            load(tmp_path / "part.safetensors")


def test_a_file_on_the_hub_comes_back_to_the_bit(model, path, monkeypatch):
    asked = []

    def download(repository, file, **options):
        asked.append((repository, file))
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    for name in ("someone/digits", "someone/digits-v1.5"):
        assert same(load(name), model)
    with pytest.raises(InputError, match="may be a pickle"):
        load("someone/digits.PT")
    assert asked == [("someone/digits", MODEL_FILE), ("someone/digits-v1.5", MODEL_FILE)]


def test_a_model_the_hub_does_not_give_is_a_sentence(monkeypatch):
    def download(*args, **options):
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(InputError, match="'someone/digits' is neither a file here nor a repository that the Hub gives"):
        load("someone/digits")


@pytest.mark.parametrize("name", ["nothing", "missing.safetensors", "no/such/file.safetensors"])
def test_a_missing_model_is_a_sentence(name):
    with pytest.raises(InputError, match=f"there is no model '{name}'"):
        load(name)


def test_a_missing_path_in_a_folder_that_exists_is_not_looked_for_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *args, **options: pytest.fail("asked the Hub"))
    with pytest.raises(InputError, match="there is no model 'runs/typo'"):
        load("runs/typo")


def test_a_near_miss_of_a_bundled_name_is_suggested(monkeypatch):
    monkeypatch.setattr("s2id.sampling.model_file.bundled", lambda: ["mnist", "faces"])
    with pytest.raises(InputError, match=r"did you mean mnist\?"):
        load("mnits")


def test_a_folder_without_a_model_is_a_sentence(tmp_path):
    with pytest.raises(InputError, match="there is no model"):
        load(tmp_path)


@pytest.mark.parametrize("keep", [0, 1, 7, 100, -100, -1])
def test_a_truncated_file_is_a_sentence(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="no complete .safetensors file"):
        load(path)


def altered_at(path, place):
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("place", [-1, -5000, -20001])
def test_one_altered_bit_of_the_numbers_is_a_sentence(path, place):
    altered_at(path, place)
    with pytest.raises(InputError, match="was altered: it does not match its checksum"):
        load(path)


def test_one_altered_bit_of_the_header_is_a_sentence_wherever_it_is(path):
    raw = path.read_bytes()
    header = struct.unpack("<Q", raw[:8])[0]
    for place in range(0, 8 + header, 23):
        path.write_bytes(raw)
        altered_at(path, place)
        with pytest.raises(InputError):
            load(path)


def test_an_altered_fact_is_a_sentence(path):
    raw = path.read_bytes()
    assert raw.count(b'\\"density\\": 8') == 1
    path.write_bytes(raw.replace(b'\\"density\\": 8', b'\\"density\\": 9'))
    with pytest.raises(InputError, match="was altered"):
        load(path)


class Bomb:
    """Runs code where it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was read",)


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.ckpt", "a.pkl", "a.bin", "a.safetensors"])
@pytest.mark.parametrize("dump", ["pickle", "torch"])
def test_a_pickle_is_never_read_whatever_its_name(tmp_path, name, dump):
    if dump == "torch":
        torch.save({"bomb": Bomb()}, tmp_path / name)
    else:
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    # not the word alone, which this test's own folder holds too
    with pytest.raises(
        InputError, match="is a pickle, which runs code when read|may be a pickle, and pickles run code"
    ):
        load(tmp_path / name)


def test_a_safetensors_file_of_another_program_is_a_sentence(tmp_path):
    for facts in (None, {"format": "pt"}):
        save_file({"weight": torch.zeros(2)}, tmp_path / "a.safetensors", facts)
        with pytest.raises(InputError, match="not 's2id-model-1'; it was not written by s2id for this"):
            load(tmp_path / "a.safetensors")


@pytest.mark.parametrize("change", [{"width": 32}, {"decoder_blocks": 2}, {"classes": 3}])
def test_numbers_that_do_not_fit_the_config_are_a_sentence(model, tmp_path, change):
    facts = {
        "format": "s2id-model-1",
        "config": json.dumps(network_to_dict(replace(model.config, **change))),
        "card": json.dumps(to_dict(model.card)),
    }
    write_tensors(tmp_path / "a.safetensors", weights(model), facts)
    wanted = "has 10 labels and the network 3" if "classes" in change else "does not fit its config"
    with pytest.raises(InputError, match=wanted):
        load(tmp_path / "a.safetensors")


def test_a_config_of_a_newer_release_is_a_sentence(model, tmp_path):
    for part, text in (("config", network_to_dict(model.config)), ("card", to_dict(model.card))):
        facts = {
            "format": "s2id-model-1",
            "config": json.dumps(network_to_dict(model.config)),
            "card": json.dumps(to_dict(model.card)),
        }
        facts[part] = json.dumps({**text, "wings": 2})
        write_tensors(tmp_path / "a.safetensors", weights(model), facts)
        with pytest.raises(InputError, match=f"the {part} in .* has fields .*wings"):
            load(tmp_path / "a.safetensors")


def test_a_module_takes_exactly_its_own_tensors(tmp_path):
    module = torch.nn.Linear(2, 3)
    own = module.state_dict()
    fill(module, {k: v + 1 for k, v in own.items()}, tmp_path)
    for wrong in ({}, {"weight": own["weight"]}, {**own, "more": own["bias"]}, {**own, "bias": torch.zeros(4)}):
        with pytest.raises(InputError, match="does not fit its config"):
            fill(module, wrong, tmp_path)


def test_the_checksum_hears_every_name_type_shape_and_fact():
    tensors = {"a": torch.zeros(2, 3), "b": torch.ones(1)}
    others = [
        {"c": tensors["a"], "b": tensors["b"]},
        {"a": torch.zeros(3, 2), "b": tensors["b"]},
        {"a": torch.zeros(2, 3, dtype=torch.int32), "b": tensors["b"]},
        {"a": torch.full((2, 3), 1e-45), "b": tensors["b"]},
    ]
    sums = {checksum(tensors), checksum(tensors, {"x": "1"}), checksum(tensors, {"x": "2"}), *map(checksum, others)}
    assert len(sums) == 7
    assert checksum(dict(reversed(tensors.items()))) == checksum(tensors)


def test_a_file_that_cannot_be_written_is_a_sentence(model, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be written"):
        model.save(tmp_path / "file" / "a.safetensors")


def test_the_readme_of_a_models_folder_says_what_it_is_and_how_to_draw(model, tmp_path):
    model.card = replace(
        model.card, data="my | pictures", labels=("a cat", *"123456789"), size=(24, 32), images_seen=9876
    )
    model.save_pretrained(tmp_path / "m", training={"lr": 0.125})
    page = (tmp_path / "m" / "README.md").read_text()
    for fact in ("my \\| pictures", "24x32 pixels, grey", "10: a cat, 1, 2", "9,876", '"lr": 0.125', '"width": 16'):
        assert fact in page
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert "More Information Needed" not in page and 'label="a cat"' in code
    exec(code.replace("size=512", "size=16").replace("picture.png", str(tmp_path / "picture.png")), {})
    assert (tmp_path / "picture.png").is_file()
    told = readme(model.facts(), 1, "it's $HOME")
    assert """`s2id sample 'it'"'"'s $HOME' """ in told


def test_a_runs_folder_stands_for_its_model(model, tmp_path):
    model.save_pretrained(tmp_path / "run" / "model")
    assert same(load(tmp_path / "run"), model) and same(S2ID.from_pretrained(str(tmp_path / "run")), model)
    (tmp_path / "new" / "checkpoints").mkdir(parents=True)
    with pytest.raises(InputError, match="has not ended and no model yet; train it to its end with --resume latest"):
        load(tmp_path / "new")


def test_a_model_is_uploaded_as_its_folder(model, monkeypatch):
    seen = {}

    def upload(repo_id, folder_path):
        seen.update({path.name: path.read_text(errors="replace") for path in Path(folder_path).iterdir()})
        return f"there/{repo_id}"

    monkeypatch.setattr(huggingface_hub, "create_repo", lambda name, private, exist_ok: None)
    monkeypatch.setattr(huggingface_hub, "upload_folder", upload)
    assert model.push_to_hub("me/mine") == "there/me/mine"
    assert set(seen) == {"config.json", "README.md", MODEL_FILE} and 's2id.load("me/mine")' in seen["README.md"]


def test_drawing_imports_no_more_than_it_needs():
    """The Hub's client, accelerate and Pillow's text take longer to import than drawing needs."""
    late = ["huggingface_hub", "accelerate", "PIL.ImageFont", "PIL.ImageDraw", "tyro"]
    draw = "s2id.sample(s2id.load('mnist-fast'), 7).image(size=(9, 9))"
    code = f"import sys, s2id; {draw}; print(*(set({late}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""
