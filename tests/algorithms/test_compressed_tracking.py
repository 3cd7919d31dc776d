"""Compressed gradient tracking and compressed exact diffusion: what they are without compression, keep, and contract by."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.algorithms import Algorithm
from jaxgossip.compression import Compressor
from jaxgossip.core.random import run_key
from jaxgossip.network import Conditions, Round
from jaxgossip.network.conditions import FAULTLESS
from jaxgossip.theory.measuring import moment_growth
from jaxgossip.theory.predictions import crossing
from tests.algorithms.oracles import beer_moments, lead_moments, slowest
from tests.algorithms.q16 import ETA, RING, SPECTRUM, B, N, linear_map, of_targets, ring
from tests.algorithms.test_contract import quickly

A, Q, t = jg.algorithms, jg.compression, jg.topology
COLUMNS = 2000
"""Independent runs of a simulation."""


def after(algorithm: Algorithm, rounds: int, conditions: Conditions = FAULTLESS) -> Any:
    """Return the state after so many rounds, as NumPy arrays."""

    def step(number: jax.Array, state: Any) -> Any:
        return algorithm.step(state, Round(number, run_key(1), N, conditions))[0]

    run = quickly(lambda key: jax.lax.fori_loop(0, rounds, step, algorithm.init(key)), run_key(0))
    return jax.tree.map(np.asarray, run(run_key(0)))


def x_after(algorithm: Algorithm, rounds: int) -> np.ndarray:
    return after(algorithm, rounds).x


def noisy() -> Any:
    """Return quadratics with noisy gradients, whose nodes start apart."""
    targets = np.stack([B, B**2, -B], 1)
    return jg.learning.isotropic_quadratic(
        N, dimension=3, noise=0.3, targets=targets, init="independent", dtype=jnp.result_type(float)
    )


def test_beer_without_compression_is_diging_of_slower_weights() -> None:
    gamma = 0.3
    with jax.enable_x64(True):
        problem = noisy()
        slower = jg.mixing.operator(jg.topology.weights.from_matrix(np.eye(N) + gamma * (RING - np.eye(N))))
        one = after(A.beer(problem, optax.sgd(ETA), ring(), Q.identity(), consensus_rate=gamma), 60)
        two = after(A.gradient_tracking(problem, optax.sgd(ETA), slower), 60)
    np.testing.assert_allclose(one.x, two.x, atol=1e-12)
    np.testing.assert_allclose(one.v, two.y, atol=1e-12)


@pytest.mark.slow
def test_motef_without_momentum_is_beer() -> None:
    problem = noisy()
    one = after(A.beer(problem, optax.sgd(ETA), ring(), Q.random_k(fraction=0.4)), 40)
    two = after(A.motef(problem, optax.sgd(ETA), ring(), Q.random_k(fraction=0.4), momentum=0.0), 40)
    jax.tree.map(np.testing.assert_array_equal, one, two)


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_lead_without_compression_is_exact_diffusion(alpha: float) -> None:
    options: dict[str, Any] = {"consensus_rate": 1.0, "memory_rate": alpha}
    with jax.enable_x64(True):
        problem = noisy()
        one = x_after(A.lead(problem, optax.sgd(0.2), ring(), Q.identity(), **options), 60)
        two = x_after(A.exact_diffusion(problem, optax.sgd(0.2), ring()), 60)
        still = A.lead(of_targets(0 * B), optax.sgd(0.2), ring(), Q.identity(), **options)
        roots = np.linalg.eigvals(linear_map(still, ("x", "d", "public")))
    np.testing.assert_allclose(one, two, atol=1e-12)
    neutral = np.abs(roots - 1) < 1e-9
    assert neutral.sum() == 1
    assert np.abs(roots[~neutral]).max() == pytest.approx(0.883007, abs=6e-7)


@pytest.mark.slow
def test_cedas_is_lead_until_the_learning_rate_changes() -> None:
    def rate(number: Any) -> Any:
        return jnp.where(number < 10, 0.2, 0.05)

    def compressed(make: Callable[..., Algorithm], step: Any, **options: Any) -> np.ndarray:
        compressor = Q.random_k(fraction=0.4, rescale=True)
        return x_after(make(problem, optax.sgd(step), ring(), compressor, **options), 30)

    with jax.enable_x64(True):
        problem = noisy()
        cedas = compressed(A.cedas, 0.2)
        for unit in (0.2, 1.0, 7.0):
            np.testing.assert_allclose(compressed(A.lead, 0.2, base_rate=unit), cedas, atol=1e-12)
        changing = compressed(A.lead, rate, base_rate=rate), compressed(A.cedas, rate)
    assert np.abs(changing[0] - changing[1]).max() > 1e-2


@pytest.mark.parametrize("in_gradients", [True, False], ids=["LEAD", "CEDAS"])
def test_with_a_learning_rate_that_changes_they_are_as_published(in_gradients: bool) -> None:
    gamma, alpha, targets = 0.7, 0.4, B[:, None]

    def rate(number: Any) -> Any:
        return jnp.where(number < 10, 0.2, 0.05)

    # Every message loses a tenth, in NumPy too.
    tenth = Compressor("a tenth lost", lambda x, *_: 0.9 * x, Q.identity().size)
    options: dict[str, Any] = {"consensus_rate": gamma, "memory_rate": alpha}
    options |= {"base_rate": rate} if in_gradients else {}
    make = A.lead if in_gradients else A.cedas
    x, d, h = (np.zeros((N, 1)) for _ in range(3))
    for number in range(25):
        eta = float(rate(number))
        y = x - eta * (x - targets) - (eta * d if in_gradients else d)
        q = 0.9 * (y - h)
        received, h = h + q, h + alpha * q
        push = gamma / 2 * (received - RING @ received)
        x, d = y - push, d + (push / eta if in_gradients else push)
    with jax.enable_x64(True):
        found = after(make(of_targets(B), optax.sgd(rate), ring(), tenth, **options), 25)
    np.testing.assert_allclose(found.x, x, atol=1e-7)  # rates are float32
    np.testing.assert_allclose(found.d, d, atol=1e-6)


COMPRESSORS: dict[str, Callable[[], Compressor]] = {
    "top_k": lambda: Q.top_k(fraction=0.4),
    "random_k": lambda: Q.random_k(fraction=0.4, rescale=True),
    "qsgd": lambda: Q.qsgd(levels=2),
    "sign": Q.sign,
    "low_rank": Q.low_rank,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPRESSORS)
def test_means_over_nodes_are_kept_whatever_the_compressor(name: str) -> None:
    """On irregular graphs, and where links fail both ways and nodes are away; for biased compressors, too."""
    faulty = Conditions(link_drop=0.2, online=0.8, straggle=0.2)
    compressor = COMPRESSORS[name]()
    with jax.enable_x64(True):
        graph = t.watts_strogatz(N, degree=4, beta=0.3, rng=1)
        problem, W = noisy(), jg.mixing.metropolis_hastings(graph)
        options: dict[str, Any] = {"consensus_rate": 0.1}
        makes = (A.beer, A.motef, A.lead, A.cedas)
        states = [after(make(problem, optax.sgd(0.02), W, compressor, **options), 30, faulty) for make in makes]
    for state in states[:2]:
        np.testing.assert_allclose(state.v.mean(0), state.m.mean(0), atol=1e-12)
        assert np.abs(state.v - state.m).max() > 1e-3
    for state in states[2:]:
        np.testing.assert_allclose(state.d.sum(0), 0, atol=1e-12)
        assert np.abs(state.d).max() > 1e-4


@pytest.mark.slow
def test_the_momentum_of_motef_is_that_of_the_gradients() -> None:
    """So its mean tracks the mean gradient: what V and M start at does not last."""
    with jax.enable_x64(True):
        problem, m = of_targets(B), np.zeros((N, 1))
        algorithm = A.motef(problem, optax.sgd(ETA), ring(), Q.top_k(fraction=0.5), momentum=0.7)
        state = algorithm.init(run_key(0))
        for number in range(20):
            m = 0.7 * m + 0.3 * (np.asarray(state.x) - B[:, None])
            state, _ = algorithm.step(state, Round(jnp.int32(number), run_key(1), N))
            np.testing.assert_allclose(state.m, m, atol=1e-12)


def published_motef(rounds: int, *, alike: bool) -> np.ndarray:
    """Return the models of MoTEF without compression, in NumPy: as its authors' code starts, or with V₀ = M₀."""
    gamma, beta, targets = 0.1, 0.1, B[:, None]
    x, h, s, m = (np.zeros((N, 1)) for _ in range(4))
    v = m if alike else x - targets
    for _ in range(rounds):
        x = x + gamma * (RING - np.eye(N)) @ h - ETA * v
        h, new_m = x, (1 - beta) * m + beta * (x - targets)
        v = v + gamma * (RING - np.eye(N)) @ s + new_m - m
        s, m = v, new_m
    return x[:, 0]


def test_a_start_of_motef_whose_means_differ_is_never_forgotten() -> None:
    rounds = 30_000
    np.testing.assert_allclose(published_motef(rounds, alike=False), 3.0894, atol=5e-5)
    np.testing.assert_allclose(published_motef(rounds, alike=True), 1.5447, atol=5e-5)
    with jax.enable_x64(True):
        x = x_after(A.motef(of_targets(B), optax.sgd(ETA), ring(), Q.identity(), consensus_rate=0.1), rounds)
    np.testing.assert_allclose(x, 1.5447, atol=5e-5)
    np.testing.assert_allclose(x, B.mean(), atol=1e-5)


@pytest.mark.slow
def test_the_two_rows_of_a_message_are_compressed_independently() -> None:
    algorithm = A.beer(noisy(), optax.sgd(ETA), ring(), Q.random_k(fraction=0.34))
    state = jax.tree.map(jnp.asarray, after(algorithm, 4))
    new, _ = algorithm.step(state, Round(jnp.int32(4), run_key(5), N))
    of_x, of_v = (np.asarray(one != two) for one, two in ((new.public, state.public), (new.public_v, state.public_v)))
    assert (of_x.sum(1) == 1).all()
    assert (of_v.sum(1) == 1).all()
    assert 0 < (of_x & of_v).any(1).sum() < N


@pytest.mark.slow
@pytest.mark.parametrize("name", ["beer", "motef", "lead", "cedas"])
def test_with_compression_they_end_at_the_mean_of_the_targets(name: str) -> None:
    with jax.enable_x64(True):
        problem = of_targets(np.stack([B, B**2, np.sin(B)], 1))
        if name in ("beer", "motef"):
            algorithm = A.ALGORITHMS[name](problem, optax.sgd(ETA), ring(), Q.top_k(fraction=0.34), consensus_rate=0.3)
        else:
            compressor = Q.random_k(fraction=0.34, rescale=True)
            algorithm = A.ALGORITHMS[name](
                problem, optax.sgd(0.2), ring(), compressor, consensus_rate=0.3, memory_rate=0.3
            )
        x = x_after(algorithm, 20_000)
    np.testing.assert_allclose(x, np.broadcast_to(np.asarray(problem.targets).mean(0), x.shape), atol=1e-9)


def by_random_k(name: str, density: float, **options: Any) -> Callable[[Any, float], Algorithm]:
    """Return (problem, η) -> one of them with random-k; those of exact diffusion with the unbiased one."""
    compressor = Q.random_k(fraction=density, rescale=name in ("lead", "cedas"))
    return lambda problem, eta: A.ALGORITHMS[name](problem, optax.sgd(eta), ring(), compressor, **options)


def beer(gamma: float, density: float) -> tuple[np.ndarray, float, Callable[[Any, float], Algorithm]]:
    moments = beer_moments(SPECTRUM, ETA, gamma, density)
    return moments, ETA, by_random_k("beer", density, consensus_rate=gamma)


def motef(gamma: float, density: float, beta: float) -> tuple[np.ndarray, float, Callable[[Any, float], Algorithm]]:
    moments = beer_moments(SPECTRUM, ETA, gamma, density, beta)
    return moments, ETA, by_random_k("motef", density, consensus_rate=gamma, momentum=1 - beta)


def lead(
    gamma: float, density: float, eta: float, alpha: float
) -> tuple[np.ndarray, float, Callable[[Any, float], Algorithm]]:
    moments = lead_moments(SPECTRUM, eta, gamma, alpha, density)
    return moments, eta, by_random_k("lead", density, consensus_rate=gamma, memory_rate=alpha)


FIELDS = {
    "BEER": (("x", "v", "m"), ("public", "public_v")),
    "MoTEF": (("x", "v", "m"), ("public", "public_v")),
    "LEAD": (("x", "d"), ("public",)),
}
"""Fields of the state by method, in the order of its map: those of mean 0, and public copies."""
FACTORS = {
    "BEER, half": (beer(0.2, 0.5), 0.99699998, 800, 1e-5),
    "BEER, a fifth": (beer(0.1, 0.2), 0.99913496, 2000, 1e-5),
    "MoTEF, a fifth": (motef(0.1, 0.2, 0.1), 0.99913780, 2000, 1e-5),
    "LEAD, half": (lead(0.4, 0.5, 0.2, 0.5), 0.87289787, 500, 5e-4),
    "LEAD, a fifth": (lead(0.05, 0.2, 0.05, 0.1), 0.97300068, 800, 5e-4),
}
"""By name: the case, the factor on E‖X − X*‖² per round, rounds that measure it, and how far off they may be."""


@pytest.mark.parametrize("name", FACTORS)
def test_the_factor_of_the_second_moments(name: str) -> None:
    (moments, _, _), quoted, _, _ = FACTORS[name]
    assert slowest(moments) == pytest.approx(quoted, abs=6e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", FACTORS)
def test_it_is_the_factor_of_many_runs(name: str) -> None:
    (_, eta, make), quoted, rounds, tolerance = FACTORS[name]
    with jax.enable_x64(True):
        assert growth(name, make, eta, rounds) == pytest.approx(quoted, abs=tolerance)


def growth(name: str, make: Callable[[Any, float], Algorithm], eta: float, rounds: int) -> float:
    start = np.random.default_rng(0).normal(size=(N, COLUMNS))
    problem, fields = of_targets(np.zeros((N, COLUMNS))), FIELDS[name.partition(",")[0]]
    return moment_growth(make(problem, eta), jnp.asarray(start - start.mean(0)), rounds, rounds // 2, *fields)


EDGES: dict[str, tuple[Callable[[float], Any], float]] = {
    "BEER, half": (lambda gamma: beer(gamma, 0.5), 0.9543),
    "BEER, a fifth": (lambda gamma: beer(gamma, 0.2), 0.3561),
    "LEAD": (lambda gamma: lead(gamma, 0.5, 0.2, 0.5), 0.5794),
}
"""By name: the case by γ, and the largest γ that does not diverge."""


@pytest.mark.slow
@pytest.mark.parametrize("name", EDGES)
def test_beyond_the_largest_consensus_rate_they_diverge(name: str) -> None:
    of_rate, quoted = EDGES[name]
    edge = crossing(lambda gamma: slowest(of_rate(gamma)[0]) > 1, 0.9 * quoted, 1.1 * quoted, 1e-6)
    assert edge == pytest.approx(quoted, abs=6e-5)
    with jax.enable_x64(True):
        for factor in (0.97, 1.03):
            moments, eta, make = of_rate(factor * edge)
            measured = growth(name, make, eta, 400)
            assert (measured > 1) == (factor > 1)
            assert measured == pytest.approx(
                np.abs(np.linalg.eigvals(moments)).max() if factor > 1 else slowest(moments), abs=2e-3
            )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["BEER, half", "MoTEF, a fifth", "LEAD, half"])
def test_a_few_rounds_have_the_predicted_second_moments(name: str) -> None:
    moments, eta, make = FACTORS[name][0]
    rounds, profile = 4, np.random.default_rng(0).normal(size=N)
    profile -= profile.mean()
    # A circulant covariance: the columns are all shifts of one profile. In a round, all columns of a run have the same nodes
    # keep them together: runs average over that.
    start = np.stack([np.roll(profile, shift) for shift in range(N)] * 5, axis=1)
    leaves = [leaf for fields in FIELDS[name.partition(",")[0]] for leaf in fields]
    with jax.enable_x64(True):
        algorithm = make(of_targets(np.zeros(start.shape)), eta)
        first = algorithm.init(run_key(0))._replace(x=jnp.asarray(start))

        def run(key: jax.Array) -> Any:
            return jax.lax.fori_loop(
                0, rounds, lambda number, state: algorithm.step(state, Round(number, key, N))[0], first
            )

        keys = jax.random.split(run_key(1), 1000)
        states = quickly(jax.vmap(run), keys)(keys)
    rows = np.stack([np.asarray(getattr(states, leaf)) for leaf in leaves])
    measured = np.einsum("akij,bkij->ab", rows, rows) / (len(keys) * start.shape[1])

    m, vectors = len(leaves), np.linalg.eigh(RING)[1][:, ::-1]
    distinct, number_of = np.unique(SPECTRUM.round(12), return_inverse=True)
    at_first = np.zeros((len(distinct), m, m))
    np.add.at(at_first[:, 0, 0], number_of, np.square(vectors.T @ start).sum(1) / start.shape[1])
    expected = (np.linalg.matrix_power(moments, rounds) @ at_first.ravel()).reshape(-1, m, m).sum(0)
    size = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(measured / size, expected / size, atol=0.02)
