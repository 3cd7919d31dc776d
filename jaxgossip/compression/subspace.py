"""Low-rank compression: a row, seen as a matrix, is projected onto a few of its own directions."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgossip.compression.compressor import Compressor, Size, check_count
from jaxgossip.compression.reduce import row_sums
from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import NodeInts, PRNGKey, Rows


@guarded
def low_rank(*, rank: int = 1, rows: int = 0) -> Compressor:
    """Low-rank approximation of the row, seen as a matrix: one subspace iteration from a random sketch.

        M = x as an a × b matrix,   P = orth(M S),   Q(x) = P Pᵀ M,   S (b, r) Gaussian, of the round, shared by all

    Vogels, Karimireddy and Jaggi 2019, "PowerSGD: practical low-rank gradient compression for distributed
    optimization", algorithm 1, restarted each round. A row fills its matrix column by column, and the last column is padded
    with zeros. A contraction with δ ≥ r/rank(M) ≥ r/min(a, b): P Pᵀ is a projection, on average diagonal in the singular
    vectors of M, with weights that sum to r and fall with the singular values. Rows whose matrices have rank r or less are
    reproduced exactly. A message holds r(a + b) numbers, P and Pᵀ M; the sketch is randomness shared by all nodes.

    Args:
        rank: r, the rank of the approximation.
        rows: a, the height of the matrix; 0 chooses the squarest matrix.

    Raises:
        InputError: a rank below one or a negative height; when compressing, a rank above the smaller side of the matrix.
    """
    check_count("low_rank", "rank", rank)
    check_count("low_rank", "rows", rows, least=0)

    def sides(p: int) -> tuple[int, int]:
        a = rows or math.isqrt(p - 1) + 1
        b = -(-p // a)
        if rank > min(a, b):
            raise InputError(
                f"compressor 'low_rank' cannot keep rank {rank} of the {a}×{b} matrix that {p} parameters make",
                hint=f"give rank as at most {min(a, b)}",
            )
        return a, b

    def apply(x: Rows, key: PRNGKey, nodes: NodeInts) -> Rows:
        del nodes  # the sketch is shared
        n, p = x.shape
        a, b = sides(p)
        sketch = jax.random.normal(key, (rank, b), x.dtype)
        M = jnp.pad(x, ((0, 0), (0, a * b - p))).reshape(n, b, a)
        # Small matrix products are slow one by one, but fuse as multiply and sum. The barriers keep values that later
        # lines use several times from being recomputed.
        columns = _orthonormal([row_sums(M * weights[:, None], 1)[:, 0] for weights in sketch])
        shares = jax.lax.optimization_barrier([row_sums(M * column[:, None]) for column in columns])
        Q = sum(share * column[:, None] for share, column in zip(shares, columns, strict=True))
        return jnp.asarray(Q).reshape(n, a * b)[:, :p]

    def size(p: int, dtype: np.dtype) -> Size:
        return Size(rank * sum(sides(p)) * dtype.itemsize, 0)

    return Compressor("low_rank", apply, size)


def _orthonormal(columns: list[Float[Array, "n a"]]) -> list[Float[Array, "n a"]]:
    """Return an orthonormal basis of the span of each node's ``columns``, by Gram–Schmidt.

    A column that depends linearly on those before it leaves only rounding noise when they are subtracted, and becomes zero.
    From any other they are subtracted twice, enough for orthogonality to rounding (Giraud, Langou and Rozložník 2005).
    """
    done: list[Array] = []
    for column in columns:
        rest = jax.lax.optimization_barrier(column)
        length = _norm(rest)
        for _ in range(2):
            for unit in done:
                rest = jax.lax.optimization_barrier(rest - row_sums(unit * rest) * unit)
        remaining = _norm(rest)
        independent = remaining > 16 * jnp.finfo(rest.dtype).eps * length
        unit = jnp.where(independent, rest / jnp.where(independent, remaining, 1), 0)
        done.append(jax.lax.optimization_barrier(unit))
    return done


def _norm(column: Float[Array, "n a"]) -> Float[Array, "n 1"]:
    return jnp.sqrt(row_sums(jnp.square(column)))
