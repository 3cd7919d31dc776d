"""The run folder: the output of a run, written such that nothing is lost if the process is killed.

config.toml             resolved configuration, runnable as it is
manifest.json           command, seed, versions, device, digests of inputs and outputs, times, status
metrics.jsonl           one record per evaluation
baselines/NAME.jsonl    the same for a baseline
node_scores.npz         every node's measures at the end, and the nodes' names if the graph has them
models.npz              only of a result saved from Python, which has no config.toml: x (n, p), node by node
summary.png
checkpoint/
error.txt               traceback of the error that ended the run, if any

The manifest is written last when a folder is created, and removed last when it is emptied: a folder with both manifest and
configuration holds a run, and one with only some of its files was left by a process that was killed.
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
from jaxgossip.core.disk import MANIFEST, METRICS, SCORES, SWEEP, Seal, digest
from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.results.inputs import CONFIG
from jaxgossip.experiment.results.log import MetricsLog, Record, rerun_hint

OWN = (CONFIG, MANIFEST, SCORES, METRICS, "baselines", "summary.png", "checkpoint", "error.txt")
"""The files and folders that a run writes into its folder."""
NODE, LONGEST_NAME = "node", 200
"""The array of the nodes' names in node_scores.npz, and the length to which names are shortened."""
FINISHED = ("completed", "diverged")
STATUSES = (*FINISHED, "running", "interrupted", "failed")
KINDS: Mapping[str, type] = MappingProxyType(
    {"status": str, "name": str, "rounds": int, "resumed": list, "graph": dict, "inputs": dict, "logs": dict}
    | {"versions": dict, "device": dict, "flags": dict, "started": str, "spread": dict}
    | {"made_by": str, "settings": dict, "first_round": int, "models_sha256": str, "point": dict}
    | {"diverged_round": int, "reason": str, "not_finite": list, "node_scores_sha256": str}
)
"""Types of the entries of a manifest, all of them optional."""
TYPE_NAMES: Mapping[type, str] = MappingProxyType({str: "text", int: "whole number", list: "list", dict: "table"})


@dataclass(frozen=True)
class RunFolder:
    """A run folder on disk.

    Attributes:
        path: path of the folder.
        lock: this process's lock on the folder, which writers must hold.
    """

    path: Path
    lock: disk.Lock | None = None

    @staticmethod
    def new_path(name: str, resolved: str) -> Path:
        """Return the default folder of a new run: ``runs/<utc>-<name>-<hash of the configuration>``."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        path = Path("runs") / f"{stamp}-{name}-{sha256(resolved.encode()).hexdigest()[:8]}"
        others = (path.with_name(f"{path.name}-{number}") for number in range(2, 1000))
        return path if not path.exists() else next(other for other in others if not other.exists())

    @classmethod
    def create(
        cls, out: Path, lock: disk.Lock, *, resolved: str, manifest: Mapping[str, Any], force: bool
    ) -> "RunFolder":
        """Create a new run in an existing folder: its ``config.toml``, and then its ``manifest.json``.

        Args:
            out: the folder.
            lock: this process's lock on it.
            resolved: text of the resolved configuration.
            manifest: the manifest before the run.
            force: whether to empty a run folder.

        Raises:
            ConfigError: the folder is not empty, and must not be overwritten.
        """
        cls.check_free(out, resolved, force=force)
        existing = [path for path in sorted(out.iterdir()) if path.name not in (disk.LOCK, MANIFEST)]
        # The folder itself is kept, for it may be a mount point or a link.
        for old in sorted(existing, key=lambda path: path.name != CONFIG):
            disk.remove(old)
        disk.remove(out / MANIFEST)
        folder = cls(out, lock)
        disk.write(out / CONFIG, resolved)
        folder.write_manifest(manifest)
        return folder

    @staticmethod
    def check_free(out: Path | None, resolved: str, *, force: bool) -> None:
        """Raise ConfigError if ``out`` is not empty and must not be overwritten; None is always free.

        A folder left incomplete when its process was killed is free for the configuration that it was created for.
        """
        if out is None:
            return
        if out.exists() and not out.is_dir():
            raise ConfigError(f"{out} is a file, not a folder", hint="give --out another folder")
        names = {path.name for path in out.iterdir() if not disk.is_leftover(path)} if out.is_dir() else set()
        if not names or (names == {CONFIG} and (out / CONFIG).read_bytes() == resolved.encode()):
            return
        if not (out / MANIFEST).is_file() and not (force and names <= set(OWN)):
            hint = "choose another --out"
            if names <= set(OWN):
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
        """Return whether a folder holds a run, and not just files left when its creation or removal was killed."""
        return (path / CONFIG).is_file() and (path / MANIFEST).is_file()

    @staticmethod
    def clear_unbegun(path: Path) -> None:
        """Empty a folder in which the creation or removal of a run was killed, unless it holds any other files."""
        if path.is_dir() and not RunFolder.is_begun(path):
            disk.check_unlocked(path)
            members = sorted(path.iterdir())
            if all(disk.is_leftover(member) or member.name in OWN for member in members):
                for member in members:
                    disk.remove(member)

    @classmethod
    def open(cls, path: Path, lock: disk.Lock | None = None) -> "RunFolder":
        """Return an existing run folder.

        Raises:
            ConfigError: the folder holds no run.
        """
        for needed in (CONFIG, MANIFEST):
            if not (path / needed).is_file():
                reason = "has no " + needed if path.is_dir() else "does not exist"
                hint = "runs are listed by 'ls runs'"
                if (path / SWEEP).is_file():
                    hint = "it is a sweep: type its command again, and it goes on"
                elif is_saved(path):
                    hint = f"it holds a result that was saved from Python: jg.results.load('{path}') reads it"
                elif (path / CONFIG).is_file():
                    hint = f"it was stopped before it began; {rerun_hint(path)}"
                raise ConfigError(f"{path} is not a run folder: it {reason}", hint=hint)
        return cls(path, lock)

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoint"

    def manifest(self) -> dict[str, Any]:
        """Return the content of ``manifest.json``.

        Raises:
            ConfigError: it is damaged.
        """
        return checked_manifest(self.path)

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replace ``manifest.json``."""
        self.check_there()
        disk.write(self.path / MANIFEST, json.dumps(manifest, indent=2) + "\n")

    def keep_trace(self, error: Exception) -> None:
        """Write the traceback of an error to ``error.txt``, and add a note to the error that says so."""
        path = self.path / "error.txt"
        with contextlib.suppress(OSError):  # on a full disk, the error itself is what matters
            disk.write(path, "".join(traceback.format_exception(error)))
            error.add_note(f"the whole trace is in {path}")

    def write_scores(self, scores: Mapping[str, np.ndarray], names: Sequence[str] | None = None) -> None:
        """Write ``node_scores.npz``: every measure of all nodes, (n,) each, and their names, if any, as ``node``."""
        self.check_there()
        path, arrays = self.path / "node_scores.npz", dict(scores)
        if names is not None:  # an array of texts is as wide as its longest
            arrays[NODE] = np.array(
                [name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in names]
            )
        disk.write(path, lambda file: np.savez(file, **arrays))  # pyright: ignore[reportArgumentType] - a mapping of arrays

    def check_there(self) -> None:
        """Raise RunError if the folder has been removed since this process locked it."""
        if self.lock is not None:
            self.lock.check()

    def log(self, baseline: str | None = None) -> MetricsLog:
        """Return the log of the run, or of one of its baselines."""
        return MetricsLog(self.path / log_name(baseline))


def is_saved(path: Path) -> bool:
    """Return whether a folder holds a result that was saved from Python: a run without a configuration."""
    return not (path / CONFIG).is_file() and (path / MANIFEST).is_file() and "made_by" in checked_manifest(path)


def log_name(baseline: str | None = None) -> str:
    """Return the path, within the run folder, of the log of the run or of one of its baselines."""
    return f"baselines/{baseline}.jsonl" if baseline else METRICS


def finished_log(folder: Path, manifest: Mapping[str, Any], every: int | None) -> list[Record]:
    """Return the records of a run that has ended.

    Raises:
        ConfigError: the records or the scores of the nodes are not those that the run wrote.
    """
    path, known = folder / SCORES, manifest.get("node_scores_sha256")
    if known is not None and (not path.is_file() or digest(path) != known):
        what = "is not what the run wrote" if path.is_file() else "is gone"
        raise ConfigError(f"{path} {what}", hint=f"put the file back as the run left it, or {rerun_hint(folder)}")
    last_round = manifest["rounds"] if manifest["status"] == "completed" else None
    log = replace(RunFolder(folder).log(), first_round=manifest.get("first_round", 0))
    return log.check(seal_of(manifest), every, last_round)


def seal_of(manifest: Mapping[str, Any], baseline: str | None = None) -> Seal | None:
    """Return the seal of a complete log, or None if the manifest has none."""
    return Seal.of(manifest.get("logs", {}).get(log_name(baseline)))


def checked_manifest(path: Path) -> dict[str, Any]:
    """Return the ``manifest.json`` of the run folder ``path``.

    Raises:
        ConfigError: it is not JSON, or its entries have other types than a run writes.
    """
    file, hint = path / MANIFEST, f"put the file back as the run left it, or {rerun_hint(path)}"
    try:
        manifest = disk.parsed_json(file.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{file}: not JSON: {error}", hint=hint) from error
    if not isinstance(manifest, dict) or "status" not in manifest:
        raise ConfigError(f"{file}: it tells no status of a run", hint=hint)
    for key, kind in KINDS.items():
        if key in manifest and (not isinstance(manifest[key], kind) or isinstance(manifest[key], bool)):
            raise ConfigError(f"{file}: its {key} is no {TYPE_NAMES[kind]}", hint=hint)
    if manifest["status"] not in STATUSES:
        raise ConfigError(f"{file}: unknown status '{manifest['status']}'", hint=hint)
    if manifest["status"] in FINISHED and "rounds" not in manifest:
        raise ConfigError(f"{file}: it tells no rounds of a run that has ended", hint=hint)
    for name, known in manifest.get("inputs", {}).items():
        if not isinstance(known, str):
            raise ConfigError(f"{file}: the digest of {name} is no text", hint=hint)
    for name, seal in manifest.get("logs", {}).items():
        if Seal.of(seal) is None:
            raise ConfigError(f"{file}: what it tells of {name} is no count and digest", hint=hint)
    return manifest
