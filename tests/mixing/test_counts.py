"""Who hears how many, who tells how many, and the largest value heard: of every operator, against its own matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgossip import mixing, topology
from jaxgossip.mixing import Faults, Operator
from jaxgossip.mixing.operator import TimeVarying

N = 24
LOWEST = np.finfo(np.float32).min


def directed() -> topology.Graph:
    rng = np.random.default_rng(3)
    first, second = np.nonzero(rng.random((N, N)) < 0.15)
    apart = first != second
    return topology.from_links(N, first[apart], second[apart], name="drawn", directed=True)


def operators() -> dict[str, Operator | TimeVarying]:
    ring, torus = topology.ring(N), topology.torus(N)
    irregular = topology.barabasi_albert(N, m=2, rng=1)
    complete = topology.complete(N)
    W = mixing.metropolis_hastings
    dense = W(irregular)
    return {
        "roll": W(ring),
        "shift": W(torus),
        "open shift": W(topology.grid(N)),
        "flip": W(topology.hypercube(16)),
        "irregular": dense,
        "star": W(topology.star(100)),
        "complete": W(complete),
        "dense": mixing.dense(topology.metropolis_hastings(irregular)),
        "matching": mixing.matching(complete),
        "matching on a graph": mixing.matching(irregular),
        "push": mixing.push(complete, fanout=2),
        "pull": mixing.pull(complete, fanout=2),
        "pairwise": mixing.pairwise(ring),
        "fresh": mixing.fresh_regular(complete, degree=3),
        "exponential": mixing.one_peer_exponential(complete),
        "sequence": mixing.base_k_plus_one(topology.complete(N), degree=2),
        "push-sum": mixing.push_sum(directed()),
        "push-sum by pushes": mixing.push_sum(complete, peers="random", fanout=2),
        "push-sum in turn": mixing.push_sum(complete, peers="exponential"),
    }


@pytest.mark.by_default("False-open shift")
@pytest.mark.parametrize("name", list(operators()))
@pytest.mark.parametrize("befallen", [False, True])
def test_counts_and_maxima_are_those_of_the_links(name: str, befallen: bool):
    W = operators()[name].at(jnp.int32(2), jax.random.key(5))
    n = W.n_nodes
    links = W.as_matrix() != 0
    np.fill_diagonal(links, val=False)  # [i, j]: i hears j
    online = jnp.asarray(np.random.default_rng(1).random(n) < 0.7) if befallen else None
    faults = Faults(jax.random.key(7), 0.3, online) if befallen else None
    sent = arrived = links
    if faults is not None:
        rows = jnp.arange(n)
        arrived = links & np.asarray(faults.arrive(rows[:, None], rows[None]))
        sent = links & np.asarray(online)[None]
        if name == "pull":  # nobody asks who is offline
            sent = sent & np.asarray(online)[:, None]
    values = np.random.default_rng(2).normal(size=n).astype(np.float32)
    highest = np.where(arrived, values[None], LOWEST).max(1)
    arriving = W.arriving(faults)
    np.testing.assert_array_equal(np.asarray(W.received(arriving)), arrived.sum(1))
    np.testing.assert_array_equal(np.asarray(W.sent(faults)), sent.sum(0))
    np.testing.assert_array_equal(np.asarray(W.highest(jnp.asarray(values), arriving)), highest)
    np.testing.assert_array_equal(np.asarray(W.maximum(jnp.asarray(values), faults)), np.maximum(highest, values))
    assert int(np.asarray(W.messages(faults))[1]) == sent.sum()
