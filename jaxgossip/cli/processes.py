"""Commands in several processes: their options, what each process prints, and how all of them end."""

import contextlib
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, override

import typer

from jaxgossip.cli.terminal.failures import failed
from jaxgossip.cli.terminal.output import keep_stdout, loading, silence_stdout, tell
from jaxgossip.core.errors import InputError

if TYPE_CHECKING:
    from jaxgossip.simulation.agreement import Agreement
    from jaxgossip.simulation.listening.observer import Observer

Distributed = Annotated[
    bool,
    typer.Option(
        "--distributed", help="Be one of the processes of a run that srun, mpirun or another cluster has started."
    ),
]
Coordinator = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT", help="Be one of several processes, of which process 0 listens there; with the two below."
    ),
]
Processes = Annotated[int | None, typer.Option(metavar="K", help="How many processes there are.")]
ProcessNumber = Annotated[int | None, typer.Option("--process", metavar="I", help="Which of them this is, from 0.")]


@dataclass(frozen=True)
class Several:
    """The options of a command in several processes.

    Attributes:
        coordinator: "host:port" of the first process; None if a cluster tells all three.
        processes: number of processes.
        process: number of this one.
    """

    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None

    @classmethod
    def of(
        cls, *, distributed: bool, coordinator: str | None, processes: int | None, process: int | None
    ) -> "Several | None":
        """Return the options, or None for a command in one process.

        Raises:
            InputError: they do not fit together.
        """
        given = [coordinator is not None, processes is not None, process is not None]
        if not any(given):
            return cls() if distributed else None
        hint = "--coordinator HOST:PORT --processes K --process I, with I from 0 to K - 1; or --distributed alone"
        if distributed or coordinator is None or processes is None or process is None:
            raise InputError("--coordinator, --processes and --process go together, without --distributed", hint=hint)
        if not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/]+):\d{1,5}", coordinator):
            raise InputError(f"--coordinator {coordinator} is no HOST:PORT", hint=hint)
        if not 0 <= process < processes:
            raise InputError(f"there is no process {process} of {processes}", hint=hint)
        return cls(coordinator, processes, process)


@contextlib.contextmanager
def joined(several: Several | None) -> "Iterator[Agreement]":
    """Join the processes of a command, within the context; of all but the first, only errors are printed.

    However the body ends, no process is left waiting for the others: after a failure that all know of they part, after any
    other the process exits at once.

    Args:
        several: the options of this process; None for a command in one process, for which nothing is done.
    """
    if several is None:
        loading()
        from jaxgossip.simulation.agreement import ALONE

        yield ALONE
        return
    keep_stdout()
    from jaxgossip.core.devices.processes import join, part
    from jaxgossip.simulation.agreement import Agreement

    process = join(several.coordinator, several.processes, several.process)
    agreement = Agreement(process.count, process.number)
    if agreement.first:
        tell(f"process 0 of {process.count} has found the others")
    else:
        silence_stdout()
        warnings.showwarning = lambda *_: None
    try:
        yield agreement
    except BaseException as error:  # noqa: BLE001 - whatever it is, the other processes must not wait
        _end(error, agreement, part)
    else:
        part()


def _end(error: BaseException, agreement: "Agreement", part: Callable[[], None]) -> None:
    """Report an error and exit, after parting from the others if they know of it."""
    from jaxgossip.core.devices.processes import tell_start
    from jaxgossip.experiment.runs.together import in_words
    from jaxgossip.simulation.agreement import PeerError, code_of, is_told

    if isinstance(error, PeerError):
        code = error.code
        if agreement.first:
            failed(error)
    else:
        code = failed(in_words(error, "RUN"))
    if is_told(error) or tell_start({"failed": code_of(error)}):
        with contextlib.suppress(Exception):  # some process has not come: JAX has waited for it
            part()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)  # at its usual end the process would wait for those that are lost


@contextlib.contextmanager
def observed(agreement: "Agreement") -> "Iterator[Observer]":
    """Yield an observer that asks the run to stop at Ctrl-C or SIGTERM; that of the first process shows progress."""
    from jaxgossip.cli.terminal.progress import watched
    from jaxgossip.simulation.listening.interrupt import stoppable
    from jaxgossip.simulation.listening.observer import Observer

    class Silent(Observer):
        """Stops the run, and shows nothing."""

        @override
        def should_stop(self) -> bool:
            return asked()

    if agreement.first:
        with watched() as display:
            yield display
        return
    with stoppable(lambda: None, signal.SIGINT, signal.SIGTERM) as asked:
        yield Silent()


def end_silently(status: str) -> None:
    """Exit, as a process that prints nothing, with the code of a run's outcome."""
    sys.exit({"completed": 0, "interrupted": 130}.get(status, 1))
