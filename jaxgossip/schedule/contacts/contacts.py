"""Contacts: who was within reach of whom, from when and for how long.

A contact (t, u, v, d) carries messages between u and v, both ways, while t ≤ now < t + d. In every form that contacts
come in, the contacts of a pair are united where they overlap or touch, so that splitting one in two, or writing its ends
in the other order, changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxgossip.core.arguments import reals, whole
from jaxgossip.core.errors import InputError
from jaxgossip.core.units import counted

ROUNDING = 4
"""Contacts of a pair whose gap is no more than so many units in the last place touch."""


@dataclass(frozen=True, eq=False)
class Contacts:
    """Contacts between pairs of nodes, made by :meth:`of`; all arrays have the same length m and cannot be written.

    Attributes:
        n_nodes: number of nodes.
        t_s: (m,) float64, when each begins in seconds, at least 0; ascending, ties in order of u and v.
        u: (m,) int32, the lower node of each pair.
        v: (m,) int32, the higher one.
        duration_s: (m,) float64, how long each lasts in seconds, above 0.
    """

    n_nodes: int
    t_s: np.ndarray
    u: np.ndarray
    v: np.ndarray
    duration_s: np.ndarray

    def __post_init__(self) -> None:
        for column in (self.t_s, self.u, self.v, self.duration_s):
            column.flags.writeable = False

    def __len__(self) -> int:
        return self.t_s.size

    def __repr__(self) -> str:
        return f"Contacts({counted(self.n_nodes, 'node')}, {counted(len(self), 'contact')}, until {self.until_s:g} s)"

    @property
    def end_s(self) -> np.ndarray:
        """(m,) float64, when each ends, in seconds."""
        return self.t_s + self.duration_s

    @property
    def until_s(self) -> float:
        """When the last one ends, in seconds; 0 if there is none."""
        return float(self.end_s.max(initial=0.0))

    @staticmethod
    def of(n_nodes: int, t_s: Any, u: Any, v: Any, duration_s: Any) -> "Contacts":
        """Return contacts in order of time, those of a pair united; contacts of no duration carry nothing and are left out.

        Args:
            n_nodes: number of nodes.
            t_s: (m,) seconds at which each begins.
            u: (m,) int, one node of each.
            v: (m,) int, the other.
            duration_s: (m,) seconds that each lasts, or one number for all.

        Raises:
            InputError: the arrays have different lengths, a node does not exist, a node meets itself, or a contact begins
                before time 0, lasts less than 0 seconds or is not finite; names the contact.
        """
        whole("contacts", "n_nodes", n_nodes, 1)
        t_s, duration_s = reals("contacts", "t_s", t_s), reals("contacts", "duration_s", duration_s)
        u, v = np.asarray(u), np.asarray(v)
        duration_s = np.broadcast_to(duration_s, t_s.shape) if duration_s.ndim == 0 else duration_s
        if t_s.ndim != 1 or any(column.shape != t_s.shape for column in (u, v, duration_s)):
            shapes = ", ".join(str(column.shape) for column in (t_s, u, v, duration_s))
            raise InputError(
                f"contacts: t_s, u, v and duration_s have shapes {shapes}", hint="one number each a contact"
            )
        if t_s.size and (u.dtype.kind not in "iu" or v.dtype.kind not in "iu"):
            raise InputError(f"contacts: nodes are given as {u.dtype} and {v.dtype}", hint="node numbers are integers")
        first = fault(n_nodes, t_s, u, v, duration_s)
        if first is not None:
            row, message, hint = first
            raise InputError(f"contacts: number {row}: {message}", hint=hint)
        lower, higher = np.minimum(u, v).astype(np.int64), np.maximum(u, v).astype(np.int64)
        lasts = duration_s > 0
        key, start_s, end_s = _united(*(part[lasts] for part in (lower * n_nodes + higher, t_s, t_s + duration_s)))
        return Contacts.by_key(n_nodes, key, start_s, end_s)

    @staticmethod
    def by_key(n_nodes: int, key: np.ndarray, start_s: np.ndarray, end_s: np.ndarray) -> "Contacts":
        """Return contacts of pairs ``u n + v``, u < v, those of a pair apart from one another, put in order of time."""
        order = np.lexsort((key, start_s))
        key, start_s = key[order], start_s[order]
        nodes = ((key // n_nodes).astype(np.int32), (key % n_nodes).astype(np.int32))
        return Contacts(n_nodes, start_s, *nodes, end_s[order] - start_s)

    @staticmethod
    def none(n_nodes: int) -> "Contacts":
        """Return no contacts."""
        empty = np.empty(0)
        return Contacts.by_key(n_nodes, empty.astype(np.int64), empty, empty)

    @staticmethod
    def together(several: Sequence["Contacts"]) -> "Contacts":
        """Unite contacts of the same nodes, of which there is at least one set."""
        n_nodes = several[0].n_nodes
        key, start_s, end_s = (
            np.concatenate(parts)
            for parts in zip(*((contacts.key, contacts.t_s, contacts.end_s) for contacts in several), strict=True)
        )
        return Contacts.by_key(n_nodes, *_united(key, start_s, end_s))

    @property
    def key(self) -> np.ndarray:
        """(m,) int64, the number u n + v of each pair."""
        return self.u.astype(np.int64) * self.n_nodes + self.v

    def take(self, which: Any) -> "Contacts":
        """Return the contacts selected by ``which``, a mask, a slice or ascending indices."""
        return Contacts(self.n_nodes, self.t_s[which], self.u[which], self.v[which], self.duration_s[which])

    def between(self, start_s: float, end_s: float) -> "Contacts":
        """Return what falls into [``start_s``, ``end_s``), cut where contacts reach beyond; times are unchanged."""
        start, end = np.maximum(self.t_s, start_s), np.minimum(self.end_s, end_s)
        inside = start < end
        return Contacts.by_key(self.n_nodes, self.key[inside], start[inside], end[inside])


def fault(
    n_nodes: int, t_s: np.ndarray, u: np.ndarray, v: np.ndarray, duration_s: np.ndarray
) -> tuple[int, str, str] | None:
    """Return (row, message, hint) of the first contact that violates the first condition violated; None if none does."""
    nodes = f"nodes are numbered 0 to {n_nodes - 1}"
    conditions = (
        (
            (np.minimum(u, v) >= 0) & (np.maximum(u, v) < n_nodes),
            lambda row: f"node {v[row] if 0 <= u[row] < n_nodes else u[row]} does not exist",
            nodes,
        ),
        (u != v, lambda row: f"node {u[row]} meets itself", "a contact is between two nodes"),
        (
            (t_s >= 0) & np.isfinite(t_s),
            lambda row: f"it begins at {t_s[row]:g} s",
            "a run starts at time 0; times are finite",
        ),
        (
            (duration_s >= 0) & np.isfinite(duration_s),
            lambda row: f"it lasts {duration_s[row]:g} s",
            "a duration is a finite number of at least 0 seconds",
        ),
    )
    for met, message, hint in conditions:
        if not met.all():
            row = int(np.argmin(met))
            return row, message(row), hint
    return None


def _united(key: np.ndarray, start_s: np.ndarray, end_s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (key, start, end) of the unions of intervals of the same key, in order of key and start."""
    order = np.lexsort((start_s, key))
    key, start_s, end_s = key[order], start_s[order], end_s[order]
    if not key.size:
        return key, start_s, end_s
    first = np.append(True, key[1:] != key[:-1])
    latest_s = _latest(first, end_s)
    begins = first.copy()
    begins[1:] |= start_s[1:] > latest_s[:-1] + ROUNDING * np.spacing(latest_s[:-1])
    at = np.flatnonzero(begins)
    return key[at], start_s[at], latest_s[np.append(at[1:], key.size) - 1]


def _latest(first: np.ndarray, end_s: np.ndarray) -> np.ndarray:
    """Return the largest end so far of each key, given where keys begin."""
    if (first[1:] | (end_s[1:] >= end_s[:-1])).all():
        return end_s
    # The running maximum of ranks, which are whole numbers: a key's are above those of all keys before it.
    ends_s, rank = np.unique(end_s, return_inverse=True)
    return ends_s[np.maximum.accumulate(np.cumsum(first) * ends_s.size + rank) % ends_s.size]
