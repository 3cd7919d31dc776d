"""FedRep over gossip: a body that nodes have in common, and a head of each node's own, X = (body, head) (n, p):

    head ← head − η G_head(body, head), τ_h times;   body ← body − η G_body(body, head), τ times;   body⁺ = W body

In rows: X⁺ has W applied to the shared columns. The head are the private columns of the problem, which are never sent.
Without any it is local SGD with gossip. With W = I it is local training that alternates between head and body.

Collins, Hassani, Mokhtari and Shakkottai 2021, "Exploiting shared representations for personalized federated learning",
algorithm 1, in which a server has the body.
"""

from typing import NamedTuple, override

import jax.numpy as jnp
import numpy as np

from jaxgossip.algorithms.arguments import algorithm, check_at_least_one
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, check_agreement, start
from jaxgossip.algorithms.local_steps import batches_of
from jaxgossip.algorithms.model_state import has_state
from jaxgossip.algorithms.personal.columns import descend_within
from jaxgossip.core.typing import PRNGKey, PyTree, Rows, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic, chosen


class FedRepState(NamedTuple):
    """State of FedRep.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state of the body of each node.
        head_state: optimizer state of the head of each node.
    """

    x: Rows
    opt_state: PyTree
    head_state: PyTree


class FedRep(Method):
    """See :func:`fedrep`."""

    optimizer: Transformation
    head_steps: int
    local_steps: int

    @override
    def init(self, problem: Problem, key: PRNGKey) -> FedRepState:
        x, opt_state = start(problem, self.optimizer, key)
        return FedRepState(x, opt_state, opt_state)

    @override
    def step(self, problem: Problem, W: Mixing, state: FedRepState, round_: Round) -> tuple[FedRepState, Traffic]:
        links, head = round_.links(W, problem.n_shared), head_of(problem)
        n_head = self.head_steps if head.any() else 0
        batches = batches_of(problem, round_, n_head + self.local_steps)
        trained = state._replace(x=widened(state.x))
        if n_head:
            begun = TrainState(trained.x, trained.head_state)
            x, head_state = descend_within(jnp.asarray(head), problem, self.optimizer, begun, batches, n_head)
            trained = trained._replace(x=x, head_state=head_state)
        begun = TrainState(trained.x, trained.opt_state)
        x, opt_state = descend_within(
            jnp.asarray(~head), problem, self.optimizer, begun, batches, self.local_steps, n_head
        )
        trained = chosen(round_.works, FedRepState(x, opt_state, trained.head_state), state)
        return round_.keep_offline(trained._replace(x=links.mix(trained.x)), state), links.sent(state.x)


def head_of(problem: Problem) -> np.ndarray:
    """Return (p,) bool: the private columns that gradients move; private batch statistics go with the body's steps."""
    private = np.arange(problem.n_params) >= problem.n_shared
    return private & ~problem.layout.is_state if has_state(problem) else private  # pyright: ignore[reportAttributeAccessIssue]


@algorithm
def fedrep(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    head_steps: int = 1,
    local_steps: int = 1,
) -> Algorithm:
    """Run FedRep over gossip: nodes learn a body together, and each a head of its own for it.

    Args:
        problem: the learning problem, whose private parameters are the head (``learning.private``, in Python ``private``).
        optimizer: any optax transformation, applied to each node separately, and to its head and body by themselves.
        W: mixing of the bodies, fixed or time-varying.
        head_steps: τ_h, optimizer steps of the head per node and round, which come first; none without private parameters.
        local_steps: τ, optimizer steps of the body per node and round.

    Raises:
        InputError: a number of steps is below 1, or W is push-sum mixing.
    """
    check_at_least_one("fedrep", head_steps=head_steps, local_steps=local_steps)
    check_agreement("fedrep", W)

    return Algorithm(FedRep(optimizer, head_steps, local_steps), problem, W, name="FedRep")
