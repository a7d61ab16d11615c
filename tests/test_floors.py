"""The building's order: a module imports from its own folder, without circles, and from folders below."""

import ast
import sys
from pathlib import Path

import pytest

import s2id

PACKAGE = Path(s2id.__file__).parent

FLOOR = {
    "": 0,
    "media": 1,
    "diffusion": 2,
    "network": 2,
    "data": 2,
    "sampling": 3,
    "inverse": 4,
    "training": 4,
    "evaluation": 5,
    "export": 6,
    "studio": 7,
    "cli": 8,
}
"""Folder -> floor; the package's own modules are the ground, but for its two faces, which stand on top."""

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path.read_text() for path in PACKAGE.glob("**/*.py")
}
FACES = {"__init__", "__main__"}


def imported(source):
    """Modules of the package that a source imports anywhere: at the top, in functions, for types only."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide the floor"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name.removeprefix("s2id.") in MODULES else node.module for name in whole]
        else:
            continue
        for name in names:
            if name == "s2id" or name.startswith("s2id."):
                yield name.removeprefix("s2id").removeprefix(".") or "__init__"


def folder(module):
    return module.partition(".")[0] if "." in module else ""


def wrong(module, source):
    """Imports that lead up, or sideways to another folder of the same floor."""
    if module in FACES:
        return []
    own = folder(module)
    return sorted(
        {
            other
            for other in imported(source)
            if other in FACES or (folder(other) != own and FLOOR[folder(other)] >= FLOOR[own])
        }
    )


def test_every_folder_has_a_floor():
    assert {folder(module) for module in MODULES} == FLOOR.keys()
    assert all(module.count(".") <= 1 for module in MODULES)  # folders are one level deep


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down(module):
    assert not wrong(module, MODULES[module])


@pytest.mark.parametrize("name", sorted(FLOOR))
def test_a_folder_has_no_circles(name):
    own = {module: set(imported(source)) for module, source in MODULES.items() if folder(module) == name}
    left = {module: {other for other in others if other in own} for module, others in own.items()}
    if not name:
        left = {module: others for module, others in left.items() if module not in FACES}
    while left:
        free = {module for module, others in left.items() if not others}
        assert free, f"these import one another: {sorted(left)}"
        left = {module: others - free for module, others in left.items() if module not in free}


def test_an_import_up_or_sideways_is_found_wherever_it_hides():
    assert wrong("coords", "from s2id.settings import Size\nimport torch") == []
    assert wrong("coords", "from s2id.network.network import FieldNetwork") == ["network.network"]
    assert wrong("diffusion.exact", "import s2id.data.pictures") == ["data.pictures"]
    assert wrong("diffusion.exact", "from s2id.data import pictures") == ["data.pictures"]
    assert wrong("sampling.field", "def f():\n    from s2id.inverse.restore import restore") == ["inverse.restore"]
    assert wrong("coords", "if TYPE_CHECKING:\n    import s2id") == ["__init__"]
    assert wrong("cli.main", "from s2id.training.trainer import Trainer") == []


def test_annotations_reach_a_users_type_checker():
    assert (PACKAGE / "py.typed").is_file()  # PEP 561: without it they are ignored


def test_settings_need_no_torch():
    # the command line's help is made of them, and has to be there at once
    for module, source in MODULES.items():
        if module.split(".")[-1] not in ("settings", "presets", "errors", "__init__"):
            continue
        at_once = {
            name.split(".")[0]
            for node in ast.parse(source).body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
        }
        assert at_once <= {*sys.stdlib_module_names, "s2id"}, module
