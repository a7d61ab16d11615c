"""A name finds what it names in every spelling, can be written in a list whatever it holds, and names a file."""

import shlex
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2id.errors import InputError
from s2id.names import in_files, needing_quotes, position, quoted, split, unquoted

ANY = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), min_size=1, max_size=5, unique=True)
ODD = ["a,b", "all", "None", "", " a", 'say "hi"', "a=b", "é", "a\nb", "_", "3", "CON"]


@pytest.mark.parametrize("separator", [",", "="])
@given(names=ANY)
def test_a_list_of_quoted_names_holds_those_names(separator, names):
    assert [unquoted(part) for part in split(separator.join(map(quoted, names)), separator)] == names


@given(names=ANY)
def test_every_name_finds_itself_and_has_a_file_of_its_own(names):
    assert [position(name, names, "class") for name in names] == list(range(len(names)))
    files = in_files(names)
    assert len({unicodedata.normalize("NFD", file).casefold() for file in files}) == len(names)
    assert all(len(file.encode()) <= 60 and file.isprintable() and not {*file} & {*'/\\:*?"<>| '} for file in files)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_are_found_in_any_spelling_of_a_keyboard(form):
    known = [unicodedata.normalize(form, name) for name in ("Éte", "Wearing_Hat", "Straße")]
    for asked, place in {"éte": 0, "ÉTE": 0, "wearing hat": 1, "Wearing-hat ": 1, "STRASSE": 2}.items():
        for other in ("NFC", "NFD"):
            assert position(unicodedata.normalize(other, asked), known, "class") == place


def test_of_names_that_are_alike_the_same_one_is_meant_or_none():
    known = ["a b", "a_b", "A-B", "-1", "1"]
    assert [position(name, known, "class") for name in known] == list(range(5))
    with pytest.raises(InputError, match="class 'A B' may be any of a b, a_b, A-B; write it as one of them"):
        position("A B", known, "class")
    with pytest.raises(InputError, match="class '1' is none of this model's; choose one of -1, cat"):
        position("1", ["-1", "cat"], "class")


def test_what_is_unknown_is_told_briefly_and_with_the_quotes_to_write():
    with pytest.raises(InputError, match=r"""choose one of "a,b", cat; .* shell's quotes: '"a,b"'\.$"""):
        position("zebra", ["a,b", "cat"], "class")
    with pytest.raises(InputError, match="and 980 more") as caught:
        position("zebra" * 10_000, [f"c{i}" for i in range(1000)], "class")
    assert len(str(caught.value)) < 500
    for name in ODD:
        with pytest.raises(InputError) as caught:
            position(f"{name}?" * 20, ODD, "class")
        assert "\n" not in str(caught.value)


def test_an_open_quote_is_told():
    with pytest.raises(InputError, match="double quote that is not closed"):
        split('a,"b')


def test_names_that_would_be_misread_are_said():
    assert needing_quotes(["cat", "a b", "3"]) is None
    said = needing_quotes(ODD)
    assert all(shlex.quote(f'"{name}"') in said for name in ("a,b", "all", "None", 'say ""hi""', " a"))
