"""Checkpoints of a group of runs, from which the group resumes bit for bit."""

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, override

from jaxgossip.core import disk
from jaxgossip.core.errors import RunError
from jaxgossip.core.units import counted
from jaxgossip.simulation import Observer, RunState, checkpoint
from jaxgossip.simulation.listening.observer import Forwarding
from jaxgossip.simulation.replicas import FamilyState, Replica

CHECKPOINTS = "checkpoint"
"""Folder, next to the run folders, of the current group's checkpoints."""
DONE = "done.json"
"""File with the outcome of a finished group, kept until every run has its folder."""
NEEDED: checkpoint.FieldTypes = MappingProxyType({"members": list, "records": list, "wall_s": (int, float)})


def checkpointed_members(folder: Path) -> list[str]:
    """Return the names of the runs of the group with checkpoints in ``folder``, in its order; empty if none is readable."""
    for note in checkpoint.metadata_files(folder):
        metadata = checkpoint.read_metadata(note, NEEDED)  # None if damaged; an older one may be intact
        if metadata is not None:
            return [str(name) for name in metadata["members"]]
    return []


def finished_members(folder: Path) -> list[str]:
    """Return the names of the runs of a group that finished without all of its folders written, in its order."""
    finished = _done(folder)
    return [] if finished is None else finished[0]


class GroupObserver(Forwarding):
    """An observer that writes checkpoints of a group of runs, periodically and when it is stopped, and forwards every call.

    Args:
        folder: folder of the current group's checkpoints.
        members: names of the group's runs; checkpoints of other groups are not used.
        every_s: seconds between checkpoints.
        observer: the observer to forward to.
        lock: this process's lock on the sweep's folder.
        n_devices: number of devices that there are for the group's runs.
    """

    def __init__(
        self,
        folder: Path,
        members: Sequence[str],
        every_s: float,
        observer: Observer,
        lock: disk.Lock,
        *,
        n_devices: int = 1,
    ) -> None:
        super().__init__(observer)
        self._n_devices = n_devices
        self._folder, self._members, self._every_s = folder, list(members), every_s
        self._lock, self._saved = lock, time.perf_counter()

    def restore(self, like: RunState) -> tuple[FamilyState, float] | None:
        """Return (checkpointed progress, seconds spent so far), or None after removing checkpoints that cannot be used.

        Args:
            like: shapes and dtypes of the group's states.
        """
        with contextlib.suppress(RunError):  # damaged, or of other shapes: start over
            if checkpointed_members(self._folder) == self._members:
                runs, metadata = checkpoint.load(self._folder, like, needed=NEEDED)
                if metadata["members"] == self._members and len(metadata["records"]) == len(self._members):
                    self.note(f"going on from round {metadata['round']:,}{self._elsewhere(metadata)}")
                    return FamilyState(runs, metadata["records"]), metadata["wall_s"]
        disk.remove(self._folder)
        return None

    def _elsewhere(self, metadata: Mapping[str, Any]) -> str:
        """Return a clause on the number of devices if it is another than when the checkpoint was written, else nothing."""
        before = metadata.get("devices", 1)  # versions that know of one device alone do not tell
        if before == self._n_devices:
            return ""
        return f" on {counted(self._n_devices, 'device')}, and before on {before}: the last digits may differ"

    @override
    def chunk(self, run: FamilyState, wall_s: float) -> None:
        if time.perf_counter() - self._saved >= self._every_s:
            self._save(run, wall_s)
        super().chunk(run, wall_s)

    @override
    def finished(self, run: FamilyState, wall_s: float) -> None:
        self._save(run, wall_s)
        super().finished(run, wall_s)

    def _save(self, run: FamilyState, wall_s: float) -> None:
        self._lock.check()
        run = run.settled()
        metadata = {"members": self._members, "records": run.records, "wall_s": wall_s, "devices": self._n_devices}
        checkpoint.save(self._folder, run.runs, round_number=int(run.runs.round.max()), metadata=metadata)
        self._saved = time.perf_counter()

    def done(self) -> list[Replica] | None:
        """Return the outcomes of the group's runs if it has already finished, else None."""
        finished = _done(self._folder)
        return finished[1] if finished is not None and finished[0] == self._members else None

    def finish(self, replicas: Sequence[Replica]) -> None:
        """Store the outcomes of all runs.

        Run folders are written one by one. If that is interrupted, running the rest again as a smaller group would round
        differently.
        """
        self._lock.check()
        disk.make_folder(self._folder)
        kept = {"members": self._members, "replicas": [asdict(replica) for replica in replicas]}
        text = json.dumps(kept)
        disk.write(self._folder / DONE, json.dumps({"sha256": _sha256(text), "kept": text}))


def _done(folder: Path) -> tuple[list[str], list[Replica]] | None:
    try:
        note = disk.parsed_json((folder / DONE).read_bytes())
        if _sha256(note["kept"]) != note["sha256"]:
            return None
        kept = disk.parsed_json(note["kept"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # missing or damaged: the group runs again
        return None
    return kept["members"], [Replica(**replica) for replica in kept["replicas"]]


def _sha256(text: str) -> str:
    return sha256(text.encode()).hexdigest()
