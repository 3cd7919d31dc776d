"""Graphs in the formats of other programs: Matrix Market, METIS, Pajek, and adjacency lists as networkx writes them."""

import io
import shlex
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.io

from jaxgossip.core.errors import GraphError, JaxGossipWarning
from jaxgossip.topology.checks import MAX_NODES
from jaxgossip.topology.files.links import Links, check_named

_LISTED = "format = 'edges' if it lists links, two names a line"


def read_matrix_market(file: str, content: bytes) -> Links:
    """Return the links of a matrix: an entry in row i and column j is a link from i to j, both counted from 1.

    The rows and columns of a matrix that is not square are the two sides of a bipartite graph.

    Raises:
        GraphError: the file is not a matrix, is truncated, or is too large.
    """
    n_rows, n_columns, entries, _, _, symmetry = _parsed(file, scipy.io.mminfo, content)
    if max(n_rows, n_columns) > MAX_NODES:
        raise GraphError(f"{file}: a matrix of {n_rows:,} x {n_columns:,}", hint=f"at most {MAX_NODES:,} nodes")
    check_named(file, n_rows + n_columns, 2 * entries)
    matrix = _parsed(file, scipy.io.mmread, content)
    rows, columns = np.nonzero(matrix) if isinstance(matrix, np.ndarray) else matrix.nonzero()
    first, second = rows.astype(np.int64) + 1, columns.astype(np.int64) + 1
    nodes = (np.arange(1, n_rows + 1), np.arange(1, n_columns + 1))
    if n_rows != n_columns:
        return Links(first, second, declared=nodes, sides=("row", "column"))
    return Links(first, second, declared=nodes, directed=symmetry == "general")


def _parsed(file: str, parse: Callable[[io.BytesIO], Any], content: bytes) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of sparse matrices; only the pattern is used here
            return parse(io.BytesIO(content))
    except Exception as error:  # the parser can raise almost any exception
        hint = "a matrix of numbers or a pattern, as scipy.io.mmwrite writes it"
        raise GraphError(f"{file} is no matrix that can be read: {str(error)[:200]}", hint=hint) from error


def read_metis(file: str, text: str) -> Links:
    """Return the links of a METIS graph: ``nodes edges [fmt [weights]]``, then one line per node with its neighbours.

    Nodes are numbered from 1; an empty line is a node without neighbours, and % starts a comment. Weights are dropped.

    Raises:
        GraphError: the number of nodes or edges differs from the first line, or a neighbour does not exist.
    """
    hint = "the first line counts nodes and edges; then one line a node lists its neighbours, from 1; " + _LISTED
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if not line.lstrip().startswith("%")]
    while lines and not lines[0][1].strip():
        lines.pop(0)
    head = _integers(file, *lines[0], hint) if lines else []
    if not 2 <= len(head) <= 4 or min(head) < 0 or not head[0]:
        raise GraphError(f"{file} has no first line 'nodes edges'", hint=hint)
    n_nodes, n_edges, fmt, n_weights = [*head, *[0, 0, 0][len(head) - 2 :]][:4]
    sizes, weights, edge_weights = fmt // 100 % 10, fmt // 10 % 10, fmt % 10
    skipped = bool(sizes) + (max(1, n_weights) if weights else 0)
    rows = lines[1:]
    while len(rows) > n_nodes and not rows[-1][1].strip():
        rows.pop()
    if len(rows) != n_nodes:
        raise GraphError(
            f"{file} has lines of {len(rows):,} nodes, not of {n_nodes:,} as its first line says", hint=hint
        )
    heard = [_integers(file, number, line, hint)[skipped :: 2 if edge_weights else 1] for number, line in rows]
    for (number, _), neighbours in zip(rows, heard, strict=True):
        for node in neighbours:
            _check_node(file, number, node, n_nodes)
    degrees = [len(neighbours) for neighbours in heard]
    if sum(degrees) != 2 * n_edges:
        raise GraphError(
            f"{file} lists {sum(degrees):,} neighbours, not twice the {n_edges:,} edges that its first line says",
            hint="every edge stands in the lines of both its ends; " + hint,
        )
    nodes = np.arange(1, n_nodes + 1)
    return Links(
        np.repeat(nodes, degrees),
        np.array([node for neighbours in heard for node in neighbours], np.int64),
        declared=(nodes, nodes[:0]),
        directed=False,
    )


def read_pajek(file: str, text: str) -> Links:
    """Return the links of a Pajek network: ``*Vertices n``, then ``*Edges``, ``*Arcs``, ``*Edgeslist`` or ``*Arcslist``.

    Nodes are named by label, or by number if they have none or two labels are equal. ``*Vertices n m`` declares two kinds
    of nodes, which are the sides of one bipartite graph.

    Raises:
        GraphError: there are no vertices, a section is unknown, or a node does not exist.
    """
    hint = "*Vertices n, then one line a node, then *Edges or *Arcs, and two numbers of nodes a line; " + _LISTED
    labels: dict[int, str] = {}
    ends: dict[bool, list[tuple[int, int]]] = {False: [], True: []}  # by whether they are directed
    section, n_nodes = "", 0
    for at, line in _lines_of(text):
        words = _words(file, at, line, hint)
        if line.startswith("*"):
            section = words[0].lower()
            if section == "*vertices":
                n_nodes = int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0
                if not 0 < n_nodes <= MAX_NODES:
                    raise GraphError(f"{file}:{at}: '{line[:80]}' counts no nodes", hint=hint)
                check_named(file, n_nodes, 0)
                if len(words) > 2:
                    _warn(f"{file}: its two sorts of nodes are two sides of one bipartite graph")
            elif section not in ("*edges", "*arcs", "*edgeslist", "*arcslist", "*network"):
                raise GraphError(f"{file}:{at}: the section '{words[0][:80]}' is not read", hint=hint)
        elif section == "*vertices":
            (node,) = _integers(file, at, words[0], hint)
            _check_node(file, at, node, n_nodes)
            labels[node] = words[1] if len(words) > 1 else words[0]
        elif section in ("*edges", "*arcs", "*edgeslist", "*arcslist"):
            node_words = words if section.endswith("list") else words[:2]
            numbers = _integers(file, at, " ".join(node_words), hint)
            if len(numbers) < 2:
                raise GraphError(f"{file}:{at}: '{line[:80]}' is not two numbers of nodes", hint=hint)
            for node in numbers:
                _check_node(file, at, node, n_nodes)
            ends[section.startswith("*arcs")] += [(numbers[0], other) for other in numbers[1:]]
    if not n_nodes:
        raise GraphError(f"{file} has no line *Vertices", hint=hint)
    names = [labels.get(node, str(node)) for node in range(1, n_nodes + 1)]
    if len(set(names)) < n_nodes:
        _warn(f"{file}: several nodes have the same label, so their numbers are their names")
        names = list(map(str, range(1, n_nodes + 1)))
    both = ends[False] + [(second, first) for first, second in ends[False]] + ends[True]
    return Links(
        [names[first - 1] for first, _ in both],
        [names[second - 1] for _, second in both],
        declared=(names, ()),
        directed=bool(ends[True]),
    )


def read_adjacency(file: str, text: str) -> Links:
    """Return the links of an adjacency list: each line is a node followed by its neighbours; # starts a comment.

    Raises:
        GraphError: a line holds a dictionary, as those of networkx's ``write_multiline_adjlist`` do.
    """
    first, second, declared = [], [], []
    for at, line in _lines_of(text):
        if "{" in line:
            raise GraphError(
                f"{file}:{at}: '{line[:80]}' is no list of neighbours", hint="networkx.write_adjlist writes such lists"
            )
        node, *neighbours = line.split("#", 1)[0].split()
        declared.append(node)
        first += [node] * len(neighbours)
        second += neighbours
    return Links(first, second, declared=(declared, ()))


def _lines_of(text: str) -> Iterator[tuple[int, str]]:
    """Yield (number, stripped line) of all lines that are not comments."""
    for at, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if stripped and not stripped.startswith(("#", "%")):
            yield at, stripped


def _words(file: str, at: int, line: str, hint: str) -> list[str]:
    """Split a line into words; double quotes keep blanks within a word."""
    if '"' not in line:
        return line.split()
    reader = shlex.shlex(line, posix=True)
    reader.whitespace_split, reader.quotes, reader.escape, reader.commenters = True, '"', "", ""
    try:
        return list(reader)
    except ValueError as error:
        raise GraphError(f"{file}:{at}: '{line[:80]}' cannot be read: {error}", hint=hint) from error


def _integers(file: str, at: int, text: str, hint: str) -> list[int]:
    try:
        numbers = [int(word) for word in text.split()]
        np.array(numbers, np.int64)
    except (ValueError, OverflowError) as error:
        raise GraphError(f"{file}:{at}: '{text.strip()[:80]}' is no list of whole numbers", hint=hint) from error
    return numbers


def _check_node(file: str, at: int, node: int, n_nodes: int) -> None:
    if not 1 <= node <= n_nodes:
        raise GraphError(f"{file}:{at}: node {node} does not exist", hint=f"nodes are numbered 1 to {n_nodes}")


def _warn(text: str) -> None:
    warnings.warn(JaxGossipWarning(text), stacklevel=5)
