"""Checks whether a folder belongs to a grid: whether the sweep in it is a part of the grid or contains it."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from jaxgossip.core import disk
from jaxgossip.core.disk import SWEEP
from jaxgossip.core.errors import ConfigError
from jaxgossip.core.units import counted
from jaxgossip.experiment.config import toml
from jaxgossip.experiment.config.describe import resolved_toml
from jaxgossip.experiment.config.load import tells_of
from jaxgossip.experiment.config.toml import value_text
from jaxgossip.experiment.results.folder import FINISHED, MANIFEST, RunFolder, checked_manifest, finished_log
from jaxgossip.experiment.results.inputs import CONFIG, digests, sentence
from jaxgossip.experiment.sweeps.grid import Grid, GridRun
from jaxgossip.experiment.sweeps.group_checkpoint import CHECKPOINTS, checkpointed_members, finished_members
from jaxgossip.experiment.sweeps.variants import read_sweep_file

ANOTHER_ORDER = "the keys of its grid are in another order"


def check_ownership(grid: Grid, out: Path, *, force: bool) -> None:
    """Raise ConfigError if ``out`` holds something other than a sweep, or another sweep and ``force`` is False."""
    stored = read_sweep_file(out)
    if stored is None or force:
        return
    difference = _difference(stored, grid, out)
    if difference:
        hint = "--force removes its runs and starts this one, or choose another --out"
        if difference == ANOTHER_ORDER:
            hint = f"give the --grid options in its order ({', '.join(stored['grid'])}); or {hint}"
        raise ConfigError(f"{out} holds another sweep: {difference}", hint=hint)


def input_digests(grid: Grid) -> dict[str, dict[str, str]]:
    """Return, by run, the digests of its input files; a file shared by many runs is read once."""
    cache: dict[str, str] = {}
    return {run.config.name: digests(run.config, cache) for run in grid.runs}


def check_inputs(out: Path, inputs: Mapping[str, Mapping[str, str]], finished: Sequence[GridRun]) -> None:
    """Raise ConfigError if an input file of a finished run, or of the checkpointed group, has changed.

    Args:
        out: folder of the grid.
        inputs: by run, the current digests of its input files.
        finished: runs of the grid that are in the folder.
    """
    stored = read_sweep_file(out) or {}
    compared = [
        (out / run.config.name, _stored_inputs(out / run.config.name), inputs[run.config.name]) for run in finished
    ]
    if checkpointed_members(out / CHECKPOINTS) or finished_members(out / CHECKPOINTS):
        every_input = {name: digest for run_inputs in inputs.values() for name, digest in run_inputs.items()}
        compared.append((out, stored.get("inputs", {}), every_input))
    for folder, before, now in compared:
        changed = {name: "has changed" for name, digest in now.items() if before.get(name, digest) != digest}
        if changed:
            raise ConfigError(
                f"{sentence(changed, folder)} since the runs in {out} began",
                hint="put back what was there, or choose another --out; --force removes the runs and starts anew",
            )


def _stored_inputs(folder: Path) -> dict[str, str]:
    return checked_manifest(folder).get("inputs", {})


def take_ownership(grid: Grid, out: Path, inputs: Mapping[str, Mapping[str, str]], *, force: bool) -> None:
    """Write ``sweep.json``, which makes ``out`` the folder of this grid; a larger grid that contains it stays described.

    Raises:
        ConfigError: ``out`` belongs to something else (see :func:`check_ownership`).
    """
    check_ownership(grid, out, force=force)
    stored, described = read_sweep_file(out), _description(grid)
    if stored is not None and force:
        for name in {*stored.get("runs", stored.get("variants", {})), *described["runs"]}:
            if (out / name / CONFIG).is_file() or (out / name / MANIFEST).is_file():
                disk.remove(out / name)
        disk.remove(out / CHECKPOINTS)
    elif stored is not None and _contains(stored, described):
        described = {key: stored[key] for key in described}
    every_input = dict(stored.get("inputs", {})) if stored is not None and not force else {}
    for run_inputs in inputs.values():
        every_input |= run_inputs
    disk.write(out / SWEEP, json.dumps({**described, "inputs": every_input}, indent=1) + "\n")


def _description(grid: Grid) -> dict[str, Any]:
    configs = {run.point: run.config.model_copy(update={"seed": 0, "name": ""}) for run in grid.runs}
    return {
        "grid": {axis.key: list(axis.values) for axis in grid.axes},
        "seeds": list(grid.seeds),
        "points": {point: sha256(resolved_toml(config).encode()).hexdigest() for point, config in configs.items()},
        "runs": {run.config.name: f"{run.point}, seed={run.config.seed}".removeprefix(", ") for run in grid.runs},
    }


def _difference(stored: Mapping[str, Any], grid: Grid, out: Path) -> str | None:
    """Return why neither the sweep in a folder nor ``grid`` is a part of the other; None if one is."""
    if "variants" in stored:
        return "one of variants"
    requested = _description(grid)
    if set(stored["grid"]) != set(requested["grid"]):
        return f"its grid is {_options(stored)}"
    if list(stored["grid"]) != list(requested["grid"]):
        return ANOTHER_ORDER
    if not (_contains(stored, requested) or _contains(requested, stored)):
        if stored["points"].keys() == requested["points"].keys():
            return f"its seeds are {stored['seeds']}"
        return f"its grid is {_options(stored)} with seeds {stored['seeds']}"
    other = {point for point, digest in stored["points"].items() if requested["points"].get(point, digest) != digest}
    if other and not other <= _points_confirmed_by_runs(stored, grid, out):
        return f"its configuration differs{_differing_keys(stored, grid, out)}"
    return None


def _points_confirmed_by_runs(stored: Mapping[str, Any], grid: Grid, out: Path) -> set[str]:
    """Return the points whose run folders all have this grid's configuration; digests differ between versions."""
    configs = [
        (run.point, out / run.config.name / CONFIG, run.config)
        for run in grid.runs
        if run.config.name in stored["runs"]
    ]
    checked = [(point, tells_of(path, config)) for point, path, config in configs if path.is_file()]
    return {point for point, _ in checked} - {point for point, same in checked if not same}


def _contains(large: Mapping[str, Any], small: Mapping[str, Any]) -> bool:
    """Return whether grid ``large`` has all points and all seeds of ``small``."""
    return large["points"].keys() >= small["points"].keys() and set(large["seeds"]) >= set(small["seeds"])


def _differing_keys(stored: Mapping[str, Any], grid: Grid, out: Path) -> str:
    """Return as text how the stored and the requested configuration of the first differing run differ; empty if none does."""
    for run in grid.runs:
        path = out / run.config.name / CONFIG
        if run.config.name in stored["runs"] and path.is_file():
            before, now = (toml.flat(tree) for tree in (toml.read(path), toml.parse(resolved_toml(run.config), "")))
            differing = [key for key in {**before, **now} if before.get(key) != now.get(key)]
            if differing:
                key, *others = differing
                values = (value_text(tree[key]) if key in tree else "not given" for tree in (before, now))
                more = f", and {counted(len(others), 'more key')}" if others else ""
                return f": {key} is {' there, here '.join(values)}{more}"
    return ""


def _options(stored: Mapping[str, Any]) -> str:
    return (
        " ".join(f"{key}={','.join(map(value_text, values))}" for key, values in stored["grid"].items())
        or "a single point"
    )


def finished_status(folder: Path, run: GridRun) -> str | None:
    """Return the status of a finished run in a folder; None if the folder has no finished run of this configuration.

    Raises:
        ConfigError: the run is finished, but its records have been altered.
    """
    if not RunFolder.is_begun(folder):
        return None
    try:
        manifest = checked_manifest(folder)
        same = tells_of(folder / CONFIG, run.config)
    except ConfigError:  # damaged: run it again
        return None
    if not same or manifest["status"] not in FINISHED:
        return None
    finished_log(folder, manifest, run.config.evaluation.every)
    return manifest["status"]
