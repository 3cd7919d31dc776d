"""Orders of rows: permutations that bring neighbours near, found again in a scrambled graph."""

import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.topology import Graph, Order, locality

t = jg.topology
N = 6000


def scrambled(graph: Graph) -> Graph:
    name = np.random.default_rng(1).permutation(graph.n_nodes)
    ends = name[graph.edges()]
    return t.from_links(graph.n_nodes, ends[:, 0], ends[:, 1], name=graph.name, directed=graph.directed)


LOCAL = {
    "positions": lambda: t.random_geometric(N, mean_degree=8, rng=0),
    "geometric": lambda: scrambled(t.random_geometric(N, mean_degree=8, rng=0)),
    "small world": lambda: scrambled(t.watts_strogatz(N, degree=8, beta=0.1, rng=0)),
    "grid": lambda: scrambled(t.grid(N, shape=(60, 100))),
    "directed ring": lambda: scrambled(Graph(N, "wheel", lists=t.ring(N)._csr, directed=True)),
}


@pytest.fixture(autouse=True)
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locality, "WINDOW", 256)


@pytest.mark.parametrize("name", LOCAL)
def test_neighbours_come_near_each_other(name: str) -> None:
    graph = LOCAL[name]()
    assert locality.share_near(graph) < 0.15
    ordered = t.localised(graph)
    assert ordered.order is not None
    assert np.array_equal(ordered.indices, graph.indices)  # the user's numbers stay
    best = 0.95 if name != "small world" else 0.87  # a tenth of its links are short cuts
    assert locality.share_near(graph, ordered.order) > best


@pytest.mark.parametrize(
    "graph",
    [t.random_regular(N, degree=8, rng=0), t.ring(N), t.ring(100), t.watts_strogatz(N, degree=8, beta=0.1, rng=0)],
    ids=["no locality", "structure", "small", "near already"],
)
def test_a_graph_without_need_stays_as_it_is(graph: Graph) -> None:
    assert t.localised(graph) is graph


def test_rows_and_nodes_are_inverse() -> None:
    order = Order(np.array([2, 0, 3, 1], np.int32))
    assert np.array_equal(order.rows[order.nodes], np.arange(4))
    assert order.rows.tolist() == [1, 3, 0, 2]
    assert order.numbering == Order(order.nodes.copy()).numbering != Order(order.rows).numbering


def test_what_is_no_permutation_is_refused() -> None:
    with pytest.raises(jg.errors.GraphError, match="an order of 3 nodes names each of them once"):
        Order(np.array([0, 1, 1], np.int32))
