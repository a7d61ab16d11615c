"""Flags and settings of a command, generated from its dataclass."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from s2id.cli.commands import COMMANDS, name_of, parse
from s2id.cli.flags import Help, options, part, read
from s2id.cli.main import main
from s2id.errors import InputError
from s2id.network.settings import DATA_FIELDS
from s2id.settings import setting
from s2id.training.presets import PRESETS


@dataclass(frozen=True)
class Inner:
    """Settings."""

    steps: int | None = None
    """Number of steps."""
    width: int = setting(4, "network")
    """Width."""
    interval: tuple[float, float] = setting((0.0, 1.0), "sampling")
    """First and last time."""
    sizes: tuple[int, ...] = setting((1,), "sampling")
    """Sizes."""
    pairs: tuple[tuple[str, float], ...] = setting((), "sampling")
    """Weights by name."""
    shift: bool = setting(True, "sampling")
    """Whether it shifts."""
    kind: Literal["a", "b"] = setting("a", "sampling")
    """Which."""
    density: int | None = setting(None, "sampling")
    """Density."""
    data: int = 1
    """What the data decide."""

    def __post_init__(self):
        if self.width < 1:
            raise InputError(f"width is {self.width}; it must be at least 1.")


@dataclass(frozen=True)
class Toy:
    """A toy."""

    name: tyro.conf.Positional[str]
    with_: Annotated[str, Help("Company.")] = "nobody"
    inner: Inner = part(Inner(), omit=("data",))
    fixed: Inner = part(
        Inner(width=8),
        group="fixed",
        flags=("density",),
        omit=("steps", "width", "interval", "sizes", "pairs", "shift", "data"),
    )
    shade: Literal["dark", "light"] = "light"
    out: Path = Path("out")

    def run(self):
        return 0


def test_plain_fields_are_flags_and_others_settings():
    toy = read(Toy, ["a", "--with", "b", "--steps", "3", "--density", "7", "--out", "x"])
    assert (toy.name, toy.with_, toy.inner.steps, toy.fixed.density, toy.out) == ("a", "b", 3, 7, Path("x"))
    assert toy.inner.density is None and toy.fixed.width == 8


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("width=7", "width", 7),
        ("interval=0.1,0.6", "interval", (0.1, 0.6)),
        ("sizes=20,16", "sizes", (20, 16)),
        ("sizes=", "sizes", ()),
        ("pairs=smiling=4,age=2.5", "pairs", (("smiling", 4.0), ("age", 2.5))),
        ("density=9", "density", 9),
        ("density=none", "density", None),
    ],
)
def test_a_setting_is_read_by_its_type(text, name, value):
    assert getattr(read(Toy, ["a", "--set", text]).inner, name) == value


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("width", "--set 'width' is not understood; write --set name=value."),
        ("widht=3", "there is no setting 'widht'; did you mean width?"),
        ("steps=3", "steps is a flag of this command; write --steps instead of --set."),
        ("width=wide", "--set width takes a whole number, not 'wide'; its default is 4."),
        ("width=0", "width is 0; it must be at least 1."),
        ("interval=0.1", "--set interval takes 2 values (a number; a number), not '0.1'; its default is 0,1."),
        ("sizes=1,x", "--set sizes takes a list, each a whole number, not '1,x'; its default is 1."),
        ("density=x", "--set density takes a whole number or none, not 'x'; its default is none."),
        ("data=3", "there is no setting 'data'; --help-all lists the settings."),
    ],
)
def test_a_bad_setting_is_refused_in_a_sentence(text, sentence):
    with pytest.raises(InputError) as refused:
        read(Toy, ["a", "--set", text])
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("flag", "text", "sentence"),
    [
        ("--steps", "x", "--steps takes a whole number or none, not 'x'; its default is none."),
        ("--steps", "1.5", "--steps takes a whole number or none, not '1.5'; its default is none."),
        ("--shade", "red", "--shade takes one of dark, light, not 'red'; its default is light."),
    ],
)
def test_a_bad_flag_is_refused_in_a_sentence(flag, text, sentence):
    with pytest.raises(InputError) as refused:
        read(Toy, ["a", flag, text])
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("--lable", "sample has no flag --lable; did you mean --label?"),
        ("--zzz=3", "sample has no flag --zzz; --help lists its flags."),
        ("--guidance_interval=0,1", "guidance-interval is a setting of sample; write --set guidance-interval=VALUE."),
    ],
)
def test_a_flag_that_there_is_not_is_refused_in_one_sentence(word, sentence):
    with pytest.raises(InputError) as refused:
        parse(["sample", "mnist", word])
    assert str(refused.value) == sentence


@pytest.mark.parametrize(("text", "value"), [("3", 3), ("-3", -3), ("none", None), ("None", None)])
def test_a_number_is_read_by_its_type(text, value):
    assert read(Toy, ["a", "--steps", text]).inner.steps == value


def test_of_a_flag_given_twice_the_last_counts_and_sizes_and_settings_add_up():
    words = ["--steps", "3", "--steps", "4", "--set", "eta=0.5", "--set", "density=9", "--size", "8x8", "--size", "9"]
    command = parse(["sample", "mnist", *words])
    assert (command.sampling.steps, command.sampling.eta, command.sampling.density) == (4, 0.5, 9)
    assert [*command.size] == ["8x8", "9"]
    with pytest.raises(InputError, match="--set eta is given twice; give it once"):
        parse(["sample", "mnist", "--set", "eta=0.5", "--set", "eta=0.25"])


def test_help_all_lists_every_setting_by_group(capsys):
    with pytest.raises(SystemExit) as done:
        read(Toy, ["--help-all"])
    said = capsys.readouterr().out
    assert done.value.code == 0
    assert "--steps" in said and "Company." in said
    assert said.index("settings of the network") < said.index("  width=4\n      Width.") < said.index("  interval=0,1")


@pytest.mark.parametrize("kind", COMMANDS, ids=name_of)
def test_every_flag_says_what_it_is_for(kind, capsys):
    found = list(options(kind))
    shared = [one for option in found for one in getattr(option.kind, "__metadata__", ()) if isinstance(one, Help)]
    assert found and all(option.help for option in found if not getattr(option.kind, "__metadata__", None))
    assert all(one.text for one in shared)
    for group in (True, False):
        names = [option.name for option in found if (option.group is None) is group]
        assert len(names) == len(set(names))


ADDED = ("studio", "morph", "film")
"""Commands with a budget of their own, of eight flags each."""


def test_help_is_short(capsys):
    """At most 20 flags of any command and 120 of the first twelve together, besides --help and --help-all."""
    counts = {}
    for kind in COMMANDS:
        with pytest.raises(SystemExit):
            parse([name_of(kind), "--help"])
        # the box is drawn with other characters where the console has no lines
        counts[name_of(kind)] = len(re.findall(r"^[│ ] --(?!help)\w", capsys.readouterr().out, flags=re.MULTILINE))
    assert all(0 < counts.pop(name) <= 8 for name in ADDED)
    assert max(counts.values()) <= 20 and 80 < sum(counts.values()) <= 120, counts


@pytest.mark.parametrize("preset", PRESETS)
def test_every_setting_of_a_preset_is_set(preset):
    command = parse(["train", preset, "--set", "width=240", "--set", "keep=7", "--lr", "0.5"])
    assert command.model.width == 240 and command.train.keep == 7 and command.train.lr == 0.5


@pytest.mark.parametrize("name", DATA_FIELDS)
def test_what_the_data_decide_cannot_be_set(name, capsys):
    assert main(["train", "mnist", "--dry-run", "--set", f"{name}=3"]) == 2
    assert f"there is no setting '{name.replace('_', '-')}'" in capsys.readouterr().err


def test_commands_are_found_by_name(capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name_of(kind)} " in said for kind in COMMANDS) and {"t-scrape", "sample"} <= set(said.split())
    assert main(["smaple"]) == 2 and "there is no command 'smaple'; did you mean sample?" in capsys.readouterr().err
    assert parse(["sample", "mnist", "--seed", "3"]).seed == "3"
