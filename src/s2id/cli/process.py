"""One command as a process: what ends it becomes a sentence and an exit code."""

import errno
import sys

from s2id.cli.streams import OutputError, any_text
from s2id.errors import InputError
from s2id.stopping import impatient, stoppable


def run(words: list[str]) -> int:
    """Run the command that words describe; arguments and exit code as for `main`."""
    signals: list[int] = []
    with any_text():
        try:
            with impatient(), stoppable() as signals:
                code = _run(words)
                sys.stdout.flush()
                return code
        except InputError as error:
            return _ended(str(error), 2)
        except OutputError as error:
            if error.errno in (errno.EPIPE, errno.EINVAL):  # EINVAL: a closed pipe of Windows
                return 141
            return _ended(f"standard output cannot be written ({error.strerror}); make room or direct it elsewhere.", 2)
        except KeyboardInterrupt as stop:
            return _ended("stopped", getattr(stop, "code", 130))
        except Exception as error:
            if signals:  # a library that is interrupted may raise anything
                return _ended("stopped", 128 + signals[0])
            if isinstance(error, OSError) and error.filename is not None:
                return _ended(f"{error.filename} cannot be used ({error.strerror}); choose another place.", 2)
            raise


def _run(words: list[str]) -> int:
    from s2id.cli.commands import overview, parse  # here an interrupt is a request to stop

    if words == ["--version"]:
        from importlib.metadata import version

        print(f"s2id {version('s2id')}")
        return 0
    if words[:1] in ([], ["-h"], ["--help"]):
        print(overview())
        return 0 if words else 2
    return parse(words).run()


def _ended(sentence: str, code: int) -> int:
    print(f"s2id: {sentence}", file=sys.stderr)
    return code
