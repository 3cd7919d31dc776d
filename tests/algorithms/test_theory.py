"""Rates and floors that theory predicts to the digit, on isotropic quadratics in float64."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg

t = jg.topology
RING = {16: 0.949253, 64: 0.996790, 256: 0.999799}


class Averaging(NamedTuple):
    x: jax.Array


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


def test_doubly_stochastic_mixing_keeps_the_column_means() -> None:
    with jax.enable_x64(True):
        for graph in (t.ring(13), t.star(13), t.barabasi_albert(50, m=2, rng=0), t.torus(15, shape=(3, 5))):
            W = jg.mixing.metropolis_hastings(graph)
            x = jax.random.normal(jax.random.key(0), (W.n_nodes, 3), jnp.float64)
            np.testing.assert_allclose(W(x).mean(0), x.mean(0), atol=1e-14)


ETA, A, S, D, N = 0.1, 1.0, 1.0, 20, 16
FLOORS = {"atc": 1.4179, "dgd": 1.8310, "cta": 1.9844}


def predicted(form: str, lam: np.ndarray) -> float:
    """Stationary (1/n) Σ E‖x_i − x*‖² without heterogeneity: mean + net (Lyapunov equation of each mode of W)."""
    q = 1 - ETA * A
    mean = D * ETA * S**2 / (N * A * (2 - ETA * A))
    k = lam[1:]
    noise = D * ETA**2 * S**2
    net = {
        "atc": noise * k**2 / (1 - k**2 * q**2),
        "cta": noise / (1 - k**2 * q**2),
        "dgd": noise / (1 - (k - ETA * A) ** 2),
    }[form]
    return mean + net.sum() / N


@pytest.mark.parametrize("form", FLOORS)
def test_the_floor_of_dsgd_is_the_predicted_one(form: str) -> None:
    with jax.enable_x64(True):
        problem = jg.learning.isotropic_quadratic(
            N, dimension=D, curvature=A, heterogeneity=0.0, noise=S, rng=0, dtype=jnp.float64
        )
        W = jg.mixing.metropolis_hastings(t.ring(N))
        algorithm = jg.algorithms.dsgd(problem, optax.sgd(ETA), W, form=form)
        result = jg.simulate(algorithm, 12_000, evaluate_every=4, sampled_nodes=N)
        measured = result.metrics["distance_to_optimum_mean"][250:].mean()
    lam = np.sort((1 + 2 * np.cos(2 * np.pi * np.arange(N) / N)) / 3)[::-1]
    assert abs(measured / predicted(form, lam) - 1) < 0.02


def test_heterogeneity_biases_dsgd_by_the_predicted_amount() -> None:
    targets = np.random.default_rng(0).normal(size=(N, D))
    with jax.enable_x64(True):
        problem = jg.learning.isotropic_quadratic(
            N, dimension=D, curvature=A, noise=0.0, targets=targets, dtype=jnp.float64
        )
        W = jg.mixing.metropolis_hastings(t.ring(N))
        lam, modes = np.linalg.eigh(W.as_matrix())
        energy = ((modes.T @ (targets - targets.mean(0))) ** 2).sum(1)
        for form, factor in {
            "atc": ETA * A * lam / (1 - lam * (1 - ETA * A)),
            "cta": ETA * A / (1 - lam * (1 - ETA * A)),
            "dgd": ETA * A / (1 - lam + ETA * A),
        }.items():
            algorithm = jg.algorithms.dsgd(problem, optax.sgd(ETA), W, form=form)
            measured = jg.simulate(algorithm, 600, evaluate_every=600).metrics.final["distance_to_optimum_mean"]
            assert abs(measured / ((factor**2 * energy).sum() / N) - 1) < 1e-6


def test_dgd_diverges_beyond_its_threshold_and_says_in_which_round() -> None:
    with jax.enable_x64(True):
        problem = jg.learning.isotropic_quadratic(
            N, dimension=2, noise=0.0, heterogeneity=1.0, rng=0, dtype=jnp.float64
        )
        W = jg.mixing.metropolis_hastings(t.ring(N))  # even ring: 1 + λ_min = 2/3
        sizes = [
            np.abs(
                jg.simulate(jg.algorithms.dsgd(problem, optax.sgd(eta), W, form="dgd"), 3000, evaluate_every=3000).x
            ).max()
            for eta in (0.66, 0.673)
        ]
    assert sizes[0] < 10
    assert sizes[1] > 1e3
