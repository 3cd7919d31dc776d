"""Online sessions of nodes: drawn by a hash, or as lists of the times at which nodes come and go.

A hash of (node, number of the session) decides whether a node is online without any storage, for any length of time.
Sessions of random lengths need a list: S switches in one array, sorted by node and time. A vectorised bisection counts the
switches of a node before a time; after an even number, the node is in its initial state.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jaxgossip.core.errors import InputError

MOST_SWITCHES = 2**28
"""Largest number of switches that are stored: 2 GB."""

BLOCK = 64
"""Sessions of every node drawn at a time."""


class HashedSessions:
    """Sessions of equal length with a random phase per node: session j of node i begins at s (j − φ_i).

    Args:
        n_nodes: number of nodes.
        rng: generator of the phases and of the keys of the hash.
        session_s: s, length of a session in seconds.
    """

    def __init__(self, n_nodes: int, rng: np.random.Generator, session_s: float) -> None:
        self._session_s = session_s
        self._phase = rng.random(n_nodes)
        self._key = rng.integers(2**64, size=n_nodes, dtype=np.uint64)

    def at(self, node: np.ndarray, time_s: np.ndarray) -> np.ndarray:
        """Return (m,) int64: the session that each node is in."""
        return (time_s * (1 / self._session_s) + self._phase[node]).astype(np.int64)

    def start_s(self, node: np.ndarray, session: np.ndarray) -> np.ndarray:
        """Return (m,) float64 seconds: the start of each session, which may lie before time 0."""
        return (session - self._phase[node]) * self._session_s

    def uniforms(self, node: np.ndarray, session: np.ndarray) -> np.ndarray:
        """Return (m,) float64 in [0, 1): uniform, and independent for distinct nodes and sessions.

        They are computed by the finaliser of splitmix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
        generators").
        """
        word = session.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        word += self._key[node]
        word ^= word >> np.uint64(30)
        word *= np.uint64(0xBF58476D1CE4E5B9)
        word ^= word >> np.uint64(27)
        word *= np.uint64(0x94D049BB133111EB)
        word ^= word >> np.uint64(31)
        word >>= np.uint64(11)
        return word.view(np.int64) * 2.0**-53  # CPUs convert signed integers faster


@dataclass(frozen=True, eq=False)
class Switches:
    """The times at which nodes come online and go offline.

    Attributes:
        first: (n,) bool, whether each node is online before its first switch.
        offset: (n+1,) int64; node i has the switches ``offset[i]:offset[i + 1]``.
        time_s: (S,) float64, ascending within a node.
    """

    first: np.ndarray
    offset: np.ndarray
    time_s: np.ndarray

    @staticmethod
    def of(first: np.ndarray, node: np.ndarray, time_s: np.ndarray) -> "Switches":
        """Return switches from (S,) nodes and times, where the times of each node are in order.

        Args:
            first: (n,) bool, whether each node is online before its first switch.
            node: (S,) int.
            time_s: (S,) float64.
        """
        offset = np.concatenate([[0], np.cumsum(np.bincount(node, minlength=first.size))])
        return Switches(first, offset, time_s[np.argsort(node, kind="stable")])

    def online(self, node: np.ndarray, time_s: np.ndarray) -> np.ndarray:
        """Return (m,) bool: whether each node is online; a switch at exactly the given time has taken place."""
        start, end = self.offset[node], self.offset[node + 1]
        place = start.copy()
        longest = int((end - start).max(initial=0))
        # Bisection with halving strides: advance by a stride if all switches up to there lie at or before the time.
        for power in reversed(range(longest.bit_length())):
            ahead = place + ((1 << power) - 1)
            passed = self.time_s[np.minimum(ahead, self.time_s.size - 1)] <= time_s
            passed &= ahead < end
            place += passed.astype(np.int64) << power
        return self.first[node] ^ ((place - start) % 2 == 1)


def alternate(
    first: np.ndarray,
    rest: np.ndarray,
    lengths: Callable[[np.ndarray], np.ndarray],
    horizon_s: float,
    what: str,
) -> Switches:
    """Return consecutive sessions, alternately online and offline.

    Args:
        first: (n,) bool, whether each node is online at time 0.
        rest: (n,) float64, time of the first switch of each node, in seconds.
        lengths: (bool of any shape, whether online) -> lengths of such sessions in seconds.
        horizon_s: time in seconds up to which switches are drawn.
        what: name of the churn in messages.

    Raises:
        InputError: there are too many switches to store.
    """
    active, online, now_s = np.arange(first.size), first, rest
    nodes, times, held = [active[:0]], [rest[:0]], 0
    while active.size:
        # Column j is the switch after j more sessions, the first of which has the opposite of the present state.
        state = online[:, None] ^ (np.arange(1, BLOCK + 1) % 2 == 1)
        ends_s = np.cumsum(np.concatenate([now_s[:, None], lengths(state)], axis=1), axis=1)
        inside = ends_s[:, :BLOCK] < horizon_s
        held += int(inside.sum())
        if held > MOST_SWITCHES:
            raise InputError(
                f"{what} churn: {first.size:,} nodes come and go more than {MOST_SWITCHES:,} times in {horizon_s:g} s",
                hint="longer sessions, a shorter run, or churn 'coin', which holds no list",
            )
        nodes.append(np.repeat(active, inside.sum(axis=1)))
        times.append(ends_s[:, :BLOCK][inside])
        unfinished = ends_s[:, BLOCK] < horizon_s
        # BLOCK is even, so the state is unchanged.
        active, online, now_s = active[unfinished], online[unfinished], ends_s[unfinished, BLOCK]
    return Switches.of(first, np.concatenate(nodes), np.concatenate(times))
