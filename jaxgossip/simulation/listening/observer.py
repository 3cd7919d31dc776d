"""Observers, which receive the progress, records and states of a run, and their composition."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, override

from jaxgossip.simulation.listening.interrupt import interruptible


class Observer:
    """Callbacks of a run. By default every method does nothing; subclasses override those that they need.

    A run calls ``note``, ``begin``, ``compiling`` and ``compiled``. Before each chunk it calls ``should_stop``, and during and
    after it ``advanced``, ``evaluated`` and ``chunk``. At the end it calls ``finished`` and, even after an error, ``end``.

    >>> class Patient(jg.simulation.Observer):
    ...     def evaluated(self, record):
    ...         print(record["round"], record["test_accuracy_mean"])
    >>> jg.simulate(algorithm, 1000, observer=Patient())
    """

    def note(self, text: str) -> None:
        """Receive one line of text about what happens next."""

    def begin(self, name: str, rounds: int, done: int) -> None:
        """A run called ``name`` begins; ``done`` of its ``rounds`` rounds, or cycles, were completed earlier."""

    def compiling(self) -> None:
        """Compilation begins."""

    def compiled(self, seconds: float) -> None:
        """Compilation has ended and took ``seconds`` seconds."""

    def advanced(self, rounds_done: int) -> None:
        """A chunk has ended; ``rounds_done`` counts all rounds completed so far."""

    def evaluated(self, record: Mapping[str, Any]) -> None:
        """Receive the record of an evaluation."""

    def chunk(self, run: Any, wall_s: float) -> None:
        """Receive the state after a chunk. Do not keep a reference to it: the next chunk consumes it.

        Args:
            run: the state, everything needed to continue the run.
            wall_s: wall-clock seconds since the run began, including earlier sessions.
        """

    def finished(self, run: Any, wall_s: float) -> None:
        """Receive the final state, before all nodes are scored. Do not keep a reference to it."""

    def end(self) -> None:
        """The run is over, or an error has ended it."""

    def should_stop(self) -> bool:
        """Return whether to end the run before the next chunk."""
        return False


class Forwarding(Observer):
    """An observer that forwards every call to other observers in order; subclasses add to it.

    Args:
        observers: the observers to forward to. The run ends as soon as one of them asks for it.
    """

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers

    @override
    def note(self, text: str) -> None:
        for observer in self.observers:
            observer.note(text)

    @override
    def begin(self, name: str, rounds: int, done: int) -> None:
        for observer in self.observers:
            observer.begin(name, rounds, done)

    @override
    def compiling(self) -> None:
        for observer in self.observers:
            observer.compiling()

    @override
    def compiled(self, seconds: float) -> None:
        for observer in self.observers:
            observer.compiled(seconds)

    @override
    def advanced(self, rounds_done: int) -> None:
        for observer in self.observers:
            observer.advanced(rounds_done)

    @override
    def evaluated(self, record: Mapping[str, Any]) -> None:
        for observer in self.observers:
            observer.evaluated(record)

    @override
    def chunk(self, run: Any, wall_s: float) -> None:
        for observer in self.observers:
            observer.chunk(run, wall_s)

    @override
    def finished(self, run: Any, wall_s: float) -> None:
        for observer in self.observers:
            observer.finished(run, wall_s)

    @override
    def end(self) -> None:
        for observer in self.observers:
            observer.end()

    @override
    def should_stop(self) -> bool:
        return any(observer.should_stop() for observer in self.observers)


@contextlib.contextmanager
def combined(observer: Observer | None, *, progress: bool) -> Iterator[Observer]:
    """Yield an observer that combines the caller's, a display on stderr if ``progress``, and the handling of Ctrl-C.

    The first Ctrl-C makes its ``should_stop`` return True (:func:`~jaxgossip.simulation.listening.interrupt.interruptible`).
    """
    with interruptible() as asked:
        observers = [observer or Observer(), _StopRequest(asked)]
        if progress:
            from jaxgossip.simulation.listening.display import Display  # noqa: PLC0415 - needs rich, which is slow to load

            observers.append(Display())
        yield Forwarding(*observers)


@contextlib.contextmanager
def announced(observer: Observer, name: str, rounds: int, start: Any = None) -> Iterator[None]:
    """Call an observer's ``begin``, with the rounds already done by ``start``, and its ``end`` when the body ends."""
    try:
        done = int(getattr(start, "round", 0))
    except (TypeError, ValueError):  # not the state of a run: rejected once the shapes are known
        done = 0
    observer.begin(name, rounds, done)
    try:
        yield
    finally:
        observer.end()


class _StopRequest(Observer):
    """Ends the run once ``asked()`` is True."""

    def __init__(self, asked: Callable[[], bool]) -> None:
        self._asked = asked

    @override
    def should_stop(self) -> bool:
        return self._asked()
