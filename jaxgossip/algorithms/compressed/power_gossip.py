"""PowerGossip: on every edge, a step of power iteration on the difference of two models, reshaped to a × b matrices:

    X½ = X − η G(X);   on each edge (i, j):   D = X½_i − X½_j
    p = orth(D q),   q⁺ = Dᵀ p                       nodes send X½ q (a numbers), then X½ᵀ p (b numbers)
    X⁺_i = X½_i − Σ_j W_ij p q⁺ᵀ,   X⁺_j = X½_j + …                                      q⁺ starts the next round

In the limit p q⁺ᵀ is the best approximation of D of rank 1 (or r). The mean of the models is conserved exactly. A row is
reshaped to the squarest matrix that holds it, padded with zeros. An edge with a lost message in either direction is idle
for both ends.

Vogels, Karimireddy and Jaggi 2020, "Practical low-rank communication compression in decentralized deep learning",
algorithm 1.
"""

from typing import NamedTuple, override

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float

from jaxgossip.algorithms.arguments import algorithm, check_at_least_one
from jaxgossip.algorithms.base import (
    Algorithm,
    Method,
    TrainState,
    displacement,
    fixed_operator,
    start,
)
from jaxgossip.compression import by_blocks
from jaxgossip.core.errors import InputError
from jaxgossip.core.pytree import Pytree
from jaxgossip.core.rows import gather, materialize
from jaxgossip.core.typing import PRNGKey, PyTree, Rows, accumulator
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.mixing.operator import MAX_SLOTS
from jaxgossip.network import Round, Traffic


class PowerState(NamedTuple):
    """State of PowerGossip.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state of each node.
        q: r arrays (m, b), one vector per edge each.
    """

    x: Rows
    opt_state: PyTree
    q: tuple[Float[Array, "m b"], ...]


class Edges(Pytree):
    """The edges of a symmetric W, and those of each node.

    Attributes:
        first: (m,) int32, the lower row of each edge; without edges, there is one from row 0 to itself.
        second: (m,) int32, the higher row of each edge.

    Raises:
        InputError: a node has more than 128 edges.
    """

    def __init__(self, matrix: sp.csr_array) -> None:
        links = sp.csr_array(matrix - sp.diags_array(matrix.diagonal()))
        links.eliminate_zeros()
        upper = sp.triu(links, 1).tocoo()
        n, m = links.indptr.size - 1, upper.row.size
        ends = (upper.row, upper.col) if m else (np.zeros(1), np.zeros(1))
        self.first, self.second = (jnp.asarray(end, jnp.int32) for end in ends)
        numbered = sp.csr_array((np.arange(1, m + 1), (upper.row, upper.col)), shape=(n, n))
        numbered = sp.csr_array(numbered + numbered.T)
        numbered.sort_indices()
        links.sort_indices()
        degrees = np.diff(links.indptr)
        width = max(1, int(degrees.max(initial=0)))
        if width > MAX_SLOTS:
            raise InputError(
                f"power_gossip: a node has {width:,} edges, too many to take them one by one",
                hint=f"a topology of degree {MAX_SLOTS} at most",
            )
        filled = np.arange(width) < degrees[:, None]
        edge, weight = np.zeros((n, width), np.int32), np.zeros((n, width))
        receivers = np.repeat(np.arange(n), degrees)
        edge[filled] = numbered.data - 1
        weight[filled] = links.data * np.where(receivers < links.indices, 1, -1)
        self._edge, self._weight = jnp.asarray(edge), jnp.asarray(weight)

    def pulled(self, pairs: list[tuple[Float[Array, "m a"], Float[Array, "m b"]]]) -> Float[Array, "n a b"]:
        """Return (n, a, b): the sum of ± W_ij p qᵀ over the edges of each node and the ``pairs`` (p, q), to be subtracted."""
        pairs = jax.lax.optimization_barrier(pairs)

        def of_rows(edge: Array, weight: Array) -> Array:
            signed = jnp.asarray(weight[:, :, None], pairs[0][0].dtype)
            P = jnp.concatenate([signed * gather(p, edge) for p, _ in pairs], 1)
            Q = jnp.concatenate([gather(q, edge) for _, q in pairs], 1)
            # Transposed by hand: on CPU, XLA has a fast batched product of small matrices only for this order of axes.
            P = jax.lax.optimization_barrier(P.swapaxes(1, 2))
            return jnp.einsum("nak,nkb->nab", P, Q)

        row_bytes = (
            2 * self._edge.shape[1] * sum(p.shape[1] + q.shape[1] for p, q in pairs) * pairs[0][0].dtype.itemsize
        )
        return by_blocks(of_rows, self._edge, self._weight, row_bytes=row_bytes)


class PowerGossip(Method):
    """See :func:`power_gossip`."""

    not_on_meshes = "its state is of links, which are not spread over devices"

    optimizer: Transformation
    rank: int
    edges: Edges

    @override
    def init(self, problem: Problem, key: PRNGKey) -> PowerState:
        initial = start(problem, self.optimizer, key)
        _, b = _matrix_shape(problem.n_shared)
        # All edges start from the same vectors, so that the numbering of edges does not matter.
        q = jax.random.normal(jax.random.fold_in(key, 1), (self.rank, 1, b), accumulator(problem.dtype))
        return PowerState(*initial, tuple(jnp.broadcast_to(vector, (self.edges.first.size, b)) for vector in q))

    @override
    def step(self, problem: Problem, W: Mixing, state: PowerState, round_: Round) -> tuple[PowerState, Traffic]:
        edges, rank, kind, s = self.edges, self.rank, accumulator(problem.dtype), problem.n_shared
        a, b = _matrix_shape(s)
        links = round_.links(W, s)
        links.check_plain("power_gossip")
        u, opt_state = displacement(problem, self.optimizer, TrainState(state.x, state.opt_state), round_)
        half = materialize(state.x + u)
        matrices = jnp.pad(half[:, :s], ((0, 0), (0, a * b - s))).reshape(-1, a, b)
        left, right = by_blocks(
            lambda first, second, *q: _power_step(matrices, first, second, q),
            edges.first,
            edges.second,
            *state.q,
            row_bytes=matrices[0].size * kind.itemsize,
        )
        alive = jnp.ones((), bool)
        if links.faults is not None:
            alive = links.faults.arrive(edges.first, edges.second) & links.faults.arrive(edges.second, edges.first)
        pulls = zip(left, (jnp.where(alive[..., None], vector, 0) for vector in right), strict=True)
        change = edges.pulled(list(pulls)).reshape(-1, a * b)[:, :s]
        x = half - jnp.pad(change, ((0, 0), (0, half.shape[1] - s)))
        # If the ends of an edge agree, or it is idle, its vector is kept.
        kept = tuple(
            jnp.where(alive[..., None] & (jnp.abs(new).sum(1, keepdims=True) > TINY), new, old)
            for new, old in zip(right, state.q, strict=True)
        )
        traffic = links.sent_bytes(rank * a * np.dtype(problem.dtype).itemsize)
        traffic = traffic + links.sent_bytes(rank * b * np.dtype(problem.dtype).itemsize)
        after = round_.keep_offline(TrainState(x, opt_state), TrainState(state.x, state.opt_state))
        return PowerState(after.x, after.opt_state, kept), traffic


@algorithm
def power_gossip(problem: Problem, optimizer: Transformation, W: Mixing, *, rank: int = 1) -> Algorithm:
    """Run PowerGossip: every edge exchanges a low-rank approximation of the difference of its ends; nothing to tune.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately.
        W: symmetric mixing, the same in every round.
        rank: r, rank of the approximation.

    Raises:
        InputError: ``rank`` is below one, W is time-varying or not symmetric, or a node has more than 128 edges; in the
            first round, if the network has noise, liars or an aggregation.
    """
    check_at_least_one("power_gossip", rank=rank)
    edges = Edges(fixed_operator("power_gossip", W).to_scipy())
    return Algorithm(PowerGossip(optimizer, rank, edges), problem, W, name="PowerGossip", mixings=2)


def _matrix_shape(size: int) -> tuple[int, int]:
    """Return (a, b), the shape of the squarest matrix that holds ``size`` numbers."""
    a = int(np.ceil(np.sqrt(size)))
    return a, -(-size // a)


TINY = 1e-30
"""Norm below which the difference of two models is taken as zero."""


def _power_step(
    matrices: Float[Array, "n a b"], first: Array, second: Array, start: tuple[Float[Array, "m b"], ...]
) -> tuple[list[Array], list[Array]]:
    """Return (p, q⁺), r arrays (m, a) and (m, b): a step of power iteration on the difference along each edge."""
    difference = jax.lax.optimization_barrier(gather(matrices, first) - gather(matrices, second))
    left: list[Array] = []
    for q in start:
        p = jnp.einsum("mab,mb->ma", difference, q)
        for other in left:
            p = p - (other * p).sum(1, keepdims=True) * other
        norm = jnp.linalg.norm(p, axis=1, keepdims=True)
        left.append(p / jnp.where(norm > TINY, norm, jnp.inf))
    return left, [jnp.einsum("mab,ma->mb", difference, p) for p in left]
