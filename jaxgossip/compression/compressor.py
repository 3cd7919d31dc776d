"""What a node sends in place of its row: a compressor Q, and the bytes of a message.

A compressor is a contraction if, for some 0 < δ ≤ 1 and all rows x,

    E‖Q(x) − x‖² ≤ (1 − δ)‖x‖²,

which is what CHOCO (Koloskova, Stich and Jaggi 2019, "Decentralized stochastic optimization and gossip algorithms with
compressed communication", assumption 1) and error feedback ask for. Each builder states its δ. Q is unbiased if
E Q(x) = x, which is another matter: an unbiased compressor need be no contraction.

Here every Q(x) is what the receiver has after it decompressed the message; only the bytes say what was on the wire.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import NodeInts, PRNGKey, Rows, accumulator


@dataclass(frozen=True)
class Size:
    """Bytes of one compressed row.

    Attributes:
        data: bytes of the model's values.
        metadata: bytes of what places and scales them: indices, norms, seeds.
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
        name: what messages and reports call it.
        apply: (x (n, p) in a dtype to compute in, key, nodes (n,) int32) -> Q(x). Row i depends on row i, on the key
            and on nodes[i] alone.
        size: (p, dtype) -> bytes of the message that carries one row of p numbers of that dtype.
    """

    name: str
    apply: Callable[[Rows, PRNGKey, NodeInts], Rows]
    size: Callable[[int, np.dtype], Size]

    def __call__(self, x: Rows, key: PRNGKey, nodes: NodeInts | None = None) -> Rows:
        """Return Q(x). Rows of 16 bits are computed in float32 and come back as they came.

        Args:
            x: (n, p) any floating dtype.
            key: the key of the round; what a node draws is a function of the key and of its number.
            nodes: (n,) int32, the node number that each row stands for; None means that row i is node i.
        """
        if x.ndim != 2:
            raise InputError(f"compressor '{self.name}' takes rows (n, p), not an array of shape {x.shape}")
        nodes = jnp.arange(x.shape[0], dtype=jnp.int32) if nodes is None else nodes
        wide = accumulator(x.dtype)
        if x.dtype == wide:
            return self.apply(x, key, nodes)
        # The barriers keep casts, slow on CPUs, out of the passes that a compressor takes: one there and one back.
        widened = jax.lax.optimization_barrier(x.astype(wide))
        return jax.lax.optimization_barrier(self.apply(widened, key, nodes)).astype(x.dtype)


def check_fraction(name: str, fraction: float) -> None:
    """Raise unless 0 < ``fraction`` ≤ 1.

    Raises:
        InputError: it is not.
    """
    if not 0 < fraction <= 1:
        raise InputError(
            f"compressor '{name}' keeps a fraction of the columns, not {fraction}",
            hint="give fraction as a number above 0, at most 1",
        )


def check_count(name: str, option: str, value: int, least: int = 1) -> None:
    """Raise unless ``value`` is a whole number of at least ``least``.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, int) or value < least:
        raise InputError(
            f"compressor '{name}' cannot have {option} = {value}", hint=f"give {option} as a whole number from {least}"
        )


def kept_columns(fraction: float, p: int) -> int:
    """Return k, how many of p columns a ``fraction`` keeps: the nearest whole number, at least one."""
    return max(1, round(fraction * p))


def bytes_of_bits(bits: int) -> int:
    """Return the whole bytes that ``bits`` bits take."""
    return -(-bits // 8)


def index_bits(p: int) -> int:
    """Return ⌈log₂ p⌉, the bits that name one of p columns: none where there is but one."""
    return (p - 1).bit_length()
