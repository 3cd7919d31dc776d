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

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import optax

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, TrainState, displacement, needs_agreement, once, start
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import PRNGKey, PyTree, Rows
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


@algorithm
def dsgdm(problem: Problem, optimizer: optax.GradientTransformation, W: Mixing, *, momentum: float = 0.9) -> Algorithm:
    """Run D-SGD with local momentum, ATC; the same as dsgd with momentum in its optimizer.

    Args:
        problem: what is learnt.
        optimizer: any optax transformation without momentum of its own, applied to each node by itself.
        W: mixing operator or schedule.
        momentum: β.

    Raises:
        InputError: a momentum outside [0, 1), or W keeps mass instead of agreement.
    """

    def rule(x: Rows, u: Rows, v: Rows, links: Links) -> tuple[Rows, Rows]:
        v = (momentum * v + u).astype(x.dtype)
        return links.mix(x + v), v

    return _with_momentum("dsgdm", rule, problem, optimizer, W, momentum)


@algorithm
def dmsgd(problem: Problem, optimizer: optax.GradientTransformation, W: Mixing, *, momentum: float = 0.9) -> Algorithm:
    """Run DmSGD: D-SGD whose momentum is mixed along with the models.

    Args:
        problem: what is learnt.
        optimizer: any optax transformation without momentum of its own, applied to each node by itself.
        W: mixing operator or schedule.
        momentum: β.

    Raises:
        InputError: a momentum outside [0, 1), or W keeps mass instead of agreement.
    """

    def rule(x: Rows, u: Rows, v: Rows, links: Links) -> tuple[Rows, Rows]:
        v = (momentum * v + u).astype(x.dtype)
        return links.mix(x + v), links.mix(v, payload="momentum")

    return _with_momentum("dmsgd", rule, problem, optimizer, W, momentum, mixings=2)


@algorithm
def qg_dsgdm(
    problem: Problem, optimizer: optax.GradientTransformation, W: Mixing, *, momentum: float = 0.9
) -> Algorithm:
    """Run quasi-global momentum: the momentum of what a whole round, mixing included, changes.

    Args:
        problem: what is learnt.
        optimizer: any optax transformation without momentum of its own, applied to each node by itself.
        W: mixing operator or schedule.
        momentum: β.

    Raises:
        InputError: a momentum outside [0, 1), or W keeps mass instead of agreement.
    """

    def rule(x: Rows, u: Rows, v: Rows, links: Links) -> tuple[Rows, Rows]:
        after = once(links.mix((x + u + momentum * v).astype(x.dtype)))
        return after, momentum * v + (1 - momentum) * (after - x)

    return _with_momentum("qg_dsgdm", rule, problem, optimizer, W, momentum)


@algorithm
def decentlam(
    problem: Problem, optimizer: optax.GradientTransformation, W: Mixing, *, momentum: float = 0.9
) -> Algorithm:
    """Run DecentLaM: momentum of D-SGD's whole step, which keeps D-SGD's fixed point.

    Args:
        problem: what is learnt.
        optimizer: any optax transformation without momentum of its own, applied to each node by itself.
        W: mixing operator or schedule.
        momentum: β.

    Raises:
        InputError: a momentum outside [0, 1), or W keeps mass instead of agreement.
    """

    def rule(x: Rows, u: Rows, v: Rows, links: Links) -> tuple[Rows, Rows]:
        v = once(momentum * v + links.mix((x + u).astype(x.dtype)) - x)
        return x + v, v

    return _with_momentum("decentlam", rule, problem, optimizer, W, momentum)


def _with_momentum(
    name: str,
    rule: Callable[[Rows, Rows, Rows, Links], tuple[Rows, Rows]],
    problem: Problem,
    optimizer: optax.GradientTransformation,
    W: Mixing,
    momentum: float,
    mixings: int = 1,
) -> Algorithm:
    if not 0 <= momentum < 1:
        raise InputError(f"momentum must be at least 0 and below 1, not {momentum}")
    needs_agreement(name, W)

    def init(key: PRNGKey) -> MomentumState:
        begun = start(problem, optimizer, key)
        return MomentumState(*begun, jnp.zeros_like(begun.x))

    def step(state: MomentumState, round_: Round) -> tuple[MomentumState, Traffic]:
        links = round_.links(W, problem.n_shared)
        u, opt_state = displacement(problem, optimizer, TrainState(state.x, state.opt_state), round_)
        x, v = rule(state.x, u, state.v, links)
        new = MomentumState(x.astype(state.x.dtype), opt_state, v.astype(state.x.dtype))
        return round_.keep_offline(new, state), links.sent(*(state.x,) * mixings)

    return Algorithm(init, step, problem, name=name, mixings=mixings)
