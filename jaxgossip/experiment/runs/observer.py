"""Writes the records and checkpoints of a run in progress."""

from collections.abc import Mapping
from typing import Any, override

from jaxgossip.core.disk import Sealing
from jaxgossip.experiment.results.folder import RunFolder
from jaxgossip.experiment.results.log import MetricsLog
from jaxgossip.experiment.runs.together import Timer
from jaxgossip.simulation import EventRun, Observer, checkpoint
from jaxgossip.simulation.listening.observer import Forwarding


class RunObserver(Forwarding):
    """An observer that writes records and checkpoints, and forwards every call.

    Args:
        observer: the observer to forward to.
        log: the log to which records are appended.
        sealing: the running seal of the log.
        folder: the run's folder.
        compiled: list to which the seconds of every compilation are appended.
        timer: tells when to write checkpoints; None to write none.
        numbering: order of the rows of the models, stored in checkpoints (see ``numbering_of``).
    """

    def __init__(
        self,
        observer: Observer,
        log: MetricsLog,
        sealing: Sealing,
        folder: RunFolder,
        compiled: list[float],
        *,
        timer: Timer | None = None,
        numbering: str = "",
    ) -> None:
        super().__init__(observer)
        self._log = log
        self._sealing = sealing
        self._folder = folder
        self._timer = timer
        self._compiled = compiled
        self._numbering = numbering

    @override
    def compiled(self, seconds: float) -> None:
        self._compiled.append(seconds)
        super().compiled(seconds)

    @override
    def evaluated(self, record: Mapping[str, Any]) -> None:
        self._folder.check_there()
        self._sealing.add(self._log.append(record))
        super().evaluated(record)

    @override
    def chunk(self, run: Any, wall_s: float) -> None:
        if self._timer is not None and self._timer.is_due():
            self.save(run, wall_s)
        super().chunk(run, wall_s)

    @override
    def finished(self, run: Any, wall_s: float) -> None:
        if self._timer is not None and self._timer.every_s is not None:
            self.save(run, wall_s)
        super().finished(run, wall_s)

    def save(self, run: Any, wall_s: float) -> None:
        """Write a checkpoint now."""
        self._folder.check_there()
        metadata = {"wall_s": wall_s, "numbering": self._numbering, "log": self._sealing.seal.facts()}
        if isinstance(run, EventRun):
            run, metadata = run.settled(), metadata | run.metadata
        checkpoint.save(self._folder.checkpoints, run, round_number=int(run.round), metadata=metadata)
        if self._timer is not None:
            self._timer.restart()
