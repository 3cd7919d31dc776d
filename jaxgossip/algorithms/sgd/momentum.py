"""D-SGD with momentum, X (n, p), U = −η G(X) or the step of another optimizer, V (n, p) = −η times the momentum M:

    dsgdm       V⁺ = β V + U            X⁺ = W (X + V⁺)                          local momentum
    dmsgd       V½ = β V + U            X⁺ = W (X + V½),   V⁺ = W V½             momentum is mixed, too
    qg_dsgdm    X⁺ = W (X + U + β V)    V⁺ = β V + (1 − β) (X⁺ − X)              momentum of the mixed step
    decentlam   V⁺ = β V + W (X + U) − X      X⁺ = X + V⁺                        likewise, without additional bias

Local momentum acts like the step size η/(1 − β), and enlarges the bias due to heterogeneous data accordingly; qg_dsgdm and
decentlam have the fixed point of D-SGD. In the papers' notation M = −V/η, for constant η.

dsgdm: Assran et al. 2019; Lin et al. 2021. dmsgd: Yu, Jin and Yang 2019, "On the linear speedup analysis of communication
efficient momentum SGD for distributed non-convex optimization", algorithm 3. qg_dsgdm: Lin, Karimireddy, Stich and Jaggi
2021, "Quasi-global momentum", algorithm 2. decentlam: Yuan et al. 2021, "DecentLaM: decentralized momentum SGD for
large-batch deep training", algorithm 2.
"""

import abc
from typing import ClassVar, NamedTuple, override

import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm, check_below_one
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, check_agreement, displacement, start
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey, PyTree, Rows
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Links, Round, Traffic


class MomentumState(NamedTuple):
    """State of the momentum methods.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state of each node.
        v: (n, p) velocity: the momentum as a displacement.
    """

    x: Rows
    opt_state: PyTree
    v: Rows


class Momentum(Method):
    """D-SGD with momentum; subclasses define the update of models and velocities by :meth:`rule`.

    Attributes:
        mixings: number of times that a round mixes rows as wide as a model.
        optimizer: optimizer of the steps U.
        momentum: β.
    """

    mixings: ClassVar[int] = 1
    memory = ("v",)
    optimizer: Transformation
    momentum: float

    @override
    def init(self, problem: Problem, key: PRNGKey) -> MomentumState:
        initial = start(problem, self.optimizer, key)
        return MomentumState(*initial, jnp.zeros_like(initial.x))

    @override
    def step(self, problem: Problem, W: Mixing, state: MomentumState, round_: Round) -> tuple[MomentumState, Traffic]:
        links = round_.links(W, problem.n_shared)
        u, opt_state = displacement(problem, self.optimizer, TrainState(state.x, state.opt_state), round_)
        x, v = self.rule(state.x, u, state.v, links)
        new = MomentumState(x, opt_state, v)
        return round_.keep_offline(new, state), links.sent(*(state.x,) * self.mixings)

    @abc.abstractmethod
    def rule(self, x: Rows, u: Rows, v: Rows, links: Links) -> tuple[Rows, Rows]:
        """Return (X⁺, V⁺), (n, p) each, given X, U and V."""


class DSGDm(Momentum):
    """See :func:`dsgdm`."""

    @override
    def rule(self, x: Rows, u: Rows, v: Rows, links: Links) -> tuple[Rows, Rows]:
        v = links.as_sent(self.momentum * v + u)
        return links.mix(x + v), v


class DmSGD(Momentum):
    """See :func:`dmsgd`."""

    mixings: ClassVar[int] = 2

    @override
    def rule(self, x: Rows, u: Rows, v: Rows, links: Links) -> tuple[Rows, Rows]:
        v = links.as_sent(self.momentum * v + u)
        return links.mix(x + v), links.mix(v, payload="momentum")


class QGDSGDm(Momentum):
    """See :func:`qg_dsgdm`."""

    @override
    def rule(self, x: Rows, u: Rows, v: Rows, links: Links) -> tuple[Rows, Rows]:
        after = materialize(links.mix(x + u + self.momentum * v))
        return after, self.momentum * v + (1 - self.momentum) * (after - x)


class DecentLaM(Momentum):
    """See :func:`decentlam`."""

    @override
    def rule(self, x: Rows, u: Rows, v: Rows, links: Links) -> tuple[Rows, Rows]:
        v = materialize(self.momentum * v + links.mix(x + u) - x)
        return x + v, v


@algorithm
def dsgdm(problem: Problem, optimizer: Transformation, W: Mixing, *, momentum: float = 0.9) -> Algorithm:
    """Run ATC D-SGD with local momentum; equivalent to dsgd with momentum in its optimizer.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation without momentum, applied to each node separately.
        W: mixing, fixed or time-varying.
        momentum: β.

    Raises:
        InputError: ``momentum`` is outside [0, 1), or W is push-sum mixing.
    """
    return _with_momentum("dsgdm", DSGDm(optimizer, momentum), problem, W)


@algorithm
def dmsgd(problem: Problem, optimizer: Transformation, W: Mixing, *, momentum: float = 0.9) -> Algorithm:
    """Run DmSGD: D-SGD whose momentum is mixed together with the models.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation without momentum, applied to each node separately.
        W: mixing, fixed or time-varying.
        momentum: β.

    Raises:
        InputError: ``momentum`` is outside [0, 1), or W is push-sum mixing.
    """
    return _with_momentum("dmsgd", DmSGD(optimizer, momentum), problem, W)


@algorithm
def qg_dsgdm(problem: Problem, optimizer: Transformation, W: Mixing, *, momentum: float = 0.9) -> Algorithm:
    """Run D-SGD with quasi-global momentum: the momentum of the change over whole rounds, mixing included.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation without momentum, applied to each node separately.
        W: mixing, fixed or time-varying.
        momentum: β.

    Raises:
        InputError: ``momentum`` is outside [0, 1), or W is push-sum mixing.
    """
    return _with_momentum("qg_dsgdm", QGDSGDm(optimizer, momentum), problem, W)


@algorithm
def decentlam(problem: Problem, optimizer: Transformation, W: Mixing, *, momentum: float = 0.9) -> Algorithm:
    """Run DecentLaM: D-SGD with momentum of its whole step, which has the fixed point of D-SGD.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation without momentum, applied to each node separately.
        W: mixing, fixed or time-varying.
        momentum: β.

    Raises:
        InputError: ``momentum`` is outside [0, 1), or W is push-sum mixing.
    """
    return _with_momentum("decentlam", DecentLaM(optimizer, momentum), problem, W)


def _with_momentum(name: str, method: Momentum, problem: Problem, W: Mixing) -> Algorithm:
    check_below_one(name, momentum=method.momentum)
    check_agreement(name, W)
    return Algorithm(method, problem, W, name=name, mixings=method.mixings)
