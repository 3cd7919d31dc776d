"""The house: imports point down the list of rooms only, and heavy libraries stay out of light rooms."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import jaxgossip

ROOMS = ["core", "topology", "schedule", "compression", "mixing", "learning", "network", "algorithms", "plotting"]
ROOMS += ["simulation", "audit", "experiment", "theory", "bench", "cli"]
EXPERIMENT = ["config", "build", "results", "planning", "plots", "topologies", "runs", "sweeps"]
PACKAGE = Path(jaxgossip.__file__).parent
EXCHANGES = PACKAGE / "core" / "devices" / "processes.py"
"""What processes exchange on their devices: JAX has it among what is experimental only."""
LARGE_FOLDERS = {"plots"}
"""One file a theory plot: a list that everybody reads by name."""


def imported(path: Path) -> set[str]:
    """Return the modules of ours that a file imports, and the names that it takes from them, dotted."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.startswith("jaxgossip.")}


def rooms_of(path: Path, level: int) -> set[str]:
    """Return the rooms that a file imports from: the part of a dotted name at ``level``, 1 for the rooms of the house."""
    return {name.split(".")[level] for name in imported(path) if name.count(".") >= level}


def test_every_folder_is_a_room_of_the_list() -> None:
    def folders(room: Path) -> set[str]:
        return {path.name for path in room.iterdir() if (path / "__init__.py").is_file()}

    assert folders(PACKAGE) == set(ROOMS)
    assert folders(PACKAGE / "experiment") == set(EXPERIMENT)
    assert {path.stem for path in PACKAGE.glob("*.py")} == {"__init__", "__main__", "_version", "errors"}


@pytest.mark.by_default("core", "bench", "simulation", "schedule", "network", "cli", "algorithms", "audit")
@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_down_only(room: str) -> None:
    above = set(ROOMS[ROOMS.index(room) + 1 :])
    for path in (PACKAGE / room).rglob("*.py"):
        assert not rooms_of(path, 1) & above, path


@pytest.mark.parametrize("room", EXPERIMENT)
def test_imports_within_the_experiment_point_down_only(room: str) -> None:
    above = set(EXPERIMENT[EXPERIMENT.index(room) + 1 :])
    for path in (PACKAGE / "experiment" / room).glob("*.py"):
        names = {name for name in imported(path) if name.startswith("jaxgossip.experiment.")}
        assert not {name.split(".")[2] for name in names} & above, path


def test_no_folder_has_more_files_than_a_reader_takes_in() -> None:
    for folder in {path.parent for path in PACKAGE.rglob("*.py")}:
        assert len(list(folder.glob("*.py"))) <= 14 or folder.name in LARGE_FOLDERS, folder


def test_no_file_is_longer_than_a_reader_holds_in_mind() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path


def loaded_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.by_default("import jaxgossip.errors-absent3", "import jaxgossip.cli.main-absent5")
@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import jaxgossip", {"jax", "numpy", "typer", "pydantic", "matplotlib"}),
        ("import jaxgossip.topology", {"jax", "optax", "typer", "pydantic", "matplotlib"}),
        ("import jaxgossip.schedule", {"jax", "optax", "typer", "pydantic", "matplotlib"}),
        ("import jaxgossip.errors", {"jax", "numpy", "typer", "pydantic", "matplotlib"}),
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
        assert "jax.experimental" not in text or path == EXCHANGES, path


def test_no_room_keeps_mutable_state_at_module_level() -> None:
    mutable = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            value = getattr(node, "value", None)
            name = ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) else ""
            assert not isinstance(value, mutable) or name == "__all__", f"{path}: {ast.unparse(node)[:80]}"
