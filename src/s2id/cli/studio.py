"""The command that starts the studio."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from s2id.checks import Within
from s2id.cli.flags import part
from s2id.cli.options import Device
from s2id.errors import InputError
from s2id.settings import setting
from s2id.studio.settings import Limits


@dataclass(frozen=True)
class Studio:
    """Open the studio in a browser: compose, look, restore, take away, watch runs.

    Everything stays on this machine. Another address than 127.0.0.1 lets others in, who then need the token.
    """

    models: tyro.conf.Positional[tuple[str, ...]] = ()
    """Models as for other commands: names, files, folders or Hub repositories. None: all bundled ones."""
    host: str = "127.0.0.1"
    """Address to listen at. 0.0.0.0 is every address of this machine."""
    port: Annotated[int, Within(0, 65535)] = 8210
    """Port to listen at. 0: any that is free."""
    token: str | None = None
    """Secret that is asked for. None: none at 127.0.0.1, and elsewhere one by chance, which is printed."""
    runs: tuple[Path, ...] = ()
    """Folders of training runs to watch, or folders that hold such folders."""
    open: bool = setting(True, "studio")
    """Whether a browser is opened."""
    names: tuple[str, ...] = setting((), "studio")
    """Further names that this machine has for its clients, e.g. studio.example.org, where another server stands
    before this one."""
    limits: Limits = part(Limits())
    device: Device = "auto"

    def run(self) -> int:
        """Serve until a signal ends it."""
        try:
            from s2id.studio.serve import Serving, serve
        except ImportError as error:
            raise InputError(f"the studio needs {error.name}, which is missing; pip install 's2id[studio]'.") from error
        for folder in self.runs:
            if not folder.is_dir():
                raise InputError(f"there is no folder {folder}; give --runs a run's folder, or one that holds some.")
        how = Serving(self.host, self.port, self.token, self.names, self.open, self.device, self.runs, self.limits)
        return serve(self.models, how)
