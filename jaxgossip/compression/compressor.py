"""The compressor Q, applied to the rows that nodes send, and the size of its messages.

A compressor is a contraction if, for some 0 < δ ≤ 1 and all rows x,

    E‖Q(x) − x‖² ≤ (1 − δ)‖x‖²,

as CHOCO (Koloskova, Stich and Jaggi 2019, "Decentralized stochastic optimization and gossip algorithms with compressed
communication", assumption 1) and error feedback require. Each builder states its δ. Q is unbiased if E Q(x) = x, which is
a different property: an unbiased compressor need not be a contraction.

Q(x) always denotes the row as decompressed by the receiver; only the size shows what was sent.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.core.arguments import check_fields
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import NodeInts, PRNGKey, Rows, accumulator


@dataclass(frozen=True)
class Size:
    """Size in bytes of one compressed row.

    Attributes:
        data: bytes of model values.
        metadata: bytes of indices, norms and seeds, which place and scale these values.
    """

    data: int
    metadata: int

    @property
    def total(self) -> int:
        """Bytes of the whole message."""
        return self.data + self.metadata


@dataclass(frozen=True)
class Compressor:
    """A compressor of rows: (x (n, p), key, nodes) -> Q(x), in the shape and dtype of x.

    Attributes:
        name: name in messages and reports.
        apply: (x (n, p) in the dtype of computation, key, nodes (n,) int32) -> Q(x). Row i depends only on row i, the key
            and nodes[i].
        size: (p, dtype) -> size of the message for one row of p numbers of that dtype.
    """

    name: str
    apply: Callable[[Rows, PRNGKey, NodeInts], Rows]
    size: Callable[[int, np.dtype], Size]

    def __post_init__(self) -> None:
        check_fields("compressor", self)

    def __call__(self, x: Rows, key: PRNGKey, nodes: NodeInts | None = None) -> Rows:
        """Return Q(x) in the shape and dtype of x; rows of 16 bits are computed in float32.

        Args:
            x: (n, p) rows of any floating dtype.
            key: key of the round; a node's draws are a function of the key and its number.
            nodes: (n,) int32, the node of each row; None if row i is node i.

        Raises:
            InputError: ``x`` is not two-dimensional.
        """
        if x.ndim != 2:
            raise InputError(f"compressor '{self.name}' takes rows (n, p), not an array of shape {x.shape}")
        nodes = jnp.arange(x.shape[0], dtype=jnp.int32) if nodes is None else nodes
        wide = accumulator(x.dtype)
        if x.dtype == wide:
            return self.apply(x, key, nodes)
        # The barriers keep casts, which are slow on CPUs, out of the compressor's passes: one cast there, one back.
        widened = jax.lax.optimization_barrier(x.astype(wide))
        return jax.lax.optimization_barrier(self.apply(widened, key, nodes)).astype(x.dtype)


def check_fraction(name: str, fraction: float) -> None:
    """Check that 0 < ``fraction`` ≤ 1.

    Raises:
        InputError: it is not.
    """
    if not 0 < fraction <= 1:
        raise InputError(
            f"compressor '{name}' keeps a fraction of the columns, not {fraction}",
            hint="give fraction as a number above 0, at most 1",
        )


def check_count(name: str, option: str, value: int, least: int = 1) -> None:
    """Check that ``value`` is an integer of at least ``least``.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, int) or value < least:
        raise InputError(
            f"compressor '{name}' cannot have {option} = {value}", hint=f"give {option} as a whole number from {least}"
        )


def kept_columns(fraction: float, p: int) -> int:
    """Return k, the number of p columns that ``fraction`` keeps: the nearest integer, at least one."""
    return max(1, round(fraction * p))


def bytes_of_bits(bits: int) -> int:
    """Return the number of bytes that hold ``bits`` bits."""
    return -(-bits // 8)


def index_bits(p: int) -> int:
    """Return ⌈log₂ p⌉, the bits of a column index; 0 if there is only one column."""
    return (p - 1).bit_length()
