"""Files of graphs as people have them: what a program wrote is read as that program means it."""

import builtins
import contextlib
import gzip
import io
import warnings

import networkx as nx
import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

from jaxgossip.core.errors import GraphError, JaxGossipWarning
from jaxgossip.topology import edge_list, memory_check

KARATE = nx.karate_club_graph()
NAMED = nx.relabel_nodes(nx.davis_southern_women_graph(), str)


@pytest.fixture
def read(tmp_path):
    def read(content, name="graph.txt", **options):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            graph = edge_list(path, **options)
        return graph, [str(one.message) for one in caught if isinstance(one.message, JaxGossipWarning)]

    return read


def links_by_name(graph):
    names = graph.labels or tuple(map(str, range(graph.n_nodes)))
    links = [(names[first], names[second]) for first, second in graph.edges()]
    return set(links) if graph.directed else {frozenset(link) for link in links}


def names_of(graph):
    return set(graph.labels or map(str, range(graph.n_nodes)))


# -- two sorts of nodes


def test_both_sorts_of_nodes_of_konect_are_nodes(read):
    people, crimes = 829, 551
    rng = np.random.default_rng(0)
    links = {*zip(range(1, people + 1), rng.integers(1, crimes + 1, people), strict=True)}
    links |= {*zip(rng.integers(1, people + 1, crimes), range(1, crimes + 1), strict=True)}
    text = f"% bip unweighted\n% {len(links)} {people} {crimes}\n" + "".join(f"{a} {b}\n" for a, b in sorted(links))
    graph, told = read(text, "out.moreno_crime_crime")
    assert (graph.n_nodes, graph.n_edges) == (1380, len(links))
    assert told == ["out.moreno_crime_crime: its two sorts of nodes, 829 and 551, are the sides of one bipartite graph"]
    assert {(int(a), int(b - people)) for a, b in graph.edges()} == {(a - 1, b - 1) for a, b in links}
    assert graph.labels[:2] == ("left 1", "left 2")
    assert graph.labels[people] == "right 1"


def test_sides_of_konect_may_have_nodes_without_links_names_weights_and_times(read):
    graph, _ = read("% bip\n% 2 3 4\n1 1\n3 1\n")
    assert (graph.n_nodes, graph.n_edges, graph.degrees.tolist()) == (7, 2, [1, 0, 1, 2, 0, 0, 0])
    graph, told = read("% bip weighted\n1 1 2 1082040961\n2 1 -3 1082155839\n")
    assert (graph.n_nodes, graph.n_edges) == (3, 2)
    assert any("in 2 lines is ignored" in text for text in told)
    graph, _ = read("% bip\nEvelyn E1\nLaura E1\nLaura E2\n")
    assert graph.labels == ("Evelyn", "Laura", "E1", "E2")  # no name of one side is one of the other
    assert graph.edges().tolist() == [[0, 2], [1, 2], [1, 3]]
    graph, _ = read("% bip\n1 1\n", directed=True)
    assert graph.edges().tolist() == [[1, 0]]  # the right hears the left


def test_konect_of_one_sort_says_whether_links_have_a_direction(read):
    graph, told = read("% asym unweighted\n1 2\n2 3\n")
    assert (graph.directed, graph.n_edges) == (False, 2)
    assert told == ["graph.txt: its links go one way, and are read both ways; directed = true keeps them"]
    graph, told = read("% asym unweighted\n1 2\n2 3\n", directed=True)
    assert (graph.directed, graph.n_edges, told) == (True, 2, [])
    graph, told = read("% sym unweighted\n1 2\n2 3\n", directed=True)
    assert (graph.n_edges, told) == (4, [])


@pytest.mark.parametrize("form", [sp.coo_array, np.asarray])
def test_a_matrix_of_more_rows_than_columns_has_two_sides(read, form):
    pattern = np.array([[1, 0], [1, 1], [0, 0]])
    out = io.BytesIO()
    scipy.io.mmwrite(out, form(pattern))
    graph, told = read(out.getvalue(), "women.mtx")
    assert (graph.n_nodes, graph.edges().tolist()) == (5, [[0, 3], [1, 3], [1, 4]])
    assert graph.labels == ("row 1", "row 2", "row 3", "column 1", "column 2")
    assert told == ["women.mtx: its two sorts of nodes, 3 and 2, are the sides of one bipartite graph"]


def test_a_square_matrix_has_one_sort_of_nodes_and_a_direction_if_it_is_general(read):
    adjacency = nx.to_scipy_sparse_array(KARATE)
    out = io.BytesIO()
    scipy.io.mmwrite(out, sp.coo_array(adjacency))  # it sees that it is symmetric
    graph, told = read(out.getvalue(), "karate.mtx")
    assert (graph.n_nodes, graph.n_edges, told) == (34, 78, [])
    assert graph.labels == tuple(map(str, range(1, 35)))
    general = "%%MatrixMarket matrix coordinate pattern general\n3 3 2\n1 2\n2 3\n"
    graph, told = read(general, "a.mtx.gz")
    assert (graph.n_edges, len(told)) == (2, 1)
    graph, told = read(general, "no suffix", directed=True)
    assert (links_by_name(graph), told) == ({("2", "1"), ("3", "2")}, [])  # the second hears the first


# -- words


def test_quotes_hold_names_together_and_are_no_part_of_them(read):
    expected = {frozenset(pair) for pair in [("New York", "Boston"), ('a "b"', "x,y")]}
    for text in (
        '"New York",Boston\n"a ""b""","x,y"\n',
        '"New York" "Boston"\n"a ""b"""   \t"x,y"\n',
        '"New York";"Boston"\n"a ""b""";"x,y"\n',
        '"New York"\tBoston\n"a ""b"""\t"x,y"\n',
    ):
        graph, told = read(text)
        assert (links_by_name(graph), told) == (expected, []), text
    assert read('"0","1"\n"1","2"\n')[0].labels is None


def test_a_sharp_within_a_word_is_part_of_it(read):
    graph, _ = read("C# F#\nF# a#b # a comment\n  # another\n#and another\nC# C\n")
    assert links_by_name(graph) == {frozenset(p) for p in [("C#", "F#"), ("F#", "a#b"), ("C#", "C")]}
    assert names_of(read('"a # b",c\n')[0]) == {"a # b", "c"}
    assert names_of(read("0 1#2\n")[0]) == {"0", "1#2"}


def test_equal_numbers_are_one_node_however_they_are_written(read):
    graph, _ = read("1 2\n1.0 3\n2.00,1e0\n+3 02\n")
    assert (graph.labels, links_by_name(graph)) == (("1", "2", "3"), {frozenset(p) for p in ["12", "13", "23"]})
    graph, _ = read("0.50 -1\n.5 2e1\n")
    assert graph.labels == ("-1", "0.5", "20")
    long = "12345678901234567890123456789"
    assert read(f"{long} {long[:-1]}8\n")[0].n_nodes == 2  # not the same float
    assert read("1e5 a3\n100000 a3\n")[0].n_nodes == 3  # words, of which some look like numbers
    assert read("1000000000 -5\n-5 9\n")[0].labels == ("-5", "9", "1000000000")
    assert read(f"{'9' * 5000} 1\n")[0].n_nodes == 2
    assert read("1e9999 1e-9999\n")[0].n_nodes == 2
    assert read("nan inf\n")[0].labels == ("inf", "nan")


def test_tabs_keep_names_with_blanks_together(read):
    graph, _ = read("New York\tBoston\nBoston\tLos Angeles\n")
    assert links_by_name(graph) == {frozenset({"New York", "Boston"}), frozenset({"Boston", "Los Angeles"})}
    graph, told = read("1 2\t0.5\n2 3\t0.5\n")  # numbers with a blank between them are two
    assert (graph.labels, len(told)) == (("1", "2", "3"), 1)
    assert read("1\t2\n2\t\t3\n3 1\n")[0].n_edges == 3


@pytest.mark.parametrize("weight", ["1", "0.5", "nan", "-inf", "2e-3"])
def test_numbers_after_the_names_are_passed_over_aloud(read, weight):
    for text in (f"5 7 {weight}\n7 9 {weight}\n", f"5,7,{weight}\n7, 9, {weight}\n", f"5.0 7 {weight}\n7 9 {weight}\n"):
        graph, told = read(text)
        assert (graph.labels, graph.edges().tolist()) == (("5", "7", "9"), [[0, 1], [1, 2]])
        assert len(told) == 1
        assert "what follows the names in 2 lines is ignored" in told[0]
    with pytest.raises(GraphError, match="has 4 columns"):  # nobody can tell which of them are nodes
        read(f"5 7 {weight} 1\n7 9 {weight} 2\n")


def test_lines_end_as_on_any_system_and_nowhere_else(read):
    for end in ("\n", "\r\n", "\r"):
        assert read(end.join(["\ufeffa b", "% c", "", "b c # d", ""]))[0].n_edges == 2
    assert names_of(read("a\u2028b\tc\x0bd\n")[0]) == {"a\u2028b", "c\x0bd"}


def test_columns_say_where_the_names_are(read):
    text = "7,2,0.5,1\n8,3,0.5,2\n"
    assert links_by_name(read(text, columns=("source", "_", "weight", "target"))[0]) == {
        frozenset({"7", "1"}),
        frozenset({"8", "2"}),
    }
    graph, told = read("a,b,c,d\n" + text, columns=("_", "source", "_", "target"))
    assert (graph.n_edges, len(told)) == (2, 1)
    graph, _ = read("x y 1 2008-01-01\nz y 2 n/a\n", columns=("target", "source"), directed=True)
    assert links_by_name(graph) == {("x", "y"), ("z", "y")}
    with pytest.raises(GraphError, match=r"graph.txt:2: 'a b' has no names in columns 1 and 3"):
        read("a b c\na b\n", columns=("source", "_", "target"))
    for columns, message in (
        (("source",), "has no 'target'"),
        (("source", "source", "target"), "more than one 'source'"),
    ):
        with pytest.raises(GraphError, match=message):
            read(text, columns=columns)
    with pytest.raises(GraphError, match="columns say nothing of metis"):
        read("2 1\n2\n1\n", "g.graph", columns=("source", "target"))


# -- what networkx and others write


@pytest.mark.parametrize("graph", [KARATE, NAMED, nx.path_graph(3)], ids=["numbers", "names", "path"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", ["graph.edgelist", "graph.data", "graph", "graph.tsv"])
def test_edge_lists_of_networkx(read, tmp_path, graph, packed, name):
    writers = [
        lambda path: nx.write_edgelist(graph, path, delimiter="\t"),
        lambda path: nx.write_edgelist(graph, path, delimiter="\t", data=False),
        lambda path: nx.write_weighted_edgelist(graph, path, delimiter="\t"),
    ]
    if graph is not NAMED:  # networkx quotes nothing
        writers += [
            lambda path: nx.write_edgelist(graph, path),
            lambda path: nx.write_edgelist(graph, path, delimiter=","),
        ]
    for write in writers:
        write(tmp_path / "written")
        content = (tmp_path / "written").read_bytes()
        if not content.strip():
            continue
        found, _ = read(gzip.compress(content) if packed else content, name + ".gz" * packed)
        assert links_by_name(found) == {frozenset(map(str, link)) for link in graph.edges}
        assert (found.labels is None) == (graph is not NAMED)


OTHERS = {
    "adjlist": (nx.write_adjlist, "adjacency"),
    "gml": (nx.write_gml, "gml"),
    "graphml": (nx.write_graphml_xml, "graphml"),
    "net": (nx.write_pajek, "pajek"),
}


@pytest.mark.parametrize("suffix", OTHERS)
@pytest.mark.parametrize("graph", [KARATE, NAMED, nx.DiGraph([(0, 1), (2, 1)])], ids=["numbers", "names", "directed"])
@pytest.mark.parametrize("way", ["suffix", "no suffix", "format", "gzip"])
def test_formats_of_networkx(read, tmp_path, suffix, graph, way):
    write, kind = OTHERS[suffix]
    plain = graph.__class__()
    plain.add_nodes_from((str(name).replace(" ", "_"), {}) for name in [*graph, "alone"])
    plain.add_edges_from((str(a).replace(" ", "_"), str(b).replace(" ", "_")) for a, b in graph.edges)
    write(plain, tmp_path / "written")
    content = (tmp_path / "written").read_bytes()
    found, told = {
        "suffix": lambda: read(content, f"g.{suffix}", directed=plain.is_directed()),
        "no suffix": lambda: read(content, "g", directed=plain.is_directed()),
        "format": lambda: read(content, "g.txt", format=kind, directed=plain.is_directed()),
        "gzip": lambda: read(gzip.compress(content), f"g.{suffix.upper()}.gz", directed=plain.is_directed()),
    }[way]()
    assert names_of(found) == set(plain)
    assert told == []
    expected = {(b, a) for a, b in plain.edges} if plain.is_directed() else {frozenset(link) for link in plain.edges}
    assert links_by_name(found) == expected
    if plain.is_directed() and kind != "adjacency":
        with pytest.warns(JaxGossipWarning, match="directed = true keeps them"):
            edge_list(tmp_path / "written", format=kind)


def test_gml_has_labels_as_names_where_they_tell_nodes_apart(read):
    node = "graph [ node [ id 5 {} ] node [ id 7 {} ] edge [ source 5 target 7 ] ]"
    assert read(node.format('label "é x"', 'label "b"'), "g.gml")[0].labels == ("b", "é x")
    assert read(node.format('label "a"', 'label "a"'), "g.gml")[0].labels == ("5", "7")
    assert read(node.format("", ""), "g.gml")[0].labels == ("5", "7")


def test_pajek_has_two_sorts_of_nodes_arcs_edges_and_lists(read):
    graph, told = read('*Vertices 5 2\r\n1 "Anna B"\r\n2 "b"\r\n3 "x"\r\n*Edges\r\n1 3 1\r\n2 4 2.5\r\n', "two.net")
    assert (graph.n_nodes, graph.n_edges, len(told)) == (5, 2, 1)
    assert set(graph.labels) == {"Anna B", "b", "x", "4", "5"}
    text = "% c\n*Network n\n*vertices 4\n*arcs\n1 2 1\n*edges\n2 3\n*Arcslist\n4 1 2\n"
    graph, _ = read(text, "g.net", directed=True)
    assert links_by_name(graph) == {("2", "1"), ("3", "2"), ("2", "3"), ("1", "4"), ("2", "4")}
    graph, told = read('*Vertices 2\n1 "a"\n2 "a"\n*Edges\n1 2\n', "g.net")
    assert (graph.labels, len(told)) == (("1", "2"), 1)


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("% c\n4 3\n2 3\n1\n1\n\n", ""),
        ("4 2 1\n2 7 3 8\n1 7\n1 8\n\n", "edges"),
        ("4 2 11 2\n9 9 2 7 3 8\n9 9 1 7\n9 9 1 8\n9 9\n", "nodes and edges"),
        ("4 2 100\n5 2 3\n5 1\n5 1\n5\n", "sizes"),
        ("4 2 010\n5 2 3\n5 1\n5 1\n5\n", "nodes"),
    ],
)
def test_metis_lists_neighbours_line_after_line(read, text, weights):
    text = text.replace("4 3\n", "4 2\n")
    for ending in ("", "\n\n"):
        graph, told = read(text + ending, "g.graph")
        assert (graph.labels, told) == (("1", "2", "3", "4"), []), weights
        assert links_by_name(graph) == {frozenset("12"), frozenset("13")}


BROKEN = {
    "g.graph": {
        "": "has no first line 'nodes edges'",
        "3 2\n2\n1": "has lines of 2 nodes, not of 3",
        "2 2\n2\n1\n": "lists 2 neighbours, not twice the 2 edges",
        "2 1\n2\n3\n": ":3: node 3 does not exist",
        "2 1\nx\n1\n": ":2: 'x' is no list of whole numbers",
        f"2 1\n{10**30}\n1\n": "is no list of whole numbers",
        "1000000000 1\n2\n1": "has lines of 2 nodes, not of 1,000,000,000",
    },
    "g.mtx": {
        "": "is no matrix that can be read",
        "%%MatrixMarket matrix coordinate pattern general\n3 3 2\n1 2\n": "is no matrix that can be read",
        "%%MatrixMarket matrix coordinate pattern general\n3 3 1\n4 2\n": "is no matrix that can be read",
        "%%MatrixMarket matrix coordinate pattern general\n9999999999 3 1\n4 2\n": "a matrix of 9,999,999,999 x 3",
        "%%MatrixMarket matrix coordinate pattern general\n2000000000 3 1\n4 2\n": "need about 500 GB of memory",
    },
    "g.net": {
        "": "has no line *Vertices",
        "*Vertices x\n": ":1: '*Vertices x' counts no nodes",
        "*Vertices 2000000000\n": "need about 500 GB of memory",
        "*Vertices 2\n*Edges\n1 3\n": ":3: node 3 does not exist",
        "*Vertices 2\n*Matrix\n0 1\n": "the section '*Matrix' is not read",
        '*Vertices 2\n1 "a\n': "No closing quotation",
    },
    "g.gml": {
        "": "cannot be read as GML",
        "graph [ node [ id 0 ] edge [ source 0 target 1 ] ]": "cannot be read as GML",
    },
    "g.graphml": {"": "cannot be read as GraphML", "<graphml>": "cannot be read as GraphML"},
    "g.adjlist": {"a\nb\n": "holds no link", "1 2\n2 {}\n": ":2: '2 {}' is no list of neighbours"},
    "g.txt": {"*Vertices": ":1: '*Vertices' counts no nodes", "1 2\n" + "1 " * 999 + "\n": "has 999 columns"},
}


@pytest.mark.parametrize(
    ("name", "text", "message"), [(name, *pair) for name, texts in BROKEN.items() for pair in texts.items()]
)
def test_what_is_cut_or_wrong_is_told_with_the_file(read, name, text, message):
    with pytest.raises(GraphError) as told:
        read(text, name)
    assert message in told.value.message
    assert name in told.value.message
    assert told.value.hint
    assert len(told.value.message) < 400


def test_a_text_that_memory_cannot_hold_is_refused(read, monkeypatch):
    monkeypatch.setattr(memory_check, "available_bytes", lambda: 3000)
    assert read("0 1\n" * 20)[0].n_edges == 1
    for text in ("0 1\n" * 50, "a b\n" * 25):
        with pytest.raises(GraphError, match=r"graph.txt: .* characters.* need about .* and 3 kB can be had"):
            read(text)


def test_every_cut_of_every_file_is_a_graph_or_one_error(read, tmp_path):
    scipy.io.mmwrite(tmp_path / "m.mtx", sp.coo_array(nx.to_scipy_sparse_array(nx.path_graph(5))))
    contents = {"m.mtx": (tmp_path / "m.mtx").read_bytes(), "m.graph": b"3 2\n2\n1 3\n2\n"}
    for suffix, (write, _) in OTHERS.items():
        write(nx.relabel_nodes(nx.path_graph(4), str), tmp_path / "written")
        contents[f"m.{suffix}"] = (tmp_path / "written").read_bytes()
    for name, content in contents.items():
        for size in range(0, len(content), 13):
            for damaged in (content[:size], content[:size] + b"\xff" + content[size:], content[size:]):
                with contextlib.suppress(GraphError):
                    read(damaged, name)


def test_a_format_is_one_of_a_few(read):
    with pytest.raises(GraphError, match="unknown format 'gmx'") as told:
        read("0 1\n", format="gmx")
    assert told.value.hint.startswith("did you mean 'gml'? allowed: adjacency, edges, gml, ")


def test_without_networkx_its_formats_are_told(read, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **keywords):
        if name == "networkx":
            raise ModuleNotFoundError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    for name in ("g.gml", "g.graphml"):
        with pytest.raises(GraphError, match="is read by networkx, which is not installed") as told:
            read("graph [ ]", name)
        assert "pip install networkx" in told.value.hint
    assert read("0 1\n", "g.edgelist")[0].n_edges == 1
    assert read("*Vertices 2\n*Edges\n1 2\n", "g.net")[0].n_edges == 1


def test_commas_beside_semicolons_are_those_of_decimals(read):
    graph, told = read("a;b;1,5\nb;c;2,5\nBoston, MA;c;1\n")
    assert links_by_name(graph) == {frozenset("ab"), frozenset("bc"), frozenset(("Boston, MA", "c"))}
    assert "3 lines is ignored" in told[0]


def test_matrices_are_read_where_warnings_are_errors(tmp_path):
    path = tmp_path / "g.mtx"
    path.write_text("%%MatrixMarket matrix coordinate pattern symmetric\n3 3 2\n2 1\n3 2\n")
    assert edge_list(path).n_edges == 2


@pytest.mark.parametrize("name", ["g.net", "g.graph"])
def test_a_list_of_links_under_the_suffix_of_another_format_is_told_how_it_is_read(read, name):
    with pytest.raises(GraphError) as told:
        read("0 1\n1 2\n2 0\n", name)
    assert told.value.hint.endswith("format = 'edges' if it lists links, two names a line")
    assert read("0 1\n1 2\n2 0\n", name, format="edges")[0].n_edges == 3
