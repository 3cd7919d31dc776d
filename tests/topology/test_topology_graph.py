"""Graph and the structures: lists equal what the definition says, node by node."""

import itertools

import numpy as np
import pytest

from jaxgossip.core.errors import DisconnectedGraphWarning, GraphError
from jaxgossip.topology import check_connected
from jaxgossip.topology.graph import Graph, from_links
from jaxgossip.topology.structures import Circulant, Complete, Hypercube, Lattice, Star


def neighbours(graph):
    return [graph.indices[start:stop].tolist() for start, stop in itertools.pairwise(graph.indptr)]


def lattice_by_definition(shape, *, periodic):
    cells = list(itertools.product(*map(range, shape)))
    number = {cell: rank for rank, cell in enumerate(cells)}
    rows = []
    for cell in cells:
        heard = set()
        for axis, side in enumerate(shape):
            for step in (1, -1):
                place = cell[axis] + step
                if periodic or 0 <= place < side:
                    heard.add(number[(*cell[:axis], place % side, *cell[axis + 1 :])])
        rows.append(sorted(heard))
    return rows


@pytest.mark.parametrize(
    ("n", "structure", "directed", "hears"),
    [
        (7, Circulant((1, -1)), False, lambda i, n: {(i + 1) % n, (i - 1) % n}),
        (9, Circulant((2, -2, 4, -4)), False, lambda i, n: {(i + o) % n for o in (2, -2, 4, -4)}),
        (8, Circulant((4, 1, -1)), False, lambda i, n: {(i + o) % n for o in (4, 1, -1)}),
        (11, Circulant((1, 2, 4, 8)), True, lambda i, n: {(i + o) % n for o in (1, 2, 4, 8)}),
        (16, Hypercube(4), False, lambda i, _: {i ^ (1 << b) for b in range(4)}),
        (6, Complete(), False, lambda i, n: set(range(n)) - {i}),
        (6, Star(), False, lambda i, n: set(range(1, n)) if i == 0 else {0}),
        (2, Star(), False, lambda i, _: {1 - i}),
        (1, Complete(), False, lambda *_: set()),
        (1, Hypercube(0), False, lambda *_: set()),
    ],
)
def test_lists_are_the_definition(n, structure, directed, hears):
    graph = Graph(n, "test", structure, directed=directed)
    assert neighbours(graph) == [sorted(hears(i, n)) for i in range(n)]
    assert graph.indptr.dtype == np.int64
    assert graph.indices.dtype == np.int32


@pytest.mark.parametrize("shape", [(5,), (3, 4), (3, 3, 5), (4, 3, 3, 3)])
@pytest.mark.parametrize("periodic", [True, False])
def test_lattice_lists_are_the_definition(shape, periodic):
    graph = Graph(int(np.prod(shape)), "test", Lattice(shape, periodic))
    assert neighbours(graph) == lattice_by_definition(shape, periodic=periodic)


@pytest.mark.parametrize("shape", [(1,), (2,), (2, 2), (1, 4)])
def test_open_lattice_of_short_sides(shape):
    graph = Graph(int(np.prod(shape)), "test", Lattice(shape, periodic=False))
    assert neighbours(graph) == lattice_by_definition(shape, periodic=False)


def test_degrees_edges_and_scipy_agree():
    graph = from_links(5, np.array([0, 1, 1, 3]), np.array([1, 2, 0, 1]), name="test")
    assert neighbours(graph) == [[1], [0, 2, 3], [1], [1], []]  # the double counts once
    assert graph.degrees.tolist() == graph.out_degrees.tolist() == [1, 3, 1, 1, 0]
    assert (graph.n_links, graph.n_edges, graph.n_components, graph.is_connected) == (6, 3, 2, False)
    assert graph.edges().tolist() == [[0, 1], [1, 2], [1, 3]]
    matrix = graph.to_scipy().toarray()
    assert (matrix == matrix.T).all()
    assert matrix.sum() == 6
    assert graph.describe()["degree_mean"] == pytest.approx(1.2)


def test_directed_rows_list_what_a_node_hears():
    graph = from_links(3, np.array([0, 1, 2]), np.array([2, 2, 0]), name="test", directed=True)
    assert neighbours(graph) == [[2], [2], [0]]
    assert graph.regular_degree == 1
    assert graph.out_degrees.tolist() == [1, 0, 2]  # equal in-degrees do not make equal out-degrees
    assert graph.n_edges == graph.n_links == 3
    assert graph.n_components == 1
    assert not graph.is_connected  # nobody hears node 1


@pytest.mark.parametrize(("n", "offsets", "components"), [(12, (4, -4), 4), (12, (3, -3, 2, -2), 1), (10, (5,), 5)])
def test_components_of_circulants(n, offsets, components):
    graph = Graph(n, "test", Circulant(offsets))
    lists = from_links(n, *graph.edges().T, name="test")
    assert graph.n_components == lists.n_components == components


def test_structure_stands_for_ten_million_nodes_without_lists():
    graph = Graph(10_000_000, "ring", Circulant((1, -1)))
    assert (graph.n_links, graph.n_edges, graph.regular_degree, graph.is_connected) == (20_000_000, 10_000_000, 2, True)
    assert "_csr" not in vars(graph)


@pytest.mark.parametrize(
    ("n", "structure"),
    [
        (5, Circulant((5,))),
        (5, Circulant((1, 6))),
        (5, Circulant((1, 2))),  # undirected, and the opposites are missing
        (2, Circulant((1, -1))),
        (12, Lattice((3, 5), periodic=False)),
        (8, Lattice((2, 4), periodic=True)),
        (6, Hypercube(3)),
        (1, Star()),
    ],
)
def test_structures_that_do_not_fit_are_refused(n, structure):
    with pytest.raises(GraphError):
        Graph(n, "test", structure)


def test_too_large_complete_graphs_say_so_when_listed():
    graph = Graph(100_000, "complete", Complete())
    assert graph.n_links == 100_000 * 99_999
    with pytest.raises(GraphError, match="too many to list"):
        _ = graph.indices


def test_check_connected_counts_and_names():
    graph = from_links(9, np.array([0, 1, 3]), np.array([1, 2, 4]), name="pieces")
    expected = "pieces is disconnected: 6 components, the largest with 3 of 9 nodes; without any link: 5, 6, 7, 8"
    with pytest.raises(GraphError) as caught:
        check_connected(graph)
    assert caught.value.message == expected
    assert "allow_disconnected" in caught.value.hint
    with pytest.warns(DisconnectedGraphWarning, match="6 components"):
        check_connected(graph, allow_disconnected=True)
    check_connected(Graph(5, "ring", Circulant((1, -1))))


def test_check_connected_shortens_long_lists_and_asks_directed_graphs_for_a_way_back():
    with pytest.raises(GraphError, match=r"without any link: 2, 3, 4, 5, 6 and 993 more"):
        check_connected(from_links(1000, np.array([0]), np.array([1]), name="test"))
    one_way = from_links(3, np.array([0, 1]), np.array([1, 2]), name="test", directed=True)
    with pytest.raises(GraphError) as caught:
        check_connected(one_way)
    # node 2 hears nobody, but is heard: it is not without links
    assert caught.value.message == (
        "test is disconnected: 3 strongly connected components, the largest with 1 of 3 nodes"
    )
