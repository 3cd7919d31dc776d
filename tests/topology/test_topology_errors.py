"""What impossible requests are answered with: the words themselves, culprit first, way out second."""

import os

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp

from jaxgossip import topology as t
from jaxgossip.core.errors import ConfigError, GraphError, JaxGossipError

ONE_WAY = np.array([[0, 1, 0], [0, 0, 1], [1, 1, 0]])

TABLE = [
    (lambda: t.ring(2), "ring: nodes must be at least 3, not 2", "two nodes are a path, one node is a complete graph"),
    (lambda: t.ring(2.5), "ring: nodes must be a whole number, not 2.5", ""),
    (lambda: t.ring(True), "ring: nodes must be a whole number, not True", ""),
    (lambda: t.ring(2**31), "ring: nodes must be at most 2147483647, not 2147483648", "node numbers are int32"),
    (lambda: t.path(0), "path: nodes must be at least 1, not 0", ""),
    (
        lambda: t.k_nearest_ring(10, 3),
        "k_nearest_ring: degree 3 is odd, but as many neighbours must lie on each side",
        "degree 2 or 4",
    ),
    (
        lambda: t.k_nearest_ring(10, 10),
        "k_nearest_ring: degree 10 has no room on 10 nodes",
        "degree at most 8, or at least 11 nodes",
    ),
    (lambda: t.k_nearest_ring(10, 0), "k_nearest_ring: degree must be at least 2, not 0", ""),
    (
        lambda: t.torus(13),
        "torus: 13 nodes make no two-dimensional box with sides of at least 3",
        "nearest that do: 12 (3 x 4), 15 (3 x 5); or give shape, or use ring",
    ),
    (
        lambda: t.torus(4),
        "torus: 4 nodes make no two-dimensional box with sides of at least 3",
        "nearest that do: 9 (3 x 3); or give shape, or use ring",
    ),
    (
        lambda: t.torus(12, (2, 6)),
        "torus: every side of shape must be at least 3, not 2",
        "topology.shape has sides that multiply to nodes, such as [3, 4] of 12 nodes; left out, the most square one is taken",
    ),
    (
        lambda: t.torus(12, (3, 5)),
        "torus: the shape 3 x 5 has 15 nodes, not 12",
        "nodes is the product of the sides of shape",
    ),
    (lambda: t.torus(12, (3.0, 4)), "torus: every side of shape must be a whole number, not 3.0", ""),
    (
        lambda: t.grid(7),
        "grid: 7 nodes make no two-dimensional box with sides of at least 2",
        "nearest that do: 6 (2 x 3), 8 (2 x 4); or give shape, or use path",
    ),
    (lambda: t.grid(12, ()), "grid: the shape has no side", "give at least one, or leave shape out"),
    (lambda: t.star(1), "star: nodes must be at least 2, not 1", "one node is a complete graph"),
    (lambda: t.hypercube(12), "hypercube: 12 nodes are no power of two", "8 or 16 nodes"),
    (
        lambda: t.static_exponential(1),
        "static_exponential: nodes must be at least 2, not 1",
        "one node is a complete graph",
    ),
    (lambda: t.complete(0), "complete: nodes must be at least 1, not 0", ""),
    (
        lambda: t.random_regular(1001, 3),
        "random_regular: 1001 nodes of degree 3 have 3003 edge ends, an odd number",
        "degree 2 or 4, or 1000 or 1002 nodes",
    ),
    (
        lambda: t.random_regular(5, 1),
        "random_regular: 5 nodes of degree 1 have 5 edge ends, an odd number",
        "degree 2, or 4 or 6 nodes",
    ),
    (
        lambda: t.random_regular(10, 20),
        "random_regular: degree 20 has no room on 10 nodes",
        "degree at most 9, or at least 21 nodes",
    ),
    (lambda: t.random_regular(10, 0), "random_regular: degree must be at least 1, not 0", ""),
    (lambda: t.random_regular(1, 1), "random_regular: nodes must be at least 2, not 1", "one node is a complete graph"),
    (
        lambda: t.erdos_renyi(10),
        "erdos_renyi: neither of p and mean_degree is given",
        "give exactly one of p and mean_degree",
    ),
    (
        lambda: t.erdos_renyi(10, p=0.1, mean_degree=2),
        "erdos_renyi: both of p and mean_degree are given",
        "give exactly one of p and mean_degree",
    ),
    (lambda: t.erdos_renyi(10, p=1.5), "erdos_renyi: p must be from 0 to 1, not 1.5", "p is a probability"),
    (lambda: t.erdos_renyi(10, p=float("nan")), "erdos_renyi: p must be a finite number, not nan", ""),
    (lambda: t.erdos_renyi(10, p="0.1"), "erdos_renyi: p must be a finite number, not '0.1'", ""),
    (
        lambda: t.erdos_renyi(10, mean_degree=12),
        "erdos_renyi: mean_degree must be from 0 to 9, not 12",
        "a node has at most nodes - 1 neighbours",
    ),
    (
        lambda: t.watts_strogatz(4, 3, 0.1),
        "watts_strogatz: degree 3 is odd, but as many neighbours must lie on each side",
        "degree 2",
    ),
    (
        lambda: t.watts_strogatz(10, 4, -0.1),
        "watts_strogatz: beta must be from 0 to 1, not -0.1",
        "beta is a probability",
    ),
    (
        lambda: t.barabasi_albert(5, 5),
        "barabasi_albert: 5 edges of a new node have no room on 5 nodes",
        "m at most 4, or at least 6 nodes",
    ),
    (lambda: t.barabasi_albert(5, 0), "barabasi_albert: m must be at least 1, not 0", ""),
    (
        lambda: t.random_geometric(10),
        "random_geometric: neither of radius and mean_degree is given",
        "give exactly one of radius and mean_degree",
    ),
    (
        lambda: t.random_geometric(10, radius=2),
        "random_geometric: radius must be from 0 to 1.41421, not 2",
        "the unit square's diagonal",
    ),
    (
        lambda: t.random_geometric(10, mean_degree=9),
        "random_geometric: mean_degree must be from 0 to 8.77433, not 9",
        "a higher mean degree is nearly the complete graph: use that",
    ),
    (lambda: t.stochastic_block(3, 5, 0.1, 0.1), "stochastic_block: 5 blocks of 3 nodes", "every block needs a node"),
    (
        lambda: t.stochastic_block(10, 2, 0.1, 2),
        "stochastic_block: p_out must be from 0 to 1, not 2",
        "p_out is a probability",
    ),
    (
        lambda: t.from_scipy(np.zeros((3, 3))),
        "from_scipy: the 3 x 3 matrix holds no link",
        "node i hears node j where matrix[i, j] is not zero",
    ),
    (
        lambda: t.from_scipy(sp.eye_array(3)),
        "from_scipy: the 3 x 3 matrix holds no link",
        "node i hears node j where matrix[i, j] is not zero",
    ),
    (lambda: t.from_scipy(np.ones(3)), "from_scipy: the matrix has shape (3,)", "it must be square: (n, n)"),
    (
        lambda: t.from_scipy(np.zeros((2, 3))),
        "from_scipy: the 2 x 3 matrix holds no link",
        "row i and column j are linked where matrix[i, j] is not zero",
    ),
    (lambda: t.from_matrix(np.ones((2, 3))), "from_matrix: the matrix has shape (2, 3)", "it must be square: (n, n)"),
    (
        lambda: t.from_scipy([[0, np.inf], [1, 0]]),
        "from_scipy: row 0 of the matrix holds a number that is not finite",
        "",
    ),
    (lambda: t.from_scipy([["a"]]), "from_scipy: the matrix holds <U1", "it must hold booleans, integers or floats"),
    (
        lambda: t.from_networkx(np.eye(3)),
        "from_networkx: ndarray is no networkx graph",
        "from_scipy takes matrices, edge_list takes files",
    ),
    (lambda: t.from_networkx(nx.Graph()), "from_networkx: the graph has no node", ""),
    (lambda: t.from_links(3, [0], [3], name="mine"), "mine: node 3 does not exist", "nodes are numbered 0 to 2"),
    (lambda: t.from_links(3, [0], [-1], name="mine"), "mine: node -1 does not exist", "nodes are numbered 0 to 2"),
    (
        lambda: t.from_links(3, [1], [1], name="mine"),
        "mine: node 1 has a link to itself",
        "a node's own weight is the weight rule's business: leave self-links out",
    ),
    (lambda: t.from_links(3, [0.5], [1], name="mine"), "mine: nodes are given as float64", "node numbers are integers"),
    (
        lambda: t.from_matrix([[0.5, 0.5], [0.6, 0.5]]),
        "from_matrix: row 1 of the weights sums to 1.1, not 1",
        "divide every row by its sum, in float64",
    ),
    (lambda: t.from_matrix([[1, 2]]), "from_matrix: the matrix has shape (1, 2)", "it must be square: (n, n)"),
    (
        lambda: t.metropolis_hastings(t.from_scipy(ONE_WAY)),
        "metropolis_hastings: from_scipy is directed without equal degrees",
        "use uniform weights, or sinkhorn if every link has a way back",
    ),
    (
        lambda: t.max_degree(t.from_scipy(ONE_WAY)),
        "max_degree: from_scipy is directed without as many hearing as heard at every node",
        "use uniform weights, or sinkhorn if every link has a way back",
    ),
    (
        lambda: t.best_constant(t.static_exponential(8)),
        "best_constant: static_exponential is directed",
        "use uniform weights, or sinkhorn if every link has a way back",
    ),
    (
        lambda: t.best_constant(t.stochastic_block(6, 2, 1.0, 0.0)),
        "best_constant: stochastic_block has 2 components, so no weight makes it agree",
        "use metropolis_hastings, or a connected graph",
    ),
    (
        lambda: t.sinkhorn(t.from_scipy([[0, 1], [0, 0]])),
        "sinkhorn: node 0 hears node 1, but no way leads back: no scaling has unit sums",
        "use uniform weights, or a strongly connected graph",
    ),
    (
        lambda: t.laplacian_extremes(t.complete(1)),
        "complete is a single node: its Laplacian has no smallest and largest eigenvalue to speak of",
        "",
    ),
    (
        lambda: t.laplacian_extremes(t.static_exponential(8)),
        "static_exponential is directed: its Laplacian has no smallest and largest eigenvalue to speak of",
        "",
    ),
]

OTHER = "; format = 'adjacency' or 'metis' where a line lists all neighbours of a node"
LINE = "write two names a line, separated by blanks, tabs, a comma or a semicolon; # starts a comment" + OTHER
COLUMNS = "name the columns in their order: columns = ['source', 'target', '_']"
FILES = [
    (b"0 1\n2\n", ":2: '2' is not two node names", LINE),
    (b"0 1\n# fine\n\n0 1 2 3\n", ":4: '0 1 2 3' has 4 columns", COLUMNS + OTHER),
    (b"New York City\tBoston\nhi ho\n", ":1: 'New York City Boston' has 4 columns", COLUMNS + OTHER),
    (b"0,,1\n", ":1: '0  1' is not two node names", LINE),
    (
        b"0 1\n1 2 x\n",
        ":2: the third column 'x' is not a number",
        f"only an edge weight can follow the two node names, and it is ignored; or {COLUMNS}",
    ),
    (b'0 1\n"a b\n', ":2: '\"a b' cannot be read: unexpected end of data", "close every quote"),
    (b"# nothing\n", " holds no link", "write two node names a line"),
    (b"", " holds no link", "write two node names a line"),
    (b"\xff\xfe0 1", " is text in UTF-16", "save it as UTF-8"),
    (b"0 1\0\n", ", line 1: a NUL byte, which no text has", "save it as text in UTF-8"),
]


@pytest.mark.wrong_types
@pytest.mark.parametrize(("call", "message", "hint"), TABLE, ids=[row[1] for row in TABLE])
def test_words(call, message, hint):
    with pytest.raises(GraphError) as caught:
        call()
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize(("content", "message", "hint"), FILES)
def test_words_about_files(tmp_path, content, message, hint):
    file = tmp_path / "graph.txt"
    file.write_bytes(content)
    with pytest.raises(GraphError) as caught:
        t.edge_list(file)
    assert (caught.value.message, caught.value.hint) == (f"{file}{message}", hint)


def test_words_about_missing_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, message in (
        ("none.txt", "no such file: {}"),
        (".", "{} is a folder, not a file"),
        ("pipe", "{} is a pipe or a device, not a file"),
    ):
        with pytest.raises(GraphError) as caught:
            t.edge_list(tmp_path / name)
        assert caught.value.message == message.format(tmp_path / name)


def test_unknown_names_get_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown topology 'rings' \(did you mean 'ring'\?"):
        t.TOPOLOGIES["rings"]
    with pytest.raises(ConfigError, match=r"unknown weight rule 'metropolis' \(did you mean 'metropolis_hast"):
        t.WEIGHT_RULES["metropolis"]


def test_random_graphs_that_work_are_the_ones_the_hint_names():
    with pytest.raises(JaxGossipError) as caught:
        t.random_regular(1001, 3)
    assert caught.value.hint == "degree 2 or 4, or 1000 or 1002 nodes"
    for nodes, degree in ((1001, 2), (1001, 4), (1000, 3), (1002, 3)):
        assert t.random_regular(nodes, degree).regular_degree == degree
