"""A run's folder when something has happened to it, and a run that was interrupted."""

import json
import os
import shutil

import pytest
import torch

import s2id
from s2id.data.registry import load_pictures
from s2id.errors import InputError
from s2id.training import tasks, trainer
from s2id.training.run import checkpoint_to_resume, checkpoints
from s2id.training.watch import _cut


def digits(out, **changes):
    return s2id.train(load_pictures("digits"), out, "tiny", **{"images": 48, "device": "cpu", **changes})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A run with two checkpoints, after 16 and 32 images of 48."""
    folder = tmp_path_factory.mktemp("run")
    run = digits(folder)
    for progress in run:
        if progress.step < 3:
            run.trainer.save()
            if progress.step == 2:
                break
    return folder


def changed(**facts):
    def change(checkpoint):
        path = checkpoint / "run.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))

    return change


def rewritten(name, text):
    return lambda checkpoint: (checkpoint / name).write_bytes(text)


def altered(checkpoint):
    path = checkpoint / "training.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 255
    path.write_bytes(content)


DAMAGE = {
    "altered": altered,
    "cut": lambda c: (c / "training.safetensors").write_bytes((c / "training.safetensors").read_bytes()[:-100]),
    "empty": rewritten("training.safetensors", b""),
    "no tensors": lambda c: (c / "training.safetensors").unlink(),
    "no facts": lambda c: (c / "run.json").unlink(),
    "no JSON": rewritten("run.json", b'{"step": 2, "sec'),
    "no text": rewritten("run.json", b"\xff\xfe\x00"),
    "nested": rewritten("run.json", b"[" * 100_000),
    "list": rewritten("run.json", b"[]"),
    "nothing": rewritten("run.json", b"{}"),
    "step -1": changed(step=-1),
    "step text": changed(step="2"),
    "step true": changed(step=True),
    "step huge": changed(step=10**30),
    "NaN": changed(seconds=float("nan")),
    "infinite": changed(seconds=float("inf")),
    "begun": changed(begun=2),
    "length": changed(length=[]),
    "minutes": changed(length={"images": 48, "minutes": "five"}),
    "settings": changed(train={}),
    "network": changed(model=None),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_the_checkpoint_before_a_damaged_one_is_taken(damage, written, tmp_path):
    folder = shutil.copytree(written, tmp_path / "run")
    older, newest = checkpoints(folder)
    damage(newest)
    checkpoint, notes = checkpoint_to_resume(folder, "latest")
    assert checkpoint == older
    assert len(notes) == 1 and newest.name in notes[0] and "damaged" in notes[0]
    assert not any(word in notes[0] for word in ("Errno", "codec", "Expecting", "recursion"))
    damage(older)
    with pytest.raises(InputError, match="no checkpoint"):
        checkpoint_to_resume(folder, "latest")


def test_a_run_goes_on_from_the_checkpoint_before(written, tmp_path):
    folder = shutil.copytree(written, tmp_path / "run")
    altered(checkpoints(folder)[-1])
    run = digits(folder, resume="latest")
    assert len(run.notes) == 1 and [p.step for p in run] == [2, 3]
    with pytest.raises(InputError, match="was altered"):
        altered(checkpoints(folder)[-1])
        digits(folder, resume=checkpoints(folder)[-1])


def test_a_checkpoint_is_replaced_without_a_moment_that_has_none(written, tmp_path, monkeypatch):
    folder = shutil.copytree(written, tmp_path / "run")
    run = digits(folder, resume="latest")
    replace, seen = os.replace, []

    def watched(*paths):
        replace(*paths)
        seen.append(len([c for c in checkpoints(folder) if c.name.startswith("000000000032")]))

    monkeypatch.setattr(os, "replace", watched)
    run.trainer.save()
    assert min(seen) >= 1 and [c.name for c in checkpoints(folder)] == ["000000000016", "000000000032"]


def test_lines_that_are_no_metrics_are_left_out_and_kept_aside(tmp_path):
    good = [json.dumps({"images_seen": n, "loss": 1.0}).encode() + b"\n" for n in (16, 32, 48)]
    bad = [b"\0" * 50 + b"\n", b"[]\n", b"7\n", b'{"step": 1}\n', b"\xff\xfe\n", b'{"images_seen": "x"}\n', b"\n",
           b"[" * 100_000 + b"\n", b'{"images_seen": 48, "lo']  # fmt: skip
    path = tmp_path / "metrics.jsonl"
    assert _cut(path, 32) == 0 and not path.exists()
    path.write_bytes(b"".join([good[0], *bad[:4], good[1], *bad[4:-1], good[2], bad[-1]]))
    whole = path.read_bytes()
    assert _cut(path, 32) == len(bad)
    assert path.read_bytes() == good[0] + good[1]
    assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == whole
    assert _cut(path, 16) == 0 and path.read_bytes() == good[0]


@pytest.mark.parametrize(("module", "where"), [(tasks, "loss"), (trainer, "learning_rate")], ids=["loss", "rate"])
def test_a_run_that_was_interrupted_goes_on_in_the_same_process(module, where, tmp_path, monkeypatch):
    losses = [p.loss for p in digits(tmp_path / "a")]
    run, seen, own, calls = digits(tmp_path / "b"), [], getattr(module, where), []

    def interrupted(*words):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return own(*words)

    monkeypatch.setattr(module, where, interrupted)
    with pytest.raises(KeyboardInterrupt):
        iter_into(run, seen)
    for progress in run:
        seen.append(progress.loss)
    assert seen == losses
    assert torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu") and not torch.is_inference_mode_enabled()


def iter_into(run, seen):
    """Iterate over a run and keep what was seen before an interrupt."""
    for progress in run:
        seen.append(progress.loss)
