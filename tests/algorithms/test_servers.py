"""Methods with a server: rates, limits and fixed points on quadratics of two curvatures, against closed forms in float64."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.algorithms import Algorithm
from jaxgossip.core.random import run_key
from jaxgossip.learning.problem import Problem
from jaxgossip.network import Conditions, Round
from tests.algorithms.q16 import B, of_targets

pytestmark = pytest.mark.slow

A = jg.algorithms
ETA = 0.1
CURVATURES = np.array([[1.0], [4.0]])


def two(**options: Any) -> Problem:
    """Return two nodes of curvatures 1 and 4 with optima 0 and 1: that of their mean is at .8."""
    return of_targets(np.array([0.0, 1.0]), curvature=CURVATURES, **options)


def after(algorithm: Algorithm, rounds: int, conditions: Conditions | None = None) -> Any:
    n = algorithm.problem.n_nodes

    def step(number: Any, state: Any) -> Any:
        return algorithm.step(state, Round(number, run_key(1), n, conditions or Conditions()))[0]

    first = algorithm.init(run_key(0))
    return jax.jit(lambda state: jax.lax.fori_loop(0, rounds, step, state))(first)


def limit(algorithm: Algorithm, rounds: int = 3000) -> float:
    return float(after(algorithm, rounds).x[0, 0])


@pytest.mark.parametrize(
    ("steps", "quoted"), [(1, 0.800000), (2, 0.771084), (5, 0.692502), (10, 0.604126), (100, 0.500007)]
)
def test_where_diloco_settles(steps: int, quoted: float) -> None:
    q = (1 - ETA * CURVATURES) ** steps
    assert ((1 - q) * [[0], [1]]).sum() / (1 - q).sum() == pytest.approx(quoted, abs=5e-7)
    with jax.enable_x64(True):
        for outer in (None, optax.sgd(0.3), optax.sgd(0.5, momentum=0.6)):
            algorithm = A.diloco(two(), optax.sgd(ETA), outer=outer, local_steps=steps)
            assert limit(algorithm, 600) == pytest.approx(quoted, abs=5e-7)


def test_diloco_of_rate_one_is_federated_averaging() -> None:
    with jax.enable_x64(True):
        problem = of_targets(B, noise=0.3)
        one = A.diloco(problem, optax.sgd(ETA), outer=optax.sgd(1.0), local_steps=5)
        other = A.federated_averaging(problem, optax.sgd(ETA), local_steps=5)
        np.testing.assert_allclose(after(one, 10).x, after(other, 10).x, atol=1e-12)


def test_diloco_at_one_node_is_lookahead() -> None:
    with jax.enable_x64(True):
        problem = of_targets(np.array([1.0]))
        x = after(A.diloco(problem, optax.adam(0.1), outer=optax.sgd(0.5), local_steps=5), 4).x
        params = optax.LookaheadParams.init_synced(jnp.zeros(1))
        optimizer = optax.lookahead(optax.adam(0.1), sync_period=5, slow_step_size=0.5)
        state = optimizer.init(params)
        for _ in range(20):
            step, state = optimizer.update(params.fast - 1.0, state, params)
            params = optax.apply_updates(params, step)
        np.testing.assert_allclose(x[0], params.slow, atol=1e-12)


def test_an_optimizer_of_diloco_lasts_and_what_is_not_heard_changes_nothing() -> None:
    problem = of_targets(B)
    algorithm = A.diloco(problem, optax.adam(0.1), local_steps=3)
    counts = after(algorithm, 4).opt_state[0].count
    np.testing.assert_array_equal(counts, np.full(len(B), 12))
    silent = after(algorithm, 4, Conditions(drop=1.0))
    np.testing.assert_array_equal(silent.x, algorithm.init(run_key(0)).x)


@pytest.mark.parametrize(("steps", "quoted"), [(1, 0.75), (5, 0.407600), (10, 0.378779)])
def test_the_rate_of_scaffold(steps: int, quoted: float) -> None:
    with jax.enable_x64(True):
        algorithm = A.scaffold(two(), optax.sgd(ETA), local_steps=steps)
        assert limit(algorithm, 200) == pytest.approx(0.8, abs=1e-12)
        assert rate(algorithm) == pytest.approx(quoted, abs=1e-6)


def test_scaffold_of_all_nodes_is_k_gt_with_the_mean() -> None:
    with jax.enable_x64(True):
        problem, W = of_targets(B, noise=0.3), jg.mixing.metropolis_hastings(jg.topology.complete(len(B)))
        one = after(A.scaffold(problem, optax.sgd(ETA), local_steps=5), 10)
        other = after(A.k_gt(problem, optax.sgd(ETA), W, local_steps=5), 10)
        np.testing.assert_allclose(np.broadcast_to(one.x, other.x.shape), other.x, atol=1e-12)
        np.testing.assert_allclose(one.own - one.common, other.c, atol=1e-12)  # the drift −η (c − c_i), as C has it
        np.testing.assert_allclose(one.common, one.own.mean(0, keepdims=True), atol=1e-12)


@pytest.mark.parametrize(("proximity", "quoted"), [(0.0, 0.604126), (0.1, 0.608067), (1.0, 0.641669), (10.0, 0.758601)])
def test_where_fedprox_settles(proximity: float, quoted: float) -> None:
    if proximity:
        stay = (1 - (1 - ETA * (CURVATURES + proximity)) ** 10) * CURVATURES / (CURVATURES + proximity)
        assert (stay * [[0], [1]]).sum() / stay.sum() == pytest.approx(quoted, abs=5e-7)
    with jax.enable_x64(True):
        algorithm = A.fedprox(two(), optax.sgd(ETA), proximity=proximity, local_steps=10)
        assert limit(algorithm, 600) == pytest.approx(quoted, abs=5e-7)


@pytest.mark.parametrize(("penalty", "quoted"), [(0.1, 0.941098), (1.0, 0.5), (2.0, 0.527046), (10.0, 0.796078)])
def test_the_rate_of_feddyn_whose_nodes_minimise_exactly(penalty: float, quoted: float) -> None:
    with jax.enable_x64(True):
        step = 1 / (4 + penalty)
        algorithm = A.feddyn(two(), optax.sgd(step), penalty=penalty, local_steps=1500)
        assert limit(algorithm, 500) == pytest.approx(0.8, abs=1e-9)
        assert rate(algorithm) == pytest.approx(quoted, abs=1e-6)


def rate(algorithm: Algorithm) -> float:
    """Return the largest modulus of the roots of a round's map on (x, own), the mean of which is ``common`` throughout."""
    state = algorithm.init(run_key(0))

    def advanced(numbers: jax.Array) -> jax.Array:
        own = numbers[1:, None]
        given = state._replace(x=numbers[:1, None], own=own, common=own.mean(0, keepdims=True))
        new, _ = algorithm.step(given, Round(jnp.int32(0), run_key(1), 2))
        return jnp.concatenate([new.x.ravel(), new.own.ravel()])

    return float(np.abs(np.linalg.eigvals(np.asarray(jax.jit(jax.jacfwd(advanced))(jnp.zeros(3))))).max())


def test_in_feddyn_the_servers_term_is_the_mean_of_the_nodes() -> None:
    with jax.enable_x64(True):
        state = after(A.feddyn(of_targets(B, noise=0.3), optax.sgd(ETA), local_steps=4), 10)
        np.testing.assert_allclose(state.common, state.own.mean(0, keepdims=True), atol=1e-12)


def test_adaptive_servers_agree_in_their_first_step_and_on_scale() -> None:
    with jax.enable_x64(True):
        problem, plain = of_targets(B), {"momentum": 0.0, "epsilon": 1e-12, "server_rate": 0.1}
        change = after(A.federated_averaging(problem, optax.sgd(ETA)), 1).x
        first = after(A.fedadagrad(problem, optax.sgd(ETA), **plain), 1).x
        np.testing.assert_allclose(first, 0.1 * np.sign(change), rtol=1e-9)
        adam, yogi = (after(make(problem, optax.sgd(ETA), decay=0.9, **plain), 1).x for make in (A.fedadam, A.fedyogi))
        np.testing.assert_allclose(adam, yogi, rtol=1e-9)
        for make in (A.fedadam, A.fedyogi, A.fedadagrad):
            twice = of_targets(B, curvature=2.0)
            np.testing.assert_allclose(
                after(make(twice, optax.sgd(ETA), **plain), 8).x, after(make(problem, optax.sgd(ETA), **plain), 8).x,
                rtol=1e-9,
            )  # fmt: skip


def test_adaptive_servers_in_numpy() -> None:
    with jax.enable_x64(True):
        problem, x, m, v = of_targets(B), 0.0, 0.0, 1e-6
        for _ in range(6):
            change = -ETA * (x - B.mean())
            m, v = 0.9 * m + 0.1 * change, v - 0.01 * change**2 * np.sign(v - change**2)
            x += 0.01 * m / (np.sqrt(v) + 1e-3)
        np.testing.assert_allclose(after(A.fedyogi(problem, optax.sgd(ETA)), 6).x, x, rtol=1e-12)


def unequal() -> Any:
    """Return a problem whose nodes take 1 and 9 steps in an epoch."""
    problem = of_targets(np.array([0.0, 1.0]))
    problem.steps_an_epoch = jnp.array([1, 9], jnp.int32)
    return problem


def test_fednova_weighs_nodes_by_samples_however_many_steps_they_take() -> None:
    with jax.enable_x64(True):
        for make, quoted in ((A.fednova, 0.490035), (A.federated_averaging, 0.896355)):
            assert limit(make(unequal(), optax.sgd(0.01), local_epochs=1), 2000) == pytest.approx(quoted, abs=5e-7)
        equal = of_targets(B, noise=0.3)
        one, other = (make(equal, optax.sgd(ETA), local_steps=3) for make in (A.fednova, A.federated_averaging))
        np.testing.assert_allclose(after(one, 5).x, after(other, 5).x, atol=1e-12)
