"""Graphs from files, scipy matrices and networkx graphs."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import scipy.sparse as sp

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import GraphError, JaxGossipWarning
from jaxgossip.core.files import read_bytes, text_of
from jaxgossip.core.registry import nearest
from jaxgossip.topology.checks import finite_matrix, sides_of
from jaxgossip.topology.files.formats import read_adjacency, read_matrix_market, read_metis, read_pajek
from jaxgossip.topology.files.libraries import read_gml, read_graphml
from jaxgossip.topology.files.lines import read_lines
from jaxgossip.topology.files.links import Links, numbered
from jaxgossip.topology.graph import Graph, from_links, from_pattern

FORMATS = ("edges", "adjacency", "matrix_market", "metis", "pajek", "gml", "graphml")
"""Formats that ``format`` can name."""
_SUFFIXES = MappingProxyType(
    {
        ".mtx": "matrix_market",
        ".graph": "metis",
        ".metis": "metis",
        ".net": "pajek",
        ".gml": "gml",
        ".graphml": "graphml",
        ".adjlist": "adjacency",
    }
)
_BEGINNINGS = (
    (re.compile(r"%%MatrixMarket", re.IGNORECASE), "matrix_market"),
    (re.compile(r"<\?xml|<graphml", re.IGNORECASE), "graphml"),
    (re.compile(r"\*(network|vertices)\b", re.IGNORECASE), "pajek"),
    (re.compile(r"(Creator\b[^\n]*\n\s*)?(Version\b[^\n]*\n\s*)?graph\s*\[", re.IGNORECASE), "gml"),
    (re.compile(r"#[^\n]*\n#\s*GMT\s"), "adjacency"),
)
"""Beginnings of files that are not lists of links, with their formats."""


@guarded
def edge_list(
    path: str | Path,
    *,
    directed: bool = False,
    format: str | None = None,  # noqa: A002 - as the configuration's key is called
    columns: tuple[str, ...] | None = None,
    folder: Path | None = None,
) -> Graph:
    """Return the graph of a file: two node names per line, or another program's format; gzip is decompressed.

    The names of a line are separated by blanks, tabs, a comma or a semicolon; names that contain separators are put in
    double quotes. ``#`` starts a comment at the beginning of a word, and ``%`` at the beginning of a line. A third column
    of numbers (edge weights) and networkx's dictionaries are ignored with a warning: weights come from the weight rule. A
    first line that names the columns is skipped with a warning. Links of a node to itself are dropped with a warning, and
    duplicates count once. A node without links can be listed by a link to itself.

    If the names are not the numbers 0 to n − 1, nodes are numbered in the order of their names (numerically, if all of
    them are numbers: 1 and 1.0 are the same node), and ``graph.labels`` keeps the names.

    Two kinds of nodes (KONECT's ``% bip``, or a matrix that is not square) become the two sides of one bipartite graph,
    those of the first column first.

    Args:
        path: the file, UTF-8; relative to the configuration's folder, or else to the working directory.
        directed: whether ``a b`` means that a sends to b only (b hears a), instead of both ways.
        format: edges, adjacency, matrix_market, metis, pajek, gml or graphml; recognised by the suffix and the beginning of
            the file if left out. The last two are read by networkx, which must be installed.
        columns: content of each column in a list of links: "source" and "target", "_" for one that is not needed; columns
            after the last are ignored. If left out, taken from the names in the first line, or else source and target
            come first.
        folder: what a relative path is relative to; the working directory if None.

    Raises:
        GraphError: the file does not exist, a line is not a link (named as file:line), the format is unknown or not that
            of the file, or there is no link at all.
    """
    file = Path(path).expanduser()
    file = file if file.is_absolute() else (folder or Path.cwd()) / file
    content = read_bytes(file, GraphError, hint="edge_list reads a text file with one link a line")
    kind = _format_of(file, content, format)
    if columns is not None and kind != "edges":
        raise GraphError(f"{file}: columns say nothing of {kind}", hint="leave columns out, or format = 'edges'")
    links = _read(file, kind, content, columns)
    nodes = numbered(links)
    if links.sides is not None:
        left = int(nodes.first.max(initial=-1)) + 1 if not len(links.declared[0]) else len(links.declared[0])
        _warn(
            f"{file.name}: its two sorts of nodes, {left:,} and {nodes.n_nodes - left:,}, are the sides of one bipartite graph"
        )
    if links.directed and not directed:
        _warn(f"{file.name}: its links go one way, and are read both ways; directed = true keeps them")
    first, second = _without_self_links(file.name, nodes.first, nodes.second)
    if not first.size:
        raise GraphError(f"{file} holds no link", hint="write two node names a line")
    if directed and links.directed is False:
        first, second = np.concatenate([first, second]), np.concatenate([second, first])
    # "a b" is a message from a to b: the row of b lists a.
    graph = from_links(nodes.n_nodes, second, first, name=file.name, directed=directed)
    return replace(graph, labels=nodes.labels)


def _format_of(file: Path, content: bytes, given: str | None) -> str:
    if given is not None:
        if given not in FORMATS:
            raise GraphError(f"edge_list: unknown format '{given}'", hint=nearest(given, list(FORMATS)))
        return given
    suffixes = [suffix.lower() for suffix in file.suffixes if suffix.lower() != ".gz"]
    start = content[:2000].decode("utf-8-sig", errors="replace").lstrip()
    by_content = next((kind for beginning, kind in _BEGINNINGS if beginning.match(start)), "edges")
    return _SUFFIXES.get(suffixes[-1], by_content) if suffixes else by_content


def _read(file: Path, kind: str, content: bytes, columns: Sequence[str] | None) -> Links:
    """Return the links of a file in the format ``kind``."""
    text = text_of(file, content, GraphError)
    match kind:
        case "matrix_market":
            return read_matrix_market(str(file), content)
        case "gml":
            return read_gml(str(file), text)
        case "graphml":
            return read_graphml(str(file), content)
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    match kind:
        case "metis":
            return read_metis(str(file), plain)
        case "pajek":
            return read_pajek(str(file), plain)
        case "adjacency":
            return read_adjacency(str(file), plain)
    return read_lines(str(file), plain, columns)


def from_scipy(matrix: Any) -> Graph:
    """Return the graph in which node i hears node j if ``matrix[i, j]`` is nonzero: the inverse of ``to_scipy``.

    Values are dropped, for weights come from the weight rule (``weights.from_matrix`` keeps them). A diagonal is dropped
    with a warning. An asymmetric pattern gives a directed graph.

    A matrix that is not square gives, with a warning, the bipartite graph whose sides are its rows and its columns, the
    rows first: row i and column j are linked both ways if ``matrix[i, j]`` is nonzero.

    Args:
        matrix: (n, n) or (n, m), a dense matrix or any scipy sparse matrix or array.

    Raises:
        GraphError: ``matrix`` is not a matrix, holds anything but finite numbers, or has no link.
    """
    square = finite_matrix("from_scipy", matrix)
    sides = sides_of(square)
    if sides[0] != sides[1]:
        return _bipartite(square)
    diagonal = int(np.count_nonzero(square.diagonal()))
    n_nodes = square.indptr.size - 1
    if square.nnz == diagonal and n_nodes > 1:
        raise GraphError(
            f"from_scipy: the {n_nodes} x {n_nodes} matrix holds no link",
            hint="node i hears node j where matrix[i, j] is not zero",
        )
    if diagonal:
        _warn_of_self_links("from_scipy", diagonal)
    return from_pattern(square, "from_scipy")


def from_networkx(graph: Any) -> Graph:
    """Convert a networkx graph: nodes are numbered in its order, edge weights are dropped, parallel edges count once.

    An edge (u, v) of a directed graph is a message from u to v: v hears u. Links of a node to itself are dropped with a
    warning. Nodes that are the numbers 0 to n − 1, of Python or NumPy, keep these numbers; other names are kept as
    ``graph.labels``.

    Args:
        graph: a Graph, DiGraph, MultiGraph or MultiDiGraph of networkx.

    Raises:
        GraphError: ``graph`` is not a networkx graph, or has no node.
    """
    if not all(hasattr(graph, name) for name in ("nodes", "edges", "is_directed")):
        raise GraphError(
            f"from_networkx: {type(graph).__name__} is no networkx graph",
            hint="from_scipy takes matrices, edge_list takes files",
        )
    names = list(graph.nodes)
    if not names:
        raise GraphError("from_networkx: the graph has no node")
    are_numbers = all(map(_is_whole, names)) and set(names) == set(range(len(names)))
    number = {name: int(name) if are_numbers else rank for rank, name in enumerate(names)}
    ends = np.fromiter((number[end] for edge in graph.edges() for end in edge), np.int64).reshape(-1, 2)
    first, second = _without_self_links("from_networkx", ends[:, 0], ends[:, 1])
    converted = from_links(len(names), second, first, name="from_networkx", directed=bool(graph.is_directed()))
    if are_numbers:
        return converted
    labels = tuple(map(str, names))
    return replace(converted, labels=labels if len(set(labels)) == len(labels) else tuple(map(repr, names)))


def _bipartite(matrix: sp.csr_array) -> Graph:
    """Return the graph whose sides are the rows and the columns of a matrix, linked where it is nonzero."""
    (n_rows, n_columns), (rows, columns) = sides_of(matrix), matrix.nonzero()
    if not rows.size:
        raise GraphError(
            f"from_scipy: the {n_rows} x {n_columns} matrix holds no link",
            hint="row i and column j are linked where matrix[i, j] is not zero",
        )
    _warn(f"from_scipy: {n_rows:,} rows and {n_columns:,} columns are the sides of one bipartite graph", stacklevel=4)
    graph = from_links(n_rows + n_columns, rows, n_rows + columns, name="from_scipy")
    sides = [f"row {row}" for row in range(n_rows)] + [f"column {column}" for column in range(n_columns)]
    return replace(graph, labels=tuple(sides))


def _is_whole(name: Any) -> bool:
    """Return whether a node's name is a whole number: an integer of Python or NumPy, or a float without a fraction."""
    return isinstance(name, Real) and not isinstance(name, bool | np.bool_) and bool(name == name // 1)


def _without_self_links(owner: str, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    loops = first == second
    if loops.any():
        _warn_of_self_links(owner, int(loops.sum()), stacklevel=4)
    return first[~loops], second[~loops]


def _warn_of_self_links(owner: str, count: int, stacklevel: int = 3) -> None:
    message = f"{owner}: {count:,} links of nodes to themselves are left out, a node's own weight is the weight rule's"
    _warn(message, stacklevel=stacklevel + 1)


def _warn(message: str, stacklevel: int = 3) -> None:
    warnings.warn(JaxGossipWarning(message), stacklevel=stacklevel)
