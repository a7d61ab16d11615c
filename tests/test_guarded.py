"""The process for files of any origin: whose fault a loss is, and that each answer is to its own request."""

import signal

import pytest

from s2id import guarded
from s2id.errors import LostError

PROGRAM = """
import os, time
from s2id.guarded_process import serve
def answer(content):
    if content == b"wait":
        time.sleep(60)
    if content.isdigit():
        os.kill(os.getpid(), int(content))
    return content
serve(answer)
"""


@pytest.fixture
def echo(tmp_path, monkeypatch):
    (tmp_path / "echo_process.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)
    process = guarded.Guarded("echo_process", "answering")
    yield process
    process.close()


def test_no_answer_is_left_for_the_next_request(echo, monkeypatch):
    def interrupted(process, request):
        process.stdin.write(request)
        process.stdin.flush()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(guarded, "_asked", interrupted)
        with pytest.raises(KeyboardInterrupt):
            echo.ask(b"first", 5, 512)
    assert echo.ask(b"second", 5, 512) == b"second"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no such signals")
def test_time_and_other_programs_are_no_fault_of_the_file(echo, monkeypatch):
    with pytest.raises(ValueError, match="goes too deep or takes more than 512 MB") as caught:
        echo.ask(b"%d" % signal.SIGSEGV, 5, 512)
    assert not isinstance(caught.value, LostError)
    with pytest.raises(LostError, match="answering it goes too deep"):
        echo.ask(b"%d" % signal.SIGKILL, 5, 512)
    monkeypatch.setattr(guarded, "PATIENCE", 0.05)
    with pytest.raises(LostError, match="answering it takes more than 5 s"):
        echo.ask(b"wait", 5, 512)
