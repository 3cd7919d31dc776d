"""Cases of the benchmark, their settings and their results."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from jaxgossip.bench.timing import Rounds
from jaxgossip.core.errors import InputError

MIN_NODES = 100
"""Smallest number of nodes for which the graphs of the cases (up to 16 neighbours per node) are what their names say."""


@dataclass(frozen=True)
class Setting:
    """The size of the cases.

    Attributes:
        nodes: number of nodes n, at least 100.
        params: number of columns p of the state in mixing cases, at least 1; in learning cases it follows from the model.
        seed: seed of graphs, matchings and samples.

    Raises:
        InputError: there are too few nodes or parameters.
    """

    nodes: int = 1_000_000
    params: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if self.nodes < MIN_NODES:
            raise InputError(
                f"the benchmark needs at least {MIN_NODES} nodes, not {self.nodes:,}",
                hint="its random graphs have up to 16 neighbours a node; 20000 is a quick size",
            )
        if self.params < 1:
            raise InputError(
                f"a model of the benchmark has at least 1 parameter, not {self.params:,}", hint="64 is usual"
            )


@dataclass(frozen=True)
class Case:
    """A program ready to be timed.

    Attributes:
        shape: (n, p) of the float32 state, whose copy is the unit of time.
        traffic: memory traffic of a round in copies of the state, without any caching; None if it moves no rows.
        items: number of links (each edge counts once for each end that hears) or of nodes that a round works on.
        item: which of the two, "edge" or "node".
        rounds: the compiled program.
        reference: runs one round of the reference.
        reference_name: name of the reference.
    """

    shape: tuple[int, int]
    traffic: float | None
    items: int
    item: Literal["edge", "node"]
    rounds: Rounds
    reference: Callable[[], None]
    reference_name: str

    @property
    def state_bytes(self) -> int:
        """Size of the state in bytes."""
        return 4 * self.shape[0] * self.shape[1]


@dataclass(frozen=True)
class Measured:
    """The results of a case.

    Attributes:
        name: name of the case.
        shape: (n, p) of its state.
        copy_s: seconds of one copy of the state, measured before and after.
        round_s: seconds of one round.
        traffic_copies: memory traffic of a round in copies of the state; None if it moves no rows.
        items: number of links or nodes that a round works on.
        item: which of the two, "edge" or "node".
        scratch_states: temporary memory of the program in multiples of the state; None if unknown.
        reference: name of the reference.
        reference_s: seconds of one round of the reference.
    """

    name: str
    shape: tuple[int, int]
    copy_s: float
    round_s: float
    traffic_copies: float | None
    items: int
    item: str
    scratch_states: float | None
    reference: str
    reference_s: float

    @property
    def copies(self) -> float:
        """Time of a round in copies of the state."""
        return self.round_s / self.copy_s

    @property
    def times_traffic(self) -> float | None:
        """Time of a round relative to that of its memory traffic."""
        return None if self.traffic_copies is None else self.copies / self.traffic_copies

    @property
    def item_ns(self) -> float:
        """Nanoseconds per link or per node."""
        return 1e9 * self.round_s / self.items

    @property
    def speedup(self) -> float:
        """Time of the reference relative to that of the program."""
        return self.reference_s / self.round_s

    def record(self) -> dict[str, Any]:
        """Return the results, including derived numbers, as JSON values."""
        derived = ("copies", "times_traffic", "item_ns", "speedup")
        return dataclasses.asdict(self) | {name: getattr(self, name) for name in derived}
