"""Saves results to folders with the layout of a run folder of ``jaxgossip run``.

metrics.jsonl      one JSON object per evaluation
node_scores.npz    final measurements of every node
models.npz         x (n, p), by node
manifest.json      status, settings, versions, device, digests; written last, so that its presence implies the other files
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from jaxgossip.core import disk
from jaxgossip.core.disk import MANIFEST, METRICS, MODELS, SCORES
from jaxgossip.core.errors import InputError
from jaxgossip.simulation.checkpoint import storable
from jaxgossip.simulation.results.endings import ending_entries
from jaxgossip.simulation.results.provenance import provenance
from jaxgossip.simulation.results.result import Result

MADE_BY = "jaxgossip.simulate"
"""Value of the manifest's ``made_by`` for results saved from Python."""


def save(result: Result, folder: Path, *, overwrite: bool = False) -> Path:
    """Write ``result`` into ``folder`` and return the folder (see :meth:`Result.save`)."""
    records = result.metrics.records
    if not records:
        raise InputError("nothing was measured, so there is nothing to save", hint="let it run to its first evaluation")
    _check_free(folder, overwrite=overwrite)
    disk.make_folder(folder, parents=True)
    with disk.locked(folder):
        for name in (MANIFEST, SCORES, MODELS, METRICS):  # manifest first: without it, the folder holds no result
            disk.remove(folder / name)
        lines = [json.dumps(disk.strict_json(record)).encode() for record in records]
        disk.write(folder / METRICS, b"".join(line + b"\n" for line in lines))
        x = np.asarray(result.x)
        disk.write(folder / MODELS, lambda file: np.savez(file, x=storable(x)))
        digests = {"models_sha256": disk.digest(folder / MODELS)}
        if result.node_scores:
            scores = dict(result.node_scores)
            disk.write(folder / SCORES, lambda file: np.savez(file, **scores))  # pyright: ignore[reportArgumentType] - arrays
            digests["node_scores_sha256"] = disk.digest(folder / SCORES)
        manifest = {
            **ending_entries(result.status, result.rounds, records),
            "name": result.algorithm.name,
            "made_by": MADE_BY,
            "seed": result.settings.get("seed"),
            "settings": dict(result.settings),
            "first_round": int(records[0]["round"]),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "total_s": round(result.wall_s, 3),
            "dtype": str(x.dtype),
            "graph": {"nodes": result.algorithm.problem.n_nodes},
            "parameters": result.algorithm.problem.n_params,
            **provenance(),
            "logs": {METRICS: disk.Sealing(lines).seal.facts()},
            **digests,
        }
        disk.write(folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    return folder


def _check_free(folder: Path, *, overwrite: bool) -> None:
    """Raise InputError unless the folder is empty or holds a saved result that may be replaced."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder", hint="give another name")
    existing = {path.name for path in folder.iterdir() if not disk.is_leftover(path)} if folder.is_dir() else set[str]()
    if not existing:
        return
    if not (existing <= {METRICS, SCORES, MODELS, MANIFEST} and (overwrite or MANIFEST not in existing)):
        saved = _is_saved(folder)
        hint = "overwrite=True replaces it, or choose another folder" if saved else "choose another folder"
        raise InputError(f"{folder} {'holds a saved result' if saved else 'is not empty'}", hint=hint)


def _is_saved(folder: Path) -> bool:
    try:
        manifest: Any = disk.parsed_json((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("made_by") == MADE_BY
