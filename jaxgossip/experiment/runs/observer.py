"""What a run tells while it goes, and what it writes: records, checkpoints, a word to whoever listens."""

import time
from collections.abc import Mapping
from typing import Any, override

from jaxgossip.experiment.results.folder import RunFolder
from jaxgossip.experiment.results.log import MetricsLog, Sealing
from jaxgossip.simulation import EventRun, Observer, checkpoint


class Reporter:
    """What a run tells while it goes; every method does nothing until it is overridden."""

    def note(self, text: str) -> None:
        """One line about what happens next."""

    def begin(self, name: str, rounds: int, done: int) -> None:
        """A simulation called ``name`` of ``rounds`` rounds is about to start, ``done`` of them done before."""

    def advanced(self, done: int) -> None:
        """So many rounds are done."""

    def evaluated(self, record: Mapping[str, Any]) -> None:
        """An evaluation was made."""

    def end(self) -> None:
        """The simulation is over."""

    def should_stop(self) -> bool:
        """Say whether the user asked to stop."""
        return False


class Teller(Observer):
    """Hands what a simulation tells on to the reporter."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter

    @override
    def advanced(self, rounds_done: int) -> None:
        self.reporter.advanced(rounds_done)

    @override
    def evaluated(self, record: Mapping[str, Any]) -> None:
        self.reporter.evaluated(record)

    @override
    def should_stop(self) -> bool:
        return self.reporter.should_stop()


class RunObserver(Teller):
    """Writes records and checkpoints while a simulation goes, and tells the reporter.

    Args:
        reporter: is told.
        log: of the records.
        sealing: the seal of those that it holds.
        folder: of the run.
        compiled: gets the seconds of compilations.
        every_s: seconds from one checkpoint to the next; None: there are none.
        numbering: in which order the rows of models stand.
    """

    def __init__(
        self,
        reporter: Reporter,
        log: MetricsLog,
        sealing: Sealing,
        folder: RunFolder,
        compiled: list[float],
        *,
        every_s: float | None = None,
        numbering: str = "",
    ) -> None:
        super().__init__(reporter)
        self._log = log
        self._sealing = sealing
        self._folder = folder
        self._every_s = every_s
        self._compiled = compiled
        self._numbering = numbering
        self._saved = time.perf_counter()

    @override
    def compiled(self, seconds: float) -> None:
        self._compiled.append(seconds)

    @override
    def evaluated(self, record: Mapping[str, Any]) -> None:
        self._folder.check_there()
        self._sealing.add(self._log.append(record))
        super().evaluated(record)

    @override
    def chunk(self, run: Any, wall_s: float) -> None:
        if self._every_s is not None and time.perf_counter() - self._saved >= self._every_s:
            self.save(run, wall_s)

    @override
    def finished(self, run: Any, wall_s: float) -> None:
        if self._every_s is not None:
            self.save(run, wall_s)

    def save(self, run: Any, wall_s: float) -> None:
        """Write a checkpoint now."""
        self._folder.check_there()
        facts = {"wall_s": wall_s, "numbering": self._numbering, "log": self._sealing.seal.facts()}
        if isinstance(run, EventRun):
            run, facts = run.settled(), facts | run.facts
        checkpoint.save(self._folder.checkpoints, run, round_number=int(run.round), facts=facts)
        self._saved = time.perf_counter()
