"""Averaging and SGD without rounds: by pairwise exchanges, and by asynchronous push-sum.

    pairwise     x_i, x_j ← (x_i + x_j)/2
    AD-PSGD      node i computes G = ∇F_i(x_i; ξ), which takes time; then it averages with a peer, then x_i ← x_i + step(G)
    push-sum     (x_i, w_i) ← (x_i, w_i)/2, and the other half arrives:  (x_j, w_j) ← (x_j, w_j) + (x, w);  z = x/w

Boyd, Ghosh, Prabhakar and Shah 2006, "Randomized gossip algorithms", section II. Lian, Zhang, Zhang and Liu 2018,
"Asynchronous decentralized parallel stochastic gradient descent", algorithm 1. Kempe, Dobra and Gehrke 2003, "Gossip-based
computation of aggregate information", push-sum; Assran, Loizou, Ballas and Rabbat 2019, "Stochastic gradient push".

Pairwise exchanges conserve the mean of all models; push-sum conserves Σx and Σw, including messages in flight: senders
notice when a message would be lost, and keep its mass.
"""

from typing import NamedTuple, override

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import TrainState, check_no_start_steps, start
from jaxgossip.algorithms.model_state import in_mass, with_state_of
from jaxgossip.algorithms.protocols.protocol import Arrived, Deliveries, GossipProtocol, ProtocolMethod, learn, shared
from jaxgossip.algorithms.sgd.push import ratio
from jaxgossip.core.typing import PRNGKey, PyTree, Rows, accumulator, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.schedule.messages import Kind


class MassState(NamedTuple):
    """State of asynchronous push-sum.

    Attributes:
        x: (n, p) masses; private columns are those of the models.
        w: (n, 1) weights, which travel with the masses.
        opt_state: optimizer state of each node; empty without learning.
    """

    x: Rows
    w: Float[Array, "n 1"]
    opt_state: PyTree


class PairwiseAveraging(ProtocolMethod):
    """See :func:`pairwise_averaging`."""

    @override
    def init(self, problem: Problem, key: PRNGKey) -> Rows:
        return problem.init(key)

    @override
    def message(self, problem: Problem, state: Rows) -> Rows:
        return state

    @override
    def deliver(self, problem: Problem, own: Rows, heard: Rows, arrivals: Deliveries) -> Rows:
        return shared(problem, _mean(own, heard), own)

    @override
    def updates(self, arrived: Arrived) -> np.ndarray:
        return 0 * arrived.models

    @override
    def models(self, state: Rows) -> Rows:
        return state


class ADPSGD(ProtocolMethod):
    """See :func:`ad_psgd`."""

    optimizer: Transformation

    @override
    def init(self, problem: Problem, key: PRNGKey) -> TrainState:
        return start(problem, self.optimizer, key)

    @override
    def message(self, problem: Problem, state: TrainState) -> Rows:
        return state.x

    @override
    def deliver(self, problem: Problem, own: TrainState, heard: Rows, arrivals: Deliveries) -> TrainState:
        met = own._replace(x=shared(problem, _mean(own.x, heard), own.x))
        # Gradients are stale; batch statistics go on from where they are.
        learnt = learn(problem, self.optimizer, own, arrivals, at=with_state_of(problem, heard, own.x))
        return arrivals.choose(Kind.LEARN, learnt, met)

    @override
    def updates(self, arrived: Arrived) -> np.ndarray:
        return arrived.learn


class AsynchronousPushSum(ProtocolMethod):
    """See :func:`asynchronous_push_sum`.

    Attributes:
        n_shared: number of shared columns.
    """

    n_shared: int

    @property
    @override
    def conveys_models(self) -> bool:
        return False

    @override
    def init(self, problem: Problem, key: PRNGKey) -> MassState:
        return MassState(problem.init(key), _ones(problem), ())

    @override
    def message(self, problem: Problem, state: MassState) -> MassState:
        return state._replace(opt_state=())

    @override
    def deliver(self, problem: Problem, own: MassState, heard: MassState, arrivals: Deliveries) -> MassState:
        split = own._replace(x=shared(problem, own.x / 2, own.x), w=own.w / 2)
        new = own._replace(x=shared(problem, own.x + heard.x, own.x), w=own.w + heard.w)
        return arrivals.choose(Kind.SPLIT, split, self.learnt(problem, new, arrivals))

    def learnt(self, problem: Problem, state: MassState, arrivals: Deliveries) -> MassState:
        """Return the rows of the state after local learning, which plain push-sum does not do."""
        del problem, arrivals
        return state

    @override
    def updates(self, arrived: Arrived) -> np.ndarray:
        return 0 * arrived.models

    @override
    def models(self, state: MassState) -> Rows:
        return ratio(state.x, state.w, self.n_shared)


class AsynchronousSGP(AsynchronousPushSum):
    """See :func:`asynchronous_sgp`."""

    optimizer: Transformation

    @override
    def init(self, problem: Problem, key: PRNGKey) -> MassState:
        x, opt_state = start(problem, self.optimizer, key)
        return MassState(x, _ones(problem), opt_state)

    @override
    def learnt(self, problem: Problem, state: MassState, arrivals: Deliveries) -> MassState:
        z = self.models(state)
        learnt = learn(problem, self.optimizer, TrainState(state.x, state.opt_state), arrivals, at=z)
        x = with_state_of(problem, learnt.x, state.x + in_mass(problem, learnt.x - state.x, state.w))
        return state._replace(x=x, opt_state=learnt.opt_state)

    @override
    def updates(self, arrived: Arrived) -> np.ndarray:
        return arrived.models


@algorithm
def pairwise_averaging(problem: Problem) -> GossipProtocol:
    """Average in pairs: when its clock ticks, a node calls a neighbour, and both take the mean of their models.

    Args:
        problem: provides the models to average.

    Raises:
        InputError: the problem has start steps.
    """
    check_no_start_steps("pairwise averaging", problem, "it has no optimizer")
    data = problem.n_shared * problem.dtype.itemsize
    return GossipProtocol(
        PairwiseAveraging(), problem, exchanges=("pairwise",), bytes=(data, 0), name="pairwise averaging"
    )


@algorithm
def ad_psgd(problem: Problem, optimizer: Transformation) -> GossipProtocol:
    """Run AD-PSGD: others may average with a node while it computes a gradient, which is then applied stale.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately.
    """
    data = problem.n_shared * problem.dtype.itemsize
    return GossipProtocol(ADPSGD(optimizer), problem, exchanges=("compute_pairwise",), bytes=(data, 0), name="AD-PSGD")


@algorithm
def asynchronous_push_sum(problem: Problem) -> GossipProtocol:
    """Average by push-sum without rounds: a node keeps half of its mass and pushes the other half.

    Args:
        problem: provides the models to average.

    Raises:
        InputError: the problem has start steps.
    """
    check_no_start_steps("asynchronous push-sum", problem, "it has no optimizer")
    return _push_protocol("asynchronous push-sum", AsynchronousPushSum(problem.n_shared), problem)


@algorithm
def asynchronous_sgp(problem: Problem, optimizer: Transformation) -> GossipProtocol:
    """Run stochastic gradient push without rounds: a node adds the mass that arrives, then learns at z = x/w.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately.
    """
    return _push_protocol("asynchronous SGP", AsynchronousSGP(problem.n_shared, optimizer), problem)


def _push_protocol(name: str, method: AsynchronousPushSum, problem: Problem) -> GossipProtocol:
    size, weight = problem.dtype.itemsize, accumulator(problem.dtype).itemsize
    bytes_ = (problem.n_shared * size + weight, weight)
    return GossipProtocol(method, problem, exchanges=("split_push",), bytes=bytes_, name=name)


def _ones(problem: Problem) -> Float[Array, "n 1"]:
    return jnp.ones((problem.n_nodes, 1), accumulator(problem.dtype))


def _mean(a: Rows, b: Rows) -> Rows:
    return (widened(a) + b) / 2
