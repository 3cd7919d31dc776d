"""Symmetric weights learnt from the spectrum of W, or by differentiating through rounds of mixing.

There is one weight per edge, of either sign: W(w) = I − Σ_e w_e b_e b_eᵀ, where b_e is 1 at one end of edge e and −1 at the
other, so W is symmetric and doubly stochastic for any w.

* ``fastest``: the w that minimises ρ(w) = ‖W(w) − J‖₂, a convex problem (Xiao and Boyd 2004, "Fast linear iterations for
  distributed averaging"), by gradient descent on the smooth upper bound β⁻¹ log Σ_i (e^{βλ_i} + e^{−βλ_i}), λ_i the
  eigenvalues of W − J, with increasing β.
* ``learned_sequence``: the w_1, …, w_T whose rounds leave the least disagreement E‖ΠX_T‖²/‖ΠX_0‖² of random initial rows,
  by differentiating through the operators that the emulator mixes with.
"""

import dataclasses
import functools
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from jaxgossip.core import disk
from jaxgossip.core.arguments import guarded, number, whole
from jaxgossip.core.errors import GraphError
from jaxgossip.core.npz import finite, read_npz
from jaxgossip.mixing.build import operator
from jaxgossip.mixing.operator import Mixing
from jaxgossip.mixing.operators.tables import Slots, slots
from jaxgossip.mixing.optimized.duality import rho_bound
from jaxgossip.mixing.optimized.loops import Progress, in_chunks, quiet
from jaxgossip.mixing.time_varying.periodic import periodic
from jaxgossip.topology.graph import Graph
from jaxgossip.topology.weights import Weights, best_constant, metropolis_hastings

MAX_NODES = 1024
"""Most nodes: each step computes all eigenvalues, or a product, of dense (n, n) matrices."""
SHARPNESS = tuple(10.0**power for power in np.arange(1, 5.01, 0.25))
"""β of the successive descents: the bound exceeds ρ by at most log(2n)/β."""
FLAT = 1e-9
"""Largest slope at which a descent has converged."""
SHAPES = MappingProxyType({"edges": "(m, 2)", "fastest": "(m,)", "schedule": "(T, m)"})
"""Shapes of the arrays in a file of weights, for m edges and T rounds."""
EXACT = 1e-30
"""Remaining share of the disagreement below which there is only rounding error."""


class Edges:
    """The free weights of a graph: one per edge, the same in both directions.

    Args:
        graph: undirected and connected.

    Attributes:
        ends: (m, 2) int, the nodes of each edge.
        start: (m,) float64, the Metropolis–Hastings weights.

    Raises:
        GraphError: the graph is directed, has no edges, is not connected, or has more than ``MAX_NODES`` nodes.
    """

    def __init__(self, graph: Graph) -> None:
        refusal = f"weights cannot be learnt on {graph.name} with {graph.n_nodes:,} nodes"
        if graph.directed:
            raise GraphError(f"{refusal}: it is directed", hint="undirected graphs have symmetric weights")
        if graph.n_links == 0:
            raise GraphError(f"{refusal}: it has no links", hint="at least two nodes that are linked")
        if graph.n_nodes > MAX_NODES:
            raise GraphError(f"{refusal}: at most {MAX_NODES:,}", hint="best_constant weights, for any number of nodes")
        if not graph.is_connected:
            raise GraphError(f"{refusal}: it is not connected", hint="no weights bring its parts together")
        self.graph = graph
        receivers = np.repeat(np.arange(graph.n_nodes), graph.degrees)
        pairs = np.sort(np.stack([receivers, graph.indices], 1), axis=1)
        self.ends, self._of_link = np.unique(pairs, axis=0, return_inverse=True)
        self.start = self.of(metropolis_hastings(graph))
        # Edge numbers, laid out like the slots of the operator.
        template = slots(0.0, graph.indptr, graph.indices, np.ones(graph.n_links), graph.n_links)
        numbers = slots(0.0, graph.indptr, graph.indices, self._of_link.astype(np.float64), graph.n_links)
        self._template = template
        self._used = tuple(np.asarray(slot) for slot in template.weights)
        self._edge_of_slot = tuple(np.asarray(slot).astype(np.int32) for slot in numbers.weights)

    def operator(self, w: Float[Array, " m"]) -> Slots:
        """Return W(w) as an operator; w may be traced."""
        pairs = zip(self._edge_of_slot, self._used, strict=True)
        weights = tuple(jnp.where(used > 0, w[edge], 0) for edge, used in pairs)
        return dataclasses.replace(self._template, self_weight=1 - sum(weights, jnp.zeros(())), weights=weights)

    def matrix(self, w: Float[Array, " m"]) -> Float[Array, "n n"]:
        """Return W(w) as a dense (n, n) array; w may be traced."""
        first, second = self.ends.T
        n = self.graph.n_nodes
        off = jnp.zeros((n, n), w.dtype).at[first, second].set(w)
        off = off + off.T
        return jnp.eye(n, dtype=w.dtype) + off - jnp.diag(off.sum(1))

    def of(self, weights: Weights) -> Float[np.ndarray, " m"]:
        """Return the w, (m,) float64, of symmetric weights on the graph."""
        w = np.zeros(len(self.ends))
        w[self._of_link] = np.broadcast_to(weights.edge, self.graph.indices.shape)
        return w

    def weights(self, w: np.ndarray, rule: str) -> Weights:
        """Return W(w) as checked weights on the graph."""
        edge = np.asarray(w, np.float64)[self._of_link]
        rows = np.repeat(np.arange(self.graph.n_nodes), self.graph.degrees)
        own = 1 - np.bincount(rows, edge, self.graph.n_nodes)
        return Weights(self.graph, edge, own, rule, doubly_stochastic=True)


class Fastest(NamedTuple):
    """The fastest weights of a graph.

    Attributes:
        weights: the weights.
        rho: their ρ = ‖W − J‖₂.
        bound: lower bound, by duality, on the ρ of all symmetric weights with entries of at most 1.
    """

    weights: Weights
    rho: float
    bound: float


@guarded
def fastest(graph: Graph, *, steps: int = 200, progress: Progress = quiet) -> Fastest:
    """Return the symmetric weights of least ρ = ‖W − J‖₂, with a lower bound on what is possible.

    They are never worse than the best constant and the Metropolis–Hastings weights. The bound is the best
    :func:`rho_bound` of the weights at each sharpness.

    Args:
        graph: undirected and connected.
        steps: maximum number of L-BFGS steps per sharpness.
        progress: called with (phase, fraction done).

    Raises:
        GraphError: weights cannot be learnt on this graph, see :class:`Edges`.
        InputError: ``steps`` is negative.
    """
    whole("fastest", "steps", steps, 0)
    edges, n = Edges(graph), graph.n_nodes
    with jax.enable_x64(True):
        mean = jnp.full((n, n), 1 / n)
        descent = optax.lbfgs()

        def smooth(w: Array, beta: Array) -> Array:
            values = jnp.linalg.eigvalsh(edges.matrix(w) - mean)
            return jnp.asarray(jax.nn.logsumexp(beta * jnp.concatenate([values, -values]))) / beta

        def rho_of(w: Array) -> float:
            return float(np.abs(np.linalg.eigvalsh(np.asarray(edges.matrix(w) - mean))).max())

        @jax.jit
        def descend(carry: _Descent, until: Array, beta: Array) -> _Descent:
            value_and_gradient = optax.value_and_grad_from_state(lambda w: smooth(w, beta))

            def step(carry: _Descent) -> _Descent:
                w, state = carry.w, carry.state
                value, gradient = value_and_gradient(w, state=state)
                update, state = descent.update(
                    gradient, state, w, value=value, grad=gradient, value_fn=lambda w: smooth(w, beta)
                )
                slope = jnp.abs(jnp.asarray(gradient)).max()
                return _Descent(jnp.asarray(optax.apply_updates(w, update)), state, carry.number + 1, slope)

            return jax.lax.while_loop(lambda carry: (carry.number < until) & (carry.slope > FLAT), step, carry)

        w, candidates = jnp.asarray(edges.start), []
        for stage, power in enumerate(SHARPNESS):
            start, beta = _Descent(w, descent.init(w), jnp.int32(0), jnp.asarray(jnp.inf)), jnp.asarray(power)
            for carry in in_chunks(functools.partial(descend, beta=beta), start, steps):
                progress("fastest weights", (stage + int(carry.number) / (steps + 1)) / len(SHARPNESS))
                w = carry.w
            candidates.append((w, rho_of(w)))
            progress("fastest weights", (stage + 1) / len(SHARPNESS))
        matrices = [np.asarray(edges.matrix(w)) for w, _ in candidates]
        constant = jnp.full(edges.start.size, float(best_constant(graph).edge))
        candidates += [(w, rho_of(w)) for w in (constant, jnp.asarray(edges.start))]
        w, rho = min(candidates, key=lambda candidate: candidate[1])
    bound = -np.inf
    for place, matrix in enumerate(reversed(matrices)):  # the sharpest usually give the best bound
        progress("proof", place / len(matrices))
        bound = rho_bound(matrix, edges.ends, bound)
    progress("proof", 1.0)
    return Fastest(edges.weights(np.asarray(w), "fastest"), rho, bound)


class Learned(NamedTuple):
    """A learnt sequence of weights.

    Attributes:
        sequence: weights of the T rounds of a period, the best of all steps.
        left: (steps + 1,) float64 E‖ΠX_T‖²/‖ΠX_0‖² at the start and after each step, at least ``EXACT``.
    """

    sequence: list[Weights]
    left: np.ndarray


@guarded
def learned_sequence(
    graph: Graph,
    *,
    rounds: int = 4,
    steps: int = 2000,
    learning_rate: float = 0.02,
    seed: int = 0,
    progress: Progress = quiet,
) -> Learned:
    """Learn the weights of T rounds jointly, by differentiating through T rounds of mixing.

    The share of the disagreement of random rows that T rounds leave is (1/(n−1)) ‖Π W_T ⋯ W_1 Π‖_F², computed by applying
    the emulator's operators to the identity. Adam with a cosine-decayed learning rate minimises its logarithm from the
    Metropolis–Hastings weights with 10 % noise, without which all rounds would stay equal. The best weights of all steps
    are kept, so they are never worse than Metropolis–Hastings.

    Args:
        graph: undirected and connected.
        rounds: T, the period; 1 learns static weights.
        steps: number of Adam steps.
        learning_rate: initial learning rate.
        seed: seed of the noise.
        progress: called with (phase, fraction done).

    Raises:
        GraphError: weights cannot be learnt on this graph, see :class:`Edges`, or ``rounds`` or ``steps`` is below one.
        InputError: ``learning_rate`` is negative.
    """
    if rounds < 1 or steps < 1:
        raise GraphError(
            f"a schedule is learnt over at least one round, in at least one step, not {rounds} and {steps}",
            hint="rounds 8, steps 2000",
        )
    number("learned_sequence", "learning_rate", learning_rate)
    edges, n = Edges(graph), graph.n_nodes
    with jax.enable_x64(True):
        noise = jax.random.normal(jax.random.key(seed), (rounds, edges.start.size))
        ws = edges.start * (1 + 0.1 * noise)
        disagreement = jnp.eye(n) - 1 / n

        @jax.jit
        def log_remaining(ws: Array) -> Array:
            def mix(x: Array, w: Array) -> tuple[Array, None]:
                return edges.operator(w)(x), None

            x, _ = jax.lax.scan(mix, disagreement, ws)
            # Weights that reach the exact mean leave 0, whose logarithm has no gradient.
            return jnp.log(jnp.maximum(jnp.square(x - x.mean(0)).sum() / (n - 1), EXACT))

        adam = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

        @jax.jit
        def descend(carry: _Search, until: Array) -> _Search:
            def step(carry: _Search) -> _Search:
                value, gradient = jax.value_and_grad(log_remaining)(carry.ws)
                update, state = adam.update(gradient, carry.state)
                return _Search(
                    jnp.asarray(optax.apply_updates(carry.ws, update)),
                    state,
                    carry.number + 1,
                    carry.values.at[carry.number].set(value),
                    jnp.where(value < carry.least, carry.ws, carry.best),
                    jnp.minimum(value, carry.least),
                )

            return jax.lax.while_loop(lambda carry: carry.number < until, step, carry)

        plain = jnp.broadcast_to(edges.start, ws.shape)
        carry = start = _Search(
            jnp.asarray(ws), adam.init(ws), jnp.int32(0), jnp.zeros(steps), plain, log_remaining(plain)
        )
        for carry in in_chunks(descend, start, steps):
            progress("schedule", int(carry.number) / steps)
        last = log_remaining(carry.ws)
        best = carry.ws if last < carry.least else carry.best
        return Learned(
            [edges.weights(np.asarray(w), "learned") for w in best], np.exp(np.append(np.asarray(carry.values), last))
        )


class _Descent(NamedTuple):
    w: Array  # (m,)
    state: optax.OptState
    number: Array  # () int32, steps taken
    slope: Array  # (), at the last step


class _Search(NamedTuple):
    ws: Array  # (T, m)
    state: optax.OptState
    number: Array  # () int32, steps taken
    values: Array  # (steps,), log_remaining before each step
    best: Array  # (T, m), the best ws so far
    least: Array  # (), log_remaining of the best


def write_weights(path: Path, best: Fastest, learned: Learned) -> None:
    """Write learnt weights to ``path``, as an npz file of edges (m, 2), fastest (m,) and schedule (T, m).

    The weight of an edge holds in both directions: W = I − Σ_e w_e b_e b_eᵀ.
    """
    edges = Edges(best.weights.graph)
    path = path if path.suffix == ".npz" else path.with_name(f"{path.name}.npz")
    sequence = np.stack([edges.of(weights) for weights in learned.sequence])
    disk.make_folder(path.parent, parents=True)
    disk.write(path, lambda file: np.savez(file, edges=edges.ends, fastest=edges.of(best.weights), schedule=sequence))


@guarded
def from_file(graph: Graph, *, path: Path, which: Literal["fastest", "schedule"] = "fastest") -> Mixing:
    """Mix with symmetric weights learnt on the same graph, read from a file.

    Args:
        graph: the topology.
        path: npz file written by 'jaxgossip topology optimize --out', with edges (m, 2), fastest (m,), schedule (T, m).
        which: "fastest", the fastest static weights, or "schedule", a repeated sequence of weights.

    Raises:
        GraphError: the file is missing, damaged or without weights, its weights are those of another graph, or weights
            cannot be learnt on this graph.
    """
    edges, rewrite = Edges(graph), f"jaxgossip topology optimize {graph.name} --out {path}"
    stored = read_npz(path, GraphError, ("edges", "fastest", "schedule"), hint=rewrite)
    for name, axes in (("edges", 2), ("fastest", 1), ("schedule", 2)):
        if stored[name].ndim != axes or not stored[name].size:
            raise GraphError(f"{path}: '{name}' has shape {stored[name].shape}, not {SHAPES[name]}", hint=rewrite)
    if not np.array_equal(stored["edges"], edges.ends):
        raise GraphError(
            f"{path} holds weights of another graph than {graph.name} with {graph.n_nodes:,} nodes: its edges differ",
            hint="the same topology, number of nodes, keys and seed as when they were learnt",
        )
    rows = np.atleast_2d(finite(path, which, stored[which], GraphError, hint=rewrite))
    if rows.shape[1] != len(edges.ends):
        raise GraphError(f"{path}: '{which}' has {rows.shape[1]} weights, not {len(edges.ends)}", hint=rewrite)
    try:
        weights = [edges.weights(row, "fastest" if which == "fastest" else "learned") for row in rows]
    except GraphError as error:  # values so large that a row of W no longer sums to one
        raise GraphError(f"{path}: {error.message}", hint=rewrite) from error
    return operator(weights[0]) if which == "fastest" else periodic(weights)
