"""The host loop that all engines share: advance, evaluate, notify observers, and stop cleanly.

An engine holds a state but never owns the loop. There are three engines: rounds, events, and many runs at once. Progress,
evaluations, checkpoints and requests to stop are handled here.
"""

import time
from collections.abc import Mapping
from typing import Any, Literal, Protocol, runtime_checkable

from jaxgossip.simulation.listening.observer import Observer

CHUNK_S = 1.0
"""Target duration of a chunk in seconds: short enough for progress to move and for a stop to be prompt."""
MIN_CHUNK_ROUNDS = 4
"""Minimum rounds per chunk, since every chunk allocates scratch memory as large as all models …"""
MAX_CHUNK_S = 5.0
"""… as long as that minimum takes no more than this many seconds."""

Status = Literal["completed", "diverged", "interrupted"]


@runtime_checkable
class Engine(Protocol):
    """The interface that the loop drives."""

    @property
    def done(self) -> int:
        """Rounds, or cycles, completed."""
        ...

    @property
    def over(self) -> bool:
        """Whether nothing is left to advance: every run has diverged or exhausted its byte budget."""
        ...

    def advance(self, goal: int) -> None:
        """Advance by one chunk, at most to round ``goal``."""
        ...

    def evaluate(self, wall_s: float) -> Mapping[str, Any] | None:
        """Record an evaluation of the current state, and return what observers receive; None if there is nothing to measure."""
        ...

    def checkpoint(self) -> Any:
        """Return everything needed to continue from here; the next chunk consumes it."""
        ...


def next_goal(done: int, rounds: int, evaluate_every: int) -> int:
    """Return the round at which a run that has done ``done`` of its rounds is evaluated next; the last one always is."""
    return min(rounds, done - done % evaluate_every + evaluate_every)


class Stopwatch:
    """Wall-clock seconds since construction, plus ``before``."""

    def __init__(self, before: float = 0.0) -> None:
        self._began = time.perf_counter() - before

    def seconds(self) -> float:
        """Return the elapsed seconds."""
        return time.perf_counter() - self._began


def drive(
    engine: Engine, rounds: int, evaluate_every: int, observer: Observer, clock: Stopwatch, *, begin: bool
) -> bool:
    """Advance an engine to round ``rounds``, or until it is over or the observer stops it.

    Args:
        engine: the engine.
        rounds: total number of rounds, including those already done.
        evaluate_every: rounds between evaluations; the last round is always evaluated.
        observer: receives records and progress, and may stop the engine.
        clock: the run's stopwatch.
        begin: whether to evaluate before the first chunk, as a new run does.

    Returns:
        Whether the observer stopped it.
    """

    def evaluate() -> None:
        record = engine.evaluate(clock.seconds())
        if record is not None:
            observer.evaluated(record)

    if begin:
        evaluate()
    stopped = False
    while engine.done < rounds and not engine.over:
        if observer.should_stop():
            stopped = True
            break
        goal = next_goal(engine.done, rounds, evaluate_every)
        engine.advance(goal)
        observer.advanced(engine.done)
        if engine.done == goal or engine.over:
            evaluate()
        observer.chunk(engine.checkpoint(), clock.seconds())
    return stopped


class Pace:
    """Chooses the number of rounds per chunk from the duration of the previous chunk."""

    def __init__(self) -> None:
        self._seconds_a_round: float | None = None

    def rounds(self) -> int:
        """Return the rounds of the next chunk; 1 until a chunk has been timed."""
        if self._seconds_a_round is None:
            return 1
        seconds = max(self._seconds_a_round, 1e-9)
        return max(1, int(CHUNK_S / seconds), min(MIN_CHUNK_ROUNDS, int(MAX_CHUNK_S / seconds)))

    def update(self, seconds: float, rounds: int) -> None:
        """Record that the last chunk of ``rounds`` rounds took ``seconds`` seconds."""
        self._seconds_a_round = seconds / max(1, rounds)
