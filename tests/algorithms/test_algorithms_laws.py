"""What algorithms draw themselves on up to four nodes: all outcomes, with their exact probabilities."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.algorithms.protocols.gossip_learning import AgedModel, Merging
from jaxgossip.algorithms.protocols.protocol import Deliveries
from jaxgossip.network import Conditions, Round
from jaxgossip.schedule import Kind
from tests.laws import assert_follows, assert_uniform, drawn, law_of, rows


@pytest.mark.slow
@pytest.mark.parametrize("drop", [0.0, 0.3])
def test_a_server_draws_any_few_nodes_alike_and_loses_their_answers_one_by_one(drop: float) -> None:
    # Node i holds the unit vector i, and a step of rate one takes any model there: the mean tells who has answered.
    problem = jg.learning.isotropic_quadratic(4, dimension=4, noise=0.0, targets=np.eye(4), rng=0)
    algorithm = jg.algorithms.federated_averaging(problem, optax.sgd(1.0), fraction=0.5)
    start = algorithm.init(jax.random.key(0))

    def answered(key: jax.Array) -> jax.Array:
        after, _ = algorithm.step(start, Round(jnp.int32(0), key, 4, Conditions(drop=drop)))
        return (jnp.abs(after.x[0] - start.x[0]) > 0).any() & (after.x[0] > 0.25)

    ways = []
    for two in itertools.combinations(range(4), 2):
        for arrives in itertools.product([False, True], repeat=2):
            who = [node for node, one in zip(two, arrives, strict=True) if one]
            chance = np.prod([1 - drop if one else drop for one in arrives]) / 6
            ways.append((tuple(node in who for node in range(4)), float(chance)))
    assert_follows(rows(drawn(answered)), law_of(ways))


@pytest.mark.slow
def test_a_message_carries_each_parameter_by_a_coin_of_its_own() -> None:
    problem = jg.learning.isotropic_quadratic(2, dimension=3, rng=0)
    rule = Merging("uniform", None, 1, 0.3)
    age = jnp.zeros((2, 1), jnp.int32)
    heard, own = (AgedModel(jnp.full((2, 3), value), age) for value in (2.0, 0.0))
    node = jnp.arange(2, dtype=jnp.int32)

    def taken(key: jax.Array) -> jax.Array:
        arrivals = Deliveries(node, node, node * 0, node * 0, node.astype(jnp.uint32) + 7, key, frozenset({Kind.MODEL}))
        return rule.merge(problem, heard, own, arrivals).x == 1.0

    law = {
        way: float(np.prod([0.3 if one else 0.7 for one in way])) for way in itertools.product([False, True], repeat=6)
    }
    assert_follows(rows(drawn(taken)), law)


@pytest.mark.slow
def test_epidemic_learning_meets_anybody_alike() -> None:
    n = 3
    schedule = jg.mixing.push(jg.topology.complete(n))
    problem = jg.learning.averaging(n, values=np.eye(n))
    algorithm = jg.algorithms.epidemic(problem, optax.sgd(0.0), schedule)
    state = algorithm.init(jax.random.key(0))

    def heard(key: jax.Array) -> jax.Array:
        after, _ = algorithm.step(state, Round(jnp.int32(0), key, n, Conditions()))
        return (after.x > 0) & ~jnp.eye(n, dtype=bool)

    ways = []
    for targets in itertools.product(*([other for other in range(n) if other != node] for node in range(n))):
        table = np.zeros((n, n), bool)
        table[targets, range(n)] = True
        ways.append(tuple(table.ravel().tolist()))
    assert_uniform(rows(drawn(heard)), ways)
