"""Whose a sweep's folder is: what it holds of a grid, and whether that is part of the one that is to be run."""

import contextlib
import json
import shutil
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from jaxgossip.errors import ConfigError
from jaxgossip.experiment.describe import resolved_toml
from jaxgossip.experiment.grid import Grid, GridRun
from jaxgossip.experiment.keeper import CHECKPOINTS
from jaxgossip.experiment.sweep import NOTE, note_of
from jaxgossip.simulation.checkpoint import write_atomically


def claim(grid: Grid, out: Path, *, force: bool) -> None:
    """Make ``out`` the folder of this grid.

    Raises:
        ConfigError: it is something else's.
    """
    there, described = note_of(out), _described(grid)
    if there is not None:
        difference = _difference(there, described)
        if difference and not force:
            raise ConfigError(
                f"{out} holds another sweep: {difference}",
                hint="--force removes its runs and starts this one, or choose another --out",
            )
        if force:
            for name in {*there.get("runs", there.get("variants", {})), *described["runs"]}:
                if (out / name / "config.toml").is_file():
                    shutil.rmtree(out / name)
            shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / NOTE, json.dumps(described, indent=1) + "\n")


def _described(grid: Grid) -> dict[str, Any]:
    alike = {run.point: run.config.model_copy(update={"seed": 0, "name": ""}) for run in grid.runs}
    return {
        "grid": {axis.key: list(axis.values) for axis in grid.axes},
        "seeds": list(grid.seeds),
        "points": {point: sha256(resolved_toml(config).encode()).hexdigest() for point, config in alike.items()},
        "runs": {run.config.name: f"{run.point}, seed={run.config.seed}".removeprefix(", ") for run in grid.runs},
    }


def _difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """Return what keeps the sweep in a folder from being part of this one; None: it is."""
    if "variants" in there:
        return "one of variants"
    if list(there["grid"]) != list(here["grid"]) or not there["points"].keys() <= here["points"].keys():
        return f"its grid is {there['grid']}"
    if not set(there["seeds"]) <= set(here["seeds"]):
        return f"its seeds are {there['seeds']}"
    if any(here["points"][point] != digest for point, digest in there["points"].items()):
        return "its configuration differs"
    return None


def status_of(folder: Path, run: GridRun) -> str | None:
    """Return how a run ended that is in a folder; None if there is no complete one, or that of another configuration."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        status = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["status"]
        return status if (folder / "config.toml").read_text(encoding="utf-8") == resolved_toml(run.config) else None
    return None
