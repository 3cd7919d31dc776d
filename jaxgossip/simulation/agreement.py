"""Agreement between the processes of a run: whatever each would decide by its own clock, signals or disk, all decide alike.

The programs of a run wait for one another on all processes. One that takes another turn than the others, or fails alone, would
leave them waiting; so decisions are exchanged before they take effect, and failures of one process end the run on all. A run
in a single process exchanges nothing.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, override

import jax
import numpy as np
from jax.sharding import Mesh

from jaxgossip.core.devices.processes import all_gathered
from jaxgossip.core.errors import InputError, RunError
from jaxgossip.simulation.listening.observer import Forwarding, Observer

FAILURE, MISUSE, INTERRUPT = 1, 2, 130
"""What a process tells the others of its failure: the exit code of the command line."""
TEXT_BYTES = 4096
"""Longest text, in UTF-8, that processes exchange."""


class PeerError(RunError):
    """Another process of the run has failed, and has said why itself.

    Args:
        process: number of the process.
        code: exit code of its command line.
    """

    def __init__(self, process: int, code: int) -> None:
        super().__init__(
            f"process {process} has ended the run on all processes", hint="what it has printed tells the reason"
        )
        self.process, self.code = process, code


class Agreement:
    """What the processes of a run exchange; every method must be called by all of them, in the same order.

    Args:
        count: number of processes.
        process: number of this one.
    """

    def __init__(self, count: int = 1, process: int = 0) -> None:
        self.count, self.process = count, process

    @classmethod
    def over(cls, mesh: Mesh | None) -> "Agreement":
        """Return the agreement between the processes whose devices a mesh has; without a mesh, this one's own."""
        if mesh is None or len({device.process_index for device in mesh.devices.flat}) == 1:
            return cls()
        return cls.of_all()

    @classmethod
    def of_all(cls) -> "Agreement":
        """Return the agreement between all processes that JAX knows of."""
        return cls(jax.process_count(), jax.process_index())

    @property
    def alone(self) -> bool:
        """Whether there is one process only."""
        return self.count == 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.process == 0

    def any(self, wish: bool) -> bool:
        """Return whether a process wishes something."""
        return bool(max(self._exchanged(number=int(wish))))

    def of_first(self, number: int) -> int:
        """Return the number, an int32, that the first process has."""
        return self._exchanged(number=number)[0]

    def all_same(self, number: int) -> bool:
        """Return whether all processes have the same number, an int32."""
        return len(set(self._exchanged(number=number))) == 1

    def text_of_first(self, text: str) -> str:
        """Return the text, of at most ``TEXT_BYTES`` bytes, that the first process has."""
        own = text.encode(errors="surrogateescape").ljust(TEXT_BYTES, b"\0")  # bytes of paths need not be UTF-8
        return self.gathered(own)[0].rstrip(b"\0").decode(errors="surrogateescape")

    def gathered(self, content: bytes) -> list[bytes]:
        """Return what each process has, of the same length on all."""
        if self.alone:
            return [content]
        return [row.tobytes() for row in all_gathered(np.frombuffer(content, np.uint8))]

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Run a body that may fail: if it fails on one process, it fails on all.

        Exchanges within the body must be the same on all processes.

        Raises:
            PeerError: it has failed on another process.
        """
        with self.telling():
            yield
        self._exchanged()

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Tell the others of an error in the body, at their next exchange; the error is raised again."""
        try:
            yield
        except BaseException as error:
            if not self.alone and not is_told(error) and not isinstance(error, jax.errors.JaxRuntimeError):
                with contextlib.suppress(PeerError, jax.errors.JaxRuntimeError):
                    self._exchanged(code_of(told(error)))
            raise

    def _exchanged(self, code: int = 0, number: int = 0) -> list[int]:
        """Return the numbers of all processes.

        Raises:
            PeerError: another process has failed.
        """
        if self.alone:
            return [number]
        codes, numbers = all_gathered(np.array([code, number], np.int32)).T
        for process in np.flatnonzero(codes):
            if process != self.process:
                raise PeerError(int(process), int(codes[process]))
        return [int(number) for number in numbers]


ALONE = Agreement()
"""Of a run in one process."""


class Agreed(Forwarding):
    """An observer that stops a run on all processes once it is to stop on one, and ends it on all if it fails on one.

    Args:
        observer: the observer to forward to.
        agreement: between the processes of the run.
    """

    def __init__(self, observer: Observer, agreement: Agreement) -> None:
        super().__init__(observer)
        self._agreement = agreement

    @override
    def advanced(self, rounds_done: int) -> None:
        with self._agreement.telling():
            super().advanced(rounds_done)

    @override
    def evaluated(self, record: Mapping[str, Any]) -> None:
        with self._agreement.telling():
            super().evaluated(record)

    @override
    def chunk(self, run: Any, wall_s: float) -> None:
        with self._agreement.step():
            super().chunk(run, wall_s)

    @override
    def finished(self, run: Any, wall_s: float) -> None:
        with self._agreement.step():
            super().finished(run, wall_s)

    @override
    def should_stop(self) -> bool:
        with self._agreement.telling():
            wish = super().should_stop()
        stops = self._agreement.any(wish)
        if stops and not wish:
            self.note("another process was asked to stop: the run stops here, and is saved")
        return stops


def told[E: BaseException](error: E) -> E:
    """Return an error, marked as one that all processes know of, so that they need not be told."""
    error.told = True  # pyright: ignore[reportAttributeAccessIssue] - any exception takes attributes
    return error


def is_told(error: BaseException) -> bool:
    """Return whether all processes know of an error, which ends the run on all of them."""
    return isinstance(error, PeerError) or bool(getattr(error, "told", False))


def code_of(error: BaseException) -> int:
    """Return the exit code of the command line after an error."""
    match error:
        case PeerError():
            return error.code
        case InputError():
            return MISUSE
        case KeyboardInterrupt():
            return INTERRUPT
    return FAILURE
