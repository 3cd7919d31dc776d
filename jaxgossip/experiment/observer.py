"""What a run tells while it goes, and what it writes: records, checkpoints, a word to whoever listens."""

import time
from collections.abc import Mapping
from typing import Any, override

from jaxgossip.experiment.folder import MetricsLog, RunFolder
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
    """Writes records and checkpoints while a simulation goes, and tells the reporter."""

    def __init__(
        self,
        reporter: Reporter,
        log: MetricsLog,
        folder: RunFolder | None,
        every_s: float,
        compiled: list[float],
        numbering: str = "",
    ) -> None:
        super().__init__(reporter)
        self._log = log
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
        self._log.append(record)
        super().evaluated(record)

    @override
    def chunk(self, run: Any, wall_s: float) -> None:
        if self._folder is not None and time.perf_counter() - self._saved >= self._every_s:
            self.save(run, wall_s)

    @override
    def finished(self, run: Any, wall_s: float) -> None:
        self.save(run, wall_s)

    def save(self, run: Any, wall_s: float) -> None:
        """Write a checkpoint now."""
        if self._folder is not None:
            facts = {"wall_s": wall_s, "numbering": self._numbering}
            if isinstance(run, EventRun):
                run, facts = run.settled(), facts | run.facts
            checkpoint.save(self._folder.checkpoints, run, round_number=int(run.round), facts=facts)
        self._saved = time.perf_counter()
