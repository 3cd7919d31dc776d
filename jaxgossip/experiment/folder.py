"""The run folder: what a run leaves behind, written so that a kill at any moment loses nothing.

config.toml             resolved, runnable as it is
manifest.json           command, seed, versions, device, times, status
metrics.jsonl           one object an evaluation
baselines/NAME.jsonl    the same of a baseline
node_scores.npz         every node's measurements at the end
summary.png
checkpoint/
"""

import contextlib
import json
import os
import shutil
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from jaxgossip.errors import ConfigError
from jaxgossip.simulation.checkpoint import write_atomically


@dataclass(frozen=True)
class RunFolder:
    """A run folder on disk.

    Attributes:
        path: where it is.
    """

    path: Path

    @classmethod
    def create(
        cls, out: Path | None, *, name: str, resolved: str, manifest: Mapping[str, Any], force: bool
    ) -> "RunFolder":
        """Make a new run folder with its ``manifest.json`` and ``config.toml``.

        Args:
            out: where; None: ``runs/<utc>-<name>-<hash of the configuration>``.
            name: the run's name.
            resolved: text of the resolved configuration.
            manifest: what is known before the run.
            force: empty a run folder that is there.

        Raises:
            ConfigError: the folder is not empty, and is not to be overwritten.
        """
        if out is None:
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
            out = Path("runs") / f"{stamp}-{name}-{sha256(resolved.encode()).hexdigest()[:8]}"
        cls.check_free(out, force=force)
        for old in out.iterdir() if out.is_dir() else ():  # not the folder itself: it may be a mount or a link
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
        out.mkdir(parents=True, exist_ok=True)
        folder = cls(out)
        folder.write_manifest(manifest)
        write_atomically(out / "config.toml", resolved)
        return folder

    @staticmethod
    def check_free(out: Path | None, *, force: bool) -> None:
        """Raise ConfigError if ``out`` is in use and not to be overwritten; None is always free."""
        if out is None:
            return
        if out.exists() and not out.is_dir():
            raise ConfigError(f"{out} is a file, not a folder", hint="give --out another folder")
        if not out.is_dir() or not any(out.iterdir()):
            return
        if not (out / "manifest.json").is_file():
            raise ConfigError(f"{out} is not empty and holds no run", hint="choose another --out")
        if not force:
            raise ConfigError(
                f"{out} is not empty",
                hint=f"'jaxgossip resume {out}' goes on with the run in it, --force overwrites it, or choose another --out",
            )

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Return an existing run folder.

        Raises:
            ConfigError: there is no run.
        """
        for needed in ("config.toml", "manifest.json"):
            if not (path / needed).is_file():
                reason = "has no " + needed if path.is_dir() else "does not exist"
                hint = "runs are listed by 'ls runs'"
                if (path / "sweep.json").is_file():
                    hint = "it is a sweep: type its command again, and it goes on"
                raise ConfigError(f"{path} is not a run folder: it {reason}", hint=hint)
        return cls(path)

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoint"

    def manifest(self) -> dict[str, Any]:
        """Return ``manifest.json``."""
        return json.loads((self.path / "manifest.json").read_text(encoding="utf-8"))

    def write_manifest(self, facts: Mapping[str, Any]) -> None:
        """Write ``manifest.json`` anew."""
        write_atomically(self.path / "manifest.json", json.dumps(facts, indent=2) + "\n")

    def keep_trace(self, error: Exception) -> None:
        """Write the whole trace of an error to ``error.txt``, and note on the error that it is there."""
        path = self.path / "error.txt"
        with contextlib.suppress(OSError):  # no room for it: the error itself says more than that there is none
            write_atomically(path, "".join(traceback.format_exception(error)))
            error.add_note(f"the whole trace is in {path}")

    def write_scores(self, scores: Mapping[str, np.ndarray]) -> None:
        """Write ``node_scores.npz``: every measurement of all nodes, (n,) each."""
        temporary = self.path / "node_scores.npz.tmp"
        with temporary.open("wb") as file:
            np.savez(file, **scores)  # pyright: ignore[reportArgumentType] - a mapping of arrays
        temporary.replace(self.path / "node_scores.npz")

    def log(self, baseline: str | None = None) -> "MetricsLog":
        """Return the log of the run, or of one of its baselines."""
        return MetricsLog(self.path / (f"baselines/{baseline}.jsonl" if baseline else "metrics.jsonl"))


@dataclass(frozen=True)
class MetricsLog:
    """A file of records, one JSON object a line; a line torn by a kill is as if it had never been begun.

    Attributes:
        path: the file.
    """

    path: Path

    def append(self, record: Mapping[str, Any]) -> None:
        """Append a record and see it to the disk."""
        self.path.parent.mkdir(exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(strict_json(record)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def records(self) -> list[dict[str, Any]]:
        """Return all whole records."""
        if not self.path.is_file():
            return []
        lines = self.path.read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines[:-1]]

    def truncate(self, last_round: int) -> list[dict[str, Any]]:
        """Drop records after ``last_round`` (−1: all) and return those that stay."""
        kept = [record for record in self.records() if record["round"] <= last_round]
        if self.path.is_file():
            write_atomically(self.path, "".join(json.dumps(record) + "\n" for record in kept))
        return kept


def strict_json(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record with None in place of NaN and infinities, which JSON does not have."""
    return {
        name: None if isinstance(value, float) and not np.isfinite(value) else value for name, value in record.items()
    }
