"""Measures of contacts: how long they last, how long pairs are apart, how often they meet, and where news can get."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from jaxgossip.schedule.contacts.contacts import Contacts
from jaxgossip.schedule.contacts.paths import Reachability, reachability

QUANTILES = (0.5, 0.9, 0.99)
TAIL_POINTS = 40
"""Largest number of points of a distribution's tail in a record."""


@dataclass(frozen=True, eq=False)
class ContactMeasures:
    """Measures of contacts.

    Attributes:
        contacts: the contacts, from time 0; those under way at either end are cut there, and count as they are.
        until_s: when they cease to be observed, in seconds.
    """

    contacts: Contacts
    until_s: float

    @cached_property
    def durations_s(self) -> np.ndarray:
        """(m,) float64, seconds that contacts last, ascending."""
        return np.sort(self.contacts.duration_s)

    @cached_property
    def gaps_s(self) -> np.ndarray:
        """(g,) float64, inter-contact times: seconds from the end of a pair's contact to its next one, ascending."""
        order = np.lexsort((self.contacts.t_s, self.contacts.key))
        key, start_s, end_s = (column[order] for column in (self.contacts.key, self.contacts.t_s, self.contacts.end_s))
        return np.sort((start_s[1:] - end_s[:-1])[key[1:] == key[:-1]])

    @property
    def meetings_a_pair_s(self) -> float:
        """Contacts that begin, after time 0, per second and pair of nodes; 0 in a network of one node."""
        n = self.contacts.n_nodes
        begun = int((self.contacts.t_s > 0).sum())
        return begun / (self.until_s * n * (n - 1) / 2) if n > 1 and self.until_s > 0 else 0.0

    @property
    def in_contact(self) -> float:
        """Mean number of nodes that a node is in contact with at a time."""
        return 2 * float(self.contacts.duration_s.sum()) / (self.contacts.n_nodes * self.until_s)

    @cached_property
    def reach(self) -> Reachability:
        """When news from time 0 can be where."""
        return reachability(self.contacts)

    def record(self) -> dict[str, Any]:
        """Return all measures as JSON values."""
        return {
            "nodes": self.contacts.n_nodes,
            "contacts": len(self.contacts),
            "until_s": self.until_s,
            "in_contact_mean": self.in_contact,
            "meetings_a_pair_s": self.meetings_a_pair_s,
            "contact_s": _summary(self.durations_s),
            "inter_contact_s": _summary(self.gaps_s),
            "reachable": {
                "sources": self.reach.sources.size,
                "share": self.reach.share,
                "delay_s": _summary(self.reach.delays_s),
            },
        }


def tail(values: np.ndarray, points: int = TAIL_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Return (x, share of values ≥ x): the complementary distribution function at some of the ascending ``values``."""
    distinct, first = np.unique(values, return_index=True)
    share = 1 - first / max(values.size, 1)
    ranks = np.unique(np.geomspace(1, distinct.size, points).astype(int) - 1) if distinct.size else np.empty(0, int)
    kept = np.union1d(ranks, distinct.size - 1 - ranks) if distinct.size > points else np.arange(distinct.size)
    return distinct[kept], share[kept]


def _summary(values: np.ndarray) -> dict[str, Any]:
    """Return count, mean, quantiles and tail of ascending values; means and quantiles are None if there are none."""
    x, share = tail(values)
    quantiles = np.quantile(values, QUANTILES).tolist() if values.size else [None] * len(QUANTILES)
    return {
        "count": values.size,
        "mean": float(values.mean()) if values.size else None,
        "median": quantiles[0],
        "quantiles": dict(zip(map(str, QUANTILES), quantiles, strict=True)),
        "ccdf": {"at_least": x.tolist(), "share": share.tolist()},
    }
