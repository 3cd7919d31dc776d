"""What a group of runs has come to, kept on disk while it runs, so that it can go on from there with the same bits."""

import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import override

from jaxgossip.core import disk
from jaxgossip.core.errors import RunError
from jaxgossip.simulation import Observer, RunState, checkpoint
from jaxgossip.simulation.listening.observer import Forwarding
from jaxgossip.simulation.replicas import FamilyState, Replica

CHECKPOINTS = "checkpoint"
"""Folder, beside the runs, of the group that is being run."""
DONE = "done.json"
"""What became of a group all of whose runs are done, until each has a folder."""
NEEDED: checkpoint.FieldTypes = MappingProxyType({"members": list, "records": list, "wall_s": (int, float)})


def members_kept(folder: Path) -> list[str]:
    """Return the names of the runs whose group left checkpoints in ``folder``, in its order; none without a readable one."""
    for note in checkpoint.metadata_files(folder):
        metadata = checkpoint.read_metadata(note, NEEDED)  # damaged: the one before it may be intact
        if metadata is not None:
            return [str(name) for name in metadata["members"]]
    return []


def members_done(folder: Path) -> list[str]:
    """Return the names of the runs of a group that was done before all of them had folders, in its order."""
    found = _done(folder)
    return [] if found is None else found[0]


class GroupObserver(Forwarding):
    """Keeps what a group of runs has come to in a folder, every few seconds and at its end, and hands what it hears on.

    Args:
        folder: for checkpoints of one group, the one that is being run.
        members: the names of its runs; what was kept of other ones is of no use.
        every_s: seconds from one checkpoint to the next.
        observer: hears it, and where the group goes on.
        lock: this process's hold of the sweep's folder.
    """

    def __init__(
        self, folder: Path, members: Sequence[str], every_s: float, observer: Observer, lock: disk.Lock
    ) -> None:
        super().__init__(observer)
        self._folder, self._members, self._every_s = folder, list(members), every_s
        self._lock, self._saved = lock, time.perf_counter()

    def restore(self, like: RunState) -> tuple[FamilyState, float] | None:
        """Return what is kept of the group, and the seconds spent before; None: nothing, and it starts anew."""
        with contextlib.suppress(RunError):  # damaged, or of another shape: from the start
            if members_kept(self._folder) == self._members:
                runs, metadata = checkpoint.load(self._folder, like, needed=NEEDED)
                if metadata["members"] == self._members and len(metadata["records"]) == len(self._members):
                    self.note(f"going on from round {metadata['round']:,}")
                    return FamilyState(runs, metadata["records"]), metadata["wall_s"]
        disk.remove(self._folder)
        return None

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
        metadata = {"members": self._members, "records": run.records, "wall_s": wall_s}
        checkpoint.save(self._folder, run.runs, round_number=int(run.runs.round.max()), metadata=metadata)
        self._saved = time.perf_counter()

    def done(self) -> list[Replica] | None:
        """Return what became of the group if it was done before; None if not."""
        found = _done(self._folder)
        return found[1] if found is not None and found[0] == self._members else None

    def finish(self, replicas: Sequence[Replica]) -> None:
        """Keep what became of all runs: they get their folders one by one, and a smaller group has other rounding."""
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
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or damaged: the group runs again
        return None
    return kept["members"], [Replica(**replica) for replica in kept["replicas"]]


def _sha256(text: str) -> str:
    return sha256(text.encode()).hexdigest()
