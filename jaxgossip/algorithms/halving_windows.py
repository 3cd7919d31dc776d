"""Halving windows, the exact mean of any number of nodes in R = ⌈log₂ n⌉ rounds of one row a node; nobody learns:

    m₀ = 1, …, m_R = n with m_k = ⌈m_{k+1}/2⌉;   node i holds a_i, the sum of x_i, …, x_{i−m+1}, and b_i = a_i − x_i
    m⁺ = 2m:      M_i = a_{i−m}         (all of the window before its own)
    m⁺ = 2m − 1:  M_i = b_{i−(m−1)}     (all of it but the nearest, which is in its own already)
    a⁺ = a + M,   b⁺ = b + M

Here sums are kept as means, x = a/m and y = b/(m − 1), so that models of 16 bits do not overflow and every round has models
to evaluate:

    m⁺ = 2m:      X⁺ = ½(X + P X),                     y⁺ = ((m − 1) y + m P x)/(2m − 1)       P the shift by m
    m⁺ = 2m − 1:  X⁺ = (m X + (m − 1) P y)/(2m − 1),   y⁺ = ½(y + P y)                         P the shift by m − 1

After R rounds it begins again from what the nodes hold then. Instead of a lost message its receiver takes the row of its own
that it would have sent: rows still sum to one, the mean is no longer exact, and the next R rounds go on from there.

This is CECA-2P of Ding, Jin, Ying, Yuan and Yin 2023, "DSGD-CECA: decentralized SGD with communication-optimal exact
consensus algorithm", without its gradient steps: there the binary digits of n − 1 say which mean is sent, and x̂ is our y.
"""

import itertools
from dataclasses import dataclass
from typing import NamedTuple, override

import jax
import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, Method, start_models
from jaxgossip.core.rows import settle
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
        x: (n, p) the mean over a node's window.
        y: (n, n_shared) the mean over its window without the node itself; before the first round, x.
    """

    x: Rows
    y: Rows


@dataclass(frozen=True, eq=False)
class Shifts(TimeVarying):
    """Round r brings node i the row of node i − offsets[r mod R], and nothing of its own.

    Attributes:
        n_nodes: number of nodes.
        offsets: R of them.
        order: in which rows the nodes stand; None where row i is node i.
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
        node = jnp.arange(n, dtype=jnp.int32) if self.order is None else jnp.asarray(self.order.nodes)
        source = jnp.where(node >= offset, node - offset, node + (n - offset))
        row = source if self.order is None else jnp.asarray(self.order.rows)[source]
        whole = jnp.asarray(0.0), (jnp.asarray(1.0),)
        return Slots(*whole, (settle(row),), n, balanced=True, numbering=self.numbering)


def windows(n_nodes: int) -> tuple[int, ...]:
    """Return m₀ = 1, …, m_R = ``n_nodes``: the sizes of the windows, each half of the next, rounded up."""
    sizes = [n_nodes]
    while sizes[-1] > 1:
        sizes.append((sizes[-1] + 1) // 2)
    return tuple(reversed(sizes))


class HalvingWindows(Method):
    """See :func:`halving_windows`.

    Attributes:
        optimizer: of the start steps.
        sizes: R + 1 of them, m₀ to m_R.
        doubles: R of them: whether m⁺ = 2m.
        offsets: R of them: by how many nodes P shifts.
    """

    optimizer: Transformation
    sizes: tuple[int, ...]
    doubles: tuple[bool, ...]
    offsets: tuple[int, ...]

    @override
    def init(self, problem: Problem, key: PRNGKey) -> WindowState:
        x = start_models(problem, self.optimizer, key)
        y = x[:, : problem.n_shared]  # has no weight yet; a node that starts late speaks for itself
        return WindowState(x, y)

    @override
    def step(self, problem: Problem, W: None, state: WindowState, round_: Round) -> tuple[WindowState, Traffic]:
        if not self.offsets:
            return state, Traffic.none()
        s, now = problem.n_shared, round_.number % len(self.offsets)
        x, y = widened(state.x[:, :s]), widened(state.y)
        double, m = jnp.asarray(self.doubles)[now], jnp.asarray(self.sizes[:-1], x.dtype)[now]
        links = round_.links(Shifts(problem.n_nodes, self.offsets, problem.order))
        sent = jnp.where(double, state.x[:, :s], state.y)
        heard = widened(links.mix(sent))
        # What arrives is ``share`` of the 2m − 1 nodes of the new window; in the other mean both halves weigh the same.
        # Where models agree, heard − one is 0, and nothing is rounded.
        share = jnp.where(double, m, m - 1) / (2 * m - 1)
        mine, others = (one + jnp.where(half, 0.5, share) * (heard - one) for one, half in ((x, double), (y, ~double)))
        new = WindowState(jnp.concatenate([mine, state.x[:, s:]], axis=1), others)
        return WindowState(*round_.keep_offline(new, state)), links.sent(sent)


@algorithm
def halving_windows(problem: Problem, optimizer: Transformation) -> Algorithm:
    """Average the initial models exactly in ⌈log₂ n⌉ rounds, whatever n is, over and over; it needs no mixing.

    Args:
        problem: gives the initial models and measures them ("averaging" measures the distance to their mean).
        optimizer: of the problem's start steps alone.
    """
    sizes = windows(problem.n_nodes)
    doubles = tuple(after == 2 * before for before, after in itertools.pairwise(sizes))
    offsets = tuple(m if double else m - 1 for m, double in zip(sizes, doubles, strict=False))

    return Algorithm(HalvingWindows(optimizer, sizes, doubles, offsets), problem, name="halving windows")
