"""Weights that are learnt on one graph, beside those of the rules."""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from jaxgossip.mixing.optimized.loops import Progress, quiet
from jaxgossip.mixing.optimized.weights import Fastest, Learned, fastest, learned_schedule
from jaxgossip.topology import Graph, Weights, best_constant, metropolis_hastings


@dataclass(frozen=True)
class Row:
    """One way to choose weights.

    Attributes:
        name: of it.
        rho: by what a round contracts in the worst case: ‖W − J‖₂; of a schedule ‖W_T ⋯ W_1 − J‖₂^(1/T).
        left: √(E‖ΠX_T‖²/‖ΠX_0‖²) after T rounds from a random start.
    """

    name: str
    rho: float
    left: float


@dataclass(frozen=True)
class Optimized:
    """What was found on one graph.

    Attributes:
        rows: rules, the fastest static weights and the learnt schedule.
        fastest: the static weights.
        learned: the schedule.
    """

    rows: tuple[Row, ...]
    fastest: Fastest
    learned: Learned

    def record(self) -> dict[str, Any]:
        """Return the numbers as JSON values."""
        return {
            "rounds": len(self.learned.sequence),
            "rho_bound": self.fastest.bound,
            "weights": [{"name": row.name, "rho": row.rho, "left": row.left} for row in self.rows],
        }


def optimized(graph: Graph, *, rounds: int, steps: int, seed: int, progress: Progress = quiet) -> Optimized:
    """Learn weights, and compare them over ``rounds`` rounds.

    Args:
        graph: undirected and connected.
        rounds: period of the schedule.
        steps: of Adam.
        seed: of the schedule's start.
        progress: called with the share of the work that is done.

    Raises:
        GraphError: a graph whose weights cannot be learnt.
    """
    best = fastest(graph, progress=progress)
    learned = learned_schedule(graph, rounds=rounds, steps=steps, seed=seed, progress=progress)
    static = {
        "Metropolis-Hastings": metropolis_hastings(graph),
        "best constant": best_constant(graph),
        "fastest static": best.weights,
    }
    rows = [_row(name, [weights] * rounds) for name, weights in static.items()]
    rows.append(_row(f"learned, {rounds} rounds", learned.sequence))
    return Optimized(tuple(rows), best, learned)


def _row(name: str, sequence: list[Weights]) -> Row:
    n = sequence[0].graph.n_nodes
    product = reduce(lambda x, weights: weights.to_scipy() @ x, sequence, np.eye(n)) - 1 / n
    norm = float(np.linalg.norm(product, 2))
    return Row(name, norm ** (1 / len(sequence)), float(np.linalg.norm(product) / np.sqrt(max(1, n - 1))))
