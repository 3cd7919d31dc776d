"""The network that the figures of methods are of: 16 nodes on a ring, all weights 1/3, quadratics of curvature 1."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgossip as jg
from jaxgossip.algorithms import Algorithm
from jaxgossip.core.random import run_key
from jaxgossip.learning.quadratics import IsotropicQuadratic
from jaxgossip.network import Round

N, ETA = 16, 0.05
B = np.cos(np.arange(N)) + np.arange(N) / 5
"""Targets b_i, whose mean is 1.5447080."""
SPECTRUM = np.sort((1 + 2 * np.cos(2 * np.pi * np.arange(N) / N)) / 3)[::-1]
"""Eigenvalues of W, from 1 to −1/3; the second is .949253."""

RING = (np.eye(N) + np.roll(np.eye(N), 1, 0) + np.roll(np.eye(N), -1, 0)) / 3
"""W."""


def ring() -> Any:
    return jg.mixing.metropolis_hastings(jg.topology.ring(N))


def of_targets(targets: np.ndarray, *, curvature: Any = 1.0, noise: float = 0.0) -> IsotropicQuadratic:
    """Return quadratics with these targets, (n,) or (n, d), all from 0, in the precision that is enabled.

    Args:
        targets: b_i.
        curvature: a, or (n, 1) a_i.
        noise: deviation of the noise in gradients.
    """
    rows = np.reshape(targets, (len(targets), -1))
    dtype = jnp.float64 if jax.config.jax_enable_x64 else jnp.float32
    n, dimension = rows.shape
    problem = jg.learning.isotropic_quadratic(n, dimension=dimension, noise=noise, targets=rows, dtype=dtype)
    problem.curvature = curvature
    problem.init = lambda _: jnp.zeros(rows.shape, dtype)
    return problem


def linear_map(algorithm: Algorithm, leaves: Sequence[str], number: int = 0) -> np.ndarray:
    """Return the matrix of one round on the columns (n, 1) or (m, 1) of these fields of a state, one below the other."""
    first, n = algorithm.init(run_key(0)), algorithm.problem.n_nodes
    ends = np.cumsum([getattr(first, leaf).size for leaf in leaves])

    def advanced(numbers: jax.Array) -> jax.Array:
        columns = [column[:, None] for column in jnp.split(numbers, ends[:-1])]
        state = first._replace(**dict(zip(leaves, columns, strict=True)))
        new, _ = algorithm.step(state, Round(jnp.int32(number), run_key(1), n))
        return jnp.concatenate([getattr(new, leaf).ravel() for leaf in leaves])

    return np.asarray(jax.jit(jax.jacfwd(advanced))(jnp.zeros(ends[-1])))


def by_mode(matrix: np.ndarray, n_leaves: int) -> list[np.ndarray]:
    """Return the blocks of a map on eigenvectors of W, from the mean on; the map does not mix them."""
    vectors = np.linalg.eigh(RING)[1][:, ::-1]
    basis = np.kron(np.eye(n_leaves), vectors)
    whole = (basis.T @ matrix @ basis).reshape(n_leaves, N, n_leaves, N)
    return [whole[:, mode, :, mode] for mode in range(N)]
