"""Headers of model and field files: whatever they say, a file is taken or refused in a sentence."""

import json
import subprocess
import sys

import pytest
import torch
from conftest import TINY, enliven
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save as serialised

import s2id
from s2id.errors import InputError
from s2id.files import checksum
from s2id.network.settings import network_to_dict
from s2id.sampling.field import Field
from s2id.sampling.model import S2ID, load
from s2id.sampling.settings import Card
from s2id.settings import to_dict

VALUES = st.sampled_from(
    [None, True, -1, 0, 1, 2, 10**6, 10**12, 10**30, 0.5, -0.5, 1e308, float("nan"), float("inf"), "", "1", "linear"]
    + [[], [1], [1, 2], [[0, 1]], ["a"], ["a", "a"], {}, {"a": 1}, "\0", "é" * 99]
)

MODEL = S2ID(TINY, Card(data="noise", density=8, labels=tuple("0123456789"), size=(8, 8)))
enliven(MODEL)


def written(path, tensors, facts):
    """A file of these facts with the checksum that belongs to them, as whoever crafts one would write it."""
    ready = {name: tensor.contiguous() for name, tensor in tensors.items()}
    path.write_bytes(serialised(ready, {**facts, "sha256": checksum(ready, facts)}))
    return path


def model_facts(config=None, card=None):
    config, card = config or network_to_dict(MODEL.config), card or to_dict(MODEL.card)
    return {"format": "s2id-model-1", "config": json.dumps(config), "card": json.dumps(card)}


def test_any_value_in_a_models_header_is_taken_or_refused(tmp_path):
    config, card = network_to_dict(MODEL.config), to_dict(MODEL.card)
    tensors, path = MODEL.tensors(), tmp_path / "a.safetensors"

    @settings(max_examples=400, deadline=None, database=None)
    @given(st.sampled_from([*(("config", n) for n in config), *(("card", n) for n in card)]), VALUES)
    def try_out(place, value):
        part, name = place
        parts = {"config": config, "card": card}
        written(path, tensors, model_facts(**{**parts, part: {**parts[part], name: value}}))
        try:
            made = load(path)
        except InputError as error:
            assert str(path) in str(error)
        else:
            assert made.network.stem.weight.isfinite().all()

    try_out()


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "3", '"text"', "{", "[" * 100_000, '{"network": []}', '{"network": 3}']
)
def test_a_header_that_is_no_set_of_values_is_refused(text, tmp_path):
    for part in ("config", "card", "guide"):
        path = written(tmp_path / "a.safetensors", MODEL.tensors(), {**model_facts(), part: text})
        with pytest.raises(InputError, match=r"a\.safetensors"):
            load(path)
    for part in ("config", "card"):
        facts = model_facts()
        del facts[part]
        with pytest.raises(InputError, match=f"lacks its {part}"):
            load(written(tmp_path / "a.safetensors", MODEL.tensors(), facts))


def test_weights_that_are_no_numbers_are_refused_when_read_and_when_written(tmp_path):
    tensors = {name: tensor.clone() for name, tensor in MODEL.tensors().items()}
    tensors["head.out.bias"][0] = torch.nan
    with pytest.raises(InputError, match=r"holds NaN or infinity in head\.out\.bias"):
        load(written(tmp_path / "a.safetensors", tensors, model_facts()))
    broken = S2ID(TINY, MODEL.card)
    broken.network.head.out.bias.data[0] = torch.nan
    with pytest.raises(InputError, match="the model holds NaN or infinity"):
        broken.save(tmp_path / "b.safetensors")
    with pytest.raises(InputError, match="NaN or infinity"):
        s2id.sample(broken.eval().requires_grad_(False), 3, 0, steps=1).image(8)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


FIELD_FACTS = ["frame", "long_side", "palette", "labels", "seeds", "asked", "data", "format", "other"]


def test_any_value_in_a_fields_header_is_taken_or_refused(field, tmp_path):
    made, path = field(), tmp_path / "a.safetensors"
    tensors = {"features": made.features.values, **{f"head.{k}": v for k, v in made.head.state_dict().items()}}
    facts = {"format": "s2id-field-1", "frame": "[1.0, 1.0]"}

    @settings(max_examples=400, deadline=None, database=None)
    @given(st.sampled_from(FIELD_FACTS), VALUES, st.booleans())
    def try_out(name, value, as_text):
        written(path, tensors, {**facts, name: str(value) if as_text else json.dumps(value)})
        try:
            again = Field.load(path)
        except InputError as error:
            assert str(path) in str(error)
        else:
            assert again.features.frame == (1.0, 1.0)

    try_out()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"features": torch.zeros(1, 6, 8)}, "features of shape"),
        ({"features": torch.zeros(0, 6, 6, 8)}, "features of shape"),
        ({"features": torch.zeros(1, 6, 6, 9)}, "does not fit"),
        ({"head.out.weight": torch.zeros(5, 8), "head.out.bias": torch.zeros(5)}, "draws 5 channels"),
        ({"head.more": torch.zeros(1)}, "does not fit"),
        ({"head.out.weight": torch.zeros(())}, "a head of shape"),
        ({"features": torch.full((1, 6, 6, 8), torch.nan)}, "NaN or infinity"),
        ({"features": torch.zeros(1, 6, 6, 8).int()}, "are no numbers with a point"),
    ],
)
def test_a_field_of_other_shapes_is_refused(field, changes, sentence, tmp_path):
    made = field()
    tensors = {"features": made.features.values, **{f"head.{k}": v for k, v in made.head.state_dict().items()}}
    facts = {"format": "s2id-field-1", "frame": "[1.0, 1.0]"}
    with pytest.raises(InputError, match=sentence):
        Field.load(written(tmp_path / "a.safetensors", {**tensors, **changes}, facts))


def test_a_pixel_of_absurdly_many_values_is_refused(field):
    made = field(lattice=(2, 6000))
    with pytest.raises(InputError, match="shows 24,000 values of the function along a side of each pixel"):
        made.image((1, 1))


def test_a_file_says_what_it_is_by_its_name(field, model, tmp_path):
    for thing, ending in ((field(), " or .html"), (model, "")):
        with pytest.raises(InputError, match=rf"x\.txt does not end in \.safetensors{ending}, which"):
            thing.save(tmp_path / "x.txt")
    assert not list(tmp_path.iterdir())


ABSURD = """
import sys
from s2id.cli.main import main
for words in {words}:
    try:
        code = main(words)
    except SystemExit as stopped:
        code = stopped.code
    # the peak since the program began; getrusage would count the parent's memory too
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
    print(words, code, int(peak.split()[1]) // 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory from /proc")
def test_refusals_take_little_memory(field, tmp_path):
    config, card = network_to_dict(MODEL.config), to_dict(MODEL.card)
    crafted = []
    for i, change in enumerate(
        ({"width": 16384, "heads": 1, "encoder_blocks": 256}, {"classes": 2**20}, {"lattice": 64})
    ):
        facts = model_facts({**config, **change}, {**card, "labels": []})
        crafted.append(written(tmp_path / f"{i}.safetensors", MODEL.tensors(), facts))
    field().save(tmp_path / "field.safetensors")
    words = [
        *(["sample", str(path), "--out", str(tmp_path / "out")] for path in crafted),
        ["sample", "mnist-fast", "--size", "99999999999999999999x1"],
        ["sample", "mnist-fast", "--size", "65536x65536"],
        ["sample", "mnist-fast", "--guidance", "1e39"],
        ["sample", "mnist-fast", "--set", "density=10000000000"],
        ["render", str(tmp_path / "field.safetensors"), "--size", "1000000"],
        ["train", "tiny", "--set", "lattice=10000", "--dry-run"],
        ["train", "tiny", "--lr", "nan", "--dry-run"],
    ]
    done = subprocess.run(
        [sys.executable, "-c", ABSURD.format(words=words)], capture_output=True, text=True, timeout=300, check=True
    )
    rows = done.stdout.splitlines()
    assert [row.split()[-2] for row in rows] == ["2"] * len(words), done.stdout + done.stderr
    assert max(int(row.split()[-1]) for row in rows) < 300, rows
    assert "Traceback" not in done.stderr and not (tmp_path / "out").exists()
