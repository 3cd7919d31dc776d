"""What a user sees while a run goes: a line before each wait, a bar in a terminal, plain lines elsewhere."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, override

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from jaxgossip.cli.output import hint, repeated, say, tell
from jaxgossip.errors import RunError
from jaxgossip.experiment.measure import Measure, measures_of
from jaxgossip.experiment.observer import Reporter
from jaxgossip.experiment.run import Outcome
from jaxgossip.experiment.target import sentence
from jaxgossip.experiment.units import duration

LINE_S = 10.0
"""Without a terminal, at most one line in so many seconds."""
SHARE_S = 5.0
"""Without a terminal, a line in so many seconds of what has phases and no rounds."""


@contextlib.contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop after the current chunk; a second one ends at once."""
    asked: list[int] = []

    def ask(number: int, frame: object) -> None:
        del frame
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        tell("\nstopping after this chunk, to save where it stands (again: stop at once)")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class TerminalReporter(Reporter):
    """Progress on stderr.

    Args:
        stop: says whether the user asked to stop.
    """

    def __init__(self, stop: Callable[[], bool]) -> None:
        self._stop = stop
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._name, self._rounds = "", 0
        self._began, self._first, self._done, self._told = 0.0, 0, 0, 0.0
        self._measured = ""

    @override
    def note(self, text: str) -> None:
        tell(text)

    @override
    def begin(self, name: str, rounds: int, done: int) -> None:
        self._name, self._rounds, self._first, self._done, self._measured = name, rounds, done, done, ""
        self._began = self._told = 0.0
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[speed]}"),
                TimeRemainingColumn(compact=True),
                TextColumn("{task.fields[measured]}"),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(name, total=rounds, completed=done, speed="", measured="")
            self._bar.start()

    @override
    def advanced(self, done: int) -> None:
        self._done = done
        if self._began == 0.0:  # the first chunk sets the clock: before it, the program was compiled
            self._began, self._first = time.perf_counter(), done
        self._show(done)

    @override
    def evaluated(self, record: Mapping[str, Any]) -> None:
        told = [told_of(measure, record[f"{measure.key}_mean"]) for measure in measures_of(record)[:1]]
        self._measured = "  ".join([*told, f"consensus distance {record['consensus_distance']:.2e}"])
        self._show(self._done)

    @override
    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        elif self._measured:
            tell(f"  {self._name}: round {self._done:,} of {self._rounds:,}  {self._measured}")

    @override
    def should_stop(self) -> bool:
        return self._stop()

    def _show(self, done: int) -> None:
        seconds = time.perf_counter() - self._began if self._began else 0.0
        speed = (done - self._first) / seconds if seconds > 0 else 0.0
        shown = f"{speed:.3g} rounds/s" if speed else ""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, speed=shown, measured=self._measured)
        elif self._began and time.perf_counter() - self._told > LINE_S and self._told:
            left = f"  ETA {(self._rounds - done) / speed:.0f} s" if speed else ""
            tell(f"  {self._name}: round {done:,} of {self._rounds:,}  {shown}{left}  {self._measured}")
            self._told = time.perf_counter()
        elif not self._told:
            self._told = time.perf_counter()


class ShareProgress:
    """Progress of a computation in phases on stderr: a bar a phase in a terminal, a line every ``SHARE_S`` elsewhere.

    Args:
        name: of what is computed.
    """

    def __init__(self, name: str) -> None:
        self._name, self._phase = name, ""
        self._share = self._first = self._began = self._heard = 0.0
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    @contextlib.contextmanager
    def shown(self) -> Iterator[Callable[[str, float], None]]:
        """Show progress while the body computes, which calls what this gives with the phase and the share that is done."""
        if not sys.stderr.isatty():
            with repeated(self._line, SHARE_S):
                yield self._told
            return
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TaskProgressColumn())
        console = Console(stderr=True)
        with Progress(*columns, TimeRemainingColumn(compact=True), console=console, transient=True) as self._bar:
            yield self._told

    def _told(self, phase: str, share: float) -> None:
        new = phase != self._phase
        if new:
            self._phase, self._began, self._first = phase, time.perf_counter(), share
        self._share, self._heard = share, time.perf_counter()
        if self._bar is not None:
            if new or self._task is None:
                self._task = self._bar.add_task(f"{self._name}: {phase}", total=1.0)
            self._bar.update(self._task, completed=share)

    def _line(self, seconds: float) -> str:
        if not self._phase:
            return f"  {self._name}: compiling … {seconds:.0f} s so far"
        if self._share >= 1:
            return f"  {self._name}: {self._phase}, done"
        done = self._share - self._first
        left = (self._heard - self._began) * (1 - self._share) / done if done > 0 else 0.0
        left -= time.perf_counter() - self._heard
        return f"  {self._name}: {self._phase}, {self._share:.0%} done" + (
            f", about {left:.0f} s left" if left > 1 else ""
        )


def report(outcome: Outcome) -> None:
    """Print what became of a run, where it is, and the next command.

    Raises:
        KeyboardInterrupt: the run was interrupted, after saying how to go on.
        RunError: the run diverged.
    """
    if outcome.status == "interrupted":
        tell(f"interrupted after round {outcome.rounds:,}; where it stands is saved in {outcome.folder}")
        hint("jaxgossip", "resume", outcome.folder)
        sys.exit(130)
    _final_table(outcome)
    say(f"\nresults in {outcome.folder}, picture in {outcome.folder / 'summary.png'}")
    if outcome.status == "diverged":
        raise RunError(
            f"{outcome.ending}; what was measured before is kept",
            hint="a smaller optimizer.learning_rate is the usual cure",
        )
    hint("jaxgossip", "compare", outcome.folder)


def _final_table(outcome: Outcome) -> None:
    run = outcome.final["run"]
    measure = measures_of(run)[0]
    key = measure.key
    rows = [("all nodes, mean", f"{key}_mean"), ("worst node", f"{key}_{measure.worst}")]
    say(f"\n{outcome.status} after {outcome.rounds:,} rounds in {outcome.seconds:.1f} s")
    say(f"\n{measure.name}" + f" in round {run['round']:,}, the last one measured" * (outcome.status == "diverged"))
    for label, name in [*rows, ("mean model", f"mean_model_{key}")]:
        if name in run:  # what only nodes can tell says nothing of a mean model
            say(f"  {label:<22}{number(run[name])}")
    for name, record in outcome.final.items():
        if name != "run" and (f"{key}_mean" in record or record.get("diverged")):
            shown = "diverged" if record.get("diverged") else number(record.get(f"{key}_mean"))
            say(f"  {LABELS.get(name, name):<22}{shown}")
    say(f"\n  consensus distance    {number(run['consensus_distance'])}")
    asked = f", {run['requests']:,} of them requests, of no bytes" if "requests" in run else ""
    say(f"  messages              {run['messages']:,}{asked}")
    beside = f", {run['metadata_bytes']:,} of them beside the models" if run.get("metadata_bytes") else ""
    say(f"  bytes sent            {run['bytes_sent']:,}{beside}")
    if "in_flight" in run:
        say(f"  what became of them   {fates(run)}")
    if run.get("virtual_s") is not None:
        mean = run.get("virtual_s_mean")
        beside = "" if mean is None else f", {duration(mean)} for a mean node"
        say(f"  virtual time          {duration(run['virtual_s'])}{beside}")
    if outcome.target is not None:
        measure = next(one for one in measures_of(run) if one.key == outcome.target["measure"])
        say(f"\n  {sentence(outcome.target, measure)}")


def fates(record: Mapping[str, Any]) -> str:
    """Return what became of all messages of a record."""
    counts = {"delivered": record["delivered"]}
    counts |= {key.removeprefix("lost_"): count for key, count in record.items() if key.startswith("lost_")}
    return fates_text(counts | {"in flight": record["in_flight"]})


def fates_text(counts: Mapping[str, int]) -> str:
    """Return counts by fate as shares of all, those that are not 0."""
    total = max(1, sum(counts.values()))
    return ", ".join(f"{share(count / total)} {name}" for name, count in counts.items() if count) or "none was sent"


def share(fraction: float) -> str:
    """Return a share in percent, never as 0 % where it is not."""
    return f"{fraction:.1%}" if fraction >= 0.001 else "under 0.1%"


LABELS = MappingProxyType(
    {
        "isolated": "isolated nodes, mean",
        "centralised": "centralised learner",
        "federated_averaging": "federated averaging",
    }
)


def told_of(measure: Measure, value: float | None) -> str:
    """Return a measure and its value as a bar has room for them."""
    if value is None:
        return f"{measure.name} –"
    return f"{measure.name} {value:.3f}" if measure.is_fraction else f"{measure.name} {value:.3g}"


def number(value: float | None) -> str:
    """Return a number with four digits, or a dash."""
    return "–" if value is None else f"{value:.4g}"
