"""What fits: the memory that is free, and what a case of some size takes."""

from jaxgossip.core import memory
from jaxgossip.core.errors import InputError
from jaxgossip.core.units import bytes_text

ROUND_PARAMS = 58
"""Parameters of a linear model on Spambase, bias included."""
STATES = 7
"""States that a case holds at most: its own, scratch memory, the two of the copy, the reference's and its temporaries."""
NODE_BYTES = 1200
"""What building a random graph of degree 8 to 16 takes at its height, per node."""
SHARE = 0.8
"""Of the free memory, this much may be taken: others are at work on the machine too."""


def available_bytes() -> int:
    """Return how much memory the benchmark may take: most of what is free."""
    return int(SHARE * memory.available_bytes())


def needed_bytes(nodes: int, params: int) -> int:
    """Return about what the largest case takes, graph and reference included, in bytes."""
    return nodes * (4 * STATES * max(params, ROUND_PARAMS) + NODE_BYTES)


def check_room(nodes: int, params: int) -> None:
    """Raise InputError unless the cases of this size fit into the memory that is free."""
    needed, free = needed_bytes(nodes, params), available_bytes()
    if needed > free:
        raise InputError(
            f"the benchmark of {nodes:,} nodes with {params:,} parameters takes about {bytes_text(needed)}, "
            f"and {bytes_text(free)} can be had",
            hint=f"--nodes {max(100, int(nodes * free / needed)):d} fits",
        )
