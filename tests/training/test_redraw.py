"""What a class lacks is redrawn from what other classes have, and a canvas learns it."""

from dataclasses import replace

import pytest
import torch
from toys import KINDS, picture

import s2id
from s2id.cli.main import main
from s2id.data.captions import learn_words
from s2id.data.pictures import Group, Pictures
from s2id.media.images import to_float
from s2id.training.batches import shrunk
from s2id.training.presets import PRESETS
from s2id.training.redraw import Concepts, redraw_missing, redrawn, teach_redrawer, unlike
from s2id.training.settings import Preset, TrainConfig

CLASSES = ("plain", "dim", "pale")
LACKS = {("dim", "red", "above"), ("dim", "blue", "left"), ("pale", "green", "below"), ("pale", "white", "above")}
"""Pictures that there are not: class, ink and place."""

CONFIG = TrainConfig(redraw_steps=150)


def drawn_as(kind, label):
    plain = picture(*kind)
    return {"plain": plain, "dim": plain // 4 * 3, "pale": plain // 4 * 3 + 64}[label]


def styles(lacks=LACKS, kinds=KINDS):
    """Every toy in three classes, but for what some of them lack."""
    rows = [(kind, label) for kind in kinds for label in CLASSES if (label, *kind) not in lacks]
    images = torch.stack([drawn_as(*row) for row in rows])
    labels = torch.tensor([CLASSES.index(label) for _, label in rows])
    kinds_of = torch.tensor([[1 if ink == "red" else -1] for (ink, _), _ in rows])
    texts = tuple(f"{place}, {ink}" for (ink, place), _ in rows)
    return Pictures("styles", (Group(images, labels, kinds_of, texts=texts),), CLASSES, ("red",))


@pytest.fixture(scope="module")
def learned():
    """Data, their concepts and a network that redraws them."""
    pictures = learn_words(styles(), 1)
    concepts = Concepts.of(shrunk(pictures, 8), len(CLASSES))
    return pictures, concepts, teach_redrawer(concepts, CONFIG)


def truth_of(pictures, group):
    """What the redrawn pictures of a group should have been."""
    names = [(text.split(", ")[::-1], CLASSES[label]) for text, label in zip(group.texts, group.labels, strict=True)]
    return to_float(torch.stack([drawn_as(tuple(kind), label) for kind, label in names]))


def test_what_a_class_lacks_is_drawn_as_the_class_draws(learned):
    pictures, concepts, network = learned
    missing = concepts.missing()
    assert len(missing) == len(LACKS)
    drawn, sources = redrawn(network, concepts, missing)
    own = to_float(pictures.groups[0].images[sources])
    texts = tuple(pictures.groups[0].texts[row] for row in sources)
    truth = truth_of(pictures, Group(pictures.groups[0].images[sources], missing[:, 1], texts=texts))
    assert (drawn - truth).square().mean() < 0.1 * (own - truth).square().mean()


def test_a_known_picture_is_drawn_again_without_a_look_at_it(learned):
    _, concepts, network = learned
    pair = (concepts.rows >= 0).nonzero()[:3]
    first, _ = redrawn(network, concepts, pair)
    images = concepts.images.clone()
    images[concepts.rows[pair[0, 0], pair[0, 1]]] = 77
    again, _ = redrawn(network, replace(concepts, images=images), pair)
    assert torch.equal(first[0], again[0])


def test_redrawn_pictures_have_the_labels_of_their_concept_and_the_class_that_lacked_it():
    pictures = learn_words(styles(), 1)
    known = shrunk(pictures, 8)
    drawn = redraw_missing(known, len(CLASSES), replace(CONFIG, redraw_steps=2))
    whole, count = drawn.beside(known), len(known.labels)
    assert torch.equal(whole.images[:count], known.images) and whole.texts[:count] == known.texts
    assert torch.equal(whole.labels[:count], known.labels) and torch.equal(whole.words[:count], known.words)
    rows = range(count, len(whole.labels))
    group = Group(
        whole.images[rows],
        whole.labels[rows],
        whole.attributes[rows],
        texts=whole.texts[count:],
        words=whole.words[rows],
    )
    assert torch.equal(group.images, drawn.images)
    asked = [(CLASSES[label], *text.split(", ")[::-1]) for label, text in zip(group.labels, group.texts, strict=True)]
    assert len(asked) == len(LACKS) and {*asked} == LACKS
    red = torch.tensor([text.endswith("red") for text in group.texts])
    assert torch.equal(group.attributes[:, 0] > 0, red)
    for text, words in zip(group.texts, group.words, strict=True):
        assert {pictures.words[word] for word in words if word >= 0} == set(text.split(", "))


def test_the_same_seed_draws_the_same():
    known = shrunk(styles(), 8)
    one, two, other = (redraw_missing(known, 3, replace(CONFIG, redraw_steps=9, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(one.images, two.images)
    assert not torch.equal(one.images, other.images)


@pytest.mark.parametrize(
    "pictures",
    [
        replace(styles(), groups=(replace(styles().groups[0], texts=()),)),
        styles(lacks=set()),
        styles(lacks={(label, *kind) for label in CLASSES[1:] for kind in KINDS}),
    ],
    ids=["no captions", "nothing is missing", "one class draws all"],
)
def test_nothing_is_drawn_where_nothing_is_missing_or_known(pictures):
    assert redraw_missing(shrunk(pictures, 8), len(CLASSES), replace(CONFIG, redraw_steps=1)) is None


def test_nothing_is_drawn_unless_asked_for_or_when_stopped():
    known = shrunk(styles(), 8)
    assert redraw_missing(known, len(CLASSES), TrainConfig()) is None
    assert redraw_missing(known, len(CLASSES), CONFIG, stopped=lambda: True) is None


def test_pictures_of_several_sizes_are_one_data_set():
    pictures = styles()
    group, few = pictures.groups[0], torch.arange(len(pictures.groups[0].labels)) < 10
    large = group.images[~few].repeat_interleave(2, 2).repeat_interleave(2, 3)
    parts = (
        Group(group.images[few], group.labels[few], texts=group.texts[:10]),
        Group(large, group.labels[~few], texts=group.texts[10:]),
    )
    split, whole = (shrunk(some, 8) for some in (replace(pictures, groups=parts), pictures))
    assert torch.equal(split.images, whole.images) and split.texts == whole.texts
    assert torch.equal(Concepts.of(split, 3).rows, Concepts.of(whole, 3).rows)


def test_what_is_unlike_hardly_counts():
    truth = torch.zeros(1, 1, 32, 32)
    near, far = truth + 0.01, truth + 0.9
    assert unlike(near, truth, 0.05) == pytest.approx(1e-4, rel=0.01)
    assert unlike(far, truth, 0.05) < 0.1
    far.requires_grad_()
    unlike(far, truth, 0.05).backward()
    assert far.grad.abs().max() < 1e-3 * 2 * 0.9 / 32**2


def test_a_canvas_learns_what_was_redrawn(tmp_path, monkeypatch):
    """Here grey, which no label would let it expect."""

    def grey(network, concepts, pairs, autocast):
        return torch.zeros(len(pairs), 3, 8, 8), concepts.but(pairs).amax(1)

    monkeypatch.setattr("s2id.training.redraw.redrawn", grey)
    tiny = PRESETS["tiny"]
    given = {"images": 16, "batch": 16, "device": "cpu", "drop_each": 0.1, "canvas_steps": 300, "redraw_steps": 1}
    model = replace(tiny.model, channels=3, canvas=8, canvas_width=64)
    run = s2id.train(styles(), tmp_path, Preset("folder", model, replace(tiny.train, **given)))
    list(run)
    for label, ink, place in LACKS:
        asked = s2id.ask(run.model, label=label, words=f"{ink} {place}")
        canvas = run.model.network.canvas(run.model.network.canvas_code(asked))
        truth = to_float(drawn_as((ink, place), label)[None])
        assert canvas.square().mean() < 0.1 * truth.square().mean()


def test_a_run_that_redraws_resumes_to_the_bit(tmp_path):
    tiny = PRESETS["tiny"]
    train = replace(tiny.train, images=64, batch=16, device="cpu", canvas_steps=5, redraw_steps=3)
    preset = Preset("folder", replace(tiny.model, channels=3, canvas=4, canvas_width=16), train)
    straight, broken = (s2id.train(styles(), tmp_path / name, preset) for name in "ab")
    losses = [progress.loss for progress in straight]
    for progress in broken:
        if progress.step == 2:
            broken.stop()
    assert [p.loss for p in s2id.train(styles(), tmp_path / "b", preset, resume="latest")] == losses[2:]


def test_a_number_of_steps_below_0_is_refused(capsys):
    assert main("train digits --dry-run --set redraw-steps=-1".split()) == 2
    assert capsys.readouterr().err == "s2id: redraw_steps is -1; it must be a whole number, at least 0.\n"
