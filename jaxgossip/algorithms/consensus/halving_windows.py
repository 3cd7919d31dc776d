"""Halving windows, without learning: the exact mean of any number n of nodes in R = ⌈log₂ n⌉ rounds of one row per node:

    m₀ = 1, …, m_R = n with m_k = ⌈m_{k+1}/2⌉;   node i holds a_i, the sum of x_i, …, x_{i−m+1}, and b_i = a_i − x_i
    m⁺ = 2m:      M_i = a_{i−m}         (the window before its own)
    m⁺ = 2m − 1:  M_i = b_{i−(m−1)}     (the same without the nearest node, which its own window contains)
    a⁺ = a + M,   b⁺ = b + M

Sums are stored as means, x = a/m and y = b/(m − 1), so that models of 16 bits do not overflow and every round has models
to evaluate:

    m⁺ = 2m:      X⁺ = ½(X + P X),                     y⁺ = ((m − 1) y + m P x)/(2m − 1)       P = shift by m
    m⁺ = 2m − 1:  X⁺ = (m X + (m − 1) P y)/(2m − 1),   y⁺ = ½(y + P y)                         P = shift by m − 1

After R rounds the algorithm restarts from the current models. A receiver replaces a lost message with the row that it sends
itself: rows of W still sum to one, the mean is no longer exact, and the next R rounds continue from there.

This is CECA-2P of Ding, Jin, Ying, Yuan and Yin 2023, "DSGD-CECA: decentralized SGD with communication-optimal exact
consensus algorithm", without gradient steps: there the binary digits of n − 1 select the mean that is sent, and x̂ is y.
"""

import itertools
from dataclasses import dataclass
from typing import NamedTuple, override

import jax
import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, Method, start_models
from jaxgossip.core.devices.blocks import own, row_numbers
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey, Rows, derived, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Operator, TimeVarying
from jaxgossip.mixing.operators.tables import Slots
from jaxgossip.network import Round, Traffic
from jaxgossip.topology import Order


class WindowState(NamedTuple):
    """State of halving windows.

    Attributes:
        x: (n, p) mean over the window of each node.
        y: (n, n_shared) mean over this window without the node itself; x before the first round.
    """

    x: Rows
    y: Rows


@dataclass(frozen=True, eq=False)
class Shifts(TimeVarying):
    """W that shifts rows: in round r, node i takes the row of node (i − offsets[r mod R]) mod n.

    Attributes:
        n_nodes: number of nodes.
        offsets: the R offsets.
        order: the order of the rows; None if row i is node i.
    """

    n_nodes: int
    offsets: tuple[int, ...]
    order: Order | None = None

    @derived
    @override
    def numbering(self) -> str:
        return "" if self.order is None else self.order.numbering

    @override
    def at(self, round_number: jax.Array, key: PRNGKey) -> Operator:
        n, offset = self.n_nodes, jnp.asarray(self.offsets, jnp.int32)[round_number % len(self.offsets)]
        node = row_numbers(n) if self.order is None else own(self.order.nodes)
        source = jnp.clip(jnp.where(node >= offset, node - offset, node + (n - offset)), 0, n - 1)
        row = source if self.order is None else jnp.asarray(self.order.rows)[source]
        whole = jnp.asarray(0.0), (jnp.asarray(1.0),)
        return Slots(*whole, (materialize(row),), n, balanced=True, numbering=self.numbering)


def windows(n_nodes: int) -> tuple[int, ...]:
    """Return m₀ = 1, …, m_R = ``n_nodes``, the sizes of the windows: each is half of the next, rounded up."""
    sizes = [n_nodes]
    while sizes[-1] > 1:
        sizes.append((sizes[-1] + 1) // 2)
    return tuple(reversed(sizes))


class HalvingWindows(Method):
    """See :func:`halving_windows`.

    Attributes:
        optimizer: optimizer of the start steps; None if the problem has none.
        sizes: m₀, …, m_R.
        doubles: R bool, whether m⁺ = 2m in each round.
        offsets: R int, the number of nodes by which P shifts in each round.
    """

    takes_steps = False
    optimizer: Transformation | None
    sizes: tuple[int, ...]
    doubles: tuple[bool, ...]
    offsets: tuple[int, ...]

    @override
    def init(self, problem: Problem, key: PRNGKey) -> WindowState:
        x = start_models(problem, self.optimizer, key)
        y = x[:, : problem.n_shared]  # its weight is still 0; a node that comes online late sends its own model
        return WindowState(x, y)

    @override
    def step(self, problem: Problem, W: None, state: WindowState, round_: Round) -> tuple[WindowState, Traffic]:
        if not self.offsets:
            return state, Traffic.none()
        s, k = problem.n_shared, round_.number % len(self.offsets)
        x, y = widened(state.x[:, :s]), widened(state.y)
        double, m = jnp.asarray(self.doubles)[k], jnp.asarray(self.sizes[:-1], x.dtype)[k]
        links = round_.links(Shifts(problem.n_nodes, self.offsets, problem.order))
        sent = jnp.where(double, state.x[:, :s], state.y)
        heard = widened(links.mix(sent))
        # The message has weight ``share`` in the mean over 2m − 1 nodes, and ½ in the other. If models agree, heard − mean
        # is 0, and nothing is rounded.
        share = jnp.where(double, m, m - 1) / (2 * m - 1)
        x, y = (mean + jnp.where(half, 0.5, share) * (heard - mean) for mean, half in ((x, double), (y, ~double)))
        new = WindowState(jnp.concatenate([x, state.x[:, s:]], axis=1), y)
        return WindowState(*round_.keep_offline(new, state)), links.sent(sent)


@algorithm
def halving_windows(problem: Problem, optimizer: Transformation | None) -> Algorithm:
    """Average the initial models exactly in ⌈log₂ n⌉ rounds for any n, repeatedly; uses no mixing.

    Args:
        problem: provides the initial models and measures them ("averaging" measures the distance to their mean).
        optimizer: any optax transformation, used only for the start steps of the problem; None if it has none.
    """
    sizes = windows(problem.n_nodes)
    doubles = tuple(after == 2 * before for before, after in itertools.pairwise(sizes))
    offsets = tuple(m if double else m - 1 for m, double in zip(sizes, doubles, strict=False))

    return Algorithm(HalvingWindows(optimizer, sizes, doubles, offsets), problem, name="halving windows")
