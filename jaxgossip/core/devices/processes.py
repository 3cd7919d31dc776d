"""Several processes that compute one run: how they find one another, what they tell one another at the start, how they part."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax._src.distributed import global_state  # no public function tells of the processes without starting devices
from jax.experimental import multihost_utils

from jaxgossip.core.errors import InputError, RunError

HEARTBEAT_S = 60
"""Seconds without a sign of life after which JAX ends the processes that are left: half of what they may take."""
PART_S = 60
"""Seconds that a process waits for the others at its end."""
MEET_S = 300
"""Seconds that a process waits for the others at its beginning."""
MEETING = "all must be started, with one coordinator, which the others reach: HOST:PORT of the process 0"


@dataclass(frozen=True)
class Process:
    """One of the processes of a run.

    Attributes:
        number: its number; the first, 0, writes and prints.
        count: number of processes.
    """

    number: int
    count: int


def join(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> Process:
    """Join the processes of a run; before JAX has touched any device.

    Afterwards SIGTERM is handled as it was before, and Gloo, over which CPUs communicate, prints on stdout.

    Args:
        coordinator: "host:port" of the first process, on which it listens; None if a cluster (SLURM, Open MPI, TPU pods,
            Kubernetes) tells it and the other two.
        processes: number of processes.
        process: number of this process, from 0.

    Raises:
        InputError: no cluster tells the processes.
        RunError: the processes do not meet.
    """
    # JAX's own handler of SIGTERM only takes a note; whoever runs the processes has another in mind.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator, processes, process, initialization_timeout=MEET_S,
            heartbeat_timeout_seconds=HEARTBEAT_S, shutdown_timeout_seconds=PART_S,
        )  # fmt: skip
    except ValueError as error:
        raise InputError(
            "no cluster that JAX knows tells how many processes there are",
            hint="start them by srun or mpirun, or give each --coordinator HOST:PORT --processes K --process I",
        ) from error
    except RuntimeError as error:  # JAX's own, or of a process that has computed something already
        raise RunError(f"the processes of the run do not meet: {_first_line(error)}", hint=MEETING) from error
    return Process(int(global_state.process_id), int(global_state.num_processes or 1))


def tell_start(about: Mapping[str, Any]) -> bool:
    """Tell the others about the start of this process; return whether it was the first time."""
    try:
        _client().key_value_set(_start_of(global_state.process_id), json.dumps(dict(about)))
    except jax.errors.JaxRuntimeError:  # told already, or nobody is there
        return False
    return True


def told_of_starts(count: int) -> list[dict[str, Any]]:
    """Return what each of so many processes has told about its start, waiting for them.

    Raises:
        RunError: a process has told nothing.
    """
    try:
        return [json.loads(_client().blocking_key_value_get(_start_of(one), MEET_S * 1000)) for one in range(count)]
    except jax.errors.JaxRuntimeError as error:
        raise RunError(f"a process of the run does not begin: {_first_line(error)}", hint=MEETING) from error


def all_gathered(row: np.ndarray) -> np.ndarray:
    """Return (processes, …): the rows that all processes have, which must call this together."""
    return np.asarray(multihost_utils.process_allgather(row))


def on_host(array: jax.Array) -> np.ndarray:
    """Return an array that is spread over devices as one on the host; of several processes, all must call it."""
    if array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


def part() -> None:
    """Part from the other processes, once all have come to their ends."""
    jax.distributed.shutdown()


def _client() -> Any:
    assert global_state.client is not None, "joined"
    return global_state.client


def _start_of(process: int) -> str:
    return f"jaxgossip/start/{process}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]
