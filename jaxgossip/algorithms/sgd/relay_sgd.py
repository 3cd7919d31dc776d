"""RelaySGD on trees: every update reaches every node once, undiminished, after as many rounds as their distance:

    X½ = X − η G(X)
    m⁺_{i→j} = x½_i + Σ_{k≠j} m_{k→i},   c⁺_{i→j} = 1 + Σ_{k≠j} c_{k→i}                    k, j neighbours of i; m₀ = c₀ = 0
    x⁺_i = (x½_i + Σ_j m⁺_{j→i}) / (1 + Σ_j c⁺_{j→i})

After as many rounds as the diameter of the tree, the denominator is n and every node holds a uniform mean over the models
of all nodes, each as old as its distance. Before that, the paper substitutes the common initial model for what is missing;
here the mean is over what has arrived, so a node without messages trains alone. A receiver replaces a lost message with
the last one that arrived.

Vogels et al. 2021, "RelaySum for decentralized deep learning on heterogeneous data", algorithm 1.
"""

from typing import NamedTuple, override

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float
from scipy.sparse.csgraph import connected_components

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, displacement, fixed_operator, start
from jaxgossip.core.errors import InputError
from jaxgossip.core.pytree import Pytree
from jaxgossip.core.rows import gather, materialize
from jaxgossip.core.typing import PRNGKey, PyTree, Rows, accumulator, narrowed
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.mixing.operators.hybrid import rest_of
from jaxgossip.network import Links, Round, Traffic


class Relayed(NamedTuple):
    """The last messages on the m directed links of a tree, ordered by receiver.

    Attributes:
        sums: (m, p) sum of the models behind each link.
        counts: (m, 1) number of these models.
        heard: (n, p) total of the sums on the links into each node.
        heard_of: (n, 1) total of the counts on these links.
    """

    sums: Float[Array, "m p"]
    counts: Float[Array, "m 1"]
    heard: Float[Array, "n p"]
    heard_of: Float[Array, "n 1"]


class RelayState(NamedTuple):
    """State of RelaySGD.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state of each node.
        relayed: last messages on all links.
    """

    x: Rows
    opt_state: PyTree
    relayed: Relayed


class RelaySum(Pytree):
    """Relayed sums over all nodes on the tree of W; each term is as old as its node is distant."""

    def __init__(self, matrix: sp.csr_array) -> None:
        links = sp.csr_array(matrix - sp.diags_array(matrix.diagonal()))
        links.eliminate_zeros()
        links.sort_indices()
        n, m = links.indptr.size - 1, links.nnz
        components = connected_components(links, directed=False)[0]
        if m != 2 * (n - 1) or components != 1:
            raise InputError(
                f"relay_sgd needs a tree: {n} nodes in one piece with {n - 1} edges, not {m // 2} in {components}",
                hint="topology.kind = 'path', 'star' or 'binary_tree'",
            )
        self.n_nodes, self.n_links = n, m
        receivers = np.repeat(np.arange(n, dtype=np.int32), np.diff(links.indptr))
        numbers = sp.csr_array((np.arange(1, m + 1), links.indices, links.indptr), shape=(n, n)).T.tocsr()
        numbers.sort_indices()
        self._back = jnp.asarray(numbers.data - 1, jnp.int32)  # the reverse of each link
        self._receivers, self._senders = jnp.asarray(receivers), jnp.asarray(links.indices, jnp.int32)
        # Sums over the links into each node are sums over lists of rows, as in an irregular graph.
        self._into = rest_of(np.asarray(links.indptr, np.int64), np.arange(m), np.ones(m)) if m else None

    def none(self, p: int, dtype: np.dtype) -> Relayed:
        """Return the messages before the first round: zero sums of ``p`` columns, of no models."""
        wide = accumulator(dtype)
        sums, counts = jnp.zeros((self.n_links, p), dtype), jnp.zeros((self.n_links, 1), wide)
        return Relayed(sums, counts, jnp.zeros((self.n_nodes, p), wide), jnp.zeros((self.n_nodes, 1), wide))

    def __call__(self, x: Rows, relayed: Relayed, links: Links) -> tuple[Relayed, Rows, Float[Array, "n 1"]]:
        """Return the new messages, and (n, p) sums over the models that have reached each node, with their numbers (n, 1)."""
        if self._into is None:
            return relayed, x, jnp.ones((x.shape[0], 1), relayed.counts.dtype)
        ones = jnp.ones((x.shape[0], 1), relayed.counts.dtype)
        results = []
        for own, last, heard in ((x, relayed.sums, relayed.heard), (ones, relayed.counts, relayed.heard_of)):
            known = materialize(own + heard)
            sent = gather(known, self._senders) - gather(last, self._back)  # all but what the receiver sent itself
            if links.faults is not None:
                arrived = links.faults.arrive(self._receivers, self._senders)[:, None]
                sent = jnp.where(arrived, sent, last)
            sent = materialize(narrowed(sent, last))
            received = materialize(self._into.sums(sent, None))
            results.append((sent, received, own + received))
        (sums, heard, total), (counts, heard_of, number) = results
        return Relayed(sums, counts, heard, heard_of), total, number


class RelaySGD(Method):
    """See :func:`relay_sgd`."""

    not_on_meshes = "its state is of links, which are not spread over devices"

    optimizer: Transformation
    relay: RelaySum

    @override
    def init(self, problem: Problem, key: PRNGKey) -> RelayState:
        return RelayState(*start(problem, self.optimizer, key), self.relay.none(problem.n_shared, problem.dtype))

    @override
    def step(self, problem: Problem, W: Mixing, state: RelayState, round_: Round) -> tuple[RelayState, Traffic]:
        shared = problem.n_shared
        links = round_.links(W, shared)
        links.check_plain("relay_sgd")
        before = TrainState(state.x, state.opt_state)
        u, opt_state = displacement(problem, self.optimizer, before, round_)
        half = links.as_sent(state.x + u)
        relayed, total, number = self.relay(half[:, :shared], state.relayed, links)
        x = jnp.concatenate([total / number, half[:, shared:]], axis=1)
        new = round_.keep_offline(TrainState(x, opt_state), before)
        return RelayState(new.x, new.opt_state, relayed), links.sent(half, metadata=(state.relayed.counts,))


@algorithm
def relay_sgd(problem: Problem, optimizer: Transformation, W: Mixing) -> Algorithm:
    """Run RelaySGD: uniform averages on a tree, with delays instead of slow mixing.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately.
        W: mixing operator on a tree, of which only the links matter, not the weights.

    Raises:
        InputError: W is time-varying or not symmetric, or its links are not a tree; in the first round, if the network has
            noise, liars or an aggregation.
    """
    relay = RelaySum(fixed_operator("relay_sgd", W).to_scipy())
    return Algorithm(RelaySGD(optimizer, relay), problem, W, name="RelaySGD", mixings=2)
