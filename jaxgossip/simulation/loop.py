"""The one host loop: advance, evaluate, tell, stop in good order; whatever it is that runs.

An engine carries a state and never owns the loop. Rounds, events by the nodes' own clocks, and many runs at once are three
engines; progress, evaluations, checkpoints and Ctrl-C stand here.
"""

import time
from collections.abc import Mapping
from typing import Any, Literal, Protocol, runtime_checkable

from jaxgossip.simulation.listening.observer import Observer

CHUNK_S = 1.0
"""A chunk aims at this many seconds: progress moves, and a stop is prompt."""
CHUNK_ROUNDS = 4
"""Long rounds come at least so many a chunk, for every chunk takes fresh scratch memory, as large as all models …"""
MOST_CHUNK_S = 5.0
"""… but no more than last this long."""

Status = Literal["completed", "diverged", "interrupted"]


@runtime_checkable
class Engine(Protocol):
    """What the loop drives."""

    @property
    def done(self) -> int:
        """Rounds, or cycles, done."""
        ...

    @property
    def over(self) -> bool:
        """Whether nothing goes on: what runs diverged, or has spent its bytes."""
        ...

    def advance(self, goal: int) -> None:
        """Do some rounds, none beyond round ``goal``."""
        ...

    def evaluate(self, wall_s: float) -> Mapping[str, Any] | None:
        """Keep a record of what is measured now, and return what observers are told of it; None: nothing is measured."""
        ...

    def checkpoint(self) -> Any:
        """Return all that is needed to go on from here; the next rounds consume it."""
        ...


class Stopwatch:
    """Seconds since it was made, plus those spent before."""

    def __init__(self, before: float = 0.0) -> None:
        self._began = time.perf_counter() - before

    def seconds(self) -> float:
        """Return them."""
        return time.perf_counter() - self._began


def drive(
    engine: Engine, rounds: int, evaluate_every: int, observer: Observer, clock: Stopwatch, *, begin: bool
) -> bool:
    """Let an engine run until round ``rounds``, or until it is over or the observer stops it.

    Args:
        engine: what runs.
        rounds: counted from the very first.
        evaluate_every: rounds between evaluations; the last one is always evaluated.
        observer: listens.
        clock: of the run.
        begin: whether to evaluate before anything else: round 0, of a run that begins.

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
        goal = min(rounds, engine.done - engine.done % evaluate_every + evaluate_every)
        engine.advance(goal)
        observer.advanced(engine.done)
        if engine.done == goal or engine.over:
            evaluate()
        observer.chunk(engine.checkpoint(), clock.seconds())
    return stopped


class Pace:
    """How many rounds to do at a time."""

    def __init__(self) -> None:
        self._seconds_a_round: float | None = None

    def rounds(self) -> int:
        """Return how many; one while nobody knows how long it takes."""
        if self._seconds_a_round is None:
            return 1
        seconds = max(self._seconds_a_round, 1e-9)
        return max(1, int(CHUNK_S / seconds), min(CHUNK_ROUNDS, int(MOST_CHUNK_S / seconds)))

    def took(self, seconds: float, rounds: int) -> None:
        """Learn that so many rounds took so many seconds."""
        self._seconds_a_round = seconds / max(1, rounds)
