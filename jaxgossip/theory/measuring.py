"""What several plots measure: all of it by steps of the emulator's own algorithms. Traceable, for jit and vmap."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.algorithms import Algorithm
from jaxgossip.core.pytree import Pytree
from jaxgossip.core.typing import Align, DrawNumbers, NodeFloats, NodeInts, NodeScores, PRNGKey, Rows
from jaxgossip.learning.device import normal_at
from jaxgossip.network import Round
from jaxgossip.topology import Order


class Errors(NamedTuple):
    """Means over late rounds.

    Attributes:
        total: (1/n)Σ‖x_i − x*‖².
        mean: ‖x̄ − x*‖².
        consensus: (1/n)Σ‖x_i − x̄‖².
    """

    total: Any
    mean: Any
    consensus: Any


def round_number(number: Any, algorithm: Algorithm) -> Round:
    """Return the context of round ``number`` of the measurements' one run; more runs are more columns."""
    return Round(jnp.int32(number), jax.random.key(0), algorithm.problem.n_nodes)


def stationary(algorithm: Algorithm, rounds: int, skip: int) -> Errors:
    """Return time averages over ``rounds`` rounds after the first ``skip``, from a start at the optimum.

    Every column of an isotropic quadratic is a run of its own.
    """
    optimum = algorithm.problem.optimum  # pyright: ignore[reportAttributeAccessIssue] # a quadratic

    def body(number: jax.Array, carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
        state, sums = carry
        state, _ = algorithm.step(state, round_number(number, algorithm))
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
    """Geometric mean over the later half of the rounds of what one leaves of the disagreement, by the whole state's norm.

    Every round removes the means over nodes and renormalises: rounding would feed the neutral root of the mean else.
    Where the slowest roots are complex, the norm swings; weights that rise from 0 and fall to 0 (Hann's window) average
    the swing away, which equal weights would cut in the middle.
    """
    first = rounds // 2

    def centred(state: Any) -> dict[str, jax.Array]:
        return {leaf: getattr(state, leaf) - getattr(state, leaf).mean(0) for leaf in leaves}

    def body(number: jax.Array, carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
        state, total = carry
        after, _ = algorithm.step(state, round_number(number, algorithm))
        rows = centred(after)
        size = jnp.sqrt(sum(jnp.square(row).sum() for row in rows.values()))
        weight = 1 - jnp.cos(2 * jnp.pi * (number + 0.5 - first) / (rounds - first))
        late = jnp.where(number >= first, weight * jnp.log(size), 0)
        return after._replace(**{leaf: row / size for leaf, row in rows.items()}), total + late

    state = algorithm.init(jax.random.key(1))
    state = state._replace(**centred(state))
    _, total = jax.lax.fori_loop(0, rounds, body, (state, jnp.zeros(())))
    return jnp.exp(total / (rounds - first))


def moment_growth(algorithm: Algorithm, start: Rows, rounds: int, first: int) -> float:
    """By what a late round of CHOCO gossip multiplies E(Σ‖xᵢ − x̄‖² + Σ‖x̂_i − x̄‖²), in the geometric mean.

    Columns are runs of their own. Left alone they grow at a typical rate, below that of the expectation, which rare ones
    make: so every round draws columns anew, with chances as their squares, and makes all of them equally long.

    Args:
        algorithm: :func:`~jaxgossip.algorithms.choco` on a problem without gradients.
        start: (n, p) models of mean 0, for which lengths do not count.
        rounds: how many rounds.
        first: the round from which on the mean is taken.
    """
    dimension = start.shape[1]

    def body(number: jax.Array, carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
        state, total = carry
        round_ = round_number(number, algorithm)
        state, _ = algorithm.step(state, round_)
        x = state.x - state.x.mean(0)
        size = jnp.square(x).sum(0) + jnp.square(state.public).sum(0)
        levels = (jax.random.uniform(round_.key("columns")) + jnp.arange(dimension)) / dimension
        drawn = jnp.minimum(jnp.searchsorted(jnp.cumsum(size / size.sum()), levels), dimension - 1)
        x, public = ((rows / jnp.sqrt(size))[:, drawn] for rows in (x, state.public))
        return state._replace(x=x, public=public), total + jnp.where(number >= first, jnp.log(size.mean()), 0)

    state = algorithm.init(jax.random.key(0))._replace(x=start / jnp.linalg.norm(start, axis=0))
    _, total = jax.jit(lambda state: jax.lax.fori_loop(0, rounds, body, (state, jnp.zeros(()))))(state)
    return float(jnp.exp(total / (rounds - first)))


def trajectory(algorithm: Algorithm, rounds: int) -> np.ndarray:
    """Return (rounds + 1, n, p): the models before the first and after every round."""

    def body(state: Any, number: jax.Array) -> tuple[Any, jax.Array]:
        after, _ = algorithm.step(state, round_number(number, algorithm))
        return after, algorithm.models(after)

    start = algorithm.init(jax.random.key(0))
    _, x = jax.jit(lambda start: jax.lax.scan(body, start, jnp.arange(rounds, dtype=jnp.int32)))(start)
    return np.concatenate([np.asarray(algorithm.models(start))[None], np.asarray(x)])


def worst_left(x: np.ndarray) -> np.ndarray:
    """Return (rounds + 1,) ‖M_t − J‖₂ from a ``trajectory`` (rounds + 1, n, n) of M_0 = I: the worst start's distance."""
    return np.linalg.norm(np.asarray(x, np.float64) - 1 / x.shape[1], ord=2, axis=(1, 2))


class OneSample(Pytree):
    """Minimise E ½(aᵀx)², a ~ N(0, I): every gradient takes one fresh sample. Nodes start at one point; x* = 0.

    Args:
        n_nodes: number of nodes.
        dimension: d, the length of x.
    """

    def __init__(self, n_nodes: int, dimension: int) -> None:
        self.n_nodes, self.n_params, self.n_shared = n_nodes, dimension, dimension
        self.sample_counts, self.dtype = jnp.ones(n_nodes, jnp.float32), np.dtype(np.float64)
        self.order: Order | None = None
        self.align: Align | None = None

    def init(self, key: PRNGKey) -> Rows:
        """Return (n, d) starts of length 1."""
        del key
        return jnp.full((self.n_nodes, self.n_params), self.n_params**-0.5)

    def gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return a_i a_iᵀ x_i, (n, d)."""
        a = jax.random.normal(key, x.shape, x.dtype)
        return a * (a * x).sum(1, keepdims=True)

    def gradient_at(self, x: Rows, nodes: NodeInts, key: PRNGKey, numbers: DrawNumbers) -> Rows:
        """Return a_j a_jᵀ x_j, (b, d), a_j by (key, numbers[j]): all nodes have the same objective."""
        del nodes
        a = normal_at(key, numbers, self.n_params, x.dtype)
        return a * (a * x).sum(1, keepdims=True)

    def mean_gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return the mean over nodes at one x, (1, d)."""
        return self.gradient(jnp.broadcast_to(x, (self.n_nodes, self.n_params)), key).mean(0, keepdims=True)

    def loss_at(self, x: Rows, nodes: NodeInts) -> NodeFloats:
        """Return E ½(aᵀx_j)² = ½ ‖x_j‖², (b,)."""
        del nodes
        return jnp.square(x).sum(1) / 2

    def evaluate(self, x: Rows) -> NodeScores:
        """Return the squared distance to the optimum of every row."""
        return {"distance_to_optimum": jnp.square(x).sum(1)}

    def evaluate_local(self, x: Rows, nodes: NodeInts) -> NodeScores:
        """Return nothing: there are no samples to keep apart."""
        del x, nodes
        return {}


class Visits(Pytree):
    """A problem without data: a step of 1 adds 1 to the column of the node's class, so that models count where they learnt.

    Args:
        classes: (n,) int, the class of each node.
    """

    def __init__(self, classes: np.ndarray) -> None:
        self._classes = jnp.asarray(classes, jnp.int32)
        self.n_nodes, self.n_params = classes.size, int(classes.max()) + 1
        self.n_shared = self.n_params
        self.sample_counts, self.dtype = jnp.ones(self.n_nodes, jnp.float32), np.dtype(np.float32)
        self.order: Order | None = None
        self.align: Align | None = None

    def init(self, key: PRNGKey) -> Rows:
        """Return no visits, (n, c)."""
        del key
        return jnp.zeros((self.n_nodes, self.n_params))

    def gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return minus one visit of every node, (n, c)."""
        return self.gradient_at(x, jnp.arange(self.n_nodes), key, jnp.arange(self.n_nodes, dtype=jnp.uint32))

    def gradient_at(self, x: Rows, nodes: NodeInts, key: PRNGKey, numbers: DrawNumbers) -> Rows:
        """Return minus one visit of some nodes, (b, c)."""
        del key, numbers
        return -jax.nn.one_hot(self._classes[nodes], self.n_params, dtype=x.dtype)

    def mean_gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return the mean over nodes, (1, c)."""
        return self.gradient(x, key).mean(0, keepdims=True)

    def loss_at(self, x: Rows, nodes: NodeInts) -> NodeFloats:
        """Return minus the visits, (b,)."""
        del nodes
        return -x.sum(1)

    def evaluate(self, x: Rows) -> NodeScores:
        """Return the visits to each class, (s,)."""
        return {f"class_{c}": x[:, c] for c in range(self.n_params)}

    def evaluate_local(self, x: Rows, nodes: NodeInts) -> NodeScores:
        """Return nothing."""
        del x, nodes
        return {}
