"""What a group of runs has come to, kept on disk while it runs, so that it can go on from there with the same bits."""

import contextlib
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, override

from jaxgossip.errors import RunError
from jaxgossip.experiment.observer import Reporter
from jaxgossip.simulation import RunState, checkpoint
from jaxgossip.simulation.replicas import Keeper

CHECKPOINTS = "checkpoint"
"""Folder, beside the runs, of the group that is being run."""


def members_kept(folder: Path) -> list[str]:
    """Return the names of the runs whose group left checkpoints in ``folder``, in its order; none without a readable one."""
    for note in sorted(folder.glob("round-*.json"), reverse=True):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # damaged: the one before it may be intact
            return [str(name) for name in json.loads(note.read_text(encoding="utf-8"))["members"]]
    return []


class GroupKeeper(Keeper):
    """Keeps what a group of runs has come to in a folder, every few seconds and when it is stopped.

    Args:
        folder: for checkpoints of one group, the one that is being run.
        members: the names of its runs; what was kept of other ones is of no use.
        every_s: seconds from one checkpoint to the next.
        reporter: is told where the group goes on.
    """

    def __init__(self, folder: Path, members: Sequence[str], every_s: float, reporter: Reporter) -> None:
        self._folder, self._members, self._every_s, self._reporter = folder, list(members), every_s, reporter
        self._saved = time.perf_counter()

    @override
    def load(self, like: RunState) -> tuple[RunState, list[list[dict[str, Any]]], float] | None:
        with contextlib.suppress(RunError, OSError, KeyError):  # damaged, or of another shape: from the start
            if members_kept(self._folder) == self._members:
                runs, facts = checkpoint.load(self._folder, like)
                self._reporter.note(f"going on from round {facts['round']:,}")
                return runs, facts["records"], facts["wall_s"]
        shutil.rmtree(self._folder, ignore_errors=True)
        return None

    @override
    def save(self, runs: RunState, records: list[list[dict[str, Any]]], wall_s: float, *, last: bool) -> None:
        if last or time.perf_counter() - self._saved >= self._every_s:
            facts = {"members": self._members, "records": records, "wall_s": wall_s}
            checkpoint.save(self._folder, runs, round_number=int(runs.round.max()), facts=facts)
            self._saved = time.perf_counter()
