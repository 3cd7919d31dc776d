"""Weights learnt on a graph, compared with those of weight rules."""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from jaxgossip.mixing.optimized.loops import Progress, quiet
from jaxgossip.mixing.optimized.weights import Fastest, Learned, fastest, learned_sequence
from jaxgossip.topology import Graph, Weights, best_constant, metropolis_hastings


@dataclass(frozen=True)
class Row:
    """The contraction of one choice of weights.

    Attributes:
        name: name of the choice.
        rho: worst-case contraction per round: ‖W − J‖₂, or ‖W_T ⋯ W_1 − J‖₂^(1/T) for a sequence.
        left: √(E‖ΠX_T‖²/‖ΠX_0‖²) after T rounds from a random start.
    """

    name: str
    rho: float
    left: float


@dataclass(frozen=True)
class Optimized:
    """The results on a graph.

    Attributes:
        rows: weight rules, the fastest static weights and the learnt sequence.
        fastest: the fastest static weights.
        learned: the learnt sequence.
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
        rounds: period of the learnt sequence.
        steps: number of steps of Adam.
        seed: seed of the initial sequence.
        progress: called with (phase, fraction done).

    Raises:
        GraphError: the graph is directed or disconnected, so that its weights cannot be learnt.
    """
    best = fastest(graph, progress=progress)
    learned = learned_sequence(graph, rounds=rounds, steps=steps, seed=seed, progress=progress)
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
