"""Churn: who is online when.

    coin         node i is online with probability p, drawn anew every s seconds with a phase of its own
    diurnal      the same, with p = o + a cos 2π(t/day − z_i), t the time of the draw and z_i ~ U[0, zones] the time zone
    exponential  alternate sessions online and offline, of exponential lengths with given means
    lognormal    the same, of lognormal lengths with given medians: many short sessions, a few very long ones
    trace        the intervals of a file
    fedscale     those of a file in the shape of FedScale's traces, again and again

Session lengths follow Stutzbach and Rejaie 2006, "Understanding churn in peer-to-peer networks" (lognormal rather than
exponential or Pareto), as in the gossip learning of Ormándi, Hegedűs and Jelasity 2013 and Berta and Jelasity 2014.
Alternating sessions start in the stationary state: at time 0, node i is online with probability E[on]/(E[on] + E[off]), at
a uniform position within a session whose length X has the density x f(x)/E[X]. Length-biased, LogNormal(μ, σ²) becomes
LogNormal(μ + σ², σ²), and the remainder of an exponential time is exponential again.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from jaxgossip.core.arguments import check_fields, guarded, number
from jaxgossip.core.errors import InputError
from jaxgossip.core.registry import Registry
from jaxgossip.schedule.files.fedscale import assigned, read_availability
from jaxgossip.schedule.files.traces import read_trace
from jaxgossip.schedule.sessions import HashedSessions, alternate

Lengths = Callable[[np.ndarray], np.ndarray]
"""(bool of any shape, whether online) -> lengths of such sessions in seconds."""


@dataclass(frozen=True)
class Churn:
    """Who is online when.

    Attributes:
        online: (node (m,) int32, time_s (m,) float64 seconds) -> (m,) bool, a pure function.
        n_nodes: number of nodes that it is for; None for any number.
    """

    online: Callable[[np.ndarray, np.ndarray], np.ndarray]
    n_nodes: int | None = None

    def __post_init__(self) -> None:
        check_fields("churn", self)


@guarded
def coin(n_nodes: int, rng: np.random.Generator, *, online: float, session_s: float = 1.0) -> Churn:
    """Return nodes that are online with a given probability, drawn anew every session, with a phase per node.

    Args:
        n_nodes: number of nodes.
        rng: generator of the sessions.
        online: probability that a node is online.
        session_s: seconds between consecutive draws of a node.

    Raises:
        InputError: ``online`` is outside [0, 1], or ``session_s`` is not positive.
    """
    online = number("coin churn", "online", online, most=1.0)
    sessions = HashedSessions(n_nodes, rng, number("coin churn", "session_s", session_s, above=True))
    return Churn(lambda node, time_s: sessions.uniforms(node, sessions.at(node, time_s)) < online, n_nodes)


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
    """Return nodes whose probability of being online depends on their time of day.

    Args:
        n_nodes: number of nodes.
        rng: generator of the sessions and the time zones.
        online: mean probability that a node is online.
        swing: amplitude of the probability within a day.
        day_s: length of a day in seconds.
        session_s: seconds between consecutive draws of a node.
        zones: fraction of a day over which the nodes' time zones are spread evenly: 1 around the globe, 0 all in one place.

    Raises:
        InputError: the probability is below 0 or above 1 at some time of the day, ``day_s`` or ``session_s`` is not
            positive, or ``zones`` is outside [0, 1].
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
        day = sessions.start_s(node, session) / day_s - zone[node]
        return sessions.uniforms(node, session) < online + swing * np.cos(2 * np.pi * day)

    return Churn(is_online, n_nodes)


@guarded
def exponential(
    n_nodes: int, rng: np.random.Generator, horizon_s: float, *, mean_online_s: float, mean_offline_s: float
) -> Churn:
    """Return memoryless churn: exponential lengths of sessions and absences.

    Args:
        n_nodes: number of nodes.
        rng: generator of the sessions.
        horizon_s: time in seconds after which nothing changes.
        mean_online_s: mean length of a session online, in seconds.
        mean_offline_s: mean length of an absence, in seconds.

    Raises:
        InputError: a mean is not positive, ``horizon_s`` is negative, or there are too many sessions to store.
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
    """Return nodes that come and go, mostly briefly and sometimes for long: lognormal times online and offline.

    Args:
        n_nodes: number of nodes.
        rng: generator of the sessions.
        horizon_s: time in seconds after which nothing changes.
        median_online_s: median length of a session online, in seconds.
        median_offline_s: median length of an absence, in seconds.
        sigma: standard deviation of the logarithm of both.

    Raises:
        InputError: a median is not positive, ``sigma`` is outside [0, 20], ``horizon_s`` is negative, or there are too
            many sessions to store.
    """
    on_s, off_s = (
        number("lognormal churn", name, median, above=True)
        for name, median in (("median_online_s", median_online_s), ("median_offline_s", median_offline_s))
    )
    sigma = number("lognormal churn", "sigma", sigma, most=20.0)  # above this, the mean e^(σ²/2) overflows float64

    def lengths(online: np.ndarray) -> np.ndarray:
        return np.where(online, on_s, off_s) * rng.lognormal(0.0, sigma, online.shape)

    def rests(online: np.ndarray) -> np.ndarray:
        return lengths(online) * math.exp(sigma**2) * rng.random(online.shape)

    mean_by_median = math.exp(sigma**2 / 2)
    means_s = on_s * mean_by_median, off_s * mean_by_median
    return _alternating("lognormal", n_nodes, rng, horizon_s, means_s, lengths, rests)


@guarded
def trace(n_nodes: int, *, path: Path, repeat: bool = False) -> Churn:
    """Return nodes that are online at the times given in a file.

    Args:
        n_nodes: number of nodes.
        path: comma-separated text with the header ``node,start_s,end_s``, one line per interval online.
        repeat: whether to assign the traces to the nodes in turn if there are fewer traces than nodes.

    Raises:
        InputError: the file is missing, a line is malformed, a node is unknown, intervals overlap, or there are too few
            traces.
    """
    switches, count = read_trace(path, n_nodes, repeat=repeat)
    return Churn(lambda node, time_s: switches.online(node % count, time_s), n_nodes)


@guarded
def fedscale(
    n_nodes: int,
    rng: np.random.Generator,
    *,
    path: Path,
    assignment: Literal["in_turn", "random"] = "in_turn",
    start_s: float = 0.0,
) -> Churn:
    """Return nodes that are online as devices were in a file in the shape of FedScale's traces.

    See :mod:`jaxgossip.schedule.files.fedscale`. After the period of a device its trace begins again.

    Args:
        n_nodes: number of nodes.
        rng: generator of random assignment.
        path: the file, JSON: the times at which each device becomes active and inactive, and its period.
        assignment: which device a node is: in_turn, by its number, or random.
        start_s: seconds into the traces at which the run begins.

    Raises:
        InputError: the file is missing or malformed, or ``start_s`` is negative; the message names the entry.
    """
    start_s = number("fedscale churn", "start_s", start_s)
    switches, period_s = read_availability(path)
    device = assigned(n_nodes, period_s.size, assignment, rng)

    def is_online(node: np.ndarray, time_s: np.ndarray) -> np.ndarray:
        which = device[node]
        return switches.online(which, (start_s + time_s) % period_s[which])

    return Churn(is_online, n_nodes)


def _alternating(
    what: str,
    n_nodes: int,
    rng: np.random.Generator,
    horizon_s: float,
    means_s: tuple[float, float],
    lengths: Lengths,
    rests: Lengths,
) -> Churn:
    """Return alternating sessions of mean lengths ``means_s`` (online, offline) that start in the stationary state."""
    horizon_s = number(f"{what} churn", "horizon_s", horizon_s)
    first = rng.random(n_nodes) < means_s[0] / sum(means_s)
    return Churn(alternate(first, rests(first), lengths, horizon_s, what).online, n_nodes)


CHURNS = Registry("churn", [coin, diurnal, exponential, lognormal, trace, fedscale])
"""Churns by name."""
