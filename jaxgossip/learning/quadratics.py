"""Problems whose optimum is known, for theory: every prediction about them can be checked to the digit.

isotropic       f_i(x) = (a/2) ‖x − b_i‖²,           gradient a (x − b_i) + s ξ,  ξ ~ N(0, I)
least squares   f_i(x) = ‖A_i x − y_i‖² / (2 m),     gradient of a minibatch of the node's m rows

measured: test_loss = f(x) − f(x*), f = (1/n) Σ f_i;    distance_to_optimum = ‖x − x*‖²
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxgossip.errors import DataError
from jaxgossip.learning.device import float_type, integers_below
from jaxgossip.registry import Registry
from jaxgossip.typing import NodeInts, NodeScores, PRNGKey, Row, Rows


class IsotropicQuadratic:
    """See :func:`isotropic_quadratic`.

    Attributes:
        targets: (n, d) b_i.
        optimum: (d,) x*, the mean of b_i.
    """

    def __init__(self, targets: Float[Array, "n d"], curvature: float, noise: float, *, same_start: bool) -> None:
        self.targets, self.curvature, self.noise = targets, curvature, noise
        self._same_start = same_start
        self.n_nodes, self.n_params = targets.shape
        self.n_shared = self.n_params
        self.dtype = np.dtype(targets.dtype)
        self.sample_counts = np.ones(self.n_nodes, np.float32)
        self.optimum = targets.mean(0)

    def init(self, key: PRNGKey) -> Rows:
        """Return (n, d) standard normal starts, one for all or one each."""
        return _normal_start(key, self.n_nodes, self.n_params, self.dtype, same=self._same_start)

    def gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return a (x_i − b_i) + s ξ_i, (n, d)."""
        gradient = self.curvature * (x - self.targets)
        return gradient if self.noise == 0 else gradient + self.noise * jax.random.normal(key, x.shape, self.dtype)

    def mean_gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return the mean over nodes of the same draws at one x, (1, d)."""
        return self.gradient(jnp.broadcast_to(x, self.targets.shape), key).mean(0, keepdims=True)

    def evaluate(self, x: Rows) -> NodeScores:
        """Return test_loss and distance_to_optimum of every row, (s,)."""
        distance = jnp.square(x - self.optimum).sum(1)
        return {"test_loss": self.curvature / 2 * distance, "distance_to_optimum": distance}

    def evaluate_local(self, x: Rows, nodes: NodeInts) -> NodeScores:
        """Return nothing: there are no samples."""
        del x, nodes
        return {}


class LeastSquares:
    """See :func:`least_squares`.

    Attributes:
        a: (n, m, d) A_i.
        y: (n, m) y_i.
        optimum: (d,) x*, the least-squares solution over all nodes.
    """

    def __init__(self, a: Float[Array, "n m d"], y: Float[Array, "n m"], batch_size: int, *, same_start: bool) -> None:
        self.a, self.y, self.batch_size = a, y, batch_size
        self._same_start = same_start
        self.n_nodes, self._samples, self.n_params = a.shape
        self.n_shared = self.n_params
        self.dtype = np.dtype(a.dtype)
        self.sample_counts = np.full(self.n_nodes, self._samples, np.float32)
        flat = np.asarray(a, np.float64).reshape(-1, self.n_params)
        optimum = np.linalg.lstsq(flat, np.asarray(y, np.float64).ravel(), rcond=None)[0]
        self.optimum = jnp.asarray(optimum, self.dtype)
        self.hessian = jnp.asarray(flat.T @ flat / flat.shape[0], self.dtype)

    def init(self, key: PRNGKey) -> Rows:
        """Return (n, d) standard normal starts, one for all or one each."""
        return _normal_start(key, self.n_nodes, self.n_params, self.dtype, same=self._same_start)

    def gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return A_Bᵀ (A_B x − y_B) / |B| of each node's minibatch B, (n, d)."""
        a, y = self.a, self.y
        if self.batch_size:
            rank = integers_below(key, self._samples, (self.n_nodes, self.batch_size))
            a = jnp.take_along_axis(a, rank[:, :, None], axis=1)
            y = jnp.take_along_axis(y, rank, axis=1)
        residual = jnp.einsum("nbd,nd->nb", a, x) - y
        return jnp.einsum("nbd,nb->nd", a, residual) / y.shape[1]

    def mean_gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return the mean over nodes of the same draws at one x, (1, d)."""
        return self.gradient(jnp.broadcast_to(x, (self.n_nodes, self.n_params)), key).mean(0, keepdims=True)

    def evaluate(self, x: Rows) -> NodeScores:
        """Return test_loss and distance_to_optimum of every row, (s,)."""
        error = x - self.optimum
        loss = jnp.einsum("sd,de,se->s", error, self.hessian, error) / 2
        return {"test_loss": loss, "distance_to_optimum": jnp.square(error).sum(1)}

    def evaluate_local(self, x: Rows, nodes: NodeInts) -> NodeScores:
        """Return nothing: all samples are trained on."""
        del x, nodes
        return {}


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
) -> IsotropicQuadratic:
    """Every node pulls towards a point of its own: f_i(x) = (a/2) ‖x − b_i‖², with gradient noise.

    Args:
        n_nodes: number of nodes.
        dimension: d, the number of parameters.
        curvature: a.
        heterogeneity: standard deviation of the entries of b_i.
        noise: s, standard deviation of the noise in each entry of a gradient.
        targets: (n, d) b_i of your own, in place of random ones.
        init: whether all nodes start from one point.
        rng: draws b_i.
        dtype: of the models.

    Raises:
        DataError: a dimension below one, a curvature that is not positive, or negative spreads.
        InputError: a dtype that JAX does not have.
    """
    if dimension < 1 or curvature <= 0 or heterogeneity < 0 or noise < 0:
        raise DataError(
            f"an isotropic quadratic needs dimension ≥ 1, curvature > 0, heterogeneity ≥ 0 and noise ≥ 0, "
            f"not {dimension}, {curvature:g}, {heterogeneity:g} and {noise:g}"
        )
    if targets is None:
        targets = heterogeneity * np.random.default_rng(rng).normal(size=(n_nodes, dimension))
    placed = jnp.asarray(np.asarray(targets), float_type(dtype))
    return IsotropicQuadratic(placed, curvature, noise, same_start=init == "same")


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
) -> LeastSquares:
    """Linear regression with Gaussian features: y_i = A_i (x° + h u_i) + noise, optimum by least squares.

    Args:
        n_nodes: number of nodes.
        dimension: d, the number of parameters.
        samples: m, rows of A_i on each node.
        heterogeneity: h, how far a node's own truth is from the common one, an entry's standard deviation.
        noise: standard deviation of the noise in y.
        batch_size: rows in a gradient, drawn with replacement; 0 takes all.
        init: whether all nodes start from one point.
        rng: draws features and truths.
        dtype: of the models.

    Raises:
        DataError: sizes below one, negative spreads, or fewer samples in all than dimensions.
        InputError: a dtype that JAX does not have.
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
    rng = np.random.default_rng(rng)
    a = rng.normal(size=(n_nodes, samples, dimension))
    truth = rng.normal(size=dimension) + heterogeneity * rng.normal(size=(n_nodes, dimension))
    y = np.einsum("nmd,nd->nm", a, truth) + noise * rng.normal(size=(n_nodes, samples))
    kind = float_type(dtype)
    return LeastSquares(jnp.asarray(a, kind), jnp.asarray(y, kind), batch_size, same_start=init == "same")


def _normal_start(key: PRNGKey, n_nodes: int, dimension: int, dtype: np.dtype, *, same: bool) -> Rows:
    if same:
        row: Row = jax.random.normal(key, (dimension,), dtype)
        return jnp.broadcast_to(row, (n_nodes, dimension))
    return jax.random.normal(key, (n_nodes, dimension), dtype)


QUADRATICS = Registry("quadratic", [isotropic_quadratic, least_squares])
"""What ``learning.dataset`` can name besides data sets: tasks that need neither model nor partition."""
