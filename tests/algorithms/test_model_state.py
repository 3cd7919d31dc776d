"""Batch statistics under every method: at a node alone those of plain training, among nodes weighted means or private."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.algorithms import ALGORITHMS, Algorithm
from jaxgossip.learning.models import Model
from jaxgossip.network.conditions import FAULTLESS
from jaxgossip.schedule import Kind
from jaxgossip.simulation import simulate_events
from jaxgossip.topology import weights
from tests.algorithms.cases import CASES, SERVERS, Case, first_of_each
from tests.algorithms.test_contract import run_of
from tests.algorithms.test_contract_protocols import CASES as PROTOCOLS
from tests.algorithms.test_contract_protocols import CYCLES, arrivals, network
from tests.algorithms.test_contract_protocols import Case as ProtocolCase

FEATURES, CLASSES, KEPT = 3, 2, 0.75
NODES, ROUNDS = 8, 3
"""Nodes of networks; rounds of a node that is alone."""


def normalised(rule: Any) -> Model:
    """Return a classifier of features normalised by the batch; its statistics do not depend on what it learns."""

    def init(key: jax.Array) -> dict[str, Any]:
        at_first = {"mean": jnp.full(FEATURES, 3.0), "var": jnp.full(FEATURES, 0.25)}
        return {"w": jax.random.normal(key, (FEATURES, CLASSES)), "seen": at_first}

    def scores(params: Any, x: jax.Array, mean: jax.Array, var: jax.Array) -> jax.Array:
        return (x - mean) / jnp.sqrt(var + 1e-3) @ params["w"]

    def forward(params: Any, x: jax.Array, key: jax.Array) -> tuple[jax.Array, Any]:
        del key
        now = {"mean": x.mean(0), "var": x.var(0)}
        after = jax.tree.map(lambda s, t: KEPT * s + (1 - KEPT) * t, params["seen"], now)
        return scores(params, x, **now), {"seen": after}

    return Model(
        init, lambda params, x: scores(params, x, **params["seen"]), forward=forward, state=("seen",), state_rule=rule
    )


def problem_of(n: int, rule: str = "mixed") -> Any:
    data = jg.learning.datasets.synthetic(samples=20 * n, features=FEATURES, classes=CLASSES, rng=0)
    return jg.learning.supervised(data, "iid", normalised(rule), nodes=n, batch_size=0)


def of_batches(problem: Any) -> np.ndarray:
    """Return (n, q), the statistics of each node's samples."""
    samples = [
        np.asarray(problem._table.x)[np.asarray(problem._batches.samples)[start:][:count]]
        for start, count in zip(problem._batches.start, problem._batches.n_train, strict=True)
    ]
    return np.stack([np.concatenate([x.mean(0), x.var(0)]) for x in samples])


def statistics(problem: Any, x: Any) -> np.ndarray:
    """Return (n, q), the statistics in models (n, p)."""
    return np.asarray(x)[:, problem.layout.is_state]


def at_first(problem: Any) -> np.ndarray:
    return statistics(problem, problem.init(jax.random.key(0)))


def alone(problem: Any, steps: int) -> np.ndarray:
    return KEPT**steps * at_first(problem) + (1 - KEPT**steps) * of_batches(problem)


def on_one_node(case: Case, rule: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the statistics (1, q) of plain training, and those that a method has at one node."""
    problem = problem_of(1, rule)
    single = weights.from_matrix(np.ones((1, 1))).graph
    algorithm = case.make(problem, optax.chain(optax.clip(0.01), optax.adamw(0.1)), single, **only_one(case))
    x, _ = run_of(algorithm, ROUNDS, FAULTLESS)
    return alone(problem, steps_of(algorithm, case)), statistics(problem, x)


def only_one(case: Case) -> dict[str, int]:
    """Return the options that a method needs where there is one node."""
    return {"clusters": 1} if "clusters" in case.options else {}


def steps_of(algorithm: Algorithm, case: Case) -> int:
    """Return how many local steps a node takes in ``ROUNDS``."""
    return case.steps * algorithm.method.trainings(ROUNDS)


OF_ANY_NUMBER = [case for case in CASES if case.mixing not in ("push", "pairwise", "fresh_regular", "push_sum_random")]
"""A node that is alone has no peers to choose from."""


def knows_state(case: Case) -> bool:
    """Return whether models may have batch statistics."""
    return case.name != "gt_saga" and "variance_reduction" not in case.options


ALONE = {
    case.name: case for case in OF_ANY_NUMBER if knows_state(case) and case.name != "muffliato"
}  # it refuses mixed ones


@pytest.mark.slow
@pytest.mark.parametrize("name", ALONE)
def test_at_one_node_statistics_are_those_of_plain_training(name: str) -> None:
    case = ALONE[name]
    expected, found = on_one_node(case, "mixed")
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


W = jg.mixing.metropolis_hastings(jg.topology.ring(NODES))
M = W.as_matrix()


def step(s: np.ndarray, t: np.ndarray, steps: int = 1) -> np.ndarray:
    return KEPT**steps * s + (1 - KEPT**steps) * t


def adapt_then_combine(s: np.ndarray, t: np.ndarray) -> np.ndarray:
    return M @ step(s, t)


def combine_then_adapt(s: np.ndarray, t: np.ndarray) -> np.ndarray:
    return step(M @ s, t)


def both_at_once(s: np.ndarray, t: np.ndarray) -> np.ndarray:
    return M @ s + step(s, t) - s


MIXED = {
    **dict.fromkeys(["dsgd", "dsgdm", "dmsgd", "qg_dsgdm", "decentlam", "d2"], adapt_then_combine),
    "exact_diffusion": lambda s, t: (step(s, t) + M @ step(s, t)) / 2,
    "k_gt": lambda s, t: M @ step(s, t, 4),
    "gossip": combine_then_adapt,
    "admm": lambda s, t: step(M @ s, t, 5),
    "extra": both_at_once,
    "gradient_tracking": both_at_once,
}
"""(S, T) -> S after a round, (n, q) each, T being the statistics of the nodes' own samples."""


@pytest.mark.by_default("exact_diffusion", "gradient_tracking")
@pytest.mark.parametrize("name", MIXED)
def test_mixed_statistics_are_weighted_means_without_memory(name: str) -> None:
    problem = problem_of(NODES)
    t, expected = of_batches(problem), at_first(problem)
    for _ in range(ROUNDS):
        expected = MIXED[name](expected, t)
    x, _ = run_of(ALGORITHMS[name](problem, optax.sgd(0.1), W), ROUNDS, FAULTLESS)
    np.testing.assert_allclose(statistics(problem, x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.by_default("sgp")
@pytest.mark.parametrize("name", ["sgp", "push_diging"])
def test_push_sum_weighs_statistics_by_mass(name: str) -> None:
    problem, A = problem_of(NODES), jg.mixing.push_sum(jg.topology.star(NODES))
    t, z, w = of_batches(problem), at_first(problem), np.ones((NODES, 1))
    for _ in range(ROUNDS):
        mass, w = A.as_matrix() @ (w * step(z, t)), A.as_matrix() @ w
        z = mass / w
    assert np.ptp(w) > 1
    x, _ = run_of(ALGORITHMS[name](problem, optax.sgd(0.1), A), ROUNDS, FAULTLESS)
    np.testing.assert_allclose(statistics(problem, x), z, rtol=1e-4, atol=1e-6)


@pytest.mark.by_default("chebyshev")
@pytest.mark.parametrize("name", ["shift_register", "chebyshev"])
def test_accelerated_averages_never_extrapolate_statistics(name: str) -> None:
    problem = jg.learning.started(problem_of(NODES), 1)
    x, _ = run_of(ALGORITHMS[name](problem, optax.sgd(0.1), W), ROUNDS, FAULTLESS)
    expected = np.linalg.matrix_power(M, ROUNDS) @ step(at_first(problem), of_batches(problem))
    np.testing.assert_allclose(statistics(problem, x), expected, rtol=1e-5, atol=1e-6)


def test_noise_for_statistics_is_refused() -> None:
    with pytest.raises(jg.errors.InputError, match=r"^muffliato does not go with mixed batch statistics"):
        ALGORITHMS["muffliato"](problem_of(NODES), optax.sgd(0.1), W)
    ALGORITHMS["muffliato"](problem_of(NODES, "private"), optax.sgd(0.1), W)


PRIVATE = {case.name: case for case in CASES if knows_state(case) and case.name not in (*SERVERS, "centralised")}


@pytest.mark.by_default("choco")
@pytest.mark.parametrize("name", PRIVATE)
def test_private_statistics_are_those_of_the_node_alone(name: str) -> None:
    # Those that are recalibrated stay in the same columns.
    case, problem = PRIVATE[name], problem_of(NODES, "recalibrated" if name == "dsgd" else "private")
    algorithm = case.make(problem)
    x, _ = run_of(algorithm, ROUNDS, FAULTLESS)
    expected = alone(problem, steps_of(algorithm, case))
    np.testing.assert_allclose(statistics(problem, x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_statistics_go_on_from_where_they_are_when_gradients_are_stale() -> None:
    problem = problem_of(NODES)
    protocol = jg.algorithms.ad_psgd(problem, optax.sgd(0.1))
    own = jax.tree.map(lambda leaf: leaf[:3], protocol.init(jax.random.key(0)))
    learnt = protocol.deliver(own, own.x + 1, arrivals(frozenset({Kind.LEARN}), Kind.LEARN, 3))
    expected = step(at_first(problem)[:3], of_batches(problem)[:3])
    np.testing.assert_allclose(statistics(problem, learnt.x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("case", first_of_each(PROTOCOLS), ids=str)
@pytest.mark.parametrize("rule", ["private", "mixed"])
def test_statistics_without_rounds(case: ProtocolCase, rule: str) -> None:
    problem = problem_of(NODES, rule)
    found = statistics(problem, simulate_events(case.make(problem), network(case), CYCLES).x)
    first, own = at_first(problem), of_batches(problem)
    if rule == "mixed":
        lowest, highest = np.minimum(first, own).min(0), np.maximum(first, own).max(0)
        assert ((found >= lowest - 1e-5) & (found <= highest + 1e-5)).all()
        return
    # As after some whole number of the node's own steps: the same share m^k of the first ones is left in all of them.
    left = ((found - own) / (first - own)).T
    np.testing.assert_allclose(left, np.broadcast_to(left[0], left.shape), rtol=1e-3)
    steps = np.log(left[0]) / np.log(KEPT)
    np.testing.assert_allclose(steps, steps.round(), atol=1e-2)
    assert (steps.max() > 0.5) == (case.learns and case.options.get("create") != "pass")
