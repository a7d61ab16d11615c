"""What is held out follows from names alone, and training keeps two other styles of every pair that is held out."""

from hypothesis import given
from hypothesis import strategies as st

from s2id.data.split import parts

NAMES = [f"concept {i}" for i in range(2000)]
STYLES = [f"style {i}" for i in range(6)]

WHOLE = ["concept 12"]
PAIRS = [(2, 1), (16, 2), (18, 2), (32, 0), (34, 2), (36, 0), (37, 2), (39, 0)]


def test_a_tenth_of_the_pairs_and_a_twentieth_of_the_concepts_are_held_out():
    concepts, styles = zip(*((name, style) for name in NAMES for style in STYLES), strict=True)
    found = parts(concepts, styles)
    whole = {name for name, part in zip(concepts, found, strict=True) if part == "concept"}
    pairs = found.count("pair") / (len(STYLES) * (len(NAMES) - len(whole)))
    assert 0.04 < len(whole) / len(NAMES) < 0.06 and 0.09 < pairs < 0.11
    assert all((name in whole) == (part == "concept") for name, part in zip(concepts, found, strict=True))


def test_the_split_is_the_one_that_models_were_trained_on():
    concepts, styles = zip(*((name, style) for name in NAMES[:40] for style in STYLES[:3]), strict=True)
    found = list(zip(concepts, styles, parts(concepts, styles), strict=True))
    assert sorted({name for name, _, part in found if part == "concept"}) == WHOLE
    assert [(name, style) for name, style, part in found if part == "pair"] == [(NAMES[i], STYLES[j]) for i, j in PAIRS]


@given(st.lists(st.tuples(st.sampled_from(NAMES[:60]), st.sampled_from(STYLES)), max_size=200), st.randoms())
def test_training_keeps_two_other_styles_and_the_order_does_not_matter(drawings, random):
    concepts, styles = ([pair[i] for pair in drawings] for i in (0, 1))
    found = parts(concepts, styles)
    for (concept, _), part in zip(drawings, found, strict=True):
        others = {s for (c, s), p in zip(drawings, found, strict=True) if c == concept and p == "train"}
        assert part != "pair" or len(others) >= 2
    order = random.sample(range(len(drawings)), len(drawings))
    again = parts([concepts[i] for i in order], [styles[i] for i in order])
    assert again == [found[i] for i in order]


def test_a_concept_of_two_styles_is_whole_in_training_or_held_out():
    for name in NAMES[:200]:
        assert len({*parts([name, name], STYLES[:2])}) == 1
