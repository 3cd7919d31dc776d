"""Measurements shared by several plots, made with steps of the emulator's own algorithms; traceable by jit and vmap."""

from collections.abc import Callable
from typing import Any, NamedTuple, override

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxgossip.algorithms import Algorithm
from jaxgossip.core.typing import DrawNumbers, NodeFloats, NodeInts, NodeScores, PRNGKey, Rows
from jaxgossip.learning.device import normal_at
from jaxgossip.learning.problem import SyntheticProblem
from jaxgossip.network import Round


class Errors(NamedTuple):
    """Mean squared errors over late rounds.

    Attributes:
        total: (1/n)Σ‖x_i − x*‖².
        mean: ‖x̄ − x*‖².
        consensus: (1/n)Σ‖x_i − x̄‖².
    """

    total: Any
    mean: Any
    consensus: Any


def round_context(number: Any, algorithm: Algorithm) -> Round:
    """Return the context of round ``number``, always of the same run: further runs are further columns."""
    return Round(jnp.int32(number), jax.random.key(0), algorithm.problem.n_nodes)


def stationary(algorithm: Algorithm, rounds: int, skip: int) -> Errors:
    """Return time averages over ``rounds`` rounds after the first ``skip``, starting at the optimum.

    Every column of an isotropic quadratic is an independent run.

    Args:
        algorithm: an algorithm on a problem that has an ``optimum``.
        rounds: number of rounds of the average.
        skip: number of rounds before it.
    """
    optimum = algorithm.problem.optimum  # pyright: ignore[reportAttributeAccessIssue] # a quadratic

    def body(number: jax.Array, carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
        state, sums = carry
        state, _ = algorithm.step(state, round_context(number, algorithm))
        x = algorithm.models(state)
        mean = jnp.square(x.mean(0) - optimum).sum()
        consensus = jnp.square(x - x.mean(0)).sum(1).mean()
        return state, sums + (number >= skip) * jnp.stack([mean, consensus])

    state = algorithm.init(jax.random.key(1))
    state = state._replace(x=jnp.broadcast_to(optimum, state.x.shape))
    _, sums = jax.lax.fori_loop(0, skip + rounds, body, (state, jnp.zeros(2)))
    mean, consensus = sums / rounds
    return Errors(mean + consensus, mean, consensus)


def late_rate(algorithm: Algorithm, leaves: tuple[str, ...], rounds: int) -> jax.Array:
    """Return the factor on the disagreement per round, a geometric mean over the later half, by the norm of the whole state.

    Every round removes the means over nodes and renormalises: otherwise rounding would feed the neutral root of the mean.
    Where the slowest roots are complex, the norm oscillates; Hann's window, weights that rise from 0 and fall to 0, averages
    the oscillation away, which equal weights would truncate.
    """
    first = rounds // 2

    def centred(state: Any) -> dict[str, Any]:
        return {leaf: jax.tree.map(lambda rows: rows - rows.mean(0), getattr(state, leaf)) for leaf in leaves}

    def body(number: jax.Array, carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
        state, total = carry
        after, _ = algorithm.step(state, round_context(number, algorithm))
        rows = centred(after)
        size = jnp.sqrt(sum(jnp.square(row).sum() for row in jax.tree.leaves(rows)))
        weight = 1 - jnp.cos(2 * jnp.pi * (number + 0.5 - first) / (rounds - first))
        late = jnp.where(number >= first, weight * jnp.log(size), 0)
        return after._replace(**jax.tree.map(lambda row: row / size, rows)), total + late

    state = algorithm.init(jax.random.key(1))
    state = state._replace(**centred(state))
    _, total = jax.lax.fori_loop(0, rounds, body, (state, jnp.zeros(())))
    return jnp.exp(total / (rounds - first))


def moment_growth(
    algorithm: Algorithm,
    start: Rows,
    rounds: int,
    first: int,
    centred: tuple[str, ...] = ("x",),
    copies: tuple[str, ...] = ("public",),
) -> float:
    """Return the factor on the expected squared norm of the state per late round of a compressed method, a geometric mean.

    Columns are independent runs. Unchanged, they would grow at a typical rate, below that of the expectation, which rare ones
    dominate: so every round resamples columns in proportion to their squared norms, and normalises all of them.

    Args:
        algorithm: a method with compressed messages, on a linear problem whose optimum is 0.
        start: (n, p) models of mean 0, whose norms do not matter.
        rounds: number of rounds.
        first: first round of the mean.
        centred: fields (n, p) of the state whose columns keep the mean 0, from which rounding would drive them.
        copies: fields (n, p) of the state whose columns have any mean.
    """
    leaves = (*centred, *copies)

    def body(number: jax.Array, carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
        state, total = carry
        round_ = round_context(number, algorithm)
        state, _ = algorithm.step(state, round_)
        rows = {leaf: getattr(state, leaf) for leaf in leaves}
        rows |= {leaf: rows[leaf] - rows[leaf].mean(0) for leaf in centred}
        size = jnp.stack([jnp.square(row).sum(0) for row in rows.values()]).sum(0)
        drawn = resampled(size, round_.key("columns"))
        new = state._replace(**{leaf: (row / jnp.sqrt(size))[:, drawn] for leaf, row in rows.items()})
        return new, total + jnp.where(number >= first, jnp.log(size.mean()), 0)

    state = algorithm.init(jax.random.key(0))._replace(x=start / jnp.linalg.norm(start, axis=0))
    _, total = jax.jit(lambda state: jax.lax.fori_loop(0, rounds, body, (state, jnp.zeros(()))))(state)
    return float(jnp.exp(total / (rounds - first)))


def resampled(size: Float[Array, " m"], key: PRNGKey) -> Int[Array, " m"]:
    """Return (m,): the runs that take the places of m runs, each about as often as its ``size`` is of the mean."""
    m = size.shape[0]
    levels = (jax.random.uniform(key) + jnp.arange(m)) / m
    return jnp.minimum(jnp.searchsorted(jnp.cumsum(size / size.sum()), levels), m - 1)


def trajectory(
    algorithm: Algorithm,
    rounds: int,
    *,
    start: Any = None,
    of: Callable[[Rows], Float[Array, "..."]] = lambda x: x,
) -> np.ndarray:
    """Return (rounds + 1, n, p): the initial models and those after every round.

    Args:
        algorithm: any algorithm.
        rounds: number of rounds.
        start: the initial state; by default that of the algorithm.
        of: what is kept of models (n, p), in their place.
    """

    def body(state: Any, number: jax.Array) -> tuple[Any, jax.Array]:
        after, _ = algorithm.step(state, round_context(number, algorithm))
        return after, of(algorithm.models(after))

    start = algorithm.init(jax.random.key(0)) if start is None else start
    _, x = jax.jit(lambda start: jax.lax.scan(body, start, jnp.arange(rounds, dtype=jnp.int32)))(start)
    return np.concatenate([np.asarray(of(algorithm.models(start)))[None], np.asarray(x)])


def worst_case_distance(x: np.ndarray) -> np.ndarray:
    """Return (rounds + 1,) ‖M_t − J‖₂, the worst start's distance, from the ``trajectory`` (rounds + 1, n, n) of M_0 = I."""
    return np.linalg.norm(np.asarray(x, np.float64) - 1 / x.shape[1], ord=2, axis=(1, 2))


class OneSample(SyntheticProblem):
    """Problem of minimising E ½(aᵀx)², a ~ N(0, I): every gradient uses one fresh sample; x* = 0.

    All nodes start at one point.

    Args:
        n_nodes: number of nodes.
        dimension: d, the length of x.
    """

    def __init__(self, n_nodes: int, dimension: int) -> None:
        self.n_nodes, self.n_params, self.n_shared = n_nodes, dimension, dimension
        self.sample_counts, self.dtype = jnp.ones(n_nodes, jnp.float32), np.dtype(np.float64)

    def init(self, key: PRNGKey) -> Rows:
        """Return (n, d) starts of norm 1."""
        del key
        return jnp.full((self.n_nodes, self.n_params), self.n_params**-0.5)

    @override
    def gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return a_i a_iᵀ x_i, (n, d)."""
        a = jax.random.normal(key, x.shape, x.dtype)
        return a * (a * x).sum(1, keepdims=True)

    def gradient_at(self, x: Rows, nodes: NodeInts, key: PRNGKey, numbers: DrawNumbers) -> Rows:
        """Return a_j a_jᵀ x_j, (b, d), with a_j drawn by (key, numbers[j]); all nodes have the same objective."""
        del nodes
        a = normal_at(key, numbers, self.n_params, x.dtype)
        return a * (a * x).sum(1, keepdims=True)

    def loss_at(self, x: Rows, nodes: NodeInts) -> NodeFloats:
        """Return E ½(aᵀx_j)² = ½ ‖x_j‖², (b,)."""
        del nodes
        return jnp.square(x).sum(1) / 2

    def evaluate(self, x: Rows) -> NodeScores:
        """Return distance_to_optimum of every row, (s,)."""
        return {"distance_to_optimum": jnp.square(x).sum(1)}


class VisitCounts(SyntheticProblem):
    """A problem without data: each step of size 1 adds 1 to the column of the node's class, so models count their updates.

    Args:
        classes: (n,) int, the class of each node.
    """

    def __init__(self, classes: np.ndarray) -> None:
        self._classes = jnp.asarray(classes, jnp.int32)
        self.n_nodes, self.n_params = classes.size, int(classes.max()) + 1
        self.n_shared = self.n_params
        self.sample_counts, self.dtype = jnp.ones(self.n_nodes, jnp.float32), np.dtype(np.float32)

    def init(self, key: PRNGKey) -> Rows:
        """Return zeros (n, c)."""
        del key
        return jnp.zeros((self.n_nodes, self.n_params))

    @override
    def gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return (n, c), −1 in the column of each node's class."""
        return self.gradient_at(x, jnp.arange(self.n_nodes), key, jnp.arange(self.n_nodes, dtype=jnp.uint32))

    def gradient_at(self, x: Rows, nodes: NodeInts, key: PRNGKey, numbers: DrawNumbers) -> Rows:
        """Return (b, c), −1 in the column of each node's class."""
        del key, numbers
        return -jax.nn.one_hot(self._classes[nodes], self.n_params, dtype=x.dtype)

    def loss_at(self, x: Rows, nodes: NodeInts) -> NodeFloats:
        """Return (b,), minus the total count."""
        del nodes
        return -x.sum(1)

    def evaluate(self, x: Rows) -> NodeScores:
        """Return the count of each class, (s,)."""
        return {f"class_{c}": x[:, c] for c in range(self.n_params)}
