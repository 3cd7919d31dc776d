"""Symmetric weights that are learnt: by the spectrum of W, or by differentiating through rounds of mixing.

One number an edge, of either sign: W(w) = I − Σ_e w_e b_e b_eᵀ, where b_e is 1 at one end of edge e and −1 at the other, so
that W is symmetric and doubly stochastic whatever w is.

* ``fastest``: the w that minimises ρ(w) = ‖W(w) − J‖₂, a convex problem (Xiao and Boyd 2004, "Fast linear iterations for
  distributed averaging"), by gradient descent on its smooth upper bound
  β⁻¹ log Σ_i (e^{βλ_i} + e^{−βλ_i}), λ_i of W − J, with β growing.
* ``learned_schedule``: the w_1, …, w_T whose rounds leave least of the disagreement, E‖ΠX_T‖²/‖ΠX_0‖² over random starts,
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
from jaxgossip.core.arguments import guarded
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
"""Each step takes all eigenvalues, or a product, of dense (n, n) matrices."""
SHARPNESS = tuple(10.0**power for power in np.arange(1, 5.01, 0.25))
"""β of one descent after the other: the bound is above ρ by log(2n)/β at most."""
FLAT = 1e-9
"""Largest slope at which a descent has arrived."""
SHAPES = MappingProxyType({"edges": "(m, 2)", "fastest": "(m,)", "schedule": "(T, m)"})
"""Arrays of a file of weights, m edges and T rounds."""
EXACT = 1e-30
"""A share of the disagreement below this is rounding."""


class Edges:
    """The free weights of a graph: one an edge, both ways.

    Args:
        graph: undirected and connected.

    Attributes:
        ends: (m, 2) int, the nodes of each edge.
        start: (m,) float64, the Metropolis–Hastings weights.

    Raises:
        GraphError: a directed graph, one without edges or in parts, or more than ``MAX_NODES`` nodes.
    """

    def __init__(self, graph: Graph) -> None:
        said = f"weights cannot be learnt on {graph.name} with {graph.n_nodes:,} nodes"
        if graph.directed:
            raise GraphError(f"{said}: it is directed", hint="undirected graphs have symmetric weights")
        if graph.n_links == 0:
            raise GraphError(f"{said}: it has no links", hint="at least two nodes that are linked")
        if graph.n_nodes > MAX_NODES:
            raise GraphError(f"{said}: at most {MAX_NODES:,}", hint="best_constant weights, for any number of nodes")
        if not graph.is_connected:
            raise GraphError(f"{said}: it is not connected", hint="no weights bring its parts together")
        self.graph = graph
        receivers = np.repeat(np.arange(graph.n_nodes), graph.degrees)
        pairs = np.sort(np.stack([receivers, graph.indices], 1), axis=1)
        self.ends, self._of_link = np.unique(pairs, axis=0, return_inverse=True)
        self.start = self.of(metropolis_hastings(graph))
        # A table of the edges' numbers, laid out as the operator's table of sources is.
        template = slots(0.0, graph.indptr, graph.indices, np.ones(graph.n_links), graph.n_links)
        numbers = slots(0.0, graph.indptr, graph.indices, self._of_link.astype(np.float64), graph.n_links)
        self._template = template
        self._there = tuple(np.asarray(one) for one in template.weights)
        self._edge_of_slot = tuple(np.asarray(one).astype(np.int32) for one in numbers.weights)

    def operator(self, w: Float[Array, " m"]) -> Slots:
        """Return W(w) as the emulator's operator; w may be traced."""
        pairs = zip(self._edge_of_slot, self._there, strict=True)
        weights = tuple(jnp.where(there > 0, w[edge], 0) for edge, there in pairs)
        return dataclasses.replace(self._template, self_weight=1 - sum(weights, jnp.zeros(())), weights=weights)

    def matrix(self, w: Float[Array, " m"]) -> Float[Array, "n n"]:
        """Return W(w), dense; w may be traced."""
        first, second = self.ends.T
        n = self.graph.n_nodes
        off = jnp.zeros((n, n), w.dtype).at[first, second].set(w)
        off = off + off.T
        return jnp.eye(n, dtype=w.dtype) + off - jnp.diag(off.sum(1))

    def of(self, weights: Weights) -> Float[np.ndarray, " m"]:
        """Return w of symmetric weights of the graph."""
        w = np.zeros(len(self.ends))
        w[self._of_link] = np.broadcast_to(weights.edge, self.graph.indices.shape)
        return w

    def weights(self, w: np.ndarray, rule: str) -> Weights:
        """Return W(w) as checked weights of the graph."""
        edge = np.asarray(w, np.float64)[self._of_link]
        rows = np.repeat(np.arange(self.graph.n_nodes), self.graph.degrees)
        own = 1 - np.bincount(rows, edge, self.graph.n_nodes)
        return Weights(self.graph, edge, own, rule, doubly_stochastic=True)


class Fastest(NamedTuple):
    """The fastest weights of a graph.

    Attributes:
        weights: what was found.
        rho: ‖W − J‖₂ of them.
        bound: below this no symmetric weights with entries of at most 1 come, by duality.
    """

    weights: Weights
    rho: float
    bound: float


@guarded
def fastest(graph: Graph, *, steps: int = 200, progress: Progress = quiet) -> Fastest:
    """Find the symmetric weights with the least ρ = ‖W − J‖₂, and a proof of how good they are.

    They are never worse than the best constant or the Metropolis–Hastings weights. The proof is :func:`rho_bound` of the
    weights at one sharpness after another.

    Args:
        graph: undirected and connected.
        steps: of L-BFGS for every sharpness.
        progress: called as it goes on.

    Raises:
        GraphError: a graph whose weights cannot be learnt, see :class:`Edges`.
    """
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
        def descend(at: _Descent, until: Array, beta: Array) -> _Descent:
            value_and_gradient = optax.value_and_grad_from_state(lambda w: smooth(w, beta))

            def step(at: _Descent) -> _Descent:
                value, gradient = value_and_gradient(at.w, state=at.state)
                update, state = descent.update(
                    gradient, at.state, at.w, value=value, grad=gradient, value_fn=lambda w: smooth(w, beta)
                )
                slope = jnp.abs(jnp.asarray(gradient)).max()
                return _Descent(jnp.asarray(optax.apply_updates(at.w, update)), state, at.number + 1, slope)

            return jax.lax.while_loop(lambda at: (at.number < until) & (at.slope > FLAT), step, at)

        w, found = jnp.asarray(edges.start), []
        for stage, power in enumerate(SHARPNESS):
            start, beta = _Descent(w, descent.init(w), jnp.int32(0), jnp.asarray(jnp.inf)), jnp.asarray(power)
            for at in in_chunks(functools.partial(descend, beta=beta), start, steps):
                progress("fastest weights", (stage + int(at.number) / (steps + 1)) / len(SHARPNESS))
                w = at.w
            found.append((w, rho_of(w)))
            progress("fastest weights", (stage + 1) / len(SHARPNESS))
        matrices = [np.asarray(edges.matrix(w)) for w, _ in found]
        constant = jnp.full(edges.start.size, float(best_constant(graph).edge))
        found += [(w, rho_of(w)) for w in (constant, jnp.asarray(edges.start))]
        w, rho = min(found, key=lambda one: one[1])
    bound = -np.inf
    for number, matrix in enumerate(reversed(matrices)):  # the sharpest mostly prove most
        progress("proof", number / len(matrices))
        bound = rho_bound(matrix, edges.ends, bound)
    progress("proof", 1.0)
    return Fastest(edges.weights(np.asarray(w), "fastest"), rho, bound)


class Learned(NamedTuple):
    """A schedule that was learnt.

    Attributes:
        sequence: weights of the rounds, to be repeated: the best of all that were seen.
        left: (steps + 1,) E‖ΠX_T‖²/‖ΠX_0‖² at the start and after each step, at least ``EXACT``.
    """

    sequence: list[Weights]
    left: np.ndarray


@guarded
def learned_schedule(
    graph: Graph,
    *,
    rounds: int = 4,
    steps: int = 2000,
    learning_rate: float = 0.02,
    seed: int = 0,
    progress: Progress = quiet,
) -> Learned:
    """Learn weights for each of T rounds together, by differentiating through T rounds of mixing.

    What T rounds leave of the disagreement of a random start is (1/(n−1)) ‖Π W_T ⋯ W_1 Π‖_F²: the rounds are applied to the
    identity, by the emulator's operators. Its logarithm is minimised by Adam with a cosine schedule; the start is
    Metropolis–Hastings with a tenth of noise, without which all rounds would stay alike. The best weights on the way are
    kept, so that they are never worse than Metropolis–Hastings.

    Args:
        graph: undirected and connected.
        rounds: T, the period of the schedule; 1 learns static weights.
        steps: of Adam.
        learning_rate: of its first step.
        seed: of the noise.
        progress: called as it goes on.

    Raises:
        GraphError: a graph whose weights cannot be learnt, see :class:`Edges`, or no round or step.
    """
    if rounds < 1 or steps < 1:
        raise GraphError(
            f"a schedule is learnt over at least one round, in at least one step, not {rounds} and {steps}",
            hint="rounds 8, steps 2000",
        )
    edges, n = Edges(graph), graph.n_nodes
    with jax.enable_x64(True):
        noise = jax.random.normal(jax.random.key(seed), (rounds, edges.start.size))
        ws = edges.start * (1 + 0.1 * noise)
        disagreement = jnp.eye(n) - 1 / n

        @jax.jit
        def left(ws: Array) -> Array:
            def mix(x: Array, w: Array) -> tuple[Array, None]:
                return edges.operator(w)(x), None

            x, _ = jax.lax.scan(mix, disagreement, ws)
            # Weights that agree exactly leave 0, whose logarithm has no gradient.
            return jnp.log(jnp.maximum(jnp.square(x - x.mean(0)).sum() / (n - 1), EXACT))

        adam = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

        @jax.jit
        def descend(at: _Search, until: Array) -> _Search:
            def step(at: _Search) -> _Search:
                value, gradient = jax.value_and_grad(left)(at.ws)
                update, state = adam.update(gradient, at.state)
                return _Search(
                    jnp.asarray(optax.apply_updates(at.ws, update)),
                    state,
                    at.number + 1,
                    at.values.at[at.number].set(value),
                    jnp.where(value < at.least, at.ws, at.best),
                    jnp.minimum(value, at.least),
                )

            return jax.lax.while_loop(lambda at: at.number < until, step, at)

        plain = jnp.broadcast_to(edges.start, ws.shape)
        at = start = _Search(jnp.asarray(ws), adam.init(ws), jnp.int32(0), jnp.zeros(steps), plain, left(plain))
        for at in in_chunks(descend, start, steps):
            progress("schedule", int(at.number) / steps)
        last = left(at.ws)
        best = at.ws if last < at.least else at.best
        return Learned(
            [edges.weights(np.asarray(w), "learned") for w in best], np.exp(np.append(np.asarray(at.values), last))
        )


class _Descent(NamedTuple):
    w: Array  # (m,)
    state: optax.OptState
    number: Array  # () int32, steps taken
    slope: Array  # (), of the last step


class _Search(NamedTuple):
    ws: Array  # (T, m)
    state: optax.OptState
    number: Array  # () int32, steps taken
    values: Array  # (steps,), the logarithm before each step
    best: Array  # (T, m), the best so far
    least: Array  # (), its logarithm


def write_weights(path: Path, best: Fastest, learned: Learned) -> None:
    """Write what was learnt on a graph to ``path``, npz: edges (m, 2), fastest (m,), schedule (T, m).

    The weights of edge e are those of both its directions: W = I − Σ_e w_e b_e b_eᵀ.
    """
    edges = Edges(best.weights.graph)
    path = path if path.suffix == ".npz" else path.with_name(f"{path.name}.npz")
    schedule = np.stack([edges.of(weights) for weights in learned.sequence])
    disk.make_folder(path.parent, parents=True)
    disk.write(path, lambda file: np.savez(file, edges=edges.ends, fastest=edges.of(best.weights), schedule=schedule))


@guarded
def from_file(graph: Graph, *, path: Path, which: Literal["fastest", "schedule"] = "fastest") -> Mixing:
    """Mix with symmetric weights that were learnt before, on the same graph.

    Args:
        graph: the topology.
        path: what 'jaxgossip topology optimize --out' wrote: an npz with edges (m, 2), fastest (m,), schedule (T, m).
        which: the fastest static weights, or the schedule, repeated.

    Raises:
        GraphError: no such file, one that is damaged or holds no weights, or those of another graph, or a graph whose
            weights cannot be learnt.
    """
    known, rewrite = Edges(graph), f"jaxgossip topology optimize {graph.name} --out {path}"
    stored = read_npz(path, GraphError, ("edges", "fastest", "schedule"), hint=rewrite)
    for name, axes in (("edges", 2), ("fastest", 1), ("schedule", 2)):
        if stored[name].ndim != axes or not stored[name].size:
            raise GraphError(f"{path}: '{name}' has shape {stored[name].shape}, not {SHAPES[name]}", hint=rewrite)
    if not np.array_equal(stored["edges"], known.ends):
        raise GraphError(
            f"{path} holds weights of another graph than {graph.name} with {graph.n_nodes:,} nodes: its edges differ",
            hint="the same topology, number of nodes, keys and seed as when they were learnt",
        )
    rows = np.atleast_2d(finite(path, which, stored[which], GraphError, hint=rewrite))
    if rows.shape[1] != len(known.ends):
        raise GraphError(f"{path}: '{which}' has {rows.shape[1]} weights, not {len(known.ends)}", hint=rewrite)
    try:
        made = [known.weights(row, "fastest" if which == "fastest" else "learned") for row in rows]
    except GraphError as error:  # numbers so large that a row of W no longer sums to one
        raise GraphError(f"{path}: {error.message}", hint=rewrite) from error
    return operator(made[0]) if which == "fastest" else periodic(made)
