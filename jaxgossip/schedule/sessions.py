"""Sessions of nodes: drawn by a hash, or as lists of the times at which each node comes and goes.

A hash of (node, number of the session) answers whether a node is online without anything held, for as long as one likes.
Sessions of random lengths need a list: S switches, in one array sorted by node and time, in which all questions together
bisect for how many of a node's switches lie before a time; an even number leaves it as it began.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jaxgossip.core.errors import InputError

MOST_SWITCHES = 2**28
"""Switches are held up to here: 2 GB."""

BLOCK = 64
"""So many sessions of every node are drawn at a time."""


class HashedSessions:
    """Sessions of equal length, of which each node's begin at times of its own: session j at s (j − φ_i).

    Args:
        n_nodes: number of nodes.
        rng: draws where sessions begin, and the keys of the hash.
        session_s: s, their length.
    """

    def __init__(self, n_nodes: int, rng: np.random.Generator, session_s: float) -> None:
        self._session_s = session_s
        self._phase = rng.random(n_nodes)
        self._key = rng.integers(2**64, size=n_nodes, dtype=np.uint64)

    def at(self, node: np.ndarray, time_s: np.ndarray) -> np.ndarray:
        """Return (m,) int64: in which session each node is."""
        return (time_s * (1 / self._session_s) + self._phase[node]).astype(np.int64)

    def start_s(self, node: np.ndarray, session: np.ndarray) -> np.ndarray:
        """Return (m,) float64 seconds: when the session of a node began, or would have before time 0."""
        return (session - self._phase[node]) * self._session_s

    def luck(self, node: np.ndarray, session: np.ndarray) -> np.ndarray:
        """Return (m,) float64 in [0, 1): uniform and independent for distinct nodes and sessions.

        The finaliser of splitmix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators").
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
    """When nodes come and go.

    Attributes:
        first: (n,) bool, who is online before any switch.
        offset: (n+1,) int64, node i has the switches ``offset[i]:offset[i + 1]``.
        time_s: (S,) float64, ascending within a node.
    """

    first: np.ndarray
    offset: np.ndarray
    time_s: np.ndarray

    @staticmethod
    def of(first: np.ndarray, node: np.ndarray, time_s: np.ndarray) -> "Switches":
        """Return switches from (S,) nodes and times, where those of a node stand in order of time.

        Args:
            first: (n,) bool, who is online before any switch.
            node: (S,) int.
            time_s: (S,) float64.
        """
        offset = np.concatenate([[0], np.cumsum(np.bincount(node, minlength=first.size))])
        return Switches(first, offset, time_s[np.argsort(node, kind="stable")])

    def online(self, node: np.ndarray, time_s: np.ndarray) -> np.ndarray:
        """Return (m,) bool; a node that switches at a time has switched."""
        first, end = self.offset[node], self.offset[node + 1]
        found = first.copy()
        longest = int((end - first).max(initial=0))
        # Strides halve: found moves on by a stride where all switches up to there lie at or before the time.
        for power in reversed(range(longest.bit_length())):
            ahead = found + ((1 << power) - 1)
            passed = self.time_s[np.minimum(ahead, self.time_s.size - 1)] <= time_s
            passed &= ahead < end
            found += passed.astype(np.int64) << power
        return self.first[node] ^ ((found - first) % 2 == 1)


def alternate(
    first: np.ndarray,
    rest: np.ndarray,
    lengths: Callable[[np.ndarray], np.ndarray],
    horizon_s: float,
    what: str,
) -> Switches:
    """Return sessions that follow upon each other, online and offline in turns.

    Args:
        first: (n,) bool, who is online at time 0.
        rest: (n,) float64, when each node switches for the first time.
        lengths: (bool of any shape, whether online) -> seconds of such sessions.
        horizon_s: until when.
        what: the churn, as messages call it.

    Raises:
        InputError: there are too many to hold.
    """
    active, online, now_s = np.arange(first.size), first, rest
    nodes, times, held = [active[:0]], [rest[:0]], 0
    while active.size:
        # Column j is the switch after j more sessions; the first of them has the state that the node is not in now.
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
        going = ends_s[:, BLOCK] < horizon_s
        active, online, now_s = active[going], online[going], ends_s[going, BLOCK]  # BLOCK is even: the same state
    return Switches.of(first, np.concatenate(nodes), np.concatenate(times))
