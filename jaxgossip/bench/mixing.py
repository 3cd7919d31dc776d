"""The mixing cases: X ← W X on common kinds of graphs, each against scipy's W @ X.

The memory traffic in copies of the state is (k + 2)/2, with k the mean number of neighbours that a node hears.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip import mixing, topology
from jaxgossip.bench.case import Case, Setting
from jaxgossip.bench.reference import random_matching
from jaxgossip.bench.timing import Loop
from jaxgossip.core.random import host_rng, run_key
from jaxgossip.core.typing import PRNGKey
from jaxgossip.mixing import Mixing
from jaxgossip.mixing.time_varying.peers import RandomMatching
from jaxgossip.topology.graph import Graph


def traffic(neighbours: float) -> float:
    """Return the uncached traffic of an operator in copies: per node, k rows and its own are read, and one is written."""
    return (neighbours + 2) / 2


def ring(setting: Setting) -> Case:
    """Return the case of mixing on a ring, by two rolls. Traffic: k = 2, so 2 copies."""
    return _static(topology.ring(setting.nodes), setting)


def random_8_regular(setting: Setting) -> Case:
    """Return the case of mixing on a random 8-regular graph. Traffic: k = 8, so 5 copies."""
    return _static(topology.random_regular(setting.nodes, 8, rng=setting.seed), setting)


def random_16_regular(setting: Setting) -> Case:
    """Return the case of mixing on a random 16-regular graph. Traffic: k = 16, so 9 copies."""
    return _static(topology.random_regular(setting.nodes, 16, rng=setting.seed), setting)


def random_geometric(setting: Setting) -> Case:
    """Return the case of mixing on a random geometric graph of mean degree 8, randomly numbered, with localised rows.

    Traffic: k ≈ 8, so about 5 copies.
    """
    graph = topology.random_geometric(setting.nodes, mean_degree=8, rng=setting.seed)
    return _static(topology.localised(graph), setting)


def small_world(setting: Setting) -> Case:
    """Return the case of mixing on a small world of degree 8, 5 % rewired, randomly numbered, with localised rows.

    Traffic: k = 8, so 5 copies.
    """
    graph = topology.watts_strogatz(setting.nodes, 8, 0.05, rng=setting.seed)
    ends = host_rng(setting.seed, "bench numbers").permutation(setting.nodes)[graph.edges()]
    scrambled = topology.from_links(setting.nodes, ends[:, 0], ends[:, 1], name="small world")
    return _static(topology.localised(scrambled), setting)


def barabasi_albert(setting: Setting) -> Case:
    """Return the case of mixing on a Barabási–Albert graph with 8 edges per new node.

    Traffic: k ≈ 16, so about 9 copies.
    """
    return _static(topology.barabasi_albert(setting.nodes, 8, rng=setting.seed), setting)


def star(setting: Setting) -> Case:
    """Return the case of mixing on a star. Traffic: k = 2(n − 1)/n, so about 2 copies."""
    return _static(topology.star(setting.nodes), setting)


def complete_mean(setting: Setting) -> Case:
    """Return the case of replacing every row by the mean of all. Traffic: rows are read and written once, so 1 copy."""
    x = _state(setting)

    def reference() -> None:
        x[:] = x.mean(0)

    operator = mixing.metropolis_hastings(topology.complete(setting.nodes))
    loop = Loop(lambda W, x, _: W.mix(x, None), operator, jnp.array(x))
    return Case(x.shape, traffic(0), setting.nodes, "node", loop, reference, "NumPy mean")


def matching_mixing(setting: Setting) -> Case:
    """Return the case of drawing a random matching and averaging each pair.

    Traffic: k = 1, so 1.5 copies, not counting the draw.
    """
    x, rng = _state(setting), host_rng(setting.seed, "bench matching")
    matchings, key = mixing.matching(topology.complete(setting.nodes)), run_key(setting.seed)

    def step(inputs: tuple[Mixing, PRNGKey], x: jax.Array, number: jax.Array) -> jax.Array:
        matchings, key = inputs
        return matchings.at(number, jax.random.fold_in(key, number)).mix(x, None)

    def reference() -> None:
        heard = x[random_matching(len(x), rng)]
        np.add(x, heard, out=x)
        np.multiply(x, np.float32(0.5), out=x)

    return Case(
        x.shape,
        traffic(1),
        setting.nodes,
        "node",
        Loop(step, (matchings, key), jnp.array(x)),
        reference,
        "NumPy matching",
    )


def matching(setting: Setting) -> Case:
    """Return the case of drawing a random matching without mixing, against jax.random.permutation.

    It moves no rows, so there is no traffic.
    """
    n, key = setting.nodes, run_key(setting.seed)
    matchings = mixing.matching(topology.complete(n))
    assert isinstance(matchings, RandomMatching)

    def partners(inputs: tuple[RandomMatching, PRNGKey], _: jax.Array, number: jax.Array) -> jax.Array:
        matchings, key = inputs
        return matchings.partners(jax.random.fold_in(key, number))

    def permutation(key: PRNGKey, _: jax.Array, number: jax.Array) -> jax.Array:
        return jax.random.permutation(jax.random.fold_in(key, number), n).astype(jnp.int32)

    shuffle = Loop(permutation, key, jnp.zeros(n, jnp.int32))
    loop = Loop(partners, (matchings, key), jnp.zeros(n, jnp.int32))
    shape = (n, setting.params)
    return Case(shape, None, n, "node", loop, lambda: shuffle(1), "jax.random.permutation")


def _static(graph: Graph, setting: Setting) -> Case:
    weights = topology.metropolis_hastings(graph)
    operator = mixing.operator(weights)
    x, matrix = _state(setting), weights.to_scipy().astype(np.float32)

    def reference() -> None:
        x[:] = matrix @ x

    loop = Loop(lambda W, x, _: W.mix(x, None), operator, jnp.array(x))
    mean_degree = graph.n_links / graph.n_nodes
    return Case(x.shape, traffic(mean_degree), graph.n_links, "edge", loop, reference, "scipy CSR @ X")


def _state(setting: Setting) -> np.ndarray:
    return host_rng(setting.seed, "bench state").random((setting.nodes, setting.params), np.float32)
