"""D-SGD over D-Cliques with clique averaging, X (n, p), G stochastic gradients:

    X⁺ = W (X − η C G(X))          (C: means of cliques, W: over cliques that are joined by few edges)

Nodes of a clique have the classes of all together, so that the mean of their gradients is nearly one of all data: models do
not drift towards the classes of their node. Bellet, Kermarrec and Lavoie 2021, "D-Cliques: compensating for data
heterogeneity with topology in decentralized federated learning", algorithm 3.

A round has two exchanges: a gradient to each node of the clique, then a model along each edge. A gradient that is lost leaves
its weight with the receiver's own; a node that skips its local work sends zeros. Everybody in a clique knows the gradients of
everybody, each round.
"""

from typing import override

import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, fresh_gradient, start, step_along
from jaxgossip.algorithms.model_state import with_state_of
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import PRNGKey
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import CliqueMixing, Mixing
from jaxgossip.network import Round, Traffic


class CliqueAveraging(Method):
    """See :func:`clique_averaging`."""

    optimizer: Transformation

    @override
    def init(self, problem: Problem, key: PRNGKey) -> TrainState:
        return start(problem, self.optimizer, key)

    @override
    def step(self, problem: Problem, W: Mixing, state: TrainState, round_: Round) -> tuple[TrainState, Traffic]:
        assert isinstance(W, CliqueMixing)
        clique, links = (round_.links(on, problem.n_shared, of) for on, of in ((W.within, "clique"), (W, "mix")))
        g = fresh_gradient(problem, state.x, round_, jnp.zeros_like(state.x))
        mean = with_state_of(problem, clique.mix(g, payload="gradient"), g)
        u, opt_state = step_along(self.optimizer, mean, state.x, state.opt_state, round_)
        after = TrainState(links.mix(state.x + u), opt_state)
        return round_.keep_offline(after, state), clique.sent(g) + links.sent(state.x)


@algorithm
def clique_averaging(problem: Problem, optimizer: Transformation, W: Mixing) -> Algorithm:
    """Run D-SGD over D-Cliques: a step along the mean gradient of the clique, and mixing over the joined cliques.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately, to the mean gradient of its clique.
        W: mixing with cliques, ``jg.mixing.d_cliques(graph, class_shares)``.

    Raises:
        InputError: W has no cliques.
    """
    if not isinstance(W, CliqueMixing):
        raise InputError(
            "clique_averaging needs mixing with cliques, the same in every round",
            hint="mixing.kind = 'd_cliques' without a window (in Python: jg.mixing.d_cliques(graph, class_shares)), or "
            "algorithm.kind = 'dsgd'",
        )
    return Algorithm(CliqueAveraging(optimizer), problem, W, name="D-SGD with clique averaging", mixings=2)
