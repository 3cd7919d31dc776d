"""Variables of ADMM on the directed links of a graph: z_ij at node i for each neighbour j, ρ the penalty, α the relaxation:

    j sends z_ji − 2 ρ x_j to i,  then  z_ij⁺ = (1 − α) z_ij − α (z_ji − 2 ρ x_j)

A message that is lost leaves z_ij as it is. Bastianello, Carli, Schenato and Todescato 2021, "Asynchronous distributed
optimization over lossy networks via relaxed ADMM".
"""

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float

from jaxgossip.core.pytree import Pytree
from jaxgossip.core.rows import gather, materialize
from jaxgossip.core.typing import Rows, widened
from jaxgossip.mixing.operators.hybrid import rest_of
from jaxgossip.network import Links

OnLinks = Float[Array, "m q"]
"""A row of the shared columns for each directed link, ordered by receiver."""


class LinkVariables(Pytree):
    """The links of a symmetric W, without their weights.

    Attributes:
        degrees: (n, 1) number of neighbours of each node.
    """

    def __init__(self, matrix: sp.csr_array) -> None:
        links = sp.csr_array(matrix - sp.diags_array(matrix.diagonal()))
        links.eliminate_zeros()
        links.sort_indices()
        n, m, degrees = links.indptr.size - 1, links.nnz, np.diff(links.indptr)
        numbers = sp.csr_array((np.arange(1, m + 1), links.indices, links.indptr), shape=(n, n)).T.tocsr()
        numbers.sort_indices()
        self._back = jnp.asarray(numbers.data - 1, jnp.int32)  # the reverse of each link
        self._receivers = jnp.asarray(np.repeat(np.arange(n), degrees), jnp.int32)
        self._senders = jnp.asarray(links.indices, jnp.int32)
        self._into = rest_of(np.asarray(links.indptr, np.int64), np.arange(m), np.ones(m)) if m else None
        self.degrees = jnp.asarray(degrees[:, None], jnp.float32)

    def of_receivers(self, rows: Rows) -> OnLinks:
        """Return each link's row of its receiver."""
        return gather(rows, self._receivers)

    def summed(self, z: OnLinks, like: Rows) -> Rows:
        """Return (n, p) Σ_j z_ij, 0 in the private columns, for rows ``like`` these."""
        total = jnp.zeros((like.shape[0], z.shape[1]), z.dtype) if self._into is None else self._into.sums(z, None)
        return materialize(jnp.pad(total, ((0, 0), (0, like.shape[1] - z.shape[1]))))

    def exchanged(self, z: OnLinks, x: Rows, links: Links, penalty: float, relaxation: float) -> OnLinks:
        """Return z⁺ after all nodes have sent z_ji − 2 ρ x_j."""
        shared = materialize(widened(x)[:, : z.shape[1]])
        sent = links.as_sent(gather(z, self._back) - 2 * penalty * gather(shared, self._senders))
        new = (1 - relaxation) * z - relaxation * sent
        if links.faults is None:
            return new
        return jnp.where(links.faults.arrive(self._receivers, self._senders)[:, None], new, z)
