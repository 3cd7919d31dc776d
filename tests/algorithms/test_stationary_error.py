"""Where noise and different data leave the methods: stationary errors on isotropic quadratics, in float64."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.algorithms import Algorithm
from jaxgossip.network import Round
from jaxgossip.theory import measuring
from jaxgossip.theory import predictions as p
from jaxgossip.theory.measuring import Errors
from tests.algorithms import oracles

t = jg.topology
ETA, S, D, N = 0.1, 1.0, 400, 16
GRAPHS = {"ring": t.ring(N), "barabasi_albert": t.barabasi_albert(N, m=2, rng=0)}
QUOTED = {"atc": 1.4179, "dgd": 1.8310, "cta": 1.9844}
"""Total error on the ring of 16 with d = 20, of standard normal b_i (NumPy's generator of seed 0) and noise together."""


def quadratic(n: int = N, dimension: int = D, **options: Any) -> jg.learning.Problem:
    return jg.learning.isotropic_quadratic(
        n, dimension=dimension, dtype=jnp.float64, **{"heterogeneity": 0.0, "noise": S} | options
    )


def stationary(algorithm: Algorithm, rounds: int = 1500, skip: int = 300) -> Errors:
    return Errors(*map(float, jax.jit(lambda: measuring.stationary(algorithm, rounds, skip))()))


@pytest.mark.slow
@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("form", QUOTED)
def test_the_floor_of_dsgd_is_the_predicted_one(form: str, graph: str) -> None:
    with jax.enable_x64(True):
        W = jg.mixing.metropolis_hastings(GRAPHS[graph])
        lam = np.linalg.eigvalsh(W.as_matrix())[::-1]
        measured = stationary(jg.algorithms.dsgd(quadratic(), optax.sgd(ETA), W, form=form))
    mean, net = p.mean_error(N, D, ETA, S), p.net_error(form, lam, D, ETA, S)
    assert abs(measured.mean / mean - 1) < 0.02
    assert abs(measured.consensus / net - 1) < 0.005
    assert abs(measured.total / (mean + net) - 1) < 0.01


@pytest.mark.slow
def test_the_engine_reports_the_same_floor() -> None:
    with jax.enable_x64(True):
        W = jg.mixing.metropolis_hastings(GRAPHS["ring"])
        lam = np.linalg.eigvalsh(W.as_matrix())[::-1]
        algorithm = jg.algorithms.dsgd(quadratic(), optax.sgd(ETA), W)
        metrics = jg.simulate(algorithm, 2400, evaluate_every=4, sampled_nodes=N).metrics
    mean, net = p.mean_error(N, D, ETA, S), p.net_error("atc", lam, D, ETA, S)
    assert abs(metrics["distance_to_optimum_mean"][75:].mean() / (mean + net) - 1) < 0.01
    assert abs(metrics["consensus_distance"][75:].mean() / net - 1) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("form", QUOTED)
def test_heterogeneity_biases_dsgd_by_the_predicted_amount(form: str) -> None:
    targets = np.random.default_rng(0).normal(size=(N, 20))
    with jax.enable_x64(True):
        W = jg.mixing.metropolis_hastings(GRAPHS["barabasi_albert"])
        lam, modes = np.linalg.eigh(W.as_matrix())
        algorithm = jg.algorithms.dsgd(
            quadratic(dimension=20, noise=0.0, targets=targets), optax.sgd(ETA), W, form=form
        )
        measured = jg.simulate(algorithm, 600, evaluate_every=600).metrics.final["distance_to_optimum_mean"]
    energy = ((modes.T @ (targets - targets.mean(0))) ** 2).sum(1)
    assert abs(measured / ((p.bias_factor(form, lam, ETA) ** 2 * energy).sum() / N) - 1) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("form", QUOTED)
def test_noise_and_heterogeneity_add_up(form: str) -> None:
    targets = np.tile(np.random.default_rng(0).normal(size=(N, 20)), D // 20)
    with jax.enable_x64(True):
        W = jg.mixing.metropolis_hastings(GRAPHS["ring"])
        lam, modes = np.linalg.eigh(W.as_matrix())
        measured = stationary(jg.algorithms.dsgd(quadratic(targets=targets), optax.sgd(ETA), W, form=form))
    energy = ((modes.T @ (targets - targets.mean(0))) ** 2).sum(1)
    bias = (p.bias_factor(form, lam, ETA) ** 2 * energy).sum() / N
    expected = p.mean_error(N, D, ETA, S) + p.net_error(form, lam[::-1], D, ETA, S) + bias
    assert abs(expected * 20 / D - QUOTED[form]) < 1e-4
    assert abs(measured.total / expected - 1) < 0.01


@pytest.mark.slow
def test_the_bias_of_gradient_push_is_that_of_its_fixed_point() -> None:
    targets = np.random.default_rng(0).normal(size=(N, 20))
    adjacency = np.random.default_rng(1).random((N, N)) < 0.2
    adjacency |= np.roll(np.eye(N, dtype=bool), 1, 0)
    np.fill_diagonal(adjacency, val=False)
    A = (adjacency + np.eye(N)) / (1 + adjacency.sum(0))
    with jax.enable_x64(True):
        mixing = jg.mixing.push_sum(t.from_scipy(adjacency.astype(float)))
        algorithm = jg.algorithms.sgp(quadratic(dimension=20, noise=0.0, targets=targets), optax.sgd(ETA), mixing)
        x = jg.simulate(algorithm, 600, evaluate_every=600).x
    assert np.ptp(A.sum(1)) > 0.5
    np.testing.assert_allclose(x, oracles.sgp_fixed_point(A, targets, ETA), atol=1e-9)


@pytest.mark.slow
def test_the_error_falls_as_one_over_the_number_of_nodes() -> None:
    sizes = np.array([4, 8, 16, 32, 64])
    measured = []
    with jax.enable_x64(True):
        for n in sizes:
            W = jg.mixing.metropolis_hastings(t.complete(int(n)))
            errors = stationary(jg.algorithms.dsgd(quadratic(int(n)), optax.sgd(ETA), W), 600, 100)
            assert abs(errors.total / p.mean_error(int(n), D, ETA, S) - 1) < 0.03
            assert errors.consensus < 1e-20
            measured.append(errors.total)
    slope = np.polyfit(np.log(sizes), np.log(measured), 1)[0]
    assert abs(slope + 1) < 0.03


RANDOM = {
    "fresh_regular": (96, lambda graph: jg.mixing.fresh_regular(graph, degree=7), p.oracle_beta(96, 7), 0.1158),
    "push": (96, lambda graph: jg.mixing.push(graph, fanout=7), p.local_beta(96, 7), 0.1322),
    "push_1": (96, lambda graph: jg.mixing.push(graph, fanout=1), p.local_beta(96, 1), None),
    "matching": (48, jg.mixing.matching, p.matching_beta(48), None),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", RANDOM)
def test_a_random_graph_leaves_the_predicted_share_of_disagreement(kind: str) -> None:
    n, make, beta, quoted = RANDOM[kind]
    with jax.enable_x64(True):
        schedule = make(t.complete(n))
        x = jax.random.normal(jax.random.key(0), (n, 8), jnp.float64)
        x = x - x.mean(0)

        def left(key: jax.Array) -> jax.Array:
            links = Round(jnp.int32(0), key, n).links(schedule)
            return jnp.square(links.mix(x)).sum() / jnp.square(x).sum()  # about the old mean, which is 0

        measured = float(jax.jit(lambda keys: jax.lax.map(left, keys).mean())(jax.random.split(jax.random.key(1), 600)))
    assert quoted is None or abs(beta - quoted) < 1e-4
    assert abs(measured / beta - 1) < 0.01


CONSENSUS = {
    "fresh_regular": (24, lambda graph: jg.mixing.fresh_regular(graph, degree=2), p.oracle_beta(24, 2)),
    "matching": (24, jg.mixing.matching, p.matching_beta(24)),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CONSENSUS)
def test_the_consensus_on_random_graphs_is_the_predicted_one(kind: str) -> None:
    n, make, beta = CONSENSUS[kind]
    with jax.enable_x64(True):
        measured = stationary(jg.algorithms.dsgd(quadratic(n), optax.sgd(ETA), make(t.complete(n))), 1000, 50)
    assert abs(measured.consensus / p.random_graph_consensus(beta, n, D, ETA, S) - 1) < 0.01


@pytest.mark.slow
def test_local_sgd_is_as_far_apart_as_its_steps_since_it_agreed() -> None:
    steps = 5
    alone, all_ = (t.weights.from_matrix(matrix) for matrix in (np.eye(N), np.full((N, N), 1 / N)))
    with jax.enable_x64(True):
        schedule = jg.mixing.periodic([alone] * (steps - 1) + [all_])
        measured = stationary(jg.algorithms.dsgd(quadratic(), optax.sgd(ETA), schedule), 1500, 100)
    assert abs(measured.consensus / p.local_sgd_consensus(steps, N, D, ETA, S) - 1) < 0.01
    assert abs(measured.mean / p.mean_error(N, D, ETA, S) - 1) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("form", ["atc", "cta", "dgd"])
def test_local_steps_leave_each_mode_the_predicted_error(form: str) -> None:
    with jax.enable_x64(True):
        W = jg.mixing.metropolis_hastings(GRAPHS["ring"])
        lam = np.linalg.eigvalsh(W.as_matrix())[::-1]
        algorithm = jg.algorithms.dsgd(quadratic(), optax.sgd(ETA), W, form=form, local_steps=3)
        measured = stationary(algorithm, 600, 100)
    assert abs(measured.consensus / p.net_error(form, lam, D, ETA, S, steps=3) - 1) < 0.01
