"""The memory that the cases need, and that is free."""

from jaxgossip.core.devices import memory
from jaxgossip.core.errors import InputError
from jaxgossip.core.units import bytes_text

ROUND_PARAMS = 58
"""Parameters of a linear model on Spambase, including the bias."""
STATES = 7
"""Largest number of states in memory: the case's own, scratch memory, two of the copy, the reference and its temporaries."""
NODE_BYTES = 1200
"""Peak bytes per node while a random graph of degree 8 to 16 is built."""
DEEP_NODE_BYTES = 30_000_000
"""Peak bytes per node of the deep networks: activations of all nodes at once, models, samples."""
SHARE = 0.8
"""Share of the free memory that may be used, for others may be using the machine too."""


def available_bytes() -> int:
    """Return the bytes that the benchmark may use: most of the free memory."""
    return int(SHARE * memory.available_bytes())


def needed_bytes(nodes: int, params: int) -> int:
    """Return roughly the memory that the largest case takes, including graph and reference, in bytes."""
    return nodes * (4 * STATES * max(params, ROUND_PARAMS) + NODE_BYTES)


def check_memory(nodes: int, params: int) -> None:
    """Raise InputError unless cases of this size fit into the free memory."""
    needed, free = needed_bytes(nodes, params), available_bytes()
    if needed > free:
        raise InputError(
            f"the benchmark of {nodes:,} nodes with {params:,} parameters takes about {bytes_text(needed)}, "
            f"and {bytes_text(free)} can be had",
            hint=f"--nodes {max(100, int(nodes * free / needed)):d} fits",
        )


def check_deep_memory(nodes: int) -> None:
    """Raise InputError unless deep networks of this many nodes fit into the free memory."""
    needed, free = nodes * DEEP_NODE_BYTES, available_bytes()
    if needed > free:
        raise InputError(
            f"the benchmark of {nodes:,} deep networks takes about {bytes_text(needed)}, "
            f"and {bytes_text(free)} can be had",
            hint=f"--nodes {max(1, free // DEEP_NODE_BYTES)} fits",
        )
