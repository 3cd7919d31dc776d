"""Averaging and SGD where no two nodes act at the same time: pairs that meet, and masses that travel.

    pairs meet       x_i, x_j ← (x_i + x_j)/2
    AD-PSGD          a node takes G = ∇F_i(x_i; ξ), which takes a while; then a pair meets, then x_i ← x_i + step(G)
    masses travel    (x_i, w_i) ← (x_i, w_i)/2, and the other half arrives:  (x_j, w_j) ← (x_j, w_j) + (x, w);  z = x/w

Boyd, Ghosh, Prabhakar and Shah 2006, "Randomized gossip algorithms", section II. Lian, Zhang, Zhang and Liu 2018,
"Asynchronous decentralized parallel stochastic gradient descent", algorithm 1. Kempe, Dobra and Gehrke 2003, "Gossip-based
computation of aggregate information", push-sum; Assran, Loizou, Ballas and Rabbat 2019, "Stochastic gradient push".

Pairs keep the mean of all models, and masses Σx and Σw, those in flight included: a message that would be lost is noticed,
and takes nothing with it.
"""

from typing import NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import TrainState, no_start_steps, start
from jaxgossip.algorithms.protocol import Deliveries, GossipProtocol, learn, shared
from jaxgossip.core.typing import PRNGKey, PyTree, Rows, accumulator
from jaxgossip.learning.problem import Problem
from jaxgossip.schedule.messages import Kind


class MassState(NamedTuple):
    """State of asynchronous push-sum.

    Attributes:
        x: (n, p) masses of the models.
        w: (n, 1) weights that travel along.
        opt_state: the optimizer's state of each node; empty without learning.
    """

    x: Rows
    w: Float[Array, "n 1"]
    opt_state: PyTree

    @property
    def z(self) -> Rows:
        """(n, p) models, x/w."""
        return (self.x.astype(self.w.dtype) / self.w).astype(self.x.dtype)


@algorithm
def pairwise_averaging(problem: Problem) -> GossipProtocol:
    """Average in pairs: whoever's clock ticks calls a neighbour, and both take the mean of their models.

    Args:
        problem: gives the models to average.
    """

    def deliver(own: Rows, heard: Rows, arrivals: Deliveries) -> Rows:
        del arrivals
        return shared(problem, _mean(own, heard), own)

    no_start_steps("pairwise averaging", problem, "it has no optimizer")
    data = problem.n_shared * problem.dtype.itemsize
    return GossipProtocol(
        problem.init, lambda x: x, deliver, problem,
        exchanges=("pairwise",), models=lambda x: x, bytes=(data, 0), name="pairwise averaging",
    )  # fmt: skip


@algorithm
def ad_psgd(problem: Problem, optimizer: optax.GradientTransformation) -> GossipProtocol:
    """Run AD-PSGD: while a node computes a gradient others may average with it, and its gradient is stale when it comes.

    Args:
        problem: what is learnt.
        optimizer: any optax transformation, applied to each node by itself.
    """

    def deliver(own: TrainState, heard: Rows, arrivals: Deliveries) -> TrainState:
        met = own._replace(x=shared(problem, _mean(own.x, heard), own.x))
        learnt = learn(problem, optimizer, own, arrivals, at=heard)
        return arrivals.choose(Kind.LEARN, learnt, met)

    data = problem.n_shared * problem.dtype.itemsize
    return GossipProtocol(
        lambda key: start(problem, optimizer, key), lambda rows: rows.x, deliver, problem,
        exchanges=("compute_pairwise",), bytes=(data, 0), name="AD-PSGD",
    )  # fmt: skip


@algorithm
def asynchronous_push_sum(problem: Problem) -> GossipProtocol:
    """Average by push-sum without rounds: a node keeps half of its mass and pushes the other half.

    Args:
        problem: gives the models to average.
    """
    return _push_sum(problem, None, "asynchronous push-sum")


@algorithm
def asynchronous_sgp(problem: Problem, optimizer: optax.GradientTransformation) -> GossipProtocol:
    """Run stochastic gradient push without rounds: masses that arrive are added, then the node learns at z = x/w.

    Args:
        problem: what is learnt.
        optimizer: any optax transformation, applied to each node by itself.
    """
    return _push_sum(problem, optimizer, "asynchronous SGP")


def _push_sum(problem: Problem, optimizer: optax.GradientTransformation | None, name: str) -> GossipProtocol:
    kind = accumulator(problem.dtype)
    if optimizer is None:
        no_start_steps(name, problem, "it has no optimizer")

    def init(key: PRNGKey) -> MassState:
        x, opt_state = (problem.init(key), ()) if optimizer is None else start(problem, optimizer, key)
        return MassState(x, jnp.ones((problem.n_nodes, 1), kind), opt_state)

    def message(rows: MassState) -> MassState:
        return rows._replace(opt_state=())

    def deliver(own: MassState, heard: MassState, arrivals: Deliveries) -> MassState:
        split = own._replace(x=shared(problem, own.x / 2, own.x), w=own.w / 2)
        new = own._replace(x=shared(problem, own.x + heard.x, own.x), w=own.w + heard.w)
        if optimizer is not None:
            learnt = learn(problem, optimizer, TrainState(new.x, own.opt_state), arrivals, at=new.z)
            new = new._replace(x=learnt.x, opt_state=learnt.opt_state)
        return arrivals.choose(Kind.SPLIT, split, new)

    size = problem.dtype.itemsize
    return GossipProtocol(
        init, message, deliver, problem,
        exchanges=("split_push",), models=lambda state: state.z,
        bytes=(problem.n_shared * size + kind.itemsize, kind.itemsize), name=name,
    )  # fmt: skip


def _mean(a: Rows, b: Rows) -> Rows:
    kind = accumulator(a.dtype)
    return ((a.astype(kind) + b.astype(kind)) / 2).astype(a.dtype)
