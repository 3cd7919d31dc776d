"""What plain mixing leaves of the disagreement, to the digit, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg

t = jg.topology
RING = {16: 0.949253, 64: 0.996790, 256: 0.999799}


def contraction(W: jg.mixing.Operator, rounds: int = 3000) -> float:
    """Late contraction of the disagreement, renormalised and with the mean removed every round."""

    def step(_, carry):
        x, _ = carry
        y = W(x)
        y = y - y.mean(0)
        size = jnp.linalg.norm(y)
        return y / size, size

    x = jax.random.normal(jax.random.key(0), (W.n_nodes, 1), jnp.float64)
    return float(jax.jit(lambda x: jax.lax.fori_loop(0, rounds, step, (x / jnp.linalg.norm(x), jnp.float64(1))))(x)[1])


@pytest.mark.by_default("hypercube--", "star--")
@pytest.mark.parametrize(
    ("graph", "rho", "rounds"),
    [
        (t.ring(16), RING[16], 3000),
        (t.ring(64), RING[64], 10_000),
        (t.torus(32, shape=(4, 8)), (1 + 2 * np.cos(2 * np.pi / 8) + 2) / 5, 3000),
        (t.hypercube(32), 4 / 6, 1000),
        (t.star(16), 1 - 1 / 16, 3000),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_disagreement_contracts_at_exactly_the_predicted_rate(graph, rho: float, rounds: int) -> None:
    with jax.enable_x64(True):
        assert abs(contraction(jg.mixing.metropolis_hastings(graph), rounds) - rho) < 1e-6


@pytest.mark.slow
def test_doubly_stochastic_mixing_keeps_the_column_means() -> None:
    with jax.enable_x64(True):
        for graph in (t.ring(13), t.star(13), t.barabasi_albert(50, m=2, rng=0), t.torus(15, shape=(3, 5))):
            W = jg.mixing.metropolis_hastings(graph)
            x = jax.random.normal(jax.random.key(0), (W.n_nodes, 3), jnp.float64)
            np.testing.assert_allclose(W(x).mean(0), x.mean(0), atol=1e-14)
