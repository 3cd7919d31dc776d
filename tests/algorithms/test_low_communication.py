"""Methods with outer steps: their modes, fixed points, stationary variances and moments, against closed forms in float64."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

import jaxgossip as jg
from jaxgossip.algorithms import Algorithm
from jaxgossip.core.random import run_key
from jaxgossip.learning.problem import Problem
from jaxgossip.network import Round
from tests.algorithms.q16 import ETA, SPECTRUM, B, N, of_targets, ring

pytestmark = pytest.mark.slow

t, A = jg.topology, jg.algorithms
H = 10
Q = (1 - ETA) ** H
"""What is left of a distance to the target after a round's local steps."""


def nesterov(rate: float, momentum: float) -> optax.GradientTransformation:
    return optax.sgd(rate, momentum=momentum, nesterov=True)


def outer(problem: Problem, W: Any, optimizer: optax.GradientTransformation) -> Algorithm:
    return A.outer_gossip(problem, optax.sgd(ETA), W, outer=optimizer, local_steps=H)


def stepper(algorithm: Algorithm) -> Callable[[Any, Any], Any]:
    n = algorithm.problem.n_nodes
    return lambda state, number: algorithm.step(state, Round(jnp.int32(number), run_key(1), n))[0]


def after(algorithm: Algorithm, rounds: int, first: int = 0) -> Any:
    """Return the state after so many rounds, the first of which has the number ``first``."""
    step, state = stepper(algorithm), algorithm.init(run_key(0))
    run = jax.jit(
        lambda state: jax.lax.fori_loop(first, first + rounds, lambda number, state: step(state, number), state)
    )
    return run(state)


def roots(algorithm: Algorithm, rounds: int = 1) -> np.ndarray:
    """Return the eigenvalues of the linear map of ``rounds`` rounds on all numbers of a state, from zero targets."""
    flat, whole = ravel_pytree(algorithm.init(run_key(0)))
    step = stepper(algorithm)

    def advanced(numbers: jax.Array) -> jax.Array:
        state = whole(numbers)
        for number in range(rounds):
            state = step(state, number)
        return ravel_pytree(state)[0]

    return np.linalg.eigvals(np.asarray(jax.jit(jax.jacfwd(advanced))(jnp.zeros_like(flat))))


def largest(*polynomial: float) -> float:
    return float(np.abs(np.roots(polynomial)).max())


def nesterov_rate(lam: float, rate: float, momentum: float) -> float:
    c = 1 - rate * (1 - lam * Q)
    return largest(1, -(1 + momentum) * c, momentum * c)


def heavy_ball_rate(lam: float, rate: float, momentum: float) -> float:
    return largest(1, -(1 + momentum - rate * (1 - lam * Q)), momentum)


@pytest.mark.parametrize(
    ("lam", "momentum", "quoted"), [(SPECTRUM[0], 0.9, 0.804490), (SPECTRUM[1], 0.9, 0.792504),
                                    (SPECTRUM[-1], 0.9, 0.379823), (SPECTRUM[0], 0.5, 0.599631)],
)  # fmt: skip
def test_the_quoted_rates_of_an_outer_nesterov_step(lam: float, momentum: float, quoted: float) -> None:
    assert nesterov_rate(lam, 0.7, momentum) == pytest.approx(quoted, abs=5e-7)


@pytest.mark.parametrize("form", [True, False], ids=["nesterov", "heavy ball"])
def test_the_modes_of_an_outer_step_are_the_roots_of_its_polynomial(form: bool) -> None:
    with jax.enable_x64(True):
        found = roots(outer(of_targets(0 * B), ring(), optax.sgd(0.7, momentum=0.9, nesterov=form)))
    rate = nesterov_rate if form else heavy_ball_rate
    expected = max(rate(lam, 0.7, 0.9) for lam in SPECTRUM)
    assert np.abs(found).max() == pytest.approx(expected, abs=1e-9)
    # Every mode has two roots; those of λ appear as often as λ does.
    for lam in SPECTRUM:
        assert np.isclose(np.abs(found), rate(lam, 0.7, 0.9), atol=1e-8).any()


@pytest.mark.parametrize(("W", "edge"), [("ring", 1.131349), ("mean", 1.357143)])
def test_nesterovs_largest_stable_rate(W: str, edge: float) -> None:
    mix = ring if W == "ring" else lambda: jg.mixing.metropolis_hastings(t.complete(N))
    with jax.enable_x64(True):
        sizes = [
            np.abs(roots(outer(of_targets(0 * B), mix(), nesterov(edge * f, 0.9)))).max() for f in (0.9999, 1.0001)
        ]
    assert sizes[0] < 1 < sizes[1]


@pytest.mark.parametrize(
    "optimizer", [nesterov(0.7, 0.5), nesterov(0.7, 0.9), optax.sgd(0.7, momentum=0.9), optax.sgd(1.0)]
)
def test_the_fixed_point_is_that_of_local_sgd_for_any_outer_optimizer(optimizer: Any) -> None:
    with jax.enable_x64(True):
        x, W = np.asarray(after(outer(of_targets(B), ring(), optimizer), 1500).x), ring().as_matrix()
    np.testing.assert_allclose(x, np.linalg.solve(np.eye(N) - Q * W, (1 - Q) * W @ B[:, None]), atol=1e-9)
    assert np.square(x - B.mean()).sum() == pytest.approx(11.397013, abs=5e-7)


@pytest.mark.parametrize(
    ("optimizer", "mean", "consensus"),
    [(optax.sgd(1.0), 0.025641, 0.005862), (nesterov(0.7, 0.9), 0.070387, 0.014476),
     (optax.sgd(0.7, momentum=0.9), 0.154928, 0.033073)],
    ids=["local SGD", "nesterov", "heavy ball"],
)  # fmt: skip
@pytest.mark.slow
def test_the_stationary_variances(optimizer: Any, mean: float, consensus: float) -> None:
    columns, rounds, chains = 4000, 240, 100
    problem = of_targets(np.zeros((N, columns)), noise=1.0)
    algorithm = outer(problem, ring(), optimizer)
    step = stepper(algorithm)

    def measured(number: Any, carried: Any) -> Any:
        state, total = carried
        state = step(state, number)
        average = state.x.mean(0)
        late = (number >= chains) * jnp.stack([jnp.square(average).mean() * N, jnp.square(state.x - average).mean()])
        return state, total + late

    start = algorithm.init(run_key(0))
    start = start._replace(x=jnp.zeros_like(start.x))
    _, total = jax.jit(lambda s: jax.lax.fori_loop(0, rounds, measured, (s, jnp.zeros(2))))(start)
    np.testing.assert_allclose(total / (rounds - chains), [mean, consensus], rtol=0.02)


def test_heavy_ball_of_rate_one_over_one_step_is_decentlam() -> None:
    with jax.enable_x64(True):
        problem = of_targets(B, noise=0.3)
        one = A.outer_gossip(problem, optax.sgd(ETA), ring(), outer=optax.sgd(1.0, momentum=0.8), local_steps=1)
        other = A.decentlam(problem, optax.sgd(ETA), ring(), momentum=0.8)
        np.testing.assert_allclose(after(one, 20).x, after(other, 20).x, atol=1e-12)


def test_plain_outer_steps_are_local_sgd() -> None:
    with jax.enable_x64(True):
        problem = of_targets(B, noise=0.3)
        other = A.dsgd(problem, optax.sgd(ETA), ring(), local_steps=H)
        np.testing.assert_allclose(after(outer(problem, ring(), optax.sgd(1.0)), 20).x, after(other, 20).x, atol=1e-12)


def test_over_all_nodes_it_is_diloco() -> None:
    with jax.enable_x64(True):
        problem, W = of_targets(B, noise=0.3), jg.mixing.metropolis_hastings(t.complete(N))
        optimizer, inner = nesterov(0.7, 0.9), optax.adam(1e-2)
        many = A.outer_gossip(problem, inner, W, outer=optimizer, local_steps=H)
        one = A.diloco(problem, inner, outer=optimizer, local_steps=H)
        x = after(many, 12).x
        np.testing.assert_allclose(x, np.broadcast_to(after(one, 12).x, x.shape), atol=1e-12)


def test_noloco_with_one_rate_is_heavy_ball_over_gossip() -> None:
    with jax.enable_x64(True):
        problem, W = of_targets(B, noise=0.3), jg.mixing.matching(t.complete(N))
        heavy = A.outer_gossip(problem, optax.sgd(ETA), W, outer=optax.sgd(0.7, momentum=0.5), local_steps=H)
        for options in ({}, {"consensus_rate": 0.7 * (1 + 1e-15)}):  # the second sends models and displacements apart
            found = A.noloco(problem, optax.sgd(ETA), W, local_steps=H, **options)
            assert found.mixings == 1 + bool(options)
            np.testing.assert_allclose(after(found, 15).x, after(heavy, 15).x, atol=1e-12)


def noloco_moments(n: int, momentum: float, rate: float, before: np.ndarray) -> np.ndarray:
    """Return E of ‖ΠX‖², ⟨ΠX, ΠM⟩ and ‖ΠM‖² after a round of random perfect matchings without gradients."""
    half, (a, b, c) = n / (2 * (n - 1)), before
    c = momentum**2 * c - 2 * momentum * rate * half * b + rate**2 * half * a
    crossed = momentum * b - rate * half * a
    return np.array([a + 2 * crossed + c, crossed + c, c])


@pytest.mark.parametrize(("momentum", "n", "quoted"), [(0.5, 16, 0.685146), (0.3, 16, 0.529516)])
def test_the_moments_of_noloco_over_random_pairs(momentum: float, n: int, quoted: float) -> None:
    factor = np.abs(np.linalg.eigvals(np.stack([noloco_moments(n, momentum, 0.7, e) for e in np.eye(3)], 1))).max()
    assert factor == pytest.approx(quoted, abs=5e-7)
    problem, rounds = jg.learning.isotropic_quadratic(n, dimension=4, noise=0.0, init="independent"), 4
    W = jg.mixing.matching(t.complete(n))
    algorithm = A.noloco(problem, optax.sgd(0.0), W, momentum=momentum, local_steps=1)

    def run(key: Any) -> Any:
        def step(number: Any, state: Any) -> Any:
            return algorithm.step(state, Round(number, key, n))[0]

        first = algorithm.init(run_key(0))
        state = jax.lax.fori_loop(0, rounds, step, first)
        x, v = (rows - rows.mean(0) for rows in (state.x, state.v))
        return jnp.stack([(x * x).sum(), (x * v).sum(), (v * v).sum()])

    x = np.asarray(algorithm.init(run_key(0)).x, np.float64)
    expected = np.array([np.square(x - x.mean(0)).sum(), 0, 0])
    for _ in range(rounds):
        expected = noloco_moments(n, momentum, 0.7, expected)
    found = np.asarray(jax.jit(jax.vmap(run))(jax.random.split(run_key(1), 20_000))).mean(0)
    np.testing.assert_allclose(found, expected, rtol=0.01, atol=0.003 * expected[0])


@pytest.mark.parametrize(("momentum", "n", "edge"), [(0.5, 4, 1.8), (0.5, 16, 1.551724)])
def test_nolocos_edge_is_where_its_moments_grow(momentum: float, n: int, edge: float) -> None:
    def factor(rate: float) -> float:
        matrix = np.stack([noloco_moments(n, momentum, rate, e) for e in np.eye(3)], 1)
        return np.abs(np.linalg.eigvals(matrix)).max()

    assert edge == pytest.approx(2 * (1 - momentum**2) / (1 - momentum / (n - 1)), abs=5e-7)
    assert factor(0.999 * edge) < 1 < factor(1.001 * edge)


def test_slow_momentum_at_a_constant_rate_is_heavy_ball_and_keeps_its_scale_when_the_rate_changes() -> None:
    with jax.enable_x64(True):
        problem, alone = of_targets(B, noise=0.3), jg.mixing.operator(t.weights.from_matrix(np.eye(N)))
        heavy = A.diloco(problem, optax.sgd(ETA), outer=optax.sgd(0.8, momentum=0.6), local_steps=H)
        x = after(heavy, 12).x
        for rate in (1.0, ETA):
            slow = A.slowmo(
                problem, optax.sgd(ETA), alone, every=1, momentum=0.6, slow_rate=0.8, base_rate=rate, local_steps=H
            )
            np.testing.assert_allclose(after(slow, 12).x, np.broadcast_to(x, (N, 1)), atol=1e-12)
        halved = A.slowmo(
            problem, optax.sgd(ETA), alone, every=1, momentum=0.6, slow_rate=0.8, local_steps=H,
            base_rate=lambda number: jnp.where(number < 6, ETA, ETA / 2),
        )  # fmt: skip
        assert np.abs(after(halved, 12).x - x).max() > 1e-3


def test_slow_steps_in_between_are_gossip() -> None:
    with jax.enable_x64(True):
        problem = of_targets(B, noise=0.3)
        gossip = A.dsgd(problem, optax.sgd(ETA), ring())
        plain = A.slowmo(problem, optax.sgd(ETA), ring(), every=5, momentum=0.0)
        np.testing.assert_allclose(after(plain, 4).x, after(gossip, 4).x, atol=1e-12)
        mean = np.broadcast_to(after(gossip, 5).x.mean(0), (N, 1))
        np.testing.assert_allclose(after(plain, 5).x, mean, atol=1e-12)
        without = A.slowmo(problem, optax.sgd(ETA), ring(), every=5, momentum=0.0, exact_mean=False)
        np.testing.assert_allclose(after(without, 5).x, after(gossip, 5).x, atol=1e-12)


@pytest.mark.parametrize(
    ("delay", "blend", "quoted"),
    [(0, 0.0, 0.804490), (2, 0.0, 0.829430), (5, 0.0, 0.870334), (2, 0.5, 0.666550), (5, 0.5, 0.692467)],
)
def test_the_rates_of_streaming_with_delays_and_blends(delay: int, blend: float, quoted: float) -> None:
    with jax.enable_x64(True):
        problem = of_targets(np.zeros(2))
        W = jg.mixing.metropolis_hastings(t.complete(2))
        algorithm = A.streaming_diloco(
            problem, optax.sgd(ETA), W, every=H, fragments=1, delay=delay, blend=blend, momentum=0.9
        )
        # A period that begins after a landing: D is then written before it is read, and is no root of its own.
        step, (flat, whole) = stepper(algorithm), ravel_pytree(algorithm.init(run_key(0)))

        def period(numbers: jax.Array) -> jax.Array:
            state = whole(numbers)
            for number in range(delay, delay + H):
                state = step(state, number)
            return ravel_pytree(state)[0]

        found = np.linalg.eigvals(np.asarray(jax.jit(jax.jacfwd(period))(jnp.zeros_like(flat))))
    assert np.abs(found).max() == pytest.approx(quoted, abs=5e-7)


def test_one_fragment_without_delay_is_an_outer_step_and_fragments_are_each_its_own() -> None:
    with jax.enable_x64(True):
        problem = of_targets(np.stack([B, B[::-1], B**2], 1))
        whole = A.streaming_diloco(problem, optax.sgd(ETA), ring(), every=H, fragments=1)
        one = outer(problem, ring(), nesterov(0.7, 0.9))
        np.testing.assert_allclose(after(whole, 5 * H).x, after(one, 5).x, atol=1e-12)
        # A fragment that is first sent after k rounds is sent as the whole of a run that begins k rounds before that.
        parts = after(A.streaming_diloco(problem, optax.sgd(ETA), ring(), every=H, fragments=3), 9 * H).x
        for column, offset in enumerate((0, 3, 6)):
            expected = after(whole, 9 * H, first=(H - offset) % H).x
            np.testing.assert_allclose(parts[:, column], expected[:, column], atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("selection", "fraction", "quoted"), [("random", 0.1, 0.031135), ("random", 0.005, 0.048071), ("chunks", 0.1, 0.026530),
                                          ("chunks", 0.005, 0.048044)],
)  # fmt: skip
def test_the_disagreement_under_sparse_averaging(selection: Any, fraction: float, quoted: float) -> None:
    columns, rounds, burn = 2000, 400, 100
    problem = of_targets(np.zeros((N, columns)), noise=1.0)
    W = jg.mixing.metropolis_hastings(t.complete(N))
    algorithm = A.sparta(problem, optax.sgd(0.1), W, fraction=fraction, selection=selection)
    step = stepper(algorithm)

    def measured(number: Any, carried: Any) -> Any:
        state, total = carried
        state = step(state, number)
        return state, total + (number >= burn) * jnp.square(state.x - state.x.mean(0)).mean()

    first = algorithm.init(run_key(0))
    _, total = jax.jit(lambda state: jax.lax.fori_loop(0, rounds, measured, (state, jnp.zeros(()))))(first)
    assert float(total) / (rounds - burn) == pytest.approx(quoted, rel=0.01)


def test_the_chunks_of_sparta_are_each_mixed_once_in_turn() -> None:
    problem = jg.learning.isotropic_quadratic(4, dimension=10, noise=0.0, init="independent")
    W = jg.mixing.metropolis_hastings(t.complete(4))
    algorithm = A.sparta(problem, optax.sgd(0.0), W, fraction=0.3, selection="chunks")
    state, agreed = algorithm.init(run_key(0)), []
    for number in range(4):
        state = stepper(algorithm)(state, number)
        agreed.append(int((np.ptp(np.asarray(state.x), axis=0) < 1e-6).sum()))
    assert agreed == [3, 6, 9, 10]
