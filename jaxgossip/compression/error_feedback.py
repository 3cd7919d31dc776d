"""Error feedback: what compression left out is remembered, and added to the next message.

    v_t = x_t + e_t,   sent_t = Q(v_t),   e_{t+1} = v_t − sent_t,   e_0 = 0

so that after T rounds Σ sent_t + e_T = Σ x_t: nothing is lost, only late, and a biased contraction converges at the rate
of what it compresses. Seide, Fu, Droppo, Li and Yu 2014, "1-bit stochastic gradient descent"; Stich, Cordonnier and
Jaggi 2018, "Sparsified SGD with memory", algorithm 1; Karimireddy, Rebjock, Stich and Jaggi 2019, "Error feedback fixes
SignSGD", algorithm 2.
"""

import jax.numpy as jnp

from jaxgossip.compression.compressor import Compressor
from jaxgossip.core.typing import NodeInts, PRNGKey, Rows, accumulator


def empty_memory(x: Rows) -> Rows:
    """Return e_0 (n, p), zeros, for inputs like x; in float32 for rows of 16 bits.

    What is left out is mostly smaller than the last bit of what is sent, so that 16 bits could not hold their sum.
    """
    return jnp.zeros(x.shape, accumulator(x.dtype))


def feedback(
    compressor: Compressor, x: Rows, memory: Rows, key: PRNGKey, nodes: NodeInts | None = None
) -> tuple[Rows, Rows]:
    """Return (sent, memory): Q(x + memory) in the dtype of x, and what it left out in that of memory.

    Args:
        compressor: Q, any contraction; rescaled ``random_k`` is none, and its memory grows without bound.
        x: (n, p) what each node has to send.
        memory: (n, p) e_t, of :func:`empty_memory` or of the round before.
        key: the key of the round.
        nodes: (n,) int32, the node number that each row stands for; None means that row i is node i.
    """
    v = x.astype(memory.dtype) + memory
    sent = compressor(v, key, nodes).astype(x.dtype)
    return sent, v - sent.astype(memory.dtype)
