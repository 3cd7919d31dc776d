"""Graphs from outside: edge lists, scipy matrices, networkx graphs."""

import io
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxgossip.errors import GraphError, JaxGossipWarning
from jaxgossip.topology.checks import square_matrix
from jaxgossip.topology.graph import Graph, from_links, from_pattern

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")


def edge_list(path: str | Path, *, directed: bool = False, folder: Path | None = None) -> Graph:
    """Return the graph of a text file with one link a line: two node names, separated by blanks or a comma.

    ``#`` starts a comment, as does ``%`` at the start of a line. A third column of numbers (edge weights) is ignored
    with a warning: weights come from the weight rule. A first line of words over numbers is read as a link, with a
    warning: it looks like a header. Links of a node to itself are left out with a warning, doubles
    count once. Where the names are not the numbers 0 to n − 1, nodes are numbered in the order of their names (as
    numbers, if all of them are) and ``graph.labels`` keeps the names. A node without links can be listed by a link to
    itself.

    Args:
        path: the file, UTF-8; relative to the configuration's folder, or else to the working directory.
        directed: read ``a b`` as a sends to b (b hears a) only, instead of both ways.
        folder: where a relative path starts from; the working directory if None.

    Raises:
        GraphError: no such file, a line that is no link (named as file:line), or no link at all.
    """
    file = Path(path).expanduser()
    file = file if file.is_absolute() else (folder or Path.cwd()) / file
    if not file.is_file():
        raise GraphError(f"no such file: {file}", hint="edge_list reads a text file with one link a line")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise GraphError(f"{file} is not UTF-8 text", hint="an edge list is text: two node names a line") from error
    links = _quick_links(text)
    first, second, labels = _numbered(*(_slow_links(file, text) if links is None else links))
    n_nodes = int(max(first.max(initial=-1), second.max(initial=-1))) + 1
    first, second = _without_self_links(file.name, first, second)
    if not first.size:
        raise GraphError(f"{file} holds no link", hint="write two node names a line")
    # "a b" is a message from a to b: the row of b lists a.
    return replace(from_links(n_nodes, second, first, name=file.name, directed=directed), labels=labels)


def from_scipy(matrix: Any) -> Graph:
    """Return the graph in which node i hears node j where ``matrix[i, j]`` is not zero: the inverse of ``to_scipy``.

    Values are dropped: weights come from the weight rule (``weights.from_matrix`` keeps them). A diagonal is left out
    with a warning. An asymmetric pattern makes a directed graph.

    Args:
        matrix: (n, n), any scipy sparse matrix or array, or a dense one.

    Raises:
        GraphError: it is not square, holds something else than finite numbers, or no link.
    """
    square = square_matrix("from_scipy", matrix)
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
    """Return a networkx graph: nodes are numbered in its order, edge weights are dropped, parallel edges count once.

    An edge (u, v) of a directed graph is a message from u to v: v hears u. Links of a node to itself are left out with
    a warning. Node names other than the numbers 0 to n − 1 are kept as ``graph.labels``.

    Args:
        graph: a Graph, DiGraph, MultiGraph or MultiDiGraph of networkx.

    Raises:
        GraphError: it is not a networkx graph, or has no node.
    """
    if not all(hasattr(graph, name) for name in ("nodes", "edges", "is_directed")):
        raise GraphError(
            f"from_networkx: {type(graph).__name__} is no networkx graph",
            hint="from_scipy takes matrices, edge_list takes files",
        )
    names = list(graph.nodes)
    if not names:
        raise GraphError("from_networkx: the graph has no node")
    numbered = all(type(name) is int for name in names) and set(names) == set(range(len(names)))
    number = {name: name if numbered else rank for rank, name in enumerate(names)}
    ends = np.fromiter((number[end] for edge in graph.edges() for end in edge), np.int64).reshape(-1, 2)
    first, second = _without_self_links("from_networkx", ends[:, 0], ends[:, 1])
    found = from_links(len(names), second, first, name="from_networkx", directed=bool(graph.is_directed()))
    return found if numbered else replace(found, labels=tuple(map(str, names)))


def _quick_links(text: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the columns of a plain file, two whole numbers a line, or None: it has to be read line by line."""
    if "%" in text or not re.search(r"^\s*[^#\s]", text, re.MULTILINE):
        return None
    try:
        table = np.loadtxt(io.StringIO(text), np.int64, comments="#", delimiter="," if "," in text else None, ndmin=2)
    except ValueError:
        return None
    return (table[:, 0], table[:, 1]) if table.shape[1] == 2 else None


def _slow_links(file: Path, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the (m,) names of the first and the second column, and say which line is wrong."""
    links: list[tuple[str, str]] = []
    weighted = first = 0
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.split("#", maxsplit=1)[0].strip()
        if not content or content.startswith("%"):
            continue
        columns = [column.strip() for column in content.split(",")] if "," in content else content.split()
        if len(columns) not in (2, 3) or not all(columns):
            raise GraphError(
                f"{file}:{number}: '{content}' is not two node names",
                hint="write two names a line, separated by blanks or a comma; # starts a comment",
            )
        if len(columns) == 3 and not _is_number(columns[2]):
            raise GraphError(
                f"{file}:{number}: the third column '{columns[2]}' is not a number",
                hint="only an edge weight can follow the two node names, and it is ignored",
            )
        weighted += len(columns) == 3
        first = first if links else number
        links.append((columns[0], columns[1]))
    if weighted:
        warnings.warn(
            JaxGossipWarning(
                f"{file.name}: the third column of {weighted:,} lines is ignored, the weight rule decides"
            ),
            stacklevel=3,
        )
    if _has_header(links):
        warnings.warn(
            JaxGossipWarning(
                f"{file}:{first}: '{links[0][0]}' and '{links[0][1]}' are read as two linked nodes, though all other "
                "names are numbers; if that is a header, put # before it"
            ),
            stacklevel=3,
        )
    names = np.array(links, dtype=str).reshape(-1, 2)
    return names[:, 0], names[:, 1]


def _has_header(links: list[tuple[str, str]]) -> bool:
    return (
        len(links) > 1
        and not any(map(_is_number, links[0]))
        and all(_is_number(name) for one in links[1:] for name in one)
    )


def _numbered(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[str, ...] | None]:
    """Return the links by numbers from 0, and the nodes' names if they are others."""
    both = np.concatenate([first, second])
    if both.dtype.kind == "U" and all(map(_WHOLE_NUMBER.fullmatch, both.tolist())):
        both = both.astype(np.int64)
    names, number = np.unique(both, return_inverse=True)
    first, second = number.reshape(2, -1)
    plain = names.dtype.kind == "i" and np.array_equal(names, np.arange(names.size))
    return first, second, None if plain else tuple(map(str, names.tolist()))


def _without_self_links(owner: str, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    loops = first == second
    if loops.any():
        _warn_of_self_links(owner, int(loops.sum()), stacklevel=4)
    return first[~loops], second[~loops]


def _warn_of_self_links(owner: str, count: int, stacklevel: int = 3) -> None:
    message = f"{owner}: {count:,} links of nodes to themselves are left out, a node's own weight is the weight rule's"
    warnings.warn(JaxGossipWarning(message), stacklevel=stacklevel)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
