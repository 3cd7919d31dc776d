"""The benchmark and its report: named cases, each measured relative to a copy of its own state."""

import gc
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxgossip.bench import learning, mixing
from jaxgossip.bench.case import Case, Measured, Setting
from jaxgossip.bench.memory import check_memory
from jaxgossip.bench.timing import SAMPLE_S, Copy, reference_seconds, seconds_a_round
from jaxgossip.core.errors import InputError
from jaxgossip.core.registry import Registry
from jaxgossip.simulation.results.provenance import provenance

CASES = Registry(
    "benchmark case",
    [
        mixing.ring,
        mixing.random_8_regular,
        mixing.random_16_regular,
        mixing.random_geometric,
        mixing.small_world,
        mixing.barabasi_albert,
        mixing.star,
        mixing.complete_mean,
        mixing.matching_mixing,
        mixing.matching,
        learning.logistic_step,
        learning.mlp_step,
        learning.round_update_merge,
        learning.round_merge_update,
    ],
)
"""Cases that ``jaxgossip bench --only`` can name, in the order of measurement."""


@dataclass(frozen=True)
class Report:
    """The results of a benchmark.

    Attributes:
        setting: the size of the cases.
        repeats: samples per case.
        copy_s: seconds of one copy of the (nodes, params) float32 state, measured at the start.
        machine: versions, device and flags (see :func:`jaxgossip.simulation.results.provenance.provenance`).
        load: the system's load average in the minute before; None if unknown.
        cases: results of the cases, in the order of the registry.
    """

    setting: Setting
    repeats: int
    copy_s: float
    machine: dict[str, Any]
    load: float | None
    cases: tuple[Measured, ...]

    @property
    def state_bytes(self) -> int:
        """Size of the (nodes, params) float32 state in bytes."""
        return 4 * self.setting.nodes * self.setting.params

    def record(self) -> dict[str, Any]:
        """Return the report as JSON values; times in seconds, ``item_ns`` in nanoseconds."""
        return {
            "machine": self.machine,
            "nodes": self.setting.nodes,
            "params": self.setting.params,
            "seed": self.setting.seed,
            "repeats": self.repeats,
            "load": self.load,
            "copy_s": self.copy_s,
            "cases": [case.record() for case in self.cases],
        }


def chosen(only: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the cases to measure: those of ``only`` in the order of the registry, or all.

    Raises:
        InputError: a name is unknown; the hint gives the nearest one.
    """
    for name in only:
        _ = CASES[name]
    return tuple(name for name in CASES if not only or name in only)


def bench(
    setting: Setting,
    *,
    only: Sequence[str] = (),
    repeats: int = 3,
    sample_s: float = SAMPLE_S,
    begun: Callable[[str], None] = lambda _: None,
    done: Callable[[Measured], None] = lambda _: None,
) -> Report:
    """Measure the cases.

    Args:
        setting: the size of the cases.
        only: names of cases; all if empty.
        repeats: samples per case, of which the median is reported.
        sample_s: approximate least duration of a sample in seconds.
        begun: called with the name of each case before it is built.
        done: called with the result of each case.

    Raises:
        InputError: a case is unknown, ``repeats`` is below 1, or the cases exceed the free memory.
        RunError: the models of a case diverged while it was timed.
    """
    names = chosen(only)
    if repeats < 1:
        raise InputError(f"repeats must be at least 1, not {repeats}", hint="3 is usual")
    check_memory(setting.nodes, setting.params)
    load = load_average()
    copy_s = statistics.median(Copy((setting.nodes, setting.params)).samples())
    results: list[Measured] = []
    for name in names:
        begun(name)
        results.append(measure(name, CASES[name](setting), repeats, sample_s))
        gc.collect()  # free the arrays of a case before the next one is built
        done(results[-1])
    return Report(setting, repeats, copy_s, provenance(), load, tuple(results))


def load_average() -> float | None:
    """Return the load average of the last minute, or None if the system does not provide it."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def measure(name: str, case: Case, repeats: int, sample_s: float = SAMPLE_S, *, compare: bool = True) -> Measured:
    """Time a case between two measurements of its unit, so that the drift of a noisy machine cancels.

    Args:
        name: name of the case.
        case: the case.
        repeats: number of samples.
        sample_s: approximate least duration of a sample in seconds.
        compare: whether to time the reference too; otherwise its time is NaN.
    """
    copy = Copy(case.shape)
    copies = copy.samples()
    round_s = seconds_a_round(case.rounds, repeats, sample_s)
    copies += copy.samples()
    del copy
    scratch = case.rounds.scratch_bytes
    return Measured(
        name=name,
        shape=case.shape,
        copy_s=statistics.median(copies),
        round_s=round_s,
        traffic_copies=case.traffic,
        items=case.items,
        item=case.item,
        scratch_states=None if scratch is None else scratch / case.state_bytes,
        reference=case.reference_name,
        reference_s=reference_seconds(case.reference, 5 * sample_s) if compare else float("nan"),
    )
