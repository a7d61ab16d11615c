"""Settings and arguments say what they take by their type hints; whatever else is given is one sentence."""

import math
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float

from s2id.checks import Within, check, checked, meant, shown, wanted
from s2id.data.request import Request
from s2id.errors import InputError
from s2id.evaluation.settings import EvaluateConfig
from s2id.network.settings import ModelConfig, PublishedConfig
from s2id.sampling.settings import Card, Sampling
from s2id.settings import from_dict, read_json, to_dict
from s2id.training.settings import DistillConfig, StudentConfig, TrainConfig

SCALARS = st.sampled_from(
    [None, True, False, -1, 0, 1, 2, 7, 64, 2**31, 2**63, 10**30, -(10**400), 10**5000, 0.5, 1.0, -1e-308, 1e308]
    + [math.nan, math.inf, "", "full", "nan", "5", "\0", "é" * 50, b"x", [], {}, [[]], [[1, 2]], {"a": 1}]
)

ANYTHING = SCALARS | st.integers() | st.floats() | st.lists(SCALARS, max_size=3)


@dataclass(frozen=True)
class Kite:
    """Settings of a kite."""

    sides: Annotated[int, Within(3, 9)] = 4
    tail: Annotated[float, Within(0, 2, open_high=True)] | None = None
    colours: tuple[str, ...] = ()
    place: tuple[float, float] = (0.0, 0.0)
    knot: Literal["bow", "reef"] = "bow"

    def __post_init__(self) -> None:
        """Refuse what does not fly."""
        check(self)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sides": 2}, "sides is 2; it must be a whole number, at least 3 and at most 9."),
        ({"sides": 4.0}, "sides is 4.0; it must be a whole number"),
        ({"sides": True}, "sides is True; it must be"),
        ({"sides": "4"}, "sides is '4'; it must be"),
        ({"tail": 2.0}, "tail is 2; it must be a number, at least 0 and below 2 or none."),
        ({"tail": math.nan}, "tail is nan; it must be"),
        ({"tail": 10**400}, "tail is 1000"),
        ({"colours": "red"}, "colours is 'red'; it must be a list, each a text."),
        ({"colours": ("red", 3)}, "colours holds 3; it must be a text."),
        ({"place": (1.0,)}, "place is (1.0,); it must be 2 values (a number; a number)."),
        ({"place": [1, math.inf]}, "place holds inf; it must be a number."),
        ({"colours": ("caf\udce9",)}, "colours holds 'caf\\udce9'; it must be a text."),
        ({"knot": "granny"}, "knot is 'granny'; it must be one of bow, reef."),
        ({"knot": 9 * "long name "}, "name...; it must be one of bow, reef."),
    ],
)
def test_a_misfit_is_named_with_what_was_expected(changes, sentence):
    with pytest.raises(InputError) as caught:
        Kite(**changes)
    assert sentence in str(caught.value)


def test_values_become_what_is_meant():
    values = {"sides": np.int64(5), "tail": 1, "colours": ["red"], "place": [1, np.float32(0.5)]}
    kite = from_dict(Kite, values, "the kite")
    assert kite == Kite(5, 1.0, ("red",), (1.0, 0.5))
    assert [type(one) for one in (kite.sides, kite.tail, kite.place[0])] == [int, float, float]
    assert meant("a/b", Path | None) == Path("a/b")
    assert meant(torch.zeros(2, 3), Float[torch.Tensor, "h w"]).shape == (2, 3)


def test_a_tensor_of_another_shape_or_type_is_a_sentence():
    @checked
    def area(picture: Float[torch.Tensor, "c h w"]) -> int:
        return picture[0].numel()

    assert area(torch.zeros(1, 2, 3)) == 6
    for wrong, shows in ((torch.zeros(2, 3), "float32 of shape (2, 3)"), (torch.zeros(1, 2, 3).long(), "int64")):
        with pytest.raises(InputError) as caught:
            area(picture=wrong)
        assert shows in str(caught.value)
        assert "picture is an array of" in str(caught.value)
        assert "it must be a tensor of floats with axes (c, h, w)." in str(caught.value)


def test_a_value_is_shown_in_few_characters():
    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError

    assert shown(Odd()) == "of type Odd"
    assert len(shown("x" * 10**6)) < 70 and len(shown(list(range(10**5)))) < 70
    assert shown(10**5000) == "of type int"  # Python refuses to write so many digits
    assert wanted(tuple[int, ...]) == "a list, each a whole number"


KINDS = (
    Sampling, Card, ModelConfig, PublishedConfig, TrainConfig, DistillConfig, StudentConfig, EvaluateConfig, Request,
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_any_value_of_any_setting_is_taken_or_refused_in_a_sentence(kind):
    required = {f.name: "folder" for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
    plain = to_dict(kind(**required))
    names = sorted(name for name, value in plain.items() if not isinstance(value, dict))

    @settings(max_examples=400, deadline=None, database=None)
    @given(st.sampled_from(names), ANYTHING)
    def try_out(name, value):
        try:
            made = from_dict(kind, {**required, name: value}, "the file")
        except InputError as error:
            assert str(error).startswith("the file cannot be used: ") and len(str(error)) < 600
        else:
            assert all(math.isfinite(value) for value in to_dict(made).values() if isinstance(value, float))

    try_out()


def test_what_is_no_set_of_values_is_a_sentence():
    for wrong in ([], None, "text", 3):
        with pytest.raises(InputError, match="the file is no set of names and values"):
            from_dict(Kite, wrong, "the file")
    with pytest.raises(InputError, match="the file has fields that this version of s2id does not know"):
        from_dict(Kite, {"wings": 2, 3: 4}, "the file")
    for text in ("", "{", "[" * 10**5, b"\xff", "9" * 5000):
        with pytest.raises(InputError, match="the file is no JSON"):
            read_json(text, "the file")
