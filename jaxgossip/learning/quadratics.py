"""Problems with a known optimum, on which predictions of theory can be checked exactly.

isotropic       f_i(x) = (a/2) ‖x − b_i‖²,           gradient a (x − b_i) + s ξ,  ξ ~ N(0, I)
averaging       f_i(x) = ½ ‖x − b_i‖², with node i starting at b_i: x* is the mean of the starts
least squares   f_i(x) = ‖A_i x − y_i‖² / (2 m),     gradient over a minibatch of the node's m rows

metrics: test_loss = f(x) − f(x*), f = (1/n) Σ f_i;    distance_to_optimum = ‖x − x*‖²
"""

from dataclasses import dataclass
from typing import Any, Literal, override

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jaxgossip.core.arguments import guarded
from jaxgossip.core.devices.blocks import count_rows
from jaxgossip.core.errors import DataError
from jaxgossip.core.random import NodeDraws
from jaxgossip.core.rows import gather
from jaxgossip.core.typing import DrawNumbers, NodeFloats, NodeInts, NodeScores, PRNGKey, Row, Rows, accumulator
from jaxgossip.core.units import counted, rows_text
from jaxgossip.learning.device import check_order, float_type, integers_at, integers_below, normal_at
from jaxgossip.learning.problem import SyntheticProblem
from jaxgossip.topology import Order
from jaxgossip.topology.memory_check import check_bytes

BYTES_PER_NUMBER = 24
"""Bytes per number while a random problem is built: one in double precision, a copy, and one on the device."""


class IsotropicQuadratic(SyntheticProblem):
    """See :func:`isotropic_quadratic`.

    Attributes:
        targets: (n, d) b_i.
        optimum: (d,) x*, the mean of b_i.
    """

    per_node = ("targets", "sample_counts")

    def __init__(
        self, targets: np.ndarray, curvature: float, noise: float, draws: "_Draws", *, at_targets: bool = False
    ) -> None:
        self.curvature, self.noise, self.dtype, self.order = curvature, noise, draws.dtype, draws.order
        self._draws, self._at_targets = draws, at_targets
        if not at_targets:
            self.init_gain = 1.0
        self.n_nodes, self.n_params = targets.shape
        self.n_shared = self.n_params
        self.targets = jnp.asarray(draws.by_row(targets), draws.kind)
        self.sample_counts = jnp.ones(self.n_nodes, jnp.float32)
        self.optimum = self.targets.mean(0)

    def __repr__(self) -> str:
        size = rows_text(self.n_nodes, self.n_params)
        return f"IsotropicQuadratic({size}, curvature {self.curvature:g}, noise {self.noise:g})"

    def init(self, key: PRNGKey) -> Rows:
        """Return (n, d) starts: standard normal, one for all or one per node, or each node's target."""
        if self._at_targets:
            return self.targets.astype(self.dtype)
        return self._draws.start(key, self.n_nodes, self.n_params, self.init_gain)

    @override
    def gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return a (x_i − b_i) + s ξ_i, (n, d)."""
        gradient = self.curvature * (x - self.targets)
        if self.noise:
            gradient = gradient + self.noise * self._draws.normal(key, self.n_nodes, x.shape[1])
        return gradient.astype(x.dtype)

    def full_gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return a (x_i − b_i), (n, d), without noise."""
        del key
        return (self.curvature * (x - self.targets)).astype(x.dtype)

    def draw_samples(self, key: PRNGKey) -> tuple[Int[Array, "n m"], None]:
        """Return (n, 1) zeros: a node's objective counts as its only sample."""
        del key
        return jnp.zeros((count_rows(self.n_nodes), 1), jnp.int32), None

    def sample_gradient(self, x: Rows, number: NodeInts, key: PRNGKey) -> Rows:
        """Return a (x_i − b_i), (n, d), without noise."""
        del number
        return self.full_gradient(x, key)

    def gradient_at(self, x: Rows, nodes: NodeInts, key: PRNGKey, numbers: DrawNumbers) -> Rows:
        """Return a (x_j − b_i) + s ξ_j, (b, d), i = nodes[j], with ξ_j drawn by (key, numbers[j])."""
        gradient = self.curvature * (x - gather(self.targets, nodes))
        if self.noise:
            gradient = gradient + self.noise * normal_at(key, numbers, self.n_params, self._draws.kind)
        return gradient.astype(x.dtype)

    def loss_at(self, x: Rows, nodes: NodeInts) -> NodeFloats:
        """Return f_i(x_j) = (a/2) ‖x_j − b_i‖², (b,), i = nodes[j]."""
        return self.curvature / 2 * jnp.square(x - gather(self.targets, nodes)).sum(1)

    def batch_loss(self, x: Rows, key: PRNGKey) -> NodeFloats:
        """Return f_i(x_i), (n,)."""
        del key
        return self.curvature / 2 * jnp.square(x - self.targets).sum(1)

    def evaluate(self, x: Rows) -> NodeScores:
        """Return (s,) each: test_loss = f(x) − f(x*) and distance_to_optimum = ‖x − x*‖² of every row."""
        distance = jnp.square(x - self.optimum).sum(1)
        return {"test_loss": self.curvature / 2 * distance, "distance_to_optimum": distance}


class LeastSquares(SyntheticProblem):
    """See :func:`least_squares`.

    Attributes:
        a: (n, m, d) A_i.
        y: (n, m) y_i.
        optimum: (d,) x*, the least-squares solution over all nodes.
        hessian: (d, d) Σ_i A_iᵀA_i/(nm).
    """

    per_node = ("a", "y", "sample_counts")
    init_gain = 1.0

    def __init__(self, a: np.ndarray, y: np.ndarray, batch_size: int, draws: "_Draws") -> None:
        self.batch_size, self.dtype, self.order, self._draws = batch_size, draws.dtype, draws.order, draws
        self.n_nodes, m, self.n_params = a.shape
        self.n_shared = self.n_params
        self.a, self.y = (jnp.asarray(draws.by_row(table), draws.kind) for table in (a, y))
        self.sample_counts = jnp.full(self.n_nodes, m, jnp.float32)
        flat = a.reshape(-1, self.n_params)
        optimum = np.linalg.lstsq(flat, y.ravel(), rcond=None)[0]
        self.optimum = jnp.asarray(optimum, draws.kind)
        self.hessian = jnp.asarray(flat.T @ flat / flat.shape[0], draws.kind)

    def __repr__(self) -> str:
        samples = f"{counted(self.a.shape[1], 'sample')} a node, {self.batch_size or 'all'} of them in a gradient"
        return f"LeastSquares({rows_text(self.n_nodes, self.n_params)}, {samples})"

    def init(self, key: PRNGKey) -> Rows:
        """Return (n, d) standard normal starts, one for all or one per node."""
        return self._draws.start(key, self.n_nodes, self.n_params, self.init_gain)

    @override
    def gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return A_Bᵀ (A_B x − y_B) / |B|, (n, d), for each node's minibatch B."""
        return self._gradient_on(x, self.draw_samples(key)[0]) if self.batch_size else _gradient(self.a, self.y, x)

    def full_gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return A_iᵀ (A_i x − y_i) / m, (n, d)."""
        del key
        return _gradient(self.a, self.y, x)

    def draw_samples(self, key: PRNGKey) -> tuple[Int[Array, "n m"], None]:
        """Return the minibatch B of every node, (n, b) rows of A_i."""
        if self.batch_size:
            return integers_below(key, self.a.shape[1], self._draws.of(self.n_nodes), self.batch_size), None
        every = jnp.arange(self.a.shape[1], dtype=jnp.int32)
        return jnp.broadcast_to(every, (count_rows(self.n_nodes), self.a.shape[1])), None

    def sample_gradient(self, x: Rows, number: NodeInts, key: PRNGKey) -> Rows:
        """Return a_j (a_jᵀ x − y_j), (n, d), of row j = number[i] of A_i."""
        del key
        return self._gradient_on(x, number[:, None])

    def _gradient_on(self, x: Rows, rank: Int[Array, "n b"]) -> Rows:
        a = jnp.take_along_axis(self.a, rank[:, :, None], axis=1)
        return _gradient(a, jnp.take_along_axis(self.y, rank, axis=1), x)

    def gradient_at(self, x: Rows, nodes: NodeInts, key: PRNGKey, numbers: DrawNumbers) -> Rows:
        """Return A_Bᵀ (A_B x_j − y_B) / |B|, (b, d), for a minibatch B of node nodes[j], drawn by (key, numbers[j])."""
        if not self.batch_size:
            return _gradient(gather(self.a, nodes), gather(self.y, nodes), x)
        rank = integers_at(key, self.a.shape[1], numbers, self.batch_size)
        a, y = (gather(table, (nodes[:, None], rank)) for table in (self.a, self.y))
        return _gradient(a, y, x)

    def loss_at(self, x: Rows, nodes: NodeInts) -> NodeFloats:
        """Return f_i(x_j) = ‖A_i x_j − y_i‖² / (2 m), (b,), i = nodes[j]."""
        a, y = gather(self.a, nodes), gather(self.y, nodes)
        return jnp.square(_residual(a, y, x)).mean(1) / 2

    def batch_loss(self, x: Rows, key: PRNGKey) -> NodeFloats:
        """Return ‖A_B x_i − y_B‖² / (2 |B|), (n,), for each node's minibatch B."""
        rank = self.draw_samples(key)[0]
        a = jnp.take_along_axis(self.a, rank[:, :, None], axis=1)
        return jnp.square(_residual(a, jnp.take_along_axis(self.y, rank, axis=1), x)).mean(1) / 2

    def evaluate(self, x: Rows) -> NodeScores:
        """Return (s,) each: test_loss = f(x) − f(x*) and distance_to_optimum = ‖x − x*‖² of every row."""
        error = x - self.optimum
        loss = jnp.einsum("sd,de,se->s", error, self.hessian, error) / 2
        return {"test_loss": loss, "distance_to_optimum": jnp.square(error).sum(1)}


def _residual(a: Float[Array, "n b d"], y: Float[Array, "n b"], x: Rows) -> Float[Array, "n b"]:
    return jnp.einsum("nbd,nd->nb", a, x.astype(a.dtype)) - y


def _gradient(a: Float[Array, "n b d"], y: Float[Array, "n b"], x: Rows) -> Rows:
    return (jnp.einsum("nbd,nb->nd", a, _residual(a, y, x)) / y.shape[1]).astype(x.dtype)


@guarded
def isotropic_quadratic(
    n_nodes: int,
    *,
    dimension: int = 20,
    curvature: float = 1.0,
    heterogeneity: float = 1.0,
    noise: float = 1.0,
    targets: np.ndarray | None = None,
    init: Literal["same", "independent"] = "same",
    rng: np.random.Generator | int = 0,
    dtype: DTypeLike = jnp.float32,
    order: Order | None = None,
) -> IsotropicQuadratic:
    """Isotropic quadratics with gradient noise, one target per node: f_i(x) = (a/2) ‖x − b_i‖².

    Args:
        n_nodes: number of nodes.
        dimension: d, the number of parameters.
        curvature: a, the curvature of every objective.
        heterogeneity: standard deviation of the entries of b_i.
        noise: s, standard deviation of the noise in each entry of a gradient.
        targets: (n, d) b_i to use instead of random ones.
        init: "same" starts all nodes at one point, "independent" draws a start for each node.
        rng: generator, or its seed, that draws b_i.
        dtype: dtype of the models.
        order: the node that each row of memory holds: ``graph.order`` of the communication graph.

    Raises:
        DataError: a dimension below one, a curvature that is not positive, a negative spread, ``targets`` that
            are not (n, d) finite numbers, an order of a different number of nodes, or more numbers than the free memory
            holds.
        InputError: no node, or a dtype that JAX does not support.
    """
    if dimension < 1 or curvature <= 0 or heterogeneity < 0 or noise < 0:
        raise DataError(
            f"an isotropic quadratic needs dimension ≥ 1, curvature > 0, heterogeneity ≥ 0 and noise ≥ 0, "
            f"not {dimension}, {curvature:g}, {heterogeneity:g} and {noise:g}"
        )
    check_order(order, n_nodes)
    _check_memory("isotropic_quadratic", "dimension", n_nodes * dimension)
    if targets is None:
        targets = heterogeneity * np.random.default_rng(rng).normal(size=(n_nodes, dimension))
    targets = _finite_rows("isotropic_quadratic", "targets", targets, n_nodes)
    return IsotropicQuadratic(targets, curvature, noise, _Draws(float_type(dtype), init == "same", order))


@guarded
def averaging(
    n_nodes: int,
    *,
    dimension: int = 20,
    values: np.ndarray | None = None,
    rng: np.random.Generator | int = 0,
    dtype: DTypeLike = jnp.float32,
    order: Order | None = None,
) -> IsotropicQuadratic:
    """Averaging: every node holds a vector, starts at it and is pulled towards it; the optimum is the mean of all.

    For algorithms that only mix, distance_to_optimum is the error of the estimated average.

    Args:
        n_nodes: number of nodes.
        dimension: d, the number of parameters.
        values: (n, d) vectors to use instead of standard normal ones.
        rng: generator, or its seed, that draws them.
        dtype: dtype of the models.
        order: the node that each row of memory holds: ``graph.order`` of the communication graph.

    Raises:
        DataError: a dimension below one, ``values`` that are not (n, d) finite numbers, an order of a
            different number of nodes, or more numbers than the free memory holds.
        InputError: no node, or a dtype that JAX does not support.
    """
    if dimension < 1:
        raise DataError(f"averaging needs dimension ≥ 1, not {dimension}")
    check_order(order, n_nodes)
    _check_memory("averaging", "dimension", n_nodes * dimension)
    if values is None:
        values = np.random.default_rng(rng).normal(size=(n_nodes, dimension))
    values = _finite_rows("averaging", "values", values, n_nodes)
    return IsotropicQuadratic(values, 1.0, 0.0, _Draws(float_type(dtype), same=False, order=order), at_targets=True)


@guarded
def least_squares(
    n_nodes: int,
    *,
    dimension: int = 20,
    samples: int = 50,
    heterogeneity: float = 0.0,
    noise: float = 0.1,
    batch_size: int = 0,
    init: Literal["same", "independent"] = "same",
    rng: np.random.Generator | int = 0,
    dtype: DTypeLike = jnp.float32,
    order: Order | None = None,
) -> LeastSquares:
    """Linear regression with Gaussian features: y_i = A_i (x° + h u_i) + noise, optimum by least squares.

    Args:
        n_nodes: number of nodes.
        dimension: d, the number of parameters.
        samples: m, rows of A_i on each node.
        heterogeneity: h, standard deviation of the entries of a node's own truth around the common one.
        noise: standard deviation of the noise in y.
        batch_size: rows per gradient, drawn with replacement; 0 takes all.
        init: "same" starts all nodes at one point, "independent" draws a start for each node.
        rng: generator, or its seed, that draws features, truths and noise.
        dtype: dtype of the models.
        order: the node that each row of memory holds: ``graph.order`` of the communication graph.

    Raises:
        DataError: a size below one, a negative spread, fewer samples in total than dimensions, an order of a different
            number of nodes, or more numbers than the free memory holds.
        InputError: no node, or a dtype that JAX does not support.
    """
    if dimension < 1 or samples < 1 or heterogeneity < 0 or noise < 0 or batch_size < 0:
        raise DataError(
            f"least squares needs dimension and samples ≥ 1, and no negative heterogeneity, noise or batch_size, "
            f"not {dimension}, {samples}, {heterogeneity:g}, {noise:g} and {batch_size}"
        )
    if n_nodes * samples < dimension:
        raise DataError(
            f"{n_nodes * samples} samples do not determine {dimension} parameters", hint="more samples or nodes"
        )
    check_order(order, n_nodes)
    _check_memory("least_squares", "dimension, fewer samples", n_nodes * samples * dimension)
    rng = np.random.default_rng(rng)
    a = rng.normal(size=(n_nodes, samples, dimension))
    truth = rng.normal(size=dimension) + heterogeneity * rng.normal(size=(n_nodes, dimension))
    y = np.einsum("nmd,nd->nm", a, truth) + noise * rng.normal(size=(n_nodes, samples))
    return LeastSquares(a, y, batch_size, _Draws(float_type(dtype), init == "same", order))


def _check_memory(what: str, smaller: str, numbers: int) -> None:
    """Raise DataError if this many numbers in double precision, and their copies, exceed the free memory."""
    hint = f"a smaller {smaller} or fewer nodes"
    check_bytes(f"{what}: {numbers:,} numbers on all nodes", BYTES_PER_NUMBER * numbers, hint, error=DataError)


def _finite_rows(what: str, name: str, rows: Any, n_nodes: int) -> np.ndarray:
    """Return a NumPy array (n, d) of finite vectors, one per node."""
    vectors = np.asarray(rows)
    if vectors.ndim != 2 or vectors.shape[0] != n_nodes or not vectors.shape[1] or vectors.dtype.kind not in "biuf":
        raise DataError(
            f"{what}: {name} is {vectors.dtype}{list(vectors.shape)}",
            hint=f"a row of numbers for each of {n_nodes:,} nodes",
        )
    if not np.isfinite(vectors).all():
        node = int(np.isfinite(vectors).all(1).argmin())
        raise DataError(f"{what}: {name} of node {node} holds a number that is not finite")
    return vectors


@dataclass(frozen=True)
class _Draws:
    """Random draws of a quadratic, keyed by node number wherever the node's row is.

    Attributes:
        dtype: dtype of the models.
        same: whether all nodes start at one point.
        order: the node that each row holds.
    """

    dtype: np.dtype
    same: bool
    order: Order | None

    @property
    def kind(self) -> np.dtype:
        """The dtype of computation."""
        return accumulator(self.dtype)

    def by_row(self, drawn: Any) -> Any:
        """Return an array over nodes in the order of the rows."""
        return drawn if self.order is None else drawn[self.order.nodes]

    def of(self, n_nodes: int) -> NodeDraws:
        """Return the draws of ``n_nodes``."""
        return NodeDraws(n_nodes, None if self.order is None else self.order.nodes)

    def normal(self, key: PRNGKey, n_nodes: int, dimension: int) -> Rows:
        """Return (n, d) standard normal numbers, drawn by node."""
        return self.of(n_nodes).normal(key, (dimension,), self.kind)

    def start(self, key: PRNGKey, n_nodes: int, dimension: int, gain: float) -> Rows:
        """Return (n, d) normal models of deviation ``gain``, one for all or one per node."""
        if self.same:
            row: Row = (gain * jax.random.normal(key, (dimension,), self.kind)).astype(self.dtype)
            return jnp.broadcast_to(row, (count_rows(n_nodes), dimension))
        return (gain * self.normal(key, n_nodes, dimension)).astype(self.dtype)
