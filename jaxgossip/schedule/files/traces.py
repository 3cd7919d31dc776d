"""Traces of who was online when, from a file with one interval [start, end) per line: ``node,start_s,end_s``."""

from pathlib import Path

import numpy as np

from jaxgossip.core.errors import InputError
from jaxgossip.schedule.files.tables import read_table
from jaxgossip.schedule.sessions import Switches


def read_trace(path: str | Path, n_nodes: int, *, repeat: bool) -> tuple[Switches, int]:
    """Return (the switches, the number of traces).

    There is a trace for node 0 up to the largest number in the file; nodes without a line are never online. After its last
    interval a node stays offline.

    Args:
        path: the file, comma-separated, with the header ``node,start_s,end_s``.
        n_nodes: number of nodes of the network.
        repeat: whether there may be fewer traces than nodes.

    Raises:
        InputError: a line is malformed, a node does not exist, an interval ends before it starts or overlaps with another
            of the same node, or there are too few traces.
    """
    table = read_table(path, ("node", "start_s", "end_s"))
    node, start_s, end_s = table.whole_numbers("node"), table.numbers("start_s"), table.numbers("end_s")
    if not node.size:
        raise InputError(f"{table.file} holds no interval", hint="one line an interval: node,start_s,end_s")
    unknown = (node < 0) | (node >= n_nodes)
    if unknown.any():
        row = int(unknown.argmax())
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
        earlier, later = (int(rows[overlapping.argmax()]) for rows in (before, after))
        raise table.error(
            later,
            f"node {node[later]} is online already, by line {table.lines[earlier]}",
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
