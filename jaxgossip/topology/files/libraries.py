"""Graph formats that networkx reads: GML and GraphML."""

import io
from collections.abc import Callable
from typing import Any

from jaxgossip.core.errors import GraphError
from jaxgossip.topology.files.links import Links


def read_gml(file: str, text: str) -> Links:
    """Return the links of a graph in GML; nodes are named by label, or by id if a label is missing or repeated.

    Raises:
        GraphError: networkx is not installed, or cannot read the file.
    """
    # By its standard, and for networkx, GML is ASCII, with other letters written as &#233;.
    ascii_text = text.encode("ascii", "xmlcharrefreplace").decode("ascii")
    graph = _read(file, "GML", lambda nx: nx.parse_gml(ascii_text, label="id"))
    labels = {node: data.get("label") for node, data in graph.nodes(data=True)}
    usable = None not in labels.values() and len(set(map(str, labels.values()))) == len(labels)
    return _links(graph, {node: str(labels[node]) if usable else str(node) for node in graph})


def read_graphml(file: str, content: bytes) -> Links:
    """Return the links of a graph in GraphML; nodes are named by id.

    Raises:
        GraphError: networkx is not installed, or cannot read the file.
    """
    graph = _read(file, "GraphML", lambda nx: nx.read_graphml(io.BytesIO(content)))
    return _links(graph, {node: str(node) for node in graph})


def _read(file: str, name: str, read: Callable[[Any], Any]) -> Any:
    try:
        import networkx as nx  # noqa: PLC0415 - an optional dependency
    except ModuleNotFoundError as error:
        raise GraphError(
            f"{file}: {name} is read by networkx, which is not installed",
            hint="pip install networkx; or write an edge list, two names of nodes a line",
        ) from error
    try:
        return read(nx)
    except Exception as error:  # its parsers can raise almost any exception
        text = str(error).split("\n", 1)[0][:200] or type(error).__name__
        raise GraphError(f"{file} cannot be read as {name}: {text}", hint="was it copied to its end?") from error


def _links(graph: Any, names: dict[Any, str]) -> Links:
    directed = bool(graph.is_directed())
    ends = [(names[first], names[second]) for first, second in graph.edges()]
    both = ends if directed else ends + [(second, first) for first, second in ends]
    return Links(
        [first for first, _ in both],
        [second for _, second in both],
        declared=(list(names.values()), ()),
        directed=directed,
    )
