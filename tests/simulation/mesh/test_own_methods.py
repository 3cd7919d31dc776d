"""A method of the user's own on a mesh: it keeps rows apart, or is refused with the line that does not."""

from collections.abc import Callable
from typing import Any, override

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.algorithms import Algorithm, Method
from jaxgossip.core.devices.exchanges import node_mean
from tests.simulation.mesh import cases

NODES = 24


class Pulled(Method):
    """Gossip, with a pull towards what ``target`` says of all models."""

    target: Callable[[Any], Any]

    @override
    def init(self, problem: Any, key: Any) -> Any:
        return problem.init(key)

    @override
    def step(self, problem: Any, W: Any, state: Any, round_: Any) -> Any:
        links = round_.links(W, problem.n_shared)
        mixed = links.mix(state - 0.1 * problem.gradient(state, round_.key("batch")))
        pulled = 0.9 * mixed + 0.1 * self.target(mixed)
        return round_.keep_offline(pulled, state), links.sent(state)

    @override
    def models(self, state: Any) -> Any:
        return state


def algorithm(target: Callable[[Any], Any]) -> Algorithm:
    return Algorithm(Pulled(target), cases.quadratic(NODES), jg.mixing.metropolis_hastings(jg.topology.ring(NODES)))


@pytest.mark.slow
def test_rows_apart_and_means_over_nodes_are_computed() -> None:
    for target in (lambda x: node_mean(x, NODES), lambda x: jax.vmap(jnp.sort)(x) + x.mean(1, keepdims=True)):
        whole = jg.simulate(algorithm(target), 3)
        spread = jg.simulate(algorithm(target), 3, mesh=jg.mesh(2))
        np.testing.assert_allclose(spread.run.state, whole.run.state, rtol=1e-5, atol=1e-6)


@pytest.mark.by_default("mean", "median")
@pytest.mark.parametrize(
    ("target", "operation"),
    [
        (lambda x: x.mean(0), "reduce_sum"),
        (lambda x: x.max(0), "reduce_max"),
        (lambda x: jnp.median(x, axis=0), "sort"),
        (lambda x: jnp.cumsum(x, axis=0), "cumsum"),
        (lambda x: (jnp.ones(len(x)) @ x) / NODES, "dot_general"),
        (lambda x: x[:1], "slice"),
        (lambda x: jax.lax.associative_scan(jnp.add, x), "slice"),
        (lambda x: jax.lax.fori_loop(0, 2, lambda _, y: y - y.mean(0), x), "reduce_sum"),
    ],
    ids=["mean", "max", "median", "cumsum", "product", "a row", "a scan", "in a loop"],
)
def test_what_would_see_one_block_is_refused(target: Callable[[Any], Any], operation: str) -> None:
    said = rf"{operation} at test_own_methods.py:\d+.* one block, not of all nodes"
    with pytest.raises(jg.errors.InputError, match=said) as told:
        jg.simulate(algorithm(target), 1, mesh=jg.mesh(2))
    assert "node_sum" in str(told.value.hint)
