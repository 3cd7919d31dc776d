"""SparseLoCo, x̂ (p,) the common model, E (n, p) a memory, C a compressor, H local steps on each node give Y_i = x̂ + U_i:

    V = β E + x̂ − Y,   D = C(V),   E⁺ = V − D,   x̂⁺ = x̂ − α · mean of D        (in stacked form X⁺ = 1 x̂⁺ᵀ)

With β = 1 it is classic error feedback. Without compression E stays 0, and it is local SGD with outer rate α, whatever β. With
random-k of density ρ, a displacement is delivered ρ βʲ (1 − ρ)ʲ of it j rounds late: the memory takes the place of an outer
momentum of β (1 − ρ), with gain ρ/(1 − β (1 − ρ)). As published, C is top-k in chunks of 4096, of 1 to 3 %, in numbers of two
bits; local optimizers keep their state.

All nodes have one model, since all add up the same messages. Over a graph each would add up those of its neighbours, and as
the messages are changes and not models, nothing would take the differences between models away.

A message goes from every node to all others: counted are one to a server, and one back. What comes back are the messages of
all nodes, or the model if that is smaller, if nodes are sampled or if some may be offline, which miss messages. An upload that
is lost stays in the memory of its node, D_i = 0. Batch statistics are sent as they are.

Sarfi, Thérien, Lidin and Belilovsky 2025, "Communication efficient LLM pre-training with SparseLoCo", algorithm 1.
"""

from typing import NamedTuple, override

import jax.numpy as jnp
import numpy as np

from jaxgossip.algorithms.arguments import algorithm, check_positive
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, descend, nodes_of
from jaxgossip.algorithms.compressed.choco import compressed
from jaxgossip.algorithms.local_steps import Steps, chosen_steps
from jaxgossip.algorithms.low_communication.outer import LOCAL_STEPS
from jaxgossip.algorithms.model_state import has_state, with_state_of
from jaxgossip.algorithms.servers.server import (
    Model,
    Participants,
    Server,
    after_round,
    at_server,
    mean_of,
    on_nodes,
    participants,
    sampled_nodes,
    with_mean_of_state,
)
from jaxgossip.compression import Compressor, Size, empty_memory
from jaxgossip.core import counting
from jaxgossip.core.errors import InputError
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey, PyTree, Rows, rounded, widened
from jaxgossip.learning.nodewise import fresh_states
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.network import Round, Traffic, chosen


class SparseState(NamedTuple):
    """State of SparseLoCo.

    Attributes:
        x: (1, p) the common model.
        private: (n, q) private columns of each node.
        opt_state: state of each node's inner optimizer.
        memory: (n, p) E, what each node has not sent yet; zero in private columns.
    """

    x: Model
    private: Rows
    opt_state: PyTree
    memory: Rows


class SparseLoCo(Method):
    """See :func:`sparse_loco`."""

    memory = ("memory",)

    optimizer: Transformation
    compressor: Compressor
    decay: float
    outer_rate: float
    sampled: int
    local_steps: Steps

    @override
    def init(self, problem: Problem, key: PRNGKey) -> SparseState:
        server = at_server(problem, key)
        rows = on_nodes(problem, server)
        inner = fresh_states(self.optimizer, widened(rows), nodes_of(problem), key)
        return SparseState(*server, inner, empty_memory(rows))

    @override
    def step(self, problem: Problem, W: None, state: SparseState, round_: Round) -> tuple[SparseState, Traffic]:
        server, s = Server(state.x, state.private), problem.n_shared
        initial = TrainState(widened(on_nodes(problem, server)), state.opt_state)
        after = descend(problem, self.optimizer, initial, round_, self.local_steps)
        part = participants(problem, round_, self.sampled)

        change = jnp.where(np.arange(problem.n_params) < s, initial.x - after.x, 0)
        whole = materialize(with_state_of(problem, self.decay * state.memory + change, 0))
        message = rounded(compressed(self.compressor, whole, s, round_), problem.dtype)
        message = materialize(with_state_of(problem, widened(message), change))
        memory = whole - jnp.where(part.arrives[:, None], message, 0)

        weight = part.arrives.astype(message.dtype)
        mean = mean_of(message[:, :s], weight, jnp.zeros_like(message[:1, :s]))
        moved = with_mean_of_state(problem, self.outer_rate * mean, mean)
        new = after_round(problem, server, part, widened(state.x)[:, :s] - moved, after.x)
        kept = chosen(part.reached, (after.opt_state, memory), (state.opt_state, state.memory))
        return SparseState(*new, *kept), self._exchanged(problem, round_, part)

    def _exchanged(self, problem: Problem, round_: Round, part: Participants) -> Traffic:
        """Return the traffic of a round: a message from every node that is online, and to every sampled one the answer."""
        n, row = problem.n_nodes, problem.n_shared * np.dtype(problem.dtype).itemsize
        size = self._size(problem)
        present = part.number == n and round_.online is None
        up = counting.total(jnp.asarray(part.reached, jnp.uint32))
        sent, about = counting.times(up, size.total), counting.times(up, size.metadata)
        if back := present and n * size.total < row:
            heard = counting.total(jnp.asarray(part.arrives, jnp.uint32))
            sent = counting.add(sent, counting.times(heard, n * size.total))
            about = counting.add(about, counting.times(heard, n * size.metadata))
        else:
            sent = counting.add(sent, counting.times(counting.count(part.number), row))
        messages = counting.add(counting.count(part.number), up)
        size_back, receivers = (n * size.total, part.arrives) if back else (row, part.reached)
        waits = round_.at_server(part.arrives, size_back, size.total, receivers=receivers, senders=part.reached)
        return Traffic(messages, sent, about, waits)

    def _size(self, problem: Problem) -> Size:
        """Return the bytes of a message."""
        size = self.compressor.size(problem.n_shared, problem.dtype)
        n_state = int(np.sum(problem.layout.is_state[: problem.n_shared])) if has_state(problem) else 0  # pyright: ignore[reportAttributeAccessIssue]
        return Size(size.data + n_state * np.dtype(problem.dtype).itemsize, size.metadata)


@algorithm
def sparse_loco(
    problem: Problem,
    optimizer: Transformation,
    compressor: Compressor,
    *,
    decay: float = 0.95,
    outer_rate: float = 1.0,
    fraction: float = 1.0,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Train one model with many local steps between exchanges of a few numbers, whose rest a memory adds later: SparseLoCo.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, for the local steps; its state stays on the node and is kept between rounds.
        compressor: C, any contraction, such as ``top_k``.
        decay: β, what stays of the memory in a round; 1 loses nothing.
        outer_rate: α, learning rate of the step along the mean message.
        fraction: fraction of the nodes sampled each round.
        local_steps: H, optimizer steps per node and round; 10 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: ``decay`` is outside [0, 1], ``outer_rate`` is not positive, ``fraction`` is outside (0, 1], the local steps
            or epochs cannot be taken (:func:`.chosen_steps`), or the problem has start steps.
    """
    if not 0 <= decay <= 1:
        raise InputError(f"sparse_loco: decay must be at least 0 and at most 1, not {decay}")
    check_positive("sparse_loco", outer_rate=outer_rate)
    sampled = sampled_nodes("sparse_loco", "SparseLoCo", problem, fraction)
    steps = chosen_steps("sparse_loco", problem, local_steps, local_epochs, default=LOCAL_STEPS)

    method = SparseLoCo(optimizer, compressor, decay, outer_rate, sampled, steps)
    return Algorithm(method, problem, name=f"SparseLoCo ({compressor.name})", mixings=0)
