"""Every attack is its formula, written out in NumPy; who lies; and that only honest nodes are measured."""

from collections.abc import Callable
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.network import ADVERSARIES, Adversary, Conditions, Round
from jaxgossip.simulation.metrics import HonestNodes

t = jg.topology
N, P, LIARS = 12, 5, [2, 7]
HONEST = np.delete(np.arange(N), LIARS)
W = jg.mixing.metropolis_hastings(t.erdos_renyi(N, p=0.5, rng=1))
X = np.random.default_rng(0).normal(1.0, 2.0, size=(N, P)).astype(np.float32)
MEAN, SPREAD = X[HONEST].mean(0), X[HONEST].std(0)


def links(adversary: Adversary | None, **conditions: object) -> jg.network.Links:
    return Round(jnp.int32(3), jax.random.key(0), N, Conditions(adversary=adversary, **conditions)).links(W)


def effective(**conditions: float) -> np.ndarray:
    """Return the matrix that W is in this round."""
    return np.asarray(links(None, **conditions).mix(jnp.eye(N)), np.float64)


def total(s: np.ndarray) -> float:
    """Return the sum of squared distances to honest rows."""
    return np.square(X[HONEST] - s).sum()


SUMS = [total(row) for row in X[HONEST]]


def in_reach_of_all(s: np.ndarray) -> bool:
    diameter = max(np.linalg.norm(a - b) for a in X[HONEST] for b in X[HONEST])
    return np.linalg.norm(X[HONEST] - s, axis=1).max() <= diameter


def farthest(direction: str, allowed: Callable[[np.ndarray], bool]) -> np.ndarray:
    """Return what two liars send: as far from the mean as is allowed, by bisection."""
    p = {"std": X[HONEST].std(0, ddof=1), "sign": np.sign(MEAN), "unit": MEAN / np.linalg.norm(MEAN)}[direction]
    low, high = 0.0, 100.0
    for _ in range(60):
        gamma = (low + high) / 2
        low, high = (gamma, high) if allowed(MEAN - gamma * p) else (low, gamma)
    return np.tile(MEAN - low * p, (2, 1))


ATTACKS = {
    "bit_flip": (ADVERSARIES["bit_flip"](n_nodes=N, nodes=LIARS), -X[LIARS]),
    "constant": (ADVERSARIES["constant"](n_nodes=N, nodes=LIARS, value=7.0), np.full((2, P), 7.0)),
    # Of 12 nodes 2 lie: they need 5 honest ones on their side for a majority of 7, and 5 of 10 lie farther out than z.
    "alie": (
        ADVERSARIES["alie"](n_nodes=N, nodes=LIARS),
        np.tile(MEAN - NormalDist().inv_cdf((10 - 5) / 10) * SPREAD, (2, 1)),
    ),
    "alie z": (
        ADVERSARIES["alie"](n_nodes=N, nodes=LIARS, z=1.5),
        np.tile(MEAN - 1.5 * SPREAD, (2, 1)),
    ),
    "ipm": (ADVERSARIES["ipm"](n_nodes=N, nodes=LIARS, epsilon=0.4), np.tile(-0.4 * MEAN, (2, 1))),
    "min_max": (ADVERSARIES["min_max"](n_nodes=N, nodes=LIARS), farthest("std", in_reach_of_all)),
    "min_max sign": (
        ADVERSARIES["min_max"](n_nodes=N, nodes=LIARS, direction="sign"),
        farthest("sign", in_reach_of_all),
    ),
    "min_sum": (ADVERSARIES["min_sum"](n_nodes=N, nodes=LIARS), farthest("std", lambda s: total(s) <= max(SUMS))),
    "min_sum unit": (
        ADVERSARIES["min_sum"](n_nodes=N, nodes=LIARS, direction="unit", bound="smallest"),
        farthest("unit", lambda s: total(s) <= min(SUMS)),
    ),
    "label_flip": (ADVERSARIES["label_flip"](n_nodes=N, nodes=LIARS), X[LIARS]),
}


REPLACEMENT = ADVERSARIES["model_replacement"](n_nodes=N, nodes=LIARS)


def test_the_table_covers_the_registry() -> None:
    assert {name.split()[0] for name in ATTACKS} | {"dissensus", "model_replacement", "backdoor"} == set(ADVERSARIES)


@pytest.mark.by_default("label_flip-faultless", "alie-faulty")
@pytest.mark.parametrize("conditions", [{}, {"drop": 0.3, "online": 0.8}], ids=["faultless", "faulty"])
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_its_formula(name: str, conditions: dict) -> None:
    adversary, lie = ATTACKS[name]
    sent = X.astype(np.float64)
    sent[LIARS] = lie
    matrix = effective(**conditions)
    own = np.diag(matrix)[:, None]  # what they hold themselves goes on as if they were honest
    expected = own * X + (matrix - np.diag(np.diag(matrix))) @ sent
    np.testing.assert_allclose(links(adversary, **conditions).mix(jnp.asarray(X)), expected, atol=1e-4)
    if name != "label_flip":
        assert np.abs(expected - matrix @ X)[HONEST].max() > 0.1


def test_the_default_of_alie_leaves_a_majority_farther_out() -> None:
    n, m = 30, 5  # s = ⌊30/2 + 1⌋ − 5 = 11
    adversary = ADVERSARIES["alie"](n_nodes=n, nodes=list(range(m)))
    x = np.random.default_rng(0).normal(size=(n, P)).astype(np.float32)
    hub = jg.mixing.uniform(t.star(n))  # a leaf takes half of what the hub, a liar, says
    round_ = Round(jnp.int32(0), jax.random.key(0), n, Conditions(adversary=adversary))
    said = 2 * np.asarray(round_.links(hub).mix(jnp.asarray(x)))[-1] - x[-1]
    z = NormalDist().inv_cdf((n - m - 11) / (n - m))
    np.testing.assert_allclose(said, x[m:].mean(0) - z * x[m:].std(0), atol=1e-5)


@pytest.mark.by_default("2.5-faultless", "1.0-faultless")
@pytest.mark.parametrize("conditions", [{}, {"drop": 0.3, "online": 0.8}], ids=["faultless", "faulty"])
@pytest.mark.parametrize("epsilon", [1.0, 2.5])
def test_dissensus_is_its_formula_and_with_one_holds_honest_nodes_where_they_are(
    epsilon: float, conditions: dict
) -> None:
    adversary = ADVERSARIES["dissensus"](n_nodes=N, nodes=LIARS, epsilon=epsilon)
    found = np.asarray(links(adversary, **conditions).mix(jnp.asarray(X)))
    matrix, deceived = effective(**conditions), 0
    for i in HONEST:
        honest = [j for j in HONEST if j != i]
        share = matrix[i, LIARS].sum()
        pull = matrix[i, honest] @ (X[honest] - X[i])
        told = X[i] - epsilon * pull / share if share > 0 else X[i]
        expected = X[i] + pull + share * (told - X[i])
        np.testing.assert_allclose(found[i], expected, atol=1e-4)
        if share > 0:
            deceived += 1
            if epsilon == 1:
                np.testing.assert_allclose(found[i], X[i], atol=1e-5)
    assert 0 < deceived < HONEST.size


@pytest.mark.by_default("faultless")
@pytest.mark.parametrize("conditions", [{}, {"drop": 0.3, "online": 0.8}], ids=["faultless", "faulty"])
def test_model_replacement_is_its_formula(conditions: dict) -> None:
    found = np.asarray(links(REPLACEMENT, **conditions).mix(jnp.asarray(X)))
    matrix, heard = effective(**conditions), set()
    for i in HONEST:
        share = matrix[i, LIARS].sum()
        expected = X[i] + matrix[i, HONEST] @ (X[HONEST] - X[i])
        if share > 0:
            wanted = matrix[i, LIARS] @ X[LIARS] / share
            told = X[i] + (wanted - X[i]) / share
            expected = expected + share * (told - X[i])
        heard.add(int((matrix[i, LIARS] > 0).sum()))
        np.testing.assert_allclose(found[i], expected, atol=1e-4)
    assert heard == {0, 1, 2}  # nodes that hear no liar, one, and both


@pytest.mark.slow
def test_at_consensus_model_replacement_makes_the_mean_the_model_of_the_liar() -> None:
    graph, liar, tau = t.star(7), 6, 0.25  # a leaf lies to the hub
    W = jg.mixing.metropolis_hastings(graph)
    x = np.tile(X[0], (7, 1))
    x[liar] = X[1]
    adversary = ADVERSARIES["model_replacement"](n_nodes=7, nodes=[liar])

    def mixed(aggregation: jg.network.Aggregation | None) -> np.ndarray:
        conditions = Conditions(adversary=adversary, aggregation=aggregation)
        return np.asarray(Round(jnp.int32(0), jax.random.key(0), 7, conditions).links(W).mix(jnp.asarray(x)))

    np.testing.assert_allclose(mixed(None)[0], X[1], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(mixed(None)[1:6], x[1:6])
    moved = mixed(jg.network.aggregation.clipped(radius=tau)) - x
    weight = W.as_matrix()[0, liar]
    np.testing.assert_allclose(
        np.linalg.norm(moved[0]), weight * tau, rtol=1e-4
    )  # ≤ W_ij τ, and no less: it is far away
    assert weight * tau < np.linalg.norm(X[1] - X[0]) / 10
    np.testing.assert_array_equal(moved[1:6], 0)


@pytest.mark.parametrize(("name", "gamma"), [("min_max", 1.007813), ("min_sum", 0.866025)])
def test_of_four_rows_around_zero_the_farthest_lie_is_known(name: str, gamma: float) -> None:
    x = np.array([[1, 0], [-1, 0], [0, 1], [0, -1], [9, 9]], np.float32)
    adversary = ADVERSARIES[name](n_nodes=5, nodes=[4])
    round_ = Round(jnp.int32(0), jax.random.key(0), 5, Conditions(adversary=adversary))
    mixed = np.asarray(round_.links(jg.mixing.uniform(t.complete(5))).mix(jnp.asarray(x)))
    lie = 5 * mixed[0] - x[:4].sum(0)
    np.testing.assert_allclose(lie, -gamma * x[:4].std(0, ddof=1), atol=5e-6)


def test_rows_that_agree_leave_the_farthest_lie_no_room() -> None:
    x = jnp.ones((N, P))
    for name in ("min_max", "min_sum"):
        np.testing.assert_allclose(links(ADVERSARIES[name](n_nodes=N, nodes=LIARS)).mix(x), x, atol=1e-6)


@pytest.mark.parametrize("name", ["bit_flip", "dissensus"])
def test_reliabilities_weigh_lies_as_they_weigh_truths(name: str) -> None:
    r = np.arange(1.0, N + 1)
    adversary = ADVERSARIES[name](n_nodes=N, nodes=LIARS)
    found = np.asarray(links(adversary).mix(jnp.asarray(X), jnp.asarray(r, jnp.float32)))
    matrix = effective()
    for i in HONEST:
        honest, share = [j for j in HONEST if j != i], matrix[i, LIARS].sum()
        told = -X
        if name == "dissensus":
            told = np.tile(X[i] - matrix[i, honest] @ (X[honest] - X[i]) / (share if share > 0 else 1), (N, 1))
        said = X.copy()
        said[LIARS] = told[LIARS]
        weight = matrix[i] * r
        np.testing.assert_allclose(found[i], weight @ said / weight.sum(), atol=1e-4)


def test_label_flip_sends_honestly_and_marks_the_problem_to_be_made() -> None:
    adversary = ADVERSARIES["label_flip"](n_nodes=N, nodes=LIARS)
    assert adversary.flips_labels
    assert adversary.broadcast is None
    assert adversary.targeted is None
    assert not ATTACKS["bit_flip"][0].flips_labels


@pytest.mark.parametrize("name", ADVERSARIES)
def test_liars_are_drawn_reproducibly(name: str) -> None:
    make = ADVERSARIES[name]
    one = make(n_nodes=40, fraction=0.2, rng=3)
    assert one.liars == make(n_nodes=40, fraction=0.2, rng=3).liars == make(n_nodes=40, fraction=0.2, rng=np.random.default_rng(3)).liars  # fmt: skip
    assert one.liars != make(n_nodes=40, fraction=0.2, rng=4).liars
    assert len(set(one.liars)) == 8
    assert list(one.liars) == sorted(one.liars)
    assert one.name == name
    np.testing.assert_array_equal(np.flatnonzero(one.mask(40)), one.liars)
    np.testing.assert_array_equal(one.honest(40), ~np.asarray(one.mask(40)))
    assert make(n_nodes=40, nodes=[5, 3, 5]).liars == (3, 5)
    assert len(make(n_nodes=40, fraction=0.001).liars) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fraction": 0.0}, "adversary: fraction is between 0 and 1, not 0.0"),
        ({"fraction": 1.0}, "adversary: fraction is between 0 and 1, not 1.0"),
        ({"nodes": []}, "adversary: nodes names nobody"),
    ],
)
@pytest.mark.parametrize("name", ADVERSARIES)
def test_impossible_liars_are_named(name: str, options: dict, message: str) -> None:
    with pytest.raises(jg.errors.InputError, match=message):
        ADVERSARIES[name](n_nodes=N, **options)


@pytest.mark.wrong_types
def test_liars_are_named_by_lists_and_arrays_alike() -> None:
    assert ADVERSARIES["bit_flip"](n_nodes=6, nodes=np.array([4, 1])).liars == (1, 4)


def test_other_errors_of_adversaries() -> None:
    with pytest.raises(jg.errors.InputError, match="adversary: node 12 does not exist"):
        ADVERSARIES["bit_flip"](n_nodes=N, nodes=[12]).mask(N)
    with pytest.raises(jg.errors.InputError, match="adversary: no node is honest"):
        ADVERSARIES["bit_flip"](n_nodes=N, nodes=list(range(N))).honest(N)
    with pytest.raises(jg.errors.InputError, match="alie has no z for 7 liars among 12 nodes"):
        ADVERSARIES["alie"](n_nodes=N, nodes=list(range(7)))


@pytest.mark.slow
def test_only_honest_nodes_are_measured() -> None:
    problem = jg.learning.isotropic_quadratic(N, dimension=P, init="independent", rng=0)
    step = jg.algorithms.dsgd(problem, optax.sgd(0.1), W)
    adversary = ADVERSARIES["bit_flip"](n_nodes=N, nodes=LIARS)
    result = jg.simulate(step, 5, evaluate_every=5, conditions=Conditions(adversary=adversary))
    x = np.asarray(result.x, np.float64)[HONEST]
    final = result.metrics.final
    np.testing.assert_allclose(final["consensus_distance"], np.square(x - x.mean(0)).sum(1).mean(), rtol=1e-4)
    distance = np.square(x - np.asarray(problem.optimum)).sum(1)
    np.testing.assert_allclose(final["distance_to_optimum_mean"], distance.mean(), rtol=1e-4)
    np.testing.assert_allclose(final["distance_to_optimum_max"], distance.max(), rtol=1e-4)
    np.testing.assert_allclose(
        final["mean_model_distance_to_optimum"], np.square(x.mean(0) - np.asarray(problem.optimum)).sum(), rtol=1e-4
    )
    scores = result.node_scores["distance_to_optimum"]
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(scores)), LIARS)
    np.testing.assert_allclose(scores[HONEST], distance, rtol=1e-4)


@pytest.mark.slow
def test_a_sample_of_nodes_is_one_of_honest_nodes() -> None:
    honest = np.ones(N, bool)
    honest[LIARS] = False
    some = HonestNodes.of(honest, None)
    drawn = np.concatenate([jg.simulation.metrics.sample_nodes(jax.random.key(seed), N, 4, some) for seed in range(20)])
    assert set(drawn.tolist()) == set(HONEST.tolist())
