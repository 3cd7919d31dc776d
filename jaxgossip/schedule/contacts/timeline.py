"""Who is in contact with whom at a time, as a run goes on: of all contacts, those about now are held."""

import numpy as np

from jaxgossip.schedule.contacts.contacts import Contacts
from jaxgossip.schedule.contacts.sources import ContactSource


class Timeline:
    """The contacts of one run, read as far as they are asked for.

    Args:
        source: the contacts.
        length_s: seconds of contacts that are read at a time.
    """

    def __init__(self, source: ContactSource, length_s: float) -> None:
        self._windows, self._length_s = source.windows(length_s), length_s
        self._read, self._from_s = 0, 0.0
        self._hold(Contacts.none(source.n_nodes))

    def forget(self, before_s: float) -> None:
        """Forget the contacts that end before a time, about which nobody will ask again."""
        self._from_s = before_s

    def _hold(self, held: Contacts) -> None:
        """Hold contacts, listed by node: node i has those at ``_start[i]:_start[i + 1]``."""
        self._held = held
        node = np.concatenate([held.u, held.v])
        order = np.argsort(node, kind="stable")
        self._start = np.concatenate([[0], np.cumsum(np.bincount(node, minlength=held.n_nodes))])
        self._other = np.concatenate([held.v, held.u])[order]
        self._t_s, self._end_s = (np.tile(column, 2)[order] for column in (held.t_s, held.end_s))

    def _reach(self, until_s: float) -> None:
        """Read on until contacts are known up to a time, and somewhat beyond."""
        fresh: list[Contacts] = []
        while self._read * self._length_s <= until_s:
            fresh.append(next(self._windows))
            self._read += 1
        if fresh:
            recent = self._held.take(self._held.end_s >= self._from_s)
            self._hold(Contacts.together([recent, *fresh]))

    def _at(self, node: np.ndarray, time_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (question, entry), ascending: the contacts that each node has at its time."""
        counts = (self._start[1:] - self._start[:-1])[node]
        question = np.repeat(np.arange(node.size), counts)
        before = np.cumsum(counts) - counts
        entry = np.arange(question.size) + (self._start[node] - before)[question]
        now = (self._t_s[entry] <= time_s[question]) & (time_s[question] < self._end_s[entry])
        return question[now], entry[now]

    def choose(
        self, node: np.ndarray, time_s: np.ndarray, rng: np.random.Generator, prefers: np.ndarray | None = None
    ) -> np.ndarray:
        """Return (m,) int32: for each node a random one of those that it is in contact with at its time, −1 for nobody.

        Args:
            node: (m,) int32.
            time_s: (m,) float64, seconds.
            rng: generator of the choice.
            prefers: (n, n) bool, whom each node chooses if it is in contact with any of these; None for no preferences.
        """
        self._reach(float(time_s.max(initial=0.0)))
        question, entry = self._at(node, time_s)
        if prefers is not None:
            wanted = prefers[node[question], self._other[entry]]
            some = np.bincount(question[wanted], minlength=node.size) > 0
            kept = wanted | ~some[question]
            question, entry = question[kept], entry[kept]
        counts = np.bincount(question, minlength=node.size)
        place = np.cumsum(counts) - counts + (rng.random(node.size) * counts).astype(np.int64)
        chosen = np.full(node.size, -1, np.int32)
        met = counts > 0
        chosen[met] = self._other[entry[place[met]]]
        return chosen

    def ends_s(self, node: np.ndarray, other: np.ndarray, time_s: np.ndarray, until_s: float) -> np.ndarray:
        """Return (m,) float64: when the contact of two nodes ends that they have at a time; −∞ if they have none.

        Of contacts that are longer the end may be any time after ``until_s``.

        Args:
            node: (m,) int32.
            other: (m,) int32.
            time_s: (m,) float64, seconds.
            until_s: up to when ends have to be known.
        """
        self._reach(until_s)
        question, entry = self._at(node, time_s)
        pair = self._other[entry] == other[question]
        ends_s = np.full(node.size, -np.inf)
        ends_s[question[pair]] = self._end_s[entry[pair]]
        return ends_s
