"""What weight each node's start has in what a network agrees on, and how much wider starts must be drawn to make up for it.

    W^t X₀ → 1 vᵀX₀,   vᵀW = vᵀ,  Σ v_i = 1          (v: the left Perron vector of W)

Where nodes start independently with deviation σ, mixing soon leaves every one of them with vᵀX₀, of deviation σ‖v‖₂ only: a
deep model that starts so small learns slowly. Starts drawn **1/‖v‖₂** times as wide agree on a model of deviation σ.

It is √n where W is doubly stochastic; v_i = (d_i + 1)/Σ(d + 1) where nodes average all that they hear, (A + I)/(d + 1).
Badie-Modiri, Boldrini, Valerio, Kertész and Karsai 2024, "Initialisation and topology effects in decentralised federated
learning", who phrase it with eigenvector centralities; v of the W in use is exact. A node of the network can learn the gain by
gossip: it needs the sums of d + 1 and of (d + 1)², or n.
"""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Float
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import ArpackNoConvergence, eigs

from jaxgossip.core.arguments import guarded, shown
from jaxgossip.core.errors import ArgumentTypeError, GraphError
from jaxgossip.mixing.fragments import parts_of
from jaxgossip.mixing.operator import Mixing, Operator, TimeVarying
from jaxgossip.mixing.operators.structured import AxisMean

STATIONARY = 2e-6
"""Largest deviation of an entry of vᵀW from that of v, relative to the largest, that is rounding of weights in float32."""
DENSE_NODES = 500
"""Number of nodes up to which v is found by solving a dense system of equations."""
ROUNDS = 8
"""Rounds in which mixing that changes must keep the mean, to be taken for mixing that keeps it."""


@guarded
def perron_vector(W: Operator) -> Float[np.ndarray, " n"]:
    """Return v, (n,) float64, the weight of each row in what the network agrees on: vᵀW = vᵀ, Σ v_i = 1.

    Exact for doubly stochastic W and for W = (A + I)/(d + 1); else by solving for it, or by ARPACK on many nodes.

    Args:
        W: weights whose rows sum to one, the same in every round.

    Raises:
        GraphError: W keeps mass in the place of agreement, the network does not agree, or the iteration does not converge.
        ArgumentTypeError: W is no operator.
    """
    if not isinstance(W, Operator):
        raise ArgumentTypeError(
            f"perron_vector: W must be the same in every round, not {shown(W)}",
            hint="jg.mixing.uniform(graph) makes one",
        )
    if W.conserves == "mass":
        raise GraphError(
            "perron_vector: push-sum mixing agrees on the mean, whatever its weights", hint="v is 1/n at every node"
        )
    n = W.n_nodes
    if isinstance(W, AxisMean) and n == W.shape[1]:  # the complete graph, whose matrix may be large
        return np.full(n, 1 / n)
    matrix = W.to_scipy()
    _, group = connected_components(matrix, directed=True, connection="strong")
    receivers, senders = matrix.nonzero()
    listening = np.unique(group[receivers[group[receivers] != group[senders]]])
    leading = np.setdiff1d(np.unique(group), listening)
    if leading.size > 1:
        raise GraphError(
            f"perron_vector: the network falls into {leading.size:,} parts that hear nothing of each other and never agree",
            hint="a connected topology, or a gain of your own: learning.init_gain = 4.0",
        )
    # What is not heard back has no part in the agreement, as of a node that only listens.
    nodes = np.flatnonzero(group == leading[0])
    v = np.zeros(n)
    v[nodes] = _stationary(sp.csr_array(matrix[nodes][:, nodes]))
    return v


@guarded
def centrality_gain(W: Mixing) -> float:
    """Return 1/‖v‖₂: how many times as wide as usual nodes must start for their agreement to have the usual deviation.

    >>> problem = jg.learning.supervised(data, partition, model, init="independent", init_gain=jg.mixing.centrality_gain(W))

    Args:
        W: the mixing of models. One that changes must keep the mean, which is looked up in its first rounds: the gain is √n;
            so it is of push-sum, where nodes divide by their weights.

    Raises:
        GraphError: the network does not agree, W changes and does not keep the mean, or the iteration does not converge.
        ArgumentTypeError: W is no mixing.
    """
    if not isinstance(W, Operator | TimeVarying):
        raise ArgumentTypeError(
            f"centrality_gain: W must be mixing, not {shown(W)}", hint="jg.mixing.uniform(graph) makes some"
        )
    if W.conserves == "mass":
        return float(np.sqrt(W.n_nodes))
    if isinstance(W, Operator):
        return float(1 / np.linalg.norm(perron_vector(W)))
    for number in range(ROUNDS):
        parts = parts_of(W.at(jnp.int32(number), jax.random.key(number)))
        if not all(_is_stationary(np.ones(W.n_nodes), part.to_scipy()) for part in parts):
            raise GraphError(
                "centrality_gain: mixing that changes and does not keep the mean agrees on other weights of nodes in each run",
                hint="mixing.kind = 'static' or 'matching', or a gain of your own: learning.init_gain = 4.0",
            )
    return float(np.sqrt(W.n_nodes))


def _stationary(matrix: sp.csr_array) -> Float[np.ndarray, " n"]:
    """Return v, (n,), of an irreducible W."""
    heard = np.diff(matrix.indptr).astype(np.float64)
    n = heard.size
    for guess in (np.ones(n), heard):
        if _is_stationary(guess, matrix):
            return guess / guess.sum()
    if n <= DENSE_NODES:
        equations = matrix.toarray().T - np.eye(n)
        equations[-1] = 1
        return np.linalg.solve(equations, np.eye(n)[-1])
    try:
        _, vectors = eigs(sp.csr_array(matrix.T), k=1, which="LR", v0=heard)
    except ArpackNoConvergence as error:
        raise GraphError(
            f"perron_vector: the weights of {n:,} nodes in their agreement did not converge: they agree too slowly",
            hint="uniform or doubly stochastic weights need no iteration; or learning.init_gain = 4.0",
        ) from error
    v = np.abs(vectors[:, 0])
    return v / v.sum()


def _is_stationary(v: np.ndarray, matrix: sp.csr_array) -> bool:
    """Return whether vᵀW = vᵀ up to rounding."""
    return bool(np.abs(v @ matrix - v).max() <= STATIONARY * v.max())
