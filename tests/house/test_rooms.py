"""The house: imports point down the list of rooms only, and heavy libraries stay out of light rooms."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import jaxgossip

ROOMS = ["topology", "mixing", "compression", "learning", "network", "algorithms", "simulation", "experiment"]
ROOMS += ["theory", "cli"]
PACKAGE = Path(jaxgossip.__file__).parent
FOUNDATION = {"checks", "disk", "errors", "files", "memory", "npz", "registry", "random", "typing", "_version"}


def imported_rooms(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found |= {module.split(".")[1] for module in modules if module.startswith("jaxgossip.")}
    return found & set(ROOMS)


def test_every_folder_is_a_room_of_the_list() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert folders == set(ROOMS)
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    assert modules == FOUNDATION | {"__init__", "__main__"}


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_down_only(room: str) -> None:
    above = set(ROOMS[ROOMS.index(room) + 1 :])
    for path in (PACKAGE / room).rglob("*.py"):
        assert not imported_rooms(path) & above, path


def test_the_foundation_knows_no_room() -> None:
    for name in FOUNDATION:
        assert not imported_rooms(PACKAGE / f"{name}.py")


def loaded_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import jaxgossip", {"jax", "numpy", "typer", "pydantic", "matplotlib"}),
        ("import jaxgossip.topology", {"jax", "optax", "typer", "pydantic", "matplotlib"}),
        ("import jaxgossip.simulation", {"typer", "pydantic", "matplotlib", "rich"}),
        ("import jaxgossip.cli.main", {"jax", "numpy", "pydantic", "matplotlib"}),
    ],
)
def test_light_rooms_stay_light(statement: str, absent: set[str]) -> None:
    assert not loaded_after(statement) & absent


def test_nothing_in_the_package_imports_what_it_must_not() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import click" not in text, path
        assert "jax.experimental" not in text, path


def test_no_room_keeps_mutable_state_at_module_level() -> None:
    mutable = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            value = getattr(node, "value", None)
            name = ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) else ""
            assert not isinstance(value, mutable) or name == "__all__", f"{path}: {ast.unparse(node)[:80]}"
