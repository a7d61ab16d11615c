"""The program as a process: streams of every kind, signals, and full disks."""

import io
import os
import signal
import subprocess
import sys
import time
from itertools import cycle
from types import SimpleNamespace

import pytest
from conftest import TINY
from PIL import Image

from s2id.cli import commands
from s2id.cli.commands import COMMANDS, name_of
from s2id.cli.main import main
from s2id.evaluation import run as evaluation
from s2id.evaluation.report import Report, Row
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Card

ENCODINGS = ("cp437", "cp850", "cp932", "cp936", "cp1252", "latin-1", "ascii")

posix = pytest.mark.skipif(os.name != "posix", reason="signals and devices of another kind")


@pytest.fixture
def console(monkeypatch):
    """Maker of standard streams in an encoding; what it returns reads them."""

    def make(encoding):
        streams = [io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2)]
        for name, stream in zip(("stdout", "stderr"), streams, strict=True):
            monkeypatch.setattr(sys, name, stream)

        def said():
            for stream in streams:
                stream.flush()
            return "".join(stream.buffer.getvalue().decode(encoding) for stream in streams)

        return said

    return make


def run(*words):
    try:
        return main([str(word) for word in words])
    except SystemExit as end:
        return end.code


@pytest.mark.parametrize(("kind", "encoding"), list(zip(COMMANDS, cycle(ENCODINGS), strict=False)))
def test_help_is_written_in_every_encoding(kind, encoding, console):
    said = console(encoding)
    assert run(name_of(kind), "--help") == 0 and "--help" in said()
    assert run(name_of(kind), "--help-all") == 0
    assert run(name_of(kind), "--nonsense–猫") == 2


@pytest.mark.parametrize("encoding", ["cp1252"])
def test_classes_are_named_where_the_console_cannot_write_them(encoding, console, tmp_path):
    said = console(encoding)
    for name in ("猫", "grün", "🐈"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (16, 16), (90 * i, 9, 9)).save(tmp_path / "data" / name / f"{i}.png")
    (tmp_path / "data" / "猫" / "žlutý.png").write_bytes(b"")
    small = ("width=16", "heads=2", "density-weights=1", "lattice=2", "workers=0")
    words = ["--data", tmp_path / "data", "--out", tmp_path / "run", "--device", "cpu", "--images", 4, "--batch", 4]
    changed = [word for text in small for word in ("--set", text)]
    assert run("train", "folder", *words, "--densities", 16, *changed) == 0, said()
    assert "skipped: " in said()
    assert run("info", tmp_path / "run") == 0
    draw = ("sample", tmp_path / "run", "--steps", 1, "--label")
    assert run(*draw, "all", "--out", tmp_path / "all") == 0 and len(list((tmp_path / "all").iterdir())) == 3
    assert run(*draw, "all", "--grid", "--out", tmp_path / "grid") == 0
    assert run(*draw, "猫", "--out", tmp_path / "one") == 0 and run(*draw, "犬", "--out", tmp_path / "one") == 2


@pytest.mark.parametrize("columns", ["1", "0", "5", "-3", "text", "39"])
def test_help_fits_a_terminal_of_any_width(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    assert run("sample", "--help") == 0
    assert "--label" in capsys.readouterr().out and os.environ["COLUMNS"] == columns


def test_closed_streams_are_no_error(monkeypatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert run("--help") == 0
    assert run("sample", "nowhere") == 2
    assert sys.stdout is None


@posix
@pytest.mark.parametrize("buffering", [-1, 0])
def test_output_that_cannot_be_written_is_said(buffering, monkeypatch, capsys):
    with open("/dev/full", "wb", buffering) as full:
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(full, "utf-8", write_through=not buffering))
        assert run("--help") == 2
        said = capsys.readouterr().err
        assert said.startswith("s2id: standard output cannot be written (No space") and said.count("\n") == 1
        monkeypatch.setattr(sys, "stderr", sys.stdout)
        assert run("--help") == run("sample", "nowhere") == 2


HEARD = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
"""
"""A test that runs in the background, or under nohup, hands down signals that are ignored."""

INTERRUPTED = """
import os, signal, sys
class Finder:
    def find_spec(name, path=None, target=None):
        if name == {at!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder)
from s2id.cli.main import main
sys.exit(main())
"""


@posix
@pytest.mark.parametrize("at", ["s2id.cli.process", "tyro", "torch"])
def test_an_interrupt_while_the_program_is_imported_is_no_traceback(at):
    command = [sys.executable, "-c", HEARD + INTERRUPTED.format(at=at), "info", "mnist"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (130, "s2id: stopped\n")


BUSY = """
import hashlib, sys, time
from pathlib import Path
from s2id.cli import commands
from s2id.cli.main import main
from s2id.stopping import stoppable, unfinished

class Busy:
    def run(self):
        with unfinished(Path("half.partial")) as _, stoppable({ask}):
            Path("half.partial").touch()
            print("busy", flush=True)
            {work}

commands.parse = lambda words: Busy()
sys.exit(main())
"""


@pytest.fixture
def started():
    """Starter of a program that is busy; whatever becomes of the test, no process outlives it."""
    begun = []

    def start(ask, work, folder):
        command = [sys.executable, "-c", HEARD + BUSY.format(ask=ask, work=work), "anything"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, text=True, cwd=folder, **pipes)
        begun.append(process)
        assert process.stdout.readline() == "busy\n"
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


IN_C = 'hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)'
"""Minutes in one call, during which Python handles no signal."""


@posix
@pytest.mark.parametrize(
    ("signals", "ask", "work", "code"),
    [
        (["SIGINT"], "None", "time.sleep(99)", 130),
        (["SIGTERM"], "None", "time.sleep(99)", 143),
        (["SIGHUP"], "None", "time.sleep(99)", 129),
        (["SIGINT", "SIGINT"], "lambda number: None", IN_C, 130),
        (["SIGTERM", "SIGINT"], "lambda number: None", IN_C, 130),
        (["SIGINT", "SIGTERM"], "lambda number: None", IN_C, 143),
        (["SIGHUP", "SIGHUP"], "lambda number: None", IN_C, 129),
    ],
)
def test_signals_end_a_command_and_leave_nothing_half_written(signals, ask, work, code, started, tmp_path):
    process = started(ask, work, tmp_path)
    for name in signals:
        process.send_signal(getattr(signal, name))
        time.sleep(0.3)
    for _ in range(99):  # presses that are read late, on a busy machine, may count as one
        if len(signals) == 1 or process.poll() is not None:
            break
        process.send_signal(getattr(signal, signals[-1]))
        time.sleep(0.6)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert said.strip() == ("s2id: stopped at once" if len(signals) > 1 else "s2id: stopped")
    assert not list(tmp_path.iterdir())


@posix
@pytest.mark.parametrize(("name", "ask", "ends"), [("SIGTERM", None, True), ("SIGHUP", "trains", False)])
def test_a_request_that_is_not_acted_on_ends_all_but_training(name, ask, ends, started, tmp_path):
    slow = 'import s2id.stopping; s2id.stopping._PATIENCE = 0.2; hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)'
    process = started("lambda number: None" if ask else "None", slow, tmp_path)
    time.sleep(0.3)  # it is in the call into C
    process.send_signal(getattr(signal, name))
    if ends:
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said.strip()) == (143, "s2id: stopped at once")
        assert not list(tmp_path.iterdir())
    else:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1.5)


@posix
def test_metrics_on_a_full_disk_stop_a_run_with_a_checkpoint(tmp_path, capsys):
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    words = ("train", "tiny", "--device", "cpu", "--images", "64", "--out", tmp_path)
    assert run(*words) == 2
    said = capsys.readouterr().err
    assert "metrics.jsonl cannot be written (No space left on device)" in said and "Traceback" not in said
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["000000000016"]


def test_an_evaluation_that_cannot_be_written_is_printed(tmp_path, monkeypatch, capsys):
    S2ID(TINY, Card("digits", 8, tuple("0123456789"))).save(tmp_path / "model.safetensors")
    reports = [Report({"n": 1}, (Row("8x8"),) * count) for count in (1, 2)]
    monkeypatch.setattr(evaluation, "evaluate_model", lambda *_, **__: iter(reports))
    (tmp_path / "out" / "table.json").mkdir(parents=True)
    assert run("evaluate", tmp_path / "model.safetensors", "--out", tmp_path / "out") == 2
    out, said = capsys.readouterr()
    assert reports[-1].markdown() in out
    assert "table.json cannot be written" in said


def test_an_error_of_the_system_names_the_file(monkeypatch, capsys):
    def fails():
        open("/nowhere/at all")

    monkeypatch.setattr(commands, "parse", lambda _: SimpleNamespace(run=fails))
    assert run("anything") == 2
    assert capsys.readouterr().err.startswith("s2id: /nowhere/at all cannot be used (No such file")


def test_importing_touches_nothing(tmp_path):
    script = "import sys, s2id; dir(s2id); assert not {'torch', 'numpy'} & {*sys.modules}; s2id.InputError"
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    subprocess.run([sys.executable, "-c", script], env=environment, cwd=tmp_path, check=True, timeout=60)
    assert not list(tmp_path.iterdir())
