"""A result in a folder, laid out as ``jaxgossip run`` lays out a run: whole, or not there.

metrics.jsonl      one object an evaluation
node_scores.npz    every node's measurements at the end
models.npz         x (n, p), node by node
manifest.json      status, settings, versions, device, digests; it comes last, so that whoever finds one finds the rest
"""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxgossip.core import disk
from jaxgossip.core.errors import InputError
from jaxgossip.simulation.results.endings import ending_facts
from jaxgossip.simulation.results.provenance import provenance
from jaxgossip.simulation.results.result import Result

METRICS, SCORES, MODELS, MANIFEST = "metrics.jsonl", "node_scores.npz", "models.npz", "manifest.json"
MADE_BY = "jaxgossip.simulate"
"""What a manifest says of a result that was saved from Python."""


def save(result: Result, folder: Path, *, overwrite: bool = False) -> Path:
    """Write ``result`` into ``folder``, see :meth:`Result.save`, and return the folder."""
    records = result.metrics.records
    if not records:
        raise InputError("nothing was measured, so there is nothing to save", hint="let it run to its first evaluation")
    _check_free(folder, overwrite=overwrite)
    disk.make_folder(folder, parents=True)
    with disk.locked(folder):
        for name in (MANIFEST, SCORES, MODELS, METRICS):  # the manifest first: without one, there is no result
            disk.remove(folder / name)
        lines = [json.dumps(disk.strict_json(record)).encode() for record in records]
        disk.write(folder / METRICS, b"".join(line + b"\n" for line in lines))
        x = np.asarray(result.x)
        stored = x.view(np.uint16) if x.dtype == jnp.bfloat16 else x  # NumPy's own files know no bfloat16
        disk.write(folder / MODELS, lambda file: np.savez(file, x=stored))
        digests = {"models_sha256": _sha256(folder / MODELS)}
        if result.node_scores:
            scores = dict(result.node_scores)
            disk.write(folder / SCORES, lambda file: np.savez(file, **scores))  # pyright: ignore[reportArgumentType] - arrays
            digests["node_scores_sha256"] = _sha256(folder / SCORES)
        manifest = {
            **ending_facts(result.status, result.rounds, records),
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
    """Raise InputError unless the folder is empty, or holds a saved result that may be replaced."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, not a folder", hint="give another name")
    there = {path.name for path in folder.iterdir() if not disk.is_leftover(path)} if folder.is_dir() else set[str]()
    if not there:
        return
    if not (there <= {METRICS, SCORES, MODELS, MANIFEST} and (overwrite or MANIFEST not in there)):
        saved = _is_saved(folder)
        hint = "overwrite=True replaces it, or choose another folder" if saved else "choose another folder"
        raise InputError(f"{folder} {'holds a saved result' if saved else 'is not empty'}", hint=hint)


def _is_saved(folder: Path) -> bool:
    try:
        found: Any = disk.parsed_json((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("made_by") == MADE_BY


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
