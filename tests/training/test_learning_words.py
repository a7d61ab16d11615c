"""Training on words: learned from captions, hidden each by itself, resumed, distilled, and put together anew."""

from dataclasses import replace

import pytest
import torch
from toys import INKS, KINDS, PLACES, picture, toys

import s2id
from s2id.condition import Condition
from s2id.errors import InputError
from s2id.sampling.model import S2ID
from s2id.sampling.training_data import load_data_of
from s2id.training.batches import hide
from s2id.training.distil import draw_trajectories, load_trajectories
from s2id.training.presets import PRESETS
from s2id.training.settings import DistillConfig, Preset, StudentConfig, TrainConfig
from s2id.training.watch import drive

HELD = ("green", "left")
SEEN = toys([kind for kind in KINDS if kind != HELD])


def preset(**changes):
    tiny = PRESETS["tiny"]
    return Preset("folder", tiny.model, replace(tiny.train, **{"images": 64, "batch": 16, "device": "cpu", **changes}))


def test_captions_become_words_of_the_network_and_the_card(tmp_path, capsys):
    run = s2id.train(SEEN, tmp_path, preset())
    assert drive(run) == 0
    card, config = run.model.card, run.model.config
    assert "8 words" in capsys.readouterr().out
    assert config.words == 8 and {*card.words} == {*INKS, *PLACES} and card.word_counts == (4, 4, 4, 4, 4, 4, 3, 3)
    assert len(run.model.network.asked.words.weight) == 8
    without = s2id.train(SEEN, tmp_path / "b", preset(word_pictures=0)).model
    assert not without.config.words and not without.card.words and without.network.asked is None
    assert s2id.train(SEEN, tmp_path / "c", preset(word_pictures=4)).model.config.words == 6


def test_a_run_on_words_resumes_to_the_bit_and_with_its_own_words_alone(tmp_path):
    straight, broken = (s2id.train(SEEN, tmp_path / name, preset()) for name in "ab")
    losses = [progress.loss for progress in straight]
    for progress in broken:
        if progress.step == 2:
            broken.stop()
    again = s2id.train(SEEN, tmp_path / "b", preset(), resume="latest")
    assert [progress.loss for progress in again] == losses[2:]
    other = replace(
        SEEN, groups=tuple(replace(g, texts=tuple(t.replace("red", "ruby") for t in g.texts)) for g in SEEN.groups)
    )
    with pytest.raises(InputError, match="knows other labels than the data"):
        s2id.train(other, tmp_path / "b", preset(), resume="latest")


def test_a_model_to_begin_with_keeps_its_words_and_learns_new_ones(tmp_path):
    first = s2id.train(SEEN, tmp_path / "a", preset()).model
    texts = tuple(text.replace("red", "ruby") for text in SEEN.groups[0].texts)
    other = replace(SEEN, groups=(replace(SEEN.groups[0], texts=texts),))
    later = s2id.train(other, tmp_path / "b", preset(), start=first)
    assert later.model.card.words == (*first.card.words, "ruby") and later.model.config.words == 9
    assert all({*row} <= {*later.model.card.words_together[i]} for i, row in enumerate(first.card.words_together))
    assert sum(map(len, later.model.card.words_together)) > sum(map(len, first.card.words_together)) > 0
    unknown = S2ID(first.config, replace(first.card, words_together=())).eval()
    assert s2id.train(other, tmp_path / "c", preset(), start=unknown).model.card.words_together == ()
    known, grown = (model.network.asked.words.weight for model in (first, later.model))
    assert torch.equal(grown[:8], known) and torch.allclose(grown[8], known.mean(0))
    list(later)
    assert s2id.ask(later.model, words="ruby left").words.tolist()[0][-1] == 8
    same = s2id.train(SEEN, tmp_path / "c", preset(), start=first)
    assert same.model.card.words == first.card.words


def test_each_word_is_hidden_by_itself_and_all_of_them_sometimes():
    generator = torch.Generator().manual_seed(0)
    words = torch.arange(4).expand(4000, 4)
    known = Condition(torch.zeros(4000, dtype=torch.long), words=words)
    config = TrainConfig(drop_label=0.1, drop_each=0.5)
    kept = hide(known, config, generator).words == words
    counts = kept.sum(1).bincount(minlength=5) / 4000
    # 0.9 of the pictures keep each number of words equally often, and of these 0.1 lose all
    assert counts.tolist() == pytest.approx([0.1 + 0.9 * (0.1 + 0.9 / 5), *[0.9 * 0.9 / 5] * 4], abs=0.02)
    assert all(abs(share - kept[:, 0].float().mean()) < 0.03 for share in kept.float().mean(0))
    none = hide(known, replace(config, drop_each=0.0), generator).words == words
    assert none.all(1).float().mean().item() == pytest.approx(0.81, abs=0.02)
    assert (none.any(1) == none.all(1)).all()
    assert (hide(known, replace(config, drop_each=0.0), generator).label >= 0).float().mean() > 0.87


def test_trajectories_of_a_teacher_have_words(tmp_path):
    run = s2id.train(SEEN, tmp_path / "teacher", preset())
    list(run)
    config, student = DistillConfig(pairs=8), StudentConfig(device="cpu", drop_label=0.0, drop_each=0.0)
    worded = run.trainer.pictures
    list(draw_trajectories(run.model, worded, config, student, tmp_path / "drawn"))
    asked = load_trajectories(tmp_path / "drawn", 8).asked
    assert (asked.words >= 0).all() and asked.words.shape == (8, 2)


def test_the_data_of_a_model_have_its_words(tmp_path):
    from s2id.media.images import write

    for i, (ink, place) in enumerate(KINDS):
        write(tmp_path / f"{i}.png", picture(ink, place).float() / 127.5 - 1)
    rows = [f"{i}.png,{ink} {place} alone{i}" for i, (ink, place) in enumerate(KINDS)]
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,text", *rows]))
    run = s2id.train(s2id.pictures(tmp_path), tmp_path / "out", preset())
    again = load_data_of(run.model, tmp_path)
    assert again.words == run.model.card.words and len(again.words) == 8
    assert torch.equal(again.groups[0].words, run.trainer.pictures.groups[0].words)


@pytest.mark.slow
def test_a_pair_of_words_that_was_never_seen_is_drawn_right(tmp_path):
    tiny = PRESETS["tiny"]
    network = replace(tiny.model, width=32, encoder_blocks=0, condition_tokens=1, film_width=32, attention="full")
    train = replace(tiny.train, images=250 * 64, batch=64, supersample=(1,), lr=1e-2, optimiser="adamw", drop_each=0.25)
    run = s2id.train(SEEN, tmp_path, Preset("folder", network, train))
    list(run)
    kinds = torch.stack([picture(*kind) for kind in KINDS]).float() / 127.5 - 1
    right = []
    for asked in (HELD, ("red", "left")):
        condition = s2id.ask(run.model, words=" ".join(asked))
        pictures = s2id.sample(run.model, condition, seed=range(8), steps=4, guidance=2.0).render((8, 8))
        nearest = (pictures[:, None] - kinds).square().flatten(2).mean(2).argmin(1)
        right.append(sum(KINDS[i] == asked for i in nearest.tolist()))
    assert min(right) >= 6, right


def test_a_share_of_the_pictures_loses_all_attributes():
    generator = torch.Generator().manual_seed(0)
    known = Condition(torch.zeros(4000, dtype=torch.long), attributes=torch.ones(4000, 8, dtype=torch.int8))
    config = TrainConfig(drop_label=0.1, drop_each=0.1, drop_attributes=0.5)
    hidden = hide(known, config, generator).attributes == 0
    assert hidden.all(1).float().mean().item() == pytest.approx(0.1 + 0.9 * 0.5, abs=0.03)
    without = hide(known, replace(config, drop_attributes=0.0), generator).attributes == 0
    assert without.all(1).float().mean().item() == pytest.approx(0.1, abs=0.03)
