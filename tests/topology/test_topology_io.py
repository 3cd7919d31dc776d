"""Graphs from files, scipy and networkx: what goes in comes out, and nothing is silently empty."""

import warnings

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp

from jaxgossip.core.errors import JaxGossipWarning
from jaxgossip.topology import (
    edge_list,
    erdos_renyi,
    from_networkx,
    from_scipy,
    random_regular,
    static_exponential,
)


@pytest.fixture
def write(tmp_path):
    def write(text, name="graph.txt"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    "text",
    [
        "0 1\n1 2\n2 3\n",
        "# a path\n0 1\n\n1 2  # the middle\n  2\t3",
        "0,1\n1, 2\n2 ,3\n",
        "0 1\n1,2\n2 3\n",  # both separators in one file
        "1 0\n0 1\n2 1\n3 2\n",  # doubles
        "\ufeff0 1\n1 2\n2 3\n",
        "0 1\r\n1 2\r\n2 3\r\n",
        "+0 1\n1 2\n2 03\n",
        "% sym unweighted\n% 3 4 4\n0 1\n1 2\n2 3\n",
    ],
)
def test_edge_list_reads_plain_files(write, text):
    graph = edge_list(write(text))
    assert graph.edges().tolist() == [[0, 1], [1, 2], [2, 3]]
    assert graph.labels is None
    assert not graph.directed
    assert graph.name == "graph.txt"


def test_edge_list_numbers_nodes_by_name(write):
    graph = edge_list(write("10 7\n7 300\n"))
    assert graph.labels == ("7", "10", "300")
    assert graph.edges().tolist() == [[0, 1], [0, 2]]
    graph = edge_list(write("dora carl\ncarl anna\nNew York, Boston\nanna,New York\n"))
    assert graph.labels == ("Boston", "New York", "anna", "carl", "dora")
    assert graph.edges().tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]]
    assert edge_list(write("1 x\n10 x\n")).labels == ("1", "10", "x")  # not all are numbers: as text
    assert edge_list(write("1 12345678901234567890\n")).labels == ("1", "12345678901234567890")


def test_edge_list_direction_is_that_of_messages(write):
    graph = edge_list(write("0 1\n1 2\n"), directed=True)
    assert graph.directed
    assert graph.to_scipy().toarray().tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]  # 1 hears 0, 2 hears 1


def test_edge_list_ignores_weights_aloud(write):
    for text in ("0 1 0.5\n1 2 2e-3\n", "0,1,5\n1,2,6\n"):
        with pytest.warns(JaxGossipWarning, match="what follows the names in 2 lines is ignored"):
            graph = edge_list(write(text))
        assert graph.edges().tolist() == [[0, 1], [1, 2]]


def test_edge_list_leaves_self_links_out_aloud_and_keeps_their_node(write):
    with pytest.warns(JaxGossipWarning, match="1 links of nodes to themselves are left out"):
        graph = edge_list(write("0 1\n2 2\n"))
    assert graph.n_nodes == 3
    assert graph.edges().tolist() == [[0, 1]]


def test_edge_list_relative_paths_start_from_the_folder(write, monkeypatch):
    folder = write("0 1\n").parent
    assert edge_list("graph.txt", folder=folder).n_nodes == 2
    monkeypatch.chdir(folder)
    assert edge_list("graph.txt").n_nodes == 2


@pytest.mark.parametrize("graph", [erdos_renyi(300, p=0.05), random_regular(300, 3)])
def test_edge_list_returns_what_was_written(write, graph):
    found = edge_list(write("\n".join(f"{a} {b}" for a, b in graph.edges().tolist())))
    assert (found.to_scipy() != graph.to_scipy()).nnz == 0


FORMATS = [
    np.asarray,
    sp.csr_array,
    sp.csc_matrix,
    sp.coo_array,
    sp.lil_matrix,
    sp.dok_array,
    sp.dia_array,
    sp.bsr_array,
]


@pytest.mark.parametrize("convert", FORMATS)
@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float32, np.float64])
def test_from_scipy_takes_every_format(convert, dtype):
    pattern = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype)
    graph = from_scipy(convert(pattern))
    assert graph.edges().tolist() == [[0, 1], [1, 2]]
    assert not graph.directed


@pytest.mark.parametrize("graph", [random_regular(30, 3), static_exponential(9), static_exponential(8)])
def test_from_scipy_is_the_inverse_of_to_scipy(graph):
    found = from_scipy(graph.to_scipy())
    assert (found.indptr == graph.indptr).all()
    assert (found.indices == graph.indices).all()
    assert found.directed == graph.directed


@pytest.mark.parametrize("convert", FORMATS)
def test_from_scipy_takes_rows_and_columns_of_a_rectangle_as_two_sides(convert):
    with pytest.warns(JaxGossipWarning, match="2 rows and 3 columns are the sides of one bipartite graph"):
        graph = from_scipy(convert(np.array([[1, 0, 2], [0, -1, 0]])))
    assert (graph.n_nodes, graph.directed) == (5, False)
    assert graph.edges().tolist() == [[0, 2], [0, 4], [1, 3]]
    assert graph.labels == ("row 0", "row 1", "column 0", "column 1", "column 2")


def test_from_scipy_reads_the_pattern_of_nonzeros():
    stored_zero = sp.csr_array((np.array([1.0, 1.0, 0.0]), ([0, 1, 2], [1, 0, 0])), shape=(3, 3))
    assert from_scipy(stored_zero).edges().tolist() == [[0, 1]]
    one_way = from_scipy([[0, -2.5], [0, 0]])
    assert one_way.directed
    assert one_way.edges().tolist() == [[0, 1]]
    many = sp.coo_array((np.ones(256, np.int8), (np.zeros(256, int), np.ones(256, int))), shape=(2, 2))
    assert from_scipy(many).n_links == 1  # 256 ones are 0 in int8
    with pytest.warns(JaxGossipWarning, match="2 links of nodes to themselves"):
        assert from_scipy(np.ones((2, 2))).edges().tolist() == [[0, 1]]


def test_from_networkx_drops_weights_and_keeps_names():
    karate = from_networkx(nx.karate_club_graph())
    assert (karate.n_nodes, karate.n_edges, karate.labels) == (34, 78, None)
    assert set(karate.to_scipy().data) == {1.0}
    women = from_networkx(nx.davis_southern_women_graph())
    assert women.labels[:2] == ("Evelyn Jefferson", "Laura Mandeville")
    first, second = women.edges()[0]
    assert nx.davis_southern_women_graph().has_edge(women.labels[first], women.labels[second])


def test_from_networkx_numbers_stay_numbers():
    theirs = nx.Graph([(2, 0), (0, 1), (1, 3)])
    assert list(theirs.nodes) == [2, 0, 1, 3]
    graph = from_networkx(theirs)
    assert graph.edges().tolist() == [[0, 1], [0, 2], [1, 3]]
    assert graph.labels is None
    assert from_networkx(nx.path_graph(3, create_using=nx.Graph)).n_nodes == 3
    assert from_networkx(nx.empty_graph(4)).degrees.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("kind", [int, np.int64, np.int32, np.uint8, float, np.float64])
def test_from_networkx_numbers_by_value_whatever_their_kind(kind):
    graph = from_networkx(nx.Graph([(kind(2), kind(0)), (kind(0), kind(1)), (kind(1), kind(3))]))
    assert graph.edges().tolist() == [[0, 1], [0, 2], [1, 3]]
    assert graph.labels is None


def test_from_networkx_keeps_names_that_are_no_numbers_from_0_apart():
    assert from_networkx(nx.Graph([(1, "1"), ("1", 2)])).labels == ("1", "'1'", "2")
    assert from_networkx(nx.Graph([(np.int64(7), -1)])).labels == ("7", "-1")
    assert from_networkx(nx.Graph([(0.5, 1)])).labels == ("0.5", "1")
    assert from_networkx(nx.Graph([(True, False)])).labels == ("True", "False")
    assert from_networkx(nx.grid_2d_graph(1, 2)).labels == ("(0, 0)", "(0, 1)")


def test_from_networkx_directed_and_multi():
    graph = from_networkx(nx.DiGraph([(0, 1), (1, 2)]))
    assert graph.to_scipy().toarray().tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    with pytest.warns(JaxGossipWarning, match="from_networkx: 1 links"):
        multi = from_networkx(nx.MultiGraph([("a", "b"), ("a", "b"), ("b", "b")]))
    assert (multi.n_edges, multi.labels) == (1, ("a", "b"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("source,target\n0,1\n1,2\n", 1),
        ("source,target\nanna,bob\nbob,carl\n", 1),
        ("# links\n\nfrom to\n5 1\n", 3),
        ("FromNodeId\tToNodeId\nx\ty\n", 1),
        ('"Source";"Target";"Type";"Weight"\n"a";"b";"Directed";1\n', 1),
        ("hub leaf\n0 1\n1 2\n", 1),
        ("weight,source,target\n0.5,a,b\n", 1),
        ("#source,target\n0,1\n", None),
        ("hub 0\n0 1\n", None),
        ("a b\nb c\n", None),
        ("a b\n", None),
        ("from to\nto via\n", None),  # names of nodes after all
    ],
)
def test_a_first_line_that_names_the_columns_is_no_link(write, text, line):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        graph = edge_list(write(text))
    told = [str(one.message) for one in caught if "names the columns and is no link" in str(one.message)]
    assert len(told) == (line is not None)
    if line is not None:
        assert f"graph.txt:{line}: " in told[0]
        lines = [row for row in text.splitlines() if row and not row.startswith("#")]
        assert graph.n_edges == len(lines) - 1
        assert not {"source", "weight", "0.5", "from", "hub"} & set(graph.labels or ())
