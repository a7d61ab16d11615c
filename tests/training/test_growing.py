"""Going on from a model with pictures of one's own: what it knows is kept, and what it does not know is added."""

from dataclasses import replace

import pytest
import torch
from toys import INKS, KINDS, toys

import s2id
from s2id.cli.main import main
from s2id.data.pictures import Pictures
from s2id.errors import InputError
from s2id.media.images import write
from s2id.sampling.model import S2ID
from s2id.sampling.training_data import load_data_of
from s2id.training.presets import PRESETS
from s2id.training.settings import Preset
from s2id.training.watch import warnings


def labelled(name, labels=(), index=None, attributes=(), numbers=()):
    """The toys with classes, and attributes and numbers of which all are 1 and 0.5."""
    (group,) = toys(KINDS).groups
    count = len(group.labels)
    group = replace(
        group,
        labels=group.labels if index is None else torch.full((count,), index),
        attributes=torch.ones(count, len(attributes), dtype=torch.int8) if attributes else None,
        numbers=torch.full((count, len(numbers)), 0.5) if numbers else None,
    )
    ranges = tuple((0.0, 1.0) for _ in numbers)
    return Pictures(name, (group,), labels, attributes, numbers, ranges)


def preset(**model):
    tiny = PRESETS["tiny"]
    train = replace(tiny.train, images=32, batch=16, device="cpu", canvas_steps=4)
    return Preset("folder", replace(tiny.model, **model), train)


def test_a_class_of_ones_own_is_added_and_all_else_is_kept(tmp_path):
    known = labelled("sets", ("a", "b"), 1, ("hat",), ("age",))
    first = s2id.train(known, tmp_path / "a", preset(canvas=4, canvas_width=8)).model
    mine = labelled("mine", (), None, ("red",), ("size",))
    run = s2id.train(mine, tmp_path / "b", preset(canvas=4, canvas_width=8), start=first)
    card = run.model.card
    assert card.names == (("a", "b", "mine"), ("hat", "red"), ("age", "size")) and card.words == first.card.words
    before, after = first.network.state_dict(), run.model.network.state_dict()
    for table in ("condition.weight", "canvas.classes.weight"):
        assert torch.equal(after[table][[0, 1, 3]], before[table])  # the last is that of no class
        assert torch.allclose(after[table][2], before[table][:2].mean(0))
    for table in ("asked.attributes.weight", "canvas.asked.attributes.weight"):
        assert torch.equal(after[table][[0, 2]], before[table]) and torch.equal(after[table][[1, 3]], before[table])
    assert torch.equal(after["asked.numbers.which.weight"][:1], before["asked.numbers.which.weight"])
    rest = [name for name in before if before[name].shape == after[name].shape]
    assert len(rest) > 40 and all(torch.equal(before[name], after[name]) for name in rest)
    list(run)
    asked = s2id.ask(run.model, style="mine", words="red above", attributes={"red": True})
    assert s2id.sample(run.model, asked, seed=0, steps=2).render((8, 8)).isfinite().all()


def test_a_model_without_labels_learns_all_kinds_of_them(tmp_path):
    plain = replace(toys(KINDS), groups=(replace(toys(KINDS).groups[0], texts=()),))
    first = s2id.train(plain, tmp_path / "a", preset()).model
    assert first.network.asked is None
    run = s2id.train(labelled("mine", ("a",), 0, ("hat",)), tmp_path / "b", preset(), start=first)
    assert run.model.card.labels == ("a",) and len(run.model.card.words) == 2 * len(INKS)
    before, after = first.network.state_dict(), run.model.network.state_dict()
    assert torch.equal(after["condition.weight"][-1:], before["condition.weight"])
    list(run)


def test_a_named_preset_takes_states_and_renderer_of_the_model_to_begin_with(tmp_path):
    own = preset()
    first = s2id.train(
        toys(KINDS), tmp_path / "a", replace(own, train=replace(own.train, densities=(4,), temperature=0.7))
    )
    drawn = first.model.drawn_by(s2id.load("graphics"))
    run = s2id.train(toys(KINDS), tmp_path / "b", "folder", images=32, start=drawn)
    config = run.trainer.config
    assert (config.densities, config.temperature, config.long_side) == ((4,), 0.7, 8)
    assert run.trainer.model.width == first.model.config.width
    assert run.model.renderer is not None


def test_what_cannot_be_grown_is_refused(tmp_path):
    first = s2id.train(toys(KINDS), tmp_path / "a", preset()).model
    with pytest.raises(InputError, match="another network"):
        s2id.train(toys(KINDS), tmp_path / "b", preset(width=32), start=first)
    with pytest.raises(InputError, match="another network"):
        s2id.train(toys(KINDS), tmp_path / "b", preset(), start=s2id.load("graphics"))
    (group,) = toys(KINDS).groups
    clear = replace(toys(KINDS), alpha="keep", groups=(replace(group, images=group.images[:, [0, 1, 2, 0]]),))
    with pytest.raises(InputError, match="begin with draws 3 channels and toys has 4; choose another model"):
        s2id.train(clear, tmp_path / "b", preset(), start=first)


def test_the_command_goes_on_from_a_model_with_a_folder_of_ones_own(tmp_path, capsys):
    first = s2id.train(labelled("sets", ("a", "b"), 1), tmp_path / "a", preset())
    list(first)
    folder = tmp_path / "mine"
    for i, image in enumerate(first.trainer.pictures.groups[0].images):
        write(folder / f"{i}.png", image.float() / 127.5 - 1)
    grown = tmp_path / "grown"
    flags = ["--images", "16", "--batch", "16", "--device", "cpu", "--set", "sample-minutes=0"]
    begun = ["train", "folder", "--data", str(folder), "--init", str(tmp_path / "a"), "--out", str(grown)]
    assert main([*begun, *flags]) == 0
    model = s2id.load(grown)
    assert model.card.labels == ("a", "b", "mine") and model.card.images_seen == 48
    assert isinstance(model, S2ID) and load_data_of(model, folder).labels == model.card.labels
    asked = ["sample", str(grown), "--label", "mine", "--size", "8", "--out", str(tmp_path / "drawn")]
    assert main([*asked, "--steps", "2"]) == 0
    assert "mine" in capsys.readouterr().out


def test_a_model_that_went_on_draws_its_last_classes_and_remembers_its_words(tmp_path, capsys):
    first = s2id.train(labelled("sets", ("a", "b"), 1, ("hat",)), tmp_path / "a", preset())
    list(first)
    texts = ("red", "red") + ("",) * (len(KINDS) - 2)
    mine = replace(toys(KINDS), name="mine", groups=(replace(toys(KINDS).groups[0], texts=texts),))
    run = s2id.train(mine, tmp_path / "b", preset(), start=first.model)
    list(run)
    card = run.model.card
    assert card.label_counts == (0, 0, len(KINDS)) and card.word_counts == first.model.card.word_counts
    assert card.attribute_counts == ((len(KINDS), 0),)
    assert warnings(run.trainer)[0].endswith("as others: mine (16).")
    assert main(["sample", str(tmp_path / "b"), "--seed", "0-5", "--size", "8", "--out", str(tmp_path / "drawn")]) == 0
    assert capsys.readouterr().out.count("label2-mine") == 6
