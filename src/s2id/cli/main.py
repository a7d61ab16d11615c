"""The program `s2id`. All else is imported inside `main`, where Ctrl-C is no traceback."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The words of the command line; `None` takes the program's own.

    Returns:
        Exit code: 0; 1 where training diverged; 2 for bad input and where the output cannot be written; 130 where the
        user stopped it, or 128 and the number of another signal that did; and 141 where the reader of its output
        stopped reading (`| head`).
    """
    try:
        from s2id.cli.process import run
        from s2id.stopping import leave_at_once

        code = run(sys.argv[1:] if arguments is None else list(arguments))
        if arguments is None:
            leave_at_once(code)
        return code
    except KeyboardInterrupt:
        if sys.stderr:
            print("s2id: stopped", file=sys.stderr)
        return 130
