"""The one way to listen to a run: an observer, and how several of them hear the same run."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, override

from jaxgossip.simulation.listening.interrupt import interruptible


class Observer:
    """What listens to a run; every method does nothing until it is overridden.

    A run calls ``note``, ``begin``, ``compiling`` and ``compiled``; then ``evaluated``, ``advanced`` and ``chunk`` as it goes
    on, asking ``should_stop`` before each chunk; at its end ``finished`` and, whatever happened, ``end``.

    >>> class Patient(jg.simulation.Observer):
    ...     def evaluated(self, record):
    ...         print(record["round"], record["test_accuracy_mean"])
    >>> jg.simulate(algorithm, 1000, observer=Patient())
    """

    def note(self, text: str) -> None:
        """One line about what happens next."""

    def begin(self, name: str, rounds: int, done: int) -> None:
        """A run called ``name`` of ``rounds`` rounds, or cycles, is about to start, ``done`` of them done before."""

    def compiling(self) -> None:
        """The programs are about to be compiled."""

    def compiled(self, seconds: float) -> None:
        """They were, in so many seconds."""

    def advanced(self, rounds_done: int) -> None:
        """A chunk is done."""

    def evaluated(self, record: Mapping[str, Any]) -> None:
        """An evaluation was made."""

    def chunk(self, run: Any, wall_s: float) -> None:
        """The state after a chunk, to be saved or left; it must not be kept, the next chunk consumes it."""

    def finished(self, run: Any, wall_s: float) -> None:
        """Rounds are over; the state at the end, before all nodes are scored; it must not be kept."""

    def end(self) -> None:
        """The run is over, or broke."""

    def should_stop(self) -> bool:
        """Say whether to end the run here, between two chunks."""
        return False


class Forwarding(Observer):
    """Hands all that it hears on to others, in their order; a subclass says what it does besides.

    Args:
        observers: the others. The run ends where any of them wants it to.
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
def attended(observer: Observer | None, *, progress: bool) -> Iterator[Observer]:
    """Give one observer for all who listen: the caller's, a display on stderr with ``progress``, and Ctrl-C.

    The first Ctrl-C makes it want the run to stop (:func:`~jaxgossip.simulation.listening.interrupt.interruptible`).
    """
    with interruptible() as asked:
        listeners = [observer or Observer(), _Asked(asked)]
        if progress:
            from jaxgossip.simulation.listening.display import Display  # noqa: PLC0415 - rich, where somebody watches

            listeners.append(Display())
        yield Forwarding(*listeners)


@contextlib.contextmanager
def begun(observer: Observer, name: str, rounds: int, start: Any = None) -> Iterator[None]:
    """Tell an observer that a run begins, from a state if there is one, and that it is over when the body ends."""
    try:
        done = int(getattr(start, "round", 0))
    except (TypeError, ValueError):  # no state of a run: to be refused once its shapes are known
        done = 0
    observer.begin(name, rounds, done)
    try:
        yield
    finally:
        observer.end()


class _Asked(Observer):
    """Wants the run to stop once somebody asked for it."""

    def __init__(self, asked: Any) -> None:
        self._asked = asked

    @override
    def should_stop(self) -> bool:
        return self._asked()
