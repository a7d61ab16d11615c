"""The studio as a process: which addresses it has, its token, the browser, and its end."""

import socket
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe

import uvicorn

from s2id.errors import InputError
from s2id.stopping import stoppable
from s2id.studio.app import create_app
from s2id.studio.connections import Connection
from s2id.studio.settings import Limits
from s2id.studio.state import Studio

_LOOPBACK = ("127.0.0.1", "localhost", "::1")

_CONNECTIONS = 256
"""Open connections at most."""


@dataclass(frozen=True)
class Serving:
    """Where and how the studio serves."""

    host: str = "127.0.0.1"
    port: int = 8210
    token: str | None = None
    names: tuple[str, ...] = ()
    """Further names that clients may call it by."""
    open: bool = True
    """Whether a browser is opened."""
    device: str = "auto"
    runs: tuple[Path, ...] = ()
    """Folders of training runs to watch."""
    limits: Limits = field(default_factory=Limits)


def serve(models: Sequence[str], how: Serving) -> int:
    """Serve until a signal ends it; the exit code.

    Raises:
        InputError: The address cannot be listened at.
    """
    listener = _listener(how.host, how.port)
    port = listener.getsockname()[1]
    token = how.token or (None if how.host in _LOOPBACK else token_urlsafe(24))
    names = [*_LOOPBACK, how.host, *how.names]
    hosts = [form for name in names for form in _forms(name, port)] + [name.lower() for name in how.names]
    app = create_app(Studio(models, how.device, how.limits, how.runs), hosts, token)
    address = f"http://{_bracketed(_shown(how.host))}:{port}/{f'#token={token}' if token else ''}"
    print(f"the studio is at {address}; Ctrl-C ends it", flush=True)
    config = uvicorn.Config(
        app,
        http=Connection,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=5,
        ws="none",
    )
    if how.open:
        webbrowser.open(address)
    _Server(config).run([listener])
    return 0


class _Server(uvicorn.Server):
    """uvicorn's server, which a signal asks to end in order as it does every other command."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """A block in which signals end the server."""
        with stoppable(lambda number: self.handle_exit(number, None)):
            yield


def _listener(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        InputError: The address is none of this machine's, or taken.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        why = error.strerror or error
        raise InputError(f"{host}:{port} cannot be listened at ({why}); choose another --port or --host.") from error


def _forms(name: str, port: int) -> list[str]:
    """Values of the header Host that name a machine and a port."""
    host = _bracketed(name.lower())
    return [f"{host}:{port}", *([host] if port == 80 else [])]


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def _shown(host: str) -> str:
    """The address to open, of one that stands for every address."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
