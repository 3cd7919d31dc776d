"""A run in several processes: how they begin alike, what all but the first do, and what is said when one is lost.

The first process writes the run folder. The others take part in all computations and write their rows of checkpoints.
"""

import contextlib
import shlex
import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, override

import jax

from jaxgossip import __version__
from jaxgossip.core.devices.processes import tell_start, told_of_starts
from jaxgossip.core.errors import ConfigError, RunError
from jaxgossip.experiment.build.experiment import Experiment
from jaxgossip.experiment.results.folder import RunFolder
from jaxgossip.experiment.runs.engines import restore, simulate_experiment
from jaxgossip.simulation import Observer, checkpoint
from jaxgossip.simulation.agreement import FAILURE, MISUSE, Agreement, PeerError, told
from jaxgossip.simulation.listening.observer import Forwarding

ALIKE = "all processes of a run are started by the same command, with the same files and versions"


class LostError(RunError):
    """A process of the run has died, or cannot be reached any more."""


class Timer:
    """Tells when it is time to save, on all processes at once.

    Args:
        every_s: seconds between checkpoints; None for never.
        agreement: between the processes of the run.
    """

    def __init__(self, every_s: float | None, agreement: Agreement) -> None:
        self.every_s, self._agreement, self._saved = every_s, agreement, time.perf_counter()

    def is_due(self) -> bool:
        """Return whether to save now; all processes must ask."""
        if self.every_s is None:
            return False
        return bool(self._agreement.of_first(int(time.perf_counter() - self._saved >= self.every_s)))

    def restart(self) -> None:
        """Begin to wait for the next time."""
        self._saved = time.perf_counter()


class PieceObserver(Forwarding):
    """Writes this process's part of the checkpoints of a run whose other files the first process writes.

    Args:
        observer: the observer to forward to.
        folder: folder of the checkpoints.
        timer: tells when to save.
    """

    def __init__(self, observer: Observer, folder: Path, timer: Timer) -> None:
        super().__init__(observer)
        self._folder, self._timer = folder, timer

    @override
    def chunk(self, run: Any, wall_s: float) -> None:
        if self._timer.is_due():
            self._save(run)
        super().chunk(run, wall_s)

    @override
    def finished(self, run: Any, wall_s: float) -> None:
        if self._timer.every_s is not None:
            self._save(run)
        super().finished(run, wall_s)

    def _save(self, run: Any) -> None:
        checkpoint.save(self._folder, run, round_number=int(run.round), metadata={})
        self._timer.restart()


def begin_alike(agreement: Agreement, what: str, text: str, inputs: Mapping[str, str]) -> None:
    """Check that all processes begin the same, before any of them touches a device.

    Args:
        agreement: between the processes.
        what: what is begun, such as ``"run"``.
        text: the resolved configuration.
        inputs: digests of the files that it names.

    Raises:
        ConfigError: they do not; of all processes, the first says so.
        PeerError: another has said so, or has failed.
    """
    if agreement.alone:
        return
    tell_start(
        {
            "command": what,
            "configuration": _digest(text),
            "input files": _digest(repr(sorted(inputs.items()))),
            "version of jaxgossip": __version__,
            **{f"version of {name}": version(name) for name in ("jax", "jaxlib", "numpy")},
        }
    )
    starts = told_of_starts(agreement.count)
    for process, start in enumerate(starts):
        if "failed" in start:
            raise PeerError(process, start["failed"])
    for process, start in enumerate(starts):
        for name, value in starts[0].items():
            if start.get(name) != value:
                if not agreement.first:
                    raise PeerError(0, MISUSE)
                message = f"process {process} was started with another {name} than process 0"
                raise told(ConfigError(message, hint=ALIKE))


def check_same_start(agreement: Agreement, done: int, folder: Path) -> None:
    """Check that all processes have read the same checkpoint.

    Args:
        agreement: between the processes.
        done: rounds that it has completed; -1 if there is none.
        folder: the run's folder.

    Raises:
        RunError: they have not; of all processes, the first says so.
        PeerError: another has said so.
    """
    if agreement.all_same(done):
        return
    if not agreement.first:
        raise PeerError(0, FAILURE)
    message = f"the processes do not see the same checkpoints in {folder}"
    raise told(RunError(message, hint="the folder of a run must be on a file system that all of them share"))


def follow(experiment: Experiment, path: Path, agreement: Agreement, observer: Observer) -> tuple[str, int]:
    """Take part in a run as one of the processes that are not the first; return its (status, rounds).

    Raises:
        PeerError: another process has failed.
        LostError: another process cannot be reached.
        OSError: the checkpoints cannot be written to.
    """
    config, folder = experiment.config, RunFolder(path)
    with peers_reached(path):
        with agreement.step():
            start, metadata = restore(experiment, folder)
        check_same_start(agreement, -1 if start is None else int(start.round), path)
        writer = PieceObserver(observer, folder.checkpoints, Timer(config.checkpoint.every_s, agreement))
        result = simulate_experiment(
            experiment, experiment.algorithm, writer, start=start, start_wall_s=metadata.get("wall_s", 0.0)
        )
        start = None
        with agreement.step():
            status, rounds, spent = result.status, result.rounds, bool(result.run.spent)
        del result
        for name in experiment.baselines if status != "interrupted" else ():
            if not agreement.of_first(0):
                continue  # measured before
            with agreement.step():
                algorithm = experiment.baseline(name)
            many, faultless = rounds if spent else config.rounds, name == "centralised"
            ended = simulate_experiment(experiment, algorithm, observer, rounds=many, faultless=faultless).status
            if ended == "interrupted":
                status = ended
                break
            with agreement.step():
                pass  # the first process writes what it has measured
        with agreement.step():
            pass  # and all the rest
    return status, rounds


@contextlib.contextmanager
def peers_reached(path: Path) -> Iterator[None]:
    """Turn the error of a computation in which another process was lost into one sentence.

    Raises:
        LostError: another process of the run has died, or cannot be reached.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        raise in_words(error, shlex.quote(str(path))) from error


def in_words(error: BaseException, run: str) -> BaseException:
    """Return an error as a LostError if it comes from a computation in which another process was lost, else as it is.

    Args:
        error: the error.
        run: the run's folder, as a shell takes it.
    """
    if not isinstance(error, jax.errors.JaxRuntimeError) or "RESOURCE_EXHAUSTED" in str(error):
        return error
    if jax.process_count() == 1:
        return error
    reason = str(error).strip().partition("\n")[0][:200]
    return LostError(
        f"another process of the run has ended, or cannot be reached: {reason}",
        hint=f"'jaxgossip resume {run}' goes on from the last checkpoint, in any number of processes",
    )


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
