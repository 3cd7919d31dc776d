"""Who is online when.

    coin         node i is drawn anew every s seconds, at times of its own: online with probability p
    diurnal      the same, with p = o + a cos 2π(t/day − z_i), t the draw's time and z_i ~ U[0, zones] the node's time zone
    exponential  times online and offline follow upon each other, exponential with the stated means
    lognormal    the same, lognormal with the stated medians: many short sessions, a few very long ones
    trace        the intervals of a file

Lengths of sessions follow Stutzbach and Rejaie 2006, "Understanding churn in peer-to-peer networks" (lognormal rather
than exponential or Pareto), as in the gossip learning of Ormándi, Hegedűs and Jelasity 2013 and Berta and Jelasity 2014.
Alternating sessions start stationary: at time 0, node i is online with probability E[on]/(E[on] + E[off]), within a
session of length X drawn with density x f(x)/E[X], at a uniform place of it. Length-biased, LogNormal(μ, σ²) is
LogNormal(μ + σ², σ²), and an exponential time's rest is exponential again.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxgossip.core.arguments import guarded, number
from jaxgossip.core.errors import InputError
from jaxgossip.core.registry import Registry
from jaxgossip.schedule.files.traces import read_trace
from jaxgossip.schedule.sessions import HashedSessions, alternate

Lengths = Callable[[np.ndarray], np.ndarray]
"""(bool of any shape, whether online) -> seconds of such sessions."""


@dataclass(frozen=True)
class Churn:
    """Who is online when.

    Attributes:
        online: (node (m,) int32, time_s (m,) float64) -> (m,) bool: the same question has the same answer, always.
        n_nodes: of how many nodes it knows; None: of any.
    """

    online: Callable[[np.ndarray, np.ndarray], np.ndarray]
    n_nodes: int | None = None


@guarded
def coin(n_nodes: int, rng: np.random.Generator, *, online: float, session_s: float = 1.0) -> Churn:
    """Return nodes that are online or not by chance, drawn anew once a session, each node at times of its own.

    Args:
        n_nodes: number of nodes.
        rng: draws the sessions.
        online: probability that a node is online.
        session_s: seconds from one draw of a node to its next.
    """
    online = number("coin churn", "online", online, most=1.0)
    sessions = HashedSessions(n_nodes, rng, number("coin churn", "session_s", session_s, above=True))
    return Churn(lambda node, time_s: sessions.luck(node, sessions.at(node, time_s)) < online, n_nodes)


@guarded
def diurnal(
    n_nodes: int,
    rng: np.random.Generator,
    *,
    online: float = 0.5,
    swing: float = 0.4,
    day_s: float = 86400.0,
    session_s: float = 600.0,
    zones: float = 1.0,
) -> Churn:
    """Return nodes that are online at their time of day.

    Args:
        n_nodes: number of nodes.
        rng: draws the sessions and the time zones.
        online: mean probability that a node is online.
        swing: by how much it is higher and lower than that within a day.
        day_s: seconds of a day.
        session_s: seconds from one draw of a node to its next.
        zones: part of a day over which the nodes' time zones are spread evenly: 1 around the globe, 0 all in one place.

    Raises:
        InputError: a probability below 0 or above 1 at some time of the day.
    """
    online = number("diurnal churn", "online", online, most=1.0)
    swing = number("diurnal churn", "swing", swing, most=1.0)
    if online + swing > 1 or online < swing:
        raise InputError(
            f"diurnal churn: the probability of being online goes from {online - swing:g} to {online + swing:g}",
            hint="make swing at most online, and at most 1 - online",
        )
    day_s = number("diurnal churn", "day_s", day_s, above=True)
    sessions = HashedSessions(n_nodes, rng, number("diurnal churn", "session_s", session_s, above=True))
    zone = number("diurnal churn", "zones", zones, most=1.0) * rng.random(n_nodes)

    def is_online(node: np.ndarray, time_s: np.ndarray) -> np.ndarray:
        session = sessions.at(node, time_s)
        turn = sessions.start_s(node, session) / day_s - zone[node]
        return sessions.luck(node, session) < online + swing * np.cos(2 * np.pi * turn)

    return Churn(is_online, n_nodes)


@guarded
def exponential(
    n_nodes: int, rng: np.random.Generator, horizon_s: float, *, mean_online_s: float, mean_offline_s: float
) -> Churn:
    """Return nodes that come and go, without memory: exponential times online and offline.

    Args:
        n_nodes: number of nodes.
        rng: draws the sessions.
        horizon_s: until when; from then on nothing changes.
        mean_online_s: mean seconds of a session online.
        mean_offline_s: mean seconds of an absence.

    Raises:
        InputError: a mean that is not positive, or too many sessions to hold.
    """
    means = tuple(
        number("exponential churn", name, mean, above=True)
        for name, mean in (("mean_online_s", mean_online_s), ("mean_offline_s", mean_offline_s))
    )

    def lengths(online: np.ndarray) -> np.ndarray:
        return np.where(online, *means) * rng.standard_exponential(online.shape)

    return _alternating("exponential", n_nodes, rng, horizon_s, (means[0], means[1]), lengths, lengths)


@guarded
def lognormal(
    n_nodes: int,
    rng: np.random.Generator,
    horizon_s: float,
    *,
    median_online_s: float,
    median_offline_s: float,
    sigma: float = 1.0,
) -> Churn:
    """Return nodes that come and go, most briefly and some for long: lognormal times online and offline.

    Args:
        n_nodes: number of nodes.
        rng: draws the sessions.
        horizon_s: until when; from then on nothing changes.
        median_online_s: half of the sessions online are longer.
        median_offline_s: half of the absences are longer.
        sigma: standard deviation of the logarithm of both.

    Raises:
        InputError: a median that is not positive, or too many sessions to hold.
    """
    on_s, off_s = (
        number("lognormal churn", name, median, above=True)
        for name, median in (("median_online_s", median_online_s), ("median_offline_s", median_offline_s))
    )
    sigma = number("lognormal churn", "sigma", sigma, most=20.0)  # beyond, the mean e^(σ²/2) has no float64

    def lengths(online: np.ndarray) -> np.ndarray:
        return np.where(online, on_s, off_s) * rng.lognormal(0.0, sigma, online.shape)

    def rests(online: np.ndarray) -> np.ndarray:
        return lengths(online) * math.exp(sigma**2) * rng.random(online.shape)

    longer = math.exp(sigma**2 / 2)
    return _alternating("lognormal", n_nodes, rng, horizon_s, (on_s * longer, off_s * longer), lengths, rests)


@guarded
def trace(n_nodes: int, *, path: Path, repeat: bool = False) -> Churn:
    """Return nodes that are online when a file says so.

    Args:
        n_nodes: number of nodes.
        path: comma-separated text with the header ``node,start_s,end_s``: one line an interval online.
        repeat: deal the traces out to the nodes in turn, where there are fewer of them than nodes.

    Raises:
        InputError: a malformed line, an unknown node, intervals that overlap, or too few traces.
    """
    switches, count = read_trace(path, n_nodes, repeat=repeat)
    return Churn(lambda node, time_s: switches.online(node % count, time_s), n_nodes)


def _alternating(
    what: str,
    n_nodes: int,
    rng: np.random.Generator,
    horizon_s: float,
    means_s: tuple[float, float],
    lengths: Lengths,
    rests: Lengths,
) -> Churn:
    """Return alternating sessions of mean lengths ``means_s`` (online, offline), from a stationary start on."""
    horizon_s = number(f"{what} churn", "horizon_s", horizon_s)
    first = rng.random(n_nodes) < means_s[0] / sum(means_s)
    return Churn(alternate(first, rests(first), lengths, horizon_s, what).online, n_nodes)


CHURNS = Registry("churn", [coin, diurnal, exponential, lognormal, trace])
"""Who is online when, by name."""
