"""Saves results to folders with the layout of a run folder of ``jaxgossip run``, and those of sweeps to folders of these.

metrics.jsonl      one JSON object per evaluation
node_scores.npz    final measurements of every node
models.npz         x (n, p), by node
manifest.json      status, settings, versions, device, digests; written last, so that its presence implies the other files
sweep.json         index of a sweep: its grid, seeds and runs; written first, so that a folder is known as that of a sweep
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from jaxgossip.core import disk
from jaxgossip.core.disk import MANIFEST, METRICS, MODELS, SCORES, SWEEP
from jaxgossip.core.errors import InputError
from jaxgossip.core.files import folder_name
from jaxgossip.simulation.mesh.stored import storable
from jaxgossip.simulation.results.endings import ending_entries
from jaxgossip.simulation.results.provenance import provenance
from jaxgossip.simulation.results.result import Result
from jaxgossip.simulation.results.sweep_result import Point, SweepResult, SweepRun, labels, plain, same, text_of

MADE_BY = "jaxgossip.simulate"
"""Value of the manifest's ``made_by`` for results saved from Python."""
SWEEP_MADE_BY = "jaxgossip.sweep"
"""The same for sweeps, in their index and in the manifests of their runs."""
NOTHING = ("nothing was measured, so there is nothing to save", "let it run to its first evaluation")
"""Message and hint of the error if there are no records."""
LONGEST_NAME = 150
"""Length to which the part of a folder's name that tells the point is shortened."""


def save(result: Result, folder: Path, *, overwrite: bool = False) -> Path:
    """Write ``result`` into ``folder`` and return the folder (see :meth:`Result.save`)."""
    records = result.metrics.records
    if not records:
        raise InputError(*NOTHING)
    _check_free(folder, overwrite=overwrite)
    disk.make_folder(folder, parents=True)
    with disk.locked(folder):
        for name in (MANIFEST, SCORES, MODELS, METRICS):  # manifest first: without it, the folder holds no result
            disk.remove(folder / name)
        x = np.asarray(result.x)
        disk.write(folder / MODELS, lambda file: np.savez(file, x=storable(x)))
        digests = {"models_sha256": disk.digest(folder / MODELS)}
        if result.node_scores:
            scores = dict(result.node_scores)
            disk.write(folder / SCORES, lambda file: np.savez(file, **scores))  # pyright: ignore[reportArgumentType] - arrays
            digests["node_scores_sha256"] = disk.digest(folder / SCORES)
        entries = {
            "name": result.algorithm.name,
            "made_by": MADE_BY,
            "seed": result.settings.get("seed"),
            "settings": dict(result.settings),
            "total_s": round(result.wall_s, 3),
            "dtype": str(x.dtype),
            "graph": {"nodes": result.algorithm.problem.n_nodes},
            "parameters": result.algorithm.problem.n_params,
            **digests,
        }
        _write_records(folder, records, ending_entries(result.status, result.rounds, records) | entries)
    return folder


def save_sweep(result: SweepResult, folder: Path, *, overwrite: bool = False) -> Path:
    """Write the runs of ``result`` and their index into ``folder`` and return it (see :meth:`SweepResult.save`)."""
    runs = [run for run in result.runs if len(run.metrics)]
    if not runs:
        raise InputError(*NOTHING)
    earlier = _check_free_for_sweep(folder, overwrite=overwrite)
    points = _json_points(run.point for run in runs)
    named = dict(zip(_folder_names(runs, points), zip(runs, points, strict=True), strict=True))
    index = {
        "made_by": SWEEP_MADE_BY,
        "status": result.status,
        "asked": result.asked,
        "wall_s": round(result.wall_s, 3),
        "grid": _grid(points),
        "seeds": list(dict.fromkeys(run.seed for run in result.runs)),
        "points": {", ".join(labels(point)): point for point in points},
        "runs": {name: ", ".join([*labels(point), f"seed={run.seed}"]) for name, (run, point) in named.items()},
    }
    disk.make_folder(folder, parents=True)
    with disk.locked(folder):
        for name in earlier:
            disk.remove(folder / name)
        disk.write(folder / SWEEP, json.dumps(index, indent=1) + "\n")
        for name, (run, point) in named.items():
            records = run.metrics.records
            entries = {
                "name": name,
                "made_by": SWEEP_MADE_BY,
                "seed": run.seed,
                "point": point,
                "settings": dict(run.settings),
                "graph": {} if run.n_nodes is None else {"nodes": run.n_nodes},
            }
            disk.make_folder(folder / name)
            _write_records(folder / name, records, ending_entries(run.status, run.rounds, records) | entries)
    return folder


def _write_records(folder: Path, records: Sequence[Mapping[str, Any]], entries: Mapping[str, Any]) -> None:
    """Write the records of a run, then its manifest with these entries."""
    lines = [json.dumps(disk.strict_json(record)).encode() for record in records]
    disk.write(folder / METRICS, b"".join(line + b"\n" for line in lines))
    manifest = {
        **entries,
        "first_round": int(records[0]["round"]),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        **provenance(),
        "logs": {METRICS: disk.Sealing(lines).seal.facts()},
    }
    disk.write(folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")


def _folder_names(runs: Sequence[SweepRun], points: Sequence[Point]) -> list[str]:
    """Return the names of the runs' folders, such as ``rate_0.1-seed_0``; equal names are numbered."""
    names: dict[str, None] = {}
    for run, point in zip(runs, points, strict=True):
        words = [label.replace("=", "_") for label in labels(point)]
        where = folder_name("-".join(words))[:LONGEST_NAME] if words else ""
        name = base = f"{where}-seed_{run.seed}".removeprefix("-")
        number = 1
        while name in names:
            number += 1
            name = f"{base}-{number}"
        names[name] = None
    return list(names)


def _grid(points: Iterable[Point]) -> dict[str, list[Any]]:
    """Return the values of each name of the grid, without repetitions."""
    values: dict[str, list[Any]] = {}
    for point in points:
        for name, value in point.items():
            listed = values.setdefault(name, [])
            listed += [] if value in listed else [value]
    return values


def _json_points(points: Iterable[Point]) -> list[dict[str, Any]]:
    """Return points with values that JSON has; others are described, and numbered if different ones are described alike."""
    described: dict[str, list[tuple[Any, str]]] = {}
    converted = []
    for point in points:
        values: dict[str, Any] = {}
        for name, value in plain(point).items():
            is_finite = not isinstance(value, float) or math.isfinite(value)
            if value is None or (isinstance(value, bool | int | float | str) and is_finite):
                values[name] = value
                continue
            known = described.setdefault(name, [])
            text = next((text for other, text in known if same(other, value)), None)
            if text is None:
                alike = sum(text_of(other) == text_of(value) for other, _ in known)
                text = f"{text_of(value)} #{alike + 1}" if alike else text_of(value)
                known.append((value, text))
            values[name] = text
        converted.append(values)
    return converted


def _check_free_for_sweep(folder: Path, *, overwrite: bool) -> list[str]:
    """Return the names of the runs of an earlier sweep in ``folder``, all of which may be replaced.

    Raises:
        InputError: the folder or that of a run holds anything else, or the sweep is not to be replaced.
    """
    existing = _content(folder)
    if not existing:
        return []
    index = _json_of(folder / SWEEP)
    saved = index.get("made_by") == SWEEP_MADE_BY and isinstance(index.get("runs"), dict)
    if not saved or not existing <= {SWEEP, *index["runs"]}:
        raise InputError(f"{folder} is not empty", hint="choose another folder")
    for name in sorted(existing - {SWEEP}):
        if others := _content(folder / name) - {METRICS, MANIFEST}:
            raise InputError(
                f"{folder / name / min(others)} is not the sweep's", hint="move it, or choose another folder"
            )
    if not overwrite:
        hint = "overwrite=True replaces it, or choose another folder"
        raise InputError(f"{folder} holds a saved sweep", hint=hint)
    return sorted(existing - {SWEEP})


def _check_free(folder: Path, *, overwrite: bool) -> None:
    """Raise InputError unless the folder is empty or holds a saved result that may be replaced."""
    existing = _content(folder)
    if not existing:
        return
    if not (existing <= {METRICS, SCORES, MODELS, MANIFEST} and (overwrite or MANIFEST not in existing)):
        saved = _is_saved(folder)
        hint = "overwrite=True replaces it, or choose another folder" if saved else "choose another folder"
        raise InputError(f"{folder} {'holds a saved result' if saved else 'is not empty'}", hint=hint)


def _content(folder: Path) -> set[str]:
    """Return the names of what a folder holds, apart from leftovers; empty if there is no such folder.

    Raises:
        InputError: it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder", hint="give another name")
    return {path.name for path in folder.iterdir() if not disk.is_leftover(path)} if folder.is_dir() else set()


def _is_saved(folder: Path) -> bool:
    return _json_of(folder / MANIFEST).get("made_by") == MADE_BY


def _json_of(file: Path) -> dict[str, Any]:
    """Return the table in a JSON file; empty if there is none."""
    try:
        content: Any = disk.parsed_json(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
