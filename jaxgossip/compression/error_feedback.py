"""Error feedback: the compression error is remembered and added to the next message.

    v_t = x_t + e_t,   sent_t = Q(v_t),   e_{t+1} = v_t − sent_t,   e_0 = 0

After T rounds, Σ sent_t + e_T = Σ x_t: nothing is lost, only delayed, and a biased contraction converges at the rate of
the uncompressed method. Seide, Fu, Droppo, Li and Yu 2014, "1-bit stochastic gradient descent"; Stich, Cordonnier and
Jaggi 2018, "Sparsified SGD with memory", algorithm 1; Karimireddy, Rebjock, Stich and Jaggi 2019, "Error feedback fixes
SignSGD", algorithm 2.
"""

import jax.numpy as jnp

from jaxgossip.compression.compressor import Compressor
from jaxgossip.core.typing import NodeInts, PRNGKey, Rows, accumulator


def empty_memory(x: Rows) -> Rows:
    """Return e_0, the initial error memory for rows like x: zeros (n, p), in at least float32.

    The error lies mostly below the last bit of what is sent, so 16 bits could not accumulate it.
    """
    return jnp.zeros(x.shape, accumulator(x.dtype))


def feedback(
    compressor: Compressor, x: Rows, memory: Rows, key: PRNGKey, nodes: NodeInts | None = None
) -> tuple[Rows, Rows]:
    """Return (sent, new memory): Q(x + memory) in the dtype of x, and its error in the dtype of the memory.

    Args:
        compressor: Q, any contraction; rescaled ``random_k`` is not one, and its memory would grow without bound.
        x: (n, p) rows to send.
        memory: (n, p) e_t, from :func:`empty_memory` or the previous round.
        key: key of the round.
        nodes: (n,) int32, the node of each row; None if row i is node i.
    """
    v = x.astype(memory.dtype) + memory
    sent = compressor(v, key, nodes).astype(x.dtype)
    return sent, v - sent.astype(memory.dtype)
