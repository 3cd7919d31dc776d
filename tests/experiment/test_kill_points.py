"""A run, a sweep and a grid that are killed, or find the disk full, at any file operation go on to the same bits."""

import errno
import io
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.results.run_data import RunData, final_numbers
from jaxgossip.experiment.runs import run as runs
from jaxgossip.experiment.sweeps import grid_run
from jaxgossip.experiment.sweeps.grid import expand
from jaxgossip.experiment.sweeps.variants import sweep, variants, write_table
from tests.experiment.faulty_disk import Tree, full_from, kill_points, put_tree, tree_of
from tests.experiment.tiny import TEXT, VARIANTS, Stop, quick

CLOCKED = ("started", "finished", "compile_s", "total_s", "resumed", "command", "error")
"""What a manifest tells of the process rather than of the run."""


@pytest.fixture(scope="module", autouse=True)
def in_no_time() -> Iterator[None]:
    with quick():
        yield


@dataclass(frozen=True)
class Case:
    """Work in a folder that can be begun, and gone on with.

    Attributes:
        begin: the first command.
        go_on: the one that goes on.
        before: what begins in the place of an empty folder, if that is something.
    """

    begin: Callable[[Path], object]
    go_on: Callable[[Path], object]
    before: Callable[[Path], object] | None = None


def one_run(out: Path, **options: Any) -> None:
    runs.run(load(TEXT), out=out / "run", **options)


def again(out: Path) -> None:
    """Type the same command again; where that says that a run is there, resume it."""
    try:
        one_run(out)
    except ConfigError as error:
        assert "jaxgossip resume" in error.hint  # noqa: PT017 - either way is one that goes on
        runs.resume(out / "run")


def stopped(out: Path) -> None:
    """Leave a run that an interruption ended in the middle."""
    runs.run(load(TEXT), out=out / "run", observer=Stop(2))


def of_variants(out: Path, *, force: bool = False) -> None:
    config = out.parent / "several.toml"
    config.write_text(TEXT + VARIANTS)
    found = variants(config)
    sweep(found, out / "sweep", force=force)
    write_table([final_numbers(RunData.load(out / "sweep" / one.folder)) for one in found], out / "sweep")


def of_a_grid(out: Path, *, force: bool = False) -> None:
    config = out.parent / "small.toml"
    config.write_text(TEXT)
    grid = expand(config, ["optimizer.learning_rate=0.1,0.2"], 2)
    grid_run.run_grid(grid, out / "grid", force=force)
    found = [RunData.load(out / "grid" / one.config.name) for one in grid.runs]
    write_table([final_numbers(one) for one in found], out / "grid")


CASES = {
    "run": Case(one_run, again),
    "resumed": Case(lambda out: runs.resume(out / "run"), again, stopped),
    "overwritten": Case(lambda out: one_run(out, force=True), lambda out: one_run(out, force=True), one_run),
    "sweep": Case(of_variants, of_variants),
    "sweep anew": Case(lambda out: of_variants(out, force=True), of_variants, of_variants),
    "grid": Case(of_a_grid, of_a_grid),
    "grid anew": Case(lambda out: of_a_grid(out, force=True), lambda out: of_a_grid(out, force=True), of_a_grid),
}


def outcome(root: Path) -> dict[str, Any]:
    """Return all that a folder holds, but for what tells of the process and for states between the first and the last."""
    tree: Tree = tree_of(root)
    last = {Path(name).parent: name for name in sorted(tree) if "round-" in name and name.endswith(".npz")}
    found: dict[str, Any] = {}
    for name, content in tree.items():
        if "round-" in name and name not in last.values():
            continue
        if name.endswith("manifest.json"):
            facts = json.loads(content or b"")
            found[name] = {key: value for key, value in facts.items() if key not in CLOCKED}
        elif name.endswith(".npz"):
            with np.load(io.BytesIO(content or b"")) as stored:
                found[name] = {key: stored[key].tobytes() for key in stored.files}
        else:
            found[name] = content
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Mapping[str, Any], Tree, list[Tree]]]:
    """Return what a case gives that nothing stops, what it begins with, and what kills would leave."""
    known: dict[str, tuple[Mapping[str, Any], Tree, list[Tree]]] = {}

    def found(name: str) -> tuple[Mapping[str, Any], Tree, list[Tree]]:
        if name not in known:
            case, out = CASES[name], tmp_path_factory.mktemp("whole") / "out"
            out.mkdir()
            if case.before is not None:
                case.before(out)
            before = tree_of(out)
            points = kill_points(out, lambda: case.begin(out))
            known[name] = outcome(out), before, points
        return known[name]

    return found


def fails(work: Callable[[], object]) -> OSError | None:
    """Return the error in which some work ends; None if it ends in none."""
    try:
        work()
    except OSError as error:
        return error
    return None


PARTS = 8
"""So many tests share the points of a case, for as many workers as there are."""


def parts(sampled: int, *sampled_cases: str, one_in: int = 1) -> list[Any]:
    """Return (case, part, parts) of the tests: one point in ``sampled`` of some cases by default, else all, or ``one_in``."""
    every = [
        pytest.param(name, one_in * part + part % one_in, one_in * PARTS, marks=pytest.mark.slow)
        for name in CASES
        for part in range(PARTS)
    ]
    return [*every, *(pytest.param(name, 3, sampled, id=f"{name}-sample") for name in sampled_cases)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "part", "of"), parts(40, "run", "grid", one_in=8))
def test_what_is_killed_at_any_file_operation_goes_on_to_the_same_bits(
    name: str, part: int, of: int, whole, tmp_path: Path
) -> None:
    case, (expected, _, points) = CASES[name], whole(name)
    assert len(points) > 20
    for number in range(part, len(points), of):
        out = tmp_path / str(number) / "out"
        put_tree(out, points[number])
        case.go_on(out)
        assert outcome(out) == expected, f"killed at point {number} of {len(points)}: {sorted(points[number])}"


@pytest.mark.by_default("run-sample")
@pytest.mark.parametrize(("name", "part", "of"), parts(60, "run", "sweep", one_in=24))
def test_what_finds_the_disk_full_names_the_file_and_goes_on_once_there_is_room(
    name: str, part: int, of: int, whole, tmp_path: Path
) -> None:
    case, (expected, before, _) = CASES[name], whole(name)
    for number in itertools.count(part, of):
        out = tmp_path / str(number) / "out"
        put_tree(out, before)
        full = full_from(out, number)
        with full.mounted():
            told = fails(partial(case.begin, out))
        if told is not None:
            assert told.errno == errno.ENOSPC
            assert str(told.filename).startswith(str(out))
            assert not str(told.filename).endswith(".tmp")
        if full.count < number:
            break
        case.go_on(out)
        assert outcome(out) == expected, f"full at operation {number}"
    assert number > 20
