"""RelaySGD on trees: every update reaches every node undiminished, once, after as many rounds as it is far away:

    X½ = X − η G(X)
    m⁺_{i→j} = x½_i + Σ_{k≠j} m_{k→i},   c⁺_{i→j} = 1 + Σ_{k≠j} c_{k→i}                    k, j neighbours of i; m₀ = c₀ = 0
    x⁺_i = (x½_i + Σ_j m⁺_{j→i}) / (1 + Σ_j c⁺_{j→i})

After as many rounds as the tree is wide, the denominator is n and every node holds a uniform mean of all nodes' models, as
old as they are far. Until then the paper fills what is missing with the common initial model; here the mean is over what
has arrived, so that a node nobody reaches trains alone. A lost message leaves its receiver with the last that arrived.

Vogels et al. 2021, "RelaySum for decentralized deep learning on heterogeneous data", algorithm 1.
"""

from typing import NamedTuple, override

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jaxtyping import Array, Float
from scipy.sparse.csgraph import connected_components

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, displacement, fixed, once, start
from jaxgossip.core.errors import InputError
from jaxgossip.core.pytree import Pytree
from jaxgossip.core.rows import gather
from jaxgossip.core.typing import PRNGKey, PyTree, Rows, accumulator, narrowed
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.mixing.operators.hybrid import rest_of
from jaxgossip.network import Links, Round, Traffic


class Relayed(NamedTuple):
    """What is under way on the m directed links of a tree, those into a node side by side.

    Attributes:
        sums: (m, p) models summed up behind each link.
        counts: (m, 1) how many.
        heard: (n, p) the sums on the links into each node, added up.
        heard_of: (n, 1) how many.
    """

    sums: Float[Array, "m p"]
    counts: Float[Array, "m 1"]
    heard: Float[Array, "n p"]
    heard_of: Float[Array, "n 1"]


class RelayState(NamedTuple):
    """State of RelaySGD: models x (n, p), optimizer states, and what is under way."""

    x: Rows
    opt_state: PyTree
    relayed: Relayed


class RelaySum(Pytree):
    """The relay on the tree of W: sums of what all nodes hold, each as old as its node is far away."""

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
        self._back = jnp.asarray(numbers.data - 1, jnp.int32)  # the same edge, the other way
        self._receivers, self._senders = jnp.asarray(receivers), jnp.asarray(links.indices, jnp.int32)
        # Sums over the links into a node are sums over lists of rows, as those of an irregular graph.
        self._into = rest_of(np.asarray(links.indptr, np.int64), np.arange(m), np.ones(m)) if m else None

    def none(self, p: int, dtype: np.dtype) -> Relayed:
        """Return what is under way before the first round: nothing, of models of ``p`` columns."""
        wide = accumulator(dtype)
        sums, counts = jnp.zeros((self.n_links, p), dtype), jnp.zeros((self.n_links, 1), wide)
        return Relayed(sums, counts, jnp.zeros((self.n_nodes, p), wide), jnp.zeros((self.n_nodes, 1), wide))

    def __call__(self, x: Rows, relayed: Relayed, links: Links) -> tuple[Relayed, Rows, Float[Array, "n 1"]]:
        """Relay for one round: (what is under way then, (n, p) sums, (n, 1) numbers of models in them)."""
        if self._into is None:
            return relayed, x, jnp.ones((x.shape[0], 1), relayed.counts.dtype)
        one = jnp.ones((x.shape[0], 1), relayed.counts.dtype)
        parts = []
        for own, under_way, heard in ((x, relayed.sums, relayed.heard), (one, relayed.counts, relayed.heard_of)):
            here = once(own + heard)
            told = gather(here, self._senders) - gather(under_way, self._back)  # all but what came from there
            if links.faults is not None:
                arrived = links.faults.arrive(self._receivers, self._senders)[:, None]
                told = jnp.where(arrived, told, under_way)
            told = once(narrowed(told, under_way))
            hears = once(self._into.sums(told, None))
            parts.append((told, hears, own + hears))
        (sums, heard, total), (counts, heard_of, number) = parts
        return Relayed(sums, counts, heard, heard_of), total, number


class RelaySGD(Method):
    """See :func:`relay_sgd`."""

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
    """Run RelaySGD: uniform averages on a tree, at the price of delay instead of slow mixing.

    Args:
        problem: what is learnt.
        optimizer: any optax transformation, applied to each node by itself.
        W: mixing operator on a tree; its links count, not its weights.

    Raises:
        InputError: W changes from round to round, or its links are no tree; in the first round, a network with noise, liars
            or an aggregation.
    """
    relay = RelaySum(fixed("relay_sgd", W).to_scipy())
    return Algorithm(RelaySGD(optimizer, relay), problem, W, name="RelaySGD", mixings=2)
