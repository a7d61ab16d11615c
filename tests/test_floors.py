"""The building's order: a module imports only from floors below its own, and siblings do not know each other."""

import ast
from pathlib import Path

import pytest

import s2id

PACKAGE = Path(s2id.__file__).parent
MODULES = {path.stem: path for path in PACKAGE.glob("*.py")}

FLOORS = (
    {"config", "muon", "shapes"},
    {"coords", "schedule", "images", "condition", "linear"},
    {"glyphs", "metadata", "store", "frames"},
    {"emoji", "hub"},
    {"noise", "data", "layers", "motion"},
    {"model", "denoiser"},
    {"guidance", "exact", "samplers", "checkpoint", "metrics", "table"},
    {"field", "judge", "labels", "latents", "observe", "pixelate"},
    {"batches", "compose", "fuse", "posterior", "tscrape"},
    {"train"},
    {"camera", "distill", "evaluate", "follow", "restoration"},
    {"presets"},
    {"arguments"},
    {"mending", "teaching"},
    {"__init__"},
    {"cli"},
    {"__main__"},
)
FLOOR = {module: number for number, floor in enumerate(FLOORS) for module in floor}


def imported(source):
    """Modules of the package that a source imports anywhere: at the top, in functions, for types only."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide the floor"
            submodules = [f"s2id.{alias.name}" for alias in node.names if alias.name in MODULES]
            names = submodules if node.module == "s2id" and submodules else [node.module]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "s2id":
                yield name.split(".")[1] if "." in name else "__init__"


def upward(module, source):
    return sorted({other for other in imported(source) if FLOOR[other] >= FLOOR[module]})


def test_every_module_has_one_floor():
    assert FLOOR.keys() == MODULES.keys()
    assert sum(map(len, FLOORS)) == len(FLOOR)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down(module):
    assert not upward(module, MODULES[module].read_text())


def test_an_import_up_or_sideways_is_found_wherever_it_hides():
    assert upward("coords", "from s2id.config import Size\nimport torch") == []
    assert upward("coords", "from s2id.model import Network") == ["model"]
    assert upward("coords", "import s2id.schedule") == ["schedule"]
    assert upward("coords", "from s2id import noise, config") == ["noise"]
    assert upward("coords", "def f():\n    from s2id.field import Field") == ["field"]
    assert upward("coords", "if TYPE_CHECKING:\n    import s2id") == ["__init__"]
    assert upward("cli", "from s2id import __version__, sample\nfrom s2id import train") == []


def test_annotations_reach_a_users_type_checker():
    assert (PACKAGE / "py.typed").is_file()  # PEP 561: without it they are ignored


def test_the_ground_floor_needs_no_torch():
    # the command line's help is made of it, and has to be there at once
    for module in ("config", "presets", "__init__"):
        tree = ast.parse(MODULES[module].read_text())
        at_once = {
            name.split(".")[0]
            for node in tree.body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
        }
        assert at_once <= {"dataclasses", "typing", "importlib", "s2id"}
