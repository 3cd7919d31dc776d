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

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, check_agreement, start
from jaxgossip.algorithms.local_steps import Epochs, Steps, batches_of, chosen_steps, steps_of_nodes, together
from jaxgossip.algorithms.model_state import has_state
from jaxgossip.algorithms.personal.columns import descend_within
from jaxgossip.core.errors import InputError
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
    head_steps: Steps
    local_steps: Steps

    @override
    def work(self, problem: Problem, steps: Steps) -> Steps:
        return together(self.head_steps, steps) if head_of(problem).any() else steps

    @override
    def init(self, problem: Problem, key: PRNGKey) -> FedRepState:
        x, opt_state = start(problem, self.optimizer, key)
        return FedRepState(x, opt_state, opt_state)

    @override
    def step(self, problem: Problem, W: Mixing, state: FedRepState, round_: Round) -> tuple[FedRepState, Traffic]:
        links, head = round_.links(W, problem.n_shared), head_of(problem)
        batches = batches_of(problem, round_, self.work(problem, self.local_steps))
        of_head, of_body = batches.split(steps_of_nodes(problem, self.head_steps) if head.any() else 0)
        begun = TrainState(widened(state.x), state.head_state)
        x, head_state = descend_within(jnp.asarray(head), problem, self.optimizer, begun, of_head)
        begun = TrainState(x, state.opt_state)
        x, opt_state = descend_within(jnp.asarray(~head), problem, self.optimizer, begun, of_body)
        trained = chosen(round_.works, FedRepState(x, opt_state, head_state), state)
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
    head_steps: int | None = None,
    head_epochs: int | None = None,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Run FedRep over gossip: nodes learn a body together, and each a head of its own for it.

    Args:
        problem: the learning problem, whose private parameters are the head (``learning.private``, in Python ``private``).
        optimizer: any optax transformation, applied to each node separately, and to its head and body by themselves.
        W: mixing of the bodies, fixed or time-varying.
        head_steps: τ_h, optimizer steps of the head per node and round, which come first, 1 if left out; none without private
            parameters.
        head_epochs: in its place, passes of every node through its own samples; 1 if left out, with ``local_epochs``.
        local_steps: τ, optimizer steps of the body per node and round; 1 if left out.
        local_epochs: in its place, passes of every node through its own samples, with ``sampling="epochs"``; a node with fewer
            minibatches than others takes fewer steps, and waits. Then the head has epochs as well.

    Raises:
        InputError: the steps or epochs cannot be taken (:func:`.chosen_steps`), one of head and body has steps and the other
            epochs, or W is push-sum mixing.
    """
    if local_epochs is not None and head_steps is None and head_epochs is None:
        head_epochs = 1
    if head_epochs is not None and local_steps is None and local_epochs is None:
        local_epochs = 1
    body = chosen_steps("fedrep", problem, local_steps, local_epochs)
    head = chosen_steps("fedrep", problem, head_steps, head_epochs, kind="head")
    if isinstance(head, Epochs) != isinstance(body, Epochs):
        raise InputError(
            "fedrep: either head and body have steps, or both have epochs", hint="head_epochs and local_epochs"
        )
    check_agreement("fedrep", W)

    return Algorithm(FedRep(optimizer, head, body), problem, W, name="FedRep")
