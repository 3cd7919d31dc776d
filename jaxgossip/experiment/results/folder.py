"""The run folder: what a run leaves behind, written so that a kill at any moment loses nothing.

config.toml             resolved, runnable as it is
manifest.json           command, seed, versions, device, digests of what was read and written, times, status
metrics.jsonl           one object an evaluation
baselines/NAME.jsonl    the same of a baseline
node_scores.npz         every node's measurements at the end, and the nodes' names where the graph has them
models.npz              of a result that was saved from Python, which has no config.toml: x (n, p), node by node
summary.png
checkpoint/
error.txt               the trace of what broke the run, if something did

The manifest comes last when a folder is made, and goes last when it is emptied: a folder with both manifest and
configuration holds a run, and anything less was left by a kill.
"""

import contextlib
import json
import shlex
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from jaxgossip.core import disk
from jaxgossip.core.disk import Seal
from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.results.inputs import CONFIG, digest
from jaxgossip.experiment.results.log import MetricsLog, Record, anew

MANIFEST, SCORES, MODELS = "manifest.json", "node_scores.npz", "models.npz"
OWN = (CONFIG, MANIFEST, SCORES, "metrics.jsonl", "baselines", "summary.png", "checkpoint", "error.txt")
"""What a run writes into its folder."""
NODE, LONGEST_NAME = "node", 200
"""The array of the nodes' names in node_scores.npz, and what is kept of a name."""
FINISHED = ("completed", "diverged")
STATUSES = (*FINISHED, "running", "interrupted", "failed")
KINDS: Mapping[str, type] = MappingProxyType(
    {"status": str, "name": str, "rounds": int, "resumed": list, "graph": dict, "inputs": dict, "logs": dict}
    | {"versions": dict, "device": dict, "flags": dict, "started": str}
    | {"made_by": str, "settings": dict, "first_round": int, "models_sha256": str}
    | {"diverged_round": int, "reason": str, "not_finite": list, "node_scores_sha256": str}
)
"""Of which types facts of a manifest are, where it has them."""
SAID: Mapping[type, str] = MappingProxyType({str: "text", int: "whole number", list: "list", dict: "table"})


@dataclass(frozen=True)
class RunFolder:
    """A run folder on disk.

    Attributes:
        path: where it is.
        lock: this process's hold of it, to be had by whoever writes.
    """

    path: Path
    lock: disk.Lock | None = None

    @staticmethod
    def new_path(name: str, resolved: str) -> Path:
        """Return where a run goes that was given no folder: ``runs/<utc>-<name>-<hash of the configuration>``."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        path = Path("runs") / f"{stamp}-{name}-{sha256(resolved.encode()).hexdigest()[:8]}"
        others = (path.with_name(f"{path.name}-{number}") for number in range(2, 1000))
        return path if not path.exists() else next(other for other in others if not other.exists())

    @classmethod
    def create(
        cls, out: Path, lock: disk.Lock, *, resolved: str, manifest: Mapping[str, Any], force: bool
    ) -> "RunFolder":
        """Make a new run in a folder that is there: its ``config.toml``, and then its ``manifest.json``.

        Args:
            out: where.
            lock: this process's hold of it.
            resolved: text of the resolved configuration.
            manifest: what is known before the run.
            force: empty a run folder that is there.

        Raises:
            ConfigError: the folder is not empty, and is not to be overwritten.
        """
        cls.check_free(out, resolved, force=force)
        there = [path for path in sorted(out.iterdir()) if path.name not in (disk.LOCK, MANIFEST)]
        for old in sorted(
            there, key=lambda path: path.name != CONFIG
        ):  # not the folder itself: it may be a mount or a link
            disk.remove(old)
        disk.remove(out / MANIFEST)
        folder = cls(out, lock)
        disk.write(out / CONFIG, resolved)
        folder.write_manifest(manifest)
        return folder

    @staticmethod
    def check_free(out: Path | None, resolved: str, *, force: bool) -> None:
        """Raise ConfigError if ``out`` is in use and not to be overwritten; None is always free.

        What a kill left of a folder that was being made is free for the configuration that it was made for.
        """
        if out is None:
            return
        if out.exists() and not out.is_dir():
            raise ConfigError(f"{out} is a file, not a folder", hint="give --out another folder")
        there = {path.name for path in out.iterdir() if not disk.is_leftover(path)} if out.is_dir() else set()
        if not there or (there == {CONFIG} and (out / CONFIG).read_bytes() == resolved.encode()):
            return
        if not (out / MANIFEST).is_file() and not (force and there <= set(OWN)):
            hint = "choose another --out"
            if there <= set(OWN):
                hint = f"--force empties it: a run that was stopped while it was made may have left it; or {hint}"
            raise ConfigError(f"{out} is not empty and holds no run", hint=hint)
        if not force:
            raise ConfigError(
                f"{out} is not empty",
                hint=f"'jaxgossip resume {shlex.quote(str(out))}' goes on with the run in it, --force overwrites it, "
                "or choose another --out",
            )

    @staticmethod
    def is_begun(path: Path) -> bool:
        """Return whether a folder holds a run, and not just what a kill left of one that was made or emptied."""
        return (path / CONFIG).is_file() and (path / MANIFEST).is_file()

    @staticmethod
    def clear_unbegun(path: Path) -> None:
        """Remove from a folder what a kill left of a run in it that was being made or emptied; nothing of anybody else's."""
        if path.is_dir() and not RunFolder.is_begun(path):
            disk.check_unlocked(path)
            there = sorted(path.iterdir())
            if all(disk.is_leftover(one) or one.name in OWN for one in there):
                for one in there:
                    disk.remove(one)

    @classmethod
    def open(cls, path: Path, lock: disk.Lock | None = None) -> "RunFolder":
        """Return an existing run folder.

        Raises:
            ConfigError: there is no run.
        """
        for needed in (CONFIG, MANIFEST):
            if not (path / needed).is_file():
                reason = "has no " + needed if path.is_dir() else "does not exist"
                hint = "runs are listed by 'ls runs'"
                if (path / "sweep.json").is_file():
                    hint = "it is a sweep: type its command again, and it goes on"
                elif is_saved(path):
                    hint = f"it holds a result that was saved from Python: jg.results.load('{path}') reads it"
                elif (path / CONFIG).is_file():
                    hint = f"it was stopped before it began; {anew(path)}"
                raise ConfigError(f"{path} is not a run folder: it {reason}", hint=hint)
        return cls(path, lock)

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoint"

    def manifest(self) -> dict[str, Any]:
        """Return ``manifest.json``.

        Raises:
            ConfigError: it is damaged.
        """
        return checked_manifest(self.path)

    def write_manifest(self, facts: Mapping[str, Any]) -> None:
        """Write ``manifest.json`` anew."""
        self.check_there()
        disk.write(self.path / MANIFEST, json.dumps(facts, indent=2) + "\n")

    def keep_trace(self, error: Exception) -> None:
        """Write the whole trace of an error to ``error.txt``, and note on the error that it is there."""
        path = self.path / "error.txt"
        with contextlib.suppress(OSError):  # no room for it: the error itself says more than that there is none
            disk.write(path, "".join(traceback.format_exception(error)))
            error.add_note(f"the whole trace is in {path}")

    def write_scores(self, scores: Mapping[str, np.ndarray], names: Sequence[str] | None = None) -> None:
        """Write ``node_scores.npz``: every measurement of all nodes, (n,) each; as ``node``, their names if they have any."""
        self.check_there()
        path, arrays = self.path / "node_scores.npz", dict(scores)
        if names is not None:  # an array of text is as wide as its longest
            arrays[NODE] = np.array(
                [one if len(one) <= LONGEST_NAME else f"{one[: LONGEST_NAME - 1]}…" for one in names]
            )
        disk.write(path, lambda file: np.savez(file, **arrays))  # pyright: ignore[reportArgumentType] - a mapping of arrays

    def check_there(self) -> None:
        """Raise RunError if the folder was removed since this process took hold of it."""
        if self.lock is not None:
            self.lock.check()

    def log(self, baseline: str | None = None) -> MetricsLog:
        """Return the log of the run, or of one of its baselines."""
        return MetricsLog(self.path / log_name(baseline))


def is_saved(path: Path) -> bool:
    """Return whether a folder holds a result that was saved from Python: a run without a configuration."""
    return not (path / CONFIG).is_file() and (path / MANIFEST).is_file() and "made_by" in checked_manifest(path)


def log_name(baseline: str | None = None) -> str:
    """Return where in a run folder the log of the run is, or of one of its baselines."""
    return f"baselines/{baseline}.jsonl" if baseline else "metrics.jsonl"


def finished_log(folder: Path, manifest: Mapping[str, Any], every: int | None) -> list[Record]:
    """Return the records of a run that has ended.

    Raises:
        ConfigError: they, or the scores of its nodes, are not those that it wrote.
    """
    path, known = folder / SCORES, manifest.get("node_scores_sha256")
    if known is not None and (not path.is_file() or digest(path) != known):
        what = "is not what the run wrote" if path.is_file() else "is gone"
        raise ConfigError(f"{path} {what}", hint=f"put the file back as the run left it, or {anew(folder)}")
    last_round = manifest["rounds"] if manifest["status"] == "completed" else None
    log = replace(RunFolder(folder).log(), first_round=manifest.get("first_round", 0))
    return log.check(seal_of(manifest), every, last_round)


def seal_of(manifest: Mapping[str, Any], baseline: str | None = None) -> Seal | None:
    """Return the seal of a log that is complete; None if the manifest knows of none."""
    return Seal.of(manifest.get("logs", {}).get(log_name(baseline)))


def checked_manifest(path: Path) -> dict[str, Any]:
    """Return the ``manifest.json`` of the run folder ``path``.

    Raises:
        ConfigError: it is no JSON, or its facts are of other types than a run writes.
    """
    file, hint = path / MANIFEST, f"put the file back as the run left it, or {anew(path)}"
    try:
        found = disk.parsed_json(file.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{file}: not JSON: {error}", hint=hint) from error
    if not isinstance(found, dict) or "status" not in found:
        raise ConfigError(f"{file}: it tells no status of a run", hint=hint)
    for key, kind in KINDS.items():
        if key in found and (not isinstance(found[key], kind) or isinstance(found[key], bool)):
            raise ConfigError(f"{file}: its {key} is no {SAID[kind]}", hint=hint)
    if found["status"] not in STATUSES:
        raise ConfigError(f"{file}: unknown status '{found['status']}'", hint=hint)
    if found["status"] in FINISHED and "rounds" not in found:
        raise ConfigError(f"{file}: it tells no rounds of a run that has ended", hint=hint)
    for name, known in found.get("inputs", {}).items():
        if not isinstance(known, str):
            raise ConfigError(f"{file}: the digest of {name} is no text", hint=hint)
    for name, facts in found.get("logs", {}).items():
        if Seal.of(facts) is None:
            raise ConfigError(f"{file}: what it tells of {name} is no count and digest", hint=hint)
    return found
