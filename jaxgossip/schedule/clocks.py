"""Clocks: when nodes act, each by a clock of its own, once per cycle Δ on average.

    fixed        φ_i + kΔ,      φ_i ~ U[0, Δ)
    synchronous  kΔ,            all nodes at once
    normal       φ_i + j p_i,   p_i ~ N(Δ, (sΔ)²), at least Δ/10;  φ_i ~ U[0, p_i)
    poisson      a Poisson process of rate 1/Δ per node: exponential times between ticks
    by_speed     φ_i + j p_i,   p_i the seconds that node i computes

Gossip learning uses unsynchronised periodic clocks (Ormándi, Hegedűs and Jelasity 2013, "Gossip learning with linear models
on fully distributed data"), randomised gossip Poisson clocks (Boyd, Ghosh, Prabhakar and Shah 2006, "Randomized gossip
algorithms").
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jaxgossip.core.arguments import check_fields, guarded, number, reals
from jaxgossip.core.errors import InputError
from jaxgossip.core.registry import Registry

Ticks = tuple[np.ndarray, np.ndarray]
"""(t,) int32 nodes and (t,) float64 seconds."""

SHORTEST = 0.1
"""Smallest period of the normal clock, in cycles: a period near zero would tick endlessly."""


@dataclass(frozen=True, eq=False)
class Clock:
    """When each node acts.

    Attributes:
        n_nodes: number of nodes.
        period_s: length Δ of a cycle in seconds.
        law: (cycle k, rng) -> all ticks in [kΔ, (k+1)Δ), in any order: (t,) int32 nodes and (t,) float64 seconds.
        together: whether all ticks of a cycle are simultaneous, so that all nodes act before any message arrives.
    """

    n_nodes: int
    period_s: float
    law: Callable[[int, np.random.Generator], Ticks]
    together: bool = False

    def __post_init__(self) -> None:
        number("clock", "period_s", self.period_s, above=True)
        check_fields("clock", self)

    def ticks(self, cycle: int, rng: np.random.Generator) -> Ticks:
        """Return the ticks of a cycle: (t,) int32 nodes and (t,) float64 seconds.

        Args:
            cycle: k.
            rng: generator of the draw.

        Raises:
            InputError: a node does not exist, or a time is outside [kΔ, (k+1)Δ).
        """
        node, time_s = self.law(cycle, rng)
        start, end = cycle * self.period_s, (cycle + 1) * self.period_s
        # Four passes detect any invalid tick; only then is it located.
        if node.size and not (
            node.min() >= 0 and node.max() < self.n_nodes and time_s.min() >= start and time_s.max() < end
        ):
            wrong = int(np.argmin((node >= 0) & (node < self.n_nodes) & (time_s >= start) & (time_s < end)))
            raise InputError(
                f"clock: node {node[wrong]} ticks at {time_s[wrong]} s in cycle {cycle}",
                hint=f"nodes are numbered 0 to {self.n_nodes - 1}, and this cycle is from {start:g} s to before {end:g} s",
            )
        return node, time_s


@guarded
def fixed(n_nodes: int, rng: np.random.Generator, *, period_s: float = 1.0) -> Clock:
    """Return clocks that tick once per cycle, each with a phase of its own.

    Args:
        n_nodes: number of nodes.
        rng: generator of the phases.
        period_s: seconds between consecutive ticks of a node.

    Raises:
        InputError: ``period_s`` is not positive.
    """
    period_s = number("fixed clock", "period_s", period_s, above=True)
    nodes = np.arange(n_nodes, dtype=np.int32)
    nodes.flags.writeable = False  # every cycle returns the same array
    phase_s = period_s * rng.random(n_nodes)

    def ticks(cycle: int, _: np.random.Generator) -> Ticks:
        return nodes, _within(cycle, period_s, cycle * period_s + phase_s)

    return Clock(n_nodes, period_s, ticks)


@guarded
def synchronous(n_nodes: int, *, period_s: float = 1.0) -> Clock:
    """Return clocks that all tick at the start of every cycle, in an order drawn anew each time.

    Args:
        n_nodes: number of nodes.
        period_s: seconds between consecutive ticks.

    Raises:
        InputError: ``period_s`` is not positive.
    """
    period_s = number("synchronous clock", "period_s", period_s, above=True)

    def ticks(cycle: int, rng: np.random.Generator) -> Ticks:
        # If exchanges follow one another within an instant, node 0 must not always come first.
        return rng.permutation(np.arange(n_nodes, dtype=np.int32)), np.full(n_nodes, cycle * period_s)

    return Clock(n_nodes, period_s, ticks, together=True)


@guarded
def normal(n_nodes: int, rng: np.random.Generator, *, period_s: float = 1.0, spread: float = 0.1) -> Clock:
    """Return clocks of different periods, each drawn once from a normal distribution.

    Args:
        n_nodes: number of nodes.
        rng: generator of the periods and phases.
        period_s: mean seconds between consecutive ticks of a node.
        spread: standard deviation of the periods, in cycles; periods below a tenth of a cycle are drawn again.

    Raises:
        InputError: ``period_s`` is not positive, or ``spread`` is negative.
    """
    period_s = number("normal clock", "period_s", period_s, above=True)
    spread = number("normal clock", "spread", spread)
    relative = rng.normal(1.0, spread, n_nodes)
    while (short := np.flatnonzero(relative < SHORTEST)).size:
        relative[short] = rng.normal(1.0, spread, short.size)
    return _periodic(period_s, period_s * relative, rng)


@guarded
def poisson(n_nodes: int, *, period_s: float = 1.0) -> Clock:
    """Return clocks that tick at random, with exponential times between consecutive ticks of a node.

    Args:
        n_nodes: number of nodes.
        period_s: mean seconds between consecutive ticks of a node.

    Raises:
        InputError: ``period_s`` is not positive.
    """
    period_s = number("poisson clock", "period_s", period_s, above=True)

    def ticks(cycle: int, rng: np.random.Generator) -> Ticks:
        # All clocks together are one process of rate n/Δ whose ticks fall on uniformly random nodes: no loop over nodes.
        count = rng.poisson(n_nodes)
        nodes = rng.integers(n_nodes, size=count, dtype=np.int32)
        return nodes, _within(cycle, period_s, period_s * (cycle + rng.random(count)))

    return Clock(n_nodes, period_s, ticks)


@guarded
def by_speed(
    n_nodes: int,
    rng: np.random.Generator,
    *,
    period_s: float = 1.0,
    sigma: float = 0.5,
    compute_s: np.ndarray | None = None,
) -> Clock:
    """Return clocks that tick whenever a node has finished computing, so that fast nodes act more often.

    Args:
        n_nodes: number of nodes.
        rng: generator of the periods and phases.
        period_s: length of a cycle in seconds, and the mean computing time if computing times are drawn.
        sigma: standard deviation of the logarithm of the computing times, which are lognormal.
        compute_s: (n,) computing time of each node in seconds, in place of drawn ones.

    Raises:
        InputError: ``period_s`` or a computing time is not positive, ``sigma`` is negative, or there is not one
            computing time per node.
    """
    period_s = number("by_speed clock", "period_s", period_s, above=True)
    sigma = number("by_speed clock", "sigma", sigma)
    if compute_s is None:
        # The mean of a lognormal variable is exp(μ + σ²/2).
        return _periodic(period_s, period_s * rng.lognormal(-(sigma**2) / 2, sigma, n_nodes), rng)
    own_s = reals("by_speed clock", "compute_s", compute_s)
    if own_s.shape != (n_nodes,):
        raise InputError(f"by_speed clock: compute_s has shape {own_s.shape}, not ({n_nodes},)")
    wrong = ~((own_s > 0) & np.isfinite(own_s))
    if wrong.any():
        node = int(wrong.argmax())
        raise InputError(f"by_speed clock: node {node} computes for {own_s[node]} s", hint="give seconds above 0")
    return _periodic(period_s, own_s, rng)


def _periodic(cycle_s: float, own_s: np.ndarray, rng: np.random.Generator) -> Clock:
    """Return clocks of periods ``own_s`` (n,), in cycles of ``cycle_s``."""
    n_nodes = own_s.size
    nodes = np.arange(n_nodes, dtype=np.int32)
    phase_s = own_s * rng.random(n_nodes)

    def ticks(cycle: int, _: np.random.Generator) -> Ticks:
        # The same expression ends this cycle and begins the next, so that rounding neither loses nor repeats a tick.
        first, last = (np.ceil((edge * cycle_s - phase_s) / own_s) for edge in (cycle, cycle + 1))
        count = (last - first).astype(np.int64)
        node = np.repeat(nodes, count)
        place = np.arange(node.size) - np.repeat(np.cumsum(count) - count, count)
        time_s = phase_s[node] + (first[node] + place) * own_s[node]
        return node, _within(cycle, cycle_s, time_s)

    return Clock(n_nodes, cycle_s, ticks)


def _within(cycle: int, period_s: float, time_s: np.ndarray) -> np.ndarray:
    """Return the times clipped to their cycle, from which rounding may have moved them by the last digit."""
    start, end = cycle * period_s, (cycle + 1) * period_s
    return np.clip(time_s, start, np.nextafter(end, start), out=time_s)


CLOCKS = Registry("clock", [fixed, synchronous, normal, poisson, by_speed])
"""Clocks by name."""
