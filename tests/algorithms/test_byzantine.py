"""Liars among averaging nodes: what they do to the plain mean, and what clipping leaves of it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.network import Adversary, Aggregation, Conditions, adversaries, aggregation

HONEST, LINKS, ROUNDS, D = 20, 5, 100, 10
LIARS = [HONEST, HONEST + 1]
N = HONEST + len(LIARS)
VALUES = np.random.default_rng(0).normal(size=(N, D))
MEAN = VALUES[:HONEST].mean(0)


@functools.cache
def graph() -> jg.topology.Graph:
    """Return 20 honest nodes in a 6-regular graph, and two liars with links to five of them each."""
    adjacency = np.zeros((N, N))
    adjacency[:HONEST, :HONEST] = jg.topology.random_regular(HONEST, 6, rng=0).to_scipy().toarray()
    victims = np.random.default_rng(0).permutation(HONEST)[: LINKS * len(LIARS)].reshape(len(LIARS), LINKS)
    for liar, some in zip(LIARS, victims, strict=True):
        adjacency[liar, some] = adjacency[some, liar] = 1
    return jg.topology.from_scipy(adjacency)


def averaged(adversary: Adversary | None, rule: Aggregation | None) -> tuple[float, float]:
    """Return of the honest nodes after 100 rounds: variance (1/n)Σ‖x_i − x̄‖², and squared drift of their mean."""
    with jax.enable_x64(True):
        problem = jg.learning.averaging(N, values=VALUES, dtype=jnp.float64)
        algorithm = jg.algorithms.averaging(problem, optax.identity(), jg.mixing.metropolis_hastings(graph()))
        conditions = Conditions(adversary=adversary, aggregation=rule)
        x = np.asarray(jg.simulate(algorithm, ROUNDS, evaluate_every=ROUNDS, conditions=conditions).x)[:HONEST]
    return np.square(x - x.mean(0)).sum(1).mean(), np.square(x.mean(0) - MEAN).sum()


@pytest.mark.slow
@pytest.mark.parametrize("radius", ["oracle", "adaptive"])
def test_clipping_undoes_dissensus(radius: str) -> None:
    attack = adversaries.dissensus(n_nodes=N, nodes=LIARS)
    plain, _ = averaged(attack, None)
    clipped, drift = averaged(attack, aggregation.clipped(radius=radius))
    assert plain > 0.1
    assert clipped < 1e-10
    assert drift < np.square(VALUES[:HONEST] - MEAN).sum(1).mean() / 10


@pytest.mark.slow
@pytest.mark.parametrize("radius", ["oracle", "adaptive"])
def test_clipping_bounds_what_a_constant_lie_moves(radius: str) -> None:
    attack = adversaries.constant(n_nodes=N, value=1e3, nodes=LIARS)
    _, plain = averaged(attack, None)
    variance, clipped = averaged(attack, aggregation.clipped(radius=radius))
    assert plain > 1e4 * clipped
    assert plain > 1e6
    assert clipped < 10
    assert variance < 1e-10


@pytest.mark.slow
def test_dissensus_holds_its_victims_where_they_are() -> None:
    """With ε = 1 a liar cancels the pull of the honest: a node next to it does not move at all under the plain mean."""
    matrix = jg.mixing.metropolis_hastings(graph()).as_matrix()[:HONEST]
    share = matrix[:, LIARS].sum(1)
    inside = matrix[:, :HONEST].copy()
    np.fill_diagonal(inside, 0)
    step = inside - np.diag(inside.sum(1))
    step[share > 0] = 0
    expected = np.linalg.matrix_power(np.eye(HONEST) + step, ROUNDS) @ VALUES[:HONEST]
    variance, drift = averaged(adversaries.dissensus(n_nodes=N, nodes=LIARS), None)
    assert (share > 0).sum() == LINKS * len(LIARS)
    assert abs(variance / np.square(expected - expected.mean(0)).sum(1).mean() - 1) < 1e-6
    assert abs(drift / np.square(expected.mean(0) - MEAN).sum() - 1) < 1e-6
