"""What an interrupt leaves behind: nothing in torch, nothing in a folder, and a run that goes on."""

import signal
import sys
import threading
from contextlib import suppress

import pytest
import torch

from s2id.files import replacing
from s2id.modes import modes_kept
from s2id.stopping import Stopped, stoppable, uninterrupted


def state():
    depth = torch.autocast_increment_nesting() - 1
    torch.autocast_decrement_nesting()
    casts = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), torch.is_autocast_cache_enabled()
    return torch.is_grad_enabled(), depth, *casts, torch.get_rng_state().sum().item()


def work(interrupted_at):
    """Work in torch's contexts, interrupted at a line of their entry or exit; the number of lines that were run."""
    lines = 0

    def trace(frame, event, _):
        nonlocal lines
        if frame.f_code.co_filename.endswith(("autocast_mode.py", "grad_mode.py")) and event == "line":
            lines += 1
            if lines == interrupted_at:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    with suppress(KeyboardInterrupt), modes_kept():
        try:
            sys.settrace(trace)
            with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
                torch.manual_seed(lines)
        finally:
            sys.settrace(before)
    return lines


def test_an_interrupt_anywhere_leaves_torch_as_it_was():
    before = state()
    lines = work(interrupted_at=0)
    assert lines > 10
    for line in range(1, lines + 1):
        assert work(line) >= line and state() == before, line


def test_files_that_are_written_at_the_same_time_are_whole(tmp_path):
    path = tmp_path / f"{'x' * 250}.txt"
    with replacing(path) as first, replacing(path) as second:
        first.write(b"first")
        second.write(b"second")
    assert path.read_bytes() == b"first" and list(tmp_path.iterdir()) == [path]


def test_an_interrupt_waits_for_the_end_of_a_short_block():
    done = []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        _interrupt()
        done.append(True)
    assert done
    with pytest.raises(Stopped) as stopped, stoppable() as signals:
        _interrupt()
    assert stopped.value.code == 130 and signals == [2]
    with pytest.raises(KeyboardInterrupt):  # as before
        _interrupt()


def test_other_threads_have_no_signals():
    seen = []

    def work():
        with uninterrupted(), stoppable() as signals:
            seen.append(signals)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [[]]


def _interrupt():
    signal.raise_signal(signal.SIGINT)
