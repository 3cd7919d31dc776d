"""Whose a sweep's folder is: what it holds of a grid, and whether that is part of the one that is to be run."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from jaxgossip.core import disk
from jaxgossip.core.errors import ConfigError
from jaxgossip.core.units import counted
from jaxgossip.experiment.config import toml
from jaxgossip.experiment.config.describe import resolved_toml
from jaxgossip.experiment.config.load import tells_of
from jaxgossip.experiment.config.toml import value_text
from jaxgossip.experiment.results.folder import FINISHED, MANIFEST, RunFolder, checked_manifest, finished_log
from jaxgossip.experiment.results.inputs import CONFIG, digests, sentence
from jaxgossip.experiment.sweeps.grid import Grid, GridRun
from jaxgossip.experiment.sweeps.group_checkpoint import CHECKPOINTS, members_done, members_kept
from jaxgossip.experiment.sweeps.variants import NOTE, note_of

ANOTHER_ORDER = "the keys of its grid are in another order"


def check_claim(grid: Grid, out: Path, *, force: bool) -> None:
    """Raise ConfigError if ``out`` is another sweep's and not to be emptied, or something else's."""
    there = note_of(out)
    if there is None or force:
        return
    difference = _difference(there, grid, out)
    if difference:
        way_out = "--force removes its runs and starts this one, or choose another --out"
        if difference == ANOTHER_ORDER:
            way_out = f"give the --grid options in its order ({', '.join(there['grid'])}); or {way_out}"
        raise ConfigError(f"{out} holds another sweep: {difference}", hint=way_out)


def inputs_of(grid: Grid) -> dict[str, dict[str, str]]:
    """Return the digests of the files that each run reads, by its name; a file of many runs is read once."""
    found: dict[str, dict[str, str]] = {}
    known: dict[str, str] = {}
    for run in grid.runs:
        found[run.config.name] = digests(run.config, known)
    return found


def check_inputs(out: Path, inputs: Mapping[str, Mapping[str, str]], there: Sequence[GridRun]) -> None:
    """Raise ConfigError if runs that are there, or the group that was stopped, have read files that have changed since.

    Args:
        out: the folder of a grid.
        inputs: digests of what each of its runs reads now.
        there: those of its runs that are there.
    """
    note = note_of(out) or {}
    before = [(out / run.config.name, _inputs_at(out / run.config.name), inputs[run.config.name]) for run in there]
    now = {name: digest for its in inputs.values() for name, digest in its.items()}
    if members_kept(out / CHECKPOINTS) or members_done(out / CHECKPOINTS):
        before.append((out, note.get("inputs", {}), now))
    for folder, known, its in before:
        found = {name: "has changed" for name, digest in its.items() if known.get(name, digest) != digest}
        if found:
            raise ConfigError(
                f"{sentence(found, folder)} since the runs in {out} began",
                hint="put back what was there, or choose another --out; --force removes the runs and starts anew",
            )


def _inputs_at(folder: Path) -> dict[str, str]:
    return checked_manifest(folder).get("inputs", {})


def claim(grid: Grid, out: Path, inputs: Mapping[str, Mapping[str, str]], *, force: bool) -> None:
    """Make ``out`` the folder of this grid, and of the one that is there if that holds it.

    Raises:
        ConfigError: it is something else's.
    """
    check_claim(grid, out, force=force)
    there, described = note_of(out), _described(grid)
    if there is not None and force:
        for name in {*there.get("runs", there.get("variants", {})), *described["runs"]}:
            if (out / name / CONFIG).is_file() or (out / name / MANIFEST).is_file():
                disk.remove(out / name)
        disk.remove(out / CHECKPOINTS)
    elif there is not None and _holds(there, described):
        described = {key: there[key] for key in described}
    read = dict(there.get("inputs", {})) if there is not None and not force else {}
    for its in inputs.values():
        read |= its
    disk.write(out / NOTE, json.dumps({**described, "inputs": read}, indent=1) + "\n")


def _described(grid: Grid) -> dict[str, Any]:
    alike = {run.point: run.config.model_copy(update={"seed": 0, "name": ""}) for run in grid.runs}
    return {
        "grid": {axis.key: list(axis.values) for axis in grid.axes},
        "seeds": list(grid.seeds),
        "points": {point: sha256(resolved_toml(config).encode()).hexdigest() for point, config in alike.items()},
        "runs": {run.config.name: f"{run.point}, seed={run.config.seed}".removeprefix(", ") for run in grid.runs},
    }


def _difference(there: Mapping[str, Any], grid: Grid, out: Path) -> str | None:
    """Return what keeps the sweep in a folder and this one from being part of one another; None: nothing does."""
    if "variants" in there:
        return "one of variants"
    here = _described(grid)
    if set(there["grid"]) != set(here["grid"]):
        return f"its grid is {_options(there)}"
    if list(there["grid"]) != list(here["grid"]):
        return ANOTHER_ORDER
    if not (_holds(there, here) or _holds(here, there)):
        same = there["points"].keys() == here["points"].keys()
        return (
            f"its seeds are {there['seeds']}" if same else f"its grid is {_options(there)} with seeds {there['seeds']}"
        )
    other = {point for point, digest in there["points"].items() if here["points"].get(point, digest) != digest}
    if other and not other <= _told_by_runs(there, grid, out):
        return f"its configuration differs{_differing_keys(there, grid, out)}"
    return None


def _told_by_runs(there: Mapping[str, Any], grid: Grid, out: Path) -> set[str]:
    """Return the points whose runs that are there are of this grid's configuration: other versions have other digests."""
    its = [
        (run.point, out / run.config.name / CONFIG, run.config) for run in grid.runs if run.config.name in there["runs"]
    ]
    found = [(point, tells_of(path, config)) for point, path, config in its if path.is_file()]
    return {point for point, _ in found} - {point for point, same in found if not same}


def _holds(large: Mapping[str, Any], small: Mapping[str, Any]) -> bool:
    """Return whether a grid has all points and all seeds of another."""
    return large["points"].keys() >= small["points"].keys() and set(large["seeds"]) >= set(small["seeds"])


def _differing_keys(there: Mapping[str, Any], grid: Grid, out: Path) -> str:
    """Return how a run of both is configured there and here; empty if there is none to look at."""
    for run in grid.runs:
        theirs = out / run.config.name / CONFIG
        if run.config.name in there["runs"] and theirs.is_file():
            before, now = (toml.flat(tree) for tree in (toml.read(theirs), toml.parse(resolved_toml(run.config), "")))
            found = [key for key in {**before, **now} if before.get(key) != now.get(key)]
            if found:
                told = (value_text(tree[found[0]]) if found[0] in tree else "not given" for tree in (before, now))
                more = f", and {counted(len(found) - 1, 'more key')}" * (len(found) > 1)
                return f": {found[0]} is {' there, here '.join(told)}{more}"
    return ""


def _options(there: Mapping[str, Any]) -> str:
    return (
        " ".join(f"{key}={','.join(map(value_text, values))}" for key, values in there["grid"].items())
        or "a single point"
    )


def status_of(folder: Path, run: GridRun) -> str | None:
    """Return how a run ended that is in a folder; None if there is no complete one, or that of another configuration.

    Raises:
        ConfigError: it is complete, and its records are not those that it wrote.
    """
    if not RunFolder.is_begun(folder):
        return None
    try:
        manifest = checked_manifest(folder)
        same = tells_of(folder / CONFIG, run.config)
    except ConfigError:  # damaged: it is run again
        return None
    if not same or manifest["status"] not in FINISHED:
        return None
    finished_log(folder, manifest, run.config.evaluation.every)
    return manifest["status"]
