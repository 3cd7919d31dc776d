"""Graphs as host-side NumPy values: generators, files, weight rules and spectra.

>>> graph = jaxgossip.topology.random_regular(4140, degree=20, rng=0)
>>> W = jaxgossip.topology.metropolis_hastings(graph)      # Weights; jaxgossip.mixing makes operators of them
>>> jaxgossip.topology.spectral_gap(W)

``jaxgossip.topology.graph`` defines the conventions: neighbour lists, directed links and nodes without links. Every
generator raises GraphError, a kind of InputError, if the number of nodes, the degree or a probability is not a number,
is NaN or is out of range.
"""

from jaxgossip.core.registry import Registry
from jaxgossip.topology.connectivity import check_connected as check_connected
from jaxgossip.topology.files.readers import edge_list as edge_list
from jaxgossip.topology.files.readers import from_networkx as from_networkx
from jaxgossip.topology.files.readers import from_scipy as from_scipy
from jaxgossip.topology.generators.cliques import barbell as barbell
from jaxgossip.topology.generators.cliques import connected_caveman as connected_caveman
from jaxgossip.topology.generators.cliques import lollipop as lollipop
from jaxgossip.topology.generators.cliques import two_cliques as two_cliques
from jaxgossip.topology.generators.d_cliques import class_cliques as class_cliques
from jaxgossip.topology.generators.d_cliques import clique_cost as clique_cost
from jaxgossip.topology.generators.d_cliques import d_cliques as d_cliques
from jaxgossip.topology.generators.d_cliques import join_cliques as join_cliques
from jaxgossip.topology.generators.directed import de_bruijn as de_bruijn
from jaxgossip.topology.generators.directed import k_peer_exponential as k_peer_exponential
from jaxgossip.topology.generators.equitopo import equi_static as equi_static
from jaxgossip.topology.generators.equitopo import u_equi_static as u_equi_static
from jaxgossip.topology.generators.lattices import grid as grid
from jaxgossip.topology.generators.lattices import k_nearest_ring as k_nearest_ring
from jaxgossip.topology.generators.lattices import path as path
from jaxgossip.topology.generators.lattices import ring as ring
from jaxgossip.topology.generators.lattices import torus as torus
from jaxgossip.topology.generators.random_degrees import barabasi_albert as barabasi_albert
from jaxgossip.topology.generators.random_degrees import random_regular as random_regular
from jaxgossip.topology.generators.random_degrees import watts_strogatz as watts_strogatz
from jaxgossip.topology.generators.random_graphs import erdos_renyi as erdos_renyi
from jaxgossip.topology.generators.random_graphs import random_geometric as random_geometric
from jaxgossip.topology.generators.random_graphs import stochastic_block as stochastic_block
from jaxgossip.topology.generators.sequences import base_k_plus_one as base_k_plus_one
from jaxgossip.topology.generators.sequences import hyper_hypercube as hyper_hypercube
from jaxgossip.topology.generators.social import davis as davis
from jaxgossip.topology.generators.social import karate as karate
from jaxgossip.topology.generators.stl_fw import stl_fw as stl_fw
from jaxgossip.topology.generators.structured import binary_tree as binary_tree
from jaxgossip.topology.generators.structured import complete as complete
from jaxgossip.topology.generators.structured import hypercube as hypercube
from jaxgossip.topology.generators.structured import star as star
from jaxgossip.topology.generators.structured import static_exponential as static_exponential
from jaxgossip.topology.graph import Graph as Graph
from jaxgossip.topology.graph import from_links as from_links
from jaxgossip.topology.laplacian import closed_form as closed_form
from jaxgossip.topology.laplacian import laplacian_extremes as laplacian_extremes
from jaxgossip.topology.locality import localised as localised
from jaxgossip.topology.memory_check import without_memory_check as without_memory_check
from jaxgossip.topology.order import Order as Order
from jaxgossip.topology.spectra.spectrum import eigenvalues as eigenvalues
from jaxgossip.topology.spectra.spectrum import second_largest_modulus as second_largest_modulus
from jaxgossip.topology.spectra.spectrum import spectral_gap as spectral_gap
from jaxgossip.topology.weights import Weights as Weights
from jaxgossip.topology.weights import best_constant as best_constant
from jaxgossip.topology.weights import from_matrix as from_matrix
from jaxgossip.topology.weights import lazy as lazy
from jaxgossip.topology.weights import max_degree as max_degree
from jaxgossip.topology.weights import metropolis_hastings as metropolis_hastings
from jaxgossip.topology.weights import sinkhorn as sinkhorn
from jaxgossip.topology.weights import uniform as uniform

TOPOLOGIES = Registry(
    "topology",
    [
        ring,
        k_nearest_ring,
        path,
        grid,
        torus,
        star,
        binary_tree,
        hypercube,
        complete,
        static_exponential,
        random_regular,
        erdos_renyi,
        watts_strogatz,
        barabasi_albert,
        random_geometric,
        stochastic_block,
        barbell,
        lollipop,
        two_cliques,
        connected_caveman,
        karate,
        davis,
        edge_list,
    ],
)
"""Topologies that ``topology.kind`` can name."""

WEIGHT_RULES = Registry("weight rule", [metropolis_hastings, max_degree, best_constant, uniform, sinkhorn])
"""Weight rules that ``mixing.weights`` can name: builders of Weights from a graph alone."""
