"""Sources of contacts, window by window: a trace that is known, or nodes that move.

Nodes that move are looked at every ``step_s`` seconds; whoever is within reach then stays so until the next look. Only the
contacts that have not ended are kept, so that memory does not grow with time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np

from jaxgossip.core.arguments import check_fields, number, whole
from jaxgossip.core.errors import InputError
from jaxgossip.schedule.contacts.contacts import Contacts
from jaxgossip.topology.memory_check import check_bytes

PAIR_BYTES = 100
"""Bytes of memory that a pair within reach takes at a step, its neighbours in time included."""

Positions = Callable[[], Iterator[np.ndarray]]
"""() -> the positions (n, D) of all nodes at steps 0, 1, …, endlessly; every call restarts and gives the same ones."""

Near = Callable[[np.ndarray], np.ndarray]
"""(positions (n, D)) -> (m, 2) int, the pairs within reach of each other, the lower node first."""


@dataclass(frozen=True)
class ContactSource:
    """Contacts window by window.

    Attributes:
        n_nodes: number of nodes.
        windows: L -> the contacts in [kL, (k + 1)L) seconds for k = 0, 1, …, endlessly, cut where they reach beyond the
            window; every call restarts and gives the same contacts.
        until_s: when the last contact ends, in seconds; None if they go on.
        positions: positions of the nodes, if they have any; as for :func:`moving`.
    """

    n_nodes: int
    windows: Callable[[float], Iterator[Contacts]]
    until_s: float | None = None
    positions: Positions | None = None

    def __post_init__(self) -> None:
        whole("contacts", "n_nodes", self.n_nodes, 1)
        check_fields("contacts", self)

    def __repr__(self) -> str:
        end = "without end" if self.until_s is None else f"until {self.until_s:g} s"
        return f"ContactSource({self.n_nodes:,} nodes, {end})"

    def until(self, end_s: float) -> Contacts:
        """Return all contacts before a time, cut where they reach beyond it.

        Args:
            end_s: the time, in seconds.

        Raises:
            InputError: it is not positive.
        """
        return next(self.windows(number("contacts", "end_s", end_s, above=True)))


def recorded(contacts: Contacts) -> ContactSource:
    """Return known contacts as a source; after the last one there are no more.

    Args:
        contacts: the contacts.
    """

    def windows(length_s: float) -> Iterator[Contacts]:
        place, carried = 0, Contacts.none(contacts.n_nodes)
        for k in count():
            start_s, end_s = k * length_s, (k + 1) * length_s
            stop = place + int(np.searchsorted(contacts.t_s[place:], end_s))
            held = Contacts.together([carried, contacts.take(slice(place, stop))]) if stop > place else carried
            place, carried = stop, held.take(held.end_s > end_s)
            yield held.between(start_s, end_s)

    return ContactSource(contacts.n_nodes, windows, contacts.until_s)


def moving(n_nodes: int, step_s: float, positions: Positions, near: Near) -> ContactSource:
    """Return the contacts of nodes that move.

    Args:
        n_nodes: number of nodes.
        step_s: seconds from one look at the positions to the next.
        positions: () -> positions at steps 0, 1, …, endlessly.
        near: positions -> pairs within reach.
    """
    step_s = number("contacts", "step_s", step_s, above=True)

    def windows(length_s: float) -> Iterator[Contacts]:
        keys = (_keys(n_nodes, near(place)) for place in positions())
        step, active = 0, next(keys)
        since_s = np.zeros(active.size)
        for k in count():
            end_s = (k + 1) * length_s
            ended: list[tuple[np.ndarray, np.ndarray, float]] = []
            while (step + 1) * step_s < end_s:
                step += 1
                now_s, before, active = step * step_s, active, next(keys)
                place = np.minimum(np.searchsorted(before, active), max(before.size - 1, 0))
                stays = before[place] == active if before.size else np.zeros(active.size, bool)
                gone = np.ones(before.size, bool)
                gone[place[stays]] = False
                ended.append((before[gone], since_s[gone], now_s))
                since_s = np.where(stays, since_s[place] if before.size else 0.0, now_s)
            ended.append((active, since_s, end_s))
            key, start_s = (np.concatenate(parts) for parts in list(zip(*ended, strict=True))[:2])
            ends_s = np.repeat([end for *_, end in ended], [part.size for part, *_ in ended])
            lasts = start_s < ends_s  # a step at the very start of the window ends contacts that the last one has given
            yield Contacts.by_key(n_nodes, key[lasts], start_s[lasts], ends_s[lasts])
            since_s = np.full(active.size, end_s)

    return ContactSource(n_nodes, windows, positions=positions)


def check_pairs(what: str, n_nodes: int, share: float) -> None:
    """Check that the pairs within reach fit into the free memory.

    Args:
        what: name of the movement in messages.
        n_nodes: number of nodes.
        share: fraction of all pairs that is within reach, or its expectation.

    Raises:
        InputError: they do not.
    """
    pairs = min(share, 1.0) * n_nodes * (n_nodes - 1) / 2
    check_bytes(
        f"{what}: {n_nodes:,} nodes of which about {pairs:,.0f} pairs are in contact at once",
        PAIR_BYTES * pairs,
        "a shorter range, or fewer nodes",
        error=InputError,
    )


def _keys(n_nodes: int, pairs: np.ndarray) -> np.ndarray:
    """Return the numbers u n + v of pairs, ascending."""
    pairs = pairs.astype(np.int64)
    return np.sort(pairs[:, 0] * n_nodes + pairs[:, 1])
