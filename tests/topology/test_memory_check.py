"""Graphs too large for the free memory are refused before anything of their size is made."""

import inspect

import pytest

import jaxgossip as jg
from jaxgossip.core.errors import DataError, GraphError
from jaxgossip.learning.data import datasets
from jaxgossip.topology import memory_check
from jaxgossip.topology.generators import cliques, random_degrees, random_graphs
from jaxgossip.topology.memory_check import (
    LISTED_BYTES,
    NODE_BYTES,
    WEIGHTED_BYTES,
    check_bytes,
    check_links,
    links_cost,
)

t = jg.topology


@pytest.fixture
def small_machine(monkeypatch):
    monkeypatch.setattr(memory_check, "available_bytes", lambda: 10**8)


TOO_LARGE = {
    "erdos_renyi, dense": lambda: t.erdos_renyi(80_000, 0.6),
    "erdos_renyi, sparse": lambda: t.erdos_renyi(400_000, mean_degree=4),
    "erdos_renyi, no links": lambda: t.erdos_renyi(2**31 - 1, 0.0),
    "stochastic_block, within": lambda: t.stochastic_block(80_000, 2, 0.6, 0.0),
    "stochastic_block, across": lambda: t.stochastic_block(80_000, 2, 0.0, 0.6),
    "random_geometric": lambda: t.random_geometric(80_000, radius=0.5),
    "random_geometric, complete": lambda: t.random_geometric(80_000, radius=1.4),
    "random_regular": lambda: t.random_regular(80_000, 100),
    "random_regular, dense": lambda: t.random_regular(80_000, 70_000),
    "watts_strogatz": lambda: t.watts_strogatz(80_000, 40_000, 0.1),
    "barabasi_albert": lambda: t.barabasi_albert(80_000, 40_000),
    "barbell": lambda: t.barbell(8000),
    "two_cliques": lambda: t.two_cliques(8000),
    "lollipop": lambda: t.lollipop(8000),
    "lollipop, mostly path": lambda: t.lollipop(2 * 10**9, clique=2),
    "connected_caveman": lambda: t.connected_caveman(100_000, 50),
    "binary_tree": lambda: t.binary_tree(2 * 10**9),
    "de_bruijn": lambda: t.de_bruijn(2**30),
    "equi_static": lambda: t.equi_static(4000, 10**10),
    "u_equi_static": lambda: t.u_equi_static(80_000, 10_000),
    "k_peer_exponential": lambda: t.k_peer_exponential(1000, 10**10),
    "base_k_plus_one": lambda: t.base_k_plus_one(10**9),
    "hyper_hypercube": lambda: t.hyper_hypercube(2**30),
    "k_nearest_ring": lambda: t.k_nearest_ring(10**9, 10**8),
    "lists of a k_nearest_ring": lambda: t.k_nearest_ring(20_000, 1_000).indices,
    "lists of a complete graph": lambda: t.complete(6_000).indices,
    "lists of a star": lambda: t.star(10**9).indices,
    "lists of a grid": lambda: t.grid(10**9, shape=(10**3, 10**6)).indices,
    "lists of a hypercube": lambda: t.hypercube(2**30).indices,
    "a program of many random peers": lambda: jg.mixing.push(t.complete(1000), fanout=900),
    "a program of many slots": lambda: jg.mixing.metropolis_hastings(t.k_nearest_ring(1_000, 500)),
}


@pytest.mark.parametrize("build", TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_graph_that_memory_cannot_hold_is_refused_in_a_sentence(small_machine, build):
    with pytest.raises(GraphError) as told:
        build()
    assert " need about " in told.value.message
    assert told.value.message.endswith(" of memory, and 100 MB can be had")
    assert "fewer" in told.value.hint or "smaller" in told.value.hint


MADE = {
    "least_squares": lambda: jg.learning.least_squares(10, samples=10_000, dimension=1000),
    "isotropic_quadratic": lambda: jg.learning.isotropic_quadratic(10**5, dimension=1000),
    "averaging": lambda: jg.learning.averaging(10**5, dimension=1000),
    "synthetic": lambda: datasets.synthetic(samples=10**6, features=100),
}


@pytest.mark.parametrize("build", MADE.values(), ids=MADE)
def test_made_up_data_that_memory_cannot_hold_are_refused_alike(small_machine, build):
    with pytest.raises(DataError, match=r"need about .* and 100 MB can be had"):
        build()


def test_the_estimate_is_that_of_the_links_expected(monkeypatch):
    asked = []
    monkeypatch.setattr(memory_check, "available_bytes", lambda: 10**18)
    for module in (random_graphs, random_degrees, cliques):
        monkeypatch.setattr(module, "check_links", lambda *args, **_: asked.append(args[2]))
    for graph, share in [
        (t.erdos_renyi(400, 0.3, rng=1), 0.02),
        (t.stochastic_block(400, 3, 0.4, 0.1, rng=1), 0.02),
        (t.random_geometric(400, radius=0.3, rng=1), 0.1),
        (t.random_regular(400, 6, rng=1), 0),
        (t.watts_strogatz(400, 6, 0.2, rng=1), 0),
        (t.barabasi_albert(400, 3, rng=1), 0.02),
        (t.two_cliques(400), 0.02),
    ]:
        assert asked.pop(0) == pytest.approx(graph.n_links, rel=share), graph.name


def test_what_a_link_is_counted_with_is_told_from_outside(monkeypatch):
    monkeypatch.setattr(memory_check, "available_bytes", lambda: 1000)
    check_links("g", 5, (1000 - 5 * NODE_BYTES) / LISTED_BYTES)
    with pytest.raises(
        GraphError, match=r"g: 5 nodes with about 100 directed links need about 6.2 kB of memory, and 1 kB"
    ):
        check_links("g", 5, 100)
    with links_cost(WEIGHTED_BYTES, "or that"), pytest.raises(GraphError) as told:
        check_links("g", 5, 100, hint="this")
    assert (
        told.value.message
        == "g: 5 nodes with about 100 directed links need about 13.2 kB of memory, and 1 kB can be had"
    )
    assert told.value.hint == "this; or that"
    with t.without_memory_check():
        check_links("g", 5, 10**12)
        check_bytes("all of it", 1e20, "")
    with pytest.raises(GraphError):
        check_links("g", 5, 100)


def test_small_graphs_ask_for_little(small_machine):
    assert t.erdos_renyi(1000, 0.5).n_nodes == 1000
    assert t.hypercube(2**20).n_links == 20 * 2**20  # nothing is listed
    assert t.ring(10**9).n_links == 2 * 10**9
    assert inspect.signature(t.without_memory_check).parameters == {}
