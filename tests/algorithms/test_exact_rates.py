"""Rates of exact methods with local steps, coins and flows on the ring of 16, from the linear maps of their rounds."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.algorithms import Algorithm
from jaxgossip.learning.problem import Problem
from tests.algorithms.q16 import RING, B, N, by_mode, linear_map, of_targets, ring

pytestmark = pytest.mark.slow

A = jg.algorithms
Make = Callable[[Problem, Any], Algorithm]


def led(rate: float, steps: int, **options: Any) -> Make:
    return lambda problem, W: A.led(problem, optax.sgd(rate), W, local_steps=steps, **options)


def dinno(steps: int) -> Make:
    # Weights of a third: a penalty of 1/2 a link.
    return lambda problem, W: A.dinno(problem, optax.sgd(0.1), W, penalty=1.5, local_steps=steps)


def lt_admm(rate: float, steps: int, correction: float, penalty: float) -> Make:
    return lambda problem, W: A.lt_admm(
        problem, optax.sgd(rate), W, local_steps=steps, correction=correction, penalty=penalty
    )


def atg(relaxation: float, averaging: float, rate: float) -> Make:
    return lambda problem, W: A.atg(problem, optax.sgd(rate), W, averaging=averaging, relaxation=relaxation)


CASES: dict[str, tuple[Make, tuple[str, ...], float]] = {
    "LED, one step": (led(0.2, 1), ("x", "c"), 0.897216),
    "LED, one step, lazy": (led(0.2, 1, lazy=True), ("x", "c"), 0.883007),
    "LED, five": (led(0.04, 5), ("x", "c"), 0.879770),
    "LED, five, lazy": (led(0.04, 5, lazy=True), ("x", "c"), 0.891450),
    "LED, ten": (led(0.02, 10), ("x", "c"), 0.880687),
    "LED, ten, lazy": (led(0.02, 10, lazy=True), ("x", "c"), 0.892379),
    "ProxSkip that never skips": (
        lambda problem, W: A.proxskip(problem, optax.sgd(0.2), W, probability=1.0), ("x", "c"), 0.883007
    ),
    "Wang and Elia": (lambda problem, W: A.wang_elia(problem, optax.sgd(0.2), W), ("x", "z"), 0.997106),
    "DLM": (lambda problem, W: A.dlm(problem, optax.sgd(0.2), W, penalty=2.5), ("x", "dual"), 0.880129),
    "DiNNO, one step": (dinno(1), ("x", "dual"), 0.944663),
    "DiNNO, five": (dinno(5), ("x", "dual"), 0.906686),
    "DiNNO, to the end": (dinno(200), ("x", "dual"), 0.915226),
    "LT-ADMM, one step": (lt_admm(0.2, 1, 0.2, 1.0), ("x", "z"), 0.885876),
    "LT-ADMM, five": (lt_admm(0.04, 5, 0.1, 0.5), ("x", "z"), 0.893199),
    "LT-ADMM, five, a higher penalty": (lt_admm(0.04, 5, 0.04, 1.0), ("x", "z"), 0.895164),
    "ATG": (atg(0.5, 0.5, 0.5), ("x", "v", "z"), 0.915226),
    "ATG, less averaging": (atg(0.9, 0.3, 0.3), ("x", "v", "z"), 0.928839),
}  # fmt: skip


@pytest.mark.by_default("LED, five", "DLM", "Wang and Elia")
@pytest.mark.parametrize("name", CASES)
def test_the_rate_on_the_ring(name: str) -> None:
    make, leaves, quoted = CASES[name]
    with jax.enable_x64(True):
        roots = np.linalg.eigvals(linear_map(make(of_targets(0 * B), ring()), leaves))
    # Every field but the models has a direction of the mean that is kept: a root 1 each.
    neutral = np.abs(roots - 1) < 1e-9
    assert neutral.sum() == len(leaves) - 1
    assert np.abs(roots[~neutral]).max() == pytest.approx(quoted, abs=6e-7)


@pytest.mark.parametrize(
    "name", ["LED, five", "ProxSkip that never skips", "Wang and Elia", "DLM", "DiNNO, five", "LT-ADMM, five", "ATG"]
)
@pytest.mark.slow
def test_whatever_the_targets_it_ends_at_their_mean(name: str) -> None:
    make, _, rate = CASES[name]
    with jax.enable_x64(True):
        result = jg.simulate(make(of_targets(B), ring()), min(6000, int(-30 / np.log(rate))), evaluate_every=10**6)
    np.testing.assert_allclose(result.x, B.mean(), atol=1e-9)


@pytest.mark.parametrize(
    ("probability", "correction", "quoted"), [(0.5, 0.5, 0.932873), (0.2, 0.2, 0.989979), (0.5, 1.0, 0.842147)]
)
def test_the_second_moments_of_proxskip(probability: float, correction: float, quoted: float) -> None:
    def of(chance: float) -> list[np.ndarray]:
        algorithm = A.proxskip(of_targets(0 * B), optax.sgd(0.2), ring(), probability=chance, correction=correction)
        return by_mode(linear_map(algorithm, ("x", "c")), 2)

    with jax.enable_x64(True):
        talking, silent = of(1.0), of(1e-9)
    factors = [
        np.abs(np.linalg.eigvals(probability * np.kron(one, one) + (1 - probability) * np.kron(other, other))).max()
        for one, other in zip(talking[1:], silent[1:], strict=True)
    ]
    assert max(factors) == pytest.approx(quoted, abs=6e-7)


def test_nodes_talk_in_the_rounds_of_the_coin_alone() -> None:
    problem = jg.learning.isotropic_quadratic(N, dimension=3)
    algorithm = A.proxskip(problem, optax.sgd(0.1), ring(), probability=0.3)
    messages = jg.simulate(algorithm, 400, evaluate_every=400).metrics.final["messages"]
    assert messages % (2 * N) == 0
    assert messages / (2 * N) == pytest.approx(120, abs=4 * np.sqrt(400 * 0.3 * 0.7))


@pytest.mark.parametrize(("name", "reached"), [("LT-ADMM, five", 1e-9), ("ATG", 1e-9)])
def test_the_variables_of_links_bear_lost_messages(name: str, reached: float) -> None:
    with jax.enable_x64(True):
        algorithm = CASES[name][0](of_targets(B), ring())
        conditions = jg.network.Conditions(drop=0.3, online=0.8)
        result = jg.simulate(algorithm, 1500, conditions=conditions, evaluate_every=10**6)
    np.testing.assert_allclose(result.x, B.mean(), atol=reached)


def test_a_lost_message_leaves_the_variable_of_its_link() -> None:
    with jax.enable_x64(True):
        algorithm = CASES["LT-ADMM, five"][0](of_targets(B), ring())
        state = algorithm.init(jax.random.key(0))._replace(z=jax.numpy.arange(2.0 * N)[:, None])
        number, key = jax.numpy.int32(0), jax.random.key(3)
        conditions = jg.network.Conditions(drop=0.5)
        whole, _ = algorithm.step(state, jg.network.Round(number, key, N))
        some, _ = algorithm.step(state, jg.network.Round(number, key, N, conditions))
    np.testing.assert_array_equal(some.x, whole.x)
    kept, new = np.asarray(some.z == state.z), np.asarray(some.z == whole.z)
    assert (kept ^ new).all()
    assert 4 < kept.sum() < 28


def test_dlm_is_extra_with_other_weights() -> None:
    with jax.enable_x64(True):
        step, penalty = 0.1, 0.8
        weights = np.eye(N) - 2 * step * penalty * (np.eye(N) - RING)
        other = jg.mixing.operator(jg.topology.weights.from_matrix(weights))
        problem = of_targets(B)
        one = jg.simulate(A.dlm(problem, optax.sgd(step), ring(), penalty=penalty), 50, evaluate_every=50)
        two = jg.simulate(jg.algorithms.ALGORITHMS["extra"](problem, optax.sgd(step), other), 50, evaluate_every=50)
    np.testing.assert_allclose(one.x, two.x, atol=1e-12)


def test_dinno_is_dlm_of_another_step_on_a_regular_graph() -> None:
    with jax.enable_x64(True):
        problem, rate, penalty, steps = of_targets(B), 0.05, 0.9, 4
        h = 1 + 2 * penalty * (2 / 3)
        step = (1 - (1 - rate * h) ** steps) / h
        one = A.dinno(problem, optax.sgd(rate), ring(), penalty=penalty, local_steps=steps)
        two = A.dlm(problem, optax.sgd(step), ring(), penalty=penalty)
        x, y = (jg.simulate(algorithm, 30, evaluate_every=30).x for algorithm in (one, two))
    np.testing.assert_allclose(x, y, atol=1e-12)


def test_the_penalty_of_dinno_grows() -> None:
    with jax.enable_x64(True):
        problem = of_targets(B)
        grown = A.dinno(problem, optax.sgd(0.05), ring(), penalty=0.5, growth=1.5)
        x = jg.simulate(grown, 3, evaluate_every=3).state
        by_hand = A.dinno(problem, optax.sgd(0.05), ring(), penalty=0.5).init(jax.random.key(0))
        for number in range(3):
            fixed = A.dinno(problem, optax.sgd(0.05), ring(), penalty=0.5 * 1.5**number)
            by_hand, _ = fixed.step(by_hand, jg.network.Round(jax.numpy.int32(number), jax.random.key(0), N))
    np.testing.assert_allclose(x.x, by_hand.x, atol=1e-12)
