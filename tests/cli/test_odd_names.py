"""Every name that a data set may have can be asked for on the command line, and its picture has a file of its own."""

import json
import unicodedata
from dataclasses import replace

import pytest

from s2id.cli.main import main
from s2id.cli.options import in_file_names
from s2id.names import quoted
from s2id.network.settings import ModelConfig
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Card

TINY = ModelConfig(width=8, heads=1, encoder_blocks=0, decoder_blocks=1, film_width=8)


@pytest.fixture
def saved(tmp_path):
    """Maker of a model's file, from the names of classes and attributes."""

    def make(*labels, attributes=(), numbers=()):
        config = replace(TINY, classes=len(labels), attributes=len(attributes), numbers=len(numbers))
        ranges = tuple((20.0, 60.0) for _ in numbers)
        card = Card("noise", 8, labels, attributes=attributes, numbers=numbers, number_ranges=ranges, size=(4, 4))
        S2ID(config, card).eval().save(tmp_path / "odd.safetensors")
        return tmp_path / "odd.safetensors"

    return make


def files(capsys, out, weights, *words):
    """What a command said, and the names of the files that it wrote."""
    code = main(["sample", str(weights), "--steps", "1", "--out", str(out), *map(str, words)])
    said, wrong = capsys.readouterr()
    assert code == 0, wrong
    return said, sorted(path.name for path in out.iterdir())


def refused(capsys, *words):
    assert main([str(word) for word in words]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_a_class_called_by_a_number_is_asked_for_by_it(saved, tmp_path, capsys):
    weights = saved("3", "5", "7")
    assert files(capsys, tmp_path / "a", weights, "--label", "5")[1] == ["label5-seed0-4x4.png"]
    assert files(capsys, tmp_path / "b", weights, "--label", "all")[1] == [f"label{i}-seed0-4x4.png" for i in (3, 5, 7)]
    assert "label '0' is none of this model's; choose one of 3, 5, 7" in refused(
        capsys, "sample", weights, "--label", "0"
    )
    picture = tmp_path / "b" / "label3-seed0-4x4.png"
    assert "label '1'" in refused(capsys, "upscale", picture, "--size", 8, "--weights", weights, "--label", 1)


ODD = [
    "a b", "a_b", "a&b", "A B", "all", "None", "a,b", 'say "hi"', " x ", "a=b", "CON", "x" * 300, "😀", "😁", "é",
    "../..",
]  # fmt: skip


def test_every_class_can_be_asked_for_and_has_a_file(saved, tmp_path, capsys):
    weights = saved(*ODD)
    _, every = files(capsys, tmp_path / "all", weights, "--label", "all", "--fields")
    assert len({unicodedata.normalize("NFD", name).casefold() for name in every}) == 2 * len(ODD)
    _, listed = files(capsys, tmp_path / "list", weights, "--label", ",".join(map(quoted, ODD)), "--fields")
    assert listed == every
    _, one = files(capsys, tmp_path / "one", weights, "--label", quoted("a,b"))
    assert len(one) == 1 and {*one} <= {*every}


def test_words_for_all_and_none_are_said_where_a_class_has_them(saved, tmp_path, capsys):
    weights = saved("all", "None", "cat")
    said, names = files(capsys, tmp_path / "none", weights, "--label", "none")
    assert names == ["seed0-4x4.png"] and """none means no class; the class of this name is --label '"None"'""" in said
    said, names = files(capsys, tmp_path / "all", weights, "--label", "all")
    assert len(names) == 3 and """all means every class; the class of this name is --label '"all"'""" in said
    said, names = files(capsys, tmp_path / "both", weights, "--label", '"all",none')
    assert names == ["label0-all-seed0-4x4.png", "seed0-4x4.png"]


def test_info_says_which_names_need_quotes(saved, capsys):
    assert main(["info", str(saved("cat", "all", attributes=("big, red",)))]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["card"]["labels"] == ["cat", "all"]
    assert """'"all"', '"big, red"'""" in err
    assert main(["info", str(saved("cat"))]) == 0
    assert not capsys.readouterr().err


def test_attributes_with_odd_names_are_asked_for_and_told_apart(saved, tmp_path, capsys):
    attributes = ("big, red", "a b", "a_b", "Hat", "hat", "x=y")
    weights = saved("cat", attributes=attributes, numbers=("body, mass", "age"))
    _, names = files(
        capsys, tmp_path / "a", weights, "--with", '"big, red","body, mass"=30.5,AGE=40', "--without", '"x=y"'
    )
    assert names == ["with-big__red-body__mass=30.5-age=40-without-x=y-seed0-4x4.png"]
    _, names = files(
        capsys,
        tmp_path / "b",
        weights,
        "--label",
        "none",
        "--avoid",
        "a_b,age=30",
        "--set",
        'stronger="big, red"=4,label=2',
    )
    assert len(names[0]) < 100 and names[0].startswith("avoid-a_b-") and "-avoid-age=30-stronger-big__red" in names[0]
    card = Card(attributes=attributes)
    words = [in_file_names(quoted(name), card, before)[0] for name in attributes for before in ("with-", "avoid-")]
    assert len({word.casefold() for word in words}) == 2 * len(attributes)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--label", "a,b"], """label 'a' is none of this model's; choose one of "a,b", cat; on the command line"""),
        (["--label", '"a,b'], "double quote that is not closed"),
        (["--label", ""], "label '' is none"),
        (["--label", "cat,,cat"], "label '' is none"),
        (["--with", "smiling=yes"], "'smiling=yes' is not understood"),
        (["--with", "age=nan"], "'age=nan' is not understood"),
        (
            ["--with", "age=30,age=40"],
            "'age=40' is not understood: what stands behind = is no number, or age has two; write names",
        ),
        (["--with", "smiling", "--without", "smiling"], "--with and --without both name smiling"),
        (["--with", "smiling", "--without", "Smiling"], "attribute 'smiling' is asked for again as 'Smiling'"),
        (["--seed", f"0-{'9' * 5000}"], "exceeds 18446744073709551615"),
        (["--seed", 2**64], "exceeds 18446744073709551615"),
        (["--seed", "0-9999999999"], "names more than 1,000,000 seeds"),
        (["--seed", "-1"], "seed '-1' is no number, range or list"),
        (["--seed", "1-2-3"], "seed '1-2-3' is no number, range or list"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(saved, tmp_path, capsys, words, said):
    weights = saved("a,b", "cat", attributes=("Smiling",), numbers=("age",))
    assert said in refused(capsys, "sample", weights, "--out", tmp_path / "out", *words)
    assert not list((tmp_path / "out").glob("*"))
