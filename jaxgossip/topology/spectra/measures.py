"""The measures of a topology: shape, spectrum, effective number of neighbours, cost of a round."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import GraphError
from jaxgossip.topology.spectra.clustering import average_clustering
from jaxgossip.topology.spectra.distances import Diameter, diameter
from jaxgossip.topology.spectra.effective_neighbours import (
    ALL_EIGENVALUES_NODES,
    GAMMAS,
    EffectiveNeighbours,
    effective_neighbours,
)
from jaxgossip.topology.spectra.spectrum import (
    closed_laplacian,
    complement_extremes,
    eigenvalues,
    gap_between,
    spectral_gap,
)
from jaxgossip.topology.weights import Weights

EPSILON = 1e-3
"""Distance to the mean, relative to the initial one, that the number of rounds refers to."""
GAP_NOISE = 1e-15
"""Spectral gaps up to this are rounding: the network never agrees. A ring of ten million nodes has a gap of 1.3e-13."""
MODULUS_NOISE = 1e-12
"""Accuracy of the eigenvalues of a matrix that is not symmetric."""

Step = Callable[[str], AbstractContextManager[Any]]
"""(name of a computation) -> a context to run it in, for progress reports."""


@dataclass(frozen=True)
class Measures:
    """The measures of a graph with its weights.

    Attributes:
        weights: the weights measured.
        connected: whether information from any node can reach any other.
        components: number of (weakly) connected components.
        diameter: length of the longest shortest path; None if the graph is not connected.
        clustering: mean clustering coefficient; None if it is not cheap or the graph is directed.
        gap: 1 − ‖W − J‖₂; None if it could not be computed.
        lambda_2: λ₂, the second largest eigenvalue; None if W is not symmetric, or it could not be computed.
        lambda_min: λ_n, the smallest eigenvalue, likewise.
        modulus_2: second largest |λ| of a W that is not symmetric; None if not all eigenvalues are computed.
        neighbours: n_W at each decay.
        notes: a sentence on each measure that could not be computed.
    """

    weights: Weights
    connected: bool
    components: int
    diameter: Diameter | None
    clustering: float | None
    gap: float | None
    lambda_2: float | None
    lambda_min: float | None
    modulus_2: float | None
    neighbours: tuple[EffectiveNeighbours, ...]
    notes: tuple[str, ...] = ()

    @property
    def messages(self) -> int:
        """Messages per round if every node sends its model to all who hear it."""
        return self.weights.graph.n_links

    @property
    def rho(self) -> float | None:
        """Contraction of the distance to consensus per round: ‖W − J‖₂ if W preserves the mean and it is below 1, else |λ₂|.

        If W is not doubly stochastic, the consensus is not the mean, and the asymptotic rate is |λ₂|; None if that was not
        computed.
        """
        if not self.weights.is_doubly_stochastic:
            return self.modulus_2
        if self.gap is not None and self.gap > GAP_NOISE:
            return 1 - self.gap
        return self.modulus_2

    @property
    def rounds(self) -> float | None:
        """Rounds until a fraction ε of the distance to consensus is left: ln ε / ln ρ, at least 1, possibly infinite."""
        keeps_mean = self.weights.is_doubly_stochastic
        if keeps_mean and self.gap is not None and self.gap > GAP_NOISE:
            gap = self.gap
        elif self.modulus_2 is not None:
            gap = 1 - self.modulus_2
            gap = 0.0 if gap < MODULUS_NOISE else gap
        elif keeps_mean and self.gap is not None:
            gap = 0.0
        else:
            return None
        if gap == 0:
            return math.inf
        # log1p keeps the digits of a small gap; with ρ = 0, a single round suffices.
        return 1.0 if gap >= 1 else max(1.0, math.log(EPSILON) / math.log1p(-gap))

    def record(self) -> dict[str, Any]:
        """Return the measures as JSON values, with None for those not computed or infinite."""
        graph, rounds = self.weights.graph, self.rounds
        return {
            **graph.describe(),
            "connected": self.connected,
            "diameter": self.diameter and self.diameter.hops,
            "diameter_exact": self.diameter and self.diameter.exact,
            "clustering": self.clustering,
            "weights": self.weights.rule,
            "symmetric": self.weights.is_symmetric,
            "doubly_stochastic": self.weights.is_doubly_stochastic,
            "spectral_gap": self.gap,
            "lambda_2": self.lambda_2,
            "lambda_min": self.lambda_min,
            "lambda_2_modulus": self.modulus_2,
            "effective_neighbours": [
                {"gamma": estimate.gamma, "value": estimate.value, "standard_error": estimate.standard_error}
                for estimate in self.neighbours
            ],
            "rounds_to_1e-3": None if rounds is None or math.isinf(rounds) else rounds,
            "messages_a_round": self.messages,
            "notes": list(self.notes),
        }


@guarded
def measure(
    weights: Weights, *, gammas: Sequence[float] = GAMMAS, step: Step = nullcontext, rng: np.random.Generator | int = 0
) -> Measures:
    """Measure a graph with its weights.

    Args:
        weights: any weights.
        gammas: decays of n_W.
        step: returns a context for each named computation, to report progress.
        rng: generator of the probes if n_W is estimated, or its seed.
    """
    graph, notes = weights.graph, []
    with step("diameter"):
        connected = graph.is_connected
        graph_diameter = diameter(graph)
    with step("clustering"):
        clustering = average_clustering(graph)
    with step("spectral gap"):
        gap, ends = _gap_and_ends(weights, notes, connected=connected)
    if not connected and gap is not None and abs(gap) < MODULUS_NOISE:
        gap = 0.0
    closed = closed_laplacian(weights) is not None
    modulus = None
    if not weights.is_symmetric and (closed or graph.n_nodes <= ALL_EIGENVALUES_NODES) and graph.n_nodes > 1:
        with step("eigenvalues"):
            modulus = float(np.sort(np.abs(eigenvalues(weights)))[-2])
    if modulus is None and not weights.is_doubly_stochastic:
        notes.append("rounds: W keeps no mean, and |λ₂| of so many nodes is not computed")
    with step("effective number of neighbours"):
        neighbours = effective_neighbours(weights, gammas, rng=rng)
    return Measures(
        weights=weights,
        connected=connected,
        components=graph.n_components,
        diameter=graph_diameter,
        clustering=clustering,
        gap=gap,
        lambda_2=ends and 1 - ends[0],
        lambda_min=ends and 1 - ends[1],
        modulus_2=modulus,
        neighbours=neighbours,
        notes=tuple(notes),
    )


def _gap_and_ends(
    weights: Weights, notes: list[str], *, connected: bool
) -> tuple[float | None, tuple[float, float] | None]:
    if weights.graph.n_nodes == 1:
        return 1.0, None
    try:
        ends = complement_extremes(weights)
        gap = spectral_gap(weights) if ends is None else gap_between(*ends)
    except GraphError as error:
        notes.append(f"spectral gap: {error.message}")
        return None, None
    # Rounding must not give a disconnected network a gap.
    return (gap if connected or not weights.is_symmetric else 0.0), ends
