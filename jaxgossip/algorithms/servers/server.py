"""What methods with a server share: which nodes take part in a round, the mean of what they send, and what that costs.

A round begins with the server's model on the sampled nodes. Each of them that is online takes its local steps and sends
its result; where that is lost, or nobody is reached, the server goes on without it. Private columns stay on the nodes.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgossip.algorithms.base import TrainState, check_no_start_steps, check_share, nodes_of, with_optimizer
from jaxgossip.algorithms.model_state import with_state_of
from jaxgossip.core import counting
from jaxgossip.core.devices.exchanges import node_sum, of_row
from jaxgossip.core.typing import NodeFloats, NodeMask, PRNGKey, Rows, accumulator
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.optimizers.counts import at_round
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing.bijection import random_bijection
from jaxgossip.network import Round, Traffic, surely

Model = Float[Array, "1 p"]
"""The model of a server, or what is like it."""


class Server(NamedTuple):
    """The model of a server, and what nodes keep of theirs.

    Attributes:
        x: (1, p) the server's model.
        private: (n, q) private columns of each node.
    """

    x: Model
    private: Rows


class Participants(NamedTuple):
    """The nodes that take part in a round.

    Attributes:
        number: how many are sampled.
        reached: (n,) bool, the sampled nodes that are online: they have the server's model.
        arrives: (n,) bool, those whose result arrives at the server.
    """

    number: int
    reached: NodeMask
    arrives: NodeMask


def at_server(problem: Problem, key: PRNGKey) -> Server:
    """Return the model of node 0 as the server's, and the private columns of all."""
    x = problem.init(key)
    return Server(of_row(x, 0), x[:, problem.n_shared :])


def participants(problem: Problem, round_: Round, sampled: int) -> Participants:
    """Return the nodes that take part in a round, ``sampled`` of them drawn anew."""
    node = jnp.minimum(round_.draws.numbers(), problem.n_nodes - 1).astype(jnp.uint32)
    chosen = random_bijection(round_.key("sampled"), problem.n_nodes)(node) < sampled
    reached = chosen if round_.online is None else chosen & round_.online
    if surely(round_.conditions.drop, 0):
        return Participants(sampled, reached, reached)
    lost = round_.draws.uniform(round_.key("upload drop")) < round_.conditions.drop
    return Participants(sampled, reached, reached & ~lost)


def on_nodes(problem: Problem, server: Server) -> Rows:
    """Return (n, p): the server's model on every node, with the private columns of each."""
    shared = (server.private.shape[0], problem.n_shared)
    return jnp.concatenate([jnp.broadcast_to(server.x[:, : problem.n_shared], shared), server.private], axis=1)


def fresh(problem: Problem, optimizer: Transformation, server: Server, round_: Round) -> TrainState:
    """Return the server's model on every node, with optimizers that begin anew in this round."""
    return fresh_on(problem, optimizer, on_nodes(problem, server), round_)


def fresh_on(problem: Problem, optimizer: Transformation, rows: Rows, round_: Round) -> TrainState:
    """Return models (n, p) of the nodes, with optimizers that begin anew in this round."""
    return at_round(with_optimizer(rows, optimizer, nodes_of(problem), round_.key("optimizer")), round_.number)


def samples_of(problem: Problem, part: Participants) -> NodeFloats:
    """Return (n,): the number of samples of each node whose result arrives, 0 of all others."""
    counts = jnp.asarray(problem.sample_counts, accumulator(problem.dtype))
    return jnp.where(part.arrives, counts, 0)


def mean_of(rows: Rows, weight: NodeFloats, otherwise: Model) -> Model:
    """Return (1, s): the mean of rows (n, s) by ``weight`` (n,); ``otherwise`` (1, s) if all weights are 0."""
    total = node_sum(weight)
    mean = node_sum(weight[:, None] * rows)[None] / jnp.where(total > 0, total, 1)
    return jnp.where(total > 0, mean, otherwise)


def in_rows(problem: Problem, shared: Float[Array, "k s"]) -> Float[Array, "k p"]:
    """Return shared columns (k, s) as rows (k, p), with zeros in the private ones."""
    return jnp.pad(shared, ((0, 0), (0, problem.n_params - problem.n_shared)))


def with_mean_of_state(problem: Problem, moved: Model, mean: Model) -> Model:
    """Return by what a server moves, (1, s): ``moved``, and ``mean`` for state of models, which no gradient moves."""
    return with_state_of(problem, in_rows(problem, moved), in_rows(problem, mean))[:, : problem.n_shared]


def after_round(
    problem: Problem, server: Server, part: Participants, shared: Float[Array, "1 s"], rows: Rows
) -> Server:
    """Return the server with ``shared`` (1, s) as its model, and private columns of ``rows`` (n, p) of nodes that took part."""
    private = jnp.where(part.reached[:, None], rows[:, problem.n_shared :], server.private)
    return Server(jnp.concatenate([shared, of_row(private, 0)], axis=1), private)


def exchanged(problem: Problem, round_: Round, part: Participants, *, rows: int = 1) -> Traffic:
    """Return the traffic of a round: ``rows`` rows to every sampled node, and as many from each that is online."""
    row_bytes = rows * problem.n_shared * np.dtype(problem.dtype).itemsize
    messages = counting.add(counting.count(part.number), counting.total(jnp.asarray(part.reached, jnp.uint32)))
    sent = counting.times(messages, row_bytes)
    waits = round_.at_server(part.arrives, row_bytes, receivers=part.reached, senders=part.reached)
    return Traffic(messages, sent, counting.count(0), waits)


def sampled_nodes(builder: str, name: str, problem: Problem, fraction: float) -> int:
    """Return how many nodes a server samples.

    Raises:
        InputError: ``fraction`` is outside (0, 1], or the problem has start steps.
    """
    check_share(builder, fraction=fraction)
    check_no_start_steps(name, problem, "the server's model takes the place of whatever nodes have learned")
    return max(1, round(fraction * problem.n_nodes))
