"""Who was online when, from a file of intervals: ``node,start_s,end_s``, a line an interval [start, end)."""

from pathlib import Path

import numpy as np

from jaxgossip.core.errors import InputError
from jaxgossip.schedule.files.tables import read_table
from jaxgossip.schedule.sessions import Switches


def read_trace(path: str | Path, n_nodes: int, *, repeat: bool) -> tuple[Switches, int]:
    """Return (the switches, of how many traces).

    The traces are those of node 0 to the largest number in the file; one without a line is never online. After its last
    interval a node stays offline.

    Args:
        path: the file, comma-separated, with the header ``node,start_s,end_s``.
        n_nodes: number of nodes of the network.
        repeat: whether there may be fewer traces than nodes.

    Raises:
        InputError: a malformed line, a node that does not exist, an interval that ends before it starts or overlaps
            with another of the same node, or too few traces.
    """
    table = read_table(path, ("node", "start_s", "end_s"))
    node, start_s, end_s = table.whole_numbers("node"), table.numbers("start_s"), table.numbers("end_s")
    if not node.size:
        raise InputError(f"{table.file} holds no interval", hint="one line an interval: node,start_s,end_s")
    strange = (node < 0) | (node >= n_nodes)
    if strange.any():
        row = int(strange.argmax())
        raise table.error(row, f"node {node[row]} does not exist", hint=f"nodes are numbered 0 to {n_nodes - 1}")
    early = start_s < 0
    if early.any():
        raise table.error(int(early.argmax()), "the interval starts before time 0", hint="a run starts at time 0")
    backward = end_s <= start_s
    if backward.any():
        row = int(backward.argmax())
        raise table.error(
            row, f"the interval ends at {end_s[row]:g} s, not after {start_s[row]:g} s", hint="start first"
        )
    order = np.lexsort((start_s, node))
    before, after = order[:-1], order[1:]
    overlapping = (node[before] == node[after]) & (start_s[after] < end_s[before])
    if overlapping.any():
        one, other = (int(rows[overlapping.argmax()]) for rows in (before, after))
        raise table.error(
            other,
            f"node {node[other]} is online already, by line {table.lines[one]}",
            hint="intervals of a node must not overlap: join them",
        )
    count = int(node.max()) + 1
    if count < n_nodes and not repeat:
        raise InputError(
            f"{table.file} has traces of {count} nodes, the network {n_nodes} nodes",
            hint="repeat = true deals them out to the nodes in turn",
        )
    times = np.stack([start_s[order], end_s[order]], axis=1).ravel()
    return Switches.of(np.zeros(count, bool), np.repeat(node[order], 2), times), count
