"""D-SGD with momentum, X (n, p), U = −η G(X) or what another optimizer makes of G, V (n, p) = −η times the momentum M:

    dsgdm       V⁺ = β V + U            X⁺ = W (X + V⁺)                          each node its own momentum
    dmsgd       V½ = β V + U            X⁺ = W (X + V½),   V⁺ = W V½             momentum is mixed too
    qg_dsgdm    X⁺ = W (X + U + β V)    V⁺ = β V + (1 − β) (X⁺ − X)              momentum of what mixing made of the step
    decentlam   V⁺ = β V + W (X + U) − X      X⁺ = X + V⁺                        likewise, without its own bias

Local momentum acts as the step η/(1 − β), and enlarges the bias that different data leave as such a step would; qg_dsgdm
and decentlam keep the fixed point of D-SGD. In the papers' notation M = −V/η, for a constant η.

dsgdm: Assran et al. 2019; Lin et al. 2021. dmsgd: Yu, Jin and Yang 2019, "On the linear speedup analysis of communication
efficient momentum SGD for distributed non-convex optimization", algorithm 3. qg_dsgdm: Lin, Karimireddy, Stich and Jaggi
2021, "Quasi-global momentum", algorithm 2. decentlam: Yuan et al. 2021, "DecentLaM: decentralized momentum SGD for
large-batch deep training", algorithm 2.
"""

import abc
from typing import ClassVar, NamedTuple, override

import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, displacement, needs_agreement, once, start
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import PRNGKey, PyTree, Rows
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Links, Round, Traffic


class MomentumState(NamedTuple):
    """State of the momentum methods.

    Attributes:
        x: (n, p) models.
        opt_state: the optimizer's state of each node.
        v: (n, p) velocity, the momentum as a displacement.
    """

    x: Rows
    opt_state: PyTree
    v: Rows


class Momentum(Method):
    """D-SGD with momentum: a subclass says what a step U makes of models and velocities.

    Attributes:
        mixings: how many times a round mixes rows as wide as a model.
    """

    mixings: ClassVar[int] = 1
    optimizer: Transformation
    momentum: float

    @override
    def init(self, problem: Problem, key: PRNGKey) -> MomentumState:
        begun = start(problem, self.optimizer, key)
        return MomentumState(*begun, jnp.zeros_like(begun.x))

    @override
    def step(self, problem: Problem, W: Mixing, state: MomentumState, round_: Round) -> tuple[MomentumState, Traffic]:
        links = round_.links(W, problem.n_shared)
        u, opt_state = displacement(problem, self.optimizer, TrainState(state.x, state.opt_state), round_)
        x, v = self.rule(state.x, u, state.v, links)
        new = MomentumState(x, opt_state, v)
        return round_.keep_offline(new, state), links.sent(*(state.x,) * self.mixings)

    @abc.abstractmethod
    def rule(self, x: Rows, u: Rows, v: Rows, links: Links) -> tuple[Rows, Rows]:
        """Return (X⁺, V⁺), (n, p) each."""


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
        after = once(links.mix(x + u + self.momentum * v))
        return after, self.momentum * v + (1 - self.momentum) * (after - x)


class DecentLaM(Momentum):
    """See :func:`decentlam`."""

    @override
    def rule(self, x: Rows, u: Rows, v: Rows, links: Links) -> tuple[Rows, Rows]:
        v = once(self.momentum * v + links.mix(x + u) - x)
        return x + v, v


@algorithm
def dsgdm(problem: Problem, optimizer: Transformation, W: Mixing, *, momentum: float = 0.9) -> Algorithm:
    """Run D-SGD with local momentum, ATC; the same as dsgd with momentum in its optimizer.

    Args:
        problem: what is learnt.
        optimizer: any optax transformation without momentum of its own, applied to each node by itself.
        W: mixing, fixed or time-varying.
        momentum: β.

    Raises:
        InputError: a momentum outside [0, 1), or W keeps mass instead of agreement.
    """
    return _with_momentum("dsgdm", DSGDm(optimizer, momentum), problem, W)


@algorithm
def dmsgd(problem: Problem, optimizer: Transformation, W: Mixing, *, momentum: float = 0.9) -> Algorithm:
    """Run DmSGD: D-SGD whose momentum is mixed along with the models.

    Args:
        problem: what is learnt.
        optimizer: any optax transformation without momentum of its own, applied to each node by itself.
        W: mixing, fixed or time-varying.
        momentum: β.

    Raises:
        InputError: a momentum outside [0, 1), or W keeps mass instead of agreement.
    """
    return _with_momentum("dmsgd", DmSGD(optimizer, momentum), problem, W)


@algorithm
def qg_dsgdm(problem: Problem, optimizer: Transformation, W: Mixing, *, momentum: float = 0.9) -> Algorithm:
    """Run quasi-global momentum: the momentum of what a whole round, mixing included, changes.

    Args:
        problem: what is learnt.
        optimizer: any optax transformation without momentum of its own, applied to each node by itself.
        W: mixing, fixed or time-varying.
        momentum: β.

    Raises:
        InputError: a momentum outside [0, 1), or W keeps mass instead of agreement.
    """
    return _with_momentum("qg_dsgdm", QGDSGDm(optimizer, momentum), problem, W)


@algorithm
def decentlam(problem: Problem, optimizer: Transformation, W: Mixing, *, momentum: float = 0.9) -> Algorithm:
    """Run DecentLaM: momentum of D-SGD's whole step, which keeps D-SGD's fixed point.

    Args:
        problem: what is learnt.
        optimizer: any optax transformation without momentum of its own, applied to each node by itself.
        W: mixing, fixed or time-varying.
        momentum: β.

    Raises:
        InputError: a momentum outside [0, 1), or W keeps mass instead of agreement.
    """
    return _with_momentum("decentlam", DecentLaM(optimizer, momentum), problem, W)


def _with_momentum(name: str, method: Momentum, problem: Problem, W: Mixing) -> Algorithm:
    if not 0 <= method.momentum < 1:
        raise InputError(f"momentum must be at least 0 and below 1, not {method.momentum}")
    needs_agreement(name, W)
    return Algorithm(method, problem, W, name=name, mixings=method.mixings)
