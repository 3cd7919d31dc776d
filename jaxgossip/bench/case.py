"""What a case of the benchmark is, what it is measured at, and what was found."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from jaxgossip.bench.timing import Rounds
from jaxgossip.core.errors import InputError

MIN_NODES = 100
"""Below, the graphs of the cases (16 neighbours a node) are no longer what their names say."""


@dataclass(frozen=True)
class Setting:
    """At what size the cases are built.

    Attributes:
        nodes: number of nodes n, at least 100.
        params: columns p of the state of the mixing cases, at least 1; learning cases have their models' own number.
        seed: draws graphs, matchings and samples.

    Raises:
        InputError: too few nodes or parameters.
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
        shape: (n, p) of the float32 state, whose copy is the unit.
        traffic: of a round in copies of the state, if every row that is read came from memory; None if it moves no rows.
        items: what a round works on: the number of links (each edge once for each end that hears), or of nodes.
        item: which of the two.
        rounds: the compiled program.
        reference: does one round of the reference.
        reference_name: what the reference is.
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
        """Bytes of the state."""
        return 4 * self.shape[0] * self.shape[1]


@dataclass(frozen=True)
class Measured:
    """What was found for one case; all times in seconds.

    Attributes:
        name: of the case.
        shape: (n, p) of its state.
        copy_s: one copy of that state, measured before and after.
        round_s: one round.
        traffic_copies: traffic of a round in copies; None if it moves no rows.
        items: links or nodes of a round.
        item: which of the two.
        scratch_states: temporary memory of the program in multiples of the state; None if unknown.
        reference: what it is compared with.
        reference_s: one round of that.
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
        """A round in copies of the state."""
        return self.round_s / self.copy_s

    @property
    def times_traffic(self) -> float | None:
        """A round in multiples of its traffic."""
        return None if self.traffic_copies is None else self.copies / self.traffic_copies

    @property
    def item_ns(self) -> float:
        """Nanoseconds per link or per node."""
        return 1e9 * self.round_s / self.items

    @property
    def speedup(self) -> float:
        """How many times as long the reference takes."""
        return self.reference_s / self.round_s

    def record(self) -> dict[str, Any]:
        """Return all of it, derived numbers too, as JSON values."""
        derived = ("copies", "times_traffic", "item_ns", "speedup")
        return dataclasses.asdict(self) | {name: getattr(self, name) for name in derived}
